"""Optimizers against their published formulas, schedules, batches, and the training loop."""

import json
import math
import weakref
from copy import deepcopy

import numpy as np
import pytest

import autograd_core as ag
import nn
from nn import data, optim, schedules, training
from nn import optimizer as optimizer_module
from nn.history import History

# Optimizers -----------------------------------------------------------------------------------------------------------

SHAPES = [(3, 4), (4,), (), (0, 2)]


def sgd(x, g, s, t, lr, momentum=0, nesterov=False, weight_decay=0):
    g = g + weight_decay * x
    if not momentum:
        return x - lr * g
    s["m"] = g if t == 1 else momentum * s["m"] + g
    return x - lr * (g + momentum * s["m"] if nesterov else s["m"])


def adam(x, g, s, t, lr=1e-3, betas=(0.9, 0.999), epsilon=1e-8, weight_decay=0, decoupled=False):
    if decoupled:
        x = x - lr * weight_decay * x
    else:
        g = g + weight_decay * x
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    mean, square = s["m"] / (1 - betas[0] ** t), s["v"] / (1 - betas[1] ** t)
    return x - lr * mean / (np.sqrt(square) + epsilon)


def adamw(x, g, s, t, weight_decay=0.01, **settings):
    return adam(x, g, s, t, weight_decay=weight_decay, decoupled=True, **settings)


def rmsprop(x, g, s, t, lr=1e-2, decay=0.99, epsilon=1e-8, momentum=0):
    s["v"] = decay * s.get("v", 0) + (1 - decay) * g**2
    d = g / (np.sqrt(s["v"]) + epsilon)
    if not momentum:
        return x - lr * d
    s["m"] = momentum * s.get("m", 0) + d
    return x - lr * s["m"]


CASES = [
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "weight_decay": 0.2}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.2}),
    (optim.Adam, adam, {}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.8, 0.99), "epsilon": 1e-3, "weight_decay": 0.1}),
    (optim.AdamW, adamw, {}),
    (optim.AdamW, adamw, {"lr": 0.1, "weight_decay": 0.3}),
    (optim.RMSprop, rmsprop, {}),
    (optim.RMSprop, rmsprop, {"lr": 0.1, "decay": 0.8, "epsilon": 1e-2, "momentum": 0.9}),
]
optimizers = pytest.mark.parametrize(("kind", "formula", "settings"), CASES)


@pytest.fixture(params=["by NumPy", "compiled"])
def each_way(request, monkeypatch):
    """Steps as small parameters take them, and as large ones do."""
    monkeypatch.setattr(optimizer_module, "LARGE", 0 if request.param == "compiled" else 1 << 60)
    return request.param


both_ways = pytest.mark.usefixtures("each_way")


def parameters(dtype="float64"):
    rng = np.random.default_rng(0)
    return [nn.Parameter(np.asarray(rng.normal(size=shape), dtype)) for shape in SHAPES]


def gradients(params, t, dtype="float64"):
    """Random gradients; the second parameter gets none in every third step."""
    rng = np.random.default_rng(t)
    for i, p in enumerate(params):
        g = np.asarray(rng.normal(size=p.shape), dtype)
        p.grad = None if i == 1 and t % 3 == 2 else ag.tensor(g)


@both_ways
@optimizers
def test_against_the_formula(kind, formula, settings):
    params = parameters()
    optimizer = kind(params, **settings)
    values = [p.array for p in params]
    states, counts = [{} for _ in params], [0] * len(params)
    for t in range(8):
        gradients(params, t)
        for i, p in enumerate(params):
            if p.grad is not None:
                counts[i] += 1
                values[i] = formula(values[i], p.grad.array, states[i], counts[i], **settings)
        optimizer.step()
        for p, value in zip(params, values, strict=True):
            np.testing.assert_allclose(p.array, value, rtol=1e-12)
    assert optimizer.state_dict()["step"].tolist() == counts


@both_ways
@optimizers
def test_the_recorded_step_is_the_same_step(kind, formula, settings):
    for dtype in ("float32", "float64"):
        plain, recorded = parameters(dtype), parameters(dtype)
        one, two = kind(plain, **settings), kind(recorded, **settings)
        for t in range(5):
            gradients(plain, t, dtype)
            gradients(recorded, t, dtype)
            one.step()
            two.recorded_step()
        for a, b in zip(plain, recorded, strict=True):
            assert type(a.array) is np.ndarray
            assert a.dtype == b.dtype == dtype
            np.testing.assert_allclose(a.array, b.array, rtol=1e-12 if dtype == "float64" else 1e-6)


@both_ways
@optimizers
def test_resumed_runs_continue_bit_for_bit(kind, formula, settings):
    params = parameters("float32")
    optimizer = kind(params, **settings)
    for t in range(4):
        gradients(params, t, "float32")
        optimizer.step()
    others = [nn.Parameter(p.array) for p in params]
    other = kind(others, **settings)
    other.load_state_dict(optimizer.state_dict())
    for t in range(4, 8):
        gradients(params, t, "float32")
        gradients(others, t, "float32")
        optimizer.step()
        other.step()
    for a, b in zip(params, others, strict=True):
        np.testing.assert_array_equal(a.array, b.array)
    for name, array in optimizer.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name], strict=True)


@both_ways
@optimizers
def test_steps_write_into_no_array(kind, formula, settings):
    params = parameters()
    optimizer = kind(params, **settings)
    gradients(params, 0)
    held = [p.array for p in params] + [p.grad.array for p in params] + list(optimizer.state_dict().values())
    copies = [a.copy() for a in held]
    optimizer.step()
    for array, copy in zip(held, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)
    optimizer.step()  # nothing to do


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("way", ["eager", "recorded", "compiled"])
def test_moments_of_gradients_that_have_ended_settle_at_zero(way, dtype):
    """Shrunk and rounded up again they would stay denormal for ever, and every step take many times as long."""
    w = nn.Parameter(np.zeros(3, dtype))
    small = 100 * np.finfo(dtype).tiny
    for one in (nn.SGD([w], 0.1, momentum=0.9), nn.Adam([w], 0.1)):
        step = {"eager": one.step, "recorded": one.recorded_step, "compiled": ag.compile(one.step)}[way]
        w.grad = ag.tensor(np.array([small, math.nan, 1.0], dtype))
        for _ in range(96):
            step()
            w.grad = ag.zeros(3, dtype=dtype)
        (first, *_) = one.slots[0][1]
        np.testing.assert_array_equal(first.numpy()[:2], [0, math.nan])
        assert 0 < first.numpy()[2] < 1e-3


def test_large_steps_are_compiled_and_others_are_not(monkeypatch):
    monkeypatch.setattr(optimizer_module, "LARGE", 3)

    class Own(nn.SGD):
        """One's own may take arrays alone."""

    for kind, sizes, compiled in [(nn.SGD, (1, 5), True), (nn.SGD, (1, 4), False), (Own, (5, 5), False)]:
        params = [nn.Parameter(np.ones(size)) for size in sizes]
        optimizer = kind(params, 0.5)
        for p in params:
            p.grad = ag.ones(p.shape, dtype="float64")
        optimizer.step()
        optimizer.step()
        assert [p.numpy().tolist() for p in params] == [[0.0] * size for size in sizes]
        assert (optimizer.compiled is not None) is compiled
        other = deepcopy(optimizer)
        other.params[0].grad = ag.ones(sizes[0], dtype="float64")
        other.step()
        assert other.params[0].numpy().tolist() == [-0.5] * sizes[0]
        assert not params[0].numpy().any()
        gone = weakref.ref(optimizer)
        del optimizer
        assert gone() is None


def test_a_step_with_ever_other_gradients_is_left_to_numpy(monkeypatch):
    monkeypatch.setattr(optimizer_module, "LARGE", 0)
    params = [nn.Parameter(np.zeros(2)) for _ in range(5)]
    optimizer = nn.SGD(params, 1.0)
    for number in range(32):
        for i, p in enumerate(params):
            p.grad = ag.ones(2, dtype="float64") if number >> i & 1 else None
        optimizer.step()
    assert [p.numpy().tolist() for p in params] == [[-16.0, -16.0]] * 5
    assert len(optimizer.compiled.reasons) == optimizer_module.MOST_VARIANTS


def test_a_compiled_step_keeps_no_gradient(monkeypatch):
    monkeypatch.setattr(optimizer_module, "LARGE", 0)
    w = nn.Parameter(np.ones(3))
    optimizer = nn.SGD([w], 0.5, momentum=0.5)
    for _ in range(3):
        w.grad = ag.ones(3, dtype="float64")
        optimizer.step()
        gone = weakref.ref(w.grad.array)
        optimizer.zero_grad()
    assert gone() is None


def test_learning_rates_take_effect_at_once():
    w = nn.Parameter(np.array([1.0]))
    optimizer = optim.SGD([w], lr=0.5)
    w.grad = ag.tensor(np.array([1.0]))
    optimizer.lr = 0.25
    optimizer.step()
    assert w.item() == 0.75
    optimizer.lr = ag.tensor(np.float64(0.125))  # a traced rate is assigned, not read
    optimizer.step()
    assert w.item() == 0.625
    assert type(optimizer.lr) is float


def test_states_have_names_and_are_checked_before_anything_changes():
    a, b = parameters()[:2]
    optimizer = optim.SGD([("a", a), ("b", b)], lr=0.5, momentum=0.9)
    state = optimizer.state_dict()
    assert list(state) == ["lr", "momentum", "weight_decay", "step", "momentum.a", "momentum.b"]
    with pytest.raises(ValueError, match="read-only"):
        state["momentum.a"][0] = 1
    wrong = [
        ({"momentum.b": np.zeros(5)}, r"momentum\.b is float64\[5\], not float64\[4\]"),
        ({"momentum.a": np.zeros((3, 4), "float32")}, r"momentum\.a is float32\[3,4\], not float64\[3,4\]"),
        ({"more": np.zeros(1)}, "more is not known"),
        ({"lr": np.array(-1.0)}, "lr = -1"),
        ({"lr": np.array(np.inf)}, "lr = inf"),
        ({"weight_decay": np.array(0.1)}, "weight_decay was 0"),
        ({"step": np.array([1, -1])}, "negative"),
    ]
    for change, match in wrong:
        with pytest.raises(ValueError, match=match):
            optimizer.load_state_dict(state | {"momentum.a": np.ones((3, 4)), "lr": np.array(0.1)} | change)
        assert optimizer.lr == 0.5
        assert not optimizer.state_dict()["momentum.a"].any()
    with pytest.raises(ValueError, match=r"momentum\.b is missing"):
        optimizer.load_state_dict({k: v for k, v in state.items() if k != "momentum.b"})


def test_bad_parameters_and_settings():
    w = nn.Parameter([1.0])
    with pytest.raises(ValueError, match="no parameters"):
        optim.SGD([], 0.1)
    with pytest.raises(TypeError, match=r"params\[0\] is a Tensor float32\[1\], not a Parameter"):
        optim.Adam([ag.tensor([1.0])])
    with pytest.raises(TypeError, match="params is one tensor"):
        optim.Adam(w)
    with pytest.raises(ValueError, match="given twice"):
        optim.SGD([w, w], 0.1)
    with pytest.raises(ValueError, match="named a"):
        optim.SGD([("a", w), ("a", nn.Parameter([2.0]))], 0.1)
    for lr in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="SGD: lr"):
            optim.SGD([w], lr)
    with pytest.raises(ValueError, match=r"Adam: beta1 = 1: it must be in \[0, 1\)"):
        optim.Adam([w], betas=(1.0, 0.9))
    with pytest.raises(ValueError, match="momentum = -1"):
        optim.SGD([w], 0.1, momentum=-1)
    with pytest.raises(ValueError, match="nesterov"):
        optim.SGD([w], 0.1, nesterov=True)
    optimizer = optim.SGD([w], 0.1)
    with pytest.raises(ValueError, match="momentum was 0 when"):
        optimizer.momentum = 0.9
    with pytest.raises(ValueError, match="lr = nan"):
        optimizer.lr = math.nan
    optimizer.lr = 0.0  # where some schedules end
    assert optimizer.lr == 0.0


def test_clip_grad_norm():
    a, b, c = nn.Parameter([1.0]), nn.Parameter([[1.0, 2.0]]), nn.Parameter([5.0])
    shared = ag.tensor([3.0])
    a.grad, b.grad = shared, ag.tensor([[0.0, 4.0]])
    assert optim.clip_grad_norm([a, b, c], 10.0).item() == 5.0
    assert (a.grad.item(), c.grad) == (3.0, None)
    assert optim.clip_grad_norm(iter([a, b, c]), 1.0).item() == 5.0
    np.testing.assert_allclose([a.grad.item(), *b.grad.array[0]], [0.6, 0.0, 0.8], rtol=1e-6)
    assert shared.item() == 3.0
    assert a.grad.dtype == np.float32
    a.grad = ag.tensor([1e30])  # its square is no float32
    optim.clip_grad_norm([a], 2.0)
    np.testing.assert_allclose(a.grad.item(), 2.0, rtol=1e-6)
    with pytest.raises(ValueError, match="max_norm"):
        optim.clip_grad_norm([a], 0.0)


# Schedules ------------------------------------------------------------------------------------------------------------


def test_values_of_schedules():
    n = np.arange(12)
    np.testing.assert_allclose(schedules.step(0.5, 4, 0.1)(n), 0.5 * 0.1 ** (n // 4))
    np.testing.assert_allclose(schedules.exponential(0.5, 0.9)(n), 0.5 * 0.9**n)
    half = 0.1 + 0.4 * (1 + np.cos(np.pi * np.minimum(n, 8) / 8)) / 2
    np.testing.assert_allclose(schedules.cosine(0.5, 8, final=0.1)(n), half)
    rise = schedules.warmup(schedules.cosine(0.5, 8, final=0.1), 3, start=0.1)(n)
    np.testing.assert_allclose(rise, [0.05, 0.2, 0.35, *half[:9]], rtol=1e-12)
    # torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=10): its first, peak and last rates
    cycle = schedules.one_cycle(1.0, 10)(n)
    np.testing.assert_allclose(cycle[[0, 1, 2, 9, 11]], [0.04, 0.52, 1.0, 4e-6, 4e-6])
    assert (np.diff(cycle[2:10]) < 0).all()


def test_schedules_steer_an_optimizer():
    optimizer = optim.SGD([nn.Parameter([1.0])], lr=0.5)
    schedule = schedules.warmup(schedules.step(optimizer, 2, 0.5), 2, start=0.5)
    rates = []
    for _ in range(7):
        rates.append(optimizer.lr)
        schedule.step()
    np.testing.assert_allclose(rates, [0.25, 0.375, 0.5, 0.5, 0.25, 0.25, 0.125])
    traced = schedule.rate(ag.tensor(np.int64(7)))  # on tensors, for a captured step
    np.testing.assert_allclose(traced.item(), optimizer.lr)
    saved = json.loads(json.dumps(schedule.state_dict()))
    other = optim.SGD([nn.Parameter([1.0])], lr=9.0)
    again = schedules.warmup(schedules.step(other, 2, 0.5), 2, start=0.5)
    again.load_state_dict(saved)
    assert other.lr == optimizer.lr
    again.step()
    schedule.step()
    assert other.lr == optimizer.lr
    for wrong in ({"step": 1}, {"step": -1, "base": 0.1}, {"step": 1, "base": math.nan}):
        with pytest.raises(ValueError, match="load_state_dict"):
            again.load_state_dict(wrong)


def test_bad_schedules():
    with pytest.raises(ValueError, match="steps = 0"):
        schedules.cosine(0.1, 0)
    with pytest.raises(ValueError, match="factor = -1"):
        schedules.exponential(0.1, -1)
    with pytest.raises(ValueError, match="start = 2"):
        schedules.warmup(0.1, 5, start=2)
    with pytest.raises(ValueError, match="rise = 0"):
        schedules.one_cycle(0.1, 100, rise=0)
    with pytest.raises(TypeError, match="not list"):
        schedules.cosine([], 5)
    with pytest.raises(RuntimeError, match="made from a number"):
        schedules.cosine(0.1, 5).step()


# Batches --------------------------------------------------------------------------------------------------------------


def joined(batches):
    return np.concatenate([b[0] for b in batches]).tolist()


def rows(batches):
    return [b[0].tolist() for b in batches]


def test_batches_in_order():
    x, y = np.arange(7), np.arange(14).reshape(7, 2)
    plain = data.batches((x, y), 3, shuffle=False)
    assert rows(plain) == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(plain) == 3
    for a, b in plain:
        np.testing.assert_array_equal(b[:, 0], 2 * a)
        a[:] = -1  # a copy
    assert x[0] == 0
    cut = data.batches([x, y], 3, shuffle=False, drop_last=True)
    assert (len(cut), rows(cut), cut.examples) == (2, [[0, 1, 2], [3, 4, 5]], 6)
    assert rows(data.batches(x, 10, shuffle=False)) == [x.tolist()]


def test_batches_shuffle_reproducibly():
    x = np.arange(50)
    first, second = data.batches(x, 8, seed=3), data.batches((x, x), 8, seed=3)
    epochs = [joined(first) for _ in range(3)]
    assert all(sorted(e) == x.tolist() for e in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs == [joined(second) for _ in range(3)]
    second.epoch = 1  # resumed
    assert joined(second) == epochs[1]
    assert joined(data.batches(x, 8, seed=4)) != epochs[0]
    # Raw Philox numbers never change between NumPy versions, so neither does this.
    assert joined(data.batches(np.arange(6), 6, seed=0)) == [0, 2, 1, 5, 4, 3]


def test_batches_without_a_seed_follow_the_engine_s():
    def order():
        return rows(data.batches(np.arange(20), 5))

    ag.random.seed(1)
    first = order(), order()
    assert first[0] != first[1]
    ag.random.seed(1)
    assert (order(), order()) == first


def test_batches_of_tensors_and_of_nothing():
    t = ag.tensor(np.arange(6.0), requires_grad=True)
    (a,) = next(iter(data.batches(t, 4, shuffle=False)))
    a.sum().backward()
    assert t.grad.tolist() == [1, 1, 1, 1, 0, 0]
    (b,) = next(iter(data.batches(t.detach(), 4, seed=0)))
    assert isinstance(b, ag.Tensor)
    empty = data.batches(np.zeros((0, 3)), 4)
    assert (len(empty), list(empty)) == (0, [])


def test_bad_batches():
    with pytest.raises(ValueError, match=r"have \[3, 4\] rows"):
        data.batches((np.zeros(3), np.zeros(4)), 2)
    for size in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="batch_size"):
            data.batches(np.zeros(3), size)
    with pytest.raises(ValueError, match="needs rows"):
        data.batches((np.zeros(3), 1.0), 2)
    with pytest.raises(ValueError, match="no arrays"):
        data.batches((), 2)


# fit ------------------------------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """y = x·w + b, remembering in which mode it was called."""

    def __init__(self, features, out):
        self.w = nn.Parameter(np.zeros((features, out), np.float32))
        self.b = nn.Parameter(np.zeros(out, np.float32))
        self.modes = []

    def forward(self, x):
        assert x.dtype == np.float32
        self.modes.append((self.training, x.requires_grad or (x @ self.w).requires_grad))
        return x @ self.w + self.b


def squared(prediction, target):
    return ((prediction - target) ** 2).mean()


def line(n=64):
    x = np.random.default_rng(0).normal(size=(n, 2))  # float64, as users have it
    return x, x @ np.array([[2.0], [-1.0]]) + 0.5


def regression(**options):
    settings = {"epochs": 30, "progress": False} | options
    model = settings.pop("model", None) or Linear(2, 1)
    source = settings.pop("data", data.batches(line(), 16, seed=0))
    optimizer = settings.pop("optimizer", optim.SGD(model.parameters(), 0.1))
    return model, training.fit(model, source, squared, optimizer, settings.pop("epochs"), **settings)


def test_regression(capsys):
    model, history = regression(validation=line(20), compile=False)  # the model counts its calls
    assert history["loss"][-1] < 1e-4
    assert history["validation_loss"][-1] < 1e-4
    np.testing.assert_allclose(model.w.array.ravel(), [2, -1], atol=0.01)
    assert history.keys() == ["loss", "validation_loss", "lr", "seconds"]
    assert history.epochs == 30
    assert history["lr"] == [0.1] * 30
    assert model.modes[:5] == [(True, True)] * 4 + [(False, False)]
    assert capsys.readouterr() == ("", "")


def test_batches_begin_at_the_first_epoch():
    source = data.batches(line(), 16, seed=0)
    seen = []

    class Watched(data.Batches):
        def order(self, epoch):
            seen.append(epoch)
            return super().order(epoch)

    source.__class__ = Watched
    regression(data=source, epochs=3)
    assert seen == [0, 1, 2]


def test_classification_measures_accuracy():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 30)
    x = rng.normal(size=(90, 2)) + 4 * np.eye(3, 2)[labels]
    model = Linear(2, 3)
    optimizer = optim.Adam(model.parameters(), 0.05)
    history = training.fit(
        model, (x, labels), nn.cross_entropy, optimizer, 20, validation=[(x, labels)], progress=False
    )
    assert history["validation_accuracy"][-1] > 0.95
    assert history["accuracy"][0] < history["accuracy"][-1]
    exact = (model(ag.tensor(x.astype("f"))).array.argmax(1) == labels).mean()
    assert history["validation_accuracy"][-1] == pytest.approx(exact)
    silent = training.fit(model, (x, labels), nn.cross_entropy, optimizer, 1, progress=False, metrics={})
    assert silent.keys() == ["loss", "lr", "seconds"]


def test_metrics_are_means_over_rows():
    _, history = regression(
        epochs=1,
        data=[(np.ones((3, 2)), np.zeros((3, 1))), (np.ones((1, 2)), np.zeros((1, 1)))],
        metrics={"rows": lambda prediction, target: len(target)},
    )
    assert history["rows"] == [(3 * 3 + 1 * 1) / 4]


def test_schedules_step_once_a_batch():
    model = Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), 0.1)
    schedule = schedules.step(optimizer, 4, 0.5)  # an epoch has four batches
    _, history = regression(model=model, optimizer=optimizer, schedule=schedule, epochs=3)
    assert history["lr"] == [0.1, 0.05, 0.025]


def test_callbacks_stop():
    calls = []
    stop_third = lambda history, model: history.epochs == 3
    _, history = regression(callbacks=(h for h in (stop_third, lambda h, m: calls.append(h.epochs))))
    assert history.epochs == 3
    assert calls == [1, 2, 3]

    def raises(history, model):
        raise StopIteration

    assert regression(callbacks=[raises])[1].epochs == 1
    stop = training.early_stopping(patience=2, monitor="loss", min_delta=10.0)
    assert regression(callbacks=[stop])[1].epochs == 3  # the first counts as better than nothing


def test_save_best(tmp_path):
    path = tmp_path / "best.safetensors"
    kept = []

    def spoil(history, model):
        kept.append(model.state_dict())
        if history.epochs == 2:
            model.w.assign(model.w.array + 100)

    _, history = regression(epochs=4, validation=line(20), callbacks=[spoil], save_best=path)
    assert history.best_epoch == 1
    best = Linear(2, 1)
    assert nn.load(path, best) == {"epoch": 1, "validation_loss": history["validation_loss"][1]}
    np.testing.assert_array_equal(best.w.array, kept[1]["w"])


def test_a_loss_that_is_not_finite_stops_before_the_parameters_change():
    x, y = line(8)
    model = Linear(2, 1).eval()
    batches = [(x, y), (x, y * np.inf)]
    after_one = Linear(2, 1)
    training.fit(after_one, batches[:1], squared, optim.SGD(after_one.parameters(), 0.1), 1, progress=False)
    with pytest.raises(FloatingPointError, match=r"loss is inf in epoch 1, step 2 \(lr 0\.1\)"):
        training.fit(model, batches, squared, optim.SGD(model.parameters(), 0.1), 3, progress=False)
    np.testing.assert_array_equal(model.w.array, after_one.w.array)
    assert model.training is False


def test_modes_are_restored_module_by_module():
    model = nn.Sequential(Linear(2, 2), Linear(2, 1))
    frozen = model.modules()[1].eval()
    optimizer = optim.SGD(model.parameters(), 0.1)
    training.fit(model, line(), squared, optimizer, 1, validation=line(), progress=False)
    assert (model.training, frozen.training) == (True, False)


def test_the_keyboard_ends_training_with_the_history_so_far(capsys):
    def press(history, model):
        if history.epochs == 2:
            raise KeyboardInterrupt

    _, history = regression(callbacks=[press])
    assert history.epochs == 2
    assert "stopped by the keyboard after 2 of 30 epochs" in capsys.readouterr().out


def test_lines_where_there_is_no_terminal(capsys):
    regression(epochs=3, progress=True, validation=line(20))
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert len(lines) == 3
    for part in ("epoch 1/3 · loss ", " · validation loss ", " examples/s · ", " s left"):
        assert part in lines[0]
    regression(epochs=25, progress=10)
    numbers = [text.split("/")[0] for text in capsys.readouterr().out.splitlines()]
    assert numbers == ["epoch 10", "epoch 20", "epoch 25"]
    with pytest.raises(ValueError, match="progress = -1"):
        regression(progress=-1)


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    import sys

    import tqdm

    monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)  # no thread left behind
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    regression(epochs=3, progress=True, validation=line(20))
    regression(epochs=2, progress=True, data=[line(10)])
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 3/3" in err
    assert "192/192" in err
    assert "20.0/20.0" in err or "20/20" in err
    assert "validation loss" in err


def test_bad_arguments_of_fit():
    x, y = line(8)
    with pytest.raises(ValueError, match=r"epochs = 1\.5"):
        regression(epochs=1.5)
    with pytest.raises(TypeError, match="only once"):
        regression(data=iter([(x, y)]))
    with pytest.raises(TypeError, match="data is a Tensor"):
        regression(data=ag.tensor([1.0]))
    with pytest.raises(TypeError, match="tuple of 1 where"):
        regression(data=[(x,)])
    with pytest.raises(TypeError, match="a ndarray where"):
        regression(data=[x, y])
    with pytest.raises(ValueError, match="data gave no batch"):
        regression(data=data.batches((x[:0], y[:0]), 4))
    assert regression(epochs=0)[1].epochs == 0


# History --------------------------------------------------------------------------------------------------------------


def test_history_keeps_shows_and_saves(tmp_path):
    history = History()
    assert repr(history) == "History(0 epochs)"
    history.record(loss=0.5, accuracy=0.1, validation_loss=math.nan, validation_accuracy=0.2, lr=0.1)
    history.record(loss=0.001, accuracy=0.9, validation_loss=0.3, validation_accuracy=0.8, lr=0.1)
    assert (history.best_epoch, history.epochs, "loss" in history) == (1, 2, True)
    with pytest.raises(KeyError, match=r"no 'acuracy', only loss, accuracy"):
        history["acuracy"]
    with pytest.raises(ValueError, match="an epoch with"):
        history.record(loss=1.0)
    history.save(tmp_path / "h.json")
    assert json.loads((tmp_path / "h.json").read_text())["validation_loss"] == [None, 0.3]
    figure = history.plot(tmp_path / "h.png")
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")
    html = history._repr_html_()  # with _repr_png_ inside
    assert "data:image/png;base64,iVBOR" in html
    assert "<table>" in html
    History().plot()


def test_a_failed_fit_leaves_the_buffers_as_before_the_failing_step():
    model = nn.Sequential(nn.BatchNorm(2), nn.Dense(2, 1))
    x = np.ones((4, 2), np.float32)
    with pytest.raises(FloatingPointError):
        nn.fit(model, (x * np.nan, x[:, :1]), nn.mse_loss, nn.SGD(model.parameters(), 0.1), 1, progress=False)
    assert all(np.isfinite(buffer.numpy()).all() for buffer in model.buffers())


def test_steps_run_compiled_and_leave_what_eager_steps_leave():
    ends = []
    for compile in (True, False):
        model, history = regression(compile=compile)
        ends.append((history["loss"], model.w.array, model.b.array))
    for compiled, eager in zip(*ends, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-4, atol=1e-6)


def test_a_loss_that_python_looks_at_runs_uncompiled_and_says_so(capsys):
    def looking(prediction, target):
        found = squared(prediction, target)
        return found if float(found) > 0 else found * 2

    model = Linear(2, 1)
    history = training.fit(model, line(), looking, optim.SGD(model.parameters(), 0.1), 3, progress=False)
    assert history["loss"][-1] < history["loss"][0]
    assert "fit: steps run uncompiled, for the value of" in capsys.readouterr().out
