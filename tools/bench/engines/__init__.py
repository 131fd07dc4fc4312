"""The engines and their settings, behind one protocol. Each library has two files: models, and single operations."""

import importlib.util
from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

import numpy as np

from ..measure import OURS, Call
from ..workloads import Workload

Step = Callable[[], float]  # one training step; returns the loss before it

# What an array is, for engines that keep the channels last: (N, C, *spatial), (O, C/groups, *kernel), or anything else.
Role = Literal["image", "weight", "plain"]


class Engine(Protocol):
    """A library in one of its settings."""

    def place(self, array: np.ndarray, role: Role) -> Any:
        """The array as the library's own, in the memory order of this setting."""
        ...

    def fetch(self, result: Any, role: Role) -> list[np.ndarray]:
        """The results of a call as ndarrays, in the usual order of axes."""
        ...

    def forward(self, operation: str, inputs: list[Any], settings: dict[str, Any]) -> Call:
        """A call that computes the operation, to the end, and records nothing."""
        ...

    def pullback(self, operation: str, inputs: list[Any], cotangent: Any, settings: dict[str, Any]) -> Call:
        """A call that computes the cotangent of the first input, the forward pass having been made."""
        ...

    def step(self, workload: Workload) -> Step:
        """A training step as a user of the library writes it."""
        ...

    def forget(self) -> None:
        """Drop what was compiled, before the next case."""
        ...


def _own(compiled: bool = False) -> Callable[[], Engine]:
    def make() -> Engine:
        from .own import Own

        return Own(compiled)

    return make


def _torch(**setting: bool) -> Callable[[], Engine]:
    def make() -> Engine:
        from .pytorch import PyTorch

        return PyTorch(**setting)

    return make


def _jax(channels_last: bool = False) -> Callable[[], Engine]:
    def make() -> Engine:
        from .xla import Jax

        return Jax(channels_last)

    return make


_ENGINES: dict[str, tuple[str, Callable[[], Engine]]] = {
    OURS: ("autograd_core", _own()),
    f"{OURS} compiled": ("autograd_core", _own(compiled=True)),
    "PyTorch": ("torch", _torch()),
    "PyTorch channels_last": ("torch", _torch(channels_last=True)),
    "PyTorch compiled": ("torch", _torch(compiled=True)),
    "PyTorch compiled channels_last": ("torch", _torch(compiled=True, channels_last=True)),
    "JAX": ("jax", _jax()),
    "JAX NHWC": ("jax", _jax(channels_last=True)),
}


def selected(images: bool = False, torch_compile: bool = True, own_compiled: bool = False) -> list[str]:
    """Names of the settings that make a difference: the order of channels for images, our compiler for steps and for
    what fuses, torch.compile when wanted.
    """
    orders = () if images else ("channels_last", "NHWC")
    left_out = (
        *(() if torch_compile else ("PyTorch compiled",)),
        *(() if own_compiled else (f"{OURS} compiled",)),
    )
    return [name for name in _ENGINES if not name.endswith(orders) and not name.startswith(left_out)]


def installed(names: Iterable[str]) -> list[str]:
    """Those of the named engines whose library is here, in the order given."""
    return [name for name in names if importlib.util.find_spec(_ENGINES[name][0]) is not None]


def load(names: Iterable[str]) -> tuple[dict[str, Engine], list[str]]:
    """Those of the named engines that are installed, and a note on each that is not."""
    wanted = [name for name in _ENGINES if name in set(names)]
    present = installed(wanted)
    notes = [f"{name} is not installed here" for name in wanted if name not in present]
    return {name: _ENGINES[name][1]() for name in present}, notes
