"""What the README shows is true."""

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_examples_in_the_readme_give_what_they_show():
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    results = doctest.testfile(str(ROOT / "README.md"), module_relative=False, optionflags=options)
    assert results.attempted > 8
    assert results.failed == 0


def test_ten_line_program_learns_and_draws(tmp_path, monkeypatch):
    program = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    assert len([line for line in program.splitlines() if line]) == 10
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(program.replace("graph.svg", "graph.dot"), names)  # DOT text needs no program beside Python
    assert names["loss"].item() < 0.05
    assert "mse" in (tmp_path / "graph.dot").read_text() or "mean" in (tmp_path / "graph.dot").read_text()
