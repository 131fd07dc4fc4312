"""Convolution: forward, input-gradient and weight-gradient, each linear in both arguments.

The three are each other's derivatives, so they are all that a convolution of any derivative order needs, and the
input-gradient is also transposed convolution. As everywhere in this field it is cross-correlation:
y[n, o, p] = Σ_c Σ_k w[o, c, k] · x[n, c, p·stride + k·dilation − padding], channels c of o's group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import checks, conv_lines, conv_tile, conv_tile_weight, winograd
from autograd_core.kernels.conv_geometry import Geometry, geometry
from autograd_core.kernels.conv_lines_plan import LEAST_CHANNELS, lines_plan
from autograd_core.kernels.conv_plan import LEAST_BLOCKS, plan
from autograd_core.kernels.vector import ROWS, VECTORS, width_of
from autograd_core.kernels.winograd_plan import fits, winograd_plan

# A parallel region costs some 5 µs: what a core multiplies and adds in that time runs serially.
_SERIAL = 400_000
# A task of the weight-gradient takes that many (output channel, tap): fewer, and copying its window would show.
_LEAST_SHARE = 288


def conv_forward(
    x: npt.NDArray,
    w: npt.NDArray,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> npt.NDArray:
    """y (N, O, *out) from x (N, C, *S) and w (O, C/groups, *K), with 1, 2 or 3 spatial axes.

    stride, padding (symmetric) and dilation have one entry per spatial axis. x and w are both float32 or both
    float64. Raises ValueError or TypeError for shapes, dtypes and settings that do not fit.
    """
    checks.floats(x=x, w=w)
    geo = geometry(x.shape, w.shape, stride, padding, dilation, groups)
    return _products(x, w, geo.y_shape, geo, of_input=False)


def conv_input_grad(
    g: npt.NDArray,
    w: npt.NDArray,
    *,
    spatial: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> npt.NDArray:
    """dx (N, C, *spatial) from g (N, O, *out), shaped like y, and w (O, C/groups, *K).

    Also transposed convolution's forward: then g is its input, and `spatial` its output size. `spatial` must be
    one that conv_forward maps to g's spatial shape.
    """
    checks.floats(g=g, w=w)
    _ranks("g", g, "w", w)
    spatial = checks.integers("spatial", spatial, g.ndim - 2, 0)
    groups = checks.integer("groups", groups, 1)
    geo = geometry((g.shape[0], w.shape[1] * groups, *spatial), w.shape, stride, padding, dilation, groups)
    _slope(g, geo, f"spatial {spatial}")
    return _products(g, w, geo.x_shape, geo, of_input=True)


def conv_weight_grad(
    g: npt.NDArray,
    x: npt.NDArray,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> npt.NDArray:
    """dw (O, C/groups, *kernel) from g (N, O, *out), shaped like y, and x (N, C, *S)."""
    checks.floats(g=g, x=x)
    _ranks("g", g, "x", x)
    kernel = checks.integers("kernel", kernel, g.ndim - 2, 1)
    groups = checks.integer("groups", groups, 1)
    if x.shape[1] % groups:
        raise ValueError(f"x has {x.shape[1]} channels (axis 1), which {groups} groups do not divide")
    w_shape = (g.shape[1], x.shape[1] // groups, *kernel)
    geo = geometry(x.shape, w_shape, stride, padding, dilation, groups)
    _slope(g, geo, f"x of shape {x.shape} and kernel {kernel}")
    if not geo.multiply_adds:
        return _zeros(geo.w_shape, g)
    return _weight_products(_flat(g), _flat(x), geo)


def _zeros(shape: tuple[int, ...], like: npt.NDArray) -> npt.NDArray:
    return np.zeros(checks.allocation(shape, like.dtype), like.dtype.newbyteorder("="))


def _ranks(one: str, a: npt.NDArray, two: str, b: npt.NDArray) -> None:
    if a.ndim not in (3, 4, 5):
        raise ValueError(f"{one} has {a.ndim} axes, expected 3, 4 or 5: give it the shape (N, O, *out)")
    if a.ndim != b.ndim:
        raise ValueError(f"{one} has {a.ndim} axes but {two} has {b.ndim}: give both the same number")


def _slope(g: npt.NDArray, geo: Geometry, source: str) -> None:
    """g has the shape of the y that it is the cotangent of."""
    if g.shape != geo.y_shape:
        raise ValueError(
            f"g has the shape {g.shape} but {source} give y the shape {geo.y_shape}: give g that shape"
        )


def _products(
    source: npt.NDArray, w: npt.NDArray, shape: tuple[int, ...], geo: Geometry, of_input: bool
) -> npt.NDArray:
    """Forward (x, w → y) or input-gradient (g, w → dx), by the method that suits the shapes."""
    if not geo.multiply_adds:
        return _zeros(shape, w)
    out = np.empty(checks.allocation(shape, w.dtype), w.dtype.newbyteorder("="))
    source, w = _flat(source), _flat(w)
    if (geo.inputs if of_input else geo.outputs) < LEAST_CHANNELS:
        _lines(source, w, _flat(out), geo, of_input)
    elif not (fits(geo, out.dtype) and _winograd(source, w, _flat(out), geo, of_input)):
        _direct(source, w, _flat(out), geo, of_input)
    return out


def _lines(source: npt.NDArray, w: npt.NDArray, out: npt.NDArray, geo: Geometry, of_input: bool) -> None:
    how = lines_plan(geo, of_input, w.itemsize)
    inner, outer = (geo.outputs, geo.inputs) if of_input else (geo.inputs, geo.outputs)
    weights = _packed(w, geo, of_input, how.taps, 1 if outer == 1 else conv_lines.ROWS)
    conv_lines.convolve(
        source, weights, out, how.passes, how.steps, *how.reads, *how.writes, geo.groups, inner, outer, how.window,
        how.length, *_planes(geo, of_input), how.read_step, how.write_step,
        tasks=geo.batch * geo.groups * how.blocks, serial=geo.multiply_adds < _SERIAL,
    )  # fmt: skip


def _direct(source: npt.NDArray, w: npt.NDArray, out: npt.NDArray, geo: Geometry, of_input: bool) -> None:
    how = plan(geo, of_input, w.itemsize)
    blocks = how.blocks
    inner, outer = (geo.outputs, geo.inputs) if of_input else (geo.inputs, geo.outputs)
    wide = -(-outer // width_of(w.dtype))
    parts = _parts(wide, blocks.count * geo.groups)
    packed = _packed(w, geo, of_input, how.taps, width_of(w.dtype))
    conv_tile.convolve(
        source, packed, out, how.passes, how.rows, how.targets, how.steps,
        *blocks.reads, *blocks.writes, geo.batch, geo.groups, inner, outer, blocks.images, blocks.positions,
        blocks.window, *_planes(geo, of_input), parts,
        tasks=blocks.count * geo.groups * parts, serial=geo.multiply_adds < _SERIAL,
    )  # fmt: skip


def _packed(
    w: npt.NDArray, geo: Geometry, of_input: bool, taps: Sequence[npt.NDArray], width: int
) -> npt.NDArray:
    """w (O, C/groups, taps) as (group, block of output channels, pass, inner channel, tap of the pass, lane), flat.

    The `width` lanes are output channels going forward and input channels going back; missing ones are 0.
    """
    w = w.reshape(geo.groups, geo.outputs, geo.inputs, geo.taps)
    if not of_input:
        w = w.swapaxes(1, 2)
    inner, outer = w.shape[1:3]
    wide = -(-outer // width)
    packed = np.zeros((geo.groups, wide, inner * sum(t.size for t in taps), width), w.dtype)
    at = 0
    for of_pass in taps:
        terms = w[..., of_pass].transpose(0, 1, 3, 2).reshape(geo.groups, inner * of_pass.size, outer)
        for b in range(wide):
            lanes = terms[..., b * width : (b + 1) * width]
            packed[:, b, at : at + terms.shape[1], : lanes.shape[-1]] = lanes
        at += terms.shape[1]
    return packed.reshape(-1)


def _winograd(source: npt.NDArray, w: npt.NDArray, out: npt.NDArray, geo: Geometry, of_input: bool) -> bool:
    """The same by Winograd's method; False where the result is not finite, and the direct sum is to be taken."""
    width = width_of(w.dtype)
    how = winograd_plan(geo, of_input, width // VECTORS, width)
    blocks = how.blocks
    inner, outer = (geo.outputs, geo.inputs) if of_input else (geo.inputs, geo.outputs)
    wide, serial = -(-outer // width), geo.multiply_adds < _SERIAL
    points = np.zeros(geo.groups * wide * winograd.POINTS * how.channels * width, w.dtype)
    winograd.filter_points(
        w, points, inner, outer, how.channels, int(of_input), tasks=geo.groups * wide, serial=serial
    )
    parts = _parts(wide, blocks.count * geo.groups)
    tasks = blocks.count * geo.groups * parts
    bad = np.empty(tasks, np.uint8)
    targets = np.arange(how.inputs.size + ROWS)
    winograd.convolve(
        source, points, out, bad, how.places, how.inputs, how.outputs, targets * how.channels, targets,
        np.arange(how.channels), *blocks.reads, *blocks.writes, geo.batch, geo.groups, inner, outer, blocks.images,
        blocks.positions, blocks.window, how.breadth, (geo.size if of_input else geo.out)[2], how.overhang,
        *_planes(geo, of_input), parts, tasks=tasks, serial=serial,
    )  # fmt: skip
    return not bad.any()


def _weight_products(g: npt.NDArray, x: npt.NDArray, geo: Geometry) -> npt.NDArray:
    """dw from g and x, both flat, by the method that suits the shapes."""
    if geo.outputs < LEAST_CHANNELS and geo.inputs < LEAST_CHANNELS:
        return _weight_lines(g, x, geo)
    dw = np.empty(checks.allocation(geo.w_shape, g.dtype), g.dtype)
    for method in (_weight_winograd, _weight_direct) if fits(geo, g.dtype) else (_weight_direct,):
        wide, serial = -(-geo.outputs // width_of(g.dtype)), geo.multiply_adds < _SERIAL
        sums, filled, chunks = method(g, x, geo, wide, serial)
        conv_tile_weight.add_chunks(
            sums,
            _flat(dw),
            geo.outputs,
            geo.inputs * geo.taps,
            filled,
            chunks,
            tasks=geo.groups * wide,
            serial=serial,
        )
        if np.isfinite(dw).all():
            break
    return dw


def _weight_lines(g: npt.NDArray, x: npt.NDArray, geo: Geometry) -> npt.NDArray:
    how = lines_plan(geo, False, g.itemsize)
    chunks = min(geo.batch * how.blocks, -(-LEAST_BLOCKS // geo.groups))
    terms = how.steps.size
    steps = np.append(how.steps, how.steps[-1:].repeat(-terms % conv_lines.TAPS))
    sums = np.zeros((chunks, geo.groups * geo.outputs, steps.size), g.dtype)
    conv_lines.weight_grad(
        g, x, sums.reshape(-1), steps, *how.reads, *how.writes, geo.batch, geo.groups, geo.inputs, geo.outputs,
        how.window, how.length, *_planes(geo, of_input=False), how.read_step, chunks,
        tasks=geo.groups * chunks, serial=geo.multiply_adds < _SERIAL,
    )  # fmt: skip
    return np.ascontiguousarray(sums.sum(axis=0)[:, :terms]).reshape(geo.w_shape)


def _weight_direct(
    g: npt.NDArray, x: npt.NDArray, geo: Geometry, wide: int, serial: bool
) -> tuple[npt.NDArray, int, int]:
    """Sums of the chunks, rows of each (terms, filled up to whole tiles), number of chunks."""
    how = plan(geo, False, g.itemsize, conv_tile_weight.POSITIONS)
    blocks = how.blocks
    rows = np.append(how.steps, how.steps[-1:].repeat(-how.steps.size % ROWS))
    # A task copies its windows anew: it takes so many output channels that this does not show.
    parts = min(wide, -(-geo.outputs * geo.taps // _LEAST_SHARE))
    chunks = min(blocks.count, -(-LEAST_BLOCKS // (geo.groups * parts)))
    sums = np.empty(chunks * geo.groups * wide * rows.size * width_of(g.dtype), g.dtype)
    conv_tile_weight.sum_chunks(
        g, x, sums, rows, np.arange(rows.size), how.rows[: blocks.images * blocks.positions],
        *blocks.reads, *blocks.writes, geo.batch, geo.groups, geo.inputs, geo.outputs, blocks.images, blocks.positions,
        blocks.window, *_planes(geo, of_input=False), chunks, parts, tasks=chunks * geo.groups * parts, serial=serial,
    )  # fmt: skip
    return sums, rows.size, chunks


def _weight_winograd(
    g: npt.NDArray, x: npt.NDArray, geo: Geometry, wide: int, serial: bool
) -> tuple[npt.NDArray, int, int]:
    """The same by Winograd's method."""
    width = width_of(g.dtype)
    how = winograd_plan(geo, False, width // VECTORS, width)
    blocks = how.blocks
    chunks = min(blocks.count, -(-LEAST_BLOCKS // geo.groups))
    parts = _parts(wide, geo.groups * chunks)
    sums = np.empty(chunks * geo.groups * wide * geo.inputs * geo.taps * width, g.dtype)
    winograd.sum_chunks(
        g, x, sums, how.places, how.inputs, how.slope_places, how.slope_inputs,
        np.arange(-(-how.channels // ROWS) * ROWS), np.arange(how.inputs.size) * how.channels,
        *blocks.reads, *blocks.writes, geo.batch, geo.groups, geo.inputs, geo.outputs, how.channels, blocks.images,
        blocks.window, how.breadth, how.slopes, how.pitch, *_planes(geo, of_input=False), chunks, parts,
        tasks=chunks * geo.groups * parts, serial=serial,
    )  # fmt: skip
    return sums, geo.inputs * geo.taps, chunks


def _parts(wide: int, blocks: int) -> int:
    """Into how many parts the output channels are cut where there are few blocks."""
    return min(wide, -(-LEAST_BLOCKS // blocks))


def _planes(geo: Geometry, of_input: bool) -> tuple[int, int]:
    """Elements of a channel of the source and of the output."""
    x, y = math.prod(geo.size), math.prod(geo.out)
    return (y, x) if of_input else (x, y)


def _flat(array: npt.NDArray) -> npt.NDArray:
    """The array as kernels take it, flat and contiguous; of out arrays, which are, it is a view."""
    return checks.ready(array).reshape(-1)
