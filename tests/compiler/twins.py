"""One program twice, eager and compiled: nobody may tell them apart."""

import numpy as np

import autograd_core as ag
from autograd_core import tree


def assert_twins(build, calls, rtol=1e-4):
    """`build()` gives a function and what it may change (modules, optimizers, tensors); `calls` its arguments."""
    histories = [list(history(build, calls, compiled)) for compiled in (False, True)]
    for number, (want, got) in enumerate(zip(*histories, strict=True)):
        assert got.keys() == want.keys()
        for name, array in want.items():
            close(got[name], array, rtol, f"{name} after call {number}")


def close(got, want, rtol=1e-4, message=""):
    """Equal in shape, dtype and, for floats up to rounding, in value; None equals None."""
    if want is None or got is None:
        assert got is want, message
        return
    assert (got.shape, got.dtype) == (want.shape, want.dtype), message
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, err_msg=message)
        return
    size = np.abs(want[np.isfinite(want)]).max(initial=0.0)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * size, err_msg=message)


def history(build, calls, compiled):
    """Everything that can be seen after each call, by name."""
    ag.random.seed(5)
    function, held = build()
    function = ag.compile(function) if compiled else function
    for args in calls:
        result = function(*args)
        seen = {f"result {i}": _array(leaf) for i, leaf in enumerate(tree.leaves(result))}
        for i, each in enumerate(held):
            seen |= {f"{i} {name}": array for name, array in _state(each)}
        yield seen | {"random stream": ag.random.get_state().copy()}


def _state(held):
    if isinstance(held, ag.Tensor):
        yield "array", _array(held)
        yield "grad", _array(held.grad)
        return
    yield from ((name, np.array(array)) for name, array in held.state_dict().items())
    for name, p in getattr(held, "named_parameters", list)():
        yield f"{name}.grad", _array(p.grad)


def _array(value):
    return None if value is None else np.array(value.numpy() if isinstance(value, ag.Tensor) else value)
