"""Creation functions given a tensor that requires a gradient keep it."""

import numpy as np
import pytest

import autograd_core as ag


def gradient(make, x=(1.0, 2.0, 3.0)):
    weights = None

    def f(v):
        nonlocal weights
        made = make(v)
        weights = np.arange(1.0, made.size + 1).reshape(made.shape)
        return (made * weights).sum()

    return ag.grad(f)(np.array(x)).tolist()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda x: ag.tensor(x), [1.0, 2.0, 3.0]),
        (lambda x: ag.tensor(x, dtype="float32"), [1.0, 2.0, 3.0]),
        (lambda x: ag.asarray(x), [1.0, 2.0, 3.0]),
        (lambda x: ag.asarray(x, copy=True), [1.0, 2.0, 3.0]),
        (lambda x: ag.asarray(x, dtype="float32"), [1.0, 2.0, 3.0]),
        (lambda x: ag.asarray(x, dtype="float32", copy=True), [1.0, 2.0, 3.0]),
        (lambda x: ag.from_dlpack(x), [1.0, 2.0, 3.0]),
        (lambda x: ag.full(3, x[0]), [6.0, 0.0, 0.0]),
        (lambda x: ag.full((2, 3), x), [5.0, 7.0, 9.0]),
        (lambda x: ag.full(2, x[1], dtype="float32"), [0.0, 3.0, 0.0]),
        (lambda x: ag.full_like(ag.ones((2, 2)), x[2]), [0.0, 0.0, 10.0]),
        (lambda x: ag.meshgrid(x, x[:2])[0], [5.0, 7.0, 9.0]),
        (lambda x: ag.meshgrid(x[:2], x)[1], [3.0, 7.0, 11.0]),
        (lambda x: ag.meshgrid(x, [1.0, 1.0], indexing="ij")[0], [3.0, 7.0, 11.0]),
        (lambda x: ag.meshgrid(x[0], x[1], x[2])[2], [0.0, 0.0, 1.0]),
    ],
)
def test_made_from_a_tensor_the_gradient_is_kept(make, expected):
    assert gradient(make) == expected


def test_full_and_asarray_keep_the_gradient_in_a_training_loop():
    x = ag.tensor(2.0, requires_grad=True)
    (ag.full(3, x) * ag.asarray(x, copy=True)).sum().backward()
    assert x.grad.item() == 12.0


def test_tensor_outside_of_transforms_is_a_copy_cut_off_from_the_tape():
    x = ag.tensor([1.0], requires_grad=True)
    assert not ag.tensor(x * 2).requires_grad
    leaf = ag.tensor(x * 2, requires_grad=True)
    assert leaf.is_leaf
    assert leaf.requires_grad


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("shapes", [(), (3,), (3, 2), (3, 2, 4), (1, 0), (2, 1, 3, 2)])
def test_meshgrid_is_numpys(shapes, indexing):
    vectors = [np.arange(n) + 10.0 * i for i, n in enumerate(shapes)]
    found = ag.meshgrid(*vectors, indexing=indexing)
    wanted = np.meshgrid(*vectors, indexing=indexing)
    assert [m.shape for m in found] == [m.shape for m in wanted]
    assert all(np.array_equal(m, w) for m, w in zip(found, wanted, strict=True))


def test_meshgrid_in_a_compiled_function_is_no_constant():
    @ag.compile
    def f(a):
        x, y = ag.meshgrid(a, a)
        return (x * y).sum()

    assert [f(ag.tensor([n, 2.0, 3.0])).item() for n in (1.0, 2.0, 3.0)] == [36.0, 49.0, 64.0]


def test_from_dlpack_of_a_tensor_in_a_compiled_function_is_no_constant():
    f = ag.compile(lambda a: ag.from_dlpack(a) * 1.0)
    assert [f(ag.tensor([n])).item() for n in (1.0, 2.0, 3.0)] == [1.0, 2.0, 3.0]
