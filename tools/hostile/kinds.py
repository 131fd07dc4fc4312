"""Kinds of operands: memory layouts, sizes, special values, dtypes. Each makes an operand out of a plain array."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Make = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Kind:
    """One kind of operand. `make` returns None where it does not apply to an array."""

    name: str
    group: str  # plain, layout, size, value, dtype, giant
    make: Make
    quick: bool = False


def _negative(a: np.ndarray) -> Any:
    return np.flip(np.flip(a).copy()) if a.ndim else None


def _sliced(a: np.ndarray) -> Any:
    wide = np.zeros(tuple(2 * n for n in a.shape), a.dtype)
    view = wide[(..., *(slice(None, None, 2) for _ in a.shape))]
    view[...] = a
    return view if a.ndim else None


def _offset(a: np.ndarray) -> Any:
    wide = np.zeros(tuple(n + 3 for n in a.shape), a.dtype)
    view = wide[(..., *(slice(1, n + 1) for n in a.shape))]
    view[...] = a
    return view if a.ndim else None


def _repeated(a: np.ndarray) -> Any:
    return np.broadcast_to(a[:1], a.shape) if a.ndim and a.size else None


def _constant(a: np.ndarray) -> Any:
    return np.broadcast_to(a.reshape(-1)[0], a.shape) if a.ndim and a.size else None


def _misaligned(a: np.ndarray) -> Any:
    if a.itemsize == 1:
        return None
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def _read_only(a: np.ndarray) -> Any:
    return np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) if a.size else None


def _permuted(a: np.ndarray) -> Any:
    return np.array(np.moveaxis(a, -1, 0)).transpose(*range(1, a.ndim), 0) if a.ndim > 1 else None


class _Subclass(np.ndarray):
    """A subclass as a user's library may have it."""


def _first(a: np.ndarray) -> Any:
    return np.array(a.reshape(-1)[0]) if a.size and a.ndim else None


def _empty(axis: int) -> Make:
    def make(a: np.ndarray) -> Any:
        return a[(slice(None),) * (axis % a.ndim) + (slice(0, 0),)] if a.ndim and a.size else None

    return make


def _size1(a: np.ndarray) -> Any:
    return a[(slice(0, 1),) * a.ndim].copy() if a.ndim and a.size else None


def _more_axes(a: np.ndarray) -> Any:
    return a[None] if a.ndim else None


def _put(value: float, everywhere: bool = False) -> Make:
    def make(a: np.ndarray) -> Any:
        if a.dtype.kind != "f" or not a.size:
            return None
        changed = a.copy()
        changed.reshape(-1)[slice(None) if everywhere else slice(0, None, 3)] = value
        return changed

    return make


def _mixed(a: np.ndarray) -> Any:
    if a.dtype.kind != "f" or not a.size:
        return None
    values = np.array([np.nan, 1, np.inf, 0.5, -np.inf, -0.0, 2.0], a.dtype)
    return np.resize(values, a.shape)


def _as(dtype: str) -> Make:
    """The values in another dtype; floats are rounded and made small so that they fit."""

    def make(a: np.ndarray) -> Any:
        if a.dtype.kind not in "fiub":
            return None
        target = np.dtype(dtype)
        if target.kind in "iu":
            a = np.round(np.abs(a) if target.kind == "u" else a)
        return np.asarray(a).astype(target)

    return make


def _large(dtype: str) -> Make:
    """Values over the dtype's whole range, of floats up to 2: what wraps around in it is seen."""

    def make(a: np.ndarray) -> Any:
        if a.dtype.kind != "f":
            return None
        target = np.iinfo(dtype)
        scaled = np.round((np.abs(a) if target.min == 0 else a) * (target.max / 2.1))
        return np.asarray(np.clip(scaled, target.min, target.max)).astype(dtype)

    return make


def _object(a: np.ndarray) -> Any:
    return a.astype(object)


def _records(a: np.ndarray) -> Any:
    out = np.zeros(a.shape, [("a", "f4"), ("b", "i8")])
    out["a"] = a
    return out


def _dates(a: np.ndarray) -> Any:
    return np.full(a.shape, np.datetime64(datetime.date(2024, 2, 29)))


def _durations(a: np.ndarray) -> Any:
    return np.full(a.shape, np.timedelta64(5, "s"))


def _masked(a: np.ndarray) -> Any:
    return np.ma.masked_array(a, mask=np.arange(a.size).reshape(a.shape) % 2 == 0)


# What a giant's axis holds: 2³⁶ elements, no memory (stride 0); a result of that size is past every memory.
GIANT = 2**36
OUTER = 2**19


def _giant(a: np.ndarray) -> Any:
    return np.broadcast_to(a.reshape(-1)[0], (*a.shape[:-1], GIANT)) if a.ndim and a.size else None


def _tall(a: np.ndarray) -> Any:
    return np.broadcast_to(a[..., :1, :1], (*a.shape[:-2], OUTER, 1)) if a.ndim > 1 and a.size else None


LAYOUTS = [
    Kind("C", "plain", np.array, quick=True),
    Kind("fortran", "layout", lambda a: np.array(a, order="F") if a.ndim > 1 else None, quick=True),
    Kind("negative-stride", "layout", _negative, quick=True),
    Kind("sliced", "layout", _sliced),
    Kind("offset", "layout", _offset),
    Kind("permuted", "layout", _permuted),
    Kind("stride-0", "layout", _repeated, quick=True),
    Kind("all-strides-0", "layout", _constant),
    Kind("read-only", "layout", _read_only),
    Kind("misaligned", "layout", _misaligned, quick=True),
    Kind("byte-swapped", "layout", lambda a: a.astype(a.dtype.newbyteorder()) if a.itemsize > 1 else None),
    Kind("subclass", "layout", lambda a: a.copy().view(_Subclass)),
]
SIZES = [
    Kind("0-d", "size", _first, quick=True),
    Kind("zero-size-first", "size", _empty(0), quick=True),
    Kind("zero-size-last", "size", _empty(-1)),
    Kind("size-1", "size", _size1),
    Kind("one-axis-more", "size", _more_axes),
]
VALUES = [
    Kind("nan", "value", _put(np.nan), quick=True),
    Kind("inf", "value", _put(np.inf), quick=True),
    Kind("-inf", "value", _put(-np.inf)),
    Kind("all-nan", "value", _put(np.nan, everywhere=True)),
    Kind("all-inf", "value", _put(np.inf, everywhere=True)),
    Kind("all-minus-inf", "value", _put(-np.inf, everywhere=True)),
    Kind("mixed", "value", _mixed),
    Kind("denormal", "value", _put(5e-324)),
    Kind("denormal32", "value", _put(1e-45)),
    Kind("zero", "value", _put(0.0)),
    Kind("minus-zero", "value", _put(-0.0)),
    Kind("huge", "value", _put(1e300)),
    Kind("huge32", "value", _put(3e38)),
]
DTYPES = [
    *(
        Kind(name, "dtype", _as(name), quick=name in ("float32", "int8", "uint8", "float16"))
        for name in "float16 float32 float64 longdouble int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()
    ),
    *(
        Kind(f"{name}-large", "dtype", _large(name), quick=name == "uint8")
        for name in ("int8", "uint8", "int16")
    ),
    *(Kind(name, "dtype", _as(name)) for name in ("complex64", "complex128", "str", "bytes")),
    Kind("object", "dtype", _object, quick=True),
    Kind("structured", "dtype", _records),
    Kind("datetime64", "dtype", _dates),
    Kind("timedelta64", "dtype", _durations),
    Kind("masked", "dtype", _masked),
]
GIANTS = [Kind("giant", "giant", _giant, quick=True), Kind("tall", "giant", _tall)]

KINDS = {kind.name: kind for kind in (*LAYOUTS, *SIZES, *VALUES, *DTYPES, *GIANTS)}
