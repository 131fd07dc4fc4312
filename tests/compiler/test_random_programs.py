"""Every operation, and programs of operations drawn at random: compiled they give what they give eagerly."""

import os
import platform

import hypothesis
import numpy as np
import pytest
from compiler.twins import assert_twins, history
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES

import autograd_core as ag
from autograd_core.ops.define import registry

# Operations -----------------------------------------------------------------------------------------------------

LOOSE = set("solve inv cholesky qr svd svd_full eigh det cofactors slogdet ratio".split())
DTYPES = ("float32", "float64")  # they take turns: each would be another kernel for every sample


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_sample_of_every_operation(name):
    sample = SAMPLES[name][len(SAMPLES[name]) // 2]
    compare(sample, DTYPES[ord(name[0]) % 2 - 1])  # relatives share their kernels


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_sample(name):
    for number, sample in enumerate(SAMPLES[name]):
        compare(sample, DTYPES[number % 2])


def compare(sample, dtype):
    calls = [moved(sample, dtype, k) for k in range(3)]
    rtol = (1e-3 if sample.name in LOOSE else 1e-4) * (1 if dtype == "float32" else 1e-5)
    assert_twins(lambda: (values_and_gradients(sample), []), calls, rtol)


def moved(sample, dtype, k):
    """The sample's arguments, its float arrays moved a little by the k-th call."""
    return [np.asarray(a * (1 + 0.01 * k), a.dtype) if is_float(a) else a for a in sample.cast(dtype)]


def is_float(a):
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def values_and_gradients(sample):
    """The sample's operation, and its gradients, as a function of its arguments."""
    f = lambda *args: registry[sample.name](*args, **sample.params)
    positions = tuple(sample.float_positions)
    if not sample.differentiable or not positions:
        return f
    square = ag.grad(lambda *args: (f(*args) ** 2).sum(), positions)
    return lambda *args: (f(*args), square(*args))


# Programs drawn at random ---------------------------------------------------------------------------------------

SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-3, 30.0]
EXACT = "abs square negative sign floor relu sqrt isnan isinf isfinite".split()
ROUNDED = "exp log1p sin tanh sigmoid erf softplus atan".split()
BINARY = "add subtract multiply divide maximum minimum less equal where remainder logaddexp atan2".split()
FOLDS = "sum mean max min prod norm logsumexp all any".split()
ALONG = "softmax cumulative_sum permute flip slice concat stack pad repeat roll setitem matmul".split()
OTHERS = "cast power draw".split()
NAMES = EXACT + ROUNDED + 2 * BINARY + 2 * FOLDS + 2 * ALONG + 3 * OTHERS
SAME = {*EXACT, *BINARY, *ALONG, "max", "min", "all", "any", "cast", "draw"} - {
    "logaddexp", "atan2", "softmax", "cumulative_sum", "matmul",
}  # fmt: skip
SHAPES = [((3, 5), (5,)), ((), (2,)), ((0, 3), (3,)), ((17,), (1,)), ((2, 1, 9), (4, 1)), ((1, 1), ())]
steps = st.tuples(st.sampled_from(NAMES), *[st.integers(0, 11)] * 4)
programs = given(
    drawn=st.lists(steps, min_size=4, max_size=8), seed=st.integers(0, 99), wild=st.booleans(),
    shapes=st.sampled_from(SHAPES), dtype=st.sampled_from(DTYPES),
)  # fmt: skip


def taken(name, x, y, i, j):
    """One step of a program; whatever i and j are, it can be taken."""
    x, y = (
        number(v) if name not in ("less", "equal", "sum", "max", "all", "any", "cast") else v for v in (x, y)
    )
    if name in EXACT + ROUNDED:
        return getattr(ag, name)(x)
    if name == "where":
        return ag.where(x > 0.5, x, y)
    if name in BINARY:
        return getattr(ag, name)(x, y)
    if name in FOLDS:
        return folded(name, x, i, j)
    if name == "cast":
        return x.astype(["float32", "float64", "bool"][i % 3])
    if name == "power":
        return x.astype("float64" if i % 2 else "float32") ** [2, 0.5, -1.0, 3][j % 4]
    if name == "draw":
        return x + ag.random.uniform(x.shape, dtype=x.dtype if x.dtype.kind == "f" else "float32")
    return along(name, x, i % x.ndim, j) if x.ndim else x


def number(x):
    return x.astype("int32") if x.dtype == bool else x


def folded(name, x, i, j):
    if not x.size and name in ("mean", "max", "min", "norm", "logsumexp"):
        return x
    axis = i % x.ndim if x.ndim else None
    axes = [None, axis, axis if axis is None else tuple(range(axis, x.ndim))][j % 3]
    return getattr(ag, name)(x, axis=axes, keepdims=bool(i % 2))


def along(name, x, axis, j):
    """A step along an axis."""
    if name in ("softmax", "cumulative_sum", "permute", "flip"):
        order = tuple(np.roll(range(x.ndim), j).tolist())
        return ag.permute_dims(x, order) if name == "permute" else getattr(ag, name)(x, axis=axis)
    some = (slice(None),) * axis + (slice(j % 3, None, 1 + j % 2),)
    return {
        "slice": lambda: x[some], "concat": lambda: ag.concat([x, ag.flip(x, axis=axis)], axis=axis),
        "stack": lambda: ag.stack([x, -x], axis=axis), "pad": lambda: ag.pad(x, [(j % 3, j % 2)] * x.ndim),
        "repeat": lambda: ag.repeat(x, 1 + j % 2, axis=axis), "roll": lambda: ag.roll(x, j, axis=axis),
        "setitem": lambda: written(x * 1, some), "matmul": lambda: x.mT @ x if x.ndim > 1 else x @ x,
    }[name]()  # fmt: skip


def written(x, index):
    x[index] = x[index] * 2 + 1
    return x


def program(drawn, total, noise):
    """A function of x and y that keeps a list of tensors, adds one with each step, and counts them into `total`."""

    def f(x, y):
        known = [x, y]
        for name, a, b, i, j in drawn:
            left, right = known[-1 - a % len(known)], known[-1 - b % len(known)]
            made = taken(name, left, right if fit(left, right) else number(left).sum(), i, j)
            made = made if made.size < 500 else left
            known.append(made if name in SAME else noise(made))
        total.assign(total + sum(ag.where(ag.isfinite(k), k, 0).tanh().sum() for k in map(double, known[2:])))
        return known[2:]

    return f


def fit(x, y):
    return all(m == n or 1 in (m, n) for m, n in zip(x.shape[::-1], y.shape[::-1], strict=False))


def double(x):
    return x.astype("float64")


def with_gradients(f, noise):
    """f, and the gradient of a number made of all its results."""

    def loss(x, y):
        return sum((k / (1 + k * k)).sum() for k in map(noise, map(double, f(x, y)))) + 0 * double(x).sum()

    return lambda x, y: (f(x, y), ag.grad(loss, (0, 1))(x, y))


def noisy(seed):
    """Multiplies by 1 + a millionth: what rounding otherwise may do. Without a seed nothing."""
    if seed is None:
        return lambda x: x
    rng = np.random.default_rng(seed)
    return lambda x: (
        x * (1 + 1e-6 * rng.choice([-1, 1], x.shape)).astype(x.dtype) if x.dtype.kind == "f" else x
    )


def assert_program(drawn, seed, wild, shapes, dtype):
    """Compiled as eager, up to a thousandth and what rounding makes of this program."""
    rng = np.random.default_rng(seed)
    calls = [[rng.integers(-8, 8, shape).astype(dtype) / 4 for shape in shapes] for _ in range(3)]
    calls = [[np.asarray(array, dtype) for array in call] for call in calls]
    for array in (*calls[1], *calls[2]) if wild else ():
        array[rng.random(array.shape) < 0.3] = rng.choice(SPECIAL)

    def run(compiled, noise):
        def build():
            total = ag.Buffer(0.0, "float64")
            f = program(drawn, total, noise)
            return f if wild else with_gradients(f, noise), [total]

        tensors = [[ag.tensor(array) for array in call] for call in calls]
        with np.errstate(all="ignore"):
            return list(history(build, tensors, compiled))

    eager, compiled = run(False, noisy(None)), run(True, noisy(None))
    others = [run(False, noisy(k)) for k in range(3)]
    for k, (want, got, *near) in enumerate(zip(eager, compiled, *others, strict=True)):
        for name, array in want.items():
            assert_near(got[name], array, [each[name] for each in near], f"{name} after call {k}")


def assert_near(got, want, others, message):
    if want is None:
        assert got is None, message
        return
    assert (got.shape, got.dtype) == (want.shape, want.dtype), message
    steady = np.all([np.isfinite(o) == np.isfinite(want) for o in others], axis=0)
    if want.dtype.kind != "f":
        steady = np.all([o == want for o in others], axis=0)
        np.testing.assert_array_equal(got[steady], want[steady], err_msg=message)
        return
    finite = steady & np.isfinite(want)
    np.testing.assert_array_equal(got[steady & ~finite], want[steady & ~finite], err_msg=message)
    got, want, others = got[finite], want[finite], [o[finite] for o in others]
    allowed = 1e-3 * np.maximum(1, np.abs(want).max(initial=0)) + 30 * sum(np.abs(o - want) for o in others)
    wrong = ~(np.abs(got - want) <= allowed)
    assert not wrong.any(), f"{message}: {got[wrong]} is not {want[wrong]}"


X86 = platform.machine() in ("x86_64", "AMD64")  # elsewhere NumPy may choose another one of 0 and −0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("names", [EXACT, ROUNDED, BINARY])
def test_rare_numbers(names, dtype):
    """Each with each: NaN and signs of zero are where NumPy has them."""
    numbers = np.array([*SPECIAL, -1.5, 2.0, -30.0, 100.0], dtype)
    x, y = (ag.tensor(each) for each in np.meshgrid(numbers, numbers))
    f = lambda x, y: [taken(name, x, y, 0, 0) for name in names]
    compiled = ag.compile(f)
    with np.errstate(all="ignore"):
        compiled(ag.ones_like(x), ag.ones_like(y))
        for name, got, want in zip(names, compiled(x, y), f(x, y), strict=True):
            assert_like(got.numpy(), want.numpy(), name)


def assert_like(got, want, name):
    rtol = 1e-13 if want.dtype == "float64" else 1e-5
    np.testing.assert_allclose(got, want, rtol=rtol, err_msg=name)
    if want.dtype.kind == "f" and (X86 or name not in ("maximum", "minimum", "relu")):
        zero = want == 0
        np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]), err_msg=name)


def test_rows_with_rare_numbers():
    rows = np.random.default_rng(0).choice([*SPECIAL, -1.5, 2.0], (40, 19)).astype("f4")
    rows[:20] = np.where(np.isnan(rows[:20]), 1, rows[:20])
    names = "max min sum prod norm logsumexp mean softmax".split()
    f = lambda x: [getattr(ag, name)(x, axis=k) for name in names for k in (0, 1)]
    compiled = ag.compile(f)
    with np.errstate(all="ignore"):
        compiled(np.ones_like(rows))
        for k, (got, want) in enumerate(zip(compiled(rows), f(ag.tensor(rows)), strict=True)):
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, err_msg=names[k // 2])


@settings(max_examples=15)
@programs
def test_programs(drawn, seed, wild, shapes, dtype):
    assert_program(drawn, seed, wild, shapes, dtype)


@pytest.mark.slow
def test_other_programs_each_time():
    """PROGRAMS=seed runs those of a failure again."""
    seed = int(os.environ.get("PROGRAMS", np.random.SeedSequence().entropy % 2**32))
    print(f"again with PROGRAMS={seed}")
    several = settings(max_examples=200, derandomize=False, print_blob=True)
    hypothesis.seed(seed)(several(programs(assert_program)))()
