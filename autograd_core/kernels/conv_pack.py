"""Convolution weights in the order in which the direct method and the stencils read them."""

from __future__ import annotations

import numpy as np

from autograd_core.kernels.launch import Floats, Ints, kernel


@kernel
def pack(
    task: int, w: Floats, packed: Floats, taps: Ints, first_tap: Ints, inner: int, outer: int, all_taps: int,
    width: int, of_input: int,
) -> None:  # fmt: skip
    """w (O, C/groups, taps) as (group, block of output channels, pass, inner channel, tap of the pass, lane).

    The `width` lanes are output channels going forward and input channels going back; missing ones are 0. Pass p has
    taps[first_tap[p] : first_tap[p + 1]]. A task is a block of output channels of a group.
    """
    wide = (outer + width - 1) // width
    group, first = task // wide, task % wide * width
    lanes = min(width, outer - first)
    to = task * inner * first_tap[first_tap.size - 1] * width
    channel_step, lane_step = (outer * all_taps, all_taps) if of_input else (all_taps, inner * all_taps)
    start = group * inner * outer * all_taps + first * lane_step
    for p in range(first_tap.size - 1):
        for c in range(inner):
            for t in range(first_tap[p], first_tap[p + 1]):
                at = start + c * channel_step + taps[t]
                # Signed numbers take 1.3–1.9 times as long; squares turned in registers no less than these.
                begin, source, step = np.uint64(to), np.uint64(at), np.uint64(lane_step)
                for lane in range(np.uint64(lanes)):
                    packed[begin + lane] = w[source + lane * step]
                for lane in range(lanes, width):
                    packed[to + lane] = 0
                to += width
