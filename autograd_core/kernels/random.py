"""Counter-based random numbers: Philox 4×32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy
as 1, 2, 3", SC'11), checked in the tests against the known answers of its authors' Random123 library.

Block b of a stream is philox(counter + b, key): four 32-bit words. `key` is a 64-bit seed, `counter` the 128-bit
number of the first block. A value depends on (key, counter, its own position) and on nothing else.

| kind    | dtype   | words of value i                                   | values a block |
| bits    | uint32  | word i                                             | 4 |
| uniform | float32 | upper 24 bits of word i                            | 4 |
| uniform | float64 | upper 27 and 26 bits of words 2i and 2i + 1        | 2 |
| normal  | float32 | Box–Muller on the uniforms of words 2⌊i/2⌋, 2⌊i/2⌋ + 1 | 4 |
| normal  | float64 | the same on words 4⌊i/2⌋ … 4⌊i/2⌋ + 3              | 2 |
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import checks
from autograd_core.kernels.jit import jit
from autograd_core.kernels.launch import Bytes, Floats, Words, kernel

_TASK = 1 << 12  # blocks of a task
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)  # golden ratio, √3 − 1
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_KINDS = ("bits", "uniform", "normal")


def random_bits(key: int, counter: int, size: int) -> npt.NDArray[np.uint32]:
    """`size` words of 32 random bits. key in [0, 2⁶⁴), counter in [0, 2¹²⁸); the counter wraps at its end."""
    return _draw(key, counter, size, np.uint32, "bits")


def uniform(key: int, counter: int, size: int, dtype: npt.DTypeLike = np.float32) -> npt.NDArray:
    """`size` values in [0, 1): multiples of 2⁻²⁴ (float32) or 2⁻⁵³ (float64), each as likely."""
    return _draw(key, counter, size, _float(dtype), "uniform")


def normal(key: int, counter: int, size: int, dtype: npt.DTypeLike = np.float32) -> npt.NDArray:
    """`size` standard normal values by Box and Muller's transform (1958).

    With uniforms u, v of a pair: √(−2 ln(1 − u)) · cos 2πv for even positions, sin for odd ones; 1 − u is in
    (0, 1], so that the logarithm is finite. Computed in float64, then rounded. |value| ≤ 5.77 (float32), 8.57.
    """
    return _draw(key, counter, size, _float(dtype), "normal")


def blocks_used(size: int, dtype: npt.DTypeLike = np.float32, kind: str = "uniform") -> int:
    """Blocks that a draw of `size` values takes: add it to the counter, and the next draw does not overlap.

    kind: "bits" (dtype is then uint32 whatever is given), "uniform" or "normal".
    """
    if kind not in _KINDS:
        raise ValueError(f"kind is {kind!r}, expected one of {', '.join(_KINDS)}")
    a_block = 4 if kind == "bits" or _float(dtype) == np.float32 else 2
    return -(-checks.integer("size", size, 0) // a_block)


def _float(dtype: npt.DTypeLike) -> np.dtype:
    found = np.dtype(dtype)
    if found not in checks.FLOATS:
        raise TypeError(f"dtype is {found.name}: give float32 or float64")
    return found


def draw(state: npt.NDArray[np.uint64], size: int, dtype: npt.DTypeLike, kind: str) -> npt.NDArray:
    """`size` values for the state (key, counter), or (key, counter, the counter's upper half)."""
    state = checks.ready(state)
    values = np.empty(checks.allocation((_whole(size, dtype, kind),), dtype), dtype)
    if values.size:
        blocks = values.nbytes // 16
        how = {"tasks": -(-blocks // _TASK), "serial": blocks < _TASK}
        if kind == "bits":
            _fill_bits(state, values.view(np.uint8), **how)
        else:
            _fill_uniform(state, values, **how)
        if kind == "normal":
            _to_normal(values, **how)
    return values[:size]


def _whole(size: int, dtype: npt.DTypeLike, kind: str) -> int:
    """The values of all blocks that `size` values touch."""
    return blocks_used(size, dtype, kind) * 16 // np.dtype(dtype).itemsize


def _draw(key: int, counter: int, size: int, dtype: npt.DTypeLike, kind: str) -> npt.NDArray:
    for name, value, bits in (("key", key, 64), ("counter", counter, 128)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} is {type(value).__name__}, expected an int")
        if not 0 <= value < 1 << bits:
            raise ValueError(f"{name} is {value}, expected an int in [0, 2**{bits})")
    low, high = int(counter) & (1 << 64) - 1, int(counter) >> 64
    return draw(np.array([key, low, high], np.uint64), size, dtype, kind)


@jit(inner=True, fast=False)
def philox(c0, c1, c2, c3, k0, k1):
    """Four words from a counter of four words and a key of two, each held in a uint64."""
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@jit(inner=True, fast=False)
def _block(key, low, high, b):
    """Block b after the 128-bit counter (low, high)."""
    c = low + b
    high += np.uint64(c < low)
    return philox(c & _LOW, c >> _32, high & _LOW, high >> _32, key & _LOW, key >> _32)


# Words become floats by way of int32, whose conversion the vector unit has (uint64's it has not on AVX2).
@jit(inner=True, fast=False)
def _unit24(word):
    return np.float64(np.int32(word >> np.uint64(8))) * 2.0**-24


@jit(inner=True, fast=False)
def _unit53(a, b):
    high, low = np.float64(np.int32(a >> np.uint64(5))), np.float64(np.int32(b >> np.uint64(6)))
    return high * 2.0**-27 + low * 2.0**-53


@jit(inner=True, fast=False)
def _box_muller(u, v):
    radius = math.sqrt(-2.0 * math.log(1.0 - u))
    return radius * math.cos(2.0 * math.pi * v), radius * math.sin(2.0 * math.pi * v)


# In the loops below indices are unsigned and whole blocks are written without a test, so that LLVM vectorises
# them; `out` has room for whole blocks.
@kernel(fast=False)
def _fill_bits(task: int, state: Words, out: Bytes) -> None:
    """Blocks task·_TASK … as they are."""
    words = out.view(np.uint32)
    blocks, begin = words.size // 4, np.uint64(task * _TASK)
    key, low, high = state[0], state[1], state[2] if state.size > 2 else np.uint64(0)
    for i in range(np.uint64(min(_TASK, blocks - task * _TASK))):
        at = (begin + i) * np.uint64(4)
        a, b, c, d = _block(key, low, high, begin + i)
        words[at], words[at + np.uint64(1)] = np.uint32(a), np.uint32(b)
        words[at + np.uint64(2)], words[at + np.uint64(3)] = np.uint32(c), np.uint32(d)


@kernel(fast=False)
def _fill_uniform(task: int, state: Words, out: Floats) -> None:
    """Blocks task·_TASK … as uniform numbers."""
    a_block = 16 // out.itemsize
    blocks, begin = out.size // a_block, np.uint64(task * _TASK)
    key, low, high = state[0], state[1], state[2] if state.size > 2 else np.uint64(0)
    for i in range(np.uint64(min(_TASK, blocks - task * _TASK))):
        at = (begin + i) * np.uint64(a_block)
        a, b, c, d = _block(key, low, high, begin + i)
        if out.itemsize == 8:
            out[at], out[at + np.uint64(1)] = _unit53(a, b), _unit53(c, d)
        else:
            out[at], out[at + np.uint64(1)] = _unit24(a), _unit24(b)
            out[at + np.uint64(2)], out[at + np.uint64(3)] = _unit24(c), _unit24(d)


@kernel(fast=False)
def _to_normal(task: int, out: Floats) -> None:
    """Pairs of uniforms into pairs of normals, in place."""
    share = _TASK * (8 // out.itemsize)
    for i in range(task * share, min(out.size // 2, (task + 1) * share)):
        u, v = _box_muller(np.float64(out[2 * i]), np.float64(out[2 * i + 1]))
        out[2 * i], out[2 * i + 1] = u, v
