"""Teaching mode: the same bits as backward(), the steps' order and text, and the page in a real browser."""

import itertools
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import autograd_core as ag
import nn
from autograd_core.graph import Graph, LayoutTimeout
from autograd_core.graph.cells import number
from autograd_core.parameter import Parameter
from autograd_core.teaching import BackwardStep
from autograd_core.teaching.rules import rule_text

# Graphs, each a function of a generator that returns (loss, leaves) ----------------------------------------------


def leaf(rng: np.random.Generator, *shape: int) -> ag.Tensor:
    return ag.tensor(rng.standard_normal(shape).astype(np.float32), requires_grad=True)


def diamonds(rng):
    x = leaf(rng, 5)
    y = x
    for _ in range(6):
        y = y * ag.sin(y) + y / 2 + y
    return y.sum(), [x]


def broadcasting(rng):
    x, row, column, scalar = leaf(rng, 4, 3), leaf(rng, 3), leaf(rng, 4, 1), leaf(rng)
    y = (x + row) * column / (ag.exp(scalar) + x * x)
    return (y * row - scalar).mean(), [x, row, column, scalar]


def layouts(rng):
    """Shares of several memory layouts meet: the sum's own layout decides the order of later sums."""
    x = leaf(rng, 7, 33)
    y = ag.tanh(x)
    both = y.T @ ag.exp(y) + (y.T * 3) @ y
    return (both.sum() + (y.T * leaf(rng, 33, 1)).sum() + ag.square(y).mean()), [x]


def net(rng):
    model = nn.Sequential(nn.Dense(2, 3), nn.Tanh(), nn.Dense(3, 1))
    x = ag.tensor(rng.standard_normal((4, 2)).astype(np.float32))
    return ag.square(model(x) - 1).mean(), model.parameters()


def joint(rng):
    """Batch norm's three cotangents come from one rule."""
    model = nn.Sequential(nn.Conv(2, 3, 3), nn.BatchNorm(3), nn.ReLU(), nn.Flatten())
    x = leaf(rng, 4, 2, 6, 6)
    return ag.square(model(x)).mean(), [x, *model.parameters()]


def shared(rng):
    """One leaf at both inputs of an operation, a view, and a leaf that is the root."""
    x = leaf(rng, 6)
    return (x * x + x[2] * x.reshape(2, 3).sum()).sum(), [x]


GRAPHS = (diamonds, broadcasting, layouts, net, joint, shared)


def example() -> tuple[ag.Tensor, ag.Tensor, ag.Tensor]:
    x, y = ag.tensor(2.0, requires_grad=True), ag.tensor(3.0, requires_grad=True)
    return ag.square(x * y + ag.sin(x)), x, y


# The sweep -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("observed", [False, True])
def test_gradients_are_those_of_backward_bit_for_bit(graph, observed, rng):
    loss, leaves = graph(rng)
    leaves = list(leaves)
    loss.backward(retain_graph=True)
    wanted = [p.grad.numpy().copy() for p in leaves]
    for p in leaves:
        p.grad = None
    if observed:
        with ag.observe():
            steps = list(loss.backward_steps(retain_graph=True))
        assert all(step.node.seen.cotangent is not None for step in steps)
    else:
        steps = list(loss.backward_steps(retain_graph=True))
    assert [p.grad.numpy().tobytes() for p in leaves] == [w.tobytes() for w in wanted]
    assert [step.number for step in steps] == list(range(1, steps[0].of + 1))
    for _ in loss.backward_steps():  # added to what was there
        pass
    assert [p.grad.numpy().tobytes() for p in leaves] == [(w + w).tobytes() for w in wanted]


@pytest.mark.parametrize("graph", GRAPHS)
def test_consumers_come_before_producers(graph, rng):
    steps = list(graph(rng)[0].backward_steps())
    number = {step.node: step.number for step in steps}
    for step in steps:
        assert all(number.get(parent, step.of + 1) > step.number for parent in step.parents)


def test_one_rule_for_several_inputs_is_among_the_graphs(rng):
    nodes = [step.node for step in joint(rng)[0].backward_steps()]
    assert any(node.plan.joint is not None for node in nodes)


def test_totals_are_sums_of_the_shares_so_far(rng):
    gathered: dict[Any, Any] = {}
    for step in diamonds(rng)[0].backward_steps():
        for parent, (name, share), (also, total) in zip(step.parents, step.shares, step.totals, strict=True):
            assert name == also
            gathered[parent] = share if parent not in gathered else gathered[parent] + share
            np.testing.assert_array_equal(total, gathered[parent])
    assert len(gathered)


def test_who_stops_earlier_has_changed_nothing():
    loss, x, y = example()
    steps = loss.backward_steps()
    for _ in itertools.islice(steps, len(steps) - 1):
        assert x.grad is None
        assert y.grad is None
    loss.backward()  # the graph is whole
    assert x.grad is not None


def test_the_last_step_sets_gradients_and_frees_the_graph():
    loss, x, _ = example()
    steps = loss.backward_steps()
    for _ in range(len(steps)):
        next(steps)
    assert x.grad is not None
    with pytest.raises(StopIteration):
        next(steps)
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        loss.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        loss.backward_steps()


def test_errors_are_those_of_backward(rng):
    x = leaf(rng, 3)
    with pytest.raises(RuntimeError, match="not a scalar"):
        (x * 2).backward_steps()
    with pytest.raises(RuntimeError, match="has no graph"):
        ag.tensor(1.0).backward_steps()
    with pytest.raises(ValueError, match="give it the same shape"):
        (x * 2).backward_steps([1.0, 2.0])


def test_a_cotangent_and_a_leaf_as_root():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    (step,) = (x * 2).backward_steps([1.0, 10.0])
    assert x.grad.tolist() == [2, 20]
    assert step.cotangent.tolist() == [1, 10]
    scalar = ag.tensor(1.0, requires_grad=True)
    assert list(scalar.backward_steps()) == []
    assert scalar.grad.item() == 1


def test_not_while_compiling():
    @ag.compile
    def f(x):
        list((x * x).backward_steps())
        return x

    with pytest.raises(RuntimeError, match="backward_steps"):
        f(ag.tensor(1.0, requires_grad=True))


# The text --------------------------------------------------------------------------------------------------------


def test_the_text_of_a_small_example():
    loss, _, _ = example()
    assert "\n".join(map(str, loss.backward_steps())) == (
        "step 1 of 4: square   g = 1 → x gets 2 · g · x = 13.82\n"
        "step 2 of 4: add   g = 13.82 → x gets g = 13.82, y gets g = 13.82\n"
        "step 3 of 4: sin   g = 13.82 → x gets g · cos(x) = -5.751\n"
        "step 4 of 4: multiply\n"
        "    g = 13.82\n"
        "    → x gets g · y = 41.46 (35.71 together with what came before)\n"
        "    → y gets g · x = 27.64"
    )


def test_a_step_says_what_it_is(rng):
    with ag.observe():
        loss, _ = net(rng)
    steps = {step.operation: step for step in loss.backward_steps()}
    assert steps["tanh"].rule == "x: g · (1 - out²)"
    assert steps["tanh"].module_path.endswith("layers.1")
    assert "test_teaching.py" in steps["tanh"].line
    assert steps["tanh"].value.shape == (4, 3)
    assert "[[" in str(steps["tanh"])


def test_many_numbers_are_a_range(rng):
    (step, *_) = ag.exp(leaf(rng, 100)).sum().backward_steps()
    assert "float32[100] all 1" in str(step)


def test_rules_without_source():
    namespace: dict[str, Any] = {}
    exec("f = lambda g, x: g * x", namespace)
    assert rule_text(namespace["f"]) == ""
    assert rule_text(len) == ""


# The page --------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def record(text: str) -> Any:
    return json.loads(re.search(r'id="record">(.*?)</script>', text, re.S)[1])


def test_the_page_before_during_and_after_is_the_same(tmp_path):
    loss, x, _ = example()
    steps = loss.backward_steps()
    pages = [steps.save(tmp_path / "0.html").read_bytes()]
    assert x.grad is None
    for i, _ in enumerate(steps):
        pages.append(steps.save(tmp_path / f"{i}.html").read_bytes())
    loss, x, _ = example()
    pages.append(loss.backward_steps().save(tmp_path / "again.html").read_bytes())
    assert len(set(pages)) == 1


def test_two_shares_of_one_step_are_shown_together(tmp_path):
    x = ag.tensor(3.0, requires_grad=True)
    data = record((x * x).backward_steps().save(tmp_path / "b.html").read_text(encoding="utf-8"))
    assert [changes[-1][1] for changes in data["changes"].values()] == [["grad 1"], ["grad 6"]]


def test_the_page_has_a_box_for_each_node_and_no_addresses(tmp_path):
    text = example()[0].backward_steps().save(tmp_path / "b.html").read_text(encoding="utf-8")
    page = Page(text)
    assert sum("data-box" in attributes for _, attributes in page.tags) == 6
    assert all("aria-label" in a for tag, a in page.tags if tag == "button")
    assert not [a for tag, a in page.tags if "src" in a or (tag != "link" and "href" in a)]
    assert "@import" not in text
    assert "url(" not in text
    ET.fromstring(re.search(r"<svg width.*?</svg>", text, re.S)[0].replace("&nbsp;", " "))
    data = record(text)
    assert [step["head"] for step in data["steps"]][-1] == "Step 4 of 4: multiply"
    assert ["grad 35.71"] in [changes[-1][1] for changes in data["changes"].values()]


HOSTILE = '</script><script>alert(1)</script><b onclick="x">&amp; {{DATA}} ]]> \u2028'


def test_hostile_names_are_text(tmp_path):
    p = Parameter(np.float32(2))
    p.name = HOSTILE
    text = ag.exp(p).backward_steps().save(tmp_path / "b.html").read_text(encoding="utf-8")
    page = Page(text)
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 2
    assert not [a for _, a in page.tags if "onclick" in a]
    assert record(text)["steps"]


def test_too_many_operations_and_other_suffixes(tmp_path):
    x = ag.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(61):
        y = ag.sin(y)
    steps = y.backward_steps()
    with pytest.raises(ValueError, match="61 operations are too many"):
        steps.save(tmp_path / "b.html")
    steps.save(tmp_path / "b.html", max_operations=61)
    with pytest.raises(ValueError, match=r"\.html"):
        steps.save(tmp_path / "b.pdf")


def test_without_graphviz_a_simple_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    text = example()[0].backward_steps().save(tmp_path / "b.html").read_text(encoding="utf-8")
    assert len([tag for tag, a in Page(text).tags if tag == "g" and "data-box" in a]) == 6
    assert len([tag for tag, a in Page(text).tags if tag == "g" and "data-edge" in a]) == 6


def late(graph, kind):
    raise LayoutTimeout("draw: Graphviz did not lay it out")


def test_what_graphviz_cannot_lay_out_is_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(Graph, "render", late)
    text = example()[0].backward_steps().save(tmp_path / "b.html").read_text(encoding="utf-8")
    assert "did not lay it out" in text
    assert len([tag for tag, a in Page(text).tags if tag == "tr" and "data-box" in a]) == 6


def test_sums_over_broadcast_axes_are_written():
    x, y = ag.tensor(2.0, requires_grad=True), ag.tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert "x gets Σ g · y = 6" in "".join(map(str, (x * y).sum().backward_steps()))
    x, y = ag.tensor(np.ones((2, 3)), requires_grad=True), ag.tensor(np.ones(3), requires_grad=True)
    assert "y gets Σ g over axis 0 = [2, 2, 2]" in "".join(map(str, (x + y).sum().backward_steps()))


def test_the_engine_does_not_load_teaching():
    code = "import sys, autograd_core; print([m for m in sys.modules if 'teaching' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


# In a browser ----------------------------------------------------------------------------------------------------


def shown(driver: Any) -> list[str]:
    return [e.text for e in driver.find_elements("css selector", ".grad") if e.text]


@pytest.mark.parametrize("kind", ["picture", "simple picture", "table"])
def test_stepping_in_a_browser(browser, kind, tmp_path, monkeypatch):
    from selenium.webdriver.common.keys import Keys

    steps = example()[0].backward_steps()
    with monkeypatch.context() as without:
        if kind == "simple picture":
            without.setenv("PATH", str(tmp_path))
        if kind == "table":
            without.setattr(Graph, "render", late)
        path = steps.save(tmp_path / "backward.html")
    browser.get_log("browser")
    browser.get(path.as_uri())
    assert shown(browser) == ["grad 1"]
    browser.find_element("id", "forward").click()
    assert sorted(shown(browser)) == ["grad 1", "grad 13.82"]
    assert browser.find_element("id", "head").text == "Step 1 of 4: square"
    assert "2 · g · x" in browser.find_element("id", "said").text
    assert len(browser.find_elements("css selector", ".current[aria-current=step]")) == 1
    assert "▶" in browser.find_element("id", "graph").text
    body = browser.find_element("tag name", "body")
    body.send_keys(Keys.ARROW_RIGHT)
    body.send_keys(Keys.END)
    assert browser.find_element("id", "count").text == "4 of 4"
    assert "grad 35.71" in shown(browser)
    assert len(browser.find_elements("css selector", ".finished")) == 4
    assert not browser.find_element("id", "forward").is_enabled()
    body.send_keys(Keys.ARROW_LEFT)
    assert browser.find_element("id", "count").text == "3 of 4"
    assert "grad 35.71" not in shown(browser)
    body.send_keys(Keys.HOME)
    body.send_keys(Keys.SPACE)
    assert browser.find_element("id", "play").get_attribute("aria-label") == "Pause (space)"
    body.send_keys(Keys.SPACE)
    assert browser.find_element("id", "play").get_attribute("aria-label") == "Play (space)"
    assert browser.find_element("id", "count").text == "1 of 4"
    slider = browser.find_element("id", "slider")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert browser.find_element("id", "count").text == "2 of 4"
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []


def test_hostile_names_in_a_browser(browser, tmp_path):
    p = Parameter(np.float32(2))
    p.name = HOSTILE
    path = ag.exp(p).backward_steps().save(tmp_path / "b.html")
    browser.get(path.as_uri())
    browser.find_element("id", "forward").click()
    assert "</script>" in browser.find_element("id", "said").text
    assert browser.get_log("browser") == []


def test_no_text_leaves_its_box(browser, tmp_path, rng):
    path = net(rng)[0].backward_steps().save(tmp_path / "b.html")
    browser.get(path.as_uri())
    outside = browser.execute_script(
        "return steps.flatMap((_, i) => { show(i + 1); return outside(); });"
        "function outside() { return [...document.querySelectorAll('[data-box]')].flatMap(box => {"
        " const frame = box.querySelector('.outline').getBBox();"
        " return [...box.querySelectorAll('text')].filter(text => { const t = text.getBBox();"
        "  return text.textContent && (t.x < frame.x || t.x + t.width > frame.x + frame.width);"
        " }).map(t => t.textContent); }); }"
    )
    assert outside == []


# Pictures with values --------------------------------------------------------------------------------------------


def test_a_picture_with_values():
    loss, *leaves = example()  # a leaf that nobody holds has no .grad
    plain = ag.draw(loss).dot
    assert "value" not in plain
    before = ag.draw(loss, values=True).dot
    assert [text in before for text in ("value 6", "value 0.9093", "value 47.74", "grad 1")] == [True] * 3 + [
        False
    ]
    loss.backward()
    after = ag.draw(loss, values=True).dot
    assert "grad 35.71" in after
    assert "value 6.909" in after
    assert len(leaves) == 2


def test_after_backward_every_box_has_value_and_gradient():
    loss, *leaves = example()
    loss.backward()
    steps = {step.operation: step.cotangent for step in example()[0].backward_steps()}
    boxes = ag.draw(loss, values=True).picture.boxes
    for box in boxes:
        shown = [text.split()[0] for text in box.lines]
        assert "value" in shown, box.title
        assert "grad" in shown, box.title
    assert {
        f"grad {number(steps[box.title].item())}" in box.lines for box in boxes if box.title in steps
    } == {True}
    leaves[0].grad = leaves[0].grad * 2  # of another pass besides: not what these operations got
    again = ag.draw(loss, values=True).picture.boxes
    assert sum("grad" in text for box in again for text in box.lines) == len(leaves)


def test_the_page_has_the_names_of_variables(tmp_path):
    price = ag.tensor(2.0, requires_grad=True)
    total = price * price
    page = total.backward_steps().save(tmp_path / "b.html").read_text()
    assert ">price<" in page
    assert "= total" in page
    assert "x (price) gets" in page


def test_values_of_leaves_that_have_changed_are_left_out():
    x = Parameter(np.float32(2))
    loss = ag.square(x + 1) * 2
    loss.backward()
    with ag.no_grad():
        x -= 1
    text = ag.draw(loss, values=True).dot
    assert "value 18<" in text
    assert "value 1<" not in text
    assert "value 4<" not in text


def test_observed_cotangents_stand_in_the_picture():
    with ag.observe():
        loss, _, _ = example()
        loss.backward()
    assert ag.draw(loss, values=True).dot.count("grad 13.82") == 3


def test_step_is_a_small_dataclass():
    (step,) = ag.exp(ag.tensor(0.0, requires_grad=True)).backward_steps()
    assert isinstance(step, BackwardStep)
    assert "node" not in repr(step)
