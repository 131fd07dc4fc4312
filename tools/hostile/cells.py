"""The cells of the matrix: subject x kind of operand x mode, and how each is judged."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import autograd_core as ag
from tools.hostile.judge import DOORS, Done, Verdict, arrays_of, attempt, compare, error_verdict, tolerance
from tools.hostile.kinds import KINDS, Kind
from tools.hostile.subjects import (
    EVERY,
    Place,
    Subject,
    as_tensors,
    at,
    chosen_samples,
    places_of,
    replaced,
    share,
    subjects,
)

Args = tuple[Any, ...]


@cache
def by_name() -> dict[str, Subject]:
    """Every subject."""
    return {subject.name: subject for subject in subjects()}


@dataclass(frozen=True)
class Cell:
    """One call: part/subject/sample/kind/place."""

    part: str
    subject: str
    sample: int
    kind: str
    place: str  # "all" or the number of the one operand that is of this kind

    @property
    def name(self) -> str:
        """What `--cell` takes."""
        return f"{self.part}/{self.subject}/{self.sample}/{self.kind}/{self.place}"

    @staticmethod
    def parse(name: str) -> "Cell":
        """The cell of this name."""
        part, subject, sample, kind, place = name.split("/")
        return Cell(part, subject, int(sample), kind, place)


def cells(quick: bool) -> Iterator[Cell]:
    """All cells of the eager, gradient, method and compiled parts."""
    for subject in by_name().values():
        method = subject.family == "method"
        if not subject.samples:
            yield Cell("method" if method else "eager", subject.name, 0, "C", "all")
            continue
        for number in chosen_samples(subject, 1 if quick else 4):
            for cell in _cells_of(subject, number, quick):
                yield Cell("method" if method else "eager", subject.name, number, *cell)
        if subject.deterministic:
            for number in [
                i for i in chosen_samples(subject, 1 if quick else 3) if i in subject.differentiable
            ]:
                for kind, place in _cells_of(subject, number, quick):
                    if KINDS[kind].group != "giant":
                        part = "method-gradient" if method else "gradient"
                        yield Cell(part, subject.name, number, kind, place)
            if subject.family == "function" and places_of(subject.samples[0].args):
                for kind in (
                    ("C",) if quick else ("C", "fortran", "negative-stride", "0-d", "nan", "float32", "int8")
                ):
                    yield Cell("compiled", subject.name, chosen_samples(subject, 1)[0], kind, "all")


def _cells_of(subject: Subject, number: int, quick: bool) -> Iterator[tuple[str, str]]:
    args = subject.samples[number].args
    places = places_of(args)
    for kind in KINDS.values():
        if quick and not kind.quick:
            continue
        if internal(subject) and (
            kind.group in ("value", "size") or (kind.group == "dtype" and kind.name[:5] != "float")
        ):
            continue  # rules call it with floats only, and what it makes of NaN is seen in the gradients
        if kind.name == "tall" and "conv" in subject.name:
            continue  # a kernel of half a million rows: its plan takes minutes
        if kind.group == "giant" and (number != chosen_samples(subject, 1)[0] or reads_all(subject, number)):
            continue
        if not any(kind.make(at(args, p)) is not None for p in places):
            if kind.name == "C":
                yield kind.name, "all"
            continue
        yield kind.name, "all"
        if len(places) > 1 and not quick and kind.group != "giant":
            for i, p in enumerate(places):
                if kind.make(at(args, p)) is not None:
                    yield kind.name, str(i)


@cache
def _offered() -> set[str]:
    return {name.split(" ")[-1].rsplit(".", 1)[-1] for name in by_name() if not name.startswith("op.")} | {
        "setitem"
    }


def internal(subject: Subject) -> bool:
    """Whether users cannot call it: a derivative's own operation."""
    return subject.family == "operation" and subject.name.removeprefix("op.") not in _offered()


# NumPy itself would count and compare for hours over these 2³⁶ elements: time, not memory, is their limit.
SLOW_ON_GIANTS = ("nonzero", "unique", "contains", "iter", "tolist", "mask", "sorted", "einsum")


def reads_all(subject: Subject, number: int) -> bool:
    """Whether the result is smaller than the operands, so that a giant costs time and no memory."""
    if subject.reads_all is None:
        sample = subject.samples[number]
        done = attempt(subject.call, as_tensors(sample.args), sample.params)
        most = max((at(sample.args, p).size for p in places_of(sample.args)), default=0)
        made = max((np.size(a) for a in arrays_of(done.value)), default=0)
        slow = any(word in subject.name for word in SLOW_ON_GIANTS)
        subject.reads_all = done.error is not None or made < most or slow
    return bool(subject.reads_all)


def judge(cell: Cell) -> Verdict:
    """Run one cell. The process may not survive it."""
    subject = by_name()[cell.subject]
    if not subject.samples:
        return Verdict(
            "bad", "no call is known for it: add one to tools/hostile/examples.py or tests/samples.py"
        )
    sample, kind = subject.samples[cell.sample], KINDS[cell.kind]
    places = places_of(sample.args)
    wanted = places if cell.place == "all" else [places[int(cell.place)]]
    changed = {p: made for p in wanted if (made := kind.make(at(sample.args, p))) is not None}
    args = replaced(sample.args, changed)
    if cell.part in ("gradient", "method-gradient"):
        return _gradient(subject, cell, args, kind, changed)
    if cell.part == "compiled":
        return _compiled(subject, cell, args)
    verdicts = [_eager(subject, cell, args, kind, form) for form in subject.forms]
    return next((v for v in verdicts if v.status == "bad"), verdicts[0])


def single(args: Args) -> bool:
    """Whether an operand has only float32's digits."""
    return any(at(args, p).dtype in (np.float32, np.float16) for p in places_of(args, "fiub"))


def _plain(args: Args) -> Args:
    return replaced(args, {p: np.array(at(args, p), order="C", subok=False) for p in places_of(args, "fiub")})


def _native(args: Args) -> Args:
    """Plain copies in native byte order."""
    return replaced(
        args, {p: a.astype(a.dtype.newbyteorder("=")) for p in places_of(args, "fiub") for a in [at(args, p)]}
    )


def _run(subject: Subject, args: Args, params: dict[str, Any], form: str) -> Done:
    if form == "array":
        return attempt(subject.call, args, params)
    made = attempt(as_tensors, [args], {})
    if made.error is not None:
        return made
    return attempt(subject.call, made.value, params)


def _eager(subject: Subject, cell: Cell, args: Args, kind: Kind, form: str) -> Verdict:
    params = subject.samples[cell.sample].params
    before = [np.array(at(args, p)) for p in places_of(args)] if kind.group != "giant" else []
    done = _run(subject, args, params, form)
    if kind.group != "giant":
        for p, was in zip(places_of(args), before, strict=True):
            if was.tobytes() != np.array(at(args, p)).tobytes():
                return Verdict("bad", f"{form}: the input at {p} has changed")
    if done.error is not None:
        titles = subject.titles if form == "array" else (*subject.titles, *DOORS)
        if kind.group == "giant" and cell.part == "method" and isinstance(done.error, MemoryError):
            titles = (*titles, "Unable to allocate")  # copy, pickle and the like are Python's, not operations
        verdict = error_verdict(done.error, titles)
        return verdict if verdict.status != "bad" else Verdict("bad", f"{form}: {verdict.detail}")
    if kind.group == "giant" or not subject.deterministic:
        return Verdict("equal")
    return _against_reference(subject, cell, args, kind, form, done)


def _against_reference(
    subject: Subject, cell: Cell, args: Args, kind: Kind, form: str, done: Done
) -> Verdict:
    params = subject.samples[cell.sample].params
    plain = _native(_plain(args))
    reference = None if kind.group == "layout" else subject.reference_of(cell.sample)
    limit, dtypes = tolerance(subject.name, single(args)), True
    if not places_of(args):
        dtypes = False  # the default float dtype is not NumPy's
    if kind.group == "dtype" and not is_numpys(reference):
        dtypes = False  # a slow twin computes in whatever it is given: give it the same numbers in float64
        limit = max(limit, tolerance(subject.name, True))
        plain = in_float64(subject.samples[cell.sample].args, plain)
    if reference is None:
        want = _run(subject, plain, params, "tensor")
    else:
        want = attempt(reference, plain, params)
        if want.error is None and any(np.asarray(a).dtype == np.float16 for a in arrays_of(want.value)):
            want = attempt(
                reference, _lifted(plain), params
            )  # float16, which the engine lacks, counts as float32
    if want.error is not None:
        if not isinstance(reference, np.ufunc):
            return Verdict("equal")
        return Verdict(
            "bad", f"{form}: a result, where the reference raises {type(want.error).__name__}: {want.error}"
        )
    found = compare(done.value, want.value, limit, dtypes)
    return Verdict("equal") if found is None else Verdict("bad", f"{form}: {found}")


def is_numpys(reference: Any) -> bool:
    """Whether the reference is a function of NumPy or SciPy, whose dtypes count; a slow twin's do not."""
    return isinstance(reference, np.ufunc) or getattr(reference, "__module__", "").startswith(
        ("numpy", "scipy")
    )


def in_float64(sample: Args, args: Args) -> Args:
    """The numbers in float64 wherever the sample has floats: indices and conditions stay what they are."""
    return replaced(
        args, {p: at(args, p).astype(np.float64) for p in places_of(sample, "f") if p in places_of(args)}
    )


def _lifted(args: Args) -> Args:
    small = [p for p in places_of(args, "iub") if at(args, p).itemsize == 1]
    return replaced(args, {p: at(args, p).astype(np.float32) for p in small})


# Gradients ---------------------------------------------------------------------------------------------------


def weights_of(shape: tuple[int, ...], number: int) -> np.ndarray:
    """A cotangent for the output of this number."""
    count = math.prod(shape)
    return (0.25 + np.arange(count) * 0.37 % 1.0 + 0.1 * number).reshape(shape)


def gradients(subject: Subject, args: Args, params: dict[str, Any]) -> tuple[dict[Place, Any], bool]:
    """The gradient of the weighted sum of all float results, for each float operand; whether it all is float32."""
    leaves = {}
    made = []
    for p in places_of(args, EVERY):
        a = at(args, p)
        t = ag.asarray(a, copy=share(a))
        if a.dtype.kind == "f":
            t.requires_grad = True
            leaves[p] = t
        made.append((p, t))
    out = subject.call(*replaced(args, dict(made)), **params)
    total = None
    results = out if isinstance(out, list | tuple) else [out]
    if not any(isinstance(o, ag.Tensor) and o.dtype.kind == "f" for o in results):
        return {}, False  # integers have no gradient
    for i, o in enumerate(results):
        if isinstance(o, ag.Tensor) and o.dtype.kind == "f" and o.requires_grad:
            part = (o * ag.asarray(weights_of(o.shape, i).astype(o.dtype))).sum()
            total = part if total is None else total + part
    if total is not None:
        total.backward()
    narrow = total is not None and total.dtype == np.float32
    return {p: None if t.grad is None else t.grad.numpy() for p, t in leaves.items()}, narrow


def _gradient(subject: Subject, cell: Cell, args: Args, kind: Kind, changed: dict[Place, Any]) -> Verdict:
    params = subject.samples[cell.sample].params
    done = attempt(gradients, [subject, args, params], {})
    if done.error is not None:
        return error_verdict(done.error, (*subject.titles, *DOORS, "backward"))
    found, narrow = done.value
    for p, g in found.items():
        if g is not None and (g.shape != at(args, p).shape or g.dtype != at(args, p).dtype.newbyteorder("=")):
            return Verdict(
                "bad", f"the gradient is {g.dtype}{g.shape} for {at(args, p).dtype}{at(args, p).shape}"
            )
    if kind.name == "C" and (wrong := _against_differences(subject, args, params)) is not None:
        return Verdict("bad", wrong)
    plain = _native(_plain(args))
    if kind.group == "value":
        return _local(subject, cell, found, changed)
    if not found:
        return Verdict("equal")
    wide = in_float64(subject.samples[cell.sample].args, plain)
    want = attempt(gradients, [subject, wide, params], {})
    if want.error is not None:
        return Verdict("bad", f"a gradient, where a plain float64 copy raises {want.error}")
    # Statistics of 8- and 16-bit integers are float32, whatever the other operands are.
    narrow = narrow or ("normalise" in subject.name and cell.kind.startswith(("int", "uint", "bool")))
    limit = tolerance(subject.name, narrow or single(args), gradient=True)
    for p, g in found.items():
        other = want.value[0].get(p)
        if (g is None) != (other is None):
            return Verdict(
                "bad",
                f"the gradient of operand {p} is {'lost' if g is None else 'there, but not for a plain copy'}",
            )
        if g is not None and (wrong := compare(g, other, limit, dtypes=False)) is not None:
            return Verdict("bad", f"operand {p}: {wrong}")
    return Verdict("equal")


def _against_differences(subject: Subject, args: Args, params: dict[str, Any]) -> str | None:
    """Whether the gradient is that of the function: a gradient that is lost for every layout is seen here."""
    from tools import certificate

    if any(not at(args, p).size for p in places_of(args, "f")):
        return None
    error = certificate.order_error(subject.call, args, params, 1)
    return None if error < certificate.LIMITS["vjp"] else f"off by {error:.2g} from differences of the values"


def _local(subject: Subject, cell: Cell, found: dict[Place, Any], changed: dict[Place, Any]) -> Verdict:
    """A NaN, an infinity or a zero in an elementwise operation must not change the gradient anywhere else."""
    sample = subject.samples[cell.sample]
    primitive = subject.call
    args = sample.args
    same_shape = len({at(args, p).shape for p in places_of(args)}) == 1
    if getattr(primitive, "kind", "") != "elementwise" or not same_shape:
        return Verdict("equal")
    plain, _ = gradients(subject, args, sample.params)
    touched = np.zeros(at(args, places_of(args)[0]).shape, bool)
    for p, a in changed.items():
        with np.errstate(all="ignore"):
            touched |= ~((a == at(args, p)) & (np.signbit(a) == np.signbit(at(args, p))))
    for p, g in found.items():
        if g is None or plain[p] is None:
            continue
        difference = compare(g[~touched], plain[p][~touched], 1e-12, dtypes=False)
        if difference is not None:
            return Verdict("bad", f"operand {p}, an element beside the special one: {difference}")
    return Verdict("equal")


# Compiled ----------------------------------------------------------------------------------------------------


def _compiled(subject: Subject, cell: Cell, args: Args) -> Verdict:
    params = subject.samples[cell.sample].params
    want = _run(subject, args, params, "tensor")
    places = places_of(args, "fiub")

    def function(*values: Any) -> Any:
        return subject.call(*replaced(args, dict(zip(places, values, strict=True))), **params)

    step = ag.compile(function)
    for turn in range(3):
        tensors = [ag.asarray(at(args, p), copy=True) for p in places]
        done = attempt(step, tensors, {})
        if done.error is not None:
            return error_verdict(done.error, (*subject.titles, *DOORS, "compile", "compiled"))
        if want.error is not None:
            return Verdict("bad", f"call {turn + 1}: a result, where the plain function raises {want.error}")
        found = compare(done.value, want.value, tolerance(subject.name, single(args)))
        if found is not None:
            return Verdict("bad", f"call {turn + 1}: {found}")
    return Verdict("equal")
