"""What people compile: accumulated gradients, schedules, trees, threads, derivatives of derivatives."""

import threading

import numpy as np
import pytest
from compiler.twins import assert_twins

import autograd_core as ag
import nn

X = np.array([1.0, 2.0, 3.0], "f4")


def batches(count, *shape):
    rng = np.random.default_rng(0)
    return [(rng.standard_normal(shape).astype("f4"), rng.integers(0, 4, shape[:-1])) for _ in range(count)]


# Steps -----------------------------------------------------------------------------------------------------------


def trained(compiled, loop):
    """The states of a model after `loop(microbatch, step, optimizer, schedule)`; both functions are compiled."""
    ag.random.seed(2)
    model = nn.Sequential(nn.Dense(3, 8, bias=False), nn.BatchNorm(8), nn.Tanh(), nn.Dense(8, 4))
    optimizer = nn.Adam(model.parameters(), lr=0.1)
    schedule = nn.schedules.warmup(nn.schedules.cosine(optimizer, 6), 2)

    def microbatch(x, y):
        loss = nn.cross_entropy(model(x), y) / 3
        loss.backward()
        return loss

    def step():
        optimizer.step()
        optimizer.zero_grad()

    make = ag.compile if compiled else lambda f: f
    rates = loop(make(microbatch), make(step), optimizer, schedule)
    states = {
        **model.state_dict(),
        **optimizer.state_dict(),
        **schedule.state_dict(),
        "rates": np.array(rates),
    }
    return {name: np.array(array) for name, array in states.items()}


def accumulating(microbatch, step, optimizer, schedule):
    rates = []
    for k, batch in enumerate(batches(9, 5, 3)):
        microbatch(*batch)
        if k % 3 == 2:
            step()
            schedule.step()
            rates.append(float(optimizer.lr))
    return rates


def uneven(microbatch, step, optimizer, schedule):
    """Another number of microbatches each time, and of samples."""
    for count in (1, 3, 2, 1):
        for batch in batches(count, 4 + count, 3):
            microbatch(*batch)
        step()
        schedule.step()
    return [float(optimizer.lr)]


def by_hand(microbatch, step, optimizer, schedule):
    """A rate that is set between two steps wins over the schedule's."""
    for k, batch in enumerate(batches(4, 5, 3)):
        microbatch(*batch)
        optimizer.lr = 0.01 * k
        step()
    return [float(optimizer.lr)]


@pytest.mark.parametrize("loop", [accumulating, uneven, by_hand])
def test_microbatches_and_steps_compiled_apart(loop):
    want, got = trained(False, loop), trained(True, loop)
    assert got.keys() == want.keys()
    for name, array in want.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-3, atol=1e-5, err_msg=name)


def test_microbatches_of_one_batch_equal_the_batch():
    def build(parts):
        model = nn.Sequential(nn.Dense(3, 8), nn.Tanh(), nn.Dense(8, 4))
        optimizer = nn.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x, y):
            optimizer.zero_grad()
            for k in range(parts):
                nn.cross_entropy(model(x[k::parts]), y[k::parts]).backward()
            nn.clip_grad_norm(model.parameters(), parts * 1e6)
            for p in model.parameters():
                p.grad = p.grad / parts
            optimizer.step()

        return step, model

    ends = []
    for parts in (1, 3):
        ag.random.seed(4)
        step, model = build(parts)
        step = ag.compile(step)
        for x, y in batches(4, 6, 3):
            step(ag.tensor(x), ag.tensor(y))
        ends.append(model.state_dict())
    for name, array in ends[0].items():
        np.testing.assert_allclose(ends[1][name], array, rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_schedule_inside_one_program_and_outside_another():
    def build():
        w = nn.Parameter([1.0, 2.0])
        optimizer = nn.SGD([w], lr=0.5)
        schedule = nn.schedules.step(optimizer, 2, 0.5)

        def f(inside):
            optimizer.zero_grad()
            (w * w).sum().backward()
            optimizer.step()
            if inside:
                schedule.step()
            return w * 1

        return f, [w, optimizer, schedule]

    assert_twins(build, [(k % 3 != 1,) for k in range(7)])


# Weights in two places -------------------------------------------------------------------------------------------


def test_a_weight_tied_to_another_layers_between_two_calls():
    """As in language models: the embedding is the last layer's weight."""

    def build():
        first, last = nn.Dense(4, 4, bias=False), nn.Dense(4, 4, bias=False)
        optimizer = nn.SGD([*first.parameters(), *last.parameters()], lr=0.1)

        def f(x, tie):
            if tie:
                last.weight = first.weight
            return step(x)

        def train(x):
            optimizer.zero_grad()
            (last(first(x).tanh()) ** 2).mean().backward()
            optimizer.step()

        step = build.make(train)
        return f, [first, last]

    ends = []
    for build.make in (lambda f: f, ag.compile):
        ag.random.seed(1)
        f, layers = build()
        for k in range(5):
            f(np.eye(4, dtype="f4") * (k + 1), k == 2)
        assert layers[0].weight is layers[1].weight
        ends.append([layer.weight.numpy() for layer in layers])
    np.testing.assert_allclose(*ends, rtol=1e-4)


# Trees -----------------------------------------------------------------------------------------------------------


def test_nested_arguments_and_results():
    def f(tree, *more, **named):
        (a, [b, none]), rest = tree["pair"], tree["rest"]
        assert none is None
        both = a + b * rest["deep"]["n"]
        return {
            "twice": [both, both],
            "in": (tree, more),
            "named": {k: v * 2 for k, v in named.items()},
            "n": None,
        }

    def call(k):
        a, b = X * k, X + k
        return {"pair": (a, [b, None]), "rest": {"deep": {"n": 2 + k % 2}}}, [a, ()], k % 2

    compiled = ag.compile(f)
    for k in range(4):
        got, want = compiled(*call(k), s=X, t=X[:k]), f(*call(k), s=X, t=X[:k])
        assert str(got.keys()) == str(want.keys())
        np.testing.assert_array_equal(got["twice"][1].numpy(), want["twice"][0])
        np.testing.assert_array_equal(got["in"][0]["pair"][1][0].numpy(), X + k)
        assert type(got["in"]) is tuple
        assert got["in"][1][0][1] == ()
        assert got["in"][1][1] == k % 2
        np.testing.assert_array_equal(got["named"]["t"].numpy(), 2 * X[:k])


def test_keys_of_a_dict_in_another_order():
    f = ag.compile(lambda tree: tree["a"] * 10 + tree["b"])
    for _ in range(2):
        np.testing.assert_array_equal(f({"a": X, "b": X + 1}).numpy(), 11 * X + 1)
        np.testing.assert_array_equal(f({"b": X + 1, "a": X}).numpy(), 11 * X + 1)


# Threads ---------------------------------------------------------------------------------------------------------


def test_threads_capture_and_replay_at_once():
    """Shapes of one's own, so that threads capture while others replay; the results are not mixed up."""
    total = ag.Buffer(0.0)

    @ag.compile
    def f(x):
        total.assign(total + x.shape[0])
        return (x * 2 + 1).sum(axis=0)

    wrong = []

    def work(n):
        for k in range(30):
            size = n + k % 3
            found = f(np.full((size, 2), n, "f4")).numpy()
            wrong.extend([] if (found == size * (2 * n + 1)).all() else [n])

    threads = [threading.Thread(target=work, args=(n,)) for n in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert total.item() == 30 * (1 + 2 + 3) + 3 * 30


# Derivatives of derivatives --------------------------------------------------------------------------------------


def curved(w):
    return (w**4).sum() + (w[1:] * w[:-1]).sum()


def newton(w):
    w.assign(w - ag.linalg.solve(ag.hessian(curved)(w.detach()), ag.grad(curved)(w.detach())))


def along_the_slope(w):
    slope = ag.grad(curved)(w.detach())
    w.assign(w - 1e-3 * ag.hvp(curved, (w.detach(),), (slope,))[0])


def gauss_newton(w):
    outputs = lambda w: ag.stack([w[0] * w[1], w[2].exp()])
    slopes = ag.jacobian(outputs)(w.detach())
    w.assign(w - 0.1 * (slopes.mT @ outputs(w.detach())))


@pytest.mark.parametrize("rule", [newton, along_the_slope, gauss_newton])
def test_second_order_steps(rule):
    def build():
        w = nn.Parameter([1.0, 2.0, 0.5], "float64")

        def step():
            with ag.no_grad():
                rule(w)
            return curved(w)

        return step, [w]

    assert_twins(build, [()] * 4, rtol=1e-9)
