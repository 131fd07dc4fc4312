"""A profile as Chrome trace events: for ui.perfetto.dev and chrome://tracing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autograd_core.graph.groups import segments
from autograd_core.graph.labels import array_type
from autograd_core.wording import clean

if TYPE_CHECKING:
    from autograd_core.profiler.profile import Event, Profile

_PASSES = {False: "forward", True: "backward"}
_Frame = tuple[str, str, int, int, dict[str, Any]]  # name, category, begin and end in nanoseconds, arguments


def trace(profile: Profile) -> str:
    """JSON with complete events, modules around their operations.

    Format: "Trace Event Format", Google, 2016; times in microseconds.
    """
    frames: list[_Frame] = []
    _frames(_nested(profile.events), frames)
    frames.sort(key=lambda frame: (frame[2], -frame[3]))
    pid = os.getpid()
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": pid, "tid": 1, "ts": 0, "args": {"name": "autograd-core"}},
        {"ph": "M", "name": "thread_name", "pid": pid, "tid": 1, "ts": 0, "args": {"name": "profile"}},
    ]
    events += [
        {
            "ph": "X", "name": name, "cat": kind, "pid": pid, "tid": 1, "ts": begin / 1e3,
            "dur": (end - begin) / 1e3, "args": args,
        }
        for name, kind, begin, end, args in frames
    ]  # fmt: skip
    about = {
        "seconds": profile.seconds,
        "seconds between operations": profile.unexplained,
        "seconds of looking on, not counted": profile.own_seconds,
        "events left out": profile.missed,
        "compiled functions, rows run one at a time": dict(profile.replays),
    }
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}, ensure_ascii=True)


_Tree = tuple["Event", list[Any]]  # an event and the trees of those inside it


def _nested(events: Sequence[Event]) -> list[_Tree]:
    """Events within events. They are noted when they end: those inside one come before it."""
    waiting: dict[int, list[_Tree]] = {}
    for event in events:
        inner = waiting.get(event.level + 1, [])
        at = len(inner)
        while at and inner[at - 1][0].start >= event.start:
            at -= 1
        waiting.setdefault(event.level, []).append((event, inner[at:]))
        waiting[event.level + 1] = []
    return waiting.get(0, [])


def _frames(trees: list[_Tree], frames: list[_Frame]) -> None:
    """Events with their modules around them: a module's frame lasts as long as what follows is in it too."""
    stack: list[tuple[str, int, int]] = []  # the open modules: name, begin, place in `frames`
    end = 0
    backward = False

    def close(depth: int) -> None:
        for name, begin, place in stack[depth:]:
            frames[place] = (name, "module", begin, end, {"pass": _PASSES[backward]})
        del stack[depth:]

    for event, inner in trees:
        begin = _ns(event.start)
        names = _titles(event)
        if event.backward != backward:
            close(0)
        backward = event.backward
        common = 0
        while common < min(len(stack), len(names)) and stack[common][0] == names[common]:
            common += 1
        close(common)
        for depth in range(common, len(names)):
            stack.append((names[depth], begin, len(frames)))
            frames.append((names[depth], "module", begin, begin, {}))
        end = max(_ns(event.end), begin)
        frames.append((clean(event.name), event.kind, begin, end, _arguments(event)))
        if inner:
            _frames(inner, frames)
    close(0)


def _titles(event: Event) -> list[str]:
    names, kinds = segments(event.path)
    return [clean(f"{name} ({kind})" if kind and kind != name else name) for name, kind in zip(names, kinds)]


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _arguments(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {"pass": _PASSES[event.backward]}
    if event.path:
        found["module"] = clean(str(event.path), 200)
    if event.line[0]:
        found["line"] = f"{event.line[0]}:{event.line[1]}"
    if event.shapes:
        found["arrays"] = [array_type(*each) for each in event.shapes]
        found["bytes read"], found["bytes written"] = event.read, event.written
    return found
