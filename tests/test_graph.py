"""The picture: what stands in it, that it never grows too large, and that nothing from the user breaks it."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from autograd_core.graph import DrawingError, Graph, GraphvizMissing, LayoutTimeout, draw
from autograd_core.parameter import Parameter
from autograd_core.primitive import Primitive
from autograd_core.tape import state
from autograd_core.tensor import Tensor
from autograd_core.wording import clean

SVG = "{http://www.w3.org/2000/svg}"


@contextmanager
def module(name: str) -> Iterator[None]:
    before = state.module_path
    state.module_path = f"{before}.{name}" if before else name
    try:
        yield
    finally:
        state.module_path = before


def parameter(name: str, *shape: int) -> Parameter:
    p = Parameter(np.full(shape, 0.1, np.float32))
    p.name = name
    return p


def variable(*shape: int) -> Tensor:
    x = Tensor(np.full(shape, 0.5, np.float32))
    x.requires_grad = True
    return x


class Model:
    """stem, `depth` residual blocks, head; keeps its parameters alive, as a module does."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.kept: list[Parameter] = []

    def dense(self, x: Tensor, name: str, outputs: int) -> Tensor:
        with module(name):
            path = state.module_path
            w, b = parameter(f"{path}.weight", x.shape[1], outputs), parameter(f"{path}.bias", outputs)
            self.kept += [w, b]
            return x @ w + b

    def __call__(self, x: Tensor) -> Tensor:
        with module("Net"):
            h = self.dense(x, "stem", 16).relu()
            with module("blocks"):
                for k in range(self.depth):
                    with module(str(k)):
                        h = h + self.dense(self.dense(h, "conv1", 16).relu(), "conv2", 16)
            h = self.dense(h, "head", 10)
        return (h * h).mean()


def data(*shape: int) -> Tensor:
    return Tensor(np.full(shape, 0.5, np.float32))


def titles(graph: Graph) -> list[str]:
    return [box.title for box in graph.picture.boxes]


def frames(graph: Graph) -> list[str]:
    return [cluster.title for cluster in graph.picture.clusters]


def svg_groups(graph: Graph, kind: str) -> list[list[str]]:
    """The texts of every node or cluster of the SVG."""
    root = ET.fromstring(graph.svg())
    found = (g for g in root.iter(f"{SVG}g") if g.get("class") == kind)
    return [["".join(t.itertext()).replace("\xa0", " ").strip() for t in g.iter(f"{SVG}text")] for g in found]


needs_dot = pytest.mark.skipif("not __import__('shutil').which('dot')", reason="no Graphviz here")


# What is shown


def test_operations_shapes_parameters_and_modules_are_there() -> None:
    model = Model(1)
    graph = draw(model(data(4, 8)))
    assert titles(graph).count("matmul") == 4
    assert {"Net.stem.weight", "Net.blocks.0.conv1.bias", "data", "relu", "mean"} <= set(titles(graph))
    assert frames(graph) == ["Net", "stem", "blocks", "blocks.0", "conv1", "conv2", "head"]
    first = graph.picture.boxes[0]
    assert (first.title, first.lines) == ("matmul", ["float32[4,16]"])
    assert [box.title for box in graph.picture.boxes if box.output] == ["mean"]
    assert graph.picture.caption == "13 operations · 8 parameters (858 values)"


@needs_dot
def test_svg_shows_every_box_and_frame() -> None:
    model = Model(1)
    graph = draw(model(data(4, 8)))
    nodes, clusters = svg_groups(graph, "node"), svg_groups(graph, "cluster")
    assert len(nodes) == len(graph.picture.boxes)
    assert all(node and node[0] for node in nodes), "a box without a name"
    assert ["Net.stem.weight", "float32[8,16]"] in nodes
    assert sorted(c[0] for c in clusters) == sorted(frames(graph))
    assert len(svg_groups(graph, "edge")) == len(graph.picture.edges)


def test_frames_are_nested_as_modules_are() -> None:
    model = Model(1)
    graph = draw(model(data(4, 8)))
    parents = {c.title: c.parent.title for c in graph.picture.clusters if c.parent}
    assert parents["conv1"] == "blocks.0"
    assert parents["blocks.0"] == "blocks"
    assert parents["Net"] == ""
    stem = next(c for c in graph.picture.clusters if c.title == "stem")
    assert {m.title for m in stem.members} == {"matmul", "add", "Net.stem.weight", "Net.stem.bias"}


def test_edges_follow_the_computation() -> None:
    x = variable(3)
    graph = draw((x.sin() * x.cos()).sum())
    drawn = {(titles(graph)[e.source], titles(graph)[e.target]) for e in graph.picture.edges}
    assert drawn == {
        ("input", "sin"), ("input", "cos"), ("sin", "multiply"), ("cos", "multiply"), ("multiply", "sum"),
    }  # fmt: skip


def test_static_parameters_and_constants() -> None:
    x = variable(3, 4)
    y = (x * 0.5).sum(axis=1, keepdims=True)[1:, 0]
    lines = {box.title: box.lines for box in draw(y).picture.boxes}
    assert lines["multiply"] == ["y = 0.5", "float32[3,4]"]
    assert lines["sum"] == ["axis = 1", "keepdims = True", "float32[3,1]"]
    assert lines["getitem"] == ["index = (1:, 0)", "float32[2]"]


def test_arrays_among_parameters_are_described_not_printed() -> None:
    x = variable(1000)
    lines = next(box.lines for box in draw(x[np.arange(500)]).picture.boxes if box.title == "getitem")
    assert "int64[500]" in lines[0]


def test_a_leaf_several_tensors_and_shared_values() -> None:
    x = variable(3)
    assert titles(draw(x)) == ["input"]
    h = x.exp()
    graph = draw([h.sum(), h.prod(), h.sum()])
    assert titles(graph).count("exp") == 1
    assert sum(box.output for box in graph.picture.boxes) >= 2


def test_a_leaf_whose_tensor_is_gone() -> None:
    y = variable(3).exp()
    assert titles(draw(y)) == ["exp", "input"]


def test_drawable_after_backward() -> None:
    model = Model(3)
    loss = model(data(4, 8))
    before = draw(loss)
    loss.backward()
    after = draw(loss)
    assert [t for t in titles(before) if t != "data"] == [t for t in titles(after) if t != "data"]
    assert frames(before) == frames(after)


def test_the_backward_pass_can_be_drawn() -> None:
    model = Model(9)
    loss = model(data(4, 8))
    loss.backward(create_graph=True)
    grad = model.kept[0].grad
    assert grad is not None
    graph = draw((grad * grad).sum())
    assert len(graph.picture.boxes) < 150
    model.kept.clear()


def test_user_primitives_and_class_names_on_the_path() -> None:
    class Path(str):
        kinds = ("ConvNet", "ResidualBlock")

    cube = Primitive(lambda x: x**3, name="cube <of> x").defvjp(lambda g, x: 3 * x * x * g)
    before = state.module_path
    state.module_path = Path("net.block")
    try:
        y = cube(variable(3))
    finally:
        state.module_path = before
    graph = draw(y)
    assert "cube <of> x" in titles(graph)
    assert [c.subtitle for c in graph.picture.clusters] == ["ConvNet"]
    assert any("block · ResidualBlock" in box.lines for box in graph.picture.boxes)  # no frame around one box


def test_a_list_of_modules_has_no_frame_when_the_path_says_so() -> None:
    class Path(str):
        kinds = ("Net", "", "Dense", "Dense")

    before = state.module_path
    state.module_path = Path("net.layers.0.1")
    try:
        y = variable(3).sin().cos()
    finally:
        state.module_path = before
    assert frames(draw(y)) == ["net", "layers.0", "0.1"]


# Collapsing


def test_nine_blocks_are_drawn_once() -> None:
    model = Model(9)
    graph = draw(model(data(4, 8)))
    assert frames(graph) == ["Net", "stem", "blocks", "blocks.0 … blocks.8 × 9", "conv1", "conv2", "head"]
    assert "Net.blocks.*.conv1.weight" in titles(graph)
    weight = next(b for b in graph.picture.boxes if b.title == "Net.blocks.*.conv1.weight")
    assert weight.lines == ["float32[16,16] × 9"]
    assert any(edge.handed_on for edge in graph.picture.edges)
    everything = draw(model(data(4, 8)), collapse=False)
    assert "blocks.8" in frames(everything)
    assert titles(everything).count("matmul") == 20


def test_class_names_title_the_repetition() -> None:
    class Path(str):
        kinds = ("ResidualBlock", "Dense")

    h = variable(4)
    before = state.module_path
    try:
        for k in range(9):
            state.module_path = Path(f"block{k}.dense")
            h = h.sin() * 2
            state.module_path = Path(f"block{k}")
            h = h + 1
    finally:
        state.module_path = before
    assert frames(draw(h)) == ["ResidualBlock × 9", "dense"]
    assert draw(h).picture.clusters[0].subtitle == "block0 … block8"


def test_blocks_that_differ_are_kept_apart() -> None:
    h = variable(4)
    for k in range(6):
        with module(f"b{k}"):
            h = h.sin() * h if k != 3 else h.cos() * h
    assert frames(draw(h)) == ["b0 … b2 × 3", "b3", "b4", "b5"]


def test_equal_operations_wired_differently_are_kept_apart() -> None:
    h = variable(4)
    for k in range(6):
        with module(f"b{k}"):
            a = h.sin()
            b = a.sin()
            h = a * b if k < 3 else h * b
    assert frames(draw(h)) == ["b0 … b2 × 3", "b3 … b5 × 3"]


def test_a_shared_weight_stands_outside_the_repetition() -> None:
    w = parameter("cell.W", 4, 4)
    h = variable(2, 4)
    for k in range(50):
        with module(f"step{k}"):
            h = (h @ w).tanh() * 0.5
    graph = draw(h)
    box = next(b for b in graph.picture.boxes if b.title == "cell.W")
    assert box.lines == ["float32[4,4]"]
    assert box in graph.picture.root.members


def test_patterns_without_modules() -> None:
    w = parameter("w", 4, 4)
    h = variable(2, 4)
    for _ in range(1000):
        h = h + (h @ w).tanh()
    graph = draw(h.sum())
    assert frames(graph) == ["matmul, tanh, add × 1,000"]
    assert len(graph.picture.boxes) == 6


def test_repetitions_nest() -> None:
    h = variable(3)
    for _ in range(40):
        for _ in range(30):
            h = h.sin()
        h = h.exp()
    graph = draw(h)
    assert frames(graph) == ["sin, exp × 40", "sin × 30"] or len(graph.picture.boxes) < 10


def test_small_graphs_are_left_alone() -> None:
    h = variable(3)
    for _ in range(5):
        h = h.sin().cos()
    assert frames(draw(h)) == []


def test_indices_that_run_through_a_repetition() -> None:
    xs = variable(100, 3)
    h = xs[0]
    for t in range(1, 100):
        h = (h + xs[t]).tanh()
    graph = draw(h)
    assert any("index = " in line and " … " in line for box in graph.picture.boxes for line in box.lines)


# Large graphs: bounded work, bounded pictures, no recursion


def chain(n: int) -> Tensor:
    h = variable(2)
    for _ in range(n // 2):
        h = h * 0.99 + 0.01
    return h


def irregular(n: int) -> Tensor:
    functions = [lambda h: h * 0.9, lambda h: h + 0.1, lambda h: h.sin(), lambda h: h.tanh()]
    h = variable(2)
    for k in np.random.default_rng(0).integers(0, 4, n):
        h = functions[k](h)
    return h


def diamonds(n: int) -> Tensor:
    h = variable(2)
    for _ in range(n):
        h = h.sin() * h.cos()
    return h


def random_dag(n: int) -> Tensor:
    rng = np.random.default_rng(0)
    made = [variable(2)]
    for k in range(n):
        a, b = (made[i] for i in rng.integers(max(0, len(made) - 60), len(made), 2))
        made.append(a * b if k % 3 else (a + b).sin())
    total = made[-1]
    for t in made[-40:-1]:
        total = total + t
    return total


def crossing(n: int) -> Tensor:
    """A chain in which every operation also reads one made at any time before."""
    rng = np.random.default_rng(0)
    made = [variable(2)]
    for k in rng.integers(0, 4, n):
        other = made[rng.integers(0, len(made))]
        made.append((made[-1] + other, made[-1] - other, made[-1] * other * 0.1, other.tanh() * made[-1])[k])
    return made[-1]


def everything_read_by_all(n: int) -> Tensor:
    made = [variable(2)]
    for k in range(n):
        with module(f"layer{k}"):
            total = made[0]
            for t in made[1:]:
                total = total + t
            made.append(total.tanh())
    return made[-1]


def many_parameters(n: int) -> Tensor:
    h = variable(2)
    for k in range(n):
        with module(f"{'ab'[k % 2]}{k}"):
            h = h * parameter(f"w{k}", 2)
            if k % 7 == k % 5:
                h = h.sin()
    return h


def deeply_nested(n: int) -> Tensor:
    h = variable(2)
    state.module_path = ".".join(f"m{k}" for k in range(n))
    try:
        return h.sin().cos()
    finally:
        state.module_path = ""


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (chain, 100_000), (irregular, 10_000), (diamonds, 60), (random_dag, 3000), (crossing, 300),
        (everything_read_by_all, 60), (many_parameters, 2000), (deeply_nested, 5000),
    ],
)  # fmt: skip
@pytest.mark.parametrize("collapse", [True, False])
def test_a_picture_has_an_upper_size(build: Any, size: int, collapse: bool) -> None:
    graph = draw(build(size), collapse=collapse)
    assert len(graph.picture.boxes) <= 400
    assert len(graph.picture.edges) <= 2 * 400 + 60
    assert all(box.title for box in graph.picture.boxes)
    assert graph.dot.startswith("digraph")


@needs_dot
@pytest.mark.parametrize(
    ("build", "size"),
    [
        (chain, 20_000), (irregular, 5000), (random_dag, 1000), (crossing, 90), (everything_read_by_all, 40),
        (deeply_nested, 500),
    ],
)  # fmt: skip
def test_what_is_left_of_a_large_graph_can_be_laid_out(build: Any, size: int) -> None:
    graph = draw(build(size))
    assert len(svg_groups(graph, "node")) == len(graph.picture.boxes)


def test_what_is_left_out_is_counted() -> None:
    graph = draw(irregular(10_000), collapse=False, max_nodes=100)
    omitted = [box for box in graph.picture.boxes if box.kind == "omitted"]
    assert len(omitted) == 1
    shown = sum(box.kind == "operation" for box in graph.picture.boxes)
    assert omitted[0].title == f"{10_000 - shown:,} operations left out"


def test_deep_modules_become_one_box() -> None:
    model = Model(2)
    graph = draw(model(data(4, 8)), depth=1)
    assert frames(graph) == ["Net"]
    box = next(box for box in graph.picture.boxes if box.title == "stem")
    assert box.kind == "module"
    assert box.lines == ["2 operations", "2 parameters (144 values)", "float32[4,16]"]
    assert "Net.stem.weight" not in titles(graph)
    assert "data" in titles(graph)


@pytest.mark.slow
def test_a_million_operations_do_not_overflow_the_stack() -> None:
    code = """
import sys
sys.path[:0] = PATHS
import numpy as np
from autograd_core.graph import draw
from autograd_core.tensor import Tensor
x = Tensor(np.ones(1, np.float32)); x.requires_grad = True
h = x
for _ in range(1_000_000):
    h = -h
g = draw(h)
print(len(g.picture.boxes), len(g.dot) < 10_000)
"""
    done = subprocess.run(
        [sys.executable, "-c", code.replace("PATHS", repr(sys.path))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["2", "True"], done.stderr


# Determinism, hostile names


def test_two_runs_give_the_same_text() -> None:
    model = Model(9)
    texts = set()
    for _ in range(3):
        loss = model(data(4, 8))
        texts.add(draw(loss).dot)
        model.kept.clear()
    assert len(texts) == 1


def test_the_text_does_not_depend_on_addresses_or_hashing() -> None:
    code = """
import sys
sys.path[:0] = PATHS
import numpy as np
from autograd_core.graph import draw
from autograd_core.primitive import Primitive
from autograd_core.tensor import Tensor
x = Tensor(np.ones(3, np.float32)); x.requires_grad = True
f = Primitive(lambda x, way=None: x, name="f")
print(draw([f(x.sin(), way=object()), f(x, way={"a", "b"}), (x * x).sum()]).dot)
"""
    command = [sys.executable, "-c", code.replace("PATHS", repr(sys.path))]
    runs = [
        subprocess.run(
            command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed, "PATH": ""}
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert "0x" not in runs[0].stdout


HOSTILE = [
    '<script>alert(1)</script>', 'quote " and \\" and \\', "back\\slash\\n\\N\\G", "new\nline\r\ttab",
    "a & b &amp; &#60;",
    "nul\0bell\x07esc\x1b[31m", "</B>]]><!-- -->", "{record|port}", "‮right to left", "\ud800 lone", "x" * 5000,
    "]; evil [label=1", "日本語 ünïcödé 🙂", "   ", "'; DROP", "<B>", "a\ufffeb\uffff",
]  # fmt: skip


@needs_dot
@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_from_the_user_are_text_and_nothing_else(name: str) -> None:
    p = parameter(name, 3)
    with module(name.replace(".", "")):
        y = Primitive(lambda x, way="": x * 1, name=name)(p * 2, way=name)
    graph = draw(y)
    nodes = svg_groups(graph, "node")
    assert len(nodes) == 3
    assert len(svg_groups(graph, "cluster")) == 1
    assert all(text for node in nodes for text in node)
    shown = clean(name) or "parameter"
    assert " ".join(shown.split()) in {" ".join(node[0].split()) for node in nodes}
    tags = {element.tag for element in ET.fromstring(graph.svg()).iter()}
    assert tags <= {SVG + t for t in "svg g title polygon path text ellipse polyline a".split()}
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", graph.dot)


@needs_dot
def test_tooltips_are_text_too() -> None:
    p = parameter('\\N "q" <b> & \\', 3)
    links = ET.fromstring(draw(p * 2).svg()).iter(f"{SVG}a")
    hints = {a.get("{http://www.w3.org/1999/xlink}title") for a in links}
    assert hints == {"multiply", p.name.replace("\\", "⧵")}


def test_long_names_are_shortened_in_the_middle() -> None:
    assert clean("a" * 100 + "end").endswith("end")
    assert len(clean("a" * 100)) == 48


# Output


@needs_dot
def test_suffix_says_what_is_written(tmp_path: Any) -> None:
    graph = draw(variable(3).sin())
    assert graph.save(tmp_path / "g.dot").read_text(encoding="utf-8") == graph.dot
    assert ET.parse(graph.save(str(tmp_path / "g.SVG"))).getroot().tag == f"{SVG}svg"
    assert graph.save(tmp_path / "g.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert graph.save(tmp_path / "g.pdf").read_bytes()[:5] == b"%PDF-"


@pytest.mark.parametrize("name", ["g.htm", "g.jpg", "g", "svg"])
def test_other_suffixes_say_which_work(name: str, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match=r"\.dot, \.svg, \.png, \.pdf"):
        draw(variable(3).sin()).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_without_graphviz_only_png_and_pdf_are_missing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    graph = draw(variable(3).sin())
    graph.save(tmp_path / "g.dot")
    for name in ("g.png", "g.pdf"):
        with pytest.raises(GraphvizMissing, match=r"apt install graphviz.*brew install graphviz.*conda"):
            graph.save(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["g.dot"]
    assert graph._repr_svg_() == graph.svg() == graph.save(tmp_path / "g.svg").read_text()
    assert "image/svg+xml" in graph._repr_mimebundle_()


def rectangle(element: Any) -> tuple[float, float, float, float]:
    x, y, width, height = (float(element.get(key)) for key in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


@pytest.mark.parametrize("view", ["forward", "backward", "paired"])
def test_the_layout_without_graphviz_has_every_box_in_its_frame_and_none_on_another(
    view: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    model = Model(3)
    graph = draw(model(data(4, 8)), view=view, collapse=False)
    root = ET.fromstring(graph.svg())
    boxes = {
        g.get("id"): rectangle(g.find(f"{SVG}rect")) for g in root.iter(f"{SVG}g") if g.get("class") == "box"
    }
    frames = [rectangle(r) for r in root.iter(f"{SVG}rect") if r.get("class") == "frame"]
    assert set(boxes) == {f"b{box.id}" for box in graph.picture.boxes}
    assert len(frames) == len(graph.picture.clusters)
    found = list(boxes.values())
    for i, (a, b, c, d) in enumerate(found):
        assert all(c <= e or g <= a or d <= f or h <= b for e, f, g, h in found[:i])
        around = [e <= a and f <= b and c <= g and d <= h for e, f, g, h in frames]
        apart = [c <= e or g <= a or d <= f or h <= b for e, f, g, h in frames]
        assert all(inside or outside for inside, outside in zip(around, apart))
    assert len([p for p in root.iter(f"{SVG}g") if p.get("class") == "edge"]) == len(graph.picture.edges)
    assert {t.text for t in root.iter(f"{SVG}text")} >= {box.title for box in graph.picture.boxes}


def fake_dot(folder: Any, body: str) -> None:
    program = folder / "dot"
    program.write_text(f"#!{sys.executable}\n{body}\n")
    program.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands in for dot")
def test_layout_has_a_time_limit_and_failures_are_told(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fake_dot(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(LayoutTimeout, match=r"within 0\.2 s: draw less \(collapse=True"):
        draw(variable(3).sin(), timeout=0.2).svg()
    fake_dot(tmp_path, "import sys; sys.exit('bad things')")
    with pytest.raises(DrawingError, match="bad things"):
        draw(variable(3).sin()).svg()


@needs_dot
def test_jupyter_shows_svg() -> None:
    graph = draw(variable(3).sin())
    assert "<svg" in graph._repr_mimebundle_()["image/svg+xml"]
    assert graph._repr_svg_() == graph.svg()
    assert repr(graph) == "<Graph: 1 operation, drawn as 2 boxes>"


@needs_dot
def test_direction() -> None:
    def size(direction: str) -> tuple[float, float]:
        root = ET.fromstring(draw(irregular(8), direction=direction).svg())
        return float(root.get("width", "0pt")[:-2]), float(root.get("height", "0pt")[:-2])

    (down_w, down_h), (right_w, right_h) = size("TB"), size("LR")
    assert down_h > down_w
    assert right_w > right_h


def test_bad_arguments_name_the_mend() -> None:
    with pytest.raises(ValueError, match=r"float32\[3\] has no graph.*requires_grad=True"):
        draw(data(3))
    with pytest.raises(TypeError, match="a Tensor or a list of them, not ndarray"):
        draw([np.ones(3)])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="empty list"):
        draw([])
    with pytest.raises(ValueError, match="TB, LR, BT, RL"):
        draw(variable(3).sin(), direction="down")
    with pytest.raises(ValueError, match="at least 20"):
        draw(variable(3).sin(), max_nodes=3)
    with pytest.raises(ValueError, match="cannot be -1"):
        draw(variable(3).sin(), depth=-1)


def test_graphviz_is_imported_only_when_needed() -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; import autograd_core.graph; print('graphviz' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_end_of_a_very_long_name_is_its_end() -> None:
    assert clean("a" * 5000 + "the_end").endswith("the_end")
