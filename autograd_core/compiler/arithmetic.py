"""Elementwise functions in LLVM's language, for one number or for a register of them alike.

Sums, products, quotients and roots round as NumPy's do. exp, log, tanh and erf of float32 are the kernels' own; what
else there is, and all of float64, is the C library's, one number after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from autograd_core.kernels.elementary import Code, Registers

_BIT = ir.IntType(1)
_I32 = ir.IntType(32)


def llvm_type(dtype: np.dtype[Any]) -> ir.Type:
    """One number of this dtype; a boolean is a bit here, and a byte in memory."""
    if dtype.kind == "f":
        return ir.DoubleType() if dtype.itemsize == 8 else ir.FloatType()
    return _BIT if dtype.kind == "b" else ir.IntType(8 * dtype.itemsize)


class Arithmetic(Registers):
    """NumPy's functions on registers."""

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

    # What others have ------------------------------------------------------------------------------------------

    def library(self, name: str, *values: Code) -> Code:
        """The C library's function, one lane after the other."""
        kind, one = values[0].type, self.one(values[0])
        symbol = name if isinstance(one, ir.DoubleType) else f"{name}f"
        if self.width == 1:
            return self.outside(symbol, one, values)
        found = ir.Constant(kind, ir.Undefined)
        for lane in range(self.width):
            at = ir.Constant(_I32, lane)
            each = [self.builder.extract_element(value, at) for value in values]
            found = self.builder.insert_element(found, self.outside(symbol, one, each), at)
        return found

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
            return self._whole_number(value, to)
        if to.kind == "f":
            return b.sitofp(value, goal) if of.kind == "i" else b.uitofp(value, goal)
        if of.kind != "b" and to.itemsize <= of.itemsize:
            return b.trunc(value, goal) if to.itemsize < of.itemsize else value
        return b.sext(value, goal) if of.kind == "i" else b.zext(value, goal)

    def _whole_number(self, value: Code, to: np.dtype[Any]) -> Code:
        """A float without its fraction; one that is out of range as C converts it on this processor, and so NumPy."""
        goal = self.type(llvm_type(to))
        if to.itemsize >= 4:
            return self.builder.fptosi(value, goal)
        return self.builder.trunc(self.builder.fptosi(value, self.type(_I32)), goal)

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

    def _exp_f(self, x: Code) -> Code:
        return self.exp(x) if self._is_float32(x) else self.intrinsic("exp", x)

    def _log_f(self, x: Code) -> Code:
        return self.log(x) if self._is_float32(x) else self.intrinsic("log", x)

    def _tanh_f(self, x: Code) -> Code:
        return self.tanh(x) if self._is_float32(x) else self.library("tanh", x)

    def _erf_f(self, x: Code) -> Code:
        return self.erf(x) if self._is_float32(x) else self.library("erf", x)

    def _is_float32(self, x: Code) -> bool:
        return isinstance(self.one(x), ir.FloatType)

    def _logaddexp_f(self, x: Code, y: Code) -> Code:
        b = self.builder
        apart = b.fneg(self.intrinsic("fabs", b.fsub(x, y)))
        rest = self.library("log1p", self._exp_f(apart))
        rest = b.select(b.fcmp_ordered("==", x, y), self.like(x, math.log(2)), rest)  # ∞ − ∞ is no number
        return b.fadd(self._maximum_f(x, y), rest)


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
