"""Operations have compiled kernels for large arrays: the same tests of them, with every array taken as large."""

import numpy as np
import pytest
from samples import REFERENCES, SAMPLES, distinct, real

import autograd_core as ag
from autograd_core.kernels import channel as kernels
from autograd_core.ops import large
from autograd_core.ops.define import registry

NAMES = (
    "add subtract multiply relu gate where exp sigmoid sigmoid_grad tanh tanh_grad erf softmax softmax_grad "
    "log_softmax sum mean var moments channel_sums scale_shift channel_blend normalise"
).split()


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch):
    monkeypatch.setattr(large, "LARGE", 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values(name, dtype):
    for sample in SAMPLES[name]:
        args = sample.cast(dtype)
        got, want = (
            registry[name](*args, **sample.params),
            np.asarray(REFERENCES[name](*args, **sample.params)),
        )
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives(name):
    for sample in SAMPLES[name]:
        if sample.differentiable and sample.float_positions:

            def f(*values, sample=sample):
                placed = list(sample.args)
                for i, value in zip(sample.float_positions, values, strict=True):
                    placed[i] = value
                return registry[sample.name](*placed, **sample.params)

            ag.check_grads(f, [sample.args[i] for i in sample.float_positions], order=2)


@pytest.mark.parametrize(
    "axis", [None, 0, 1, -1, (0, 1), (0, 2), (1, 2), (0, 1, 2), (0, 2, 3), (2, 3), (1, 3), ()]
)
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_over_every_choice_of_axes(axis, keepdims):
    x = real(3, 4, 5, 6).astype("float32")
    for name in ("sum", "mean", "var"):
        got = getattr(ag, name)(x, axis=axis, keepdims=keepdims).numpy()
        want = getattr(np, name)(x.astype("float64"), axis=axis, keepdims=keepdims)
        assert got.shape == want.shape
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_var_with_correction():
    x = real(4, 5)
    np.testing.assert_allclose(ag.var(x, axis=1, correction=1).numpy(), np.var(x, axis=1, ddof=1))


def test_other_layouts_and_dtypes_take_numpys_way():
    x = distinct(4, 6)
    for other in (x.T, x[:, ::2], np.broadcast_to(x[0], (4, 6)), np.round(x).astype("int64"), x > 0):
        np.testing.assert_allclose(ag.sum(other, axis=0).numpy(), np.sum(other, axis=0))
        np.testing.assert_array_equal(ag.relu(other).numpy(), np.maximum(other, 0))
        np.testing.assert_array_equal(ag.where(other > 0, other, 0).numpy(), np.where(other > 0, other, 0))
    mixed = ag.where(x > 0, x.astype("float32"), x)
    assert mixed.dtype == np.float64
    np.testing.assert_array_equal(ag.where(x > 0, 1.0, -1.0).numpy(), np.where(x > 0, 1.0, -1.0))
    np.testing.assert_array_equal(ag.where(x[0] > 0, x, -x).numpy(), np.where(x[0] > 0, x, -x))


def test_nan_and_infinity_pass():
    x = np.array([[np.nan, 1.0], [np.inf, -np.inf], [-np.inf, np.nan], [2.0, -0.0]])
    np.testing.assert_array_equal(ag.relu(x).numpy(), np.maximum(x, 0))
    np.testing.assert_array_equal(ag.sum(x, axis=1).numpy(), [np.nan, np.nan, np.nan, 2.0])
    got = ag.where(x > 0, x, np.nan).numpy()
    np.testing.assert_array_equal(got, np.where(x > 0, x, np.nan))


def test_the_door_of_channels():
    with pytest.raises(ValueError, match=r"scale_shift: x has 3 channels .*not \[2\]"):
        ag.scale_shift(np.ones((2, 3)), np.ones(2), 1.0, 0.0)
    with pytest.raises(ValueError, match="moments: x has 1 dimensions"):
        ag.moments(np.ones(3))
    assert ag.scale_shift(np.ones((2, 3), "int64"), 0.0, 2.0, 0.5).tolist() == [[2.5] * 3] * 2


def test_a_captured_function_takes_no_kernels(monkeypatch):
    """They would be compiled for that one call: its program has loops of its own."""
    taken = []
    moments = kernels.moments
    monkeypatch.setattr(kernels, "moments", lambda x: taken.append(x) or moments(x))
    x = real(3, 4, 5).astype("float32")
    f = ag.compile(ag.moments)
    np.testing.assert_allclose(f(x).numpy(), f(x).numpy(), rtol=1e-5, atol=1e-6)
    assert not taken
    ag.moments(x)
    assert taken
