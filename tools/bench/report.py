"""What the records say: lines on the terminal, JSON, Markdown tables, and the charts beside them."""

import importlib.metadata
import json
import platform
from dataclasses import asdict
from pathlib import Path

from . import chart
from .measure import OURS, Record, Spread, cores, library

PEERS = ("PyTorch", "JAX")
PACKAGES = ("numpy", "numba", "torch", "jax")


def text(record: Record) -> str:
    """The record for the terminal."""
    lines = [f"{record.part} · {record.name} · {cores(record.threads)}"]
    if record.equal:
        lines.append(f"    equal to within {max(record.equal.values()):.0e}: {', '.join(record.equal)}")
    lines += [_line(record, name, values) for name, values in record.values.items()]
    lines += [f"    {name:30} {_value(values, record.unit)}" for name, values in record.references.items()]
    if record.limits:
        rates = ", ".join(f"{name} {_rate(name, rate)}" for name, rate in record.limits.items())
        lines.append(f"    limits in this run: {rates}")
    return "\n".join(lines + [f"    {note}" for note in record.notes])


def _line(record: Record, name: str, values: list[float]) -> str:
    shown = f"    {name:30} {_value(values, record.unit):>20}"
    share = _share(record, name)
    if share:
        shown += f"  {share:>26}"
    ratio = record.ratio(name) if library(name) != OURS else None
    return shown + (f"  {_ratio(ratio)}" if ratio else "")


def write(records: list[Record], folder: Path) -> list[Path]:
    """For each part a Markdown table and a chart; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for part in dict.fromkeys(record.part for record in records):
        chosen = [record for record in records if record.part == part]
        table, picture = folder / f"{part}.md", folder / f"{part}.png"
        drawn = chart.draw(chosen, picture)
        table.write_text(_markdown(part, chosen, drawn))
        written += [table, *([picture] if drawn else [])]
    return written


def write_json(records: list[Record], path: Path) -> None:
    """Every turn of every engine, one record a line."""
    lines = ",\n".join(json.dumps(asdict(record), ensure_ascii=False) for record in records)
    path.write_text(f'{{"machine": {json.dumps(_machine())},\n"records": [\n{lines}\n]}}\n')


def _markdown(part: str, records: list[Record], drawn: bool) -> str:
    """One table for each number of threads, then what there is to say about single cases."""
    machine = ", ".join(f"{name} {value}" for name, value in _machine().items())
    lines = [f"# {part.capitalize()}", "", f"{machine}.", ""]
    lines += [
        "Each figure is the median over the turns, ± half the range between the quartiles; a library's figure is "
        f"that of its best setting. A ratio is the best peer's figure over {OURS}'s, turn by turn, with its quartiles: "
        "above 1 this project needs less.",
        "",
    ]
    lines += [f"![best peer ÷ {OURS}]({part}.png)", ""] if drawn else []
    for threads in sorted({record.threads for record in records}):
        lines += [
            f"## {cores(threads).capitalize()}",
            "",
            *_table([r for r in records if r.threads == threads]),
            "",
        ]
    notes = [f"- {r.name}, {cores(r.threads)}: {note}" for r in records for note in r.notes]
    return "\n".join(lines + (["## Notes", "", *notes, ""] if notes else [])) + "\n"


def _table(records: list[Record]) -> list[str]:
    bounded = any(record.limits for record in records)
    heads = ["case", OURS, *PEERS, "ratio"]
    heads += ["rate", "share of the limit", "best peer's share"] if bounded else []
    rows = []
    for record in records:
        cells = [record.name, *(_best(record, name) for name in (OURS, *PEERS))]
        peer = record.best_peer()
        ratio = record.ratio(peer)
        cells.append(_ratio(ratio) if ratio else "")
        cells += _shares(record, record.best(OURS), peer) if bounded else []
        rows.append(f"| {' | '.join([*cells, _others(record)])} |")
    heads.append("beside them")
    return [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *rows]


def _best(record: Record, of: str) -> str:
    """A library's figure in its best setting, which is named."""
    name = record.best(of)
    if name is None:
        return ""
    setting = name.removeprefix(of).strip()
    return _value(record.values[name], record.unit) + (f" {setting}" if setting else "")


def _others(record: Record) -> str:
    """The settings that are not their library's best, and what else was measured."""
    best = {record.best(name) for name in (OURS, *PEERS)}
    others = {name: values for name, values in record.values.items() if name not in best} | record.references
    shown = [
        f"{name} {_value(values, record.unit)}" for name, values in others.items() if library(name) != OURS
    ]
    own = (name for name in others if library(name) == OURS)
    return ", ".join([*(_own_other(record, name) for name in own), *shown])


def _own_other(record: Record, name: str) -> str:
    """Our other setting, with its own ratio to the best peer."""
    ratio = record.ratio(record.best_peer(), name)
    setting = name if name != OURS else f"{name} eager"
    return f"{setting} {_value(record.values[name], record.unit)}" + (f" = {_ratio(ratio)}" if ratio else "")


def _shares(record: Record, ours: str | None, peer: str | None) -> list[str]:
    """Our rate, our share of the limit that bounds the case, and the best peer's."""
    mine, theirs = (_share(record, name).rpartition(" = ") if name else ("", "", "") for name in (ours, peer))
    return [mine[0], mine[2], theirs[2]]


def _share(record: Record, name: str) -> str:
    """An engine's rate and its share of the limit: "81.2 GFLOP/s = 83% of sgemm"."""
    limit = record.limit()
    if limit is None:
        return ""
    kind, least = limit
    seconds = Spread.of(record.values[name]).median
    work = record.flops if kind == "sgemm" else record.traffic
    return f"{_rate(kind, work / seconds)} = {least / seconds:.0%} of {kind}"


def _rate(kind: str, rate: float) -> str:
    return f"{rate / 1e9:.1f} {'GFLOP/s' if kind == 'sgemm' else 'GB/s'}"


def _value(values: list[float], unit: str) -> str:
    spread = Spread.of(values)
    half = (spread.high - spread.low) / 2 / spread.median if spread.median else 0.0
    return f"{_amount(spread.median, unit)} ±{half:.0%}"


def _amount(value: float, unit: str) -> str:
    if unit == "B":
        return f"{_digits(value / 1e6)} MB"
    for scale, name in ((1.0, "s"), (1e-3, "ms")):
        if value >= scale:
            return f"{_digits(value / scale)} {name}"
    return f"{_digits(value / 1e-6)} µs"


def _digits(value: float) -> str:
    """Three digits, or all of a larger whole part."""
    return f"{value:#.3g}".rstrip(".") if value < 1000 else f"{value:.0f}"


def _ratio(ratio: Spread) -> str:
    return f"{ratio.median:.2f}× ({ratio.low:.2f}–{ratio.high:.2f})"


def _machine() -> dict[str, str]:
    """What the figures depend on: the processor's name and the versions."""
    found = {"processor": _processor(), "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())
