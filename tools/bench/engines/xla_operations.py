"""Single operations in JAX, with the channels on axis 1 or last."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


class Operations:
    """Operations for one order of the axes; `channels` is 1 or -1."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    # ---- the order of axes

    def order(self, array: np.ndarray, role: str) -> np.ndarray:
        """From (N, C, *spatial) or (O, C/groups, *kernel) to this order, (N, *spatial, C) or (*kernel, C/groups, O)."""
        if self.channels == 1 or role == "plain":
            return array
        return np.moveaxis(array, 1, -1) if role == "image" else np.moveaxis(array, (0, 1), (-1, -2))

    def usual_order(self, array: np.ndarray, role: str) -> np.ndarray:
        """Back to (N, C, *spatial) or (O, C/groups, *kernel)."""
        if self.channels == 1 or role == "plain":
            return array
        return np.moveaxis(array, -1, 1) if role == "image" else np.moveaxis(array, (-1, -2), (0, 1))

    def spatial(self, x: Any) -> tuple[int, ...]:
        """The axes of an image that are neither batch nor channels."""
        return tuple(range(2, x.ndim) if self.channels == 1 else range(1, x.ndim - 1))

    def along(self, vector: Any, x: Any) -> Any:
        """A vector of channels in a shape that broadcasts against x."""
        return vector if self.channels == -1 else vector.reshape((-1,) + (1,) * (x.ndim - 2))

    def _specs(self, x: Any) -> tuple[str, str, str]:
        space = "DHW"[-(x.ndim - 2) :]
        if self.channels == 1:
            return f"NC{space}", f"OI{space}", f"NC{space}"
        return f"N{space}C", f"{space}IO", f"N{space}C"

    # ---- operations

    def conv(self, x: Any, w: Any, stride: int, padding: int, groups: int) -> Any:
        n = x.ndim - 2
        return lax.conv_general_dilated(
            x, w, (stride,) * n, [(padding, padding)] * n,
            dimension_numbers=self._specs(x), feature_group_count=groups,
        )  # fmt: skip

    def conv_input_grad(self, x: Any, w: Any, g: Any, **settings: int) -> Any:
        return jax.vjp(lambda x: self.conv(x, w, **settings), x)[1](g)[0]

    def conv_weight_grad(self, x: Any, w: Any, g: Any, **settings: int) -> Any:
        return jax.vjp(lambda w: self.conv(x, w, **settings), w)[1](g)[0]

    def conv_transpose(self, x: Any, w: Any, stride: int) -> Any:
        specs = self._specs(x)
        return lax.conv_transpose(
            x, w, (stride,) * (x.ndim - 2), "VALID", dimension_numbers=specs, transpose_kernel=True
        )

    def add_bias(self, x: Any, bias: Any) -> Any:
        return x + self.along(bias, x)

    def max_pool(self, x: Any, size: int, stride: int, padding: int) -> Any:
        return self._windows(x, -jnp.inf, lax.max, size, stride, padding)

    def avg_pool(self, x: Any, size: int, stride: int, padding: int) -> Any:
        return self._windows(x, 0.0, lax.add, size, stride, padding) / size ** (x.ndim - 2)

    def _windows(self, x: Any, start: float, combine: Any, size: int, stride: int, padding: int) -> Any:
        def each(spatial: Any, other: Any) -> list[Any]:
            return [spatial if axis in self.spatial(x) else other for axis in range(x.ndim)]

        pads = each((padding, padding), (0, 0))
        return lax.reduce_window(x, start, combine, each(size, 1), each(stride, 1), pads)

    def statistics(self, x: Any) -> tuple[Any, Any]:
        axes = (0, *self.spatial(x))
        return x.mean(axes), x.var(axes)

    def matmul(self, a: Any, b: Any) -> Any:
        return a @ b

    def matmul_transposed(self, a: Any, b: Any) -> Any:
        return a.T @ b

    def softmax(self, x: Any) -> Any:
        return jax.nn.softmax(x, -1)

    def affine_relu(self, x: Any, scale: Any, shift: Any) -> Any:
        return jax.nn.relu(x * scale + shift)

    def gelu_tanh(self, x: Any) -> Any:
        return 0.5 * x * (1 + jnp.tanh(0.7978846 * (x + 0.044715 * x * x * x)))

    def gated(self, x: Any, y: Any) -> Any:
        return x * jax.nn.sigmoid(x) * y
