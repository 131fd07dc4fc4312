"""Operations that fail, or take another way, while a program replays: as eager, or nothing has happened."""

import numpy as np
import pytest
from compiler.twins import assert_twins

import autograd_core as ag
import nn


def fragile():
    """An operation of one's own that raises when a number is negative, from its rule or from itself."""

    @ag.primitive
    def root(x):
        if (x < 0).any():
            raise ArithmeticError("a root of a negative number")
        return np.sqrt(x)

    @ag.primitive
    def slope(x):
        if (x > 9).any():
            raise ArithmeticError("a slope that is too flat")
        return 0.5 / np.sqrt(x)

    root.defvjp(lambda g, x: g * slope(x))
    slope.defvjp(lambda g, x: g * -0.25 * x**-1.5)
    return root


class Model(nn.Module):
    def __init__(self):
        self.body = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4), nn.Dropout(0.5), nn.Dense(4, 4))
        self.root = fragile()

    def forward(self, x, limits):
        return self.body(x * 1.5) * self.root(limits * 1)


def training():
    """A compiled step, and a function that says how everything is."""
    model = Model()
    optimizer = nn.Adam(model.parameters(), lr=0.1)
    schedule = nn.schedules.exponential(optimizer, 0.5)

    @ag.compile
    def step(x, limits):
        optimizer.zero_grad()
        (model(x, limits) ** 2).mean().backward()
        optimizer.step()
        schedule.step()

    def everything():
        states = {**model.state_dict(), **optimizer.state_dict(), **schedule.state_dict()}
        states |= {f"{name}.grad": p.grad.numpy() for name, p in model.named_parameters()}
        return {k: np.array(v) for k, v in (states | {"stream": ag.random.get_state()}).items()}

    return step, everything


def assert_same(got, want):
    assert got.keys() == want.keys()
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)


GOOD = np.arange(12, dtype="f4").reshape(4, 3), np.full(4, 4.0, "f4")


@pytest.mark.parametrize("wrong", [-1.0, 10.0])
@pytest.mark.parametrize("replays", [0, 2])
def test_an_operation_of_ones_own_raises_at_replay(wrong, replays):
    step, everything = training()
    for _ in range(1 + replays):
        step(GOOD[0], ag.tensor(GOOD[1], requires_grad=True))
    before = everything()
    limits = ag.tensor(np.full(4, wrong, "f4"), requires_grad=True)
    with pytest.raises(ArithmeticError):
        step(GOOD[0], limits)
    assert_same(everything(), before)
    assert limits.grad is None


def test_after_a_failure_it_goes_on_as_if_nothing_had_been():
    ends = []
    for failing in (False, True):
        ag.random.seed(3)
        step, everything = training()
        for k in range(4):
            if failing and k:
                with pytest.raises(ArithmeticError):
                    step(GOOD[0] * 2, -GOOD[1])
            step(*GOOD)
        ends.append(everything())
    assert_same(*ends)


@pytest.mark.parametrize("held", [False, True])
def test_a_failure_leaves_the_gradients_of_the_last_step(held):
    w = nn.Parameter([2.0, 3.0])
    root = fragile()

    @ag.compile
    def step(x):
        w.grad = None
        (w * w).sum().backward()
        w.assign(w.detach() * 2)
        return root(x)

    for _ in range(3):
        step(np.ones(1))
    gradient, want = w.grad if held else None, w.grad.numpy().copy()
    with pytest.raises(ArithmeticError):
        step(-np.ones(1))
    np.testing.assert_array_equal(w.grad.numpy(), want)
    assert not held or w.grad is gradient


@pytest.mark.parametrize("labels", ["computed", "kept"])
def test_labels_out_of_range_that_are_no_arguments(labels):
    model = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4))
    optimizer = nn.SGD(model.parameters(), lr=0.1, momentum=0.9)
    kept = ag.Buffer(np.array([0, 3]))

    @ag.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.cross_entropy(model(x), kept if labels == "kept" else y + 1)
        loss.backward()
        optimizer.step()
        return loss

    x, good, bad = GOOD[0][:2], np.array([-1, 2]), np.array([-1, 3])
    step(x, good)
    step(x, good)
    before = model.state_dict() | optimizer.state_dict()
    kept.assign(bad + 1)
    with pytest.raises((ValueError, IndexError)):
        step(x, bad)
    assert_same(model.state_dict() | optimizer.state_dict(), before)


CONVOLUTIONS = {
    "3×3": (nn.Conv, {"kernel_size": 3, "padding": 1}), "wide": (nn.Conv, {"kernel_size": 5, "padding": 2}),
    "strided": (nn.Conv, {"kernel_size": 3, "padding": 1, "stride": 2}), "1×1": (nn.Conv, {"kernel_size": 1}),
    "depthwise": (nn.Conv, {"kernel_size": 3, "padding": 1, "groups": 8}),
    "transposed": (nn.ConvTranspose, {"kernel_size": 2, "stride": 2}),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONVOLUTIONS)
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_convolution_of_what_is_no_number(kind, number):
    """Fast methods spread it over neighbours: there the direct sum is taken, whether met first or later."""
    make, settings = CONVOLUTIONS[kind]
    images = [np.random.default_rng(k).standard_normal((2, 8, 9, 9)).astype("f4") for k in range(4)]
    for k in (1, 2):
        images[k][0, 3, 0, 4] = number

    def build():
        layer = make(8, 8, **settings)

        def f(x):
            layer.zero_grad()
            y = layer(x)
            y.sum().backward()
            return y, ag.isnan(y)

        return f, [layer]

    for calls in (images, images[1:]):
        with np.errstate(invalid="ignore"):
            assert_twins(build, [(x,) for x in calls], rtol=1e-3)


def test_a_decomposition_that_fails_moves_no_random_numbers():
    f = ag.compile(lambda x: ag.random.normal(3) + ag.linalg.cholesky(x * 1).sum())
    f(np.eye(3))
    before = ag.random.get_state().copy()
    with pytest.raises(np.linalg.LinAlgError):
        f(-np.eye(3))
    np.testing.assert_array_equal(ag.random.get_state(), before)


def test_an_error_at_replay_says_what_failed_and_where():
    class Factor(nn.Module):
        def forward(self, x):
            return ag.linalg.cholesky(x * 1)

    f = ag.compile(nn.Sequential(Factor()))
    f(np.eye(3))
    with pytest.raises(np.linalg.LinAlgError) as failed:
        f(-np.eye(3))
    assert "cholesky" in str(failed.value)
    assert "float64[3,3] · in Sequential.layers.0" in str(failed.value)
