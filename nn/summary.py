"""summary: a table of a model's layers, from one look at a forward pass."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import autograd_core as ag
from autograd_core import Parameter, Tensor
from autograd_core.tape import state
from autograd_core.wording import in_bytes
from nn.counting import Counter
from nn.module import Module, walk


@dataclass
class Row:
    """One call of a layer. `parameters` are the layer's own, not its children's, and 0 when it was seen before."""

    path: str
    kind: str
    depth: int
    output: str = "—"
    parameters: int = 0
    multiply_adds: int = 0
    reused: bool = False


@dataclass(repr=False)
class Summary:
    """What `summary` found: as text a table, which a notebook shows unless it was `printed` already.

    `rows` in order of the calls; `total_parameters` and `total_buffers` (numbers of elements), `total_multiply_adds` of
    one forward pass on the example, `total_bytes` of parameters and buffers.
    """

    rows: list[Row] = field(default_factory=list)
    total_parameters: int = 0
    total_buffers: int = 0
    total_multiply_adds: int = 0
    total_bytes: int = 0
    printed: bool = False

    def __str__(self) -> str:
        return self.table(shutil.get_terminal_size((100, 24)).columns)

    def table(self, width: int = 100) -> str:
        """The text, in so many columns if they are 60 or more: long names and shapes are cut then, marked by "…"."""
        heads = ("Layer", "Output shape", "Parameters", "Multiply-adds")
        cells = [_cells(row) for row in self.rows]
        widths = [max(len(line[i]) for line in (heads, *cells)) for i in range(4)]
        for column, least in ((0, 24), (1, 12), (0, 12)):
            widths[column] = max(min(widths[column], least), widths[column] - max(0, sum(widths) + 6 - width))
        rule = "─" * (sum(widths) + 6)

        def line(parts: tuple[str, ...]) -> str:
            parts = (_cut(parts[0], widths[0]), _cut(parts[1], widths[1], True), *parts[2:])
            left = (part.ljust(width) for part, width in zip(parts[:2], widths[:2], strict=True))
            right = (part.rjust(width) for part, width in zip(parts[2:], widths[2:], strict=True))
            return "  ".join((*left, *right)).rstrip()

        totals = [
            f"Parameters: {self.total_parameters:,}"
            + (f" (and {self.total_buffers:,} numbers in buffers)" if self.total_buffers else ""),
            f"Multiply-adds: {self.total_multiply_adds:,}",
            f"Memory of parameters and buffers: {in_bytes(self.total_bytes)}",
        ]
        return "\n".join([line(heads), rule, *map(line, cells), rule, *totals])

    def __repr__(self) -> str:
        if not self.printed:
            return str(self)
        return f"<Summary: {self.total_parameters:,} parameters, {self.total_multiply_adds:,} multiply-adds>"


def _cut(text: str, width: int, from_end: bool = False) -> str:
    """The text in so many columns: of a name the end stays, which tells layers apart, of a shape the beginning."""
    if len(text) <= width:
        return text
    if from_end:
        return f"{text[: width - 1]}…"
    depth = min(len(text) - len(text.lstrip()), width // 8)
    return f"{' ' * depth}…{text[len(text) - (width - depth - 1) :]}"


def _cells(row: Row) -> tuple[str, str, str, str]:
    name = "  " * row.depth + (f"{row.path} ({row.kind})" if row.path else row.kind)
    parameters = "(seen above)" if row.reused else f"{row.parameters:,}" if row.parameters else "—"
    return name, row.output, parameters, f"{row.multiply_adds:,}" if row.multiply_adds else "—"


def summary(model: Module, example: Any) -> Summary:
    """Run the model once on `example` and list its layers: output shape, own parameters, multiply-adds.

    `example` is a tensor or ndarray, a tuple of them for several inputs, or the shape of one input (a tuple of
    integers). The pass is in evaluation mode without recording, and leaves the model as it was: modes, buffers,
    gradients and the stream of random numbers.

    Multiply-adds are counted from the operations that run, in layers or outside them, and stand in the row of the
    innermost module that they ran in. Counted are products that are added up: matrix products (`@`, `matmul`,
    `tensordot`, `vecdot`), `einsum` that sums over an index (pair after pair, in NumPy's order), and convolutions,
    padding included; what compiled functions inside do is counted too. Not counted: elementwise products (`outer` is
    one), sums, biases, normalisation, activations, pooling, and `linalg`'s decompositions and solvers. Nor are
    primitives of one's own: a module that has some defines `multiply_adds(inputs, output)`, which replaces what was
    counted in the module itself.

    The table fits the terminal, from 60 columns on.

    >>> import nn
    >>> nn.summary(nn.Sequential(nn.Dense(4, 3), nn.ReLU()), (2, 4))
    Layer               Output shape  Parameters  Multiply-adds
    ───────────────────────────────────────────────────────────
    Sequential          (2, 3)                 —              —
      layers.0 (Dense)  (2, 3)                15             24
      layers.1 (ReLU)   (2, 3)                 —              —
    ───────────────────────────────────────────────────────────
    Parameters: 15
    Multiply-adds: 24
    Memory of parameters and buffers: 60 B
    """
    found = Summary()
    counter = Counter()
    with _undisturbed(model), _observed(model, found.rows, counter.running), ag.no_grad(), counter:
        model(*_inputs(example))
    parameters, buffers = model.parameters(), model.buffers()
    found.total_parameters = sum(p.size for p in parameters)
    found.total_buffers = sum(b.size for b in buffers)
    found.total_bytes = sum(t.nbytes for t in (*parameters, *buffers))
    found.total_multiply_adds = sum(row.multiply_adds for row in found.rows)
    return found


def _inputs(example: Any) -> tuple[Any, ...]:
    if isinstance(example, tuple | list):
        if all(isinstance(size, int) for size in example):
            return (ag.zeros(tuple(example)),)
        return tuple(example)
    return (example,)


@contextmanager
def _undisturbed(model: Module) -> Iterator[None]:
    """Evaluation mode, no effects of `assign`; afterwards modes and random numbers are as before."""
    modes = [(module, vars(module).get("training")) for module in model.modules()]
    numbers, assigning = ag.random.get_state(), state.assigning
    state.assigning = False
    try:
        model.eval()
        yield
    finally:
        state.assigning = assigning
        ag.random.set_state(numbers)
        for module, mode in modes:
            if mode is None:
                vars(module).pop("training", None)
            else:
                module.training = mode


@contextmanager
def _observed(model: Module, rows: list[Row], counting: list[Row]) -> Iterator[None]:
    """Write down every call: for a while each module's `forward` is one that watches itself.

    `counting`: the rows of the modules that are running now, the innermost last.
    """
    running: list[Module] = []
    seen: set[int] = set()
    before = [(module, vars(module).get("forward")) for module in model.modules()]
    names = {id(module): name for name, module in model.named_modules()}

    def watched(module: Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            above = names[id(running[-1])] if running else ""
            name = names[id(module)]
            local = name[len(above) + 1 :] if above and name.startswith(f"{above}.") else name
            own = [t for _, t in walk(module, into_modules=False) if isinstance(t, Parameter)]
            fresh = [p for p in own if id(p) not in seen]
            seen.update(map(id, own))
            row = Row(local, type(module).__name__, len(running), reused=bool(own) and not fresh)
            row.parameters = sum(p.size for p in fresh)
            rows.append(row)
            running.append(module)
            counting.append(row)
            try:
                output = forward(*args, **kwargs)
            finally:
                running.pop()
                counting.pop()
            row.output = _shapes(output)
            if type(module).multiply_adds is not Module.multiply_adds:
                row.multiply_adds = module.multiply_adds(args, output)
            return output

        return call

    try:
        for module, _ in before:
            vars(module)["forward"] = watched(module, module.forward)
        yield
    finally:
        for module, forward in before:
            if forward is None:
                vars(module).pop("forward", None)
            else:
                vars(module)["forward"] = forward


def _shapes(output: Any) -> str:
    """The shapes of what a module returned."""
    if isinstance(output, Tensor):
        return str(output.shape)
    if isinstance(output, dict):
        return "{" + ", ".join(f"{key}: {_shapes(value)}" for key, value in output.items()) + "}"
    if isinstance(output, tuple | list):
        return "[" + ", ".join(map(_shapes, output)) + "]"
    return type(output).__name__
