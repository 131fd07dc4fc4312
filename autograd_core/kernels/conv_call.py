"""What the methods of convolution have in common: a kernel's call, packed weights, an ending, chunks to be added.

What depends on the shapes alone, tables, sizes, number of tasks, is made once for each geometry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import conv_tile_weight
from autograd_core.kernels.conv_geometry import Geometry
from autograd_core.kernels.conv_pack import pack
from autograd_core.kernels.conv_plan import LEAST_BLOCKS, SERIAL, Table
from autograd_core.kernels.launch import Constants, scratch, table

Array = npt.NDArray


class Call(NamedTuple):
    """A kernel's call for one geometry."""

    constants: Constants
    tasks: int
    size: int  # elements of its weights or sums
    rest: tuple[Any, ...]  # what else the method needs


class Ending(NamedTuple):
    """What is done to the sums before they are stored."""

    bias: Array  # of the output's channels, or empty
    rectified: bool = False


@cache
def no_bias(dtype: np.dtype) -> Array:
    """A bias of no channels."""
    return table(np.empty(0, dtype.newbyteorder("=")))


def given(ending: Ending | None, w: Array) -> Ending:
    """The ending, or one that does nothing."""
    return ending or Ending(no_bias(w.dtype))


def ends_of(geo: Geometry, of_input: bool) -> tuple[int, int, int, int]:
    """Channels of the source and of the output in a group, elements of a channel of each."""
    x, y = math.prod(geo.size), math.prod(geo.out)
    return (geo.outputs, geo.inputs, y, x) if of_input else (geo.inputs, geo.outputs, x, y)


class Packing(NamedTuple):
    """The taps of all passes, one after the other, and where those of each pass begin."""

    taps: Array
    first: Array

    @classmethod
    def of(cls, passes: Sequence[Table]) -> Packing:
        taps = np.concatenate([np.zeros(0, np.int64), *passes])
        return cls(table(taps), table(np.cumsum([0, *(each.size for each in passes)])))


def packed_weights(w: Array, geo: Geometry, of_input: bool, packing: Packing, width: int) -> Array:
    """The weights as the kernels read them: see `conv_pack.pack`."""
    inner, outer, _, _ = ends_of(geo, of_input)
    blocks = geo.groups * -(-outer // width)
    packed = scratch(blocks * inner * packing.taps.size * width, w.dtype)
    pack(
        w, packed, *packing, inner, outer, geo.taps, width, int(of_input), tasks=blocks,
        serial=packed.size < SERIAL // 4,
    )  # fmt: skip
    return packed


def parts_of(wide: int, blocks: int) -> int:
    """Into how many parts the output channels are cut where there are few blocks."""
    return min(wide, -(-LEAST_BLOCKS // blocks))


def add_chunks(sums: Array, dw: Array, geo: Geometry, call: Call) -> None:
    """dw from the sums of chunks; the call's rest says how they lie."""
    *rest, tasks = call.rest
    conv_tile_weight.add_chunks(
        sums, dw, geo.outputs, geo.inputs * geo.taps, *rest, tasks=tasks, serial=sums.size < SERIAL
    )
