"""The autopsy: where on the tape the first bad number is, and why, from what is still in memory.

Values are those that derivative rules keep, those of leaves, and all of them where `observe` looked on; what follows
from known inputs is computed again when it is needed to tell two suspects apart. The backward pass is walked with a
sweep of its own, which changes no gradient. Nothing of the user's program runs again, but a compiled step: a program
keeps no tape.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd_core.causes import cause_back, cause_of
from autograd_core.errors import describe
from autograd_core.known import Known, nodes_under
from autograd_core.lines import shown_line
from autograd_core.observer import Observer, seen_of
from autograd_core.sweep import sweep
from autograd_core.tape import Leaf, Node
from autograd_core.tensor import Tensor

EXPLODING = 0.5  # as a power of the largest number of a dtype: beyond its square root a square overflows


@dataclass(frozen=True, slots=True)
class Numbers:
    """What an array holds: minimum, maximum and mean of its finite elements, and how many are none."""

    type: str
    minimum: float
    maximum: float
    mean: float
    nan: int
    infinite: int
    zero: int

    @classmethod
    def of(cls, value: Any) -> Numbers:
        """The statistics of an array or a number."""
        array = np.asarray(value)
        numbers = array.astype(np.float64, copy=False).reshape(-1)
        finite = numbers[np.isfinite(numbers)]
        low, high, mean = (finite.min(), finite.max(), finite.mean()) if finite.size else (np.nan,) * 3
        nan = int(np.isnan(numbers).sum())
        infinite = int(np.isinf(numbers).sum())
        zero = int((numbers == 0).sum())
        return cls(describe(array), float(low), float(high), float(mean), nan, infinite, zero)

    def __str__(self) -> str:
        parts = [self.type]
        if not np.isnan(self.minimum):
            parts.append(f"{self.minimum:.4g} … {self.maximum:.4g}, mean {self.mean:.4g}")
        counts = ((self.nan, "NaN"), (self.infinite, "∞"), (self.zero, "zero" if self.zero == 1 else "zeros"))
        parts += [f"{count:,} {name}" for count, name in counts if count]
        return ", ".join(parts)


@dataclass(slots=True)
class Autopsy:
    """What was found. `operation` is "" where nothing is wrong; `phase` is "forward" or "backward"."""

    operation: str = ""
    phase: str = ""
    module_path: str = ""
    line: str = ""
    cause: str = ""
    mend: str = ""
    inputs: dict[str, Numbers] = field(default_factory=dict)
    output: Numbers | None = None
    note: str = ""  # how far this can be trusted, how it was found
    node: Node | None = None
    root: Node | None = None

    def __bool__(self) -> bool:
        return bool(self.operation)

    def __str__(self) -> str:
        if not self.operation:
            return "autopsy: " + self.note
        what = "the derivative of " if self.phase == "backward" else ""
        place = f" in {self.module_path}" if self.module_path else ""
        lines = [f"autopsy: the first bad value comes from {what}{self.operation}{place}"]
        lines += [f"  at       {self.line or 'a line that is known inside ag.observe()'}"]
        lines += [f"  cause    {self.cause}", f"  mend     {self.mend}"]
        lines += [f"  {name:<8} {numbers}" for name, numbers in self.inputs.items()]
        lines += [f"  gives    {self.output}"] if self.output else []
        lines += [f"  note     {self.note}"] if self.note else []
        return "\n".join(lines)

    __repr__ = __str__

    def draw(self, **options: Any) -> Any:
        """The picture of the tape around the operation, which is red in it; options as of `ag.draw`."""
        from autograd_core.graph import draw

        if self.root is None:
            raise ValueError("autopsy: there is no tape to draw")
        if self.node is not None and "around" not in options and "depth" not in options:
            options["around"] = (self.node, 4)
        return draw(self.root, bad=self.node, **options)


def autopsy(t: Any) -> Autopsy:
    """The first non-finite or exploding value under a tensor: operation, module path, line, statistics, cause."""
    if isinstance(t, Tensor) and t.node is None:
        return _without_graph(t.array)
    if not isinstance(t, Tensor):
        if not hasattr(t, "keep_inputs"):
            raise TypeError(f"autopsy: takes a tensor or a compiled function, not {type(t).__name__}")
        if t.rerun is not None:
            return _of_compiled(t.rerun)
        why = (
            "was not replayed yet"
            if t.keep_inputs
            else "does not keep its inputs: ag.compile(f, keep_inputs=True)"
        )
        return Autopsy(note=f"this compiled function {why}")
    assert t.node is not None
    if t.node.primitive is not None and t.node.primitive.name == "compiled":
        return Autopsy(
            note="this tensor was computed by a compiled function, whose program keeps no tape: compile it with "
            "f = ag.compile(f, keep_inputs=True), and ag.autopsy(f) runs the last step again from its inputs"
        )
    with np.errstate(all="ignore"):
        return _examined(t)


def _without_graph(array: Any) -> Autopsy:
    if not _is_bad(array):
        return Autopsy(note=f"{describe(array)} has no graph; it holds {Numbers.of(array)}")
    cause, mend = "it was not computed on a tape", "make the autopsy of the loss, before its backward()"
    return Autopsy("tensor", "forward", cause=cause, mend=mend, inputs={"holds": Numbers.of(array)})


def _of_compiled(rerun: Any) -> Autopsy:
    """Of the last call of a compiled function, run again as it stands from the inputs that were kept."""
    tensors = rerun.tensors()
    found = Autopsy(note="the compiled function returned no tensor with a graph")
    for tensor in tensors:
        if tensor.node is not None:
            with np.errstate(all="ignore"):
                found = _examined(tensor)
            if found:
                break
    found.note = f"the compiled step was run again, uncompiled, from its kept inputs. {found.note}".strip()
    return found


def _examined(t: Tensor) -> Autopsy:
    root = t.node
    assert root is not None
    tape = _Tape(root, t.array)
    found = tape.first_bad(_is_bad) or tape.first_bad_back(_is_bad)
    if found is None:
        found = tape.first_bad(_explodes) or tape.first_bad_back(_explodes)
        if found is not None:
            found.note = f"finite, but exploding: a square of it overflows. {found.note}".strip()
    if found is None:
        known = sum(node in tape.values for node in tape.nodes)
        found = Autopsy(
            note=f"nothing bad: {known:,} of {len(tape.nodes):,} values were looked at, {tape.swept}"
        )
    found.root = root
    return found


def _is_bad(array: Any) -> bool:
    array = np.asarray(array)
    return array.dtype.kind == "f" and not np.isfinite(array).all()


def _explodes(array: Any) -> bool:
    array = np.asarray(array)
    return (
        array.dtype.kind == "f"
        and array.size > 0
        and float(np.abs(array).max()) > float(np.finfo(array.dtype).max) ** EXPLODING
    )


class _Tape(Known):
    """A tape that is examined."""

    def __init__(self, root: Node, array: Any) -> None:
        super().__init__({root: array})
        self.root = root
        self.swept = "the backward pass was not"

    # Forward ---------------------------------------------------------------------------------------------------

    def first_bad(self, bad: Any) -> Autopsy | None:
        """The first operation whose result is bad while its inputs are not."""
        known = next((node for node in self.nodes if node in self.values and bad(self.values[node])), None)
        if known is None:
            return None
        suspects = [node for node in nodes_under(known) if node not in self.values]
        for node in suspects:  # not kept; some can be had from their inputs
            value = self.computed(node)
            if value is not None:
                self.values[node] = value
                if bad(value):
                    known = node
                    break
        unknown = [node for node in known.inputs if node is not None and node not in self.values]
        return self._forward(known, unknown)

    def _forward(self, node: Node, unknown: list[Node]) -> Autopsy:
        value = self.values[node]
        if node.primitive is None:
            owner = node.owner() if isinstance(node, Leaf) else None
            name = getattr(owner, "name", None) or "an input"
            return Autopsy(
                str(name), "forward", "", "",
                "it is bad before anything is computed with it",
                "if it is a parameter, an earlier update did that (a smaller learning rate, nn.clip_grad_norm, and "
                "the autopsy of that step); if it is data, look for missing values",
                {}, Numbers.of(value), node=node,
            )  # fmt: skip
        inputs = self.named(node)
        cause, mend = cause_of(node.primitive.name, inputs, value)
        found = Autopsy(
            node.primitive.name, "forward", str(node.module_path), _line(node), cause, mend, node=node
        )
        found.inputs = {name: Numbers.of(each) for name, each in inputs.items()}
        found.output = Numbers.of(value)
        if unknown:
            names = ", ".join(dict.fromkeys(_name(each) for each in unknown))
            found.note = f"the values of {names} before it were not kept: ag.observe() keeps them all"
        return found

    # Backward --------------------------------------------------------------------------------------------------

    def first_bad_back(self, bad: Any) -> Autopsy | None:
        """The first operation, backwards, whose derivative is bad while its cotangent is not."""
        watched = [
            n
            for n in self.nodes
            if (s := seen_of(n)) is not None and getattr(s, "cotangent", None) is not None
        ]
        if watched:
            self.swept = "and so was the backward pass"
            steps = (
                (node, seen_of(node).cotangent, seen_of(node).shares)  # pyright: ignore[reportOptionalMemberAccess]
                for node in reversed(watched)
                if node.primitive is not None
            )
            return next(filter(None, (self._backward(*step, bad) for step in steps)), None)
        if any(node.saved is None and node.primitive is not None for node in self.nodes):
            self.swept = (
                "the backward pass was not, for backward() has freed the tape (retain_graph=True keeps it)"
            )
            return None
        looking = _Looking(self, bad)
        ones = np.ones(self.root.shape, self.root.dtype)
        try:
            with looking:
                sweep([(self.root, ones)], retain_graph=True)
        except _Found:
            pass
        except Exception as error:  # an autopsy does not fail on what it examines
            self.swept = f"the backward pass raised {type(error).__name__}: {error}"
            return None
        self.swept = "and so was the backward pass"
        return looking.found

    def _backward(self, node: Node, g: Any, shares: Iterable[tuple[Node, Any]], bad: Any) -> Autopsy | None:
        if node.primitive is None or bad(g):
            return None
        for parent, share in shares:
            if not bad(share):
                continue
            inputs = self.named(node)
            cause, mend = cause_back(node.primitive.name, inputs, g)
            name = node.primitive.names(len(node.inputs))[list(node.inputs).index(parent)]
            found = Autopsy(
                node.primitive.name, "backward", str(node.module_path), _line(node), cause, mend, node=node
            )
            found.inputs = {n: Numbers.of(each) for n, each in inputs.items()}
            found.inputs["cotangent"] = Numbers.of(g)
            found.output = Numbers.of(share)
            found.note = f"the derivative for {name}; the values of the forward pass are finite"
            return found
        return None


class _Found(Exception):
    pass


class _Looking(Observer):
    """Ends a sweep at the first bad derivative."""

    def __init__(self, tape: _Tape, bad: Any) -> None:
        self.tape, self.bad = tape, bad
        self.found: Autopsy | None = None

    def note_derivative(
        self, node: Node, g: Any, shares: list[tuple[Node, Any]], began: float, ended: float
    ) -> None:
        self.found = self.tape._backward(node, g, shares, self.bad)
        if self.found is not None:
            raise _Found


def _line(node: Node) -> str:
    seen = seen_of(node)
    return shown_line(seen.line) if seen is not None and getattr(seen, "line", ("", 0))[0] else ""


def _name(node: Node) -> str:
    return node.primitive.name if node.primitive is not None else "a leaf"
