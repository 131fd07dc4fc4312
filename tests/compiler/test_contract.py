"""The contract for models and steps of every kind: after n calls everything is as after n eager calls."""

import numpy as np
import pytest
from compiler.twins import assert_twins

import autograd_core as ag
import nn


def batches(*shape, classes=4, calls=3):
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal(shape).astype("f4"), rng.integers(0, classes, shape[0])) for _ in range(calls)
    ]


class UNet(nn.Module):
    def __init__(self):
        self.down, self.bottom = nn.Conv(1, 4, 3, padding=1), nn.Conv(4, 8, 3, padding=1)
        self.up, self.out = nn.ConvTranspose(8, 4, 2, stride=2), nn.Conv(8, 4, 1)

    def forward(self, x):
        wide = self.down(x).relu()
        deep = self.bottom(ag.max_pool(wide, 2)).relu()
        return self.out(ag.concat([wide, self.up(deep)], axis=1)).mean(axis=(2, 3))


class Transformer(nn.Module):
    def __init__(self, size=8, heads=2):
        self.norm, self.after = nn.LayerNorm(size), nn.LayerNorm(size)
        self.mixed, self.heads = nn.Dense(size, 3 * size), heads
        self.body = nn.Sequential(nn.Dense(size, 16), nn.GELU(), nn.Dropout(0.1), nn.Dense(16, size))

    def forward(self, x):
        n, length, size = x.shape
        parts = self.mixed(self.norm(x)).reshape(n, length, 3, self.heads, size // self.heads)
        q, k, v = (parts[:, :, i].permute_dims((0, 2, 1, 3)) for i in range(3))
        weights = ag.softmax(q @ k.mT / (size // self.heads) ** 0.5, axis=-1)
        x = x + (weights @ v).permute_dims((0, 2, 1, 3)).reshape(n, length, size)
        return (x + self.body(self.after(x))).mean(axis=1)[:, :4]


class Tied(nn.Module):
    def __init__(self):
        self.first = self.second = nn.Dense(4, 4)

    def forward(self, x):
        return self.second(self.first(x).tanh()) @ self.first.weight.T


MODELS = {
    "residual": (lambda: nn.Sequential(nn.ResidualBlock(2, 4, 2), nn.GlobalAvgPool(), nn.Dense(4, 4)), (4, 2, 6, 6)),
    "unet": (UNet, (2, 1, 8, 8)),
    "transformer": (Transformer, (3, 5, 8)),
    "tied": (Tied, (5, 4)),
    "depthwise": (lambda: nn.Sequential(nn.Conv(4, 4, 3, groups=4), nn.GlobalAvgPool()), (3, 4, 7, 7)),
    "signals": (
        lambda: nn.Sequential(nn.Conv(2, 4, (3,), stride=2, bias=False), nn.BatchNorm(4), nn.GlobalAvgPool()),
        (3, 2, 9),
    ),
    "volumes": (lambda: nn.Sequential(nn.Conv(1, 4, (2, 2, 2)), nn.GroupNorm(2, 4), nn.AvgPool(2), nn.GlobalAvgPool()),
                (2, 1, 5, 5, 5)),
    "dropout": (lambda: nn.Sequential(nn.Dense(6, 8), nn.Dropout(0.5), nn.SiLU(), nn.Dense(8, 4)), (7, 6)),
}  # fmt: skip
LOSSES = {
    "plain": lambda loss, model, optimizer, schedule: optimizer.zero_grad() or loss().backward(),
    "zeroed after": lambda loss, model, optimizer, schedule: loss().backward(),
    "accumulated": lambda loss, model, optimizer, schedule: (
        model.zero_grad() or [loss().backward() for _ in range(3)]
    ),
    "clipped": lambda loss, model, optimizer, schedule: (
        optimizer.zero_grad() or loss().backward() or nn.clip_grad_norm(model.parameters(), 0.1)
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_training_a_model(case):
    make, shape = MODELS[case]

    def build():
        model = make()
        optimizer = nn.SGD(model.parameters(), lr=0.05, momentum=0.9)

        def step(x, y):
            loss = nn.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return {"loss": loss, "more": [loss * 2, 7]}

        return step, [model, optimizer]

    assert_twins(build, batches(*shape), rtol=1e-3)


@pytest.mark.parametrize("case", MODELS)
def test_inference_of_a_model(case):
    make, shape = MODELS[case]

    def build():
        model = make().eval()
        return ag.no_grad()(model), [model]

    assert_twins(build, [batch[:1] for batch in batches(*shape)])


@pytest.mark.parametrize("way", LOSSES)
def test_ways_to_take_a_step(way):
    def build():
        model = nn.Sequential(nn.Dense(3, 8), nn.Tanh(), nn.Dense(8, 4))
        optimizer = nn.AdamW(model.parameters(), lr=0.05)
        schedule = nn.schedules.warmup(nn.schedules.cosine(optimizer, 4), 2)

        def step(x, y):
            LOSSES[way](lambda: nn.cross_entropy(model(x), y), model, optimizer, schedule)
            optimizer.step()
            schedule.step()
            if way == "zeroed after":
                optimizer.zero_grad()

        return step, [model, optimizer, schedule]

    assert_twins(build, batches(6, 3, calls=5), rtol=1e-3)


def cubes(x):
    return (x**3).sum()


FUNCTIONS = {
    "grad": ag.grad(cubes),
    "second": ag.grad(lambda x: (ag.grad(cubes)(x) ** 2).sum()),
    "value_and_grad": ag.value_and_grad(cubes),
    "hvp": lambda x: ag.hvp(cubes, (x,), (x * 2,)),
    "jvp": lambda x: ag.jvp(ag.sin, (x,), (x + 1,)),
    "vjp": lambda x: ag.vjp(ag.sin, x)[1](x),
    "jacobian": ag.jacobian(lambda x: x[::-1] * x),
    "hessian": ag.hessian(lambda x: (x[1:] * x[:-1] ** 2).sum()),
    "checkpoint": ag.grad(lambda x: (ag.checkpoint(lambda v: v.sin() * ag.random.uniform(4))(x) ** 2).sum()),
    "in place": lambda x: _in_place(x * 1),
    "constant": lambda x: {"c": ag.ones(2), "x": x, "n": [1, "text", None]},
    "random": lambda x: (ag.random.normal(x.shape), ag.random.bernoulli(0.3, 9), ag.random.permutation(7)),
    "sorting": lambda x: (ag.sort(x), ag.argsort(-x), x.argmax(), ag.cumulative_sum(x)),
    "taking": lambda x: ag.take(x, ag.argsort(x)[:2]),
}


def _in_place(x):
    x += 2
    x[1] = x[0] * 3
    x[2:] *= x[:2]
    return x


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    calls = [(np.random.default_rng(k).standard_normal(4).astype("f4"),) for k in range(3)]
    assert_twins(lambda: (FUNCTIONS[name], []), calls)


def test_containers_go_in_and_come_out():
    def build():
        return lambda tree, k: {"b": (tree["x"] * k, [tree["y"][0]]), "a": tree["y"][1] + tree["x"]}, []

    x = np.ones(3, "f4")
    assert_twins(build, [({"x": x * k, "y": [x, (x * 2 + k)]}, 2) for k in range(3)])


def test_buffers_are_swapped_assigned_and_returned():
    def build():
        a, b, c = ag.Buffer([1.0, 2.0]), ag.Buffer([3.0, 4.0]), ag.Buffer([0.0, 0.0])

        def f(x):
            old = a.detach()
            a.assign(b)
            b.assign(old)
            c.assign(np.array([5.0, 6.0], "f4"))
            c.assign(c + a * x)
            return a, x, c

        return f, [a, b, c]

    assert_twins(build, [(np.full(2, k, "f4"),) for k in range(4)])


def test_a_buffer_reset_to_numbers():
    def build():
        a, b = ag.Buffer([1.0]), ag.Buffer([1.0])

        def f(x):
            b.assign(a + b)
            a.assign(np.zeros(1, "f4"))
            a.assign(a + x)

        return f, [a, b]

    assert_twins(build, [(np.full(1, k, "f4"),) for k in range(4)])
