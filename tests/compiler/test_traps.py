"""The traps that capturing compilers are known for: what such a compiler freezes, forgets or mixes up."""

import gc
import threading
import weakref
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

import autograd_core as ag
import nn
from autograd_core.compiler import TracedValueError

X = np.array([1.0, 2.0, 3.0], "f4")


def ramp(*shape, dtype="f4"):
    return np.arange(1, 1 + np.prod(shape), dtype=dtype).reshape(shape)


def descent(w, lr=0.5):
    """A step that takes w down the slope of its square."""
    optimizer = nn.SGD([w], lr=lr)

    def step():
        loss = (w * w).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, optimizer


# Numbers that must not freeze ----------------------------------------------------------------------------------


def test_a_learning_rate_is_an_input():
    w = nn.Parameter([1.0])
    step, optimizer = descent(w)
    step = ag.compile(step)
    for lr in (0.25, 0.125, 0.5):
        before = w.item()
        optimizer.lr = lr
        step()
        assert w.item() == before * (1 - 2 * lr)


def test_a_schedule_inside_goes_on():
    w = nn.Parameter([1.0])
    step, optimizer = descent(w)
    schedule = nn.schedules.exponential(optimizer, 0.5)

    @ag.compile
    def scheduled():
        step()
        schedule.step()

    for n in range(1, 5):
        scheduled()
        assert optimizer.lr == 0.5 * 0.5**n


def test_every_call_drops_out_other_elements():
    layer = nn.Dropout(0.5)
    masks = {ag.compile(layer)(np.ones(64, "f4")).numpy().tobytes()}
    f = ag.compile(layer)
    masks |= {f(np.ones(64, "f4")).numpy().tobytes() for _ in range(3)}
    assert len(masks) == 4


def test_a_seed_set_between_two_calls():
    f = ag.compile(lambda: ag.random.uniform(8))
    f()
    ag.random.seed(3)
    got = f().numpy()
    ag.random.seed(3)
    np.testing.assert_array_equal(got, ag.random.uniform(8).numpy())


def test_a_number_of_the_closure():
    scale = 2.0

    @ag.compile
    def f(x):
        return x * scale

    assert f(X).numpy()[0] == 2
    scale = 3.0
    assert f(X).numpy()[0] == 3


@pytest.mark.parametrize(("first", "second"), [(0.0, -0.0), (1, True), (1, 1.0), (2.0, np.float64(2.0))])
def test_static_numbers_that_are_equal_but_not_the_same(first, second):
    def f(x, n):
        return ag.atan2(x * n, -x), x.astype("int32") * n

    compiled = ag.compile(f)
    x = ag.tensor([1.0])
    for n in (first, second, first):
        for got, want in zip(compiled(x, n), f(x, n), strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got.numpy(), want.numpy())


def test_zero_of_the_closure_changes_its_sign():
    zero = 0.0
    f = ag.compile(lambda x: ag.atan2(x * zero, -x))
    assert f(X).numpy()[0] > 3
    zero = -0.0
    assert f(X).numpy()[0] < -3


SCALE = 2.0


def scaled(x):
    return x * SCALE


def test_a_global_of_the_function(monkeypatch):
    f = ag.compile(scaled)
    assert f(X).numpy()[0] == 2
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    assert f(X).numpy()[0] == 5


def test_a_global_of_a_function_that_it_calls(monkeypatch):
    f = ag.compile(lambda x: scaled(x) + 1)
    assert f(X).numpy()[0] == 3
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    assert f(X).numpy()[0] == 6


class Trainer:
    def __init__(self):
        self.scale = 2.0

    def step(self, x):
        return x * self.scale


def test_an_attribute_of_the_object_whose_method_it_is():
    trainer = Trainer()
    f = ag.compile(trainer.step)
    assert f(X).numpy()[0] == 2
    trainer.scale = 3.0
    assert f(X).numpy()[0] == 3


def test_an_attribute_of_an_object_in_the_closure():
    settings = SimpleNamespace(scale=2.0)
    f = ag.compile(lambda x: x * settings.scale)
    assert f(X).numpy()[0] == 2
    settings.scale = 3.0
    assert f(X).numpy()[0] == 3


def test_an_entry_of_a_dict_in_the_closure():
    settings = {"scale": 2.0}
    f = ag.compile(lambda x: x * settings["scale"])
    assert f(X).numpy()[0] == 2
    settings["scale"] = 3.0
    assert f(X).numpy()[0] == 3


def test_an_array_of_the_closure_is_written_to():
    table = np.ones(3, "f4")
    f = ag.compile(lambda x: x + table)
    f(X)
    table[:] = 7
    np.testing.assert_array_equal(f(X).numpy(), X + 7)


def test_an_array_of_the_closure_is_another_one():
    table = np.ones(3, "f4")
    f = ag.compile(lambda x: x + table)
    f(X)
    table = np.full(3, 7, "f4")
    np.testing.assert_array_equal(f(X).numpy(), X + table)


def test_a_tensor_of_the_closure_is_another_one():
    table = ag.tensor([1.0, 1.0, 1.0])
    f = ag.compile(lambda x: x + table)
    f(X)
    table = ag.tensor([7.0, 7.0, 7.0])
    np.testing.assert_array_equal(f(X).numpy(), X + 7)


def test_a_function_of_the_closure_is_another_one():
    activation = ag.relu
    f = ag.compile(lambda x: activation(x))
    f(-X)
    activation = ag.tanh
    np.testing.assert_allclose(f(-X).numpy(), np.tanh(-X), rtol=1e-6)


def test_numbers_from_shapes():
    f = ag.compile(lambda x: x.sum() / x.shape[0] * len(x))
    for n in (2, 5, 2):
        assert f(np.ones((n, 3), "f4")).item() == 3 * n


# Modes and modules ---------------------------------------------------------------------------------------------


def test_train_and_eval_alternate():
    model = nn.Sequential(nn.BatchNorm(3), nn.Dropout(0.5))
    f = ag.compile(model)
    x = ramp(8, 3)
    for mode in (True, False, True, False):
        model.train(mode)
        before = model.layers[0].running_mean.numpy().copy()
        f(x)
        assert (before != model.layers[0].running_mean.numpy()).any() == mode


def test_a_layer_frozen_between_two_steps():
    model = nn.Sequential(nn.Dense(3, 4), nn.Dense(4, 1))
    ends = []
    for compiled in (False, True):
        ag.random.seed(1)
        model = nn.Sequential(nn.Dense(3, 4), nn.Dense(4, 1))

        def step(x, model=model):
            model.zero_grad()
            model(x).sum().backward()

        step = ag.compile(step) if compiled else step
        grads = []
        for free in (True, False, True):
            model.layers[0].weight.requires_grad = free
            step(ramp(2, 3))
            grads.append([None if p.grad is None else p.grad.tolist() for p in model.parameters()])
        ends.append(grads)
    for want, got in zip(*ends, strict=True):
        assert [g is None for g in got] == [g is None for g in want]


def test_a_parameter_is_replaced():
    layer = nn.Dense(3, 1)
    f = ag.compile(layer)
    f(ramp(2, 3))
    layer.weight = nn.Parameter(np.zeros((3, 1), "f4"))
    np.testing.assert_array_equal(f(ramp(2, 3)).numpy(), layer(ramp(2, 3)).numpy())


def test_a_parameter_is_replaced_of_a_module_that_is_not_called():
    layer = nn.Dense(3, 1)
    f = ag.compile(lambda x: x @ layer.weight)
    f(ramp(2, 3))
    layer.weight = nn.Parameter(np.zeros((3, 1), "f4"))
    assert not f(ramp(2, 3)).numpy().any()


def test_a_layer_is_replaced_and_one_added():
    model = nn.Sequential(nn.Dense(3, 3), nn.ReLU())
    f = ag.compile(model)
    for change in (lambda: None, lambda: model.layers.append(nn.Tanh()), lambda: model.layers.pop(0)):
        change()
        np.testing.assert_allclose(f(ramp(2, 3)).numpy(), model(ramp(2, 3)).numpy(), rtol=1e-6)


def test_states_loaded_between_two_steps():
    model = nn.Dense(3, 1)
    optimizer = nn.Adam(model.parameters(), lr=0.1)

    @ag.compile
    def step(x):
        loss = model(x).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step(ramp(2, 3))
    saved = model.state_dict(), optimizer.state_dict()
    losses = [step(ramp(2, 3)).item() for _ in range(2)]
    model.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    assert [step(ramp(2, 3)).item() for _ in range(2)] == losses


def test_a_gradient_set_to_none_or_given_between_two_steps():
    w = nn.Parameter([1.0])

    @ag.compile
    def accumulate():
        (w * 3).sum().backward()

    for given, wanted in ((None, 3), ("keep", 6), (None, 3), (ag.tensor([10.0]), 13)):
        if given != "keep":
            w.grad = given
        accumulate()
        assert w.grad.item() == wanted


# Shapes, dtypes, layouts ---------------------------------------------------------------------------------------


def test_other_shapes_and_dtypes():
    f = ag.compile(lambda x: x * 2 + 1)
    for x in (
        ramp(3),
        ramp(2, 3),
        ramp(3, dtype="f8"),
        ramp(3, dtype="i4"),
        np.array([True, False]),
        ramp(3),
    ):
        want = (ag.tensor(x) * 2 + 1).numpy()
        got = f(x).numpy()
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


LAYOUTS = {
    "transposed": lambda x: x.T.copy().T, "reversed": lambda x: x[::-1], "every second": lambda x: x.repeat(2, 0)[::2],
    "byte-swapped": lambda x: x.astype(">f4"), "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "misaligned": lambda x: np.frombuffer(b" " + x.tobytes(), "f4", x.size, 1).reshape(x.shape),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("first", [True, False])
def test_arguments_that_lie_otherwise(layout, first):
    f = ag.compile(lambda x: x * 2 + x.sum(axis=0))
    x = LAYOUTS[layout](ramp(4, 3))
    x.flags.writeable = False
    for each in (x, ramp(4, 3), x) if first else (ramp(4, 3), x, ramp(4, 3)):
        np.testing.assert_array_equal(f(each).numpy(), each * 2 + each.sum(axis=0))


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1, 1)])
def test_empty_and_single_arguments(shape):
    f = ag.compile(lambda x: (x.exp() * 2, x.sum(), (x * x).sum(axis=tuple(range(x.ndim)), keepdims=True)))
    for k in range(3):
        x = np.full(shape, k, "f4")
        for got, want in zip(f(x), (np.exp(x) * 2, x.sum(), (x * x).sum(keepdims=True)), strict=True):
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


# Who holds what ------------------------------------------------------------------------------------------------


def test_one_tensor_twice_and_two_tensors():
    f = ag.compile(lambda x, y: x * 10 + y)
    a, b = ag.tensor([1.0]), ag.tensor([2.0])
    assert [f(*pair).item() for pair in ((a, a), (a, b), (b, b), (b, a), (a, a.detach()), (a, b.detach()))] == [
        11, 12, 22, 21, 11, 12,
    ]  # fmt: skip


def test_gradients_of_one_tensor_given_twice():
    def f(x, y):
        (x * y).sum().backward()

    compiled = ag.compile(f)
    for same in (False, True, False):
        x = ag.tensor([3.0], requires_grad=True)
        y = x if same else ag.tensor([5.0], requires_grad=True)
        compiled(x, y)
        assert x.grad.item() == (6 if same else 5)


def test_a_parameter_of_the_closure_given_as_argument():
    w = nn.Parameter([3.0])

    @ag.compile
    def f(x):
        (x * w).sum().backward()
        return x + w

    other = ag.tensor([5.0], requires_grad=True)
    for x, slope, total in ((other, 5, 8), (w, 6, 6), (other, 5, 8)):
        w.grad = other.grad = None
        assert f(x).item() == total
        assert w.grad.item() == slope


def test_two_states_that_share_an_array():
    w, target = nn.Parameter([1.0]), nn.Buffer([0.0])
    target.assign(w)  # takes the array itself

    @ag.compile
    def step():
        gap = (w - target).sum()
        w.assign(w.detach() + 1)
        return gap

    assert [step().item() for _ in range(4)] == [0, 1, 2, 3]


def test_a_gradient_added_to_the_argument_of_this_call():
    @ag.compile
    def f(x):
        (x * 3).sum().backward()

    x, y = ag.tensor([1.0], requires_grad=True), ag.tensor([1.0], requires_grad=True)
    for each, wanted in ((x, 3), (y, 3), (x, 6), (y, 6), (y, 9), (x, 9)):
        f(each)
        assert each.grad.item() == wanted


def test_old_results_states_and_gradients_stay():
    w = nn.Parameter([1.0, 2.0])
    step, optimizer = descent(w, lr=0.25)
    optimizer = nn.SGD([w], lr=0.25, momentum=0.9)
    step = ag.compile(step)
    held, copies = [], []
    for _ in range(5):
        loss = step()
        now = [loss.numpy(), w.detach().numpy(), w.numpy(), w.grad.numpy(), *optimizer.state_dict().values()]
        held.append(now)
        copies.append([np.array(a) for a in now])
    for now, before in zip(held, copies, strict=True):
        for a, b in zip(now, before, strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_argument_written_to_after_the_call():
    f = ag.compile(lambda x: (x, x.reshape(-1), x * 1))
    for _ in range(3):
        x = X.copy()
        found = f(x)
        x[:] = 0
        for each in found:
            np.testing.assert_array_equal(each.numpy(), X)


def test_an_array_given_twice_with_other_numbers():
    f = ag.compile(lambda x: x + 1)
    x = X.copy()
    for k in range(3):
        x[:] = k
        assert f(x).numpy()[0] == k + 1


def test_a_deleted_function_frees_its_model():
    def build():
        model = nn.Sequential(nn.Dense(4, 4), nn.BatchNorm(4))
        step = ag.compile(lambda x: model(x).sum().backward())
        step(ramp(3, 4))
        step(ramp(3, 4))
        return weakref.ref(model), step

    gc.disable()
    try:
        model, step = build()
        assert model() is not None
        del step
        assert model() is None
    finally:
        gc.enable()


def test_arguments_are_not_kept():
    f = ag.compile(lambda x: x * 2)
    for _ in range(2):
        x = ag.tensor(X)
        reference = weakref.ref(x)
        f(x)
        del x
        assert reference() is None


# Python ----------------------------------------------------------------------------------------------------------


@dataclass
class Settings:  # equality without a hash
    scale: float


def test_static_arguments_without_a_hash():
    f = ag.compile(lambda x, settings: x * settings.scale)
    assert [f(X, Settings(float(n))).numpy()[0] for n in range(1, 6)] == [1, 2, 3, 4, 5]


def test_static_arguments_alternate():
    f = ag.compile(lambda x, *, mode, n=1: (x.exp() if mode == "exp" else -x) * n)
    for mode, n in (("exp", 1), ("minus", 1), ("exp", 2), ("exp", 1), ("minus", 1)):
        want = (np.exp(X) if mode == "exp" else -X) * n
        np.testing.assert_allclose(f(X, mode=mode, n=n).numpy(), want, rtol=1e-6)
    assert sum(map(len, f.variants.values())) == 3


def test_data_dependent_branches_and_shapes_are_refused():
    t = ag.tensor
    refused = {
        "if": lambda x: x if x.sum() > 0 else -x, "int": lambda x: x * int(x.sum()),
        "index": lambda x: x[x.argmax().item()],
        "mask": lambda x: x[x > 1], "nonzero": lambda x: ag.nonzero(x), "unique": lambda x: ag.unique_values(x),
        "for": lambda x: sum(v for v in x + 1), "in": lambda x: 2.0 in x + 1, "repr": lambda x: repr(x + 1) and x,
        "range": lambda x: x * len(range(x.sum().astype("int64"))), "max": lambda x: max(x + 1),
        "assert": lambda x: 1 if (x > 0).all() else 2,
    }  # fmt: skip
    for name, f in refused.items():
        with pytest.raises(TracedValueError) as caught:
            ag.compile(f)(t(X))
        assert len(str(caught.value)) > 30, name


def test_results_that_hide_tensors_are_refused():
    with pytest.raises(TypeError, match="SimpleNamespace"):
        ag.compile(lambda x: SimpleNamespace(loss=x.sum()))(X)


def test_an_exception_at_capture_undoes_everything():
    model = nn.Sequential(nn.Dense(3, 3), nn.BatchNorm(3), nn.Dropout(0.5))
    optimizer = nn.Adam(model.parameters())
    fail = True

    def step(x):
        loss = model(x).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if fail:
            raise KeyError("stop")
        return loss

    def everything():
        states = {**model.state_dict(), **optimizer.state_dict(), "stream": ag.random.get_state()}
        return {name: np.array(array) for name, array in states.items()}

    before = everything()
    compiled = ag.compile(step)
    with pytest.raises(KeyError):
        compiled(ramp(4, 3))
    for name, array in everything().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert all(p.grad is None for p in model.parameters())
    fail = False
    compiled(ramp(4, 3))
    compiled(ramp(4, 3))


def test_a_label_out_of_range_at_replay():
    model = nn.Dense(3, 4)
    optimizer = nn.SGD(model.parameters(), lr=0.1)

    @ag.compile
    def step(x, labels):
        loss = nn.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step(ramp(2, 3), np.array([0, 3]))
    before = model.state_dict()
    with pytest.raises(ValueError, match="4"):
        step(ramp(2, 3), np.array([0, 4]))
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_an_index_out_of_range_at_replay():
    f = ag.compile(lambda x, i: ag.take(x, i, axis=0))
    f(X, np.array([0, 2]))
    with pytest.raises(IndexError):
        f(X, np.array([0, 3]))
    np.testing.assert_array_equal(f(X, np.array([-1, 1])).numpy(), [3, 2])


def test_an_operation_that_fails_at_replay():
    f = ag.compile(lambda x: ag.linalg.inv(x) * 2)
    f(np.eye(2))
    with pytest.raises(np.linalg.LinAlgError):
        f(np.zeros((2, 2)))
    np.testing.assert_allclose(f(2 * np.eye(2)).numpy(), np.eye(2))


def test_one_compiled_function_inside_another():
    inner = ag.compile(lambda x: x * x)
    outer = ag.compile(lambda x: inner(x) + inner(x + 1))
    for k in range(3):
        np.testing.assert_array_equal(outer(X + k).numpy(), (X + k) ** 2 + (X + k + 1) ** 2)
        np.testing.assert_array_equal(inner(X + k).numpy(), (X + k) ** 2)


def test_a_compiled_loss_under_grad():
    f = ag.compile(lambda x: (x * x).sum())
    f(ag.tensor(X, requires_grad=True))
    with pytest.raises(RuntimeError, match="keeps no graph"):
        ag.grad(f)(ag.tensor(X))


@pytest.mark.parametrize("change", ["in place", "assigned", "set to None"])
def test_a_gradient_that_is_changed_between_calls(change):
    w = nn.Parameter([2.0, 3.0])

    @ag.compile
    def step(scale):
        w.grad = None
        ((w * w).sum() * scale).backward()

    for k in range(1, 5):
        step(float(k) * np.ones((), "f4"))
        np.testing.assert_array_equal(w.grad.numpy(), [4.0 * k, 6.0 * k])
        with ag.no_grad():
            if change == "in place":
                w.grad *= 0.5
            elif change == "assigned":
                w.grad = ag.ones(2)
            else:
                w.grad = None


def test_two_threads_run_one_function():
    f = ag.compile(lambda x: (x * 2 + 1).exp().sum(axis=1))
    wrong = []

    def work(k):
        x = np.full((50, 40), k / 10, "f4")
        want = np.exp(x * 2 + 1).sum(axis=1)
        wrong.extend(k for _ in range(50) if not np.allclose(f(x).numpy(), want, rtol=1e-4))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_two_threads_train_one_model():
    w = nn.Parameter([0.0])

    @ag.compile
    def step():
        w.assign(w.detach() + 1)

    threads = [threading.Thread(target=lambda: [step() for _ in range(100)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert w.item() == 200


def test_grad_mode_is_part_of_the_setting():
    w = nn.Parameter([2.0])
    f = ag.compile(lambda: w * w)
    for recording in (True, False, True, False):
        with (ag.enable_grad if recording else ag.no_grad)():
            assert f().requires_grad == recording


def test_the_default_dtype_is_part_of_the_setting():
    f = ag.compile(lambda: ag.ones(2))
    for dtype in ("float32", "float64", "float32"):
        ag.set_default_dtype(dtype)
        assert f().dtype == dtype


# Numbers that are rare -------------------------------------------------------------------------------------------


def test_roots_of_minus_infinity_and_minus_zero():
    """NumPy's x ** 0.5 is sqrt, which gives NaN and −0 where the C library's pow gives ∞ and 0."""
    x = np.array([-np.inf, -0.0, 4.0], "f4")
    f = ag.compile(lambda x: x**0.5)
    with np.errstate(invalid="ignore"):
        for _ in range(2):
            np.testing.assert_array_equal(f(x).numpy(), [np.nan, 0, 2])
            assert np.signbit(f(x).numpy()[1])


@pytest.mark.parametrize("name", ["isfinite", "isnan", "remainder", "floor_divide"])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64"])
def test_functions_that_have_code_for_floats_only(name, dtype):
    x = np.array([1, 0, 1]).astype(dtype)
    f = (
        getattr(ag, name)
        if name.startswith("is") or name == "sign"
        else lambda x: getattr(ag, name)(x + 7, 3)
    )
    compiled = ag.compile(f)
    for each in (x, x[::-1]):
        got, want = compiled(each).numpy(), f(ag.tensor(each)).numpy()
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64", "uint64"])
@pytest.mark.parametrize("name", ["remainder", "floor_divide"])
def test_division_of_integers_rounds_down_and_stops_at_nothing(name, dtype):
    """The processor ends a program that divides by 0, or the least number by -1."""
    limits = np.iinfo(dtype)
    numbers = np.array([limits.min, limits.max, 0, 1, 2, 3, 7, 8, 100], dtype)
    numbers = np.concatenate([numbers, (0 - numbers[2:].astype("i8")).astype(dtype)])
    x, y = np.repeat(numbers, numbers.size), np.tile(numbers, numbers.size)
    f = ag.compile(getattr(ag, name))
    with np.errstate(all="ignore"):
        f(x, y)
        assert "left to Python: nothing" in str(f.explain())
        np.testing.assert_array_equal(f(x, y).numpy(), getattr(np, name)(x, y))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8"])
def test_small_integers_are_computed_with_in_float32(dtype):
    """NumPy would do so in float16."""
    f = ag.compile(ag.exp)
    for _ in range(2):
        np.testing.assert_allclose(f(np.ones(5, dtype)).numpy(), np.exp(np.ones(5, "f4")), rtol=1e-6)
