"""Run the README's program and keep its picture as docs/graph.svg.

python tools/readme_picture.py
"""

import contextlib
import re
import tempfile
from pathlib import Path

import autograd_core as ag

ROOT = Path(__file__).parents[1]


def main() -> None:
    """The program runs in an empty folder; what it writes is copied."""
    program = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    ag.random.seed(0)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec(program, {})
        picture = Path("graph.svg").read_text()
    target = ROOT / "docs" / "graph.svg"
    target.parent.mkdir(exist_ok=True)
    target.write_text(picture)
    print(f"wrote {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
