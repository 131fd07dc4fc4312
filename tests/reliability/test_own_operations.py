"""Users' own primitives and functions share no array with the tape: what they write to stays theirs."""

import numpy as np
import pytest

import autograd_core as ag
import nn

numba = pytest.importorskip("numba")


def leaf(*values):
    return ag.tensor(np.array(values, float), requires_grad=True)


BUFFER = np.zeros(2)


def fill(g, x):
    BUFFER[:] = 2 * g
    return BUFFER


REUSING = {
    "out=": lambda g, x: np.multiply(g, 2, out=BUFFER),
    "a buffer": fill,
    "a view of a buffer": lambda g, x: fill(g, x)[:],
    "a reversed view": lambda g, x: fill(g[::-1], x)[::-1],
}


@pytest.mark.parametrize("kind", REUSING)
def test_a_rule_may_use_its_output_buffer_again(kind):
    double = ag.primitive(lambda x: x * 2).defvjp(REUSING[kind])
    a, b = leaf(1, 1), leaf(1, 1)
    (double(a) + 10 * double(b)).sum().backward()
    BUFFER[:] = 50
    assert a.grad.tolist() == [2, 2]
    assert b.grad.tolist() == [20, 20]


def write_argument(g, x):
    x[:] = 0
    return g


WRITING = {
    "the cotangent in place": lambda g, x: g.__imul__(2),
    "out= the cotangent": lambda g, x: np.multiply(g, 2, out=g),
    "the saved argument": write_argument,
    "a view of the argument": lambda g, x: write_argument(g, x[:1]),
}


@pytest.mark.parametrize("kind", WRITING)
def test_a_rule_that_writes_to_its_arguments_is_refused(kind):
    double = ag.primitive(lambda x: x * 2).defvjp(WRITING[kind])
    w, v = leaf(1, 1), leaf(1, 1)
    cotangent = ag.tensor(np.ones(2))
    with pytest.raises(ValueError, match="read-only"):
        (double(w) + v).backward(cotangent)
    assert w.tolist() == cotangent.tolist() == [1, 1]
    assert w.grad is v.grad is None


def test_a_rule_that_changes_its_cotangent_in_place_at_second_order_changes_nobody_elses():
    def rule(g, x):
        g *= 2
        return g

    double = ag.primitive(lambda x: x * 2).defvjp(rule)
    w, v = leaf(1, 1), leaf(1, 1)
    (double(w) + v).sum().backward(create_graph=True)
    assert w.grad.tolist() == [2, 2]
    assert v.grad.tolist() == [1, 1]


@numba.njit
def clipped(x):
    for i in range(x.size):
        x[i] = max(x[i], 0.0)
    return x


@numba.njit
def clipped_cotangent(g, x):
    for i in range(x.size):
        g[i] = g[i] if x[i] > 0 else 0.0
    return g


@pytest.mark.parametrize("rule", [lambda g, x: g * (x > 0), clipped_cotangent], ids=["python", "numba"])
def test_a_numba_function_that_writes_to_its_argument_changes_no_tensor(rule):
    relu = ag.primitive(clipped).defvjp(rule)
    w, v = leaf(-1, 2), leaf(1, 1)
    y = relu(w)
    (y + v).sum().backward()
    assert w.tolist() == [-1, 2]
    assert y.tolist() == [0, 2]
    assert w.grad.tolist() == [0, 1]
    assert v.grad.tolist() == [1, 1]


@pytest.mark.parametrize(
    "call",
    [lambda f, w, a: f(w, a), lambda f, w, a: f(w, {"a": a}), lambda f, w, a: f(w, [a]), lambda f, w, a: f(w, a=a)],
    ids=["argument", "in a dict", "in a list", "by name"],
)  # fmt: skip
def test_an_array_given_to_a_checkpointed_function_may_change_afterwards(call):
    def product(w, a):
        for kind, key in ((dict, "a"), (list, 0)):
            a = a[key] if isinstance(a, kind) else a
        return (w * a).sum()

    w, a = leaf(1, 1), np.ones(2)
    loss = call(ag.checkpoint(product), w, a)
    a[:] = 9
    loss.backward()
    assert w.grad.tolist() == [1, 1]


def test_a_huber_loss_differentiates_its_delta():
    delta = ag.tensor(2.0, requires_grad=True)
    nn.huber_loss(ag.tensor([5.0]), np.zeros(1), delta).backward()
    assert delta.grad.item() == 3.0
    assert ag.grad(lambda d: nn.huber_loss(ag.tensor([5.0]), ag.zeros(1), d))(2.0).item() == 3.0


LONG = (300_000, 7)


@pytest.mark.parametrize(
    "loss",
    [
        lambda w, f: (w * f).sum(), lambda w, f: ((w + 0) * f).sum(), lambda w, f: (f / w).sum() * -1,
        lambda w, f: (ag.broadcast_to(w, LONG) * f).sum(), lambda w, f: (ag.maximum(w, 0) * f).sum(),
        lambda w, f: (ag.linear(ag.zeros((LONG[0], 1)), ag.zeros((1, 7)), w) * f).sum(),
    ],
    ids=["product", "sum", "quotient", "broadcast_to", "maximum", "linear"],
)  # fmt: skip
def test_the_gradient_of_what_is_broadcast_over_many_rows_is_exact(loss):
    f = np.full(LONG, 0.1, np.float32)
    w = ag.ones(7, requires_grad=True)
    loss(w, f).backward()
    np.testing.assert_allclose(w.grad.numpy(), 30_000, rtol=1e-5)


def test_numpys_transpose_takes_axes():
    x = ag.tensor(np.arange(24.0).reshape(2, 3, 4), requires_grad=True)
    for axes in (None, (1, 0, 2), [2, 0, 1], (-1, 0, 1)):
        wanted = np.transpose(x.numpy(), axes)
        np.testing.assert_array_equal(np.transpose(x, axes).numpy(), wanted)
        np.testing.assert_array_equal(np.permute_dims(x, axes=axes).numpy(), wanted)
    (np.transpose(x, (1, 0, 2)) * 2).sum().backward()
    assert (x.grad == 2).all()
