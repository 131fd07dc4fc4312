"""The 27 nonlinear problems of NIST's Statistical Reference Datasets, and a Levenberg–Marquardt solver to try them on.

Source: National Institute of Standards and Technology, StRD, Nonlinear Regression; see data/nist/README.md. The files
hold the data, two starting points and certified parameters of 11 digits; the models are written here from the formulas
in the files' heads, with the engine's operations.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import autograd_core as ag

FOLDER = Path(__file__).parent / "data" / "nist"


@dataclass(frozen=True)
class Problem:
    """One file: `starts` (2, p), certified parameters and their deviations (p,), data `y` (n,) and `x` (columns, n)."""

    name: str
    starts: np.ndarray
    certified: np.ndarray
    deviations: np.ndarray
    residual_sum_of_squares: float
    residual_deviation: float
    y: np.ndarray
    x: np.ndarray


def read(name: str) -> Problem:
    """The problem in data/nist/<name>.dat. Raises ValueError when the file does not hold what its head promises."""
    lines = (FOLDER / f"{name}.dat").read_text().splitlines()
    head = "\n".join(lines[:60])
    first, last = (int(n) for n in re.search(r"Data\s+\(lines (\d+) to\s+(\d+)\)", head).groups())
    parameters = [
        [float(number) for number in match.group(1).split()]
        for match in re.finditer(r"^\s*b\d+ =((?:\s+[-+.\dEe]+){4})\s*$", head, re.MULTILINE)
    ]
    columns = np.array([[float(number) for number in line.split()] for line in lines[first - 1 : last]]).T
    promised = int(re.search(r"Starting [Vv]alues\s+\(lines \d+ to\s+(\d+)\)", head).group(1)) - 40
    observations = re.search(r"Number of Observations:\s+(\d+)", head)
    if len(parameters) != promised or (observations and columns.shape[1] != int(observations.group(1))):
        raise ValueError(f"{name}.dat: {len(parameters)} parameters, {columns.shape[1]} observations")
    table = np.array(parameters).T
    return Problem(
        name, table[:2], table[2], table[3],
        float(re.search(r"Residual Sum of Squares:\s+(\S+)", head).group(1)),
        float(re.search(r"Residual Standard Deviation:\s+(\S+)", head).group(1)),
        columns[0], columns[1:],
    )  # fmt: skip


# Models: parameters b (a tensor of p elements), predictor x, to predicted y ----------------------------------------


def _gauss(b: Any, x: Any) -> Any:
    return (
        b[0] * ag.exp(-b[1] * x)
        + b[2] * ag.exp(-((x - b[3]) ** 2) / b[4] ** 2)
        + b[5] * ag.exp(-((x - b[6]) ** 2) / b[7] ** 2)
    )


def _lanczos(b: Any, x: Any) -> Any:
    return b[0] * ag.exp(-b[1] * x) + b[2] * ag.exp(-b[3] * x) + b[4] * ag.exp(-b[5] * x)


def _cubics(b: Any, x: Any) -> Any:
    return (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


def _wave(x: Any, period: Any, cosine: Any, sine: Any) -> Any:
    angle = 2 * np.pi * x / period
    return cosine * ag.cos(angle) + sine * ag.sin(angle)


MODELS: dict[str, Callable[[Any, Any], Any]] = {
    "Bennett5": lambda b, x: b[0] * (b[1] + x) ** (-1 / b[2]),
    "BoxBOD": lambda b, x: b[0] * (1 - ag.exp(-b[1] * x)),
    "Chwirut1": lambda b, x: ag.exp(-b[0] * x) / (b[1] + b[2] * x),
    "Chwirut2": lambda b, x: ag.exp(-b[0] * x) / (b[1] + b[2] * x),
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "ENSO": lambda b, x: b[0] + _wave(x, 12, b[1], b[2]) + _wave(x, b[3], b[4], b[5]) + _wave(x, b[6], b[7], b[8]),
    "Eckerle4": lambda b, x: (b[0] / b[1]) * ag.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Gauss1": _gauss,
    "Gauss2": _gauss,
    "Gauss3": _gauss,
    "Hahn1": _cubics,
    "Kirby2": lambda b, x: (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2),
    "Lanczos1": _lanczos,
    "Lanczos2": _lanczos,
    "Lanczos3": _lanczos,
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH10": lambda b, x: b[0] * ag.exp(b[1] / (x + b[2])),
    "MGH17": lambda b, x: b[0] + b[1] * ag.exp(-x * b[3]) + b[2] * ag.exp(-x * b[4]),
    "Misra1a": lambda b, x: b[0] * (1 - ag.exp(-b[1] * x)),
    "Misra1b": lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
    "Misra1c": lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda b, x: b[0] * b[1] * x * (1 + b[1] * x) ** -1,
    "Nelson": lambda b, x: b[0] - b[1] * x[0] * ag.exp(-b[2] * x[1]),
    "Rat42": lambda b, x: b[0] / (1 + ag.exp(b[1] - b[2] * x)),
    "Rat43": lambda b, x: b[0] / (1 + ag.exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Roszman1": lambda b, x: b[0] - b[1] * x - ag.atan(b[2] / (x - b[3])) / np.pi,
    "Thurber": _cubics,
}  # fmt: skip


def residuals(problem: Problem) -> Callable[[Any], Any]:
    """The function from parameters to predicted minus observed. Nelson's model is one for log y, of two predictors."""
    model = MODELS[problem.name]
    x = problem.x if len(problem.x) > 1 else problem.x[0]
    y = np.log(problem.y) if problem.name == "Nelson" else problem.y
    return lambda b: model(b, x) - y


# The solver ------------------------------------------------------------------------------------------------------


@dataclass
class Solution:
    """Where the solver stopped, the sum of squares there, and how many Jacobians it took."""

    parameters: np.ndarray
    sum_of_squares: float
    jacobians: int


def levenberg_marquardt(
    f: Callable[[Any], Any], start: Sequence[float], factor: float = 10.0, iterations: int = 3000
) -> Solution:
    """Minimise Σ f(b)² from `start`, with the engine's Jacobian.

    The trust region of Moré 1978, "The Levenberg–Marquardt algorithm: implementation and theory" (MINPACK's lmder): the
    variables are scaled by the largest column norms of the Jacobian met so far, and the damping is what makes the
    scaled step as long as the region is wide. `factor` is the first width over the scaled length of `start`
    (MINPACK's 100 sends MGH10 astray from its far start; with 10 all 54 starts converge). Ends with `_polished`.
    """
    jacobian = ag.jacobian(f)
    b = np.array(start, np.float64)
    r = f(ag.tensor(b)).numpy()
    cost, scale, width, count = float(r @ r), None, None, 0
    for _ in range(iterations):
        j = jacobian(b).numpy()
        count += 1
        if not np.isfinite(j).all():
            break
        norms = np.sqrt(np.sum(j * j, axis=0))
        if scale is None:
            scale = np.where(norms == 0, 1, norms)
            width = factor * (np.linalg.norm(scale * b) or 1.0)
        scale = np.maximum(scale, norms)
        u, s, vt = np.linalg.svd(j / scale, full_matrices=False)
        g = u.T @ r
        while True:
            step, damping = _damped_step(g, s, vt, width)
            move = step / scale
            trial = b + move
            trial_r = f(ag.tensor(trial)).numpy()
            trial_cost = float(trial_r @ trial_r)
            if not np.isfinite(trial_cost):
                trial_cost = np.inf
            linear = np.sum((j @ move) ** 2)
            predicted = linear + 2 * damping * np.sum(step**2)
            gain = (cost - trial_cost) / predicted if predicted > 0 else 0.0
            length = np.linalg.norm(step)
            if gain < 0.25:
                width = max(0.25 * min(width, length), 0.0)
            elif gain > 0.75 or damping == 0:
                width = 2 * length
            if gain > 1e-4 or length <= 1e-15 * np.linalg.norm(scale * b):
                break
        if trial_cost >= cost:
            break
        b, r, cost = trial, trial_r, trial_cost
    return _polished(f, jacobian, b, count)


def _polished(f: Callable[[Any], Any], jacobian: Callable[[Any], Any], b: np.ndarray, count: int) -> Solution:
    """Gauss–Newton steps for as long as each is shorter than the last.

    Near the minimum the sum of squares is flat to half of the digits: it cannot tell good steps from bad ones there,
    but the length of the steps can.
    """
    before = np.inf
    for _ in range(50):
        r, j = f(ag.tensor(b)).numpy(), jacobian(b).numpy()
        count += 1
        if not np.isfinite(j).all():
            break
        scale = np.sqrt(np.sum(j * j, axis=0))
        scale[scale == 0] = 1
        step = np.linalg.lstsq(j / scale, -r)[0]
        length = np.linalg.norm(step)
        if not length < before:
            break
        b, before = b + step / scale, length
    r = f(ag.tensor(b)).numpy()
    return Solution(b, float(r @ r), count)


def _damped_step(g: np.ndarray, s: np.ndarray, vt: np.ndarray, width: float) -> tuple[np.ndarray, float]:
    """The step -V s/(s² + λ) g with the least λ ≥ 0 for which it is no longer than `width` (to 10 %), and λ."""
    length = lambda damping: np.linalg.norm(s * g / (s * s + damping))
    if s[-1] > np.finfo(float).eps * s[0] and length(0.0) <= 1.1 * width:
        return -vt.T @ (g / s), 0.0
    low, high = 0.0, np.linalg.norm(s * g) / max(width, np.finfo(float).tiny)
    damping = max(1e-3 * high, np.finfo(float).tiny)
    for _ in range(60):
        size = length(damping)
        if abs(size - width) <= 0.1 * width:
            break
        low, high = (damping, high) if size > width else (low, damping)
        slope = -np.sum((s * g) ** 2 / (s * s + damping) ** 3) / size
        damping -= (size - width) / slope * size / width
        if not low < damping < high:
            damping = np.sqrt(max(low, 1e-12 * high) * high)
    return -vt.T @ (s * g / (s * s + damping)), damping


def deviations(problem: Problem, solution: Solution) -> np.ndarray:
    """The parameters' standard deviations, from the engine's Jacobian at the solution."""
    j = ag.jacobian(residuals(problem))(solution.parameters).numpy()
    scale = np.sqrt(np.sum(j * j, axis=0))
    _, s, vt = np.linalg.svd(j / scale, full_matrices=False)
    variance = solution.sum_of_squares / (j.shape[0] - j.shape[1])
    return np.sqrt(variance * np.sum((vt / s[:, None]) ** 2, axis=0)) / scale


def agreeing_digits(found: np.ndarray, certified: np.ndarray) -> float:
    """The least number of agreeing decimal digits over all parameters, at most the 11 that are certified."""
    error = np.max(np.abs(found - certified) / np.abs(certified))
    return min(11.0, -float(np.log10(max(error, 1e-99)))) if np.isfinite(error) else -np.inf


def solve(name: str) -> tuple[Problem, list[Solution]]:
    """The problem and its solutions from both starts. Overflow far from the solution is part of the search."""
    problem = read(name)
    with np.errstate(all="ignore"):
        return problem, [levenberg_marquardt(residuals(problem), start) for start in problem.starts]


def report(problem: Problem, solutions: Sequence[Solution]) -> str:
    """A line of the table: digits of the parameters, of the deviations, and Jacobians, from each start."""
    cells = []
    for solution in solutions:
        digits = agreeing_digits(solution.parameters, problem.certified)
        spread = agreeing_digits(deviations(problem, solution), problem.deviations)
        cells.append(f"{digits:5.1f} {spread:5.1f} {solution.jacobians:5d}")
    return f"{problem.name:10s} {'   '.join(cells)}"


TITLE = f"{'':10s} {'start 1':17s}   start 2\n{'':10s}   b    dev  Jacobians  b    dev  Jacobians"

if __name__ == "__main__":
    print(TITLE)
    for each in MODELS:
        print(report(*solve(each)))
