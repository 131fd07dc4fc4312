"""Operations on each element: arithmetic, elementary functions, comparisons, selection."""

# pyright: reportGeneralTypeIssues=false
# A rule may name the operation it belongs to: at run time the name is there, pyright sees a circle.

import math
from functools import cache
from typing import Any

import numpy as np

from autograd_core.dtypes import Array, DTypeLike, check_dtype
from autograd_core.ops.define import constant_pieces, elementwise, operation, zero_rule
from autograd_core.ops.large import is_large, is_large32, is_large_float
from autograd_core.ops.spread import spread_view

# Kernels for large arrays ------------------------------------------------------------------------------------

_GATED = 8  # what an element counts for relu's derivative: NumPy needs three passes, and all their code


@cache
def _choosing() -> Any:
    """The kernels that choose between numbers; loading them loads numba."""
    from autograd_core.kernels import choose

    return choose


def smooth_kernels() -> Any:
    """The kernels of the elementary functions; loading them loads numba."""
    from autograd_core.kernels import smooth

    return smooth


def _spread(operation: str, flipped: str, x: Any, y: Any) -> Array | None:
    """x and y combined by a compiled kernel where one of them is large and the other is repeated along its axes."""
    if type(x) is not type(y) or type(x) is not np.ndarray or x.size == y.size:
        return None
    if x.size < y.size:
        operation, x, y = flipped, y, x
    if not is_large_float(x) or x.dtype != y.dtype or (view := spread_view(x.shape, y.shape)) is None:
        return None
    from autograd_core.kernels import spread

    return getattr(spread, operation)(x, y, view)


# Arithmetic -----------------------------------------------------------------------------------------------


@elementwise(lambda g: g, lambda g: g)
def add(x: Array, y: Array) -> Array:
    """x + y."""
    made = _spread("add", "add", x, y)
    return np.add(x, y) if made is None else made


@elementwise(lambda g: g, lambda g: -g)
def subtract(x: Array, y: Array) -> Array:
    """x - y."""
    made = _spread("subtract", "subtract_from", x, y)
    return np.subtract(x, y) if made is None else made


def _product(g: Any, y: Any) -> Any:
    """g · y, for small arrays without the way through the primitive."""
    return multiply(g, y) if is_large(g) else g * y


@elementwise(lambda g, y: _product(g, y), lambda g, x: _product(g, x))
def multiply(x: Array, y: Array) -> Array:
    """x · y."""
    made = _spread("multiply", "multiply", x, y)
    return np.multiply(x, y) if made is None else made


@elementwise(lambda g, y: g / y, lambda g, y, out: -g * out / y)
def divide(x: Array, y: Array) -> Array:
    """x / y."""
    return np.true_divide(x, y)


@constant_pieces(2)
def floor_divide(x: Array, y: Array) -> Array:
    """The largest integer not above x / y. Piecewise constant: its derivative is zero."""
    return np.floor_divide(x, y)


@elementwise(lambda g: g, lambda g, x, y: -g * floor_divide(x, y))
def remainder(x: Array, y: Array) -> Array:
    """x - y · floor(x / y), with the sign of y, as Python's %."""
    return np.remainder(x, y)


def _as_wide(x: Any, g: Any) -> Any:
    """Integers as floats like the cotangent: of 8 bits NumPy's log is float16, and their squares wrap around."""
    return x.astype(g.dtype) if hasattr(x, "dtype") and x.dtype.kind != "f" else x


def _power_base_rule(g: Any, x: Any, y: Any) -> Any:
    if isinstance(y, int | float):
        return g * (y * x ** (y - 1)) if y else zeros_like(g)
    # The derivative of x⁰ is 0, also where x is infinite or NaN.
    # 0 · x⁻¹ would be NaN at 0, ∞ and NaN; elsewhere y − 1 stays, which is what the derivative by y needs at y = 0.
    nothing = (y == 0) & ((x == 0) | ~isfinite(x))
    return where(nothing, 0, g * y * where(nothing, 1, x) ** (y - 1))


@elementwise(_power_base_rule, lambda g, x, out: g * out * log(where(x == 0, 1, _as_wide(x, g))))
def power(x: Array, y: Array) -> Array:
    """x to the power y. The exponent's derivative at x = 0 is taken as 0."""
    if type(y) in (int, float) and y == 3 and getattr(getattr(x, "dtype", None), "kind", "") == "f":
        return x * x * x  # pow takes 50 times as long; NumPy itself does so for 2 and ½ only
    return x**y


@elementwise(lambda g: -g)
def negative(x: Array) -> Array:
    """-x."""
    return np.negative(x)


@elementwise(lambda g, x: 2 * g * x)
def square(x: Array) -> Array:
    """x · x."""
    return np.square(x)


@elementwise(lambda g, x: g * sign(x))
def abs(x: Array) -> Array:
    """The absolute value; its derivative at 0 is taken as 0."""
    return np.abs(x)


@constant_pieces(1)
def sign(x: Array) -> Array:
    """-1, 0 or 1. Piecewise constant: its derivative is zero."""
    return np.sign(x)


# Exponentials, roots and logarithms -----------------------------------------------------------------------


@elementwise(lambda g, out: g * out)
def exp(x: Array) -> Array:
    """e to the power x."""
    return smooth_kernels().exp(x) if is_large32(x) else np.exp(x)


@elementwise(lambda g, out: g * (out + 1))
def expm1(x: Array) -> Array:
    """eˣ - 1, accurate near 0."""
    return np.expm1(x)


@elementwise(lambda g, x: g / x)
def log(x: Array) -> Array:
    """The natural logarithm."""
    return np.log(x)


@elementwise(lambda g, x: g / (x + 1))
def log1p(x: Array) -> Array:
    """log(1 + x), accurate near 0."""
    return np.log1p(x)


@elementwise(lambda g, x, y: g * sigmoid(x - y), lambda g, x, y: g * sigmoid(y - x))
def logaddexp(x: Array, y: Array) -> Array:
    """log(eˣ + eʸ), without overflow."""
    return np.logaddexp(x, y)


@elementwise(lambda g, out: g * 0.5 / out)
def sqrt(x: Array) -> Array:
    """The square root."""
    return np.sqrt(x)


@elementwise(lambda g, out: g * -0.5 * (out * out * out))
def rsqrt(x: Array) -> Array:
    """1 / √x."""
    return 1 / np.sqrt(x)


# Trigonometry ---------------------------------------------------------------------------------------------


@elementwise(lambda g, x: g * cos(x))
def sin(x: Array) -> Array:
    """The sine of x in radians."""
    return np.sin(x)


@elementwise(lambda g, x: -g * sin(x))
def cos(x: Array) -> Array:
    """The cosine of x in radians."""
    return np.cos(x)


@elementwise(lambda g, out: g * (1 + square(out)))
def tan(x: Array) -> Array:
    """The tangent of x in radians."""
    return np.tan(x)


@elementwise(lambda g, x: g * rsqrt((1 - x) * (1 + x)))  # 1 - x² would lose digits near ±1
def asin(x: Array) -> Array:
    """The angle in [-π/2, π/2] whose sine is x."""
    return np.arcsin(x)


@elementwise(lambda g, x: -g * rsqrt((1 - x) * (1 + x)))
def acos(x: Array) -> Array:
    """The angle in [0, π] whose cosine is x."""
    return np.arccos(x)


@elementwise(lambda g, x: g / (1 + square(x)))
def atan(x: Array) -> Array:
    """The angle in [-π/2, π/2] whose tangent is x."""
    return np.arctan(x)


@elementwise(
    lambda g, y, x: g * x / (square(_as_wide(x, g)) + square(_as_wide(y, g))),
    lambda g, y, x: -g * y / (square(_as_wide(x, g)) + square(_as_wide(y, g))),
)
def atan2(y: Array, x: Array) -> Array:
    """The angle in [-π, π] of the point (x, y), the ordinate first."""
    return np.arctan2(y, x)


@elementwise(lambda g, x: g * cosh(x))
def sinh(x: Array) -> Array:
    """The hyperbolic sine."""
    return np.sinh(x)


@elementwise(lambda g, x: g * sinh(x))
def cosh(x: Array) -> Array:
    """The hyperbolic cosine."""
    return np.cosh(x)


def _are_large32(g: Any, y: Any) -> bool:
    return is_large32(g) and is_large32(y) and g.shape == y.shape


@elementwise(lambda u, y: tanh_grad(u, y), lambda u, g, y: -2 * u * g * y)
def tanh_grad(g: Array, y: Array) -> Array:
    """g · (1 - y²): the derivative of tanh, of which y is the result."""
    return smooth_kernels().tanh_grad(g, y) if _are_large32(g, y) else g * (1 - y * y)


@elementwise(lambda g, out: tanh_grad(g, out))
def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return smooth_kernels().tanh(x) if is_large32(x) else np.tanh(x)


# The functions of learning --------------------------------------------------------------------------------


def as_float(x: Array) -> Array:
    """Integers and booleans as floats, where NumPy's own arithmetic would wrap around or refuse."""
    x = x if hasattr(x, "dtype") else np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(np.result_type(x.dtype, np.float32))


def as_kind(x: Any, dtype: Any) -> Any:
    """An array of this dtype; what only stands for an array stays one."""
    return x.astype(dtype, copy=False) if hasattr(x, "astype") else np.asarray(x, dtype)


@elementwise(lambda g, x: g * (2 / math.sqrt(math.pi)) * exp(-square(x)))
def erf(x: Array) -> Array:
    """The error function, 2/√π ∫₀ˣ exp(-t²) dt."""
    if is_large32(x):
        return smooth_kernels().erf(x)
    from scipy import special  # 0.25 s to import: only when first needed

    return special.erf(x)


@elementwise(lambda u, y: sigmoid_grad(u, y), lambda u, g, y: u * g * (1 - 2 * y))
def sigmoid_grad(g: Array, y: Array) -> Array:
    """g · y · (1 - y): the derivative of sigmoid, of which y is the result."""
    return smooth_kernels().sigmoid_grad(g, y) if _are_large32(g, y) else g * y * (1 - y)


@elementwise(lambda g, out: sigmoid_grad(g, out))
def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), without overflow and with full relative accuracy on both sides."""
    if is_large32(x):
        return smooth_kernels().sigmoid(x)
    x = as_float(x)
    small = np.exp(-np.abs(x))  # e⁻ˣ for positive x, eˣ for negative
    return np.maximum(small, np.greater_equal(x, 0)) / (1 + small)


@elementwise(lambda g, x: g * sigmoid(x))
def softplus(x: Array) -> Array:
    """log(1 + eˣ), without overflow."""
    x = as_float(x)
    small = np.exp(-np.abs(x))  # a third of np.logaddexp's time
    return np.log1p(small) + np.maximum(x, 0)


@elementwise(lambda g, x: gate(g, x), zero_rule)
def gate(y: Array, x: Array) -> Array:
    """y where x is positive, else 0, whatever y is: the derivative of relu."""
    both_large = is_large_float(y, _GATED) and is_large_float(x, _GATED)
    if both_large and x.shape == y.shape and x.dtype == y.dtype:
        return _choosing().gate(y, x)
    mask = np.greater(x, 0)
    if not isinstance(y, np.ndarray) or y.dtype.kind != "f":
        return np.where(mask, y, 0)
    # The bits times 0 or 1: 9 µs for 32,768 random signs, masking them 12, np.where 130: it branches at every element.
    keep = mask.astype(f"i{y.itemsize}")
    into = keep if keep.ndim and keep.shape == y.shape else None
    return np.multiply(keep, y.view(keep.dtype), out=into).view(y.dtype)


@elementwise(lambda g, out: gate(g, out))
def relu(x: Array) -> Array:
    """max(x, 0); its derivative at 0 is taken as 0."""
    if is_large_float(x):
        return _choosing().relu(x)
    return np.maximum(x, 0)


# Choosing -------------------------------------------------------------------------------------------------


def _larger_share(g: Any, x: Any, y: Any) -> Any:
    return where(x > y, g, where(x == y, 0.5 * g, 0))


@elementwise(_larger_share, lambda g, x, y: _larger_share(g, y, x))
def maximum(x: Array, y: Array) -> Array:
    """The larger of two; NaN wins. At a tie each input gets half of the derivative."""
    return np.maximum(x, y)


@elementwise(lambda g, x, y: _larger_share(g, y, x), _larger_share)
def minimum(x: Array, y: Array) -> Array:
    """The smaller of two; NaN wins. At a tie each input gets half of the derivative."""
    return np.minimum(x, y)


@elementwise(None, lambda g, condition: where(condition, g, 0), lambda g, condition: where(condition, 0, g))
def where(condition: Array, x: Array, y: Array) -> Array:
    """x where the condition is true, else y."""
    if is_large(condition) and _selectable(condition, x, y):
        return _choosing().select(condition, x, y)
    return np.where(condition, x, y)


def _selectable(condition: Array, x: Array, y: Array) -> bool:
    """Whether x and y are arrays like the condition, or one of them and a Python number."""
    if condition.dtype != np.bool_ or not condition.flags.c_contiguous:
        return False
    arrays = [a for a in (x, y) if type(a) not in (int, float)]
    return (
        bool(arrays)
        and all(is_large_float(a) and a.shape == condition.shape for a in arrays)
        and arrays[0].dtype == arrays[-1].dtype
    )


@operation(lambda g: g, kind="view")
def alias(x: Array) -> Array:
    """The same elements as another tensor: what is then assigned to one of them leaves the other as it is."""
    return x


@elementwise(lambda g, x, y: where(x >= y, g, 0), lambda g, x, y: where(x < y, g, 0))
def at_least(x: Array, y: Array) -> Array:
    """The larger of x and the limit y; NaN wins. At a tie x gets the whole derivative, at a NaN neither gets any."""
    return np.maximum(x, y)


@elementwise(lambda g, x, y: where(x <= y, g, 0), lambda g, x, y: where(x > y, g, 0))
def at_most(x: Array, y: Array) -> Array:
    """The smaller of x and the limit y; NaN wins. At a tie x gets the whole derivative, at a NaN neither gets any."""
    return np.minimum(x, y)


def clip(x: Array, min: Any = None, max: Any = None) -> Array:
    """x limited to [min, max]: `minimum(maximum(x, min), max)`, so a NaN in x, min or max gives NaN.

    On the limits themselves the derivative for x is 1. Where x or a limit is NaN, both get the derivative 0.

    >>> import autograd_core as ag
    >>> ag.clip(ag.tensor([-2.0, 0.5, 3.0]), 0, 1)
    tensor([0. , 0.5, 1. ], dtype=float32)
    """
    if getattr(x, "dtype", None) is not None and x.dtype.kind in "iu":
        # As in NumPy: a Python integer beyond the dtype's range is no limit, where it would be an OverflowError.
        if type(min) is int and min <= np.iinfo(x.dtype).min:
            min = None
        if type(max) is int and max >= np.iinfo(x.dtype).max:
            max = None
    if min is not None:
        x = at_least(x, min)
    if max is not None:
        x = at_most(x, max)
    return alias(x) if min is None and max is None else x


@constant_pieces(1)
def floor(x: Array) -> Array:
    """The largest integer not above x. Piecewise constant: its derivative is zero."""
    return np.floor(x)


@constant_pieces(1)
def ceil(x: Array) -> Array:
    """The smallest integer not below x. Piecewise constant: its derivative is zero."""
    return np.ceil(x)


@constant_pieces(1)
def round(x: Array, decimals: int = 0) -> Array:
    """The nearest number with so many decimals, halves to the even one. Piecewise constant: its derivative is zero."""
    return np.round(x, decimals)


@elementwise(lambda g: g)
def astype(x: Array, dtype: DTypeLike) -> Array:
    """x converted to another dtype; the cotangent is converted back."""
    return as_kind(x, check_dtype(dtype))


def zeros_like(x: Any) -> Array:
    """Zeros of the shape and dtype of x, outside the graph."""
    return np.zeros(x.shape, x.dtype)


# Comparisons and logic: boolean or integer results, never recorded ----------------------------------------


@elementwise()
def equal(x: Array, y: Array) -> Array:
    """x == y."""
    return np.equal(x, y)


@elementwise()
def not_equal(x: Array, y: Array) -> Array:
    """x != y."""
    return np.not_equal(x, y)


@elementwise()
def less(x: Array, y: Array) -> Array:
    """x < y."""
    return np.less(x, y)


@elementwise()
def less_equal(x: Array, y: Array) -> Array:
    """x <= y."""
    return np.less_equal(x, y)


@elementwise()
def greater(x: Array, y: Array) -> Array:
    """x > y."""
    return np.greater(x, y)


@elementwise()
def greater_equal(x: Array, y: Array) -> Array:
    """x >= y."""
    return np.greater_equal(x, y)


@elementwise()
def bitwise_and(x: Array, y: Array) -> Array:
    """x & y, for booleans and integers."""
    return np.bitwise_and(x, y)


@elementwise()
def bitwise_or(x: Array, y: Array) -> Array:
    """x | y, for booleans and integers."""
    return np.bitwise_or(x, y)


@elementwise()
def bitwise_xor(x: Array, y: Array) -> Array:
    """x ^ y, for booleans and integers."""
    return np.bitwise_xor(x, y)


@elementwise()
def bitwise_invert(x: Array) -> Array:
    """~x, for booleans and integers."""
    return np.bitwise_invert(x)


@elementwise()
def isnan(x: Array) -> Array:
    """Whether x is not a number."""
    return np.isnan(x)


@elementwise()
def isinf(x: Array) -> Array:
    """Whether x is infinite, of either sign."""
    return np.isinf(x)


@elementwise()
def isfinite(x: Array) -> Array:
    """Whether x is neither infinite nor NaN."""
    return np.isfinite(x)
