"""Convolution: forward, input-gradient and weight-gradient, each linear in both arguments.

The three are each other's derivatives, so they are all that a convolution of any derivative order needs, and the
input-gradient is also transposed convolution. As everywhere in this field it is cross-correlation:
y[n, o, p] = Σ_c Σ_k w[o, c, k] · x[n, c, p·stride + k·dilation − padding], channels c of o's group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from autograd_core.kernels import checks, conv_methods
from autograd_core.kernels.conv_call import Ending, no_bias
from autograd_core.kernels.conv_geometry import Geometry, geometry
from autograd_core.kernels.recorded import recorded


@recorded
def conv_forward(
    x: npt.NDArray,
    w: npt.NDArray,
    bias: npt.NDArray | None = None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    rectified: bool = False,
) -> npt.NDArray:
    """y (N, O, *out) from x (N, C, *S) and w (O, C/groups, *K), with 1, 2 or 3 spatial axes.

    stride, padding (symmetric) and dilation have one entry per spatial axis. x, w and bias (O) are all float32 or
    all float64. `rectified`: max(y, 0), and NaN stays. Raises ValueError or TypeError for shapes, dtypes and settings
    that do not fit.
    """
    checks.floats(x=x, w=w) if bias is None else checks.floats(x=x, w=w, bias=bias)
    geo = geometry(x.shape, w.shape, *_fixed(stride, padding, dilation), groups)
    if bias is not None and bias.shape != w.shape[:1]:
        raise ValueError(
            f"bias has the shape {bias.shape} but w has {w.shape[0]} output channels (axis 0): give bias one for each"
        )
    ending = None
    if bias is not None or rectified:
        ending = Ending(no_bias(w.dtype) if bias is None else _flat(bias), rectified)
    return _products(x, w, geo.y_shape, geo, False, ending)


@recorded
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
    geo = geometry(
        (g.shape[0], w.shape[1] * groups, *spatial), w.shape, *_fixed(stride, padding, dilation), groups
    )
    _slope(g, geo, f"spatial {spatial}")
    return _products(g, w, geo.x_shape, geo, of_input=True)


@recorded
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
    geo = geometry(x.shape, w_shape, *_fixed(stride, padding, dilation), groups)
    _slope(g, geo, f"x of shape {x.shape} and kernel {kernel}")
    if not geo.multiply_adds:
        return _zeros(geo.w_shape, g)
    dw = np.empty(checks.allocation(geo.w_shape, g.dtype), g.dtype.newbyteorder("="))
    conv_methods.weight_grad(_flat(g), _flat(x), _flat(dw), geo)
    return dw


def _products(
    source: npt.NDArray, w: npt.NDArray, shape: tuple[int, ...], geo: Geometry, of_input: bool,
    ending: Ending | None = None,
) -> npt.NDArray:  # fmt: skip
    """Forward (x, w → y) or input-gradient (g, w → dx)."""
    if not geo.multiply_adds or 0 in shape:
        return _empty_sums(shape, w, ending)
    out = np.empty(checks.allocation(shape, w.dtype), w.dtype.newbyteorder("="))
    conv_methods.convolve(_flat(source), _flat(w), _flat(out), geo, of_input, ending)
    return out


def _flat(array: npt.NDArray) -> npt.NDArray:
    """The array as kernels take it, flat and contiguous; of out arrays, which are, it is a view."""
    return checks.ready(array).reshape(-1)


def _fixed(*settings: Sequence[int]) -> Iterator[Any]:
    """Lists as tuples: geometry keeps its answers by its arguments."""
    return (tuple(setting) if isinstance(setting, list) else setting for setting in settings)


def _empty_sums(shape: tuple[int, ...], w: npt.NDArray, ending: Ending | None) -> npt.NDArray:
    """The sums over no channels."""
    out = _zeros(shape, w)
    if ending is not None and ending.bias.size:
        out += ending.bias.reshape(-1, *(1,) * (len(shape) - 2))
        out[(out <= 0) & ending.rectified] = 0
    return out


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
