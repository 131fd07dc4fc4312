"""Parameter and Buffer: the tensors that change. `assign` is the one effect there is."""

from __future__ import annotations

from typing import Any, Self

from autograd_core.dtypes import DTypeLike, as_array
from autograd_core.errors import describe
from autograd_core.ops.elementwise import astype
from autograd_core.tape import Value, capturing, replaced, state
from autograd_core.tensor import Operand, Tensor


class _State(Tensor):
    """What a model keeps between steps. `assign` is the one effect there is."""

    __slots__ = ("name",)

    def assign(self, value: Operand) -> None:
        """Replace the elements, keeping shape and dtype. Raises ValueError for another shape."""
        if not state.assigning:
            return  # a checkpointed function runs again: its effects have happened
        array = value.array if isinstance(value, Value) else as_array(value, self.dtype, copy=True)
        if array.shape != self.array.shape:
            raise ValueError(
                f"assign: {describe(array)} does not fit {type(self).__name__} {getattr(self, 'name', '')} "
                f"{describe(self.array)}: shapes must be equal"
            )
        if (capture := capturing()) is not None:
            if isinstance(value, Value):
                capture.number_of(value)  # it may be another state that nothing has read yet
                array = astype(value, dtype=self.array.dtype).array
            capture.touch(self)
        self.array = array if array.dtype == self.array.dtype else array.astype(self.array.dtype)
        replaced(self)

    def _rebind(self, new: Tensor, operation: str) -> Self:
        if state.recording and new.node is not None:
            raise RuntimeError(
                f"{operation}: a {type(self).__name__} cannot be changed in place while recording: "
                "use assign(value), or do it under no_grad()"
            )
        return super()._rebind(new, operation)


class Parameter(_State):
    """A tensor that a model learns: it requires a gradient, optimizers assign it.

    >>> import nn
    >>> nn.Parameter([1.0, 2.0]).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any, dtype: DTypeLike | None = None) -> None:
        array = as_array(data.array if isinstance(data, Value) else data, dtype, copy=True)
        super().__init__(array)
        self.requires_grad = True


class Buffer(_State):
    """A tensor that a model keeps but does not learn: running statistics, counters, an optimizer's moments.

    >>> import nn
    >>> count = nn.Buffer(0)
    >>> count.assign(count + 1)
    >>> count.item()
    1
    """

    __slots__ = ()

    def __init__(self, data: Any, dtype: DTypeLike | None = None) -> None:
        super().__init__(as_array(data.array if isinstance(data, Value) else data, dtype, copy=True))
