"""The autopsy: where on the tape the first bad number is, and why, from what is still in memory.

Values are those that derivative rules keep, those of leaves, and all of them where `observe` looked on; what follows
from known inputs is computed again when it is needed to tell two suspects apart. The backward pass is walked with a
sweep of its own, which changes no gradient. Nothing of the user's program runs again, but a compiled step: a program
keeps no tape.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd_core.causes import cause_back, cause_of
from autograd_core.errors import describe
from autograd_core.known import Known, is_program, nodes_under
from autograd_core.lines import shown_line
from autograd_core.observer import seen_of, unseen
from autograd_core.suspects import (
    Derivative,
    Recorder,
    explodes,
    first_anywhere,
    first_bad,
    first_bad_back,
    is_bad,
    leaf_gradients,
    observed,
)
from autograd_core.sweep import sweep
from autograd_core.tape import Leaf, Node
from autograd_core.tensor import Tensor
from autograd_core.wording import clean

KEEP_INPUTS = (
    "compile it with f = ag.compile(f, keep_inputs=True), and ag.autopsy(f) runs the last step again"
)


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
        place = f" in {clean(self.module_path, 160)}" if self.module_path else ""
        lines = [f"autopsy: the first bad value comes from {what}{clean(self.operation, 160)}{place}"]
        lines += [f"  at        {clean(self.line, 200)}"] if self.line else []
        lines += [f"  cause     {self.cause}", f"  mend      {self.mend}"]
        lines += [f"  {clean(name):<9} {numbers}" for name, numbers in self.inputs.items()]
        lines += [f"  gives     {self.output}"] if self.output else []
        lines += [f"  note      {clean(self.note, 400)}"] if self.note else []
        return "\n".join(lines)

    __repr__ = __str__

    def draw(self, **options: Any) -> Any:
        """The picture of the tape around the operation, which is red in it; options as of `ag.draw`."""
        from autograd_core.graph import draw
        from autograd_core.graph.names import Names

        if self.root is None:
            raise ValueError("autopsy: there is no tape to draw")
        if self.node in nodes_under(self.root) and "around" not in options and "depth" not in options:
            options["around"] = (self.node, 4)
        if "names" not in options:
            frame = sys._getframe(1)
            options["names"] = Names({**frame.f_globals, **frame.f_locals})
        graph = draw(self.root, bad=self.node, says=self._says(), **options)
        graph.note = f"✗ {graph.says}"
        return graph

    def _says(self) -> str:
        what = {"forward": "value", "backward": "gradient"}.get(self.phase, "")
        return f"first bad {what}: {self.cause}" if what else ""


def autopsy(t: Any) -> Autopsy:
    """The first non-finite or exploding value under a tensor: operation, module path, line, statistics, cause."""
    with unseen(), np.errstate(all="ignore"):
        if isinstance(t, Tensor):
            return _examined(t)
        if not hasattr(t, "keep_inputs"):
            raise TypeError(f"autopsy: takes a tensor or a compiled function, not {type(t).__name__}")
        if t.rerun is not None:
            return _of_compiled(t.rerun)
        if not t.keep_inputs:
            return Autopsy(
                note="this compiled function does not keep its inputs: ag.compile(f, keep_inputs=True)"
            )
        last = (
            "its last call was captured, not replayed: call it once more"
            if t.variants
            else "it was not called"
        )
        return Autopsy(note=f"there is no replay of this compiled function to examine, {last}")


def _examined(t: Tensor) -> Autopsy:
    if t.node is None:
        return _without_graph(t.array)
    if is_program(t.node) and not is_bad(t.array):
        found = Autopsy(note=f"{describe(t.array)} is finite, but a compiled function made it: {KEEP_INPUTS}")
    else:
        found = Examination(t).find()
    found.root = t.node
    return found


def _without_graph(array: Any) -> Autopsy:
    if not is_bad(array):
        return Autopsy(note=f"{describe(array)} has no graph; it holds {Numbers.of(array)}")
    cause, mend = "it was not computed on a tape", "make the autopsy of the loss, before its backward()"
    return Autopsy("tensor", "forward", cause=cause, mend=mend, inputs={"holds": Numbers.of(array)})


def _of_compiled(rerun: Any) -> Autopsy:
    """Of the last call of a compiled function, run again as it stands from the inputs that were kept."""
    how = "the compiled step was run again, uncompiled, from its kept inputs"
    try:
        tensors, ends = rerun.tensors()
    except Exception as error:  # an autopsy does not fail on what it examines
        return Autopsy(note=f"{how}, and raised {type(error).__name__}: {error}")
    found = Autopsy(note="the function returned no tensor, and nothing with a gradient was computed in it")
    for tensor in [*tensors, *ends]:
        found = _examined(tensor)
        if found:
            break
    other = rerun.differs(tensors)
    if other:
        how += f"; {other}"
    found.note = f"{how}. {found.note}".strip()
    return found


class Examination:
    """The autopsy of one tensor."""

    def __init__(self, t: Tensor) -> None:
        assert t.node is not None
        self.root = t.node
        self.known = Known({self.root: t.array})
        self.swept = "the backward pass was not"
        self.steps: list[Derivative] = []  # of the backward pass

    def find(self) -> Autopsy:
        """What makes the result bad, else a gradient, else any value; then the same for numbers that explode."""
        for bad in (is_bad, explodes):
            found = (
                self._forward(first_bad(self.known, self.root, bad)) or self._back(bad) or self._harmless(bad)
            )
            if found and bad is explodes:
                found.note = f"finite, but exploding: a square of it overflows. {found.note}".strip()
            if found:
                return found
        looked = sum(node in self.known.values for node in self.known.nodes)
        return Autopsy(
            note=f"nothing bad: {looked:,} of {len(self.known.nodes):,} values were looked at, {self.swept}"
        )

    # Forward ---------------------------------------------------------------------------------------------------

    def _forward(self, node: Node | None) -> Autopsy | None:
        if node is None:
            return None
        value = self.known.values[node]
        if isinstance(node, Leaf):
            return self._leaf(node, value)
        if is_program(node):
            return Autopsy(
                "a compiled function", "forward", str(node.module_path), "",
                "its result is bad, and its program keeps no tape to look at",
                KEEP_INPUTS,
                {}, Numbers.of(value), node=node,
            )  # fmt: skip
        assert node.primitive is not None
        inputs = self.known.named(node)
        cause, mend = cause_of(node.primitive.name, inputs, value)
        found = self._found(node, "forward", cause, mend)
        found.output = Numbers.of(value)
        unknown = [parent for parent in node.inputs if parent is not None and parent not in self.known.values]
        if unknown:
            names = ", ".join(dict.fromkeys(map(_name, unknown)))
            how = "; ".join(dict.fromkeys(map(_keeping, unknown)))
            found.note = f"the values of {names} before it were not kept: {how}"
        return found

    def _leaf(self, leaf: Leaf, value: Any) -> Autopsy:
        name = getattr(leaf.owner(), "name", None) or "an input"
        reader = next(node for node in self.known.nodes if leaf in node.inputs or node is self.root)
        return Autopsy(
            str(name), "forward", "", _line(reader),
            f"it is {'bad' if is_bad(value) else 'too large'} before anything is computed with it",
            "if it is a parameter, an earlier update did that (a smaller learning rate, nn.clip_grad_norm, and "
            f"the autopsy of that step); if it is data, {'look for missing values' if is_bad(value) else 'scale it'}",
            {}, Numbers.of(value), node=leaf,
        )  # fmt: skip

    def _harmless(self, bad: Any) -> Autopsy | None:
        """What neither the result nor a leaf's gradient shows: something behind it takes no notice, a mask say."""
        step = next((each for each in self.steps if each.bad_shares), None)
        found = self._forward(first_anywhere(self.known, bad)) or self._derivative(step, bad)
        if found is not None:
            found.note = f"neither the result nor a leaf's gradient shows it. {found.note}".strip()
        return found

    def _found(self, node: Node, phase: str, cause: str, mend: str) -> Autopsy:
        assert node.primitive is not None
        found = Autopsy(
            node.primitive.name, phase, str(node.module_path), _line(node), cause, mend, node=node
        )
        known = self.known.named(node)
        found.inputs = {name: Numbers.of(value) for name, value in known.items() if value is not None}
        return found

    # Backward --------------------------------------------------------------------------------------------------

    def _back(self, bad: Any) -> Autopsy | None:
        """The first operation, backwards, whose derivative is bad while its cotangent is not."""
        swept = self._sweep(bad)
        if swept is None:
            return None
        self.swept, self.steps = "and so was the backward pass", swept[0]
        found = first_bad_back(*swept, bad)
        return self._sum(found) if isinstance(found, Node) else self._derivative(found, bad)

    def _derivative(self, found: Derivative | None, bad: Any) -> Autopsy | None:
        if found is None:
            return None
        node, (parent, share) = found.node, (found.bad_shares or [])[0]
        # Bad where the forward pass was bad already, though the result does not show it: that came first.
        if (before := first_bad(self.known, node, bad)) is not None:
            return self._forward(before)
        assert node.primitive is not None
        value = self.known.values.get(node)
        cause, mend = cause_back(node.primitive.name, self.known.named(node), value, found.cotangent, share)
        told = self._found(node, "backward", cause, mend)
        told.inputs["cotangent"] = Numbers.of(found.cotangent)
        told.output = Numbers.of(share)
        name = node.primitive.names(len(node.inputs))[list(node.inputs).index(parent)]
        missing = sum(each not in self.known.values for each in self.known.nodes)
        unknown = f"{missing:,} value{'s are' if missing > 1 else ' is'} not known: ag.observe() keeps all"
        known = "the values of the forward pass are finite"
        told.note = f"the derivative for {name}; {unknown if missing else known}"
        return told

    def _sum(self, node: Node) -> Autopsy:
        """Bad without a bad share: the start, or a sum of cotangents."""
        name = node.primitive.name if node.primitive else getattr(node.owner(), "name", None) or "an input"  # pyright: ignore[reportAttributeAccessIssue]
        if node is self.root:
            cause, mend = (
                "the cotangent that backward() was given is not finite",
                "look at what it was computed from",
            )
        else:
            cause = "its result is used several times, and the sum of the cotangents is bad, each of them being finite"
            mend = "smaller steps, a normalisation before, nn.clip_grad_norm for what follows, or float64"
        line = _line(node)
        return Autopsy(str(name), "backward", str(node.module_path), line, cause, mend, node=node)

    def _sweep(self, bad: Any) -> tuple[list[Derivative], dict[Node, Any]] | None:
        """The steps of the backward pass and the leaves' gradients: as observed, or by a sweep made for this."""
        seen = seen_of(self.root)
        if seen is not None and seen.cotangent is not None:
            return observed(self.known, bad), leaf_gradients(self.known)
        if any(node.saved is None and node.primitive is not None for node in self.known.nodes):
            self.swept = (
                "the backward pass was not, for backward() has freed the tape (retain_graph=True keeps it)"
            )
            return None
        recorder = Recorder(bad)
        try:
            with recorder:
                ones = np.ones(self.root.shape, self.root.dtype)
                return recorder.steps, sweep([(self.root, ones)], retain_graph=True)
        except Exception as error:  # an autopsy does not fail on what it examines
            self.swept = f"the backward pass raised {type(error).__name__}: {error}"
            return None


def _line(node: Node) -> str:
    seen = seen_of(node)
    return shown_line(seen.line) if seen is not None and seen.line[0] else ""


def _name(node: Node) -> str:
    if is_program(node):
        return "a compiled function"
    return node.primitive.name if node.primitive is not None else "a leaf"


def _keeping(node: Node) -> str:
    """How the values that a node was computed from can be had."""
    if is_program(node):
        return "a compiled function keeps its inputs with ag.compile(f, keep_inputs=True)"
    if node.primitive is not None and node.primitive.name == "checkpoint":
        return "without ag.checkpoint the autopsy sees what is inside"
    return "ag.observe() keeps them all"
