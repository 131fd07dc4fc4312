"""Views, overlays and parts of a picture; pictures of what left no tape."""

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
    assert line(graph, "relu", "keeps") == f"keeps {6 * 8 * 4} B"
    assert [cluster.title for cluster in graph.picture.clusters[:2]] == ["forward pass", "backward pass"]
    root = ET.fromstring(graph.svg())
    shown = {title.text for title in root.iter(f"{SVG}title")}
    assert {f"b{box.id}" for box in graph.picture.boxes} <= shown


@pytest.mark.parametrize("overlay", ["time", "bytes", "saved", "parameters", "gradient", "update", "dead"])
@pytest.mark.parametrize("view", ["forward", "backward", "paired"])
def test_every_overlay_on_every_view(overlay, view):
    _, loss = trained(step=overlay in ("gradient", "update"))
    graph = ag.draw(loss, overlay=overlay, view=view)
    coloured = [box for box in graph.picture.boxes if box.fill]
    assert coloured
    assert all(any(text.startswith(overlay) for text in box.lines) for box in coloured)
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
    before = weight.numpy() + np.float32(0.1) * weight.grad.numpy()
    ratio = 0.1 * norm / float(np.linalg.norm(before))
    shown = line(ag.draw(loss, overlay="update"), "layers.2.weight", "update")
    assert float(shown.split()[1]) == pytest.approx(ratio, rel=1e-2)
    assert "observe" in ag.draw((ag.tensor(1.0, requires_grad=True) * 2), overlay="time").picture.caption


def test_dead_units_are_counted():
    x = ag.tensor(np.array([[-1, 2, 0.5], [-3, 1, -1]], np.float32), requires_grad=True)
    with ag.observe():
        y = ag.relu(x).sum()
    assert line(ag.draw(y, overlay="dead"), "relu", "dead") == "dead 33.3 %"


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
    assert bad.title == "linear"
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
    assert "compiled to 1 instructions" in graph.picture.caption


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
