"""Small integers beside differentiated floats neither wrap around nor lose digits in a gradient."""

import numpy as np
import pytest

import autograd_core as ag

SMALL = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"]


def gradient(f, x):
    t = ag.tensor(np.array(x), requires_grad=True)
    f(t).sum().backward()
    return t.grad.numpy()


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize(
    "f",
    [
        lambda t, n: n**t,
        lambda t, n: t**n,
        lambda t, n: ag.atan2(t, n),
        lambda t, n: ag.atan2(n, t),
        lambda t, n: n / t,
        lambda t, n: t * n,
        lambda t, n: ag.logaddexp(t, n),
        lambda t, n: t % n,
        lambda t, n: ag.scale_shift(np.ones((2, 3)), n, t, 0.0),
        lambda t, n: ag.scale_shift(np.ones((2, 3)), t, n, 0.0),
        lambda t, n: ag.scale_shift(ag.reshape(t, (1, 3)), n, n, n),
    ],
    ids=[
        "n**t",
        "t**n",
        "atan2(t,n)",
        "atan2(n,t)",
        "n/t",
        "t*n",
        "logaddexp",
        "t%n",
        "centre",
        "scale",
        "all",
    ],
)
def test_a_gradient_beside_integers_is_that_beside_the_same_floats(f, dtype):
    numbers = np.array([100, 3, 1]).astype(dtype)
    x = [0.7, 1.3, 2.2]
    np.testing.assert_allclose(
        gradient(lambda t: f(t, numbers), x),
        gradient(lambda t: f(t, numbers.astype(np.float64)), x),
        rtol=1e-12,
    )


def test_take_of_a_mask_is_refused_instead_of_picking_other_elements():
    x = np.arange(12.0).reshape(3, 4)
    for indices in (np.array([True, False, True]), [True, False, True], slice(None), None, ..., 1.5, "0"):
        with pytest.raises((TypeError, IndexError), match=r"^take: "):
            ag.take(x, indices, axis=0)
    assert ag.take(x, 1, axis=0).shape == (4,)
    assert ag.take(x, [2, 0], axis=0).shape == (2, 4)
    assert ag.take(x, np.array(1, np.uint8)).shape == ()


def test_take_along_axis_with_a_number_or_a_mask_is_refused():
    x = np.arange(12.0).reshape(3, 4)
    for indices in (0, 1.0, None, "0", True, np.ones((3, 4), bool), ((0.0,),)):
        with pytest.raises((TypeError, ValueError, IndexError), match=r"^take_along_axis: "):
            ag.take_along_axis(x, indices, axis=1)
    np.testing.assert_array_equal(ag.take_along_axis(x, ((3,), (0,), (1,)), axis=1).numpy(), [[3], [4], [9]])


@pytest.mark.parametrize("keepdims", ["0", None, object(), (1.0,), 1j])
def test_prod_with_something_else_for_keepdims_is_refused(keepdims):
    with pytest.raises(TypeError, match=r"^prod: keepdims"):
        ag.prod(np.ones((2, 3)), keepdims=keepdims)


def test_numpy_s_svd_of_a_tensor_has_numpy_s_default():
    x = np.arange(6.0).reshape(2, 3)
    for given in ({}, {"full_matrices": True}, {"full_matrices": False}):
        mine, numpys = np.linalg.svd(ag.tensor(x), **given), np.linalg.svd(x, **given)
        assert [a.shape for a in mine] == [a.shape for a in numpys]
    with pytest.raises(TypeError, match=r"^svd: .*hermitian"):
        np.linalg.svd(ag.tensor(x), hermitian=True)
