"""Writes the counts into docs/reliability.md, between its markers; the rest of the page is written by hand."""

import re
from pathlib import Path

from tools.hostile import report
from tools.hostile.driver import Result

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- hostile: begin -->", "<!-- hostile: end -->"


def block(results: list[Result]) -> str:
    """The table in Markdown."""
    lines = ["| part | cells | equal | named errors | bad |", "|---|---:|---:|---:|---:|"]
    counts = report.counts(results)
    for part in report.PARTS:
        if part in counts:
            c = counts[part]
            title = report.TITLES.get(part, part)
            lines.append(
                f"| {title} | {sum(c.values()):,} | {c['equal']:,} | {c['error']:,} | {c['bad']:,} |"
            )
    return "\n".join(lines)


def write(results: list[Result]) -> None:
    """Replace what stands between the markers."""
    text = PAGE.read_text()
    made = re.sub(
        f"{re.escape(BEGIN)}.*{re.escape(END)}",
        lambda _: f"{BEGIN}\n{block(results)}\n{END}",
        text,
        flags=re.DOTALL,
    )
    PAGE.write_text(made)
