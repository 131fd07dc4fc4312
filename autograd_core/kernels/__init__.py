"""Numba kernels: ndarrays in, ndarrays out; no Tensor, no tape.

Empty on purpose: `import autograd_core` must not load numba, so callers import
`autograd_core.kernels.conv` (and `pool`, `channel`, `random`, …) when they first need them.
"""
