"""Every operation: values, dtypes, derivatives, layouts, special values. The registry says what there is to test."""

import itertools
import math
from contextlib import contextmanager

import numpy as np
import pytest
import samples as s
import scipy.special
from kernels import naive
from samples import ALL, NOT_CALLABLE, REFERENCES, SAMPLES, distinct, nonzero, positive, real

import autograd_core as ag
from autograd_core.dtypes import SUPPORTED
from autograd_core.ops.define import registry

FLOATS = ["float32", "float64"]
each_primitive = pytest.mark.parametrize("name", sorted(SAMPLES))
smooth = [sample for sample in ALL if sample.differentiable and sample.float_positions]
each_smooth_primitive = pytest.mark.parametrize("name", sorted({sample.name for sample in smooth}))


@contextmanager
def about(sample):
    """What fails inside says at which sample: one test for a primitive, not one for a sample, saves a minute."""
    try:
        yield
    except Exception as error:
        error.add_note(f"at the sample {sample}")
        raise


def smooth_samples(name):
    return [sample for sample in SAMPLES[name] if sample in smooth]


def of_floats(sample):
    """The primitive as a function of the sample's float arrays, and these."""
    positions = sample.float_positions

    def f(*values):
        placed = list(sample.args)
        for i, value in zip(positions, values, strict=True):
            placed[i] = value
        return registry[sample.name](*placed, **sample.params)

    return f, tuple(sample.args[i] for i in positions)


# Results of float32 differ from NumPy's in the last digits where the algorithm differs; factorisations lose more.
LOOSE = set("solve inv cholesky qr svd svd_full eigh det cofactors slogdet ratio".split())


def tolerance(name, dtype):
    if np.dtype(dtype) == np.float32:
        return 2e-4 if name in LOOSE else 1e-5
    return 1e-9 if name in LOOSE else 1e-12


def same(got, want, rtol=0.0):
    """Equal in shape, dtype and, up to rtol of the largest element, in value; NaN equals NaN."""
    got, want = (np.asarray(getattr(value, "array", value)) for value in (got, want))
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    finite = np.abs(want[np.isfinite(want)]) if want.dtype.kind == "f" else np.zeros(0)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * max(1.0, finite.max(initial=0.0)))


def tensors(arrays, requires_grad=False):
    """Float arrays as tensors; integer arrays too; Python numbers as they are."""
    return [
        ag.tensor(a, requires_grad=requires_grad and a.dtype.kind == "f") if isinstance(a, np.ndarray) else a
        for a in arrays
    ]


def weights(shape, dtype="float64"):
    return s.generator("weights", shape).uniform(-1, 1, shape).astype(dtype)


# The registry -----------------------------------------------------------------------------------------------


def test_every_primitive_has_samples():
    assert set(registry) - NOT_CALLABLE - set(SAMPLES) == set()


def test_every_sample_names_a_primitive_of_the_registry():
    assert set(SAMPLES) | NOT_CALLABLE | set(REFERENCES) <= set(registry)


def test_every_primitive_has_a_reference():
    assert set(registry) - NOT_CALLABLE - set(REFERENCES) == set()


@pytest.mark.parametrize("name", sorted(NOT_CALLABLE))
def test_a_primitive_without_samples_cannot_be_called(name):
    with pytest.raises(TypeError, match=name):
        registry[name](ag.tensor([1.0]))


@pytest.mark.parametrize("name", sorted(set(registry) - NOT_CALLABLE))
def test_every_input_of_a_float_primitive_has_a_rule_and_a_sample_that_moves_it(name):
    """Each input that can be a float array is a float array in some differentiable sample, or has no rule."""
    primitive = registry[name]
    moved = {i for sample in SAMPLES[name] if sample.differentiable for i in sample.float_positions}
    if primitive.variadic:
        assert moved
        return
    ruled = {i for i, rule in enumerate(primitive.rules) if rule is not None}
    no_derivative = {"svd_full", "ratio"}  # test_linalg.py checks what these say
    assert moved == (set() if name in no_derivative else ruled)


# Values, dtypes ---------------------------------------------------------------------------------------------


@each_primitive
@pytest.mark.parametrize("dtype", FLOATS)
def test_forward_equals_numpy(name, dtype):
    for sample in SAMPLES[name]:
        with about(sample):
            args = sample.cast(dtype)
            got = registry[name](*tensors(args), **sample.params)
            assert type(got) is ag.Tensor
            same(got, REFERENCES[name](*args, **sample.params), tolerance(name, dtype))


@each_primitive
def test_forward_on_ndarrays_is_forward_on_tensors(name):
    for sample in SAMPLES[name]:
        with about(sample):
            got = registry[name](*sample.args, **sample.params)
            assert isinstance(got, np.ndarray | np.generic)
            same(got, registry[name](*tensors(sample.args), **sample.params))


@each_smooth_primitive
def test_float32_gives_float32_results_and_gradients(name):
    for sample in smooth_samples(name):
        with about(sample):
            gradients = {}
            for dtype in FLOATS:
                params = sample.params | ({"dtype": dtype} if name == "astype" else {})
                inputs = tensors(sample.cast(dtype), requires_grad=True)
                out = registry[name](*inputs, **params)
                assert out.dtype == dtype
                out.backward(weights(out.shape, dtype))
                moved = [inputs[i] for i in sample.float_positions]
                for x in moved:
                    assert type(x.grad) is ag.Tensor
                    assert x.grad.dtype == dtype
                    assert x.grad.shape == x.shape
                gradients[dtype] = [x.grad.numpy().astype("float64") for x in moved]
            for narrow, wide in zip(*gradients.values(), strict=True):
                same(narrow, wide, 2e-3 if name in LOOSE else 1e-4)


# Derivatives ------------------------------------------------------------------------------------------------


@each_smooth_primitive
def test_derivatives_to_second_order(name):
    for sample in smooth_samples(name):
        with about(sample):
            ag.check_grads(*of_floats(sample), order=2)


@pytest.mark.parametrize("name", sorted({sample.name for sample in smooth} - LOOSE))
def test_derivatives_of_third_order(name):
    sample = smooth_samples(name)[-1]
    with about(sample):
        # The third derivative is found by differences of the second, which rounding leaves with fewer digits.
        ag.check_grads(*of_floats(sample), order=3, atol=1e-4, rtol=1e-4)


PIECEWISE_CONSTANT = ["floor", "ceil", "round", "sign", "floor_divide"]


def test_which_primitives_are_piecewise_constant():
    assert sorted(n for n, p in registry.items() if p.piecewise_constant) == sorted(PIECEWISE_CONSTANT)


@pytest.mark.parametrize("name", PIECEWISE_CONSTANT)
def test_piecewise_constant_operations_say_so_and_have_exactly_zero_derivatives(name):
    assert "iecewise constant" in registry[name].__doc__
    for sample in SAMPLES[name]:
        inputs = tensors(sample.args, requires_grad=True)
        out = registry[name](*inputs, **sample.params)
        out.backward(weights(out.shape), create_graph=True)
        for i in sample.float_positions:
            first = inputs[i].grad
            np.testing.assert_array_equal(first.numpy(), np.zeros(inputs[i].shape))
            second = ag.grad(
                lambda x, i=i, s=sample: registry[s.name](*s.args[:i], x, *s.args[i + 1 :]).sum()
            )
            product = ag.hvp(
                lambda x, i=i, s=sample: registry[s.name](*s.args[:i], x, *s.args[i + 1 :]).sum(),
                sample.args[i],
                weights(sample.args[i].shape),
            )
            np.testing.assert_array_equal(second(sample.args[i]).numpy(), np.zeros(inputs[i].shape))
            np.testing.assert_array_equal(product.numpy(), np.zeros(inputs[i].shape))


@pytest.mark.parametrize(
    "name", sorted(n for n, p in registry.items() if not p.rules and n not in NOT_CALLABLE)
)
def test_operations_with_integer_or_boolean_results_record_nothing(name):
    for sample in SAMPLES[name]:
        out = registry[name](*tensors(sample.args, requires_grad=True), **sample.params)
        assert not out.requires_grad
        assert out.is_leaf


# Layouts ----------------------------------------------------------------------------------------------------


def strided(a):
    wide = np.full(tuple(2 * n for n in a.shape), 99, a.dtype)
    view = wide[(..., *(slice(None, None, 2) for _ in a.shape))]
    view[...] = a
    return view


def misaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def transposed(a):
    return np.array(a.T, order="C").T


LAYOUTS = {
    "fortran": lambda a: np.array(a, order="F"),
    "transposed": transposed,
    "reversed": lambda a: np.asarray(np.flip(np.flip(a).copy())),
    "strided": strided,
    "misaligned": misaligned,
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
}
largest = {
    name: max(group, key=lambda sample: sum(np.size(a) for a in sample.args if isinstance(a, np.ndarray)))
    for name, group in SAMPLES.items()
}


def laid_out(array, layout):
    """A tensor that stands on memory of that layout (byte-swapped memory is made native at the door)."""
    memory = LAYOUTS[layout](array)
    if layout == "byte-swapped":
        made = ag.tensor(memory)
        assert made.dtype.isnative
        return made
    made = ag.asarray(memory, copy=False)
    assert np.shares_memory(made.numpy(), memory) or not memory.size
    return made


def test_an_empty_array_can_be_shared():
    assert ag.asarray(np.zeros((0, 3)), copy=False).shape == (0, 3)


@each_primitive
def test_memory_layout_changes_neither_values_nor_gradients(name):
    for layout in LAYOUTS:
        with about(f"{largest[name]}, {layout}"):
            check_layout(largest[name], layout)


def check_layout(sample, layout):
    def run(make, make_cotangent):
        inputs = [make(a) if isinstance(a, np.ndarray) else a for a in sample.args]
        if sample.differentiable:
            for i in sample.float_positions:
                inputs[i].requires_grad = True
        out = registry[sample.name](*inputs, **sample.params)
        if out.requires_grad:
            out.backward(make_cotangent(weights(out.shape)))
        return out, [inputs[i].grad for i in sample.float_positions if out.requires_grad]

    out, gradients = run(lambda a: laid_out(a, layout), lambda a: laid_out(a, layout))
    plain, plain_gradients = run(ag.tensor, ag.tensor)
    assert len(gradients) == len(plain_gradients)
    same(out, plain, tolerance(sample.name, "float64"))
    for got, want in zip(gradients, plain_gradients, strict=True):
        same(got, want, tolerance(sample.name, "float64"))


@each_primitive
def test_inputs_are_never_written_to(name):
    for sample in SAMPLES[name]:
        with about(sample):
            check_inputs_are_not_written_to(sample)


def check_inputs_are_not_written_to(sample):
    memories = [a.copy() if isinstance(a, np.ndarray) else a for a in sample.args]
    inputs = [ag.asarray(m, copy=False) if isinstance(m, np.ndarray) else m for m in memories]
    if sample.differentiable:
        for i in sample.float_positions:
            inputs[i].requires_grad = True
    out = registry[sample.name](*inputs, **sample.params)
    if out.requires_grad:
        value, cotangent = out.numpy().copy(), weights(out.shape)
        given = ag.asarray(cotangent, copy=False)
        out.backward(given, create_graph=True)
        np.testing.assert_array_equal(cotangent, weights(out.shape))
        np.testing.assert_array_equal(out.numpy(), value)
    for memory, original in zip(memories, sample.args, strict=True):
        np.testing.assert_array_equal(memory, original)


# NaN and infinity -------------------------------------------------------------------------------------------

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e30, -1e30, 1e-30])
ROWS = np.array(
    [
        [np.nan, 1, 2], [1, np.nan, -np.inf], [np.inf, 1, 2], [-np.inf, 1, 2], [-np.inf, np.inf, 0],
        [np.inf, np.inf, 1], [-np.inf, -np.inf, -np.inf], [0.0, -0.0, 0.0], [1, 2, np.nan], [1, 2, 3],
    ]
)  # fmt: skip


def special_equal(name, got, want):
    got, want = (np.asarray(getattr(value, "array", value)) for value in (got, want))
    assert got.dtype == want.dtype
    rtol = 0 if want.dtype.kind != "f" else 1e-5 if want.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(got, want, rtol=rtol, equal_nan=True, err_msg=name)


elementwise = [
    n for n, p in registry.items() if p.kind == "elementwise" and n not in ("astype", "broadcast_to")
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [n for n in elementwise if not n.startswith("bitwise")] + ["alias"])
def test_special_values_pass_through_elementwise_operations_as_in_numpy(name, dtype):
    with np.errstate(all="ignore"):
        values = SPECIAL.astype(dtype)
        arity = registry[name].arity
        if arity == 1:
            args = [values]
        else:
            grid = np.meshgrid(values, values, indexing="ij")
            args = grid if arity == 2 else [grid[0] > 0, *grid]
        special_equal(name, registry[name](*tensors(args)), REFERENCES[name](*args))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "name",
    "sum mean var max min argmax argmin all any cumulative_sum logsumexp softmax log_softmax norm argsort".split(),
)
def test_special_values_pass_through_reductions_as_in_numpy(name, dtype):
    with np.errstate(all="ignore"):
        values = ROWS.astype(dtype)
        if name == "argsort":  # the order of NaN is NumPy's own: last
            want = np.argsort(values, axis=1, stable=True)
        else:
            want = REFERENCES[name](values, axis=1)
        special_equal(name, registry[name](ag.tensor(values), axis=1), want)


MOVERS = (
    "reshape permute_dims squeeze expand_dims broadcast_to concat flip roll pad getitem scatter setitem "
    "matmul vecdot einsum conv conv_input_grad conv_weight_grad avg_pool avg_pool_grad max_pool max_pool_put "
    "max_pool_take"
).split()


@pytest.mark.parametrize("name", MOVERS)
def test_special_values_pass_through_moves_and_sums_as_in_numpy(name):
    for sample in SAMPLES[name]:
        with about(sample):
            check_special_values_land(sample)


def check_special_values_land(sample):
    """NaN and infinities strewn over the first array: each lands where NumPy has it, and nowhere else."""
    first = np.array(sample.args[0])
    flat = first.reshape(-1)
    # What padding's zeros give with infinity depends on whether they are multiplied or left out.
    padded = sample.name == "conv_weight_grad" and any(sample.params["padding"])
    for i, value in zip(
        range(0, flat.size, 5), itertools.cycle([np.nan] if padded else [np.nan, np.inf, -np.inf])
    ):
        flat[i] = value
    args = [first, *sample.args[1:]]
    with np.errstate(invalid="ignore"):
        got = registry[sample.name](*tensors(args), **sample.params)
        special_equal(sample.name, got, REFERENCES[sample.name](*args, **sample.params))


def test_nothing_is_as_large_as_nan_in_maximum_and_max():
    x = ag.tensor([1.0, np.nan, np.inf], requires_grad=True)
    assert np.isnan(x.max().item())
    assert np.isnan(ag.maximum(x, np.inf).tolist()).tolist() == [False, True, False]


def test_large_arguments_do_not_overflow():
    big = ag.tensor([1000.0, -1000.0], dtype="float64", requires_grad=True)
    for f, want in [
        (ag.sigmoid, [1.0, 0.0]),
        (ag.softplus, [1000.0, 0.0]),
        (lambda x: ag.logaddexp(x, 0.0), [1000.0, 0.0]),
        (ag.softmax, [1.0, 0.0]),
        (ag.log_softmax, [0.0, -2000.0]),
        (lambda x: ag.logsumexp(x), 1000.0),
        (ag.tanh, [1.0, -1.0]),
        (ag.erf, [1.0, -1.0]),
    ]:
        out = f(big)
        np.testing.assert_allclose(out.numpy(), want, rtol=1e-12)
        gradient, pull = ag.vjp(f, big)
        assert np.isfinite(gradient.numpy()).all()
        assert np.isfinite(pull(np.ones(out.shape))[0].numpy()).all()


def test_sigmoid_keeps_relative_accuracy_far_to_the_left():
    x = np.array([-700.0, -50.0, -20.0])
    np.testing.assert_allclose(ag.sigmoid(x).numpy(), scipy.special.expit(x), rtol=1e-14)


def test_softmax_and_logsumexp_with_minus_infinity_have_finite_gradients():
    x = ag.tensor([0.5, -np.inf, 1.0], dtype="float64", requires_grad=True)
    for f in (
        lambda x: ag.logsumexp(x),
        lambda x: (ag.softmax(x) * np.array([1.0, 2.0, 3.0])).sum(),
        lambda x: ag.log_softmax(x)[np.array([0, 2])].sum(),
    ):
        x.grad = None
        f(x).backward()
        gradient = x.grad.numpy()
        assert np.isfinite(gradient).all()
        assert gradient[1] == 0
    p = np.exp([0.5, 1.0]) / np.exp([0.5, 1.0]).sum()
    np.testing.assert_allclose(ag.grad(lambda x: ag.logsumexp(x))(x).numpy(), [p[0], 0, p[1]], rtol=1e-12)


def test_logsumexp_of_nothing_but_minus_infinity_is_minus_infinity():
    with np.errstate(divide="ignore"):
        assert ag.logsumexp(ag.tensor([-np.inf, -np.inf])).item() == -np.inf
        assert ag.logsumexp(ag.zeros((0,))).item() == -np.inf


def test_an_infinite_cotangent_stays_where_it_is():
    x = ag.tensor([1.0, 2.0, -3.0], requires_grad=True)
    ag.relu(x).backward([np.inf, 1.0, np.inf])
    assert x.grad.tolist() == [np.inf, 1.0, 0.0]


# Promotion --------------------------------------------------------------------------------------------------

DTYPES = sorted((d.name for d in SUPPORTED), key=lambda n: (np.dtype(n).kind, np.dtype(n).itemsize))


def numpy_result(function, *args):
    """NumPy's result, or the kind of error it raises. float16, which the engine lacks, counts as float32."""
    try:
        with np.errstate(all="ignore"):
            out = np.asarray(function(*args))
    except (TypeError, OverflowError, ValueError) as error:
        return next(kind for kind in (TypeError, OverflowError, ValueError) if isinstance(error, kind))
    return out.astype(np.float32) if out.dtype == np.float16 else out


def check_promotion(name, *args):
    expected = numpy_result(REFERENCES[name], *args)
    if isinstance(expected, type):
        with pytest.raises(expected, match=name):
            registry[name](*tensors(args))
        return
    with np.errstate(all="ignore"):
        got = registry[name](*tensors(args))
    assert got.dtype == expected.dtype, (name, args)
    coarse = expected.dtype.kind == "f" and any(np.asarray(a).dtype.itemsize == 1 for a in args)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-3 if coarse else 1e-6)


@pytest.mark.parametrize("name", [n for n in elementwise if registry[n].arity == 2])
def test_two_dtypes_are_promoted_as_in_numpy(name):
    for left, right in itertools.product(DTYPES, DTYPES):
        check_promotion(name, np.array([1, 3]).astype(left), np.array([1, 2]).astype(right))


@pytest.mark.parametrize(
    "name", [n for n in elementwise if registry[n].arity == 1] + ["sum", "max", "argmax", "all"]
)
def test_integers_and_booleans_are_promoted_as_in_numpy(name):
    for dtype in DTYPES:
        values = np.array([0, 1]) if name in ("asin", "acos") else np.array([1, 2, 1])
        check_promotion(name, values.astype(dtype))


@pytest.mark.parametrize("name", "mean var norm logsumexp softmax log_softmax cumulative_sum".split())
@pytest.mark.parametrize("dtype", [d for d in DTYPES if np.dtype(d).kind in "biu"])
def test_reductions_of_integers_are_right_and_do_not_wrap_around(name, dtype):
    values = np.array([1, 0, 1] if dtype == "bool" else [100, 100, 100, 101]).astype(dtype)
    wide = values.astype("float64" if name != "cumulative_sum" else np.cumsum(values).dtype)
    got = registry[name](ag.tensor(values))
    want = REFERENCES[name](wide, **({"axis": 0} if name == "cumulative_sum" else {}))
    assert got.dtype.kind == np.asarray(want).dtype.kind
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if np.dtype(d).kind in "biu"])
def test_sum_prod_and_cumulative_sum_of_small_integers_are_as_wide_as_in_numpy(dtype):
    values = np.array([1, 1, 1] if dtype == "bool" else [100, 100, 3]).astype(dtype)
    same(ag.sum(ag.tensor(values)), np.sum(values))
    same(ag.prod(ag.tensor(values)), np.prod(values))
    same(
        ag.prod(ag.tensor(values.reshape(1, 3)), axis=1, keepdims=True),
        np.prod(values.reshape(1, 3), axis=1, keepdims=True),
    )
    same(ag.cumulative_sum(ag.tensor(values)), np.cumsum(values))


@pytest.mark.parametrize("scalar", [True, 2, 2.5, -1])
@pytest.mark.parametrize("name", [n for n in elementwise if registry[n].arity == 2])
def test_python_scalars_are_weak_on_either_side(name, scalar):
    for dtype in DTYPES:
        array = np.array([1, 2]).astype(dtype)
        check_promotion(name, array, scalar)
        check_promotion(name, scalar, array)


def test_weak_scalars_keep_float32():
    x = ag.tensor([1.0, 2.0])
    for out in (
        x + 1,
        1 + x,
        x * 2.5,
        2.5 * x,
        x**2,
        2.0**x,
        x / 3,
        3 / x,
        x - True,
        x % 2,
        x // 2,
        -x,
        abs(x),
    ):
        assert out.dtype == np.float32
    for out in (ag.maximum(x, 0.5), ag.where(x > 1, x, 0.0), ag.clip(x, 0.1, 0.9), ag.where(x > 1, 0.0, x)):
        assert out.dtype == np.float32


def test_numpy_scalars_are_not_weak():
    x = ag.tensor([1.0, 2.0])
    assert (x + np.float64(1)).dtype == np.float64
    assert (np.float64(1) + x).dtype == np.float64
    assert (ag.tensor([1, 2]) + np.float32(1)).dtype == np.float64


def test_a_python_int_too_large_for_the_dtype_is_an_overflow_error():
    with pytest.raises(OverflowError, match="add"):
        ag.tensor(np.array([1, 2], np.uint8)) + 300


def test_gradients_come_back_in_each_inputs_own_dtype():
    x = ag.tensor([1.0, 2.0], dtype="float32", requires_grad=True)
    y = ag.tensor([3.0, 4.0], dtype="float64", requires_grad=True)
    out = x * y
    assert out.dtype == np.float64
    out.sum().backward()
    assert x.grad.dtype == np.float32
    assert y.grad.dtype == np.float64
    assert x.grad.tolist() == [3.0, 4.0]


def test_integer_operands_beside_float_ones_get_no_gradient_and_do_no_harm():
    x = ag.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    n = ag.tensor([3, 4])
    (x * n).sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]
    assert n.grad is None


# Kinks, ties, zeros -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [ag.max, ag.min])
def test_ties_share_the_gradient(f):
    x = ag.tensor([[2.0, 2.0, 1.0], [3.0, 3.0, 3.0]], dtype="float64", requires_grad=True)
    f(x, axis=1).sum().backward()
    np.testing.assert_allclose(x.grad.numpy().sum(axis=1), [1.0, 1.0])
    chosen = x.numpy() == f(x, axis=1, keepdims=True).numpy()
    np.testing.assert_allclose(x.grad.numpy(), chosen / chosen.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("f", [ag.max, ag.min])
def test_the_gradient_of_an_extremum_that_is_nan_is_nan(f):
    """As PyTorch's amax and JAX have it, for the row with the NaN alone."""
    x = ag.tensor([[1.0, np.nan, 3.0], [1.0, 2.0, 2.0]], requires_grad=True)
    f(x, axis=1).sum().backward()
    assert np.isnan(x.grad.numpy()).tolist() == [[True] * 3, [False] * 3]


@pytest.mark.parametrize("f", [ag.maximum, ag.minimum])
def test_at_a_tie_each_side_gets_half(f):
    x, y = (ag.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    f(x, y).sum().backward()
    assert x.grad.tolist() == y.grad.tolist() == [0.5, 0.5]


def test_kinks_have_the_documented_derivative():
    for f in (ag.abs, ag.relu, ag.sign, ag.norm):
        assert ag.grad(lambda x, f=f: f(x).sum())(ag.tensor([0.0, 0.0])).tolist() == [0.0, 0.0]
    assert ag.grad(lambda x: ag.clip(x, 0, 1).sum())(ag.tensor([0.0, 1.0, -1.0, 2.0])).tolist() == [
        1,
        1,
        0,
        0,
    ]


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_prod_has_right_derivatives_with_zeros_among_the_factors(zeros):
    x = np.array([2.0, -3.0, 0.5, 4.0, 1.5])
    x[:zeros] = 0
    gradient = ag.grad(lambda v: ag.prod(v))(x).numpy()
    others = [np.prod(np.delete(x, i)) for i in range(5)]
    np.testing.assert_allclose(gradient, others)
    hessian = ag.hessian(lambda v: ag.prod(v))(x).numpy()
    for i, j in itertools.product(range(5), repeat=2):
        np.testing.assert_allclose(hessian[i, j], 0 if i == j else np.prod(np.delete(x, [i, j])))
    ag.check_grads(lambda v: ag.prod(v), (x,), order=3)


@pytest.mark.parametrize("f", [ag.asin, ag.acos])
def test_the_arc_functions_derivatives_keep_their_digits_near_the_ends(f):
    for distance in (1e-3, 1e-9, 1e-12):
        for sign in (1, -1):
            x = np.float64(sign * (1 - distance))
            want = 1 / np.sqrt((1 - abs(x)) * (1 + abs(x)))
            assert abs(ag.grad(f)(x).item()) == pytest.approx(want, rel=1e-12)


def test_power_at_zero():
    x = ag.tensor([0.0, 0.0, 0.0, 0.0], dtype="float64", requires_grad=True)
    (x ** ag.tensor([0.0, 1.0, 2.0, 3.0], dtype="float64")).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0, 0.0]
    for exponent, slope in [(0, 0.0), (1, 1.0), (2, 0.0), (3, 0.0), (1.0, 1.0), (2.0, 0.0)]:
        assert ag.grad(lambda v, n=exponent: v**n)(0.0).item() == slope
    assert ag.hessian(lambda v: v**2)(0.0).item() == 2.0
    y = ag.tensor([2.0, 3.0], dtype="float64", requires_grad=True)
    (ag.tensor([0.0, 0.0], dtype="float64") ** y).sum().backward()
    assert y.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, bool])
def test_cubes_are_as_numpys(dtype):
    x = np.array([-2.5, -1, -0.0, 0, 0.1, 3, 1e-20]).astype(dtype)
    y = ag.tensor(x) ** 3
    assert y.dtype == (x**3).dtype
    np.testing.assert_allclose(y.numpy(), x**3, rtol=3e-7)
    if x.dtype.kind == "f":
        ends = np.array([np.nan, np.inf, -np.inf], dtype)
        np.testing.assert_array_equal((ag.tensor(ends) ** 3.0).numpy(), ends**3)
        ag.check_grads(lambda x: x**3, (x.astype(np.float64),))


def test_power_of_a_negative_base_to_a_whole_number():
    x = np.array([-2.0, -0.5])
    for exponent in (2, 3, 3.0, -1, -2, np.array([2.0, 3.0])):
        ag.check_grads(lambda v, n=exponent: v**n, (x,), order=3, rtol=1e-4)


def test_where_does_not_let_the_other_branch_in():
    """The gradient of the branch not taken is 0 even where that branch gives NaN."""
    x = ag.tensor([-1.0, 4.0], dtype="float64", requires_grad=True)
    safe = ag.where(x > 0, x, 1.0)
    ag.where(x > 0, ag.sqrt(safe), 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25]


def test_maximum_with_a_constant_nan_does_not_poison_others():
    x = ag.tensor([1.0, np.nan, 3.0], requires_grad=True)
    ag.where(ag.isnan(x), 0.0, x).sum().backward()
    assert x.grad.tolist() == [1.0, 0.0, 1.0]


def test_norm_of_zeros_and_its_second_derivative_are_finite():
    x = ag.tensor([0.0, 0.0], dtype="float64")
    assert ag.norm(x).item() == 0
    assert ag.grad(lambda v: ag.norm(v))(x).tolist() == [0.0, 0.0]
    y = np.array([3.0, 4.0])
    np.testing.assert_allclose(
        ag.hessian(lambda v: ag.norm(v))(y).numpy(), (np.eye(2) - np.outer(y, y) / 25) / 5, atol=1e-12
    )


# Composite functions ----------------------------------------------------------------------------------------


def sorted_down(x, axis=-1):
    return -np.sort(-x, axis=axis)


def transposed_conv(x, w, stride, padding, output_padding, dilation, groups):
    """By its definition: every input element adds its multiple of the kernel to the output."""
    n = x.ndim - 2
    spatial = [(x.shape[2 + i] - 1) * stride[i] + dilation[i] * (w.shape[2 + i] - 1) + 1 for i in range(n)]
    wide = [size + output_padding[i] + 0 for i, size in enumerate(spatial)]
    outs = w.shape[1]
    full = np.zeros((x.shape[0], outs * groups, *wide))
    per = x.shape[1] // groups
    for b, c in itertools.product(range(x.shape[0]), range(x.shape[1])):
        g = c // per
        for at in np.ndindex(x.shape[2:]):
            for tap in np.ndindex(w.shape[2:]):
                place = tuple(a * st + t * d for a, st, t, d in zip(at, stride, tap, dilation, strict=True))
                full[(b, slice(g * outs, (g + 1) * outs), *place)] += (
                    x[(b, c, *at)] * w[(c, slice(None), *tap)]
                )
    cut = tuple(slice(p, size - p) for p, size in zip(padding, wide, strict=True))
    return full[(slice(None), slice(None), *cut)]


class Composite:
    def __init__(self, label, f, reference, *arrays, order=2):
        self.label, self.f, self.reference, self.arrays, self.order = label, f, reference, arrays, order

    def __repr__(self):
        return self.label


def same_call(name, *arrays, numpy_name=None, order=2, **params):
    """A function whose call NumPy has under the same names of arguments."""
    reference = getattr(np, numpy_name or name)
    statics = ",".join(f"{k}={v}" for k, v in params.items() if np.size(v) < 10)
    shapes = "x".join(str(list(a.shape)) for a in arrays)
    return Composite(
        f"{name}({shapes},{statics})".replace(" ", ""),
        lambda *a: getattr(ag, name)(*a, **params),
        lambda *a: reference(*a, **params),
        *arrays,
        order=order,
    )


INTS = np.array([[0, 2, 2], [1, 0, -1]])
COMPOSITES = [
    Composite("clip", lambda x: ag.clip(x, -0.7, 0.9), lambda x: np.clip(x, -0.7, 0.9), real(3, 4)),
    Composite("clip-min", lambda x: ag.clip(x, min=-0.7), lambda x: np.clip(x, -0.7, None), real(5)),
    Composite("clip-max", lambda x: ag.clip(x, max=0.9), lambda x: np.clip(x, None, 0.9), real(0)),
    Composite("clip-none", ag.clip, lambda x: x, real(3)),
    Composite(
        "clip-arrays",
        lambda x, a, b: ag.clip(x, a, b),
        np.clip,
        real(2, 3),
        np.array([-1.0, -0.5, 0.1]),
        np.array([[0.5], [0.9]]),
    ),
    *(
        Composite(
            f"std{axis}{correction}",
            lambda x, a=axis, c=correction: ag.std(x, axis=a, correction=c),
            lambda x, a=axis, c=correction: np.std(x, axis=a, ddof=c),
            real(3, 4),
        )
        for axis, correction in [(None, 0), (0, 1), ((0, 1), 0.5)]
    ),
    *(
        same_call("prod", real(*shape), **params)
        for shape, params in [
            ((), {}), ((4,), {}), ((2, 3), {"axis": 1}), ((2, 3, 2), {"axis": (0, 2)}), ((0,), {}),
            ((2, 3), {"axis": 0, "keepdims": True}), ((3, 0), {"axis": 1}), ((0, 3), {"axis": 1}), ((7,), {}),
            ((2, 3), {"keepdims": True}),
        ]
    ),
    same_call("split", real(2, 8), indices_or_sections=4, axis=1),
    same_call("split", real(7, 2), indices_or_sections=[2, 5], axis=0),
    same_call("split", real(7, 2), indices_or_sections=[2, 2, 9], axis=0),
    same_call("split", real(3, 4), indices_or_sections=2, axis=-1),
    Composite("split-negative", lambda x: ag.split(x, [-2]), lambda x: np.split(x, [-2]), real(5)),
    Composite("split-backwards", lambda x: ag.split(x, [3, 1]), lambda x: np.split(x, [3, 1]), real(5)),
    *(
        Composite(
            f"stack{axis}", lambda x, y, a=axis: ag.stack([x, y], axis=a),
            lambda x, y, a=axis: np.stack([x, y], axis=a), real(2, 3), real(2, 3, key=2),
        )
        for axis in (0, 1, -1, -2, -3)
    ),
    Composite("stack-0d", lambda x, y: ag.stack([x, y]), lambda x, y: np.stack([x, y]), real(), real(key=2)),
    *(
        Composite(
            f"concat{axis}", lambda x, y, a=axis: ag.concat((x, y), axis=a),
            lambda x, y, a=axis: np.concatenate((x, y), axis=a), real(2, 3), real(2, 3, key=2),
        )
        for axis in (0, 1, -1, -2, None)
    ),
    Composite("concat-rows", ag.concat, np.concatenate, real(3, 2)),
    Composite("stack-rows", ag.stack, np.stack, real(3, 2)),
    *(
        Composite(f"tile{r}", lambda x, r=r: ag.tile(x, r), lambda x, r=r: np.tile(x, r), real(2, 3))
        for r in (2, (2,), (3, 1, 2), (1, 2), (0, 1), (2, 0))
    ),
    Composite("tile-0d", lambda x: ag.tile(x, 3), lambda x: np.tile(x, 3), real()),
    *(
        Composite(f"repeat{r}{a}", lambda x, r=r, a=a: ag.repeat(x, r, axis=a),
                  lambda x, r=r, a=a: np.repeat(x, r, axis=a), real(2, 3))
        for r, a in [(2, None), (2, 0), (3, -1), ([1, 0, 2], 1), ((2, 1), 0), (0, 0)]
    ),
    *(
        Composite(f"take{np.shape(i)}{a}", lambda x, i=i, a=a: ag.take(x, i, axis=a),
                  lambda x, i=i, a=a: np.take(x, i, axis=a), real(3, 4))
        for i, a in [([2, 0, 2], 0), ([[0, 1], [3, -1]], 1), (2, 0), (-1, -1), ([5, 11], None), ([], 0), ((1, 1), 1)]
    ),
    Composite("take-int", lambda x: ag.take(x, INTS, axis=-1), lambda x: np.take(x, INTS, axis=-1), real(3, 4)),
    *(
        Composite(f"take_along_axis{a}", lambda x, i=i, a=a: ag.take_along_axis(x, i, axis=a),
                  lambda x, i=i, a=a: np.take_along_axis(x, i, axis=a), real(2, 3))
        for i, a in [(INTS, 1), (INTS[:, :2], -1), (np.array([[0, 1, 1]]), 0), (np.zeros((2, 0), int), 1)]
    ),
    *(same_call("sort", distinct(3, 4), axis=a) for a in (0, 1, -1)),
    Composite("sort-down", lambda x: ag.sort(x, descending=True), sorted_down, distinct(3, 4)),
    Composite("sort-down0", lambda x: ag.sort(x, axis=0, descending=True), lambda x: sorted_down(x, 0), distinct(3, 4)),
    Composite("sort-empty", ag.sort, np.sort, real(0)),
    Composite("unique_values", ag.unique_values, np.unique, distinct(2, 3)),
    Composite("unique_values-empty", ag.unique_values, np.unique, real(0)),
    Composite("unique_values-0d", ag.unique_values, np.unique, real()),
    *(
        same_call("pad", real(4, 3), mode=mode, pad_width=width)
        for mode in ("constant", "edge", "reflect", "symmetric", "wrap")
        for width in (1, (1, 2), ((2, 1), (0, 3)), ((0, 0), (1, 1)))
    ),
    same_call("pad", real(3), mode="constant", pad_width=2, constant_values=7.5),
    same_call("pad", real(3), mode="wrap", pad_width=(5, 4)),
    same_call("pad", real(3), mode="reflect", pad_width=(5, 4)),
    same_call("pad", real(3), mode="symmetric", pad_width=(7, 4)),
    *(
        same_call("moveaxis", real(2, 3, 4), source=a, destination=b)
        for a, b in [(0, -1), (-1, 0), ((0, 1), (-1, -2)), ([2, 0], [0, 1]), (1, 1)]
    ),
    same_call("flip", real(2, 3)), same_call("flip", real(2, 3), axis=-1), same_call("flip", real(2, 3), axis=(0, 1)),
    same_call("roll", real(2, 3), shift=2), same_call("roll", real(2, 3), shift=(1, -1), axis=(0, 1)),
    same_call("roll", real(2, 3), shift=1, axis=(0, 1)),
    *(same_call(n, real(*shape), k=k) for n in ("tril", "triu") for shape in ((3, 3), (2, 2, 4)) for k in (-1, 0, 2)),
    same_call("tril", real(0, 3)),
    *(
        Composite(f"cumulative_sum{a}", lambda x, a=a: ag.cumulative_sum(x, axis=a),
                  lambda x, a=a: np.cumulative_sum(x, axis=a), real(2, 3))
        for a in (0, 1, -1, -2)
    ),
    same_call("cumulative_sum", real(4)),
    same_call("cumulative_sum", real(2, 3), axis=-1, include_initial=True),
    same_call("cumulative_sum", real(0), include_initial=True),
    Composite("reshape-int", lambda x: ag.reshape(x, -1), lambda x: x.reshape(-1), real(2, 3)),
    Composite("reshape-kw", lambda x: ag.reshape(x, shape=(3, -1)), lambda x: x.reshape(3, -1), real(2, 3)),
    Composite("permute_dims", lambda x: ag.permute_dims(x, (1, 2, 0)), lambda x: x.transpose(1, 2, 0), real(2, 3, 4)),
    Composite("matrix_transpose", ag.matrix_transpose, lambda x: x.swapaxes(-1, -2), real(2, 3, 4)),
    same_call("squeeze", real(1, 3, 1)), same_call("squeeze", real(1, 3, 1), axis=-1),
    same_call("expand_dims", real(3), axis=(0, 2)),
    same_call("broadcast_to", real(3, 1), shape=(2, 3, 4)),
    Composite("broadcast_to-int", lambda x: ag.broadcast_to(x, 3), lambda x: np.broadcast_to(x, 3), real()),
    *(
        Composite(f"matmul{a}{b}".replace(" ", ""), lambda x, y: x @ y, np.matmul, real(*a), real(*b, key=2))
        for a, b in [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((4, 2, 3), (3,)), ((4, 2, 3), (3, 2))]
    ),
    same_call("tensordot", real(2, 3, 4), real(4, 3, 5), axes=([1, 2], [1, 0])),
    same_call("tensordot", real(2, 3), real(3, 2), axes=1),
    same_call("tensordot", real(2, 3), real(2, 3), axes=2),
    same_call("tensordot", real(2), real(3), axes=0),
    same_call("vecdot", real(2, 3), real(2, 3, key=2), axis=0),
    same_call("vecdot", real(2, 3), real(3)),
    same_call("outer", real(3), real(4)),
    *(
        Composite(f"einsum-{text}", lambda *a, t=text: ag.einsum(t, *a), lambda *a, t=text: np.einsum(t, *a),
                  *(real(*shape, key=i) for i, shape in enumerate(shapes)))
        for text, *shapes in [
            ("ij,jk", (2, 3), (3, 4)), ("ii", (3, 3)), ("ii->i", (3, 3)), ("ij->j", (2, 3)), ("i,i", (3,), (3,)),
            ("...ij,...jk->...ik", (2, 2, 3), (3, 4)), ("bhqd,bhkd->bhqk", (1, 2, 3, 2), (1, 2, 4, 2)),
            ("i,j,k->ijk", (2,), (3,), (2,)), ("ij,ij,ij->", (2, 2), (2, 2), (2, 2)), ("abc->cab", (2, 3, 4)),
        ]
    ),
    *(
        Composite(
            f"norm-{ord}-{axis}-{keep}", lambda x, o=ord, a=axis, k=keep: ag.linalg.norm(x, ord=o, axis=a, keepdims=k),
            lambda x, o=ord, a=axis, k=keep: np.linalg.norm(x, ord=o, axis=a, keepdims=k),
            s.spread_rows(3, 3),
        )
        for ord, axis, keep in [(None, None, False), (1, 0, False), (3, 1, True), (np.inf, 0, False), (2, -1, False),
                                ("fro", None, True), ("nuc", None, False), (1, (0, 1), False), (-np.inf, 1, False)]
    ),
    Composite("norm", ag.norm, np.linalg.norm, nonzero(3, 4)),
    Composite("norm-axis", lambda x: ag.norm(x, axis=1, keepdims=True),
              lambda x: np.linalg.norm(x, axis=1, keepdims=True), nonzero(3, 4)),
    Composite("linalg.solve-vector", ag.linalg.solve, np.linalg.solve, s.matrix(3, 3), real(3)),
    Composite("linalg.inv", ag.linalg.inv, np.linalg.inv, s.matrix(2, 3, 3)),
    Composite("linalg.det", ag.linalg.det, np.linalg.det, s.matrix(3, 3)),
    Composite("linalg.slogdet", lambda a: ag.linalg.slogdet(a)[1], lambda a: np.linalg.slogdet(a)[1], s.matrix(3, 3)),
    Composite("linalg.cholesky", ag.linalg.cholesky, np.linalg.cholesky, s.definite(3, 3)),
    Composite("linalg.qr", lambda a: tuple(ag.linalg.qr(a)), lambda a: tuple(np.linalg.qr(a)), s.spread_rows(3, 2)),
    Composite("linalg.svd", lambda a: tuple(ag.linalg.svd(a)),
              lambda a: tuple(np.linalg.svd(a, full_matrices=False)), s.spread_rows(3, 3)),
    Composite("linalg.eigh", lambda a: tuple(ag.linalg.eigh(a)), lambda a: tuple(np.linalg.eigh(a)), s.definite(3, 3)),
    *(
        Composite(f"conv-{i}", lambda x, w, p=params: ag.conv(x, w, **p),
                  lambda x, w, p=params: naive.conv_forward(x, w, **p), real(*xs), real(*ws, key=2))
        for i, (xs, ws, params) in enumerate(s.CONVS)
    ),
    Composite("conv-ints", lambda x, w: ag.conv(x, w, 2, 1, 1, 1),
              lambda x, w: naive.conv_forward(x, w, stride=(2, 2), padding=(1, 1), dilation=(1, 1), groups=1),
              real(1, 2, 5, 5), real(3, 2, 3, 3)),
    *(
        Composite(
            f"conv_transpose-{i}",
            lambda x, w, p=params: ag.conv_transpose(x, w, **dict(zip(TRANSPOSED, p, strict=True))),
            lambda x, w, p=params: transposed_conv(x, w, *p), real(*xs), real(*ws, key=2),
        )
        for i, (xs, ws, *params) in enumerate([
            ((1, 2, 4), (2, 3, 3), (1,), (0,), (0,), (1,), 1),
            ((2, 2, 3, 3), (2, 1, 3, 2), (2, 3), (1, 0), (1, 2), (1, 1), 1),
            ((1, 4, 3, 3), (4, 2, 2, 2), (1, 2), (0, 1), (0, 0), (2, 1), 2),
            ((1, 1, 2, 2, 2), (1, 2, 2, 2, 2), (2,) * 3, (0,) * 3, (1,) * 3, (1,) * 3, 1),
        ])
    ),
    *(
        Composite(f"max_pool-{i}", lambda x, p=params: ag.max_pool(x, **p),
                  lambda x, p=params: naive.max_pool(x, dilation=(1,) * (x.ndim - 2), **p), distinct(*xs))
        for i, (xs, params) in enumerate(s.POOLS)
    ),
    Composite("max_pool-dilated", lambda x: ag.max_pool(x, 2, stride=1, dilation=2),
              lambda x: naive.max_pool(x, kernel_size=(2, 2), stride=(1, 1), padding=(0, 0), dilation=(2, 2)),
              distinct(1, 1, 4, 5)),
    *(
        Composite(f"avg_pool-{i}", lambda x, p=params: ag.avg_pool(x, **p),
                  lambda x, p=params: naive.avg_pool(x, **p), real(*xs))
        for i, (xs, params) in enumerate(s.POOLS)
    ),
    Composite("avg_pool-int", lambda x: ag.avg_pool(x, 2, padding=1),
              lambda x: naive.avg_pool(x, kernel_size=(2, 2), stride=(2, 2), padding=(1, 1)), real(1, 1, 4, 4)),
    Composite("T", lambda x: x.T, lambda x: x.T, real(2, 3, 4)),
    Composite("mT", lambda x: x.mT, lambda x: x.swapaxes(-1, -2), real(2, 3, 4)),
    Composite("variance-of-softmax", lambda x: ag.var(ag.softmax(x, axis=0), axis=1),
              lambda x: np.var(scipy.special.softmax(x, axis=0), axis=1), real(3, 4)),
]  # fmt: skip
TRANSPOSED = ["stride", "padding", "output_padding", "dilation", "groups"]
each_composite = pytest.mark.parametrize("composite", COMPOSITES, ids=str)


def parts(result):
    return list(result) if isinstance(result, tuple | list) else [result]


@each_composite
@pytest.mark.parametrize("dtype", FLOATS)
def test_composite_functions_equal_numpy(composite, dtype):
    arrays = [a.astype(dtype) for a in composite.arrays]
    wants = [np.asarray(w, dtype) for w in parts(composite.reference(*arrays))]
    rtol = 2e-4 if dtype == "float32" else 1e-9
    for given in ([ag.tensor(a) for a in arrays], arrays):
        if given is arrays and composite.label.startswith(("T", "mT", "matmul")):
            continue
        gots = parts(composite.f(*given))
        assert len(gots) == len(wants)
        for got, want in zip(gots, wants, strict=True):
            assert type(got) is ag.Tensor
            same(got, want, rtol)


@each_composite
def test_composite_functions_have_right_derivatives_to_second_order(composite):
    ag.check_grads(composite.f, composite.arrays, order=composite.order)


@each_composite
def test_composite_functions_keep_float32_gradients(composite):
    inputs = [ag.tensor(a, dtype="float32", requires_grad=True) for a in composite.arrays]
    outs = parts(composite.f(*inputs))
    ag.concat([out.flatten() for out in outs]).sum().backward()
    for x in inputs:
        assert x.grad.dtype == np.float32
        assert x.grad.shape == x.shape


@each_composite
def test_composite_functions_do_not_depend_on_memory_layout(composite):
    wants = parts(composite.f(*map(ag.tensor, composite.arrays)))
    for layout in ("transposed", "reversed", "strided"):
        with about(layout):
            gots = parts(composite.f(*(laid_out(a, layout) for a in composite.arrays)))
            for got, want in zip(gots, wants, strict=True):
                same(got, want, 1e-9)


@each_composite
def test_composite_functions_never_write_to_their_inputs(composite):
    memories = [a.copy() for a in composite.arrays]
    inputs = [ag.asarray(m, copy=False) for m in memories]
    for x in inputs:
        x.requires_grad = True
    for out in parts(composite.f(*inputs)):
        out.backward(weights(out.shape), retain_graph=True)
    for memory, original in zip(memories, composite.arrays, strict=True):
        np.testing.assert_array_equal(memory, original)


def test_clip_with_nan_among_bounds_or_elements_as_numpy():
    x = np.array([1.0, np.nan, 3.0])
    for low, high in [
        (np.nan, None),
        (None, np.nan),
        (0.0, 2.0),
        (np.array([np.nan, 0.0, 0.0]), 2.0),
        (2.5, 1.5),
    ]:
        same(ag.clip(x, low, high), np.clip(x, low, high))


def test_numpy_integers_are_taken_for_sizes_axes_and_shifts():
    n, x = np.int64(2), ag.tensor(real(2, 2))
    one = np.int32(1)
    for got, want in [
        (ag.reshape(x, np.int64(4)), (4,)), (x.reshape(n, n), (2, 2)), (ag.broadcast_to(x[0, 0], n), (2,)),
        (ag.tile(x, n), (2, 4)), (ag.repeat(x, n, axis=one), (2, 4)), (ag.pad(x, n), (6, 6)), (ag.zeros(n), (2,)),
        (ag.roll(x, one, axis=one), (2, 2)), (ag.flip(x, axis=one), (2, 2)), (ag.moveaxis(x, one, np.int64(0)), (2, 2)),
        (ag.sum(x, axis=one), (2,)), (ag.prod(x, axis=one), (2,)), (ag.argmax(x, axis=one), (2,)),
        (ag.logsumexp(x, axis=one), (2,)), (ag.linalg.norm(x, axis=one), (2,)), (ag.softmax(x, axis=one), (2, 2)),
        (ag.split(x, n, axis=one)[0], (2, 1)), (ag.concat([x, x], axis=one), (2, 4)),
        (ag.stack([x, x], axis=one), (2, 2, 2)),
        (ag.expand_dims(x, axis=one), (2, 1, 2)), (ag.take(x, n - 1, axis=one), (2,)), (ag.sort(x, axis=one), (2, 2)),
        (ag.cumulative_sum(x, axis=one), (2, 2)), (ag.tril(x, k=one), (2, 2)), (ag.random.uniform(n), (2,)),
        (ag.avg_pool(x[None, None], n), (1, 1, 1, 1)),
    ]:  # fmt: skip
        assert got.shape == want
    ag.check_grads(lambda v: ag.roll(v, n, axis=one) * ag.roll(v, n), (x,))


def test_nonzero_as_numpy():
    x = np.array([[0.0, 2.0, np.nan], [0.0, 0.0, -1.0]])
    got = ag.nonzero(ag.tensor(x))
    assert isinstance(got, tuple)
    for g, w in zip(got, np.nonzero(x), strict=True):
        assert type(g) is ag.Tensor
        same(g, w)


def test_unique_values_counts_each_nan_as_the_array_api_says():
    got = ag.unique_values(ag.tensor([np.nan, 1.0, np.nan, 1.0])).numpy()
    np.testing.assert_array_equal(got, [1.0, np.nan, np.nan])


def test_gradient_of_unique_values_goes_to_the_first_place_of_each():
    x = ag.tensor([2.0, 1.0, 2.0, 3.0], requires_grad=True)
    (ag.unique_values(x) * ag.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [10.0, 1.0, 0.0, 100.0]


def test_sort_and_unique_values_with_ties_as_numpy():
    x = np.array([[1.0, 2, 1], [2, 2, 2]])
    for axis in (0, 1):
        same(ag.sort(x, axis=axis), np.sort(x, axis=axis))
        same(ag.sort(x, axis=axis, descending=True), sorted_down(x, axis))
    same(ag.unique_values(x), np.unique(x))


def test_sort_and_argsort_are_stable_both_ways_and_put_nan_last():
    x = ag.tensor([2.0, 1.0, 2.0, 1.0])
    assert ag.argsort(x).tolist() == [1, 3, 0, 2]
    assert ag.argsort(x, descending=True).tolist() == [0, 2, 1, 3]
    np.testing.assert_array_equal(ag.sort(ag.tensor([np.nan, 2.0, -np.inf])).numpy(), [-np.inf, 2.0, np.nan])


def test_gradient_of_sort_follows_the_elements():
    x = ag.tensor([3.0, 1.0, 2.0], requires_grad=True)
    (ag.sort(x, descending=True) * ag.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [1.0, 100.0, 10.0]


# Max pooling's hazards --------------------------------------------------------------------------------------


def pool_gradient(values, **params):
    x = ag.tensor(np.array(values, "float64")[None, None], requires_grad=True)
    out = ag.max_pool(x, **params)
    out.backward(np.ones(out.shape))
    return out.numpy()[0, 0], x.grad.numpy()[0, 0]


def test_max_pool_over_nan_puts_the_gradient_on_the_first_nan():
    nan = np.nan
    out, gradient = pool_gradient([nan, nan, nan, nan, 1.0, nan, 2.0, 3.0], kernel_size=4)
    np.testing.assert_array_equal(out, [nan, nan])
    assert gradient.tolist() == [1, 0, 0, 0, 0, 1, 0, 0]


def test_max_pool_over_infinities_and_ties_takes_the_first_of_equals():
    inf = np.inf
    out, gradient = pool_gradient([-inf, -inf, 1.0, inf, inf, 0.0, 2.0, 2.0], kernel_size=2)
    assert out.tolist() == [-inf, inf, inf, 2.0]
    assert gradient.tolist() == [1, 0, 0, 1, 1, 0, 1, 0]


def test_max_pool_padding_never_wins():
    out, gradient = pool_gradient([-5.0, -np.inf, -7.0], kernel_size=2, stride=1, padding=1)
    assert out.tolist() == [-5.0, -5.0, -7.0, -7.0]
    assert gradient.tolist() == [2.0, 0.0, 2.0]


@pytest.mark.parametrize("how", [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}])
def test_max_pool_keeps_the_places_of_its_last_run_while_the_array_lives(how):
    one, two = np.random.default_rng(0).standard_normal((2, 2, 3, 16, 16))
    x = ag.tensor(one, requires_grad=True)
    y = ag.max_pool(x * 1.0, **how)
    node = y.node
    met, winners = node.saved[0], node.params["winners"]
    assert winners.of(met) is not None
    assert winners.of(met.copy()) is None
    y.sum().backward(retain_graph=True)
    first, x.grad = x.grad, None
    node.primitive.forward(two, **node.params)  # places in another array: not for this graph
    y.sum().backward(retain_graph=True)
    np.testing.assert_array_equal(x.grad, first)
    met[:], x.grad = two, None
    node.primitive.forward(met, **node.params)  # the same array, with other numbers: a step that runs again
    y.sum().backward()
    other = ag.tensor(two, requires_grad=True)
    ag.max_pool(other, **how).sum().backward()
    np.testing.assert_array_equal(x.grad, other.grad)
    del met
    assert not winners.found
    with ag.no_grad():
        assert ag.max_pool(x, **how).node is None


def test_max_pool_of_integers_says_what_to_do():
    with pytest.raises(TypeError, match=r"int64.*float32"):
        ag.max_pool(ag.tensor(np.array([[[1, 7, 3, 2]]])), 2)


# Public names -----------------------------------------------------------------------------------------------

NAMES = """
    tensor asarray zeros ones full arange linspace eye no_grad set_default_dtype set_num_threads random
    exp log log1p expm1 sqrt rsqrt square sin cos tan asin acos atan atan2 sinh cosh tanh erf abs sign maximum minimum
    clip where floor ceil round sigmoid softplus relu logaddexp isnan isinf isfinite
    sum mean prod max min var std argmax argmin cumulative_sum logsumexp softmax log_softmax norm
    reshape permute_dims moveaxis squeeze expand_dims broadcast_to concat stack split flip roll pad tile repeat take
    take_along_axis sort argsort unique_values nonzero tril triu
    matmul einsum tensordot vecdot outer linalg conv conv_transpose max_pool avg_pool
    grad value_and_grad vjp jvp jacobian hessian hvp checkpoint check_grads primitive draw
""".split()
METHODS = """
    shape ndim size dtype grad requires_grad is_leaf T mT numpy item detach astype backward
    exp log sqrt square sin cos tanh abs relu sigmoid clip round sum mean prod max min var std argmax argmin
    cumulative_sum logsumexp softmax log_softmax norm reshape permute_dims moveaxis squeeze expand_dims flip take sort
    argsort all any
""".split()
UNARY = """
    exp log log1p expm1 sqrt rsqrt square sin cos tan asin acos atan sinh cosh tanh erf abs sign floor ceil round
    sigmoid softplus relu isnan isinf isfinite sum mean prod max min var std argmax argmin cumulative_sum logsumexp
    softmax log_softmax norm flip sort argsort unique_values nonzero
""".split()


def test_every_public_name_exists_and_has_a_docstring():
    assert [name for name in NAMES if not getattr(getattr(ag, name, None), "__doc__", None)] == []


def test_every_public_linalg_name_exists_and_has_a_docstring():
    names = "solve inv det slogdet cholesky qr svd eigh norm".split()
    assert [name for name in names if not getattr(getattr(ag.linalg, name, None), "__doc__", None)] == []


def test_every_method_and_property_exists():
    assert [name for name in METHODS if not hasattr(ag.Tensor, name)] == []


def test_every_random_function_exists_and_has_a_docstring():
    names = ["seed", "uniform", "normal", "bernoulli", "integers", "permutation"]
    assert [name for name in names if not getattr(getattr(ag.random, name, None), "__doc__", None)] == []


@pytest.mark.parametrize("name", UNARY)
def test_functions_take_lists_numbers_and_ndarrays_and_return_tensors(name):
    function = getattr(ag, name)
    first = lambda out: out[0] if isinstance(out, tuple) else out
    from_list, from_array = first(function([0.5, 0.25])), first(function(np.array([0.5, 0.25], "float32")))
    assert type(from_list) is type(from_array) is ag.Tensor
    same(from_list, from_array)


@pytest.mark.parametrize("name", sorted(set(METHODS) & set(UNARY)))
def test_method_is_the_function(name):
    x = ag.tensor(positive(2, 3))
    arguments = {"axis": 0} if name == "cumulative_sum" else {}
    same(getattr(x, name)(**arguments), getattr(ag, name)(x, **arguments))


@pytest.mark.parametrize("name", "sum mean prod max min var std logsumexp norm argmax argmin all any".split())
def test_reductions_take_axis_and_keepdims_by_name_and_position(name):
    x = ag.tensor(positive(2, 3))
    for call in (getattr(ag, name), lambda x, *a, **k: getattr(x, name)(*a, **k)):
        assert call(x, axis=1, keepdims=True).shape == (2, 1)
        assert call(x, 1).shape == (2,)
        assert call(x).shape == ()
        if name not in ("argmax", "argmin"):
            assert call(x, axis=(0, 1)).shape == ()
            assert call(x, axis=(-1,), keepdims=True).shape == (2, 1)


def test_linspace_arange_eye_and_friends_equal_numpy():
    same(ag.arange(5), np.arange(5))
    same(ag.arange(1, 2, 0.25), np.arange(1, 2, 0.25, "float32"))
    same(ag.arange(5, 0, -2), np.arange(5, 0, -2))
    same(ag.arange(3.0), np.arange(3, dtype="float32"))
    same(ag.arange(3, dtype="float64"), np.arange(3, dtype="float64"))
    same(ag.linspace(-1, 1, 7, dtype="float64"), np.linspace(-1, 1, 7))
    same(ag.linspace(0, 1, 4, endpoint=False), np.linspace(0, 1, 4, endpoint=False, dtype="float32"))
    same(ag.eye(3), np.eye(3, dtype="float32"))
    same(ag.eye(2, 4, k=1, dtype="int32"), np.eye(2, 4, 1, dtype="int32"))
    same(ag.full((2, 2), 1.5), np.full((2, 2), 1.5, "float32"))
    same(ag.full(3, True), np.full(3, True))
    same(ag.zeros((2, 0)), np.zeros((2, 0), "float32"))
    same(ag.ones(3, dtype="bool"), np.ones(3, bool))
    same(ag.zeros_like(ag.ones((2,), dtype="int8")), np.zeros(2, "int8"))
    same(ag.ones_like(np.zeros(2)), np.ones(2))
    same(ag.full_like(ag.ones(2), 7), np.full(2, 7, "float32"))
    for got, want in zip(
        ag.meshgrid([1, 2, 3], [4, 5], indexing="ij"), np.meshgrid([1, 2, 3], [4, 5], indexing="ij")
    ):
        same(got, want)


def test_arange_of_large_integers_is_exact():
    assert ag.arange(2**53, 2**53 + 3).tolist() == [2**53, 2**53 + 1, 2**53 + 2]
    assert math.isclose(ag.arange(0, 1, 0.1, dtype="float64")[-1].item(), 0.9, rel_tol=1e-15)
