"""ag.autopsy: the operation, module, line and cause of the first bad number, forward and backward."""

import numpy as np
import pytest

import autograd_core as ag
import nn


def tensor(*numbers, dtype=np.float32):
    return ag.tensor(np.array(numbers, dtype), requires_grad=True)


FORWARD = {
    "log of 0": (lambda x: ag.log(x), (0, 1), "log", "log of 0 (1 of 2 elements)"),
    "log of a negative number": (lambda x: ag.log(x), (-1, 1), "log", "below 0"),
    "log1p at -1": (lambda x: ag.log1p(x), (-1, 1), "log1p", "log1p of -1"),
    "overflow of exp": (lambda x: ag.exp(x), (1, 100), "exp", "overflow of exp"),
    "0/0": (lambda x: x / x, (0, 1), "divide", "0/0"),
    "1/0": (lambda x: 1 / x, (0, 1), "divide", "division by zero"),
    "root of a negative number": (lambda x: ag.sqrt(x), (-1, 1), "sqrt", "√ of a negative number"),
    "1/root of 0": (lambda x: ag.rsqrt(x), (0, 1), "rsqrt", "1/√0"),
    "power of a negative number": (lambda x: x**0.3, (-1, 1), "power", "no integer"),
    "0 to a negative power": (lambda x: x**-2.0, (0, 1), "power", "division by zero"),
    "asin outside": (lambda x: ag.asin(x), (2, 0), "asin", "outside of [−1, 1]"),
    "overflow of a square": (lambda x: ag.square(x), (1e30, 1), "square", "overflow: the result is larger"),
    "overflow of a sum": (lambda x: ag.sum(x), (3e38, 3e38), "sum", "overflow"),
}


@pytest.mark.parametrize(("f", "numbers", "operation", "cause"), FORWARD.values(), ids=FORWARD)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_forward_pass(f, numbers, operation, cause):
    with ag.observe():
        loss = ag.tanh(f(tensor(*numbers)) + 0.5).sum()
    found = ag.autopsy(loss)
    assert found
    assert (found.operation, found.phase) == (operation, "forward")
    assert cause in found.cause
    assert found.mend
    assert "test_autopsy.py" in found.line
    assert found.output is not None
    assert found.output.nan + found.output.infinite > 0
    assert all(n.nan == n.infinite == 0 for n in found.inputs.values())


BACKWARD = {
    "sqrt at 0": (lambda x: ag.sqrt(x), (0, 1), "sqrt", "√ at 0"),
    "sqrt at 0 under a mask": (lambda x: ag.where(x > 0, ag.sqrt(x), 0), (0, 1), "sqrt", "0·∞ is NaN"),
    "a power below 1 at 0": (lambda x: x**0.3, (0, 1), "power", "a power below 1 at 0"),
    "asin at 1": (lambda x: ag.asin(x), (1, 0), "asin", "±1"),
}


@pytest.mark.parametrize(("f", "numbers", "operation", "cause"), BACKWARD.values(), ids=BACKWARD)
@pytest.mark.parametrize("when", ["before backward", "after it, observed"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_backward_pass(f, numbers, operation, cause, when):
    x = tensor(*numbers)
    if when == "before backward":
        loss = f(x).sum()
    else:
        with ag.observe():
            loss = f(x).sum()
            loss.backward()
        assert not np.isfinite(x.grad.numpy()).all()
    found = ag.autopsy(loss)
    assert (found.operation, found.phase) == (operation, "backward")
    assert cause in found.cause
    assert found.inputs["cotangent"].nan == 0


def test_nothing_is_changed_by_looking():
    x = tensor(0, 1)
    loss = ag.where(x > 0, ag.sqrt(x), 0).sum()
    assert ag.autopsy(loss)
    assert x.grad is None
    with np.errstate(all="ignore"):
        loss.backward()  # the tape is still whole
    assert x.grad is not None


def test_it_runs_nothing_of_the_program_again():
    calls = []

    @ag.primitive
    def strange(x):
        calls.append(1)
        return np.log(x)

    strange.defvjp(lambda g, x: g / x)
    with np.errstate(all="ignore"):
        loss = strange(tensor(0, 1)).sum()
        calls.clear()
        found = ag.autopsy(loss)
    assert found.operation == "strange"
    assert len(calls) <= 1  # at most the operation itself, to tell it from the sum


def test_the_module_path_is_named():
    class Odd(nn.Module):
        def forward(self, x):
            return ag.log(x - x)

    model = nn.Sequential(nn.Dense(2, 3), Odd(), nn.Dense(3, 1))
    with np.errstate(all="ignore"):
        found = ag.autopsy(model(np.ones((4, 2), np.float32)).sum())
    assert found.operation == "log"
    assert found.module_path == "Sequential.layers.1"
    assert "in Sequential.layers.1" in str(found)


def test_a_parameter_that_is_bad_already_is_named():
    model = nn.Sequential(nn.Dense(2, 3), nn.Dense(3, 1))
    model.named_parameters()
    model.layers[1].weight.assign(np.full((3, 1), np.nan, np.float32))
    found = ag.autopsy(model(np.ones((4, 2), np.float32)).sum())
    assert found.operation == "layers.1.weight"
    assert "before anything is computed" in found.cause
    assert found.output.nan == 3


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_mask_of_zeros_times_infinity():
    with ag.observe():
        x = tensor(0, 1)
        bad = 1 / x
        loss = (bad * ag.tensor([0.0, 1.0])).sum()
    assert ag.autopsy(loss).operation == "divide"  # what made the ∞, not what made it NaN
    y = tensor(0, 1)
    found = ag.autopsy((y * ag.tensor([np.inf, 1.0])).sum())
    assert found.operation == "multiply"
    assert "0·∞" in found.cause


def test_exploding_numbers_are_told_when_all_are_finite():
    x = tensor(1, 2)
    found = ag.autopsy((x * 1e25).sum())
    assert found.operation == "multiply"
    assert "exploding" in found.note


def test_health():
    found = ag.autopsy((tensor(1, 2) * 2).sum())
    assert not found
    assert "nothing bad" in str(found)
    assert not ag.autopsy(ag.tensor([1.0, 2.0]))
    assert ag.autopsy(ag.tensor([1.0, np.nan]))
    with pytest.raises(TypeError, match="takes a tensor"):
        ag.autopsy(3)


def test_a_freed_tape_says_so():
    x = tensor(1, 2)
    loss = (x * x).sum()
    loss.backward()
    assert "retain_graph=True" in str(ag.autopsy(loss))


def test_a_compiled_step_is_run_again_from_its_inputs():
    w = nn.Parameter(np.float32([1, 2]))
    optimizer = nn.SGD([w], 1.0)

    @ag.compile(keep_inputs=True)
    def step(x):
        loss = ag.log(ag.square(w * x)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    x = np.ones(2, np.float32)
    assert "not replayed yet" in str(ag.autopsy(step))
    step(x)
    step(x)
    assert not ag.autopsy(step)
    w.assign(np.float32([0, 1]))
    with np.errstate(all="ignore"):
        loss = step(x)
        after = w.numpy().copy(), w.grad.numpy().copy()
        x[:] = 5  # the step had ones
        found = ag.autopsy(step)
    assert (found.operation, found.phase) == ("log", "forward")
    assert "run again, uncompiled" in found.note
    assert "ag.log" in found.line
    assert found.inputs["x"].maximum == 1
    np.testing.assert_array_equal(w.numpy(), after[0])
    np.testing.assert_array_equal(w.grad.numpy(), after[1])
    assert "keep_inputs=True" in str(ag.autopsy(loss))


def test_keeping_inputs_changes_no_result():
    def trained(**options):
        ag.random.seed(0)
        model = nn.Sequential(nn.Dense(3, 4), nn.Dropout(0.5), nn.Dense(4, 1))
        optimizer = nn.Adam(model.parameters(), 0.1)

        @ag.compile(**options)
        def step(x):
            loss = nn.mse_loss(model(x), x[:, :1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        losses = [step(np.float32(np.eye(3)) * n).item() for n in range(5)]
        if options:
            assert not ag.autopsy(step)
        return losses, [p.numpy() for p in model.parameters()], float(ag.random.uniform(()))

    plain, kept = trained(), trained(keep_inputs=True)
    assert plain[0] == kept[0]
    assert all(map(np.array_equal, plain[1], kept[1]))
    assert plain[2] == kept[2]


def test_fit_says_where_the_loss_became_bad():
    class Odd(nn.Module):
        def forward(self, x):
            return ag.log(x)

    model = nn.Sequential(nn.Dense(2, 1), nn.ReLU(), Odd())
    data = (-np.ones((8, 2), np.float32), np.ones((8, 1), np.float32))
    model.layers[0].weight.assign(np.ones((2, 1), np.float32))
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="log of 0"):
        nn.fit(model, data, nn.mse_loss, nn.SGD(model.parameters(), 0.1), 1, progress=False)


def test_the_picture_marks_it():
    with np.errstate(all="ignore"):
        loss = ag.exp(ag.log(tensor(0, 1))).sum()
        graph = ag.autopsy(loss).draw()
    (bad,) = (box for box in graph.picture.boxes if box.mark == "bad")
    assert bad.title == "log"
    assert "first bad value" in graph.dot


def test_a_chain_of_100000_operations():
    x = y = tensor(1.0)
    with np.errstate(all="ignore"):
        for _ in range(100_000):
            y = y * 1.001
        assert ag.autopsy(y.sum()).operation == "multiply"
    assert x.grad is None
