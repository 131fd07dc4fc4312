"""Compiled functions give what the functions themselves give, call after call."""

import numpy as np
import pytest

import autograd_core as ag
import nn
from autograd_core.compiler import TracedValueError, codegen
from autograd_core.compiler.arithmetic import Arithmetic


def training(model, optimizer, loss):
    def step(x, y):
        value = loss(model(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value

    return step


def dense():
    return nn.Sequential(nn.Dense(3, 8), nn.ReLU(), nn.Dense(8, 4))


def images():
    return nn.Sequential(
        nn.Conv(1, 4, 3, padding=1, bias=False), nn.BatchNorm(4), nn.ReLU(), nn.MaxPool(2), nn.Flatten(),
        nn.Dropout(0.25), nn.Dense(64, 4),
    )  # fmt: skip


CASES = {
    "dense": (dense, (6, 3)),
    "images": (images, (5, 1, 8, 8)),
}
OPTIMIZERS = {
    "SGD": lambda p: nn.SGD(p, lr=0.05, momentum=0.9),
    "Adam": lambda p: nn.Adam(p, lr=0.01),
    "AdamW": lambda p: nn.AdamW(p, lr=0.01),
    "RMSprop": lambda p: nn.RMSprop(p, lr=0.01, momentum=0.5),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", CASES)
def test_training_leaves_everything_as_eager_training_does(case, optimizer):
    build, shape = CASES[case]
    rng = np.random.default_rng(0)
    batches = [(rng.standard_normal(shape).astype("f4"), rng.integers(0, 4, shape[0])) for _ in range(4)]
    ends = []
    for compiled in (False, True):
        ag.random.seed(5)
        model = build()
        steps = OPTIMIZERS[optimizer](model.parameters())
        step = training(model, steps, nn.cross_entropy)
        step = ag.compile(step) if compiled else step
        losses = [step(x, y).item() for x, y in batches]
        state = {**model.state_dict(), **steps.state_dict()}
        grads = [p.grad.numpy() for p in model.parameters()]
        ends.append((losses, state, grads, ag.random.get_state()))
    (losses, state, grads, stream), (others, other_state, other_grads, other_stream) = ends
    np.testing.assert_allclose(others, losses, rtol=1e-5)
    for name, array in state.items():
        np.testing.assert_allclose(other_state[name], array, rtol=1e-3, atol=1e-5, err_msg=name)
    for a, b in zip(other_grads, grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    assert (stream == other_stream).all()


def test_what_somebody_holds_is_not_written_over():
    w = nn.Parameter([1.0, 2.0])
    optimizer = nn.SGD([w], lr=0.5)

    @ag.compile
    def step():
        loss = (w * w).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    seen = []
    for _ in range(4):
        step()
        seen.append((w.detach(), w.numpy(), w.grad))
    values = [1.0, 0.0, 0.0, 0.0]
    for (tensor, array, _), wanted in zip(seen, [np.array([0.0, 0.0])] * 4, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), wanted)
        np.testing.assert_array_equal(array, wanted)
    assert [g.numpy()[0] for _, _, g in seen] == [2.0 * v for v in values]


READS = {
    "float": float, "bool": bool, "numpy": ag.Tensor.numpy, "iteration": list, "print": print,
    "format": "{:.2f}".format,
    "tolist": ag.Tensor.tolist, "item": ag.Tensor.item, "np.asarray": np.asarray,
}  # fmt: skip


@pytest.mark.parametrize("read", READS)
def test_reading_a_traced_value_names_the_line(read):
    @ag.compile
    def f(x):
        y = x * 2 if read == "iteration" else (x * 2).sum()
        READS[read](y)
        return y

    with pytest.raises(TracedValueError, match=r"READS\[read\]\(y\).*ag.where"):
        f(ag.tensor([1.0, 2.0]))


def test_an_exception_leaves_everything_as_it_was():
    w = nn.Parameter([1.0])
    before = w.array

    @ag.compile
    def f():
        (w * 3).sum().backward()
        w.assign(w * 2)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        f()
    assert w.array is before
    assert w.grad is None


def test_an_unwanted_gradient_says_so():
    f = ag.compile(dense())
    x = np.ones((2, 3), "f4")
    f(x)
    with pytest.raises(RuntimeError, match="keeps no graph"):
        f(x).sum().backward()


def test_verify_every_runs_the_function_too_and_finds_what_was_frozen():
    rng = np.random.default_rng(0)
    w = nn.Parameter([1.0, 2.0])

    def noisy(x):
        return (w * x + rng.standard_normal(2).astype("f4")).exp()

    f = ag.compile(noisy, verify_every=3)
    x = ag.tensor([1.0, 2.0])
    for _ in range(3):
        f(x)
    with pytest.raises(
        AssertionError, match="noisy differs from the function itself: a number that Python makes"
    ):
        f(x)


def test_verify_every_accepts_a_training_step_and_leaves_one_step_done():
    def weights(**options):
        ag.random.seed(3)
        model = images()
        optimizer = nn.SGD(model.parameters(), lr=0.1, momentum=0.9)
        step = ag.compile(training(model, optimizer, nn.cross_entropy), **options)
        rng = np.random.default_rng(1)
        for _ in range(5):
            step(rng.standard_normal((4, 1, 8, 8)).astype("f4"), rng.integers(0, 4, 4))
        return model.state_dict()

    plain, checked = weights(), weights(verify_every=2)
    for name, array in plain.items():
        np.testing.assert_array_equal(checked[name], array, err_msg=name)


def test_verify_names_the_operation_that_a_kernel_gets_wrong(monkeypatch):
    monkeypatch.setattr(Arithmetic, "_tanh_f", Arithmetic._negative_f)
    monkeypatch.setattr(codegen, "_loaded", {})  # the wrong kernel is for this test only
    monkeypatch.setattr(codegen, "read_entry", lambda path: None)
    monkeypatch.setattr(codegen, "write_entry", lambda path, content: None)
    f = ag.compile(lambda x: (x * 3 - 1).tanh().sum() * 7, verify_every=1)
    x = ag.tensor(np.linspace(-1, 1, 11))
    f(x)
    with pytest.raises(AssertionError, match=r"tanh, line .* gives"):
        f(x)
