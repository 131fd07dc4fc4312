"""Optimizers of a user's own, written as the docstring of `nn.optimizer.Optimizer` says: with all their settings."""

import math
import pickle
from copy import deepcopy

import numpy as np
import pytest

import autograd_core as ag
import nn
from nn.optimizer import Optimizer, Setting


class Momentum(Optimizer):
    """Settings as arguments."""

    def __init__(self, params, lr, beta):
        super().__init__(params, ("m",), lr=lr, beta=beta)

    def rates(self, t, lr, beta):
        return lr, beta

    def update(self, x, g, moments, rates):
        m = rates[1] * moments[0] + g
        return x - rates[0] * m, (m,)


class ClassAttribute(Momentum):
    """A setting as a class attribute that update reads."""

    beta = 0.9

    def __init__(self, params, lr):
        Optimizer.__init__(self, params, ("m",), lr=lr)

    def rates(self, t, lr):
        return lr, self.beta


class Default(Momentum):
    """A class attribute that is the default of a setting."""

    beta = 0.9

    def __init__(self, params, lr, beta=None):
        super().__init__(params, lr, self.beta if beta is None else beta)


class SetBefore(Momentum):
    """Attributes set before the base's __init__."""

    def __init__(self, params, lr, beta=0.9):
        self.lr, self.beta = lr, beta
        Optimizer.__init__(self, params, ["m"])

    def rates(self, t):
        return self.lr, self.beta


class SetBeforeAndGiven(Momentum):
    def __init__(self, params, lr, beta=0.9):
        self.beta = beta
        super().__init__(params, lr, beta)


class RateOfTheClass(Momentum):
    lr = 0.1

    def __init__(self, params, lr=None):
        Optimizer.__init__(self, params, ("m",), beta=0.9)

    def rates(self, t, beta):
        return self.lr, beta


class SetAfter(Momentum):
    def __init__(self, params, lr):
        super().__init__(params, lr, 0)
        self.beta = 0.9


class Declared(Momentum):
    """Ranges declared as the package's own optimizers do."""

    beta = Setting(below=1.0)

    def __init__(self, params, lr, beta=0.9):
        super().__init__(params, lr, beta)


class Property(Momentum):
    """A setting that is a property."""

    def __init__(self, params, lr, beta=0.9):
        super().__init__(params, lr, beta)

    @property
    def beta(self):
        return 1 - self.rest

    @beta.setter
    def beta(self, value):
        self.rest = 1 - value


class Tuples(Momentum):
    def __init__(self, params, lr, betas=(0.9, 0.5)):
        Optimizer.__init__(self, params, ("m",), lr=lr, betas=betas)

    def rates(self, t, lr, betas):
        return lr, betas[0]


class Text(Momentum):
    def __init__(self, params, lr, mode="heavy"):
        Optimizer.__init__(self, params, ("m",), lr=lr, mode=mode)

    def rates(self, t, lr, mode):
        return lr, {"heavy": 0.9, "light": 0.1}[mode], mode


class Truth(Momentum):
    def __init__(self, params, lr, heavy=True):
        Optimizer.__init__(self, params, ("m",), lr=lr, heavy=heavy)

    def rates(self, t, lr, heavy):
        return lr, heavy

    def update(self, x, g, moments, rates):
        return super().update(x, g, moments, (rates[0], 0.9 if rates[1] else 0.0))


class Nothing(Momentum):
    def __init__(self, params, lr, clip=None):
        Optimizer.__init__(self, params, ("m",), lr=lr, clip=clip)

    def rates(self, t, lr, clip):
        return lr, 0.9, clip

    def update(self, x, g, moments, rates):
        g = g if rates[2] is None else ag.clip(g, -rates[2], rates[2])
        return super().update(x, g, moments, rates)


class Negative(Momentum):
    """Numbers of any sign, of NumPy, and integers."""

    def __init__(self, params, lr):
        Optimizer.__init__(
            self, params, ("m",), sign=-1, lr=np.float32(lr), power=np.int64(1), beta=np.array(0.9)
        )

    def rates(self, t, sign, lr, power, beta):
        return -sign * lr, beta**power


class InPlace(Momentum):
    """What update is given may be changed in place."""

    def update(self, x, g, moments, rates):
        m = moments[0]
        m *= rates[1]
        m += g
        g *= 0
        x -= rates[0] * m
        return x, (m,)

    def __init__(self, params, lr):
        super().__init__(params, lr, 0.9)


class OwnBuffer(Momentum):
    """State of its own in a Buffer, which is saved with the rest."""

    def __init__(self, params, lr):
        super().__init__(params, lr, 0.9)
        self.total = nn.Buffer(0.0)

    def update(self, x, g, moments, rates):
        self.total.assign(self.total + 1)
        return super().update(x, g, moments, rates)


class Counting(Momentum):
    """State of its own in a Python number."""

    def __init__(self, params, lr):
        self.steps, self.norms = 0, []
        super().__init__(params, lr, 0.9)

    def update(self, x, g, moments, rates):
        self.steps += 1
        self.norms.append(self.steps)
        return super().update(x, g, moments, rates)


KINDS = [
    lambda p, lr: Momentum(p, lr, 0.9), ClassAttribute, Default, SetBefore, SetBeforeAndGiven, RateOfTheClass, SetAfter,
    Declared, Property, Tuples, Text, Truth, Nothing, Negative, InPlace, OwnBuffer, Counting,
]  # fmt: skip


@pytest.fixture(params=KINDS, ids=lambda k: getattr(k, "__name__", "?"))
def kind(request):
    return request.param


@pytest.mark.parametrize("size", [3, 9000])
def test_an_optimizer_of_ones_own_runs_with_all_its_settings(kind, size):
    for _ in range(2):  # of the second of a kind as of the first
        a, b = nn.Parameter(np.ones(size)), nn.Parameter(np.ones(size))
        mine, reference = kind([a], 0.1), nn.SGD([b], 0.1, momentum=0.9)
        for n in range(4):
            for p, optimizer in ((a, mine), (b, reference)):
                optimizer.zero_grad()
                (p * p * (n + 1)).sum().backward()
                optimizer.step()
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
        assert mine.lr == pytest.approx(0.1)
        assert "lr=0.1" in repr(mine)


@pytest.mark.parametrize("compile", [True, False])
def test_fit_trains_with_it_as_steps_by_hand_do(kind, compile, capsys):
    x = np.random.default_rng(0).normal(size=(32, 3))
    ends = []
    for made in (kind, lambda p, lr: nn.SGD(p, lr, momentum=0.9)):
        model = nn.Dense(3, 1)
        for p, value in zip(model.parameters(), (0.5, 0.1)):
            p.assign(np.full(p.shape, value))
        optimizer = made(model.parameters(), 0.1)
        batches = [(x[:16], x[:16, :1]), (x[16:], x[16:, 1:2])]
        schedule = nn.schedules.cosine(optimizer, 8)
        nn.fit(model, batches, nn.mse_loss, optimizer, 3, compile=compile, progress=False, schedule=schedule)
        ends.append((model.weight.numpy(), optimizer))
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=1e-4)
    mine = ends[0][1]
    if isinstance(mine, Counting):
        assert (mine.steps, len(mine.norms)) == (12, 12)
        assert ("changes its attribute" in capsys.readouterr().out) is compile
    if isinstance(mine, OwnBuffer):
        assert mine.total.item() == 12


@pytest.mark.parametrize("compile", [True, False])
def test_settings_changed_between_epochs_act(compile):
    """Numbers, tuples, text and truths, in a compiled fit too."""
    x = np.random.default_rng(0).normal(size=(16, 3))

    def change(optimizer):
        if hasattr(optimizer, "betas"):
            optimizer.betas = (0.1, 0.5)
        elif hasattr(optimizer, "mode"):
            optimizer.mode = "light"
        else:
            optimizer.beta = 0.1

    for made in (lambda p, lr: Momentum(p, lr, 0.9), SetBefore, Default, Property, Tuples, Text, nn.SGD):
        ends = []
        for kind in (made, lambda p, lr: Momentum(p, lr, 0.9)):
            model = nn.Dense(3, 1)
            for p, value in zip(model.parameters(), (0.5, 0.1)):
                p.assign(np.full(p.shape, value))
            own = kind is not nn.SGD
            optimizer = (
                kind(model.parameters(), 0.1) if own else nn.SGD(model.parameters(), 0.1, momentum=0.9)
            )

            def callback(history, model, optimizer=optimizer, own=own):
                change(optimizer) if own else setattr(optimizer, "momentum", 0.1)

            nn.fit(
                model,
                (x, x[:, :1]),
                nn.mse_loss,
                optimizer,
                3,
                compile=compile,
                progress=False,
                callbacks=callback,
            )
            ends.append(model.weight.numpy())
        np.testing.assert_allclose(ends[0], ends[1], rtol=1e-4)


def test_nesterov_set_between_epochs_acts_in_fit():
    x = np.random.default_rng(0).normal(size=(16, 3))
    ends = []
    for compile in (True, False):
        model = nn.Dense(3, 1)
        for p in model.parameters():
            p.assign(np.full(p.shape, 0.5))
        optimizer = nn.SGD(model.parameters(), 0.1, momentum=0.9)
        turn = lambda history, model, o=optimizer: setattr(o, "nesterov", history.epochs % 2 == 1)
        nn.fit(
            model, (x, x[:, :1]), nn.mse_loss, optimizer, 4, compile=compile, progress=False, callbacks=turn
        )
        ends.append(model.weight.numpy())
    np.testing.assert_allclose(*ends, rtol=1e-4)


def test_its_state_is_saved_loaded_and_copied(kind, tmp_path):
    def run(optimizer, p, steps):
        for _ in range(steps):
            p.grad = ag.ones(3)
            optimizer.step()

    a, b = nn.Parameter(np.ones(3, np.float32)), nn.Parameter(np.ones(3, np.float32))
    one, other = kind([a], 0.1), kind([b], 0.1)
    run(one, a, 3)
    one.lr = 0.25
    b.assign(a)
    other.load_state_dict(one.state_dict())
    copies = [deepcopy(one)]
    if kind is not KINDS[0]:
        copies.append(pickle.loads(pickle.dumps(one)))
    assert other.lr == 0.25
    run(one, a, 2)
    run(other, b, 2)
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    for copy in copies:
        run(copy, copy.params[0], 2)
        np.testing.assert_array_equal(copy.params[0].numpy(), a.numpy())
        assert copy.lr == 0.25
    if isinstance(one, Momentum) and "beta" in one.state_dict():
        assert one.state_dict()["beta"] == pytest.approx(0.9)
        assert "beta=0.9" in repr(one)


def test_update_changes_nothing_that_others_hold():
    p = nn.Parameter(np.ones(3))
    optimizer = InPlace([p], 0.1)
    g = ag.ones(3, dtype="float64")
    p.grad = g
    before = p.detach()
    state = optimizer.state_dict()
    optimizer.step()
    assert before.tolist() == [1, 1, 1]
    assert g.tolist() == [1, 1, 1]
    assert state["m.0"].tolist() == [0, 0, 0]


def wrong(what):
    class Wrong(Momentum):
        def update(self, x, g, moments, rates):
            x, moments = super().update(x, g, moments, rates)
            return what(x, moments)

    return Wrong


@pytest.mark.parametrize(
    ("what", "match"),
    [
        (lambda x, m: x, r"update returned float\d+\[3\]: return x, \(moment"),
        (lambda x, m: (x, m[0]), "update returned a tuple: return x"),
        (lambda x, m: (x, ()), r"0 moments, but 1 are named: return x, \(m,\)"),
        (lambda x, m: (x, (m[0], m[0])), "2 moments, but 1"),
        (lambda x, m: (x.sum(), m), r"update returned float\d+\[\] for a parameter float64\[3\]"),
        (lambda x, m: (x, (m[0][:1],)), r"update returned float\d+\[1\] for a parameter"),
        (lambda x, m: None, "update returned a NoneType"),
        (lambda x, m: 1 / 0, "division by zero"),
    ],
)
def test_an_update_that_returns_something_else_is_named_and_nothing_changes(what, match):
    params = [nn.Parameter(np.ones(3)) for _ in range(2)]
    optimizer = wrong(what)(params, 0.1, 0.9)
    state = optimizer.state_dict()
    for p in params:
        p.grad = ag.ones(3, dtype="float64")
    with pytest.raises((TypeError, ValueError, ZeroDivisionError), match=match):
        optimizer.step()
    assert [p.tolist() for p in params] == [[1, 1, 1]] * 2
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_what_is_missing_or_cannot_be_is_named():
    w = nn.Parameter([1.0])

    class NoRate(Momentum):
        def __init__(self, params):
            Optimizer.__init__(self, params, ("m",), beta=0.9)

    class Taken(Momentum):
        def __init__(self, params, **named):
            Optimizer.__init__(self, params, ("m",), lr=0.1, **named)

    class OneRate(Momentum):
        def rates(self, t, lr, beta):
            return lr

    class Bare(Optimizer):
        pass

    with pytest.raises(TypeError, match=r"NoRate: no learning rate: call super\(\).__init__\("):
        NoRate([w])
    for name in ("step", "slots", "zero_grad", "counts", "update"):
        with pytest.raises(ValueError, match=f"cannot be named {name}"):
            Taken([w], **{name: 1.0})
    w.grad = [1.0]
    with pytest.raises(TypeError, match=r"OneRate.rates returned a float: return a tuple, such as \(lr,\)"):
        OneRate([w], 0.1, 0.9).step()
    with pytest.raises(NotImplementedError, match="Bare has no rates: define rates"):
        Bare([w], lr=0.1).step()
    mine = Momentum([w], 0.1, 0.9)
    with pytest.raises(TypeError, match="beta = 'x': it must be a number"):
        mine.beta = "x"
    with pytest.raises(ValueError, match=r"Declared: beta = 1\.5: it must be in"):
        Declared([w], 0.1, 1.5)
    mine.beta = -math.inf  # a setting without a range takes any number
    assert mine.beta == -math.inf
