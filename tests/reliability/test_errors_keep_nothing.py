"""An error that was caught keeps no input alive: no cycle through its traceback, its cause or its notes."""

import gc
import weakref

import numpy as np
import pytest

import autograd_core as ag
import nn


@ag.primitive
def custom(x):
    return x * 1.0


@ag.primitive
def raising(x):
    raise RuntimeError("no rule of ours")


@ag.primitive
def own_kind(x):
    raise KeyError("an error of a kind that is handed on as it is")


def wrong_rule(g, x):
    raise RuntimeError("in a rule")


custom.defvjp(wrong_rule)


class Failing(nn.Module):
    def forward(self, x):
        raise RuntimeError("in a module")


class Misfit(nn.Module):
    def __init__(self):
        self.inner = nn.Dense(3, 2)

    def forward(self, x):
        return self.inner(x)


WAYS = {
    "an operation": lambda x: x @ ag.ones((3, 3)),
    "an operation on the tape": lambda x: (x * 2).exp() @ ag.ones((3, 3)),
    "broadcasting": lambda x: x + ag.ones((3,)),
    "a composed function": lambda x: ag.tensordot(x, ag.ones((3, 3))),
    "an axis that is not there": lambda x: ag.var(x, axis=5),
    "a reshape": lambda x: x.reshape(7),
    "a concat": lambda x: ag.concat([x, ag.ones((3, 3))], axis=0),
    "an index": lambda x: x[500],
    "an index array": lambda x: x[np.full(100_000, 500)],
    "a write": lambda x: x.__setitem__(0, np.ones(3)),
    "linalg": lambda x: ag.linalg.solve(ag.zeros((100, 100)), x),
    "a RuntimeError of a user's operation": lambda x: raising(x),
    "a KeyError of a user's operation": lambda x: own_kind(x),
    "a rule in backward": lambda x: custom(x).sum().backward(),
    "a rule in ag.grad": lambda x: ag.grad(lambda v: custom(v).sum())(x),
    "a rule in a Jacobian": lambda x: ag.jvp(lambda v: custom(v), (x,), (x.detach(),)),
    "no rule": lambda x: ag.checkpoint(raising)(x),
    "a cotangent": lambda x: (x * 2).backward(ag.ones((3,))),
    "a freed graph": lambda x: [y.backward() for y in [(x * x).sum()] * 2],
    "ag.grad": lambda x: ag.grad(lambda v: (v @ ag.ones((3, 3))).sum())(x),
    "ag.grad of no scalar": lambda x: ag.grad(lambda v: v * 2)(x),
    "checkpoint": lambda x: ag.checkpoint(lambda v: v @ ag.ones((3, 3)))(x),
    "a module": lambda x: Failing()(x),
    "a layer in a module": lambda x: Misfit()(x),
    "a conversion": lambda x: np.fft.fft(x),
    "a conversion inside NumPy": lambda x: np.mean([x, x]),
    "a conversion into an array": lambda x: np.zeros(1).__setitem__(0, x[0, 0]),
    "a compiled function": lambda x: ag.compile(lambda v: v @ ag.ones((3, 3)))(x),
    "a read in a compiled function": lambda x: ag.compile(lambda v: float(v.sum()))(x),
}


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def fails(way):
    """Weak references to a tensor and its array, after an operation on them has failed."""
    x = ag.tensor(np.ones((100, 100), np.float32), requires_grad=True)
    references = weakref.ref(x), weakref.ref(x.array)
    try:
        way(x)
    except Exception:
        return references
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("name", WAYS)
def test_a_caught_error_keeps_no_input_alive(name, no_collector):
    assert [reference() for reference in fails(WAYS[name])] == [None, None]


def test_three_hundred_caught_errors_take_no_memory(no_collector):
    alive = []
    for _ in range(300):
        x = ag.ones((500, 1000))
        x.requires_grad = True
        y = (x * 2).exp()
        alive.append(weakref.ref(y.array))
        with pytest.raises(ValueError, match="matmul"):
            y @ ag.ones((3, 3))
    del x, y
    assert sum(reference() is not None for reference in alive) == 0


def test_the_last_error_can_still_be_drawn_and_keeps_outlines_only(no_collector):
    def fail():
        x = ag.ones((200, 200))
        x.requires_grad = True
        index = np.full(1000, 500)
        reference = weakref.ref(x.array)
        with pytest.raises(IndexError):
            (x * 2)[index]
        return reference

    assert fail()() is None
    assert "raised" in ag.draw_last_error().dot


def test_an_error_says_its_cause_once():
    with pytest.raises(ValueError, match="matmul") as caught:
        ag.ones((2, 2)) @ ag.ones((3, 3))
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.__cause__ is not caught.value
    with pytest.raises(KeyError) as caught:
        own_kind(ag.ones(2))
    assert caught.value.__cause__ is not caught.value
