"""Convolution as a product of register tiles that read the source where it lies: forward and input-gradient.

As `conv_tile`, without its windows: a pass sums the taps that meet the source at some positions, so there is no padding
to copy. For 3×3 at stride 2 from 16 channels copying took a third of the time, and this takes 0.65–0.85 of it.
"""

from __future__ import annotations

from autograd_core.kernels.conv_tile import aligned, write_images
from autograd_core.kernels.launch import Floats, Ints, kernel
from autograd_core.kernels.vector import ROWS, tile


@kernel
def convolve(
    task: int, source: Floats, packed: Floats, out: Floats, bias: Floats, rectified: int, blocks: Ints, passes: Ints,
    rows: Ints, targets: Ints, steps: Ints, writes: Ints, first_write: Ints, groups: int, inner: int, outer: int,
    images: int, positions: int, source_plane: int, out_plane: int, width: int, terms: int, parts: int,
) -> None:  # fmt: skip
    """out (batch, groups·outer, out_plane) from source (batch, groups·inner, source_plane).

    packed (group, block of output channels, term, width), read `terms` at a go; bias (groups·outer) or nothing. A task
    is a part of the output channels of a group, for one block of some images' positions.
    """
    wide, spatial = (outer + width - 1) // width, first_write.size - 1
    part, group, block = task % parts, task // parts % groups, task // parts // groups
    image, block = block // spatial * images, block % spatial
    begins = source[(image * groups + group) * inner * source_plane + blocks[3 * block + 2] :]
    sums = aligned(images * positions * width, out)
    for b in range(part * wide // parts, (part + 1) * wide // parts):
        weights = (group * wide + b) * steps.size * width
        for p in range(5 * blocks[3 * block], 5 * blocks[3 * block + 1], 5):
            begin, end, fresh = passes[p + 2], passes[p + 3], passes[p + 4] == 0
            for k in range(begin, max(end, begin + 1), terms):
                for j in range(passes[p], passes[p + 1], ROWS):
                    tile(sums, targets, fresh and k == begin, begins, rows, j,
                         packed, weights, steps, k, min(end, k + terms), width)  # fmt: skip
        write_images(sums, images, positions, width, writes, first_write[block], first_write[block + 1], bias,
                     rectified != 0, out, image, groups * outer, group * outer + b * width,
                     min(width, outer - b * width), out_plane)  # fmt: skip
