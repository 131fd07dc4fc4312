"""grad, value_and_grad, vjp, jvp, jacobian, hessian, hvp, checkpoint, user primitives, check_grads."""

import gc
import itertools
import weakref

import numpy as np
import pytest

import autograd_core as ag

X = np.array([0.5, -1.0, 2.0])


def close(got, want, rtol=1e-9):
    assert type(got) is ag.Tensor
    assert got.shape == np.shape(want)
    np.testing.assert_allclose(got.numpy(), want, rtol=rtol, atol=1e-12)


# grad, value_and_grad -------------------------------------------------------------------------------------------


def test_grad_takes_tensors_ndarrays_and_numbers():
    f = lambda x: (x**2).sum()
    for given in (X, ag.tensor(X), ag.tensor(X, requires_grad=True)):
        close(ag.grad(f)(given), 2 * X)
    assert ag.grad(lambda x: x**2)(3.0).item() == 6.0
    assert ag.grad(lambda x: x**2)(3.0).dtype == np.float32
    assert ag.grad(lambda x: x**2)(np.float64(3.0)).dtype == np.float64


def test_grad_changes_neither_its_argument_nor_the_grad_of_leaves():
    x = ag.tensor(X, requires_grad=True)
    p = ag.Parameter(X)
    ag.grad(lambda v: (v * p).sum())(x)
    assert x.grad is None
    assert p.grad is None


def test_value_and_grad_gives_both_and_the_value_is_off_the_tape():
    value, slope = ag.value_and_grad(lambda x: (x**2).sum())(X)
    close(value, 5.25)
    close(slope, 2 * X)
    assert not value.requires_grad
    assert not slope.requires_grad


def test_argnums():
    f = lambda x, y, z: (x * y * z).sum()
    y, z = X + 1, X - 1
    close(ag.grad(f, 1)(X, y, z), X * z)
    close(ag.grad(f, -1)(X, y, z), X * y)
    first, third = ag.grad(f, (0, 2))(X, y, z)
    close(first, y * z)
    close(third, X * y)
    both = ag.grad(f, [2, 0])(X, y, z)
    assert isinstance(both, tuple)
    close(both[0], X * y)
    value, slopes = ag.value_and_grad(f, argnums=(1,))(X, y, z)
    assert isinstance(slopes, tuple)
    close(slopes[0], X * z)
    close(value, (X * y * z).sum())


def test_argnums_out_of_range_says_how_many_arguments_there_were():
    with pytest.raises(ValueError, match=r"argnums 3.*2 positional"):
        ag.grad(lambda x, y: x, 3)(1.0, 2.0)


def test_keyword_arguments_pass_through():
    f = lambda x, *, factor, shift=0.0: (factor * x + shift).sum()
    close(ag.grad(f)(X, factor=3.0), np.full(3, 3.0))
    close(ag.jacobian(lambda x, k=1.0: x * k)(X, k=2.0), 2 * np.eye(3))
    close(ag.hessian(lambda x, n: (x**n).sum())(X, n=2), 2 * np.eye(3))


def test_nested_containers_come_back_in_kind():
    parameters = {"layers": [{"w": X, "b": np.array(1.0)}, (X * 2, [X * 3])], "scale": 2.0}

    def f(p):
        (first, (second, (third,))) = p["layers"]
        return p["scale"] * ((first["w"] * second * third).sum() + first["b"])

    found = ag.grad(f)(parameters)
    assert list(found) == ["layers", "scale"]
    assert isinstance(found["layers"], list)
    assert isinstance(found["layers"][1], tuple)
    close(found["layers"][0]["w"], 2 * 6 * X**2)
    close(found["layers"][0]["b"], 2.0)
    close(found["layers"][1][1][0], 2 * 2 * X**2)
    np.testing.assert_allclose(found["scale"].item(), (6 * X**3).sum() + 1)


def test_empty_containers_and_unused_entries():
    found = ag.grad(lambda p: (p["a"] ** 2).sum())({"a": X, "none": [], "unused": X})
    close(found["a"], 2 * X)
    assert found["none"] == []
    close(found["unused"], np.zeros(3))


def test_named_tuples_come_back_in_kind():
    from typing import NamedTuple

    class Pair(NamedTuple):
        a: object
        b: object

    found = ag.grad(lambda p: (p.a * p.b).sum())(Pair(X, X + 1))
    assert isinstance(found, Pair)
    close(found.a, X + 1)


def test_a_function_that_does_not_return_one_float_element_is_an_error():
    for f in (lambda x: x * 2, lambda x: (x > 0).sum(), lambda x: 1, lambda x: [x.sum()], lambda x: None):
        with pytest.raises(ValueError, match="one float element"):
            ag.grad(f)(X)


def test_a_function_of_one_element_of_any_rank_has_a_gradient():
    close(ag.grad(lambda x: (x * x).sum(keepdims=True))(X), 2 * X)


def test_integer_arguments_have_no_derivative_and_say_so():
    with pytest.raises(TypeError, match=r"int64.*float"):
        ag.grad(lambda n: (n * 1.0).sum())(np.array([1, 2]))
    close(ag.grad(lambda x, n: (x * n).sum())(X, np.array([1, 2, 3])), [1.0, 2.0, 3.0])


def test_vjp_jvp_and_hvp_take_integer_arguments_too():
    f = lambda a, n: (a * a * n).sum()
    n = np.array([1, 2, 3])
    close(ag.vjp(f, X, n)[1](1.0)[0], 2 * X * n)
    close(ag.jvp(f, (X, n), (X, None))[1], (2 * X * n) @ X)


def test_a_constant_function_has_a_zero_gradient():
    close(ag.grad(lambda x: ag.tensor(1.0, dtype="float64"))(X), np.zeros(3))


def test_an_argument_given_twice_counts_in_both_places():
    x = ag.tensor(X)
    first, second = ag.grad(lambda a, b: (a * b * b).sum(), (0, 1))(x, x)
    close(first, X**2)
    close(second, 2 * X**2)


def test_a_function_that_returns_its_argument():
    assert ag.grad(lambda x: x)(2.0).item() == 1.0
    close(ag.jacobian(lambda x: x)(X), np.eye(3))
    assert ag.jvp(lambda x: x, (X,), (X,))[1].tolist() == X.tolist()


def doubled_in_place(x):
    x *= 2
    x[0] = 5.0
    return (x * x).sum()


def test_a_function_may_change_its_argument_in_place():
    """The argument is what the function was given, not what it made of it: Σ(2x)² without the first is 8x."""
    x, want = ag.tensor(X), np.array([0.0, 8 * X[1], 8 * X[2]])
    close(ag.grad(doubled_in_place)(x), want)
    close(ag.vjp(doubled_in_place, x)[1](1.0)[0], want)
    close(ag.jvp(doubled_in_place, (x,), (X,))[1], want @ X)
    close(ag.jacobian(doubled_in_place)(x), want)
    close(ag.hessian(doubled_in_place)(x), np.diag([0.0, 8.0, 8.0]))
    assert x.tolist() == X.tolist()


def test_a_checkpointed_function_may_change_its_argument_in_place():
    x = ag.tensor(X, requires_grad=True)
    ag.checkpoint(doubled_in_place)(x).backward()
    close(x.grad, [0.0, 8 * X[1], 8 * X[2]])
    assert x.is_leaf
    assert x.tolist() == X.tolist()


def test_grad_with_respect_to_a_leaf_that_the_closure_uses_too():
    x = ag.tensor(X, requires_grad=True)
    slope = ag.grad(lambda v: (v * x).sum())(x)
    close(slope, X)
    slope.sum().backward()
    close(x.grad, np.ones(3))


def test_transformed_functions_keep_their_name():
    def cost(x):
        """What it costs."""
        return x

    for made in (ag.grad(cost), ag.value_and_grad(cost), ag.jacobian(cost), ag.checkpoint(cost)):
        assert made.__name__ == "cost"
        assert made.__doc__ == "What it costs."


# Higher orders --------------------------------------------------------------------------------------------------


def test_grad_of_grad_of_grad_of_grad():
    f = ag.sin
    for want in (np.cos(0.7), -np.sin(0.7), -np.cos(0.7), np.sin(0.7), np.cos(0.7)):
        f = ag.grad(f)
        assert f(np.float64(0.7)).item() == pytest.approx(want, rel=1e-12)


def test_grad_through_a_closure_over_an_outer_traced_tensor():
    """d/dy [ y · d/dx (x² y) at x = 3 ] = d/dy 6y² = 12y: perturbations do not get confused."""
    inner = lambda y: y * ag.grad(lambda x: x * x * y)(np.float64(3.0))
    assert ag.grad(inner)(np.float64(2.0)).item() == 24.0


def test_perturbation_confusion_of_siskind_and_pearlmutter():
    """d/dx (x · d/dy (x + y)) at 1 is 1, not 2."""
    assert ag.grad(lambda x: x * ag.grad(lambda y: x + y)(np.float64(1.0)))(np.float64(1.0)).item() == 1.0
    nested = lambda x: x * ag.jvp(lambda y: x + y, (np.float64(1.0),), (np.float64(1.0),))[1]
    assert ag.grad(nested)(np.float64(1.0)).item() == 1.0
    assert ag.jvp(nested, (np.float64(1.0),), (np.float64(1.0),))[1].item() == 1.0


def test_grad_at_a_point_that_depends_on_an_outer_variable():
    """d/dy of d/dx x³ at x = y² is d/dy 3y⁴ = 12y³."""
    f = lambda y: ag.grad(lambda x: x**3)(y * y)
    assert ag.grad(f)(np.float64(2.0)).item() == pytest.approx(96.0)
    assert ag.grad(ag.grad(f))(np.float64(2.0)).item() == pytest.approx(144.0)


def test_the_inner_result_of_a_function_of_the_outer_variable_only_is_recorded():
    def f(y):
        value, slope = ag.value_and_grad(lambda x: (x * y).sum())(X)
        return value + (slope * slope).sum()

    close(ag.grad(f)(X), X + 2 * X)


def test_hessian_against_hand_formulas():
    a = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 4.0]])
    close(ag.hessian(lambda x: 0.5 * x @ (a @ x))(X), a)
    close(
        ag.hessian(lambda x: (x**4).sum() + x[0] * x[1])(X),
        np.diag(12 * X**2) + np.eye(3)[[1, 0, 2]] * [1, 1, 0],
    )
    rosenbrock = lambda v: (1 - v[0]) ** 2 + 100 * (v[1] - v[0] ** 2) ** 2
    x, y = 1.5, -0.5
    close(ag.hessian(rosenbrock)(np.array([x, y])), [[2 - 400 * y + 1200 * x**2, -400 * x], [-400 * x, 200]])


def test_hessian_of_several_arguments_and_containers():
    f = lambda a, b: (a * b).sum() + (a**3).sum()
    (aa, ab), (ba, bb) = ag.hessian(f, (0, 1))(X, X + 1)
    close(aa, np.diag(6 * X))
    close(ab, np.eye(3))
    close(ba, np.eye(3))
    close(bb, np.zeros((3, 3)))
    nested = ag.hessian(lambda p: (p["a"] * p["b"] ** 2).sum())({"a": X, "b": X + 1})
    close(nested["a"]["b"], np.diag(2 * (X + 1)))
    close(nested["b"]["b"], np.diag(2 * X))


def test_hessian_is_the_jacobian_of_the_gradient_and_symmetric():
    f = lambda x: ag.sin(x[0] * x[1]) * ag.exp(x[2]) + ag.logsumexp(x)
    h = ag.hessian(f)(X).numpy()
    np.testing.assert_allclose(h, ag.jacobian(ag.grad(f))(X).numpy())
    np.testing.assert_allclose(h, h.T, atol=1e-12)
    v = np.array([1.0, -2.0, 0.5])
    close(ag.hvp(f, X, v), h @ v)
    close(ag.hvp(f, (X,), (v,))[0], h @ v)


def test_hvp_of_several_arguments_and_containers():
    f = lambda a, p: (a * p["b"] ** 2).sum()
    va, vb = np.ones(3), np.array([1.0, 2.0, 3.0])
    b = X + 1
    over_a, over_p = ag.hvp(f, (X, {"b": b}), (va, {"b": vb}))
    close(over_a, 2 * b * vb)
    close(over_p["b"], 2 * b * va + 2 * X * vb)
    assert isinstance(ag.hvp(lambda a: (a**2).sum(), [X], [X]), list)


def test_hvp_and_jvp_check_the_shapes_of_their_vectors():
    with pytest.raises(ValueError, match=r"\[2\].*\[3\]|\[3\].*\[2\]"):
        ag.jvp(lambda x: x, (X,), (np.ones(2),))
    with pytest.raises(ValueError, match="tangent"):
        ag.hvp(lambda x: (x**2).sum(), X, np.ones(2))
    with pytest.raises(ValueError, match="1 arguments but 2 vectors"):
        ag.hvp(lambda x: (x**2).sum(), (X,), (X, X))


def test_third_derivative_tensor():
    f = lambda x: x[0] ** 2 * x[1] * x[2]
    third = ag.jacobian(ag.hessian(f))(X).numpy()
    want = np.zeros((3, 3, 3))
    for i, j, k in set(itertools.permutations((0, 0, 1))):
        want[i, j, k] = 2 * X[2]
    for i, j, k in set(itertools.permutations((0, 0, 2))):
        want[i, j, k] = 2 * X[1]
    for i, j, k in itertools.permutations((0, 1, 2)):
        want[i, j, k] = 2 * X[0]
    np.testing.assert_allclose(third, want, atol=1e-12)


# vjp, jvp, jacobian ---------------------------------------------------------------------------------------------


def test_vjp_gives_value_and_a_pullback_that_can_be_called_again():
    value, pull = ag.vjp(lambda x, y: x * y, X, X + 1)
    close(value, X * (X + 1))
    for scale in (1.0, 2.0):
        over_x, over_y = pull(np.full(3, scale))
        close(over_x, scale * (X + 1))
        close(over_y, scale * X)


def test_vjp_of_nested_outputs():
    value, pull = ag.vjp(lambda x: {"a": x * 2, "b": (x.sum(), [x**2])}, X)
    close(value["b"][1][0], X**2)
    (over_x,) = pull({"a": np.ones(3), "b": (np.array(10.0), [np.ones(3)])})
    close(over_x, 2 + 10 + 2 * X)


def test_vjp_checks_its_cotangent():
    _, pull = ag.vjp(lambda x: x * 2, X)
    with pytest.raises(ValueError, match=r"cotangent.*\[3\]"):
        pull(np.ones(2))
    _, pull = ag.vjp(lambda x: [x, x], X)
    with pytest.raises(ValueError, match=r"2|short"):
        pull([np.ones(3)])


def test_vjp_of_a_tracked_cotangent_is_recorded():
    u = ag.tensor(X, requires_grad=True)
    _, pull = ag.vjp(lambda x: x**2, X)
    (pull(u)[0] * u).sum().backward()
    close(u.grad, 2 * 2 * X * X)


def test_jvp_against_hand_formulas():
    v, w = np.array([1.0, 2.0, -1.0]), np.array([0.5, 0.0, 1.0])
    value, change = ag.jvp(lambda x, y: ag.sin(x) * y, (X, X + 1), (v, w))
    close(value, np.sin(X) * (X + 1))
    close(change, np.cos(X) * (X + 1) * v + np.sin(X) * w)


def test_jvp_of_nested_arguments_and_outputs():
    value, change = ag.jvp(lambda p: {"out": [p["a"] * p["b"]], "sum": p["a"].sum()},
                           ({"a": X, "b": X + 1},), ({"a": np.ones(3), "b": np.zeros(3)},))  # fmt: skip
    close(value["sum"], X.sum())
    close(change["out"][0], X + 1)
    close(change["sum"], 3.0)


def test_jvp_of_grad_is_the_hessian_times_a_vector_and_grad_of_jvp_too():
    f = lambda x: (ag.exp(x) * x).sum()
    v = np.array([1.0, -1.0, 0.5])
    want = np.exp(X) * (X + 2) * v
    close(ag.jvp(ag.grad(f), (X,), (v,))[1], want)
    close(ag.grad(lambda x: ag.jvp(f, (x,), (v,))[1])(X), want)
    close(ag.jvp(lambda x: ag.jvp(f, (x,), (v,))[1], (X,), (v,))[1], (want * v).sum())


def test_jvp_of_an_output_that_does_not_depend_on_the_input_is_zero():
    value, change = ag.jvp(lambda x: (x * 2, ag.tensor(np.ones(2))), (X,), (X,))
    close(change[0], 2 * X)
    close(change[1], np.zeros(2))
    close(value[1], np.ones(2))


def test_jvp_of_integer_outputs_is_an_error():
    with pytest.raises(TypeError, match="float"):
        ag.jvp(lambda x: x > 0, (X,), (X,))


@pytest.mark.parametrize(("rows", "columns"), [(2, 5), (5, 2), (3, 3), (1, 4), (4, 1)])
def test_jacobian_of_a_linear_map_in_both_modes(rows, columns):
    a = np.random.default_rng(0).normal(size=(rows, columns))
    close(ag.jacobian(lambda x: a @ x)(np.ones(columns)), a)


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 2)])
def test_jacobian_has_the_shape_of_value_and_argument_joined(shape):
    x = np.random.default_rng(1).uniform(0.5, 1, shape)
    for f, out_shape in [
        (lambda v: v.sum(axis=0), shape[1:]),
        (lambda v: ag.stack([v, v * v]), (2, *shape)),
        (lambda v: (v**2).sum(), ()),
    ]:
        got = ag.jacobian(f)(x)
        assert got.shape == (*out_shape, *shape)
        want = np.zeros((*out_shape, *shape))
        for at in np.ndindex(shape):
            step = np.zeros(shape)
            step[at] = 1e-6
            ahead, behind = f(ag.tensor(x + step)).numpy(), f(ag.tensor(x - step)).numpy()
            want[(..., *at)] = (ahead - behind) / 2e-6
        np.testing.assert_allclose(got.numpy(), want, atol=1e-8)


def test_jacobian_of_nested_values_and_arguments():
    f = lambda p: {"product": p["a"] * p["b"], "sums": (p["a"].sum(), p["b"][:2])}
    found = ag.jacobian(f)({"a": X, "b": X + 1})
    close(found["product"]["a"], np.diag(X + 1))
    close(found["product"]["b"], np.diag(X))
    close(found["sums"][0]["a"], np.ones(3))
    close(found["sums"][1]["b"], np.eye(3)[:2])
    close(found["sums"][1]["a"], np.zeros((2, 3)))


def test_jacobian_of_several_arguments():
    over_a, over_b = ag.jacobian(lambda a, b: a * b.sum(), (0, 1))(X, np.ones(2))
    close(over_a, 2 * np.eye(3))
    close(over_b, np.stack([X, X], axis=1))


def test_jacobian_keeps_float32():
    assert ag.jacobian(lambda x: x * 2)(X.astype("float32")).dtype == np.float32
    assert ag.jacobian(lambda x: ag.stack([x, x]))(X.astype("float32")).dtype == np.float32


def test_jacobian_with_nothing_in_it():
    assert ag.jacobian(lambda x: x[:0])(X).shape == (0, 3)
    assert ag.jacobian(lambda x: x.sum())(np.zeros(0)).shape == (0,)
    assert ag.jacobian(lambda x: ag.concat([x, ag.ones(2, dtype="float64")]))(np.zeros(0)).shape == (2, 0)


def test_grad_of_a_function_of_the_jacobian():
    """d/dx of Σ J² for J = diag(2x) is 8x, in both of jacobian's modes."""
    close(ag.grad(lambda x: (ag.jacobian(lambda v: v**2)(x) ** 2).sum())(X), 8 * X)
    tall = lambda x: (ag.jacobian(lambda v: ag.concat([v**2, v]))(x) ** 2).sum()
    close(ag.grad(tall)(X), 8 * X)


# Transforms and the tape ----------------------------------------------------------------------------------------


def test_transforms_work_under_no_grad_and_record_nothing_outside():
    p = ag.Parameter(X)
    f = lambda x: (x**2 * p).sum()
    with ag.no_grad():
        results = [
            ag.grad(f)(X), ag.value_and_grad(f)(X)[0], ag.vjp(f, X)[1](1.0)[0], ag.jvp(f, (X,), (X,))[1],
            ag.jacobian(lambda x: x * p)(X), ag.hessian(f)(X), ag.hvp(f, X, X),
        ]  # fmt: skip
    close(results[0], 2 * X * X)
    close(results[3], (2 * X * X * X).sum())
    close(results[5], np.diag(2 * X))
    assert not any(r.requires_grad for r in results)
    assert p.grad is None


def test_a_gradient_penalty_trains_the_parameters_it_depends_on():
    """loss = |d/dx Σ w x²|² = Σ (2 w x)²: d/dw = 8 w x²."""
    w = ag.Parameter(np.array([1.0, 2.0, 3.0]))
    slope = ag.grad(lambda x: (w * x**2).sum())(X)
    assert slope.requires_grad
    (slope**2).sum().backward()
    close(w.grad, 8 * w.numpy() * X**2)


def test_a_gradient_penalty_by_backward_with_create_graph():
    w = ag.Parameter(np.array([1.0, 2.0, 3.0]))
    x = ag.tensor(X, requires_grad=True)
    (w * x**2).sum().backward(create_graph=True)
    slope, w.grad = x.grad, None
    (slope**2).sum().backward()
    close(w.grad, 8 * w.numpy() * X**2)


def test_the_value_of_value_and_grad_keeps_the_outer_graph():
    w = ag.Parameter(np.array(2.0))
    value, _ = ag.value_and_grad(lambda x: (w * x).sum())(X)
    value.backward()
    assert w.grad.item() == X.sum()


def test_transforms_do_not_touch_the_graph_they_stand_on():
    w = ag.tensor(2.0, dtype="float64", requires_grad=True)
    y = w * w
    ag.grad(lambda x: x * y)(np.float64(3.0))
    y.backward()
    assert w.grad.item() == 4.0


def test_a_function_that_assigns_a_buffer_assigns_it_under_a_transform_too():
    count = ag.Buffer(0)

    def f(x):
        count.assign(count + 1)
        return (x**2).sum()

    ag.grad(f)(X)
    assert count.item() == 1


# checkpoint -----------------------------------------------------------------------------------------------------


def block(x, w):
    return ag.tanh(x * w) + ag.sin(x) * ag.exp(w * 0.1)


def test_checkpoint_has_the_values_and_gradients_of_the_function():
    w = X + 0.3
    want_value, want_pull = ag.vjp(block, X, w)
    value, pull = ag.vjp(ag.checkpoint(block), X, w)
    close(value, want_value.numpy())
    for got, want in zip(pull(X), want_pull(X), strict=True):
        close(got, want.numpy())


def test_checkpoint_to_third_order():
    ag.check_grads(ag.checkpoint(block), (X, X + 0.3), order=3, atol=1e-4, rtol=1e-4)
    close(
        ag.hessian(lambda x: ag.checkpoint(block)(x, X).sum())(X),
        ag.hessian(lambda x: block(x, X).sum())(X).numpy(),
    )


def test_checkpoints_nest():
    inner = ag.checkpoint(block)
    outer = ag.checkpoint(lambda x, w: inner(inner(x, w), w) * 2)
    ag.check_grads(outer, (X, X + 0.3), order=2)


def test_checkpoint_reaches_parameters_by_closure():
    plain, kept = ag.Parameter(X), ag.Parameter(X)
    x = ag.tensor(X + 1, requires_grad=True)
    y = ag.tensor(X + 1, requires_grad=True)
    (plain * ag.sin(plain * x)).sum().backward()
    ag.checkpoint(lambda v: (kept * ag.sin(kept * v)).sum())(y).backward()
    close(kept.grad, plain.grad.numpy())
    close(y.grad, x.grad.numpy())


def test_checkpoint_of_constants_reaches_parameters_by_closure():
    p = ag.Parameter(X)
    ag.checkpoint(lambda v: (p * v).sum())(ag.tensor(X)).backward()
    close(p.grad, X)


def test_second_order_through_a_closure():
    p = ag.Parameter(X)
    slope = ag.grad(lambda x: ag.checkpoint(lambda v: (p * v**3).sum())(x))(X)
    (slope**2).sum().backward()
    close(p.grad, 2 * 3 * X**2 * X * 3 * X**2)


def test_checkpoint_repeats_its_random_draws_and_the_stream_goes_on():
    drawn = []

    def noisy(x):
        mask = ag.random.uniform(3, dtype="float64")
        drawn.append(mask.tolist())
        return (x * mask).sum()

    x = ag.tensor(X, requires_grad=True)
    ag.random.seed(5)
    loss = ag.checkpoint(noisy)(x)
    between = ag.random.uniform(3).tolist()
    loss.backward()
    after = ag.random.uniform(3).tolist()
    assert drawn[0] == drawn[1]
    assert x.grad.tolist() == drawn[0]

    ag.random.seed(5)
    ag.random.uniform(3, dtype="float64")
    assert [ag.random.uniform(3).tolist(), ag.random.uniform(3).tolist()] == [between, after]


def test_checkpoint_assigns_buffers_once():
    running = ag.Buffer(np.zeros(3))

    def f(x):
        running.assign(running * 0.5 + x)
        return (x * x).sum()

    x = ag.tensor(X, requires_grad=True)
    ag.checkpoint(f)(x).backward()
    assert running.tolist() == X.tolist()
    assert x.grad.tolist() == (2 * X).tolist()


def test_checkpoint_takes_and_gives_containers_numbers_and_integers():
    @ag.checkpoint
    def f(p, index, scale, flag=True):
        assert flag
        return {"a": p["a"][index] * scale, "b": [p["b"] + p["a"].sum()]}

    a, b = ag.tensor(X, requires_grad=True), ag.tensor(np.ones(2), requires_grad=True)
    out = f({"a": a, "b": b}, ag.tensor([2, 0]), 3.0, flag=True)
    assert out["a"].tolist() == [6.0, 1.5]
    (out["a"].sum() + 2 * out["b"][0].sum()).backward()
    assert a.grad.tolist() == [7.0, 4.0, 7.0]
    assert b.grad.tolist() == [2.0, 2.0]


def test_checkpoint_of_outputs_of_both_dtypes():
    f = ag.checkpoint(lambda x: (x.astype("float32"), x * 2))
    x = ag.tensor(X, requires_grad=True)
    low, high = f(x)
    assert (low.dtype, high.dtype) == (np.float32, np.float64)
    (low.sum().astype("float64") + high.sum()).backward()
    assert x.grad.tolist() == [3.0, 3.0, 3.0]


def test_checkpoint_frees_what_it_computed_on_the_way():
    alive = []

    def f(x):
        for _ in range(5):
            x = ag.exp(-x)
            alive.append(weakref.ref(x.array))
        return x * 2

    def living():
        return sum(r() is not None for r in alive)

    x = ag.tensor(np.ones(1000), requires_grad=True)
    gc.disable()
    try:
        y = f(x)
        assert living() == 5
        del y
        alive.clear()
        z = ag.checkpoint(f)(x)
        assert living() == 0
        z.sum().backward()
        assert len(alive) == 10
        assert living() == 0
    finally:
        gc.enable()


def test_checkpoint_runs_the_function_once_under_no_grad_and_when_nothing_is_tracked():
    calls = []

    def f(x):
        calls.append(1)
        return x * 2

    with ag.no_grad():
        ag.checkpoint(f)(ag.tensor(X, requires_grad=True))
    ag.checkpoint(f)(ag.tensor(X))
    assert len(calls) == 2


def test_checkpoint_backward_twice_with_retain_graph():
    x = ag.tensor(X, requires_grad=True)
    y = ag.checkpoint(lambda v: (v**2).sum())(x)
    y.backward(retain_graph=True)
    y.backward()
    close(x.grad, 4 * X)
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()


def test_checkpoint_of_something_that_is_no_float_tensor_is_an_error():
    with pytest.raises(TypeError, match=r"checkpoint.*float"):
        ag.checkpoint(lambda x: x > 0)(ag.tensor(X, requires_grad=True))


def test_an_exception_in_the_recomputation_leaves_the_engine_usable():
    runs = []

    def f(x):
        runs.append(1)
        if len(runs) == 2:
            raise OSError("gone")
        return (x * ag.random.uniform(3, dtype="float64")).sum()

    x = ag.tensor(X, requires_grad=True)
    y = ag.checkpoint(f)(x)
    stream = ag.random.get_state().tolist()
    with pytest.raises(OSError, match="gone"):
        y.backward()
    assert x.grad is None
    assert ag.random.get_state().tolist() == stream
    b = ag.Buffer(0)
    b.assign(1)
    assert b.item() == 1
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


# User primitives ------------------------------------------------------------------------------------------------


def test_a_primitive_in_plain_python_with_rules_by_name():
    @ag.primitive
    def scaled_cube(x, y, power=3):
        return x**power * y

    scaled_cube.defvjp(
        lambda g, x, y, power: g * power * x ** (power - 1) * y,
        lambda g, x, power: g * x**power,
    )
    ag.check_grads(scaled_cube, (X, X + 2), order=3, rtol=1e-4)
    ag.check_grads(lambda x, y: scaled_cube(x, y, power=2), (X, X + 2), order=2)
    assert scaled_cube(2.0, 3.0, power=2) == 12.0
    assert isinstance(scaled_cube(X, X), ag.Tensor)
    assert type(scaled_cube(ag.tensor(X), X)) is ag.Tensor
    assert "scaled_cube" in repr(scaled_cube)


def test_rules_by_position():
    @ag.primitive
    def product(a, b):
        return a * b

    product.defvjp(lambda ct, left, right: ct * right, lambda ct, ans, left, right: ct * left)
    ag.check_grads(product, (X, X + 1))

    @ag.primitive
    def exponential(v):
        return np.exp(v)

    exponential.defvjp(lambda ct, result, value: ct * result)
    ag.check_grads(exponential, (X,))


def test_rules_may_read_out_shapes_and_static_parameters():
    @ag.primitive
    def summed(x, factor=1.0):
        return np.sum(x) * factor

    summed.defvjp(lambda g, shapes, factor: ag.broadcast_to(g * factor, shapes[0]))
    close(ag.grad(lambda x: summed(x, factor=3.0))(X), np.full(3, 3.0))


def test_a_numba_function_as_a_primitive():
    import numba

    @ag.primitive
    @numba.njit
    def running_max(x):
        out = np.empty_like(x)
        best = x[0]
        for i in range(x.size):
            best = max(best, x[i])
            out[i] = best
        return out

    @ag.primitive
    @numba.njit
    def softened(x, y, sharpness=2.0):
        return np.log(np.exp(sharpness * x) + np.exp(sharpness * y)) / sharpness

    softened.defvjp(
        lambda g, x, y, sharpness: g * ag.sigmoid(sharpness * (x - y)),
        lambda g, x, y, sharpness: g * ag.sigmoid(sharpness * (y - x)),
    )
    assert softened.name == "softened"
    assert running_max(X).tolist() == [0.5, 0.5, 2.0]
    ag.check_grads(softened, (X, X[::-1].copy()), order=2)
    ag.check_grads(lambda x, y: softened(x, y, sharpness=0.5), (X, X[::-1].copy()), order=2)


def test_a_primitive_without_a_rule_computes_and_says_what_is_missing_only_in_backward():
    @ag.primitive
    def opaque(x, y):
        return x * y

    x = ag.tensor(X, requires_grad=True)
    out = opaque(x, 2.0)
    with pytest.raises(TypeError, match=r"opaque.*for x.*defvjp"):
        out.sum().backward()
    opaque.defvjp(lambda g, y: g * y, None)
    opaque(x, 2.0).sum().backward()
    close(x.grad, np.full(3, 2.0))
    with pytest.raises(TypeError, match=r"opaque.*for y.*defvjp"):
        opaque(2.0, x).sum().backward()


def test_a_rule_that_returns_the_wrong_shape_is_named():
    @ag.primitive
    def crooked(x):
        return x * 2.0

    crooked.defvjp(lambda g: (g * 2).sum())
    with pytest.raises(ValueError, match=r"crooked, derivative for x.*\[3\]"):
        crooked(ag.tensor(X, requires_grad=True)).sum().backward()


def test_a_rule_that_fails_is_named_with_its_input():
    @ag.primitive
    def fragile(x):
        return x * 2.0

    fragile.defvjp(lambda g, x: g @ np.ones((7, 7)))
    with pytest.raises(ValueError, match="fragile, derivative for x"):
        fragile(ag.tensor(X, requires_grad=True)).sum().backward()


def test_the_wrong_number_of_rules_and_rules_with_unknown_names_are_errors():
    @ag.primitive
    def two(x, y):
        return x + y

    with pytest.raises(TypeError, match=r"two.*2 inputs.*1"):
        two.defvjp(lambda g: g)
    with pytest.raises(TypeError, match=r"two.*cotangent"):
        two.defvjp(lambda g, a, b, c, d: g, None)


def test_a_failing_forward_names_the_primitive_and_its_arguments():
    @ag.primitive
    def picky(x, y):
        raise ValueError("will not do")

    with pytest.raises(ValueError, match=r"picky: will not do · x float64\[3\], y 2"):
        picky(ag.tensor(X), 2)


@pytest.mark.parametrize("dtype", ["float16", "complex128", "object"])
def test_a_primitive_that_returns_an_unsupported_dtype_is_named(dtype):
    @ag.primitive
    def strange(x):
        return x.astype(dtype)

    with pytest.raises(TypeError, match=rf"strange.*{dtype}"):
        strange(ag.tensor(X))


def test_calls_of_a_primitive_check_their_arguments():
    @ag.primitive
    def two(x, y, k=1):
        return x + y * k

    assert two(1.0, y=2.0, k=3) == 7.0
    assert two(1.0, 2.0, 3) == 7.0
    for args, params in [
        ((1.0,), {}),
        ((1.0, 2.0), {"z": 1}),
        ((1.0, 2.0, 3, 4), {}),
        ((1.0, 2.0, 3), {"k": 3}),
    ]:
        with pytest.raises(TypeError, match="two"):
            two(*args, **params)


def test_a_primitive_given_a_name():
    @ag.primitive(name="given")
    def f(x):
        return x

    assert f.name == "given"


def test_rules_written_with_numpy_give_first_derivatives():
    @ag.primitive
    def square(x):
        return x * x

    square.defvjp(lambda g, x: 2 * np.asarray(g) * np.asarray(x))
    close(ag.grad(lambda x: square(x).sum())(X), 2 * X)


# check_grads ----------------------------------------------------------------------------------------------------


def wrong_cube(*rules):
    @ag.primitive
    def wrong(x):
        return x**3

    return wrong.defvjp(*rules)


def test_check_grads_finds_a_wrong_rule_and_names_the_operation_and_both_numbers():
    wrong = wrong_cube(lambda g, x: g * 2.5 * x**2)
    with pytest.raises(
        AssertionError, match=r"wrong\(float64\[3\]\).*rule gives -?\d.*differences -?\d"
    ) as caught:
        ag.check_grads(lambda x: ag.sin(wrong(ag.exp(x))).sum(), (X,))
    text = str(caught.value)
    assert "order 1" in text
    assert "reverse" in text


def test_check_grads_finds_a_wrong_second_derivative():
    @ag.primitive
    def slope(x):
        return 3 * x**2

    slope.defvjp(lambda g, x: g * 5 * x)  # should be 6 x
    wrong = wrong_cube(lambda g, x: g * slope(x))
    ag.check_grads(wrong, (X,), order=1)
    with pytest.raises(AssertionError, match="order 2"):
        ag.check_grads(wrong, (X,), order=2)


def test_check_grads_finds_a_rule_written_with_numpy_at_second_order():
    wrong = wrong_cube(lambda g, x: g * 3 * np.asarray(x) ** 2)
    ag.check_grads(wrong, (X,), order=1)
    with pytest.raises(TypeError, match=r"wrong, derivative for x: np.asarray is not an operation"):
        ag.check_grads(wrong, (X,), order=2)


def test_check_grads_accepts_containers_tensors_integers_and_single_arrays():
    ag.check_grads(lambda p, n: p["a"] ** 2 * n, ({"a": X}, np.array([1, 2, 3])))
    ag.check_grads(ag.sin, X)
    ag.check_grads(lambda x: (x, [x * x]), (ag.tensor(X, requires_grad=True),))


def test_check_grads_in_float32_with_its_own_tolerances():
    ag.check_grads(lambda x: ag.sin(x), (X.astype("float32"),), order=1)


def test_check_grads_uses_the_tolerances_it_is_given():
    slightly = wrong_cube(lambda g, x: g * 3.003 * x**2)
    with pytest.raises(AssertionError):
        ag.check_grads(slightly, (X,), order=1)
    ag.check_grads(slightly, (X,), order=1, rtol=0.01, atol=0.01)


def test_check_grads_with_nothing_to_check_is_an_error():
    for call in (
        lambda: ag.check_grads(lambda n: n, (np.array([1]),)),
        lambda: ag.check_grads(ag.sin, (X,), order=0),
        lambda: ag.check_grads(lambda x: x > 0, (X,)),
    ):
        with pytest.raises(ValueError, match="check_grads"):
            call()


def test_check_grads_works_under_no_grad():
    with ag.no_grad():
        ag.check_grads(ag.sin, (X,))
        with pytest.raises(AssertionError):
            ag.check_grads(wrong_cube(lambda g, x: g), (X,))


def test_check_grads_of_nan_is_not_silence():
    broken = wrong_cube(lambda g, x: g * np.nan)
    with pytest.raises(AssertionError):
        ag.check_grads(broken, (X,), order=1)


def test_a_primitive_cannot_change_its_inputs_and_has_one_output():
    @ag.primitive
    def doubled_in_place(x):
        x *= 2
        return x

    a = ag.ones(2)
    with pytest.raises(ValueError, match="read-only"):
        doubled_in_place(a)
    assert a.tolist() == [1.0, 1.0]
    pair = ag.primitive(lambda x: (x, 2 * x), name="pair")
    with pytest.raises(TypeError, match=r"pair: the forward function returned a tuple.*float32\[2\]"):
        pair(a)
    assert isinstance(ag.primitive(lambda x, y: x * y, name="product")([1.0, 2.0], [3.0, 4.0]), ag.Tensor)


def test_a_checkpoints_pullback_works_twice_when_an_older_input_is_skipped():
    w = ag.tensor([2.0, 3.0], requires_grad=True)
    f = ag.checkpoint(lambda a, b: (a * b).sin() * a)
    _, pull_back = ag.vjp(lambda x: f(x, w), ag.tensor([1.0, 2.0]))
    c = ag.ones(2)
    first, second = pull_back(c)[0], pull_back(c)[0]
    assert first.tolist() == second.tolist()
