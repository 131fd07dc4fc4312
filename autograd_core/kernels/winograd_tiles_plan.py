"""Which convolutions `winograd_tiles` takes, how one is cut into blocks, and where its tiles lie. Plain Python."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autograd_core.kernels.conv_geometry import Geometry
from autograd_core.kernels.conv_plan import Table
from autograd_core.kernels.launch import table
from autograd_core.kernels.vector import ROWS, VECTORS
from autograd_core.kernels.winograd_plan import fits
from autograd_core.kernels.winograd_transform import OUTPUTS, TAPS

TILES = 64  # of a block
# Registers of tiles of a weight-gradient's block. Over 4 its products run at 122 GFLOP/s, over 8 at 145.
SLOPE_VECTORS = 8
LEAST_BLOCKS = 8  # fewer are taken only where more would compute a quarter more tiles
LEAST_PART = 32  # output channels of a task: each transforms its source anew


class TilesPlan(NamedTuple):
    """The tables and numbers of one convolution, in the order in which the kernels take them."""

    ends: npt.NDArray[np.float32]  # see winograd_lanes: (2, tiles) of all ones or 0
    places: Table  # of each half register of pixels, block after block: image, place in it, column, lines
    box: int  # images of a block
    rows: int  # lines of tiles of an image in a block
    spatial: int  # blocks of an image
    tiles: int  # of a block, filled up to whole tiles of registers
    pitch: int  # pixels of a line of tiles
    lead: int  # where the source's first pixel lies in its line
    slope_lead: int  # the same of the output's
    low: int  # pixels of margin before the source
    count: int  # blocks


def takes(geo: Geometry, dtype: np.dtype) -> bool:
    """The kernels are written for it: two dimensions of what Winograd's method takes."""
    return fits(geo, dtype) and geo.size[0] == geo.kernel[0] == geo.out[0] == 1


@lru_cache(maxsize=256)
def tiles_plan(geo: Geometry, of_input: bool, lanes: int, tiles: int) -> TilesPlan:
    """The plan of the forward convolution and weight-gradient, or of the input-gradient, in blocks of some `tiles`."""
    source, out = (geo.out, geo.size) if of_input else (geo.size, geo.out)
    low = [TAPS - 1 - p if of_input else p for p in geo.padding]
    # A tile's pixels are those of its outputs, with one of each neighbour's. Where there is no margin that one belongs
    # to a tile before the first.
    before = int(low[2] == 0)
    slope_lead = OUTPUTS * before
    lead = slope_lead + low[2] - 1
    unit = max(OUTPUTS, lanes // 2)
    pitch = -(-max(lead + source[2], slope_lead + out[2]) // unit) * unit
    across, down = pitch // OUTPUTS, -(-out[1] // OUTPUTS)
    outer = geo.inputs if of_input else geo.outputs
    least = -(-LEAST_BLOCKS // (geo.groups * max(1, outer // LEAST_PART)))
    box, rows, tiles = cut(geo.batch, down, across, VECTORS * lanes, tiles, least)
    spatial = -(-down // rows)
    count = spatial * -(-geo.batch // box)
    image = geo.groups * outer * out[1] * out[2]
    block, place = np.indices((spatial, 2 * OUTPUTS * tiles // lanes))
    line, column = np.divmod(place * (lanes // 2), pitch)
    places = _places(block * rows, line, column - slope_lead, rows, box, image, out)
    return TilesPlan(
        _ends(tiles, across), places, box, rows, spatial, tiles, pitch, lead, slope_lead, low[1], count
    )  # fmt: skip


def cut(batch: int, down: int, across: int, unit: int, tiles: int, least: int) -> tuple[int, int, int]:
    """(images, lines of tiles, tiles) of a block, such that few tiles are computed in all, in about `tiles` a block."""
    cuts = [(1, rows) for rows in range(1, down + 1)] + [
        (box, down) for box in range(2, min(batch, 2 * tiles) + 1)
    ]
    sized = [(*cut, -(-math.prod(cut) * across // unit) * unit) for cut in cuts]

    def cost(cut: tuple[int, int, int]) -> tuple[float, int]:
        box, rows, size = cut
        count = -(-down // rows) * -(-batch // box)
        return count * max(size, tiles // 2) * (1 if count >= least else 1.25), abs(size - tiles)

    return min([cut for cut in sized if cut[2] <= 2 * tiles] or sized[:1], key=cost)


def _ends(tiles: int, across: int) -> npt.NDArray[np.float32]:
    place = np.arange(tiles) % across
    inside = np.array([place > 0, place < across - 1])
    return table(-inside.astype(np.int32)).view(np.float32).reshape(-1)


def _places(
    first: Table, line: Table, column: Table, rows: int, box: int, image_step: int, out: tuple[int, ...]
) -> Table:
    """TilesPlan.places for lines of tiles of blocks that begin with an image's line `first`."""
    image, row = np.divmod(line, rows)
    top = (first + row) * OUTPUTS
    lines = np.where(image < box, np.clip(out[1] - top, 0, OUTPUTS), 0)
    return table(np.stack([image * image_step, top * out[2] + column, column, lines], axis=-1).reshape(-1))


def filter_width(lanes: int) -> int:
    """Output channels of a block of filters: whole registers, as they are made, and whole rows of a tile."""
    return math.lcm(lanes, ROWS)
