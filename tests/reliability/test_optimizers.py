"""Optimizers whose parameters are large run a compiled update: it sees all that the plain update sees.

Each scenario runs on parameters below and above the sizes from which the update is compiled, beside the published
formulas in NumPy.
"""

from copy import deepcopy

import numpy as np
import pytest

import autograd_core as ag
import nn
from nn import optimizer as optimizer_module


class Twin:
    """The formulas, one parameter after another, in float64."""

    def __init__(self, kind, arrays, settings):
        self.kind, self.settings = kind, dict(settings)
        self.x = [a.copy() for a in arrays]
        self.state = [{} for _ in arrays]

    def step(self, grads):
        for i, g in enumerate(grads):
            if g is not None:
                self.x[i] = getattr(self, self.kind)(self.x[i], np.asarray(g, np.float64), self.state[i])

    def sgd(self, x, g, s):
        lr, momentum = self.settings["lr"], self.settings.get("momentum", 0)
        g = g + self.settings.get("weight_decay", 0) * x
        if "momentum" not in self.settings:
            return x - lr * g
        s["m"] = momentum * s.get("m", 0 * x) + g
        return x - lr * (g + momentum * s["m"] if self.settings.get("nesterov") else s["m"])

    def adam(self, x, g, s, decoupled=False):
        lr, b1, b2 = self.settings["lr"], self.settings.get("beta1", 0.9), self.settings.get("beta2", 0.999)
        decay = self.settings.get("weight_decay", 0)
        x, g = ((1 - lr * decay) * x, g) if decoupled else (x, g + decay * x)
        s["t"] = s.get("t", 0) + 1
        s["m"] = b1 * s.get("m", 0 * x) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0 * x) + (1 - b2) * g * g
        root = np.sqrt(s["v"] / (1 - b2 ** s["t"])) + self.settings.get("epsilon", 1e-8)
        return x - lr * s["m"] / (1 - b1 ** s["t"]) / root

    def adamw(self, x, g, s):
        return self.adam(x, g, s, True)

    def rmsprop(self, x, g, s):
        decay, momentum = self.settings.get("decay", 0.99), self.settings.get("momentum", 0)
        s["v"] = decay * s.get("v", 0 * x) + (1 - decay) * g * g
        d = g / (np.sqrt(s["v"]) + self.settings.get("epsilon", 1e-8))
        s["m"] = momentum * s.get("m", 0 * x) + d
        return x - self.settings["lr"] * s["m"]


KINDS = [
    (nn.SGD, "sgd", {"lr": 0.1}),
    (nn.SGD, "sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (nn.Adam, "adam", {"lr": 0.1, "weight_decay": 0.01}),
    (nn.AdamW, "adamw", {"lr": 0.1, "weight_decay": 0.1}),
    (nn.RMSprop, "rmsprop", {"lr": 0.1, "momentum": 0.5}),
]
SIZES = [100, 8191, 8192, 16384, 20000]


class Case:
    """Three parameters, an optimizer, and the twin of both."""

    def __init__(self, kind, formula, settings, size):
        rng = self.rng = np.random.default_rng(0)
        self.size = size
        self.params = [nn.Parameter(rng.normal(size=size)) for _ in range(3)]
        self.optimizer = kind(self.params, **settings)
        self.twin = Twin(formula, [p.numpy() for p in self.params], settings)

    def fresh(self):
        return ag.tensor(self.rng.normal(size=self.size))

    def step(self, grads):
        for p, g in zip(self.params, grads):
            p.grad = g
        given = [None if p.grad is None else p.grad.numpy().copy() for p in self.params]
        self.optimizer.step()
        self.twin.step(given)
        self.check()

    def check(self):
        for p, x in zip(self.params, self.twin.x):
            np.testing.assert_allclose(p.numpy(), x, rtol=1e-9, atol=1e-12)


def one_gradient_at_first(c):
    """Two parameters have one gradient at the first step, and their own later."""
    g = c.fresh()
    c.step([g, g, c.fresh()])
    for _ in range(3):
        c.step([c.fresh(), c.fresh(), c.fresh()])


def one_gradient_later(c):
    for _ in range(2):
        c.step([c.fresh(), c.fresh(), c.fresh()])
    g = c.fresh()
    c.step([g, c.fresh(), g])
    c.step([g, g, g])
    c.step([c.fresh(), c.fresh(), c.fresh()])


def one_array_in_two_gradients(c):
    g = c.fresh()
    c.step([g, g.detach(), c.fresh()])
    c.step([c.fresh(), c.fresh(), c.fresh()])


def one_gradient_now_and_then(c):
    for n in range(6):
        g = c.fresh()
        c.step([g, g if n % 2 else c.fresh(), c.fresh()])


def gradients_in_other_places(c):
    a, b = c.fresh(), c.fresh()
    c.step([a, b, c.fresh()])
    c.step([b, a, c.fresh()])


def views_of_one_array(c):
    block = ag.tensor(c.rng.normal(size=(2, c.size)))
    for _ in range(2):
        c.step([block[0], block[1], block[0]])
    c.step([c.fresh(), c.fresh(), c.fresh()])


def gradients_that_are_not_contiguous(c):
    for _ in range(2):
        wide = ag.tensor(c.rng.normal(size=(c.size, 3)))
        c.step([wide[:, 0], wide[::-1, 1], ag.broadcast_to(c.fresh()[0], (c.size,))])
    c.step([c.fresh(), c.fresh(), c.fresh()])


def the_gradient_is_the_parameter(c):
    c.step([c.params[0], c.params[1].detach(), c.fresh()])
    c.step([c.fresh(), c.params[1], c.params[1]])
    c.step([c.fresh(), c.fresh(), c.fresh()])


def another_parameter_is_the_gradient(c):
    c.step([c.params[1], c.fresh(), c.params[0]])
    c.step([c.fresh(), c.fresh(), c.fresh()])


def gradients_of_another_dtype(c):
    c.step([c.fresh(), c.fresh(), c.fresh()])
    c.step([c.fresh().astype("float32"), c.fresh(), c.fresh()])
    c.step([c.fresh(), c.fresh(), c.fresh()])


def another_dtype_at_first(c):
    c.step([c.fresh().astype("float32"), c.fresh(), c.fresh()])
    c.step([c.fresh(), c.fresh(), c.fresh()])


def some_gradients_are_none(c):
    for n in range(20):
        c.step([c.fresh() if n >> i & 1 else None for i in range(3)])


def frozen_later(c):
    c.step([c.fresh(), c.fresh(), c.fresh()])
    c.params[1].requires_grad = False
    c.step([c.fresh(), None, c.fresh()])
    c.params[1].requires_grad = True
    c.step([c.fresh(), c.fresh(), c.fresh()])


def a_new_rate_at_each_step(c):
    for n in range(4):
        rate = 0.1 / (n + 1)
        c.optimizer.lr = rate if n % 2 else ag.tensor(np.float64(rate))
        c.twin.settings["lr"] = rate
        c.step([c.fresh(), c.fresh(), c.fresh()])
    c.optimizer.lr = c.twin.settings["lr"] = 0
    c.step([c.fresh(), c.fresh(), c.fresh()])


def a_schedule(c):
    schedule = nn.schedules.cosine(c.optimizer, steps=4)
    for n in range(6):
        c.twin.settings["lr"] = schedule(n)
        c.step([c.fresh(), c.fresh(), c.fresh()])
        schedule.step()


def other_settings_later(c):
    for n in range(3):
        for name in ("momentum", "weight_decay", "beta1", "beta2", "epsilon", "decay"):
            if n and (name in c.optimizer.settings and name not in c.optimizer.absent):
                value = 0.5 / n
                setattr(c.optimizer, name, value)
                c.twin.settings[name] = value
        c.step([c.fresh(), c.fresh(), c.fresh()])


def assigned_between(c):
    for n in range(3):
        c.step([c.fresh(), c.fresh(), c.fresh()])
        c.params[n].assign(c.params[(n + 1) % 3])
        c.twin.x[n] = c.twin.x[(n + 1) % 3].copy()
    for _ in range(2):
        c.step([c.fresh(), c.fresh(), c.fresh()])


def one_array_in_two_parameters(c):
    c.params[0].assign(c.params[1])
    c.twin.x[0] = c.twin.x[1].copy()
    for _ in range(3):
        c.step([c.fresh(), c.fresh(), c.fresh()])


def all_in_one_array(c):
    for p, q in ((0, 1), (2, 0)):
        c.params[p].assign(c.params[q])
        c.twin.x[p] = c.twin.x[q].copy()
    c.params[0].grad = c.params[0]
    c.step([c.params[2], c.params[0], c.fresh()])
    c.step([c.fresh(), c.fresh(), c.fresh()])


def loaded_between(c):
    c.step([c.fresh(), c.fresh(), c.fresh()])
    state, kept = c.optimizer.state_dict(), deepcopy(c.twin)
    now = [p.numpy().copy() for p in c.params]
    c.step([c.fresh(), c.fresh(), c.fresh()])
    c.optimizer.load_state_dict(state)
    for p, a in zip(c.params, now):
        p.assign(a)
    c.twin = kept
    for _ in range(2):
        c.step([c.fresh(), c.fresh(), c.fresh()])


def values_held_elsewhere(c):
    """Steps change no tensor but the parameter: `before` stays what it was."""
    c.step([c.fresh(), c.fresh(), c.fresh()])
    before, numbers = [p.detach() for p in c.params], [p.numpy().copy() for p in c.params]
    g = c.fresh()
    held = g.numpy().copy()
    c.step([g, g, g])
    c.step([c.fresh(), g, c.fresh()])
    for t, a in zip(before, numbers):
        np.testing.assert_array_equal(t.numpy(), a)
    np.testing.assert_array_equal(g.numpy(), held)


def copied_in_between(c):
    c.step([c.fresh(), c.fresh(), c.fresh()])
    c.params, c.optimizer = deepcopy((c.params, c.optimizer))
    assert c.optimizer.params[0] is c.params[0]
    c.step([c.fresh(), c.fresh(), c.fresh()])


SCENARIOS = [
    one_gradient_at_first, one_gradient_later, one_array_in_two_gradients, one_gradient_now_and_then,
    gradients_in_other_places, views_of_one_array, gradients_that_are_not_contiguous, the_gradient_is_the_parameter,
    another_parameter_is_the_gradient, gradients_of_another_dtype, another_dtype_at_first, some_gradients_are_none,
    frozen_later, a_new_rate_at_each_step, a_schedule, other_settings_later, assigned_between,
    one_array_in_two_parameters, all_in_one_array, loaded_between, values_held_elsewhere, copied_in_between,
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k[1]}{len(k[2])}")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_large_parameters_step_like_small_ones(scenario, kind, size):
    case = Case(*kind, size)
    scenario(case)
    assert (case.optimizer.compiled is not None) is (size >= optimizer_module.LARGE)


@pytest.mark.parametrize("size", SIZES)
def test_nesterov_set_later_acts_on_large_parameters(size):
    case = Case(nn.SGD, "sgd", {"lr": 0.1, "momentum": 0.9}, size)
    for on in (False, True, True, False, True):
        case.optimizer.nesterov = case.twin.settings["nesterov"] = on
        case.step([case.fresh() for _ in range(3)])
    plain = nn.SGD(case.params, 0.1)
    with pytest.raises(ValueError, match="nesterov=True needs a momentum"):
        plain.nesterov = True
    plain.nesterov = False


@pytest.mark.parametrize("size", SIZES)
def test_two_optimizers_share_a_large_parameter(size):
    a = Case(nn.SGD, "sgd", {"lr": 0.1, "momentum": 0.9}, size)
    other = nn.Adam([a.params[0]], 0.1)
    twin = Twin("adam", [a.twin.x[0]], {"lr": 0.1})
    for _ in range(3):
        a.step([a.fresh(), a.fresh(), a.fresh()])
        twin.x[0] = a.twin.x[0]
        twin.step([a.params[0].grad.numpy()])
        other.step()
        a.twin.x[0] = twin.x[0]
        a.check()


@pytest.mark.parametrize("size", SIZES)
def test_a_parameter_given_twice_is_refused(size):
    w = nn.Parameter(np.zeros(size))
    with pytest.raises(ValueError, match="given twice"):
        nn.SGD([w, w], 0.1)
    with pytest.raises(ValueError, match="given twice"):
        nn.Adam([("a", w), ("b", w)], 0.1)


def test_rates_that_are_tensors_are_checked_like_numbers():
    optimizer = nn.SGD([nn.Parameter([1.0])], 0.1)
    for value in (ag.tensor(-1.0), ag.tensor(float("nan")), np.float32(-1)):
        with pytest.raises(ValueError, match="lr = "):
            optimizer.lr = value
    for value in ("0.1", None, [1.0], ag.ones(2)):
        with pytest.raises(TypeError, match="lr"):
            optimizer.lr = value
    assert optimizer.lr == 0.1


def test_a_learning_rate_of_0_is_valid_everywhere():
    for kind in (nn.SGD, nn.Adam, nn.AdamW, nn.RMSprop):
        w = nn.Parameter([1.0])
        optimizer = kind([w], 0)
        w.grad = [1.0]
        optimizer.step()
        assert w.item() == 1
        optimizer.lr = 0.5
        optimizer.step()
        assert w.item() < 1
        for made in (nn.schedules.cosine(optimizer, 3), nn.schedules.warmup(optimizer, 3, start=0)):
            made.step()
        optimizer.lr = 0.0
        assert kind([w], 0.0).lr == 0
