"""ag.autopsy: the operation, module, line and cause of the first bad number, forward and backward."""

import gc
import weakref

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
    "atan2 at the origin": (lambda x: ag.atan2(x, x * 2), (0, 1), "atan2", "atan2 at (0, 0)"),
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
    assert "it was not called" in str(ag.autopsy(step))
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
    assert "first bad gradient: log at 0" in graph.dot
    assert "first bad gradient: log at 0" in graph.html()


def test_a_chain_of_100000_operations():
    x = y = tensor(1.0)
    with np.errstate(all="ignore"):
        for _ in range(100_000):
            y = y * 1.001
        assert ag.autopsy(y.sum()).operation == "multiply"
    assert x.grad is None


# What is no fault, and what looked like another ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_products_of_matrices():
    big, wide = ag.full((4, 3), 1e30), ag.full((3, 5), 1e30)
    big.requires_grad = True
    found = ag.autopsy((big @ wide).sum())
    assert (found.operation, found.phase) == ("matmul", "forward")
    assert "overflow" in found.cause
    data = ag.tensor([[0, np.nan, 1.0]])
    w = nn.Parameter(np.ones((3, 2), np.float32))
    found = ag.autopsy((data @ w).sum())
    assert found.operation == "matmul"
    assert "x is not finite already" in found.cause


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_causes_where_only_one_input_is_known():
    found = ag.autopsy(ag.square((tensor(1, 2) + 1) / np.float32([0, 1])).sum())
    assert (found.operation, found.cause) == ("divide", "division by zero (1 of 2 elements of the divisor)")
    found = ag.autopsy(ag.square((tensor(1e30, 2) + 1) * np.float32([1e30, 1])).sum())
    assert found.operation == "multiply"


@pytest.mark.parametrize("mask", [-np.inf, -1e30, float(np.finfo(np.float32).min)])
def test_a_mask_that_does_no_harm_is_no_fault(mask):
    shown = np.array([True, False])
    with ag.observe():
        scores = ag.where(shown, tensor(1, 2), mask) * 0.125
        loss = (ag.softmax(scores) * np.float32([1, 2])).sum()
    assert not ag.autopsy(loss)
    with ag.observe(), np.errstate(all="ignore"):
        scores = ag.where(shown, tensor(1, 2), mask)
        loss = (ag.softmax(scores) * ag.log(tensor(-1, 2))).sum()
    assert ag.autopsy(loss).operation == "log"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_row_that_is_masked_throughout():
    with ag.observe():
        loss = ag.softmax(ag.where(np.zeros((2, 3), bool), tensor(1, 2, 3), -np.inf)).sum()
    found = ag.autopsy(loss)
    assert found.operation == "softmax"
    assert "−∞ throughout" in found.cause


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_only_what_overflows_is_counted():
    with ag.observe():
        loss = ag.exp(tensor(-1000, 100)).sum()
    assert "1 of 2 elements" in ag.autopsy(loss).cause
    assert "the largest 100" in ag.autopsy(loss).cause


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_sums_of_cotangents_and_the_first_one():
    x = tensor(1e-30)
    found = ag.autopsy((x * 2e38).sum() * 1.0 + (x * 2e38).sum() * 1.0)
    assert found.phase == "backward"
    assert "used several times" in found.cause
    with ag.observe():
        y = tensor(1, 2) * 2
        y.backward(np.float32([np.nan, 1]))
    assert "that backward() was given" in ag.autopsy(y).cause


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_observations_of_other_passes_do_not_count():
    w = nn.Parameter(np.float32([1, 2]))
    with ag.observe():
        ag.square(w).sum().backward()
    found = ag.autopsy(ag.where(w > 1, ag.sqrt(w - 1), 0).sum())
    assert (found.operation, found.phase) == ("sqrt", "backward")
    x = tensor(0, 1)
    with ag.observe():
        h = x * 2
        good, bad = ag.square(h).sum(), ag.sqrt(h).sum()
        good.backward(retain_graph=True)
    assert ag.autopsy(bad).operation == "sqrt"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_parameter_is_not_accused_of_what_a_later_step_did():
    w = nn.Parameter(np.float32([0, 1]))
    loss = ag.where(w > 0, ag.log(w), 0).sum()
    loss.backward()
    nn.SGD([w], 0.1).step()
    assert np.isnan(w.numpy()).any()
    assert "retain_graph=True" in str(ag.autopsy(loss))
    v = nn.Parameter(np.float32([np.inf, 2]))
    with ag.observe():
        ag.square(v).sum().backward()
    v.assign(np.float32([1, 2]))
    assert not ag.autopsy((v * 2).sum())


def test_others_that_look_on_do_not_see_the_autopsy():
    x = tensor(1, 2)
    with ag.observe():
        loss = ag.square(x).sum()
        ag.autopsy(loss)
        loss.backward()
    np.testing.assert_array_equal(loss.node.inputs[0].seen.shares[0][1], x.grad.numpy())
    with ag.profile() as profile:
        ag.autopsy(ag.square(x).sum())
    assert all(row.backward.calls == 0 for row in profile.operations)


def test_observers_may_be_entered_again_and_left_in_any_order():
    looking = ag.observe()
    with looking, looking:
        y = ag.square(tensor(1, 2)).sum()
    assert y.node.seen.value == 5

    @ag.observe()
    def power(x, n):
        return x if n == 0 else power(x, n - 1) * x

    assert power(tensor(2), 3).node.seen.value == 16
    first, second = ag.observe(), ag.observe()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert hasattr(ag.square(tensor(1)).node, "seen")
    second.__exit__(None, None, None)
    assert not hasattr(ag.square(tensor(1)).node, "seen")


def test_a_parameter_keeps_nothing_of_what_was_observed():
    w = nn.Parameter(np.ones(3, np.float32))
    before = weakref.ref(w.array)
    with ag.observe():
        loss = (w * 2).sum()
        loss.backward()
    w.assign(np.zeros(3, np.float32))
    del loss
    gc.collect()
    assert before() is None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_zero_cotangent_must_be_where_the_derivative_is_infinite():
    with ag.observe():
        loss = (ag.sqrt(tensor(0, 4)) * np.float32([1, 0])).sum()
    found = ag.autopsy(loss)
    assert found.operation == "sqrt"
    assert "0·∞" not in found.cause


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values_that_are_not_known_are_not_called_finite():
    found = ag.autopsy(ag.where(np.array([False, True]), ag.log(tensor(0, 1) + 0), 0).sum())
    assert found.operation == "log"
    assert "finite" not in found.note or "are not known" in found.note


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_argument_of_a_root_is_told_from_its_result():
    found = ag.autopsy(ag.where(np.array([False, True]), ag.sqrt(tensor(0, 1) + 0), 0).sum())
    assert "√ at 0" in found.cause


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_compiled_function_inside_a_larger_computation():
    f = ag.compile(lambda x: ag.log(x * 1))
    x = tensor(0, 1)
    y = [f(x) for _ in range(3)][-1]
    assert "keep_inputs=True" in str(ag.autopsy((y * 2).sum()))
    assert "keep_inputs=True" in str(ag.autopsy([f(tensor(1, 2)) for _ in range(3)][-1]))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_step_is_run_again_with_the_arguments_that_it_had():
    f = ag.compile(lambda t: ag.log(t).sum(), keep_inputs=True)
    t = nn.Parameter(np.float32([1, 2]))
    f(t), f(t)
    t.assign(np.float32([0, 1]))
    f(t)
    t.assign(np.float32([5, 6]))
    assert ag.autopsy(f).operation == "log"
    np.testing.assert_array_equal(t.numpy(), [5, 6])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_step_that_reads_something_else_now_says_so():
    scale = [0.0]
    f = ag.compile(lambda t: ag.log(t * scale[0]).sum(), keep_inputs=True)
    t = tensor(1, 2)
    f(t), f(t)
    scale[0] = 3.0
    assert "something that has changed since" in str(ag.autopsy(f))
    broken = ag.compile(lambda t: (t * {0: 1.0}[len(scale) - 1]).sum(), keep_inputs=True)
    broken(t), broken(t)
    scale.append(1.0)
    assert "raised KeyError" in str(ag.autopsy(broken))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_step_that_returns_no_graph():
    w = nn.Parameter(np.float32([0, 1]))

    @ag.compile(keep_inputs=True)
    def step(x):
        loss = ag.where(x > 0, ag.sqrt(w * x), 0).sum()
        w.grad = None
        loss.backward()
        return loss.detach()

    x = np.float32([1, 1])
    step(x), step(x)
    found = ag.autopsy(step)
    assert (found.operation, found.phase) == ("sqrt", "backward")


def test_fit_runs_the_step_again_with_the_same_random_numbers():
    class Odd(nn.Module):
        def __init__(self):
            self.dense = nn.Dense(2, 1)

        def forward(self, x):
            return ag.log(ag.floor(ag.random.uniform((8, 1)) * 2) + 0 * self.dense(x))

    data = (np.ones((8, 2), np.float32), np.ones((8, 1), np.float32))
    for seed in range(4):
        ag.random.seed(seed)
        model = Odd()
        with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="log of 0"):
            nn.fit(model, data, nn.mse_loss, nn.SGD(model.parameters(), 0.1), 20, progress=False)


def test_what_it_prints_can_be_printed():
    class Odd(nn.Module):
        def forward(self, x):
            return ag.log(x)

    Odd.__name__ = "Odd\n\x1b[31m"
    with np.errstate(all="ignore"):
        text = str(ag.autopsy(Odd()(tensor(0, 1)).sum()))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 5


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_inside_a_checkpoint_nothing_is_known():
    with ag.observe():
        loss = ag.checkpoint(lambda x: ag.log(x * 1))(tensor(0, 1)).sum()
    assert "without ag.checkpoint" in ag.autopsy(loss).note


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_does_not_vary_is_not_called_an_overflow():
    with ag.observe(), np.errstate(all="ignore"):
        y = nn.BatchNorm(2, epsilon=0.0)(tensor(1, 1, 1, 1).reshape(2, 2)).sum()
        nothing = ag.mean(tensor(1)[:0])
    found = ag.autopsy(y)
    assert found.operation == "normalise"
    assert found.cause == "0/0: what is normalised does not vary, and epsilon is 0"
    empty = ag.autopsy(nothing)
    assert empty.cause == "mean of no elements: 0/0"
    assert "observe" not in empty.mend


def test_a_large_input_is_not_called_missing_data():
    with ag.observe():
        y = (tensor(1e25, 1) * 1e10).sum()
    found = ag.autopsy(y)
    assert "too large before anything" in found.cause
    assert "missing" not in found.mend


def test_what_is_not_known_is_no_zero():
    found = ag.autopsy((tensor(1e25, 1) * 1e10).sum())
    assert found.cause == "the results are too large for float32"


def test_its_columns_stand_in_line():
    with np.errstate(all="ignore"):
        lines = str(ag.autopsy(ag.sqrt(tensor(0, 1)).sum())).splitlines()[1:]
    assert any(line.startswith("  cotangent ") for line in lines)
    assert {line[11] for line in lines} == {" "}
    assert " " not in {line[12] for line in lines}


def test_what_a_gate_hides_is_told_last():
    x = tensor(-1, 1)
    y = ag.relu(x)
    found = ag.autopsy(ag.where(y > 0, ag.sqrt(y), 0).sum())
    assert (found.operation, found.phase) == ("sqrt", "backward")
    assert "neither the result nor a leaf's gradient shows it" in found.note
