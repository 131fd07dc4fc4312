"""A slow, obvious twin of each kernel: the same call, plain loops, no cleverness."""

from __future__ import annotations

import itertools
import math

import numpy as np


def _windows(shape, kernel, stride, padding, dilation):
    """Output spatial shape, and for each output position its taps that fall inside: (tap, input position)."""
    ndim = len(shape)
    out = tuple(
        (shape[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(ndim)
    )
    windows = {}
    for position in itertools.product(*map(range, out)):
        windows[position] = []
        for tap in itertools.product(*map(range, kernel)):
            at = tuple(position[i] * stride[i] + tap[i] * dilation[i] - padding[i] for i in range(ndim))
            if all(0 <= at[i] < shape[i] for i in range(ndim)):
                windows[position].append((tap, at))
    return out, windows


def _every(a, at):
    return a[(slice(None), slice(None), *at)]


def conv_forward(x, w, *, stride, padding, dilation, groups):
    out, windows = _windows(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = np.zeros((x.shape[0], w.shape[0], *out), x.dtype)
    for g in range(groups):
        xs, ws, ys = _group(x, 1, g, groups), _group(w, 0, g, groups), _group(y, 1, g, groups)
        for position, taps in windows.items():
            for tap, at in taps:
                _every(ys, position)[...] += _every(xs, at) @ _every(ws, tap).T
    return y


def conv_input_grad(g, w, *, spatial, stride, padding, dilation, groups):
    _, windows = _windows(spatial, w.shape[2:], stride, padding, dilation)
    dx = np.zeros((g.shape[0], w.shape[1] * groups, *spatial), g.dtype)
    for k in range(groups):
        dxs, ws, gs = _group(dx, 1, k, groups), _group(w, 0, k, groups), _group(g, 1, k, groups)
        for position, taps in windows.items():
            for tap, at in taps:
                _every(dxs, at)[...] += _every(gs, position) @ _every(ws, tap)
    return dx


def conv_weight_grad(g, x, *, kernel, stride, padding, dilation, groups):
    _, windows = _windows(x.shape[2:], kernel, stride, padding, dilation)
    dw = np.zeros((g.shape[1], x.shape[1] // groups, *kernel), g.dtype)
    for k in range(groups):
        xs, dws, gs = _group(x, 1, k, groups), _group(dw, 0, k, groups), _group(g, 1, k, groups)
        for position, taps in windows.items():
            for tap, at in taps:
                _every(dws, tap)[...] += _every(gs, position).T @ _every(xs, at)
    return dw


def _group(a, axis, k, groups):
    size = a.shape[axis] // groups
    return a[(slice(None),) * axis + (slice(k * size, (k + 1) * size),)]


def max_pool_index(x, *, kernel_size, stride, padding, dilation):
    out, windows = _windows(x.shape[2:], kernel_size, stride, padding, dilation)
    index = np.zeros((*x.shape[:2], *out), np.int64)
    for n, c in np.ndindex(x.shape[:2]):
        for position, taps in windows.items():
            values = [x[(n, c, *at)] for _, at in taps]
            winner = int(np.argmax(values))  # the first of equals, and the first NaN
            index[(n, c, *position)] = np.ravel_multi_index(taps[winner][1], x.shape[2:])
    return index


def _flat(a):
    """(N·C, positions)."""
    return a.reshape(a.shape[0] * a.shape[1], math.prod(a.shape[2:]))


def max_pool(x, **how):
    return max_pool_take(x, x, **how)


def max_pool_take(h, x, **how):
    index = max_pool_index(x, **how)
    return np.take_along_axis(_flat(h), _flat(index), axis=1).reshape(index.shape)


def max_pool_put(g, x, **how):
    out, index = np.zeros_like(_flat(x)), _flat(max_pool_index(x, **how))
    for (r, m), place in np.ndenumerate(index):
        out[r, place] += _flat(g)[r, m]
    return out.reshape(x.shape)


def avg_pool(x, *, kernel_size, stride, padding):
    out, windows = _windows(x.shape[2:], kernel_size, stride, padding, (1,) * len(kernel_size))
    y = np.zeros((*x.shape[:2], *out), x.dtype)
    for position, taps in windows.items():
        for _, at in taps:
            _every(y, position)[...] += _every(x, at) / math.prod(kernel_size)
    return y


def avg_pool_grad(g, *, spatial, kernel_size, stride, padding):
    _, windows = _windows(spatial, kernel_size, stride, padding, (1,) * len(kernel_size))
    dx = np.zeros((*g.shape[:2], *spatial), g.dtype)
    for position, taps in windows.items():
        for _, at in taps:
            _every(dx, at)[...] += _every(g, position) / math.prod(kernel_size)
    return dx


def _channels(x):
    """(channels, elements) in float64."""
    return np.moveaxis(x, 1, 0).reshape(x.shape[1], math.prod(x.shape[2:]) * x.shape[0]).astype(np.float64)


def _each(value, x):
    """One number for each channel, or one for all, along x's channels."""
    return np.reshape(value, (-1,) + (1,) * (x.ndim - 2)) if np.ndim(value) else value


def sums(x):
    return np.array([sum(row) for row in _channels(x)], x.dtype)


def moments(x):
    out = np.full((2, x.shape[1]), np.nan, x.dtype)
    for c, row in enumerate(_channels(x) if x.size else []):
        out[0, c] = row.sum() / row.size
        out[1, c] = ((row - row.sum() / row.size) ** 2).sum() / row.size
    return out


def channel_sums(g, x, centre):
    away = x.astype(np.float64) - _each(centre, x)
    return np.stack([sums(g.astype(np.float64)), sums(g * away)]).astype(x.dtype)


def scale_shift(x, centre, scale, shift):
    return (x - _each(centre, x)) * _each(scale, x) + _each(shift, x)


def channel_blend(g, x, centre, a, b, shift):
    return g * _each(a, x) + scale_shift(x, centre, b, shift)


def normalise(x, scale, shift, epsilon=1e-5):
    mean, var = moments(x.astype(np.float64))
    y = scale_shift(
        scale_shift(x.astype(np.float64), mean, 1 / np.sqrt(var + epsilon), 0.0), 0.0, scale, shift
    )
    return y.astype(x.dtype)


def random_bits(key, counter, size):
    """Philox 4×32-10 in Python's integers, one block at a time."""
    words = []
    for block in range(-(-size // 4)):
        c = (counter + block) % 2**128
        c0, c1, c2, c3 = (c >> shift & 0xFFFFFFFF for shift in (0, 32, 64, 96))
        k0, k1 = key & 0xFFFFFFFF, key >> 32
        for _ in range(10):
            a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
            c0, c1, c2, c3 = b >> 32 ^ c1 ^ k0, b & 0xFFFFFFFF, a >> 32 ^ c3 ^ k1, a & 0xFFFFFFFF
            k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
        words += [c0, c1, c2, c3]
    return np.array(words[:size], np.uint32)


def _units(key, counter, count, dtype):
    """`count` uniforms as Python floats."""
    if dtype == np.float32:
        return [int(word >> np.uint32(8)) / 2**24 for word in random_bits(key, counter, count)]
    words = [int(word) for word in random_bits(key, counter, 2 * count)]
    return [((a >> 5) * 2**26 + (b >> 6)) / 2**53 for a, b in zip(words[::2], words[1::2], strict=True)]


def uniform(key, counter, size, dtype):
    return np.array(_units(key, counter, size, dtype), dtype)


def normal(key, counter, size, dtype):
    units = _units(key, counter, size + size % 2, dtype)
    values = []
    for u, v in zip(units[::2], units[1::2], strict=True):
        radius = math.sqrt(-2 * math.log(1 - u))
        values += [radius * math.cos(2 * math.pi * v), radius * math.sin(2 * math.pi * v)]
    return np.array(values[:size], dtype)
