"""The derivative certificate: operation x {vjp, jvp, second and third order, float32, float64, compiled, boundary}.

    python -m tools.certificate            writes docs/derivatives.md from what the tests found
    python -m tools.certificate --only exp shows some rows and writes nothing

First derivatives are compared with central differences of float64 numbers, extrapolated twice (Richardson), along
random directions; higher ones with such differences of the derivatives below them. Forward mode is compared with
reverse mode, float32 with float64, compiled with not compiled.
"""

import argparse
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "tests")) if path not in sys.path]

import samples as s  # noqa: E402 - the tests' table of samples

import autograd_core as ag  # noqa: E402
from autograd_core import errors as ag_errors  # noqa: E402
from autograd_core.ops.define import registry  # noqa: E402
from tools.hostile import kinks  # noqa: E402
from tools.hostile.cells import by_name  # noqa: E402
from tools.hostile.report import Progress  # noqa: E402
from tools.hostile.subjects import Subject, at, places_of, replaced  # noqa: E402

Array = Any
Call = Callable[..., Any]
COLUMNS = ("vjp", "jvp", "second", "third", "float32", "float64", "compiled", "boundary")
PAGE = ROOT / "docs" / "derivatives.md"
# The largest error of each column, relative to the derivative along the direction (or 1).
LIMITS = {
    "vjp": 1e-7,
    "jvp": 1e-9,
    "second": 1e-6,
    "third": 1e-4,
    "float32": 5e-3,
    "float64": 1e-7,
    "compiled": 1e-9,
}


# Scalar functions of float arrays ------------------------------------------------------------------------------


def _direction(shapes: Sequence[tuple[int, ...]], key: int) -> list[Array]:
    draw = np.random.default_rng(1000 + key)
    return [np.asarray(draw.uniform(-1, 1, shape)) for shape in shapes]


def scalar(call: Call, args: tuple[Any, ...], params: dict[str, Any]) -> tuple[Call, list[Array]]:
    """<w, f(x)> as a function of the call's float arrays, and these arrays."""
    places = places_of(args, "f")

    def function(*values: Any) -> Any:
        out = call(*replaced(args, dict(zip(places, values, strict=True))), **params)
        total: Any = 0.0
        for i, o in enumerate(out if isinstance(out, list | tuple) else [out]):
            if o.dtype.kind == "f":
                weights = _direction([o.shape], i)[0].astype(o.dtype)
                total = total + (o * weights).sum()
        return total

    return function, [at(args, p) for p in places]


def _every(n: int) -> tuple[int, ...]:
    return tuple(range(n))


def descend(function: Call, arrays: list[Array], order: int) -> Call:
    """<v, grad f> as a function again, `order` times: its differences are derivatives of the next order."""
    for k in range(order):
        directions = _direction([np.shape(a) for a in arrays], 10 + k)

        def lower(*values: Any, below: Call = function, directions: list[Array] = directions) -> Any:
            gradients = ag.grad(below, argnums=_every(len(arrays)))(*values)
            return sum((g * d.astype(g.dtype)).sum() for g, d in zip(gradients, directions, strict=True))

        function = lower
    return function


def differences(function: Call, arrays: list[Array], directions: list[Array], step: float = 2e-3) -> float:
    """The derivative along the directions by central differences with three steps, extrapolated twice."""

    def central(h: float) -> float:
        ahead, behind = (
            function(*(ag.tensor(a + sign * h * d) for a, d in zip(arrays, directions, strict=True))).item()
            for sign in (1, -1)
        )
        return (ahead - behind) / (2 * h)

    coarse, middle, fine = central(step), central(step / 2), central(step / 4)
    once, again = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
    return (16 * again - once) / 15


def off(got: float, want: float) -> float:
    """The error relative to the larger of |want| and 1."""
    return abs(got - want) / max(1.0, abs(want)) if math.isfinite(got) else math.inf


def along(function: Call, arrays: list[Array], directions: list[Array]) -> float:
    """The engine's own derivative along the directions, in reverse mode."""
    gradients = ag.grad(function, argnums=_every(len(arrays)))(*map(ag.tensor, arrays))
    return float(sum((g.numpy() * d).sum() for g, d in zip(gradients, directions, strict=True)))


# The cells -------------------------------------------------------------------------------------------------------


def order_error(call: Call, args: tuple[Any, ...], params: dict[str, Any], order: int) -> float:
    """How far the derivative of this order is from differences of the one below."""
    function, arrays = scalar(call, args, params)
    below = descend(function, arrays, order - 1)
    worst = 0.0
    for turn in range(2):
        directions = _direction([np.shape(a) for a in arrays], 100 + turn)
        worst = max(worst, off(along(below, arrays, directions), differences(below, arrays, directions)))
    return worst


def first_order(call: Call, args: tuple[Any, ...]) -> float:
    """How far the first derivative is from differences."""
    return order_error(call, args, {}, 1)


def forward_error(call: Call, args: tuple[Any, ...], params: dict[str, Any]) -> float:
    """Forward mode against reverse mode along the same direction."""
    function, arrays = scalar(call, args, params)
    directions = _direction([np.shape(a) for a in arrays], 7)
    _, tangent = ag.jvp(function, tuple(map(ag.tensor, arrays)), tuple(map(ag.tensor, directions)))
    return off(tangent.item(), along(function, arrays, directions))


def _gradients(function: Call, arrays: list[Array], dtype: str) -> list[Array]:
    given = [ag.tensor(a.astype(dtype)) for a in arrays]
    return [g.numpy() for g in ag.grad(function, argnums=_every(len(arrays)))(*given)]


def narrow_error(call: Call, args: tuple[Any, ...], params: dict[str, Any]) -> float:
    """Gradients in float32 against those in float64; the dtype must stay float32."""
    function, arrays = scalar(call, args, params)
    narrow, wide = _gradients(function, arrays, "float32"), _gradients(function, arrays, "float64")
    if any(g.dtype != np.float32 for g in narrow):
        return math.inf
    return max(
        float(np.abs(a - b).max(initial=0) / max(1.0, np.abs(b).max(initial=0)))
        for a, b in zip(narrow, wide, strict=True)
    )


def wide_error(call: Call, args: tuple[Any, ...], params: dict[str, Any]) -> float:
    """The largest error in one coordinate of a float64 gradient."""
    function, arrays = scalar(call, args, params)
    gradients = _gradients(function, arrays, "float64")
    worst = 0.0
    for i, (a, g) in enumerate(zip(arrays, gradients, strict=True)):
        for place in list(np.ndindex(np.shape(a)))[:3]:
            unit = [np.zeros(np.shape(other)) for other in arrays]
            unit[i][place] = 1.0
            worst = max(worst, off(float(g[place]), differences(function, arrays, unit)))
    return worst if all(g.dtype == np.float64 for g in gradients) else math.inf


def compiled_error(call: Call, args: tuple[Any, ...], params: dict[str, Any]) -> float:
    """The compiled gradient, replayed, against the plain one."""
    function, arrays = scalar(call, args, params)
    step = ag.compile(lambda *values: ag.grad(function, argnums=_every(len(arrays)))(*values))
    plain = _gradients(function, arrays, "float64")
    worst = 0.0
    for _ in range(3):
        replayed = step(*map(ag.tensor, arrays))
        worst = max(
            worst,
            *(
                float(np.abs(a.numpy() - b).max(initial=0) / max(1.0, np.abs(b).max(initial=0)))
                for a, b in zip(replayed, plain, strict=True)
            ),
        )
    return worst


@cache
def kinks_of() -> dict[str, list[str]]:
    """The kinks at which each primitive stands, found on the tape of their functions."""
    found: dict[str, list[str]] = {}
    for name, kink in kinks.KINKS.items():
        with np.errstate(all="ignore"):
            out = kink.f(ag.tensor(np.array(kink.x), requires_grad=True))
        todo, seen = [out.node], set()
        while todo:
            node = todo.pop()
            if node is not None and node not in seen:
                seen.add(node)
                todo += node.inputs
        for primitive in {node.primitive.name for node in seen if node.primitive is not None}:
            found.setdefault(primitive, []).append(name)
    return found


def _boundary(name: str) -> str:
    points = kinks_of().get(name, [])
    cells = [f"kinks/{p}/float64/{way}".replace(" / ", " ÷ ") for p in points for way in ("backward", "grad")]
    with np.errstate(all="ignore"):
        wrong = [cell for cell in cells if kinks.judge(cell).status == "bad"]
    return "–" if not points else f"NO: {wrong[0]}" if wrong else f"yes ({len(points)})"


def _size(error: float) -> str:
    return "yes (exact)" if error == 0 else f"yes (1e{math.ceil(math.log10(error))})"


def _test(column: str, run: Callable[[], float]) -> str:
    try:
        with np.errstate(all="ignore"):
            error = run()
    except ag_errors.TracedValueError:
        return "refused by name"  # the shape of the result hangs on the numbers
    except Exception as problem:
        return f"NO: {type(problem).__name__}"
    return _size(error) if error <= LIMITS[column] else f"NO: off by {error:.1g}"


# Rows --------------------------------------------------------------------------------------------------------------


def subjects() -> dict[str, Subject]:
    """What has a row: every primitive, and every public function that is none."""
    known = by_name()
    rows = {name: known[f"op.{name}"] for name in sorted(registry) if f"op.{name}" in known}
    for name, subject in known.items():
        if subject.family == "function" and name.removeprefix("ag.") not in rows and subject.differentiable:
            rows[name] = subject
    return rows


def without(name: str) -> str | None:
    """Why a primitive has no derivative; None where it has one."""
    primitive = registry.get(name)
    if primitive is None:
        return None
    if primitive.piecewise_constant:
        return "zero everywhere by nature"
    if primitive.rules and any(
        sample.differentiable and sample.float_positions for sample in s.SAMPLES[name]
    ):
        return None
    sample = next((each for each in s.SAMPLES[name] if each.float_positions), None)
    if sample is None:
        return "no derivative by nature"
    inputs = [
        ag.tensor(a, requires_grad=a.dtype.kind == "f") if isinstance(a, np.ndarray) else a
        for a in sample.args
    ]
    out = primitive(*inputs, **sample.params)
    if not out.requires_grad:
        return "no derivative by nature"
    try:
        out.backward(np.ones(out.shape))
    except TypeError:
        return "refused by name"
    return "refused at second order"


def row(name: str, subject: Subject) -> list[str]:
    """The row's cells, each from a test that ran now."""
    reason = without(name)
    if reason is not None:
        return [reason] + [""] * (len(COLUMNS) - 2) + [_boundary(name)]
    numbers = [
        i
        for i in subject.differentiable
        if all(at(subject.samples[i].args, p).size for p in places_of(subject.samples[i].args, "f"))
    ]
    size = lambda i: sum(at(subject.samples[i].args, p).size for p in places_of(subject.samples[i].args, "f"))
    sample = subject.samples[max(numbers, key=size)]
    call, args, params = subject.call, sample.args, sample.params
    narrow = params if name != "astype" else params | {"dtype": "float32"}
    return [
        _test("vjp", lambda: order_error(call, args, params, 1)),
        _test("jvp", lambda: forward_error(call, args, params)),
        _test("second", lambda: order_error(call, args, params, 2)),
        _test("third", lambda: order_error(call, args, params, 3)),
        _test("float32", lambda: narrow_error(call, args, params if name != "astype" else narrow)),
        _test("float64", lambda: wide_error(call, args, params)),
        _test("compiled", lambda: compiled_error(call, args, params)),
        _boundary(name.removeprefix("ag.").removeprefix("linalg.")),
    ]


HEAD = """# Derivatives

Each cell is a test that ran; `python -m tools.certificate` writes this page.

- **vjp, second, third**: reverse mode along random directions against differences of float64 numbers, extrapolated
  twice; a higher order against differences of the order below. **jvp**: forward mode against reverse mode.
- **float32**: the gradient in float32 against float64's. **float64**: single coordinates of the gradient.
  **compiled**: the replayed gradient against the plain one.
- **boundary**: points where the derivative does not exist or is one-sided; in brackets how many have a stated rule
  that was checked (`tools/hostile/kinks.py`).
- In brackets: the largest relative error, rounded up to a power of ten. Names with `ag.` are functions made of others.

"""


def page(rows: dict[str, list[str]]) -> str:
    """The whole page."""
    lines = ["| operation | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    lines += [f"| `{name}` | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    tested = sum(cell.startswith(("yes", "NO")) for cells in rows.values() for cell in cells)
    wrong = sum(cell.startswith("NO") for cells in rows.values() for cell in cells)
    return (
        HEAD + f"{len(rows)} operations, {tested} cells tested, {wrong} wrong.\n\n" + "\n".join(lines) + "\n"
    )


def main() -> int:
    """Run all rows, or those asked for; 1 when a cell is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.certificate", description=__doc__)
    parser.add_argument(
        "--only", default="", help="show only rows whose name contains this, and write nothing"
    )
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = {name: subject for name, subject in subjects().items() if asked.only in name}
    progress = Progress("certificate", len(chosen))
    rows = {}
    for name, subject in chosen.items():
        rows[name] = row(name, subject)
        progress.step(any(cell.startswith("NO") for cell in rows[name]))
    progress.close()
    if asked.only:
        print(page(rows)[len(HEAD) :])
    else:
        PAGE.write_text(page(rows))
    wrong = [
        f"{name}: {column}: {cell}"
        for name, cells in rows.items()
        for column, cell in zip(COLUMNS, cells, strict=True)
        if cell.startswith("NO")
    ]
    print("\n".join(wrong) or f"certificate: {len(rows)} operations, all right")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
