"""What a user gives wrongly is an error that names the function that was called, and nothing runs for ever."""

import numpy as np
import pytest

import autograd_core as ag

X = np.ones((2, 3))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("exp", lambda: ag.exp(np.ones(3, np.float16))),
        ("sum", lambda: ag.sum(np.ones(3, complex))),
        ("norm", lambda: ag.linalg.norm(np.array(["a"]))),
        ("concat", lambda: ag.concat([X, np.ones((2, 3), object)])),
        ("stack", lambda: ag.stack([X, None])),
        ("conv", lambda: ag.conv("abc", X)),
        ("where", lambda: ag.where(X > 0, X, {1.0})),
        ("einsum", lambda: ag.einsum("ij->i", object())),
        ("matmul", lambda: ag.matmul(X, [[1.0], [1.0, 2.0]])),
        ("maximum", lambda: ag.maximum(X, np.datetime64("2024-01-01"))),
    ],
)
def test_an_operand_that_is_no_array_is_an_error_of_the_function_i_called(name, call):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: "):
        call()


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("clip", lambda: ag.clip(X, np.zeros(4), None)),
        ("repeat", lambda: ag.repeat(X, [1, 2, 3], axis=0)),
        ("tensordot", lambda: ag.tensordot(X, X, axes=1)),
        ("conv_transpose", lambda: ag.conv_transpose(np.ones((1, 2, 3)), np.ones((3, 2, 2)))),
        ("take", lambda: ag.take(X, [7])),
        ("std", lambda: ag.std(X, axis=7)),
        ("tril", lambda: ag.tril(np.ones(3), "0")),
        ("split", lambda: ag.split(X, 2, axis=5)),
        ("sort", lambda: ag.sort(X, axis=1.5)),
        ("prod", lambda: ag.prod(X, axis=9)),
    ],
)
def test_an_error_inside_a_composed_function_names_the_function_i_called(name, call):
    with pytest.raises((TypeError, ValueError, IndexError), match=rf"^{name}: "):
        call()


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("zeros", lambda: ag.zeros(1.5)),
        ("ones", lambda: ag.ones((-1, 2))),
        ("full", lambda: ag.full("3", 1.0)),
        ("eye", lambda: ag.eye("3")),
        ("arange", lambda: ag.arange("a", 3)),
        ("linspace", lambda: ag.linspace(0, 1, 2.5)),
        ("tensor", lambda: ag.tensor(np.ones(3, np.complex64))),
        ("empty", lambda: ag.empty(object())),
        ("normal", lambda: ag.random.normal((2, -3))),
        ("integers", lambda: ag.random.integers("0", 3)),
        ("bernoulli", lambda: ag.random.bernoulli("p")),
        ("permutation", lambda: ag.random.permutation(1.5)),
    ],
)
def test_a_creation_function_with_a_bad_argument_names_itself(name, call):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: "):
        call()


@pytest.mark.parametrize(
    "given", ["abc", None, [1.0], object(), np.array(["a"]), np.ones(3, np.longdouble), 3]
)
def test_from_dlpack_of_something_else_is_a_type_error(given):
    with pytest.raises(TypeError, match=r"^from_dlpack: "):
        ag.from_dlpack(given)


def test_memory_that_is_not_there_names_the_function_i_called():
    giant = np.broadcast_to(1.0, (3, 2**42))
    for name, call in {
        "stack": lambda: ag.stack([giant, giant]),
        "zeros_like": lambda: ag.zeros_like(giant),
    }.items():
        with pytest.raises((MemoryError, ValueError)) as caught:
            call()
        assert name in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 3)])
def test_svd_of_a_matrix_with_an_infinity_ends_with_an_error(infinity, dtype, shape):
    """LAPACK's iteration does not end: NumPy hangs."""
    a = np.ones(shape, dtype)
    a[..., 0, 0] = infinity
    for call in (
        ag.linalg.svd,
        lambda a: ag.linalg.svd(a, full_matrices=True),
        lambda a: ag.linalg.norm(a[..., :2, :2], 2, axis=(-2, -1)),
    ):
        with pytest.raises(np.linalg.LinAlgError, match="infinite"):
            call(a)
