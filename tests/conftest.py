"""What every test stands on: one BLAS thread a worker, the same random numbers each time, an engine left as found."""

import os

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER:  # before NumPy and numba are imported: workers share the cores
    for library in ("OPENBLAS", "MKL", "OMP", "BLIS", "VECLIB_MAXIMUM"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    os.environ.setdefault("NUMBA_NUM_THREADS", "2")  # the kernels' tests compare one thread with two
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hypothesis  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from browser import browser  # noqa: E402, F401

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Kernels compute on one thread in each worker, unless a test asks for more."""
    if WORKER:
        import numba

        numba.set_num_threads(1)


@pytest.fixture(autouse=True)
def engine():
    """The random stream starts anew for each test, and no test leaves a switch of the engine changed."""
    import autograd_core as ag
    from autograd_core.tape import state

    ag.random.seed(20240229)
    switches = (state.recording, state.assigning, state.module_path, ag.default_dtype())
    yield
    after = (state.recording, state.assigning, state.module_path, ag.default_dtype())
    state.recording, state.assigning, state.module_path = switches[:3]
    ag.set_default_dtype(switches[3])
    assert after == switches


@pytest.fixture
def rng(request):
    """NumPy's generator, seeded by the test's own name."""
    return np.random.default_rng(list(request.node.name.encode()))


@pytest.fixture
def float64():
    """Lists of floats are float64 during this test."""
    import autograd_core as ag

    ag.set_default_dtype("float64")
    yield
    ag.set_default_dtype("float32")
