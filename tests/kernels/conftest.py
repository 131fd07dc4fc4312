"""What the kernels' tests stand on: no test runs what another has recorded."""

import pytest

from autograd_core.kernels.recorded import forget


@pytest.fixture(autouse=True)
def nothing_recorded():
    forget()
    yield
    forget()
