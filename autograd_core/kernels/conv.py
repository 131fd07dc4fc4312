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

from autograd_core.kernels import checks, conv_rows, conv_tile, conv_tile_weight, threads
from autograd_core.kernels.conv_geometry import Geometry, geometry
from autograd_core.kernels.conv_plan import Plan, plan

# With one wide channel the tile's other 15 lanes are idle (5 GFLOP/s), and plain rows are as fast; with 2 it wins.
_LEAST_WIDE = 2
# A parallel region costs some 5 µs: what a core multiplies and adds in that time runs serially.
_SERIAL = 400_000
_TASKS = 64  # pieces that the images are shared out in, each with its own scratch memory
_CHUNKS, _CHUNK_BYTES = 16, 1 << 25  # partial sums of the weight-gradient, and the most memory that they take


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
    if not geo.multiply_adds or geo.outputs < _LEAST_WIDE:
        y = _zeros(geo.y_shape, x)
        if geo.multiply_adds:
            _rows(x, w, y, geo, of_input=False)
        return y
    return _tiles(x, w, geo.y_shape, geo, of_input=False)


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
    if not geo.multiply_adds or geo.inputs < _LEAST_WIDE:
        dx = _zeros(geo.x_shape, g)
        if geo.multiply_adds:
            _rows(g, w, dx, geo, of_input=True)
        return dx
    return _tiles(g, w, geo.x_shape, geo, of_input=True)


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
    dw = _zeros(geo.w_shape, g)
    if geo.multiply_adds:
        if geo.outputs < _LEAST_WIDE:
            _weight_rows(g, x, dw, geo)
        else:
            _weight_tiles(g, x, dw, geo)
    return dw


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


def _planes(array: npt.NDArray) -> npt.NDArray:
    """The array as kernels take it, (N·C, D·H·W); out arrays are contiguous, so this is a view of them."""
    shape = array.shape
    return checks.ready(array).reshape(shape[0] * shape[1], math.prod(shape[2:]))


def _weights(w: npt.NDArray) -> npt.NDArray:
    return checks.ready(w).reshape(*w.shape[:2], math.prod(w.shape[2:]))


def _rows(source: npt.NDArray, w: npt.NDArray, out: npt.NDArray, geo: Geometry, of_input: bool) -> None:
    inner, outer = (geo.outputs, geo.inputs) if of_input else (geo.inputs, geo.outputs)
    with threads.region():
        conv_rows.convolve(
            _planes(source), _weights(w), _planes(out), (geo.groups, inner, outer), geo.batch,
            geo.size, geo.kernel, geo.out, geo.stride, geo.padding, geo.dilation, of_input,
        )  # fmt: skip


def _weight_rows(g: npt.NDArray, x: npt.NDArray, dw: npt.NDArray, geo: Geometry) -> None:
    with threads.region():
        conv_rows.weight_grad(
            _planes(g), _planes(x), _weights(dw), (geo.groups, geo.inputs, geo.outputs), geo.batch,
            geo.size, geo.kernel, geo.out, geo.stride, geo.padding, geo.dilation,
        )  # fmt: skip


def _tiles(
    source: npt.NDArray, w: npt.NDArray, shape: tuple[int, ...], geo: Geometry, of_input: bool
) -> npt.NDArray:
    """Forward (x, w → y) or input-gradient (g, w → dx) on the register tile."""
    how = plan(geo, of_input)
    # Clearing 2 MB costs 5 % of a (32, 16, 32, 32 → 16) convolution: only where a position meets no tap.
    out = (np.zeros if how.sparse else np.empty)(checks.allocation(shape, w.dtype), w.dtype.newbyteorder("="))
    inner, outer = (geo.outputs, geo.inputs) if of_input else (geo.inputs, geo.outputs)
    size, sizes = geo.out if of_input else geo.size, (geo.groups, inner, outer)
    planes = _planes(source)
    tasks = 1 if geo.multiply_adds < _SERIAL else min(geo.batch, _TASKS)
    # A small batch is cut inside its images too; then they are padded once, before.
    parts = 1 if geo.multiply_adds < _SERIAL or geo.batch >= _CHUNKS // 2 else -(-_CHUNKS // geo.batch)
    with threads.region():
        if parts > 1 and how.plane != planes.shape[1]:
            planes = _padded(planes, size, how)
        packed = conv_tile.pack_weights(_weights(w), sizes, of_input, how.passes, how.tap_weight)
        conv_tile.convolve(
            planes, size, how.low, how.padded, packed,
            conv_tile.list_terms(inner, how.plane, how.passes, how.tap_source),
            _planes(out), sizes, how.passes, how.whole, geo.batch, tasks, parts,
        )  # fmt: skip
    return out


def _padded(planes: npt.NDArray, size: tuple[int, int, int], how: Plan) -> npt.NDArray:
    out = np.zeros(checks.allocation((planes.shape[0], how.plane), planes.dtype), planes.dtype)
    conv_tile.pad_all(planes, size, out, how.low, how.padded)
    return out


def _weight_tiles(g: npt.NDArray, x: npt.NDArray, dw: npt.NDArray, geo: Geometry) -> None:
    how = plan(geo, of_input=False)
    chunks = 1
    if geo.multiply_adds >= _SERIAL:
        chunks = max(1, min(geo.batch, _CHUNKS, _CHUNK_BYTES // dw.nbytes))
    with threads.region():
        conv_tile_weight.weight_grad(
            _planes(g), _planes(x), geo.size, how.low, how.padded, dw.reshape(dw.shape[0], -1),
            (geo.groups, geo.inputs, geo.outputs), how.passes[0], how.tap_source, geo.batch, chunks,
        )  # fmt: skip
