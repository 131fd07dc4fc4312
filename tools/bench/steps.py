"""Training steps: the losses compared step by step, then the times."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from .engines import Engine, Step, load, selected
from .measure import Case, Plan, Record, alternate
from .proof import agreeing, built
from .workloads import WORKLOADS, Workload

COMPARED = 5  # steps, so that four updates are in the last loss

# Losses in float32, of engines that sum in different orders.
TOLERANCE = 3e-4


def cases() -> Iterator[Case]:
    """The workloads as cases."""
    for name, make in WORKLOADS.items():
        yield Case("steps", "training step", name, lambda plan, make=make: [measured(make(), plan)])


def measured(workload: Workload, plan: Plan, part: str = "steps", group: str = "training step") -> Record:
    """The workload's step in every engine."""
    record = Record(part, group, workload.name, plan.threads)
    engines, record.notes = load(
        selected(workload.has_images, plan.torch_compile and not workload.unrolls, own_compiled=True)
    )
    if plan.torch_compile and workload.unrolls:
        record.notes.append("PyTorch compiled is left out: it would trace every layer by itself")
    steady = workload.steady or workload
    made = built(engines, partial(_started, workload=steady), record, plan)
    losses = {name: [np.array(first)] for name, (_, first) in made.items()}
    equal = agreeing(losses, TOLERANCE, record)
    if equal:
        shown = " ".join(f"{loss:.6f}" for loss in losses[equal[0]][0])
        record.notes.append(f"the first losses of {', '.join(equal)}: {shown}")
    if plan.timed:
        steps = {name: made[name][0] for name in equal}
        if steady is not workload:
            again = {name: engines[name] for name in equal}
            steps = built(again, lambda engine: engine.step(workload), record, plan)
        plan.say(f"{workload.name}: turns")
        record.values = alternate(steps, plan.turns)
    for engine in engines.values():
        engine.forget()
    return record


def _started(engine: Engine, workload: Workload) -> tuple[Step, list[float]]:
    """The step, and its first losses."""
    step = engine.step(workload)
    return step, [step() for _ in range(COMPARED)]
