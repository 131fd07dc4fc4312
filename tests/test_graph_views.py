"""Views, overlays and parts of a picture; pictures of what left no tape."""

import gc
import re
import subprocess
import sys
import time
import weakref
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import autograd_core as ag
import nn

SVG = "{http://www.w3.org/2000/svg}"


def trained(step=True):
    """A small network whose loss was computed under observation, and its parameters updated."""
    ag.random.seed(0)
    model = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 3))
    optimizer = nn.SGD(model.parameters(), 0.1)
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    with ag.observe():
        loss = nn.cross_entropy(model(x), np.arange(6) % 3)
        if step:
            loss.backward()
    if step:
        optimizer.step()
    return model, loss


def titles(graph):
    return [box.title for box in graph.picture.boxes]


def line(graph, title, start):
    (box,) = (box for box in graph.picture.boxes if box.title == title)
    return next(text for text in box.lines if text.startswith(start))


def test_the_backward_view_turns_every_edge_round():
    _, loss = trained(False)
    forward, backward = ag.draw(loss).picture, ag.draw(loss, view="backward").picture
    name = {box.id: box.title for box in forward.boxes}
    mirrored = {box.id: box.title for box in backward.boxes}
    data = {box.id for box in forward.boxes if box.kind == "data"}

    def twin(title):
        return f"gradient of {title}" if "." in title else f"∂ {title}"

    wanted = {(twin(name[e.target]), twin(name[e.source])) for e in forward.edges if e.source not in data}
    assert {(mirrored[e.source], mirrored[e.target]) for e in backward.edges} == wanted
    assert "gradient of layers.2.weight" in mirrored.values()


def test_the_paired_view_has_both_and_says_what_is_kept():
    _, loss = trained(False)
    graph = ag.draw(loss, view="paired")
    assert {"relu", "∂ relu"} <= set(titles(graph))
    assert line(graph, "relu", "keeps") == f"keeps result {6 * 8 * 4} B"
    assert line(graph, "cross_entropy", "keeps").endswith(f"labels {6 * 8} B")
    assert [cluster.title for cluster in graph.picture.clusters[:2]] == ["forward pass", "backward pass"]
    root = ET.fromstring(graph.svg())
    shown = {title.text for title in root.iter(f"{SVG}title")}
    assert {f"b{box.id}" for box in graph.picture.boxes} <= shown


@pytest.mark.parametrize("overlay", ["time", "bytes", "saved", "parameters", "gradient", "update", "dead"])
@pytest.mark.parametrize("view", ["forward", "backward", "paired"])
def test_every_overlay_on_every_view(overlay, view):
    _, loss = trained(step=overlay in ("time", "gradient", "update"))
    graph = ag.draw(loss, overlay=overlay, view=view)
    coloured = [box for box in graph.picture.boxes if box.fill]
    assert coloured
    assert all(any(overlay in text for text in box.lines) for box in coloured)
    assert max(box.fill for box in coloured) >= "#f0963c"
    assert overlay in graph.picture.caption
    ET.fromstring(graph.svg())


def test_overlays_have_the_right_numbers():
    model, loss = trained()
    weight = model.layers[2].weight
    assert line(ag.draw(loss, overlay="bytes"), "relu", "bytes") == "bytes 192 B"
    assert line(ag.draw(loss, overlay="parameters"), "layers.2.weight", "parameters") == "parameters 24"
    norm = float(np.linalg.norm(weight.grad.numpy()))
    assert line(ag.draw(loss, overlay="gradient"), "layers.2.weight", "gradient") == f"gradient {norm:.3g}"
    ratio = 0.1 * norm / float(np.linalg.norm(weight.numpy()))
    shown = line(ag.draw(loss, overlay="update"), "layers.2.weight", "update")
    assert float(shown.split()[1]) == pytest.approx(ratio, rel=1e-2)
    assert "observe" in ag.draw((ag.tensor(1.0, requires_grad=True) * 2), overlay="time").picture.caption


def test_dead_units_are_counted():
    x = ag.tensor(np.array([[-1, 2, 0.5], [-3, 1, -1]], np.float32), requires_grad=True)
    with ag.observe():
        y = ag.relu(x).sum()
    assert line(ag.draw(y, overlay="dead"), "relu", "dead") == "dead 33.3 %"


def test_units_that_are_at_the_end_of_their_range_are_counted():
    x = ag.tensor(np.array([[-9, 9, 0.5], [-7, 8, 0]], np.float32), requires_grad=True)
    with ag.observe():
        y = ag.tanh(x).sum() + ag.sigmoid(x).sum()
    graph = ag.draw(y, overlay="dead")
    assert line(graph, "tanh", "dead") == line(graph, "sigmoid", "dead") == "dead 66.7 %"


def test_bytes_are_of_the_dtype_and_time_of_both_passes():
    x = ag.tensor(np.ones(4), requires_grad=True)
    with ag.observe():
        y = ag.exp(x).sum()
        y.backward()
    assert line(ag.draw(y, overlay="bytes"), "exp", "bytes") == "bytes 32 B"
    seen = y.node.inputs[0].seen
    seen.seconds, seen.seconds_back = 0.25, 0.5
    assert line(ag.draw(y, overlay="time"), "exp", "time") == "time 750 ms"


def test_parameters_without_a_gradient_are_grey():
    model, loss = trained()
    assert not any(box.mark for box in ag.draw(loss).picture.boxes)
    model.layers[0].bias.grad = None
    marked = [box.title for box in ag.draw(loss).picture.boxes if box.mark == "no gradient"]
    assert marked == ["layers.0.bias"]


def test_between_and_around():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    a = ag.exp(x)
    b = ag.sin(a) * ag.cos(x)
    loss = b.sum()
    assert set(titles(ag.draw(loss, between=(a, b)))) >= {"exp", "sin", "multiply"}
    assert not {"cos", "sum"} & set(titles(ag.draw(loss, between=(a, b))))
    near = titles(ag.draw(loss, around=(a, 1)))
    assert "sin" in near
    assert not {"cos", "sum", "multiply"} & set(near)
    cut = {box.title: box for box in ag.draw(loss, around=(a, 1)).picture.boxes}["sin"]
    assert not cut.output, "no result"
    assert "… goes on" in cut.lines
    last = {box.title: box for box in ag.draw(loss, between=(a, b)).picture.boxes}["multiply"]
    assert last.output
    assert "… goes on" not in last.lines
    other = ag.tensor([1.0], requires_grad=True) * 2
    with pytest.raises(ValueError, match="was not computed from the first"):
        ag.draw(loss, between=(other, loss))
    with pytest.raises(ValueError, match="no part of the graph"):
        ag.draw(loss, around=(other, 1))


def test_wrong_options_name_the_right_ones():
    _, loss = trained(False)
    with pytest.raises(ValueError, match="forward, backward, paired"):
        ag.draw(loss, view="sideways")
    with pytest.raises(ValueError, match="time, bytes, saved, parameters, gradient, update, dead"):
        ag.draw(loss, overlay="beauty")


def test_the_last_error_is_drawn_up_to_where_it_happened():
    model = nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(7, 3))
    with pytest.raises(ValueError, match=r"in Sequential\.layers\.2"):
        model(np.ones((6, 4), np.float32))
    graph = ag.draw_last_error()
    (bad,) = (box for box in graph.picture.boxes if box.mark == "bad")
    assert bad.title == "Dense"
    assert "float32[6,8]" in " ".join(bad.lines)
    assert "relu" in titles(graph)
    assert "layers.0.weight" in titles(graph)
    ET.fromstring(graph.svg())


def test_a_failure_without_a_tape_is_drawn_too():
    with pytest.raises(ValueError, match="add"):
        ag.tensor([1.0, 2.0]) + ag.tensor([1.0, 2.0, 3.0])
    assert any(box.mark == "bad" for box in ag.draw_last_error().picture.boxes)


def test_a_compiled_function_shows_its_instructions():
    @ag.compile
    def f(x):
        return (ag.exp(x) * 2 + 1).sum()

    with pytest.raises(ValueError, match="not called yet"):
        ag.draw(f)
    f(ag.tensor([1.0, 2.0]))
    graph = ag.draw(f)
    assert titles(graph)[:4] == ["exp", "multiply", "add", "sum"]
    assert line(graph, "exp", "instruction") == line(graph, "sum", "instruction") == "instruction 0"

    @ag.compile
    def products(x):
        return ag.conv(ag.exp((x @ x) + 1), ag.ones((4, 1, 3, 3)))

    products(ag.tensor(np.ones((1, 1, 5, 5), np.float32)))
    numbered = ag.draw(products)
    assert line(numbered, "add", "y") == "y = 1"
    assert [box.lines[-1] for box in numbered.picture.boxes if box.operations] == [
        "instruction 0", "instruction 1", "instruction 1", "2 instructions, 2 … 3",
    ]  # fmt: skip
    assert graph.picture.caption.endswith("compiled to 1 instruction")
    assert "argument 0" in titles(graph)
    assert '"instruction 0"' in graph.html()


def test_a_compiled_step_is_drawn_with_its_optimizer_and_backward_pass_apart():
    model = nn.Sequential(nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 1))
    optimizer = nn.Adam(model.parameters())

    @ag.compile
    def step(x):
        loss = ag.square(model(x)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step(np.ones((4, 2), np.float32))
    graph = ag.draw(step, depth=1)
    frames = {box.title for box in graph.picture.boxes if box.kind == "module"}
    assert {"layers.0", "layers.2"} <= frames
    assert {"backward pass", "Adam"} <= {cluster.title for cluster in graph.picture.clusters}
    whole = ag.draw(step)
    kinds = {box.title: box.kind for box in whole.picture.boxes if box.sources}
    assert kinds["lr"] == kinds["step"] == kinds["mean of layers.0.weight"] == "buffer"
    assert kinds["layers.0.weight"] == "parameter"
    assert "4 parameters (13 values)" in whole.picture.caption, "an optimizer's state is none"
    assert all(box.title not in ("buffer", "parameter", "input") for box in whole.picture.boxes)
    ET.fromstring(whole.svg())


def test_pictures_of_two_runs_are_the_same_text():
    assert ag.draw(trained()[1], view="paired", overlay="bytes").dot == (
        ag.draw(trained()[1], view="paired", overlay="bytes").dot
    )


def test_inputs_and_results_have_the_names_of_the_callers_variables():
    price = ag.tensor([1.0, 2.0], requires_grad=True)
    amount = ag.tensor([3.0, 4.0])
    total = (price * amount).sum()
    graph = ag.draw(total)
    assert {"price", "amount"} <= set(titles(graph))
    assert "= total" in line(graph, "sum", "=")

    def inside(x):
        y = x * amount
        return ag.draw(y.sum())

    assert {"x", "amount"} <= set(titles(inside(price)))


def test_arrays_have_the_names_of_the_callers_variables_though_they_were_copied():
    model = nn.Dense(4, 3)
    images, labels = np.arange(8, dtype=np.float32).reshape(2, 4), np.array([0, 2])
    loss = nn.cross_entropy(model(images), labels)
    assert {"images", "labels"} <= set(titles(ag.draw(loss)))
    same = labels
    assert "labels" in titles(ag.draw(loss)), "two names of one array: the first"
    other = labels.copy()
    assert "labels" not in titles(ag.draw(loss)), "two arrays of these numbers: nothing tells which it was"
    del same, other
    labels[0] = 1
    assert "labels" not in titles(ag.draw(loss)), "not what was read"


def test_what_an_observer_kept_is_drawn_after_the_tape_is_freed():
    images = np.ones((2, 4), np.float32)
    with ag.observe():
        loss = (nn.Dense(4, 3)(images) * 2).sum()
        loss.backward()
    graph = ag.draw(loss)
    assert "images" in titles(graph)
    assert line(graph, "multiply", "y") == "y = 2"


def test_what_an_observer_keeps_is_not_written_over():
    buffer = np.ones(3, np.float32)
    x = ag.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with ag.observe():
        y = x * buffer
    buffer[:] = 0
    np.testing.assert_array_equal(y.node.seen.inputs[1], np.ones(3))


# What pictures must not say ----------------------------------------------------------------------------------------


def box_of(graph, title):
    return next(box for box in graph.picture.boxes if box.title == title)


def test_what_repetitions_keep_says_that_it_is_a_sum():
    h = ag.tensor(np.ones((1, 3)), requires_grad=True)
    model = nn.Sequential(*[nn.Dense(3, 3) for _ in range(4)])
    graph = ag.draw(model(h.astype(np.float32)), view="paired")
    assert line(graph, "linear", "keeps") == "keeps, 4 together: x 48 B, w 144 B"


def test_largest_of_repetitions_says_so():
    model = nn.Sequential(*[nn.Sequential(nn.Dense(3, 3), nn.ReLU()) for _ in range(4)])
    model.layers[1].layers[0].bias.assign(np.full(3, -50, np.float32))
    with ag.observe():
        y = model(np.ones((2, 3), np.float32)).sum()
    assert line(ag.draw(y, overlay="dead"), "relu", "dead") == "dead, largest of 4: 100 %"
    shown = ag.draw(y, overlay="parameters")
    assert line(shown, "layers.*.layers.0.weight", "parameters") == "parameters, 4 together: 36"
    del model


def test_a_kept_array_counts_once():
    x = ag.tensor(np.ones(1000, np.float32), requires_grad=True)
    graph = ag.draw((x * x).sum(), view="paired")
    assert "4 kB kept for the backward pass" in graph.picture.caption
    y = (x * x).sum()
    y.backward()
    assert "is freed" in ag.draw(y, view="paired").picture.caption


def test_both_passes_have_their_own_times():
    _, loss = trained()
    paired = ag.draw(loss, view="paired", overlay="time")
    boxes = [box for box in paired.picture.boxes if box.fill]
    for box in boxes:
        wanted = "backward time" if box.backward else "forward time"
        assert any(text.startswith(wanted) for text in box.lines), box.lines
    assert {box.backward for box in boxes} == {True, False}


def test_an_update_from_zero_is_1():
    ag.random.seed(0)
    model = nn.Sequential(nn.Conv(1, 2, 3), nn.BatchNorm(2))
    with ag.observe():
        loss = (model(ag.random.normal((2, 1, 5, 5))) ** 3).sum()
        loss.backward()
    nn.SGD(model.parameters(), 0.1).step()
    graph = ag.draw(loss, overlay="update")
    bias = line(graph, "layers.1.bias", "update")
    assert bias == "update 1"


def test_another_module_of_the_same_class_has_its_own_frame():
    a, b = nn.Dense(2, 2), nn.Dense(2, 1)
    graph = ag.draw(b(a(ag.ones((1, 2)))).sum(), collapse=False)
    assert [cluster.title for cluster in graph.picture.clusters].count("Dense") == 2


def test_parameters_of_a_model_that_is_gone_are_parameters():
    def loss():
        return (nn.Sequential(nn.Dense(3, 4), nn.ReLU(), nn.Dense(4, 1))(ag.ones((2, 3))) ** 2).mean()

    graph = ag.draw(loss())
    assert [box.kind for box in graph.picture.boxes].count("parameter") == 4
    assert "4 parameters (21 values)" in graph.picture.caption
    assert {"w of layers.0", "b of layers.2"} <= set(titles(graph)), "what they did, as their names are lost"


def test_one_of_several_repetitions_without_a_gradient():
    model = nn.Sequential(*[nn.Dense(4, 4) for _ in range(4)])
    loss = model(ag.ones((1, 4))).mean()
    loss.backward()
    model.parameters()[2].grad = None
    marked = [box for box in ag.draw(loss).picture.boxes if box.mark == "no gradient"]
    assert [box.lines[-1] for box in marked] == ["no gradient: 1 of 4"]


def test_gradients_of_another_loss_accuse_nobody():
    a, b = nn.Dense(2, 2), nn.Dense(2, 1)
    a(ag.ones((1, 2))).sum().backward()
    graph = ag.draw(b(a(ag.ones((1, 2)))).sum())
    assert all(box.mark == "" for box in graph.picture.boxes)


def test_values_from_before_the_step_are_not_mixed_with_those_after_it():
    model = nn.Dense(1, 1)
    loss = (model(ag.ones((1, 1))) ** 2).sum()
    old = model.weight.item()
    loss.backward()
    nn.SGD(model.parameters(), 0.5).step()
    graph = ag.draw(loss, values=True)
    new = model.weight.item()
    assert new != old
    assert not any(text.startswith("value") for text in box_of(graph, "weight").lines)


def test_numbers_of_repetitions_say_that_they_are_sums():
    model = nn.Sequential(*[nn.ResidualBlock(4, 4) for _ in range(3)])
    loss = (model(ag.ones((1, 4, 6, 6))) ** 2).mean()
    lines = [text for box in ag.draw(loss, overlay="bytes").picture.boxes for text in box.lines]
    assert "bytes, 3 together: 1.73 kB" in lines
    blocks = [
        box for box in ag.draw(loss, depth=2).picture.boxes if box.repeats == 3 and box.kind == "module"
    ]
    assert [text for box in blocks for text in box.lines if "parameters" in text] == [
        "6 parameters (304 values)"
    ]


def test_a_gradient_that_is_no_number_is_marked():
    with ag.observe(), np.errstate(all="ignore"):
        x = ag.tensor([0.0, 1.0], requires_grad=True)
        loss = ag.where(x > 0, ag.sqrt(x), 0).sum()
        loss.backward()
    graph = ag.draw(loss, overlay="gradient")
    assert box_of(graph, "x").mark == "bad"
    assert box_of(graph, "x").fill == ""


def test_halves_of_a_paired_picture_have_their_own_numbers():
    x = ag.tensor([2.0, 3.0], requires_grad=True)
    with ag.observe():
        loss = ag.square(x).sum()
        loss.backward()
    graph = ag.draw(loss, view="paired", values=True)
    boxes = {box.title: box.lines for box in graph.picture.boxes}
    assert "value [2, 3]" in boxes["x"]
    assert "grad [4, 6]" not in boxes["x"]
    assert "grad [4, 6]" in boxes["gradient of x"]
    assert "value [2, 3]" not in boxes["gradient of x"]


def test_hops_without_end():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    graph = ag.draw((x * x).sum(), around=(x, 10**9))
    assert len(graph.picture.boxes) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"between": 3}, "between is a pair"), ({"around": (1, 0)}, "around is a tensor and a number"),
        ({"overlay": ["time"]}, "overlay is one of"), ({"depth": "1"}, "depth counts levels"),
        ({"max_nodes": None}, "max_nodes is a whole number"),
    ],
)  # fmt: skip
def test_bad_arguments(options, words):
    loss = ag.tensor([1.0], requires_grad=True).sum()
    with pytest.raises((TypeError, ValueError), match=words):
        ag.draw(loss, **options)
    for wrong in (None, 3, nn.Dense(1, 1)):
        with pytest.raises(TypeError, match="draw: takes a Tensor"):
            ag.draw(wrong)


def test_the_last_error_is_drawn_without_keeping_its_numbers():
    w = ag.tensor(np.ones((3, 4), np.float32), requires_grad=True)

    def fails():
        h = ag.exp(w)
        with pytest.raises(ValueError, match="matmul"):
            h @ np.ones((3, 3), np.float32)
        return weakref.ref(h.array)

    kept = fails()
    gc.collect()
    assert kept() is None
    graph = ag.draw_last_error(values=False)
    assert {"exp", "matmul"} <= set(titles(graph))
    assert "raised: matmul" in graph.html()


def failed_boxes():
    return {box.title: " ".join(box.lines) for box in ag.draw_last_error().picture.boxes if box.mark == "bad"}


def test_checks_of_arguments_and_the_users_own_errors_are_drawn_too():
    class Own(nn.Module):
        def __init__(self):
            self.inner = nn.Dense(2, 3)

        def forward(self, x):
            raise KeyError("mine", self.inner(x).shape)

    model = nn.Sequential(nn.Dense(2, 2), nn.Tanh(), Own())
    x = np.ones((4, 2), np.float32)
    with pytest.raises(ValueError, match="mse_loss"):
        nn.mse_loss(model.layers[0](x), np.ones(4, np.float32))
    assert "prediction and target differ in shape" in failed_boxes()["mse_loss"]
    with pytest.raises(ValueError, match="Dense"):
        nn.Dense(3, 3)(x)
    assert "in_features is 3" in failed_boxes()["Dense"]
    with pytest.raises(KeyError):
        model(x)
    assert failed_boxes()["Own.forward"] == "✗ raised: KeyError: ('mine', (4, 3))"
    assert {"tanh", "layers.0.weight"} <= set(titles(ag.draw_last_error())), "what came before it"


def test_an_error_in_a_derivative_is_drawn():
    @ag.primitive
    def wrong(x):
        return x * 1

    wrong.defvjp(lambda g, x: np.ones(7))
    with pytest.raises(ValueError, match="derivative for x"):
        wrong(ag.tensor([1.0], requires_grad=True)).sum().backward()
    (bad,) = (box for box in ag.draw_last_error().picture.boxes if box.mark == "bad")
    assert bad.title == "wrong"
    assert "derivative for x" in " ".join(bad.lines)


def test_without_errors_there_is_nothing_to_draw():
    code = "import autograd_core as ag; ag.draw_last_error()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "RuntimeError: draw_last_error: no operation has raised in this thread" in done.stderr


def test_the_simple_layout_leads_arrows_around_boxes(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    x = ag.tensor([1.0], requires_grad=True)
    h = x
    for _ in range(5):
        h = h * x + h.sin()
    root = ET.fromstring(ag.draw(h.sum(), collapse=False).svg())
    boxes = [rect for g in root.iter(f"{SVG}g") if g.get("class") == "box" for rect in g.iter(f"{SVG}rect")]
    places = [tuple(float(rect.get(k)) for k in ("x", "y", "width", "height")) for rect in boxes]
    width = float(root.get("width"))
    for path in root.iter(f"{SVG}path"):
        if "Q" not in (path.get("d") or ""):
            continue
        numbers = [float(n) for n in re.findall(r"-?[0-9.]+", path.get("d"))]
        right = max(numbers[0::2])
        assert right < width
        assert all(not (a < right < a + w) for a, _, w, _ in places)


# What is large is readable ---------------------------------------------------------------------------------------


class Recurrent(nn.Module):
    """h ← tanh(W x + U h + b), over the steps of x."""

    def __init__(self):
        self.read, self.turn = nn.Dense(4, 8), nn.Dense(8, 8)

    def forward(self, x):
        h = ag.zeros((2, 8))
        for t in range(x.shape[1]):
            h = ag.tanh(self.read(x[:, t]) + self.turn(h))
        return h


def thousand_layers():
    model = nn.Sequential(*[nn.Sequential(nn.Dense(8, 8), nn.ReLU()) for _ in range(1000)])
    return model, model(np.ones((2, 8), np.float32)).sum()


def sixty_diamonds():
    h = ag.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(60):
        h = ag.sin(h) + ag.cos(h)
    return None, h.sum()


def thousand_steps():
    model = Recurrent()
    return model, model(np.ones((2, 1000, 4), np.float32)).sum()


def long_chain():
    h = ag.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(100_000):
        h = h * 1.00001
    return None, h.sum()


@pytest.mark.parametrize(
    ("build", "title"),
    [
        (thousand_layers, "Sequential × 1,000"),
        (sixty_diamonds, "sin, cos, add × 60"),
        (thousand_steps, "Dense, add, tanh × 1,000"),
        (long_chain, "multiply × 100,000"),
    ],
)
def test_large_graphs_draw_in_five_seconds_collapsed(build, title, monkeypatch):
    model, loss = build()
    for how in ("dot", "simple", "page"):
        with monkeypatch.context() as patched:
            if how == "simple":
                patched.setenv("PATH", "")
            began = time.perf_counter()
            graph = ag.draw(loss)
            text = graph.html() if how == "page" else graph.svg()
            assert time.perf_counter() - began < 5, how
            assert len(graph.picture.boxes) <= 20
            assert title in text.replace("\\u00d7", "×").replace("&#160;", "").replace(
                "\N{NO-BREAK SPACE}", ""
            )
    del model
