"""The gallery: its pictures are what the script draws, and in a browser nothing in them overlaps, is cut or unnamed."""

import re
import shutil
import xml.etree.ElementTree as ET

import pytest

import autograd_core as ag
from tools import gallery

SVG = "{http://www.w3.org/2000/svg}"
NAMES = [name for name, *_ in gallery.GALLERY]

# Of each node its shape's box, its texts and theirs; of each frame its title's.
MEASURE = """
const box = (e) => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
return [...document.querySelectorAll('g.node')].map((g) => ({
  shape: box(g.querySelector('polygon, path, ellipse')),
  texts: [...g.querySelectorAll('text')].map((t) => [t.textContent.trim(), ...box(t)]),
}));
"""


def texts(svg):
    return [text.text for text in ET.fromstring(svg.encode()).iter(f"{SVG}text")]


def test_the_page_has_every_picture_that_the_issue_names():
    page = gallery.page()
    assert page == (gallery.PICTURES.parent / "gallery.md").read_text()
    shown = re.findall(r"!\[.+\]\(gallery/(.+)\.svg\)", page)
    assert shown == NAMES
    assert {"sine", "block", "mnist", "mnist-paired", "mnist-collapsed", "deep", "autopsy"} <= set(shown)
    assert {path.stem for path in gallery.PICTURES.glob("*.svg")} == set(shown), "none is left over"
    assert "line " in page
    assert "√ at 0: its derivative" in page


@pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz here")
@pytest.mark.parametrize(("name", "draw"), [(name, draw) for name, draw, *_ in gallery.GALLERY], ids=NAMES)
def test_a_picture_is_what_the_script_draws(name, draw):
    ag.random.seed(0)
    kept = (gallery.PICTURES / f"{name}.svg").read_text()
    assert texts(draw().svg()) == texts(kept), "run tools/gallery.py, and look at what it draws"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_overlaps_is_cut_or_unnamed(name, browser):
    browser.get((gallery.PICTURES / f"{name}.svg").as_uri())
    nodes = browser.execute_script(MEASURE)
    assert len(nodes) > 5
    for node in nodes:
        left, top, right, bottom = node["shape"]
        title = node["texts"][0][0]
        assert title not in ("", "parameter", "buffer", "input", "operation"), "a box without a name"
        for words, x0, y0, x1, y1 in node["texts"]:
            assert x0 >= left - 1, f"{words} is cut"
            assert x1 <= right + 1, f"{words} is cut"
            assert y0 >= top - 3, f"{words} is cut"
            assert y1 <= bottom + 3, f"{words} is cut"
    shapes = [node["shape"] for node in nodes]
    for i, (l0, t0, r0, b0) in enumerate(shapes):
        for l1, t1, r1, b1 in shapes[:i]:
            apart = r0 <= l1 + 1 or r1 <= l0 + 1 or b0 <= t1 + 1 or b1 <= t0 + 1
            assert apart, "two boxes overlap"
