"""Small things that a user expects of every tensor, function and operator."""

import numpy as np
import pytest

import autograd_core as ag

X = np.array([1.0, 2.0])
CONSTANTS = {
    "a float": lambda x: 1.0,
    "a NumPy number": lambda x: np.float64(1.0),
    "an array": lambda x: np.ones(()),
    "a tensor": lambda x: ag.tensor(1.0),
    "of a detached argument": lambda x: (x.detach() * 2).sum(),
    "of another tensor": lambda x: ag.ones(3).sum(),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_derivatives_of_a_constant_are_zeros(name):
    f = CONSTANTS[name]
    slope = ag.grad(f)(X)
    assert (slope.tolist(), slope.dtype) == ([0.0, 0.0], np.float64)
    value, slope = ag.value_and_grad(f)(X)
    assert isinstance(value, ag.Tensor)
    assert slope.tolist() == [0.0, 0.0]
    assert ag.jacobian(f)(X).tolist() == [0.0, 0.0]
    assert ag.hessian(f)(X).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert ag.vjp(f, X)[1](np.ones(()))[0].tolist() == [0.0, 0.0]
    assert ag.jvp(f, (X,), (X,))[1].tolist() == 0.0
    assert ag.hvp(f, (X,), (X,))[0].tolist() == [0.0, 0.0]


def test_the_derivatives_of_constants_in_containers_are_zeros():
    slope = ag.grad(lambda p: 1.0)({"a": X, "b": [np.float32(3.0)]})
    assert slope["a"].tolist() == [0.0, 0.0]
    assert (slope["b"][0].item(), slope["b"][0].dtype) == (0.0, np.float32)
    matrix = ag.jacobian(lambda x: {"a": np.ones(3), "b": x * 2})(X)
    assert matrix["a"].tolist() == [[0.0, 0.0]] * 3
    assert matrix["b"].tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert [s.tolist() for s in ag.grad(lambda x, y: 2.0, argnums=(0, 1))(X, X)] == [[0.0, 0.0]] * 2
    value, pull_back = ag.vjp(lambda x: np.ones(3), X)
    assert value.tolist() == [1.0] * 3
    assert pull_back(np.ones(3))[0].tolist() == [0.0, 0.0]
    assert ag.grad(lambda x: x * ag.grad(lambda y: 1.0)(x))(2.0).item() == 0.0


def test_an_integer_is_still_no_differentiable_value():
    with pytest.raises(ValueError, match="one float element"):
        ag.grad(lambda x: 1)(X)


@pytest.mark.parametrize(
    "same",
    [
        lambda x: +x,
        lambda x: ag.clip(x),
        lambda x: x.clip(None, None),
        lambda x: np.positive(x),
        lambda x: ag.from_dlpack(x),
        lambda x: ag.asarray(x, copy=True),
        lambda x: x.astype("float32"),
        lambda x: x.reshape(2),
        lambda x: x[:],
        lambda x: ag.broadcast_to(x, (2,)),
        lambda x: ag.concat([x]),
        lambda x: ag.sum(x, axis=()),
    ],
)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_what_is_written_to_a_result_does_not_change_the_argument(same, requires_grad):
    x = ag.tensor([1.0, 2.0], requires_grad=requires_grad)
    y = same(x)
    y[0] = 99.0
    assert x.tolist() == [1.0, 2.0]
    assert y.tolist() == [99.0, 2.0]
    if requires_grad:
        y.sum().backward()
        assert x.grad.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("wrong", [5, "square", None, [lambda x: x], np.ones(3)])
@pytest.mark.parametrize(
    "make",
    [
        lambda f: ag.primitive(name="named")(f),
        ag.grad,
        ag.value_and_grad,
        ag.jacobian,
        ag.hessian,
        ag.checkpoint,
    ],
)
def test_what_is_no_function_is_refused_at_once(make, wrong):
    with pytest.raises(TypeError, match=r"is not a function: give one"):
        make(wrong)


def test_primitive_of_a_number_says_what_is_wanted():
    with pytest.raises(TypeError, match=r"primitive: 5 is not a function: .*ag.primitive\(lambda x"):
        ag.primitive(5)


class Labelled:
    """As xarray's DataArray: an array with labels, that keeps them in operations with anything."""

    __array_priority__ = 50

    def __init__(self, values, label):
        self.values, self.label = np.asarray(values), label

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __array_ufunc__(self, ufunc, method, *inputs, **params):
        plain = [i.values if isinstance(i, Labelled) else np.asarray(i) for i in inputs]
        return Labelled(getattr(ufunc, method)(*plain), self.label)

    def __rmul__(self, other):
        return Labelled(np.asarray(other) * self.values, self.label)

    __radd__ = __rsub__ = __rtruediv__ = __rpow__ = __rmatmul__ = __rmul__


class Units(np.ndarray):
    """As a Quantity: an ndarray that knows its unit."""

    __array_priority__ = 10000

    def __rmul__(self, other):
        return (np.asarray(other) * np.asarray(self)).view(Units)


class OnlyPriority:
    """As SciPy's sparse matrices."""

    __array_priority__ = 10.1

    def __array__(self, dtype=None, copy=None):
        return np.ones(2)

    def __rmul__(self, other):
        return "mine"


class RefusesUfuncs:
    __array_ufunc__ = None

    def __array__(self, dtype=None, copy=None):
        return np.ones(2)

    def __rmul__(self, other):
        return "mine"


def test_a_labelled_array_is_not_swallowed():
    x = ag.tensor([1.0, 2.0])
    labelled = Labelled([3.0, 4.0], "metres")
    for result in (x * labelled, x + labelled, x - labelled, x / labelled, x**labelled, x @ labelled):
        assert isinstance(result, Labelled)
        assert result.label == "metres"
    assert (x * labelled).values.tolist() == [3.0, 8.0]
    assert isinstance(x * np.ones(2).view(Units), Units)
    assert isinstance(x * np.ma.array([1.0, 2.0], mask=[True, False]), np.ma.MaskedArray)
    assert x * OnlyPriority() == "mine"
    assert x * RefusesUfuncs() == "mine"


@pytest.mark.parametrize(
    "other", [Labelled([3.0, 4.0], "m"), np.ones(2).view(Units), np.ma.array([1.0, 2.0])]
)
def test_a_labelled_array_times_a_tensor_with_a_gradient_is_refused(other):
    with pytest.raises(TypeError, match=r"detach\(\)"):
        ag.tensor([1.0, 2.0], requires_grad=True) * other


class Plain:
    def __array__(self, dtype=None, copy=None):
        return np.array([3.0, 4.0])


@pytest.mark.parametrize(
    "other", [np.array([3.0, 4.0]), [3.0, 4.0], (3.0, 4.0), Plain(), np.array([3.0, 4.0]).view(np.recarray)]
)
def test_other_arrays_are_still_operands(other):
    assert (ag.tensor([1.0, 2.0], requires_grad=True) * other).tolist() == [3.0, 8.0]
    assert (ag.tensor([1.0, 2.0]) * np.float64(2.0)).tolist() == [2.0, 4.0]
    assert (ag.tensor([1.0, 2.0]) * np.int8(2)).dtype == np.float32
