"""Which convolutions `winograd_line` takes, and how one is cut into blocks. Plain Python."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from autograd_core.kernels.conv_geometry import Geometry
from autograd_core.kernels.conv_plan import evenly
from autograd_core.kernels.vector import vector_lanes
from autograd_core.kernels.winograd_tiles_plan import LEAST_BLOCKS, LEAST_PART, cut
from autograd_core.kernels.winograd_transform import OUTPUTS, TAPS

TILES = 64  # of a block
# The transforms of a register of tiles cost some 40 and 50 cycles for an input and an output channel, which products
# must save. Speeds beside the other methods', as gain: speed, in 512 bits: 16 channels on lines of 1024, 8: 0.93–1.08,
# 20, 10: 1.14–1.17, 24, 12: 1.25; 64 on lines of 32, 8: 0.84–1.04, of 36, 10: 0.93, of 48, 18: 1.05–1.14; 32 on lines
# of 68, 5: 0.84–0.86, of 200, 10: 1.13–1.23. In 256 bits 8: 0.88–1.05, 10: 1.05–1.35, 18: 1.25.
# Of registers filled by less than half there are always too many: 220 channels on lines of 17, 11: 0.79–0.98.
LEAST_GAIN, LEAST_FILLED = 10, 0.5
# With fewer products, or fewer tiles for which the filters' points are made, these take as long as what is saved: 32
# channels on lines of 128 1.0 with 1.6 million, 0.85 with 0.4 million; of 100 to 280 channels 0.79–1.29 with 38 tiles,
# 0.82–1.35 with 42, 0.84–1.21 with 54, 0.94–1.16 with 69.
LEAST_WORK, LEAST_TILES = 1_500_000, 64


class LinePlan(NamedTuple):
    """The blocks of one convolution."""

    box: int  # images of a block
    span: int  # tiles of a line in a block
    spatial: int  # blocks of a line
    count: int  # blocks


def takes(geo: Geometry, dtype: np.dtype) -> bool:
    """The kernels are written for it. float64 users ask for its digits: they get the direct sum."""
    return (
        dtype == np.float32
        and geo.kernel == (1, 1, TAPS)
        and geo.size[:2] == geo.out[:2] == (1, 1)
        and geo.stride == geo.dilation == (1, 1, 1)
        and geo.padding[2] < TAPS
    )


@lru_cache(maxsize=1024)
def suits(geo: Geometry, of_input: bool, dtype: np.dtype) -> bool:
    """The forward convolution or the input-gradient was measured to win."""
    if not takes(geo, dtype):
        return False
    across, lanes = _across(geo, of_input), vector_lanes(dtype)
    # A line's last register is seldom full, and all the others then lie across cache lines: twice a loss.
    filled = across / (-(-across // lanes) * lanes)
    gain = geo.inputs * geo.outputs / (geo.inputs + geo.outputs) * filled**2
    enough = geo.multiply_adds >= LEAST_WORK and geo.batch * across >= LEAST_TILES
    return enough and gain >= LEAST_GAIN and filled >= LEAST_FILLED


def _across(geo: Geometry, of_input: bool) -> int:
    """Tiles of a line."""
    return -(-(geo.size if of_input else geo.out)[2] // OUTPUTS)


def line_plan(geo: Geometry, of_input: bool, lanes: int) -> LinePlan:
    """Pieces of a line, or several whole lines, of about TILES tiles."""
    across, outer = _across(geo, of_input), geo.inputs if of_input else geo.outputs
    if across > TILES:
        box, span = 1, -(-evenly(across, TILES) // lanes) * lanes
    else:
        least = -(-LEAST_BLOCKS // (geo.groups * max(1, outer // LEAST_PART)))
        box, span = cut(geo.batch, 1, across, lanes, TILES, least)[0], across
    spatial = -(-across // span)
    return LinePlan(box, span, spatial, spatial * -(-geo.batch // box))
