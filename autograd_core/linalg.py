"""Linear algebra: `ag.linalg`, after `numpy.linalg`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from autograd_core.ops import linalg as _l
from autograd_core.primitive import explaining
from autograd_core.public import public
from autograd_core.tensor import Tensor, numpy_functions

solve = public(_l.solve)
inv = public(_l.inv)
det = public(_l.det)
slogdet: Callable[..., tuple[Tensor, Tensor]] = public(_l.slogdet)  # pyright: ignore[reportAssignmentType]
cholesky = public(_l.cholesky)
qr: Callable[..., tuple[Tensor, Tensor]] = public(_l.qr)  # pyright: ignore[reportAssignmentType]
svd: Callable[..., tuple[Tensor, Tensor, Tensor]] = public(_l.svd)  # pyright: ignore[reportAssignmentType]
eigh: Callable[..., tuple[Tensor, Tensor]] = public(_l.eigh)  # pyright: ignore[reportAssignmentType]
norm = public(_l.norm)


def _svd_as_numpy(a: Any, full_matrices: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    return svd(a, full_matrices=full_matrices)


_svd_as_numpy.__name__ = "svd"  # what its errors say

numpy_functions.update(
    {getattr(np.linalg, f.__name__): f for f in (solve, inv, det, slogdet, cholesky, qr, eigh, norm)}
    | {np.linalg.svd: explaining(_svd_as_numpy)}  # NumPy's default is the full matrices
)
