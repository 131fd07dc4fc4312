"""Elementwise functions in LLVM's language, for one number or for a register of them alike.

Sums, products, quotients and roots round as NumPy's do. exp, log, tanh and erf of float32 are polynomials within 2.5
units of the last place; what else there is, and all of float64, is the C library's, one number after the other.

Source of the polynomials: S. L. Moshier, Cephes mathematical library, single precision (expf, logf, tanhf, erff).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

Code = Any  # an LLVM value: a number, or a register of them

_BIT = ir.IntType(1)
_I32 = ir.IntType(32)


def llvm_type(dtype: np.dtype[Any]) -> ir.Type:
    """One number of this dtype; a boolean is a bit here, and a byte in memory."""
    if dtype.kind == "f":
        return ir.DoubleType() if dtype.itemsize == 8 else ir.FloatType()
    return _BIT if dtype.kind == "b" else ir.IntType(8 * dtype.itemsize)


class Arithmetic:
    """Instructions on registers of `width` numbers, or on single ones where width is 1."""

    def __init__(self, builder: ir.IRBuilder, width: int) -> None:
        self.builder = builder
        self.width = width

    def type(self, one: ir.Type) -> ir.Type:
        return one if self.width == 1 else ir.VectorType(one, self.width)

    def number(self, one: ir.Type, number: Any) -> Code:
        """A number known now, in every lane."""
        if isinstance(one, ir.FloatType):
            number = float(np.float32(number))
        constant = ir.Constant(one, number)
        return constant if self.width == 1 else ir.Constant(self.type(one), [constant] * self.width)

    def splat(self, value: Code) -> Code:
        """A number in every lane."""
        if self.width == 1:
            return value
        kind = ir.VectorType(value.type, self.width)
        one = self.builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_I32, 0))
        zeros = ir.Constant(ir.VectorType(_I32, self.width), [0] * self.width)
        return self.builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)

    def compute(
        self, function: str, values: Sequence[Code], kinds: Sequence[np.dtype[Any]], to: np.dtype[Any]
    ) -> Code:
        """function(values) of operands of these dtypes, as a number of dtype `to`."""
        if function == "cast":
            return self.cast(values[0], kinds[0], to)
        if function == "copy":
            return values[0]
        if function == "where":
            return self.builder.select(*values)
        kind = kinds[0].kind
        special = getattr(self, f"_{function}_{kind}", None)
        if special is not None:
            return special(*values)
        options = {"unsigned": True} if kind in "ub" and function in _SIGNED else {}
        return getattr(self, f"_{function}")(*values, **options)

    # What LLVM has ---------------------------------------------------------------------------------------------

    def intrinsic(self, name: str, *values: Code) -> Code:
        """llvm.name of floats."""
        kind = values[0].type
        one = kind if self.width == 1 else kind.element
        letter = "f64" if isinstance(one, ir.DoubleType) else "f32"
        lanes = "" if self.width == 1 else f"v{self.width}"
        return self._outside(f"llvm.{name}.{lanes}{letter}", kind, values)

    def library(self, name: str, *values: Code) -> Code:
        """The C library's function, one lane after the other."""
        kind = values[0].type
        one = kind if self.width == 1 else kind.element
        symbol = name if isinstance(one, ir.DoubleType) else f"{name}f"
        if self.width == 1:
            return self._outside(symbol, one, values)
        found = ir.Constant(kind, ir.Undefined)
        for lane in range(self.width):
            at = ir.Constant(_I32, lane)
            each = [self.builder.extract_element(value, at) for value in values]
            found = self.builder.insert_element(found, self._outside(symbol, one, each), at)
        return found

    def _outside(self, name: str, kind: ir.Type, values: Sequence[Code]) -> Code:
        module = self.builder.module
        known = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(kind, [kind] * len(values)), name
        )
        return self.builder.call(known, values)

    def _one(self, value: Code) -> ir.Type:
        return value.type if self.width == 1 else value.type.element

    def like(self, value: Code, number: Any) -> Code:
        """A number in the type of `value`."""
        return self.number(self._one(value), number)

    def cast(self, value: Code, of: np.dtype[Any], to: np.dtype[Any]) -> Code:
        """The value in another dtype."""
        if of == to:
            return value
        b, goal = self.builder, self.type(llvm_type(to))
        if to.kind == "b":
            zero = self.like(value, 0)
            return b.fcmp_unordered("!=", value, zero) if of.kind == "f" else b.icmp_signed("!=", value, zero)
        if of.kind == "f":
            if to.kind == "f":
                return b.fpext(value, goal) if to.itemsize > of.itemsize else b.fptrunc(value, goal)
            return b.fptoui(value, goal) if to.kind == "u" else b.fptosi(value, goal)
        if to.kind == "f":
            return b.sitofp(value, goal) if of.kind == "i" else b.uitofp(value, goal)
        if of.kind != "b" and to.itemsize <= of.itemsize:
            return b.trunc(value, goal) if to.itemsize < of.itemsize else value
        return b.sext(value, goal) if of.kind == "i" else b.zext(value, goal)

    # Arithmetic ------------------------------------------------------------------------------------------------

    def _add(self, x: Code, y: Code) -> Code:
        return self.builder.add(x, y)

    def _add_f(self, x: Code, y: Code) -> Code:
        return self.builder.fadd(x, y)

    def _add_b(self, x: Code, y: Code) -> Code:
        return self.builder.or_(x, y)

    def _subtract(self, x: Code, y: Code) -> Code:
        return self.builder.sub(x, y)

    def _subtract_f(self, x: Code, y: Code) -> Code:
        return self.builder.fsub(x, y)

    def _multiply(self, x: Code, y: Code) -> Code:
        return self.builder.mul(x, y)

    def _multiply_f(self, x: Code, y: Code) -> Code:
        return self.builder.fmul(x, y)

    def _multiply_b(self, x: Code, y: Code) -> Code:
        return self.builder.and_(x, y)

    def _divide_f(self, x: Code, y: Code) -> Code:
        return self.builder.fdiv(x, y)

    def _reciprocal_f(self, x: Code) -> Code:
        return self.builder.fdiv(self.like(x, 1), x)

    def _remainder_f(self, x: Code, y: Code) -> Code:
        return self._quotient(x, y)[1]

    def _floor_divide_f(self, x: Code, y: Code) -> Code:
        return self._quotient(x, y)[0]

    def _remainder_i(self, x: Code, y: Code) -> Code:
        return self._whole(x, y)[1]

    def _floor_divide_i(self, x: Code, y: Code) -> Code:
        return self._whole(x, y)[0]

    def _whole(self, x: Code, y: Code) -> tuple[Code, Code]:
        """The same of integers. By 0 both are 0, as NumPy has it; the processor would stop the program there."""
        b, zero, one = self.builder, self.like(x, 0), self.like(x, 1)
        empty, turning = b.icmp_signed("==", y, zero), b.icmp_signed("==", y, self.like(y, -1))
        y = b.select(b.or_(empty, turning), one, y)
        ratio = b.sdiv(x, y)
        rest = b.sub(x, b.mul(ratio, y))
        crosses = b.and_(b.icmp_signed("!=", rest, zero), b.icmp_signed("<", b.xor(rest, y), zero))
        ratio = b.select(turning, b.neg(x), b.select(crosses, b.sub(ratio, one), ratio))
        return b.select(empty, zero, ratio), b.select(crosses, b.add(rest, y), rest)

    def _remainder_u(self, x: Code, y: Code) -> Code:
        return self.builder.select(self._is_zero(y), self.like(x, 0), self.builder.urem(x, self._divisor(y)))

    def _floor_divide_u(self, x: Code, y: Code) -> Code:
        return self.builder.select(self._is_zero(y), self.like(x, 0), self.builder.udiv(x, self._divisor(y)))

    def _is_zero(self, x: Code) -> Code:
        return self.builder.icmp_unsigned("==", x, self.like(x, 0))

    def _divisor(self, y: Code) -> Code:
        return self.builder.select(self._is_zero(y), self.like(y, 1), y)

    def _quotient(self, x: Code, y: Code) -> tuple[Code, Code]:
        """The floor of x / y and what is left, with the sign of y: as NumPy's npy_divmod."""
        b, zero, one = self.builder, self.like(x, 0), self.like(x, 1)
        left = b.frem(x, y)
        ratio = b.fdiv(b.fsub(x, left), y)
        some = b.fcmp_unordered("!=", left, zero)
        crosses = b.and_(some, b.xor(b.fcmp_ordered("<", y, zero), b.fcmp_ordered("<", left, zero)))
        rest = b.select(crosses, b.fadd(left, y), b.select(some, left, self.intrinsic("copysign", zero, y)))
        ratio = b.select(crosses, b.fsub(ratio, one), ratio)
        low = self.intrinsic("floor", ratio)
        low = b.select(b.fcmp_ordered(">", b.fsub(ratio, low), self.like(x, 0.5)), b.fadd(low, one), low)
        low = b.select(
            b.fcmp_unordered("!=", ratio, zero), low, self.intrinsic("copysign", zero, b.fdiv(x, y))
        )
        return b.select(b.fcmp_ordered("==", y, zero), b.fdiv(x, y), low), rest

    def _power_f(self, x: Code, y: Code) -> Code:
        return self.library("pow", x, y)

    def _negative(self, x: Code) -> Code:
        return self.builder.sub(self.like(x, 0), x)

    def _negative_f(self, x: Code) -> Code:
        return self.builder.fneg(x)

    def _square(self, x: Code) -> Code:
        return self.builder.mul(x, x)

    def _square_f(self, x: Code) -> Code:
        return self.builder.fmul(x, x)

    def _absolute(self, x: Code) -> Code:
        return self.builder.select(self.builder.icmp_signed("<", x, self.like(x, 0)), self._negative(x), x)

    def _absolute_f(self, x: Code) -> Code:
        return self.intrinsic("fabs", x)

    def _absolute_b(self, x: Code) -> Code:
        return x

    def _absolute_u(self, x: Code) -> Code:
        return x

    def _sign_f(self, x: Code) -> Code:
        b, zero = self.builder, self.like(x, 0)
        low = b.select(
            b.fcmp_ordered("<", x, zero), self.like(x, -1), b.select(b.fcmp_ordered("==", x, zero), zero, x)
        )
        return b.select(b.fcmp_ordered(">", x, zero), self.like(x, 1), low)

    def _sqrt_f(self, x: Code) -> Code:
        return self.intrinsic("sqrt", x)

    def _floor_f(self, x: Code) -> Code:
        return self.intrinsic("floor", x)

    def _ceil_f(self, x: Code) -> Code:
        return self.intrinsic("ceil", x)

    def _rint_f(self, x: Code) -> Code:
        return self.intrinsic("rint", x)

    # Comparing and choosing ------------------------------------------------------------------------------------

    def _maximum_f(self, x: Code, y: Code) -> Code:
        b = self.builder  # of 0 and −0 the second, as x86 and so NumPy do
        held = b.or_(b.fcmp_ordered(">", x, y), b.fcmp_unordered("uno", x, x))
        return b.select(held, x, y)

    def _minimum_f(self, x: Code, y: Code) -> Code:
        b = self.builder
        held = b.or_(b.fcmp_ordered("<", x, y), b.fcmp_unordered("uno", x, x))
        return b.select(held, x, y)

    def _maximum(self, x: Code, y: Code, unsigned: bool = False) -> Code:
        return self.builder.select(self._compared(">", x, y, unsigned), x, y)

    def _minimum(self, x: Code, y: Code, unsigned: bool = False) -> Code:
        return self.builder.select(self._compared("<", x, y, unsigned), x, y)

    def _maximum_b(self, x: Code, y: Code) -> Code:
        return self.builder.or_(x, y)

    def _minimum_b(self, x: Code, y: Code) -> Code:
        return self.builder.and_(x, y)

    def _compared(self, how: str, x: Code, y: Code, unsigned: bool) -> Code:
        b = self.builder
        return b.icmp_unsigned(how, x, y) if unsigned else b.icmp_signed(how, x, y)

    def _isnan_f(self, x: Code) -> Code:
        return self.builder.fcmp_unordered("uno", x, x)

    def _isinf_f(self, x: Code) -> Code:
        return self.builder.fcmp_ordered("==", self.intrinsic("fabs", x), self.like(x, math.inf))

    def _isfinite_f(self, x: Code) -> Code:
        return self.builder.fcmp_ordered("<", self.intrinsic("fabs", x), self.like(x, math.inf))

    def _bitwise_and(self, x: Code, y: Code) -> Code:
        return self.builder.and_(x, y)

    def _bitwise_or(self, x: Code, y: Code) -> Code:
        return self.builder.or_(x, y)

    def _bitwise_xor(self, x: Code, y: Code) -> Code:
        return self.builder.xor(x, y)

    def _invert(self, x: Code) -> Code:
        return self.builder.not_(x)

    def _logical_and_b(self, x: Code, y: Code) -> Code:
        return self.builder.and_(x, y)

    def _logical_or_b(self, x: Code, y: Code) -> Code:
        return self.builder.or_(x, y)

    def _logical_not_b(self, x: Code) -> Code:
        return self.builder.not_(x)

    # Elementary functions --------------------------------------------------------------------------------------

    def _polynomial(self, coefficients: Sequence[float], x: Code) -> Code:
        """The highest coefficient first, by Horner's rule."""
        y = self.like(x, coefficients[0])
        for c in coefficients[1:]:
            y = self.intrinsic("fma", y, x, self.like(x, c))
        return y

    def _fast(self, x: Code) -> bool:
        return isinstance(self._one(x), ir.FloatType)

    def _exp_f(self, x: Code) -> Code:
        if not self._fast(x):
            return self.intrinsic("exp", x)
        b, shift = self.builder, self.like(x, _SHIFT)
        x = b.select(b.fcmp_ordered("<", x, self.like(x, -104)), self.like(x, -104), x)
        x = b.select(b.fcmp_ordered(">", x, self.like(x, 89)), self.like(x, 89), x)  # NaN stays
        shifted = self.intrinsic("fma", x, self.like(x, 1.44269504088896341), shift)
        k = b.fsub(shifted, shift)
        x = self.intrinsic("fma", k, self.like(x, -0.693359375), x)
        x = self.intrinsic("fma", k, self.like(x, 2.12194440e-4), x)
        y = self.intrinsic("fma", self._polynomial(_EXP, x), b.fmul(x, x), x)
        # Two factors: 2ᵏ itself may be too large or too small for its exponent's bits.
        bits = b.bitcast(shifted, self.type(_I32))  # k in the lowest 23
        half = b.ashr(b.shl(bits, self.number(_I32, 9)), self.number(_I32, 10))
        y = b.fmul(b.fadd(y, self.like(x, 1)), self._two_to(half, x.type))
        return b.fmul(y, self._two_to(b.sub(bits, half), x.type))

    def _two_to(self, k: Code, kind: ir.Type) -> Code:
        b = self.builder
        bits = b.add(b.shl(k, self.number(_I32, 23)), self.number(_I32, 127 << 23))
        return b.bitcast(bits, kind)

    def _log_f(self, x: Code) -> Code:
        if not self._fast(x):
            return self.intrinsic("log", x)
        b, one = self.builder, self.like(x, 1)
        small = b.fcmp_ordered("<", x, self.like(x, 1.17549435e-38))
        bits = b.bitcast(b.select(small, b.fmul(x, self.like(x, 2.0**25)), x), self.type(_I32))
        exponent = b.sub(
            b.lshr(b.and_(bits, self.number(_I32, 0x7F800000)), self.number(_I32, 23)), self.number(_I32, 126)
        )
        e = b.sitofp(exponent, x.type)
        e = b.select(small, b.fsub(e, self.like(x, 25)), e)
        m = b.bitcast(
            b.or_(b.and_(bits, self.number(_I32, 0x007FFFFF)), self.number(_I32, 0x3F000000)), x.type
        )
        low = b.fcmp_ordered("<", m, self.like(x, math.sqrt(0.5)))
        e = b.select(low, b.fsub(e, one), e)
        m = b.fsub(b.select(low, b.fadd(m, m), m), one)
        z = b.fmul(m, m)
        y = b.fmul(b.fmul(self._polynomial(_LOG, m), m), z)
        y = b.fadd(y, b.fmul(e, self.like(x, -2.12194440e-4)))
        y = b.fsub(y, b.fmul(z, self.like(x, 0.5)))
        y = b.fadd(b.fadd(m, y), b.fmul(e, self.like(x, 0.693359375)))
        y = b.select(b.fcmp_unordered("==", x, self.like(x, math.inf)), x, y)  # ∞ and NaN as they are
        y = b.select(b.fcmp_ordered("==", x, self.like(x, 0)), self.like(x, -math.inf), y)
        return b.select(b.fcmp_ordered("<", x, self.like(x, 0)), self.like(x, math.nan), y)

    def _tanh_f(self, x: Code) -> Code:
        if not self._fast(x):
            return self.library("tanh", x)
        b, one = self.builder, self.like(x, 1)
        z, size = b.fmul(x, x), self.intrinsic("fabs", x)
        small = b.fadd(b.fmul(b.fmul(self._polynomial(_TANH, z), z), x), x)
        large = b.fsub(one, b.fdiv(self.like(x, 2), b.fadd(self._exp_f(b.fadd(size, size)), one)))
        return self.intrinsic(
            "copysign", b.select(b.fcmp_ordered("<", size, self.like(x, 0.625)), small, large), x
        )

    def _erf_f(self, x: Code) -> Code:
        if not self._fast(x):
            return self.library("erf", x)
        b, one = self.builder, self.like(x, 1)
        z, size = b.fmul(x, x), self.intrinsic("fabs", x)
        q = b.fdiv(one, size)
        p = b.fmul(q, q)
        near = b.fcmp_ordered("<", size, self.like(x, 2))
        rest = b.select(near, self._polynomial(_ERFC_TO_2, p), self._polynomial(_ERFC_FROM_2, p))
        large = b.fsub(one, b.fmul(b.fmul(self._exp_f(b.fneg(z)), q), rest))
        small = b.fmul(x, self._polynomial(_ERF, z))
        return b.select(b.fcmp_ordered("<", size, one), small, self.intrinsic("copysign", large, x))

    def _logaddexp_f(self, x: Code, y: Code) -> Code:
        b = self.builder
        apart = b.fneg(self.intrinsic("fabs", b.fsub(x, y)))
        rest = self.library("log1p", self._exp_f(apart))
        rest = b.select(b.fcmp_ordered("==", x, y), self.like(x, math.log(2)), rest)  # ∞ − ∞ is no number
        return b.fadd(self._maximum_f(x, y), rest)


_SHIFT = 1.5 * 2**23  # at this size floats are whole numbers: adding it rounds
_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
_ERF = (
    7.853861353153693e-5, -8.010193625184903e-4, 5.188327685732524e-3, -2.685381193529856e-2,
    1.128358514861418e-1, -3.761262582423300e-1, 1.128379165726710,
)  # fmt: skip
_ERFC_TO_2 = (
    2.326819970068386e-2, -1.387039388740657e-1, 3.687424674597105e-1, -5.824733027278666e-1,
    6.210004621745983e-1, -4.944515323274145e-1, 3.404879937665872e-1, -2.741127028184656e-1,
    5.638259427386472e-1,
)  # fmt: skip
_ERFC_FROM_2 = (
    -1.047766399936249e1, 1.297719955372516e1, -7.495518717768503, 2.921019019210786, -1.015265279202700,
    4.218463358204948e-1, -2.820767439740514e-1, 5.641895067754075e-1,
)  # fmt: skip

_SIGNED = frozenset("maximum minimum equal not_equal less less_equal greater greater_equal".split())
_EXPENSIVE = "exp log tanh erf power logaddexp sin cos tan arcsin arccos arctan arctan2 sinh cosh expm1 log1p"
EXPENSIVE = frozenset(_EXPENSIVE.split())


def _library(name: str) -> Callable[..., Code]:
    return lambda self, *values: self.library(name, *values)


for _name in "sin cos tan sinh cosh expm1 log1p".split():
    setattr(Arithmetic, f"_{_name}_f", _library(_name))
for _name, _symbol in (("arcsin", "asin"), ("arccos", "acos"), ("arctan", "atan"), ("arctan2", "atan2")):
    setattr(Arithmetic, f"_{_name}_f", _library(_symbol))


def _comparison(how: str) -> tuple[Callable[..., Code], Callable[..., Code]]:
    def floats(self: Arithmetic, x: Code, y: Code) -> Code:
        compare = self.builder.fcmp_unordered if how == "!=" else self.builder.fcmp_ordered
        return compare(how, x, y)

    def integers(self: Arithmetic, x: Code, y: Code, unsigned: bool = False) -> Code:
        return self._compared(how, x, y, unsigned)

    return floats, integers


for _name, _how in (
    ("equal", "=="), ("not_equal", "!="), ("less", "<"), ("less_equal", "<="),
    ("greater", ">"), ("greater_equal", ">="),
):  # fmt: skip
    _floats, _integers = _comparison(_how)
    setattr(Arithmetic, f"_{_name}_f", _floats)
    setattr(Arithmetic, f"_{_name}", _integers)


def computes(function: str, kind: str) -> bool:
    """Whether there is code for the function of operands of this kind of dtype."""
    if function in ("cast", "copy", "where"):
        return True
    return hasattr(Arithmetic, f"_{function}_{kind}") or hasattr(Arithmetic, f"_{function}")
