"""exp, log, sigmoid, tanh and erf of float32 in LLVM's language, for one number or for a register of them alike.

Kernels and compiled programs have them from here. Errors, in units of the last place: exp 1.01, tanh 2.4, the others
2.5. NaN stays NaN.

Source of the polynomials: S. L. Moshier, Cephes mathematical library, single precision (expf, logf, erff, erfcf).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

Code = Any  # an LLVM value: a number, or a register of them

_I32 = ir.IntType(32)
# With AVX-512 y · 2ᵏ is one instruction, which LLVM takes for its `ldexp` from version 22 on (elsewhere it calls the C
# library): of 2 MB exp takes 0.88 of its time so, sigmoid 0.86, x·sigmoid(x)·y compiled 0.86.
_HAS_LDEXP = bool(
    llvmlite.binding.get_host_cpu_features().get("avx512f") and llvmlite.binding.llvm_version_info[0] >= 22
)


class Registers:
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

    def like(self, value: Code, number: Any) -> Code:
        """A number in the type of `value`."""
        return self.number(self.one(value), number)

    def one(self, value: Code) -> ir.Type:
        """The type of one number of the value."""
        return value.type if self.width == 1 else value.type.element

    def intrinsic(self, name: str, *values: Code) -> Code:
        """llvm.name of floats."""
        lanes = "" if self.width == 1 else f"v{self.width}"
        letter = "f64" if isinstance(self.one(values[0]), ir.DoubleType) else "f32"
        return self.outside(f"llvm.{name}.{lanes}{letter}", values[0].type, values)

    def outside(self, name: str, kind: ir.Type, values: Sequence[Code]) -> Code:
        """A function that is defined elsewhere."""
        module = self.builder.module
        known = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(kind, [value.type for value in values]), name
        )
        return self.builder.call(known, values)

    # Elementary functions of float32 ---------------------------------------------------------------------------

    def exp(self, x: Code) -> Code:
        """eˣ."""
        b = self.builder
        x = b.select(b.fcmp_ordered("<", x, self.like(x, -104)), self.like(x, -104), x)  # eˣ is 0 below
        x = b.select(b.fcmp_ordered(">", x, self.like(x, 89)), self.like(x, 89), x)  # and ∞ above; NaN stays
        k, y = self._power_of_two_and_rest(x)
        y = b.fadd(y, self.like(x, 1))
        if _HAS_LDEXP:
            lanes = "" if self.width == 1 else f"v{self.width}"
            return self.outside(f"llvm.ldexp.{lanes}f32.{lanes}i32", x.type, [y, k])
        # Two factors: 2ᵏ itself may be too large or too small for its exponent's bits.
        half = b.ashr(k, self.number(_I32, 1))
        y = b.fmul(y, self._two_to(half, x.type))
        return b.fmul(y, self._two_to(b.sub(k, half), x.type))

    def tanh(self, x: Code) -> Code:
        """m / (m + 2) with m = e²ˣ − 1 of the absolute value, and x's sign.

        Of 2 MB it takes 0.66 of the time of Cephes's two ways, of which vectors take both; their error is 1.3.
        """
        b, two = self.builder, self.like(x, 2)
        size = self.intrinsic("fabs", x)
        size = b.select(b.fcmp_ordered(">", size, self.like(x, 20)), self.like(x, 20), size)  # tanh 20 is 1
        k, rest = self._power_of_two_and_rest(b.fadd(size, size))
        power = self._two_to(k, x.type)
        m = self.intrinsic("fma", rest, power, b.fsub(power, self.like(x, 1)))
        return self.intrinsic("copysign", b.fdiv(m, b.fadd(m, two)), x)

    def sigmoid(self, x: Code) -> Code:
        """1 / (1 + e⁻ˣ), with full relative accuracy on both sides."""
        b, one = self.builder, self.like(x, 1)
        small = self.exp(b.fneg(self.intrinsic("fabs", x)))
        negative = b.fcmp_ordered("<", x, self.like(x, 0))
        return b.fdiv(b.select(negative, small, one), b.fadd(one, small))

    def _power_of_two_and_rest(self, x: Code) -> tuple[Code, Code]:
        """The integer k and eᶻ − 1, where x = k · ln 2 + z with |z| ≤ (ln 2) / 2; x within ±10⁶."""
        b, shift = self.builder, self.like(x, 1.5 * 2**23)  # floats of this size are whole: adding it rounds
        shifted = self.intrinsic("fma", x, self.like(x, 1.44269504088896341), shift)
        # ln 2 in two parts, of which the first has few digits: times a whole number it is exact.
        whole = b.fsub(shifted, shift)
        z = self.intrinsic("fma", whole, self.like(x, -0.693359375), x)
        z = self.intrinsic("fma", whole, self.like(x, 2.12194440e-4), z)
        rest = self.intrinsic("fma", self._polynomial(_EXP, z), b.fmul(z, z), z)
        k = b.sub(b.bitcast(shifted, self.type(_I32)), b.bitcast(shift, self.type(_I32)))
        return k, rest

    def _two_to(self, k: Code, kind: ir.Type) -> Code:
        b = self.builder
        bits = b.add(b.shl(k, self.number(_I32, 23)), self.number(_I32, 127 << 23))
        return b.bitcast(bits, kind)

    def log(self, x: Code) -> Code:
        """The natural logarithm."""
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

    def erf(self, x: Code) -> Code:
        """The error function."""
        b, one = self.builder, self.like(x, 1)
        z, size = b.fmul(x, x), self.intrinsic("fabs", x)
        q = b.fdiv(one, size)
        p = b.fmul(q, q)
        near = b.fcmp_ordered("<", size, self.like(x, 2))
        rest = b.select(near, self._polynomial(_ERFC_TO_2, p), self._polynomial(_ERFC_FROM_2, p))
        large = b.fsub(one, b.fmul(b.fmul(self.exp(b.fneg(z)), q), rest))
        small = b.fmul(x, self._polynomial(_ERF, z))
        return b.select(b.fcmp_ordered("<", size, one), small, self.intrinsic("copysign", large, x))

    def _polynomial(self, coefficients: Sequence[float], x: Code) -> Code:
        """The highest coefficient first, by Horner's rule."""
        y = self.like(x, coefficients[0])
        for c in coefficients[1:]:
            y = self.intrinsic("fma", y, x, self.like(x, c))
        return y


_EXP = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
    2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
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


def _of_one_number(function: Callable[[Registers, Code], Code]) -> Any:
    """The function for kernels' loops, which LLVM makes vectors of; nothing in it is reassociated."""

    @intrinsic
    def of_one(typing, x):
        return types.float32(types.float32), lambda context, builder, signature, args: function(
            Registers(builder, 1), args[0]
        )

    return of_one


exp_of = _of_one_number(Registers.exp)
sigmoid_of = _of_one_number(Registers.sigmoid)
tanh_of = _of_one_number(Registers.tanh)
erf_of = _of_one_number(Registers.erf)
