"""The committed table of derivatives names every operation, and a sample of its cells still holds."""

import pytest

from autograd_core.ops.define import registry
from tools import certificate


def rows():
    """The committed rows: operation -> cells."""
    found = {}
    for line in certificate.PAGE.read_text().splitlines():
        if line.startswith("| `"):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found[name.strip("`")] = cells
    return found


def kind_of(cell):
    """yes, NO, or the reason, without the size of an error."""
    return "yes" if cell.startswith("yes") else cell


def test_every_operation_has_a_row_in_the_derivative_certificate():
    """A new operation without one: run `python -m tools.certificate`."""
    committed = rows()
    assert set(registry) - {"checkpoint"} <= set(committed)
    assert set(certificate.subjects()) <= set(committed)


def test_no_cell_of_the_committed_certificate_is_wrong():
    assert not [(name, cell) for name, cells in rows().items() for cell in cells if cell.startswith("NO")]


def test_differentiable_operations_have_all_their_cells_tested():
    for name, cells in rows().items():
        if name in certificate.subjects() and certificate.without(name) is None:
            assert all(cell.startswith(("yes", "refused by name")) for cell in cells[:-1]), name


@pytest.mark.parametrize("name", sorted(certificate.subjects())[::9])
def test_a_row_of_the_certificate_still_holds(name):
    now = certificate.row(name, certificate.subjects()[name])
    assert [kind_of(cell) for cell in now] == [kind_of(cell) for cell in rows()[name]]
