"""The hostile matrix finds defects put into stand-in operations; new operations come in by themselves."""

import subprocess
import sys
from pathlib import Path

import pytest

from autograd_core.ops.define import registry
from tools.hostile import cells, defects, driver, kinks, parameters, report

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def found():
    """What two workers say of the stand-ins: one crashes its process, one never ends."""
    results = {}
    driver.FIRST = 60.0
    driver.run(defects.names(), 1, 3.0, lambda result: results.__setitem__(result.name.split("/")[1], result))
    return results


def test_every_defect_put_into_an_operation_is_reported(found):
    assert {name: found[name].status for name in defects.DEFECTS} == {
        name: expected for name, (*_, expected) in defects.DEFECTS.items()
    }


def test_a_crash_and_a_hang_are_one_named_cell_each(found):
    assert "crash: the process ended with signal 6" in found["crash"].detail
    assert "hang" in found["hang"].detail
    assert "KeyError" in found["KeyError"].detail
    assert "does not name exp" in found["no name"].detail


def test_bad_cells_are_listed_with_a_command_and_counted(found):
    results = list(found.values())
    lines = report.bad_lines(results)
    assert any("python -m tools.hostile --cell 'defects/crash'" in line for line in lines)
    assert report.counts(results)["defects"]["bad"] == len(lines)
    assert all(len(line) <= 60 for line in report.table(results).splitlines())


def test_the_exit_status_of_one_cell():
    run = lambda name: subprocess.run(
        [sys.executable, "-m", "tools.hostile", "--cell", name],
        cwd=ROOT, env=driver.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    good, bad = run("defects/right"), run("defects/layout")
    assert (good.returncode, bad.returncode) == (0, 1)
    assert "bad" in bad.stdout


def test_every_operation_of_the_registry_and_every_method_is_in_the_matrix():
    import autograd_core as ag

    subjects = cells.by_name()
    assert set(registry) - {"checkpoint"} == {n.removeprefix("op.") for n in subjects if n.startswith("op.")}
    methods = {n for n in vars(ag.Tensor) if not n.startswith("_") and callable(getattr(ag.Tensor, n))}
    tested = {n.removeprefix("t.").removesuffix("()") for n in subjects if n.startswith("t.")}
    assert methods - tested <= {"astype", "backward_steps"}
    assert all(subject.samples for subject in subjects.values())


def test_a_new_public_function_comes_in_by_itself(monkeypatch):
    import autograd_core as ag
    from autograd_core import functions
    from autograd_core.public import public

    def brand_new(x):
        """Not yet there."""
        return x * 2

    brand_new.__annotations__ = {"x": functions._e.exp.forward.__annotations__["x"]}
    made = public(brand_new)
    monkeypatch.setattr(functions, "brand_new", made, raising=False)
    monkeypatch.setattr(ag, "brand_new", made, raising=False)
    from tools.hostile import subjects

    assert "ag.brand_new" in {subject.name for subject in subjects.subjects() if subject.samples}


def test_there_are_at_least_36_kinks_with_a_rule():
    assert len(kinks.KINKS) >= 36
    assert all(kink.rule for kink in kinks.KINKS.values())


def test_parameters_of_every_function_with_parameters_are_tried():
    tried = {name.split("/")[1] for name in parameters.names(quick=True)}
    assert {"ag.sum", "ag.conv", "ag.linalg.norm", "ag.zeros", "ag.random.normal"} <= tried
