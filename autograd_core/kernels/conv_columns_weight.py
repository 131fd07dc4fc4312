"""The weight-gradient with lanes along the output's columns.

dw[o, c, k] = Σ_n Σ_p g[n, o, p] · x[n, c, p·stride + k·dilation − padding]: g is read where it lies, x from windows as
`conv_columns` has them, and the sums run along registers. The blocks are cut into a fixed number of chunks whose sums
are added in order, so the threads' number does not change a bit.
"""

from __future__ import annotations

from autograd_core.kernels.column_lines import copy_lines
from autograd_core.kernels.columns import column_dots
from autograd_core.kernels.conv_columns import fill_windows
from autograd_core.kernels.conv_tile import aligned_zeros, clear
from autograd_core.kernels.launch import Floats, Ints, kernel
from autograd_core.kernels.vector import lanes_of


@kernel
def sum_chunks(
    task: int, g: Floats, x: Floats, sums: Floats, starts: Ints, steps: Ints, reads: Ints, writes: Ints, groups: int,
    inner: int, outer: int, images: int, count: int, spatial: int, size: int, pitch: int, unzipped: int, x_line: int,
    g_line: int, x_plane: int, g_plane: int, row: int, terms: int, chunks: int,
) -> None:  # fmt: skip
    """sums (chunk, group, output channel, term), each summed over the chunk's blocks; `count` blocks of the batch.

    Terms of the steps come in pairs. A task is a chunk of the blocks for a group.
    """
    group, chunk = task % groups, task // groups
    lanes, _ = lanes_of(g)
    half, vectors, entries = lanes // 2, starts.size, writes.size // spatial
    width, each = (outer + half - 1) // half * half, vectors * lanes + lanes
    totals = aligned_zeros(steps.size * width, g)
    window = aligned_zeros(inner * images * size + lanes, g)
    slopes = aligned_zeros(outer * each, g)
    first, past = chunk * count // chunks, (chunk + 1) * count // chunks
    for index in range(first, past):
        image, block = index // spatial * images, index % spatial
        if spatial > 1 and index > first:  # else the same places are filled again
            clear(window)
            clear(slopes)
        fill_windows(x, (image * groups + group) * inner, groups * inner, x_plane, x_line, window, inner, images, size,
                     pitch, unzipped, reads, block, spatial)  # fmt: skip
        for o in range(outer):
            for n in range(images):
                at = (((image + n) * groups + group) * outer + o) * g_plane
                to = o * each + n * (vectors * lanes // images)
                for e in range(block * entries, (block + 1) * entries, 4):
                    copy_lines(slopes, to + writes[e + 3], row, g, at + writes[e], g_line,
                               writes[e + 1], writes[e + 2])  # fmt: skip
        for o in range(0, outer, half):
            for k in range(0, terms, 2):
                column_dots(totals, k * width + o, width, window, starts, steps, k, slopes, o * each, each, vectors,
                            min(half, outer - o))  # fmt: skip
    at = (chunk * groups + group) * outer * terms
    for o in range(outer):
        for k in range(terms):
            sums[at + o * terms + k] = totals[k * width + o]
