"""The interactive page, opened in a real browser: it opens and closes, finds, lights up, and shows names as text."""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from browser import PHONE
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

import autograd_core as ag
import nn
from autograd_core.graph import Graph, draw, page_data
from autograd_core.graph.columns import Column, columns
from autograd_core.graph.model import Picture
from autograd_core.graph.names import Names
from autograd_core.graph.page import page
from autograd_core.parameter import Parameter
from autograd_core.primitive import Primitive
from autograd_core.tape import state
from autograd_core.tensor import Tensor
from autograd_core.wording import clean

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\n\u2028\x00 {{program}}"


class Net(nn.Module):
    """A stem, nine residual blocks and a head."""

    def __init__(self) -> None:
        self.stem = nn.Conv(3, 4, 3, padding=1)
        self.blocks = nn.Sequential(*[nn.ResidualBlock(4, 4) for _ in range(9)])
        self.head = nn.Dense(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.blocks(self.stem(x).relu())
        return self.head(h.mean(axis=(2, 3)))


def residual() -> tuple[Net, Tensor]:
    net = Net()
    return net, (net(ag.ones((2, 3, 8, 8))) ** 2).mean()


def variable(*shape: int) -> Tensor:
    return ag.tensor(np.full(shape, 0.5, np.float32), requires_grad=True)


def irregular(n: int) -> Tensor:
    """A chain in which nothing repeats for long."""
    steps = [lambda h: h * 0.9, lambda h: h + 0.1, lambda h: h.sin(), lambda h: h.tanh()]
    h = variable(2)
    for k in np.random.default_rng(1).integers(0, 4, n):
        h = steps[k](h)
    return h


def html_of(graph: Graph, more: Sequence[Column], **marks: Any) -> str:
    """The graph's page, or one with other columns or marks."""
    if not more and not marks:
        return graph.html()
    assert graph.arranged
    return page(graph.arranged, [*columns(graph.arranged.program).values(), *more], **marks)


def data_of(graph: Graph, *more: Column, **marks: Any) -> dict[str, Any]:
    html = html_of(graph, more, **marks)
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found
    return json.loads(found[1])


class Page:
    """A page in the browser."""

    def __init__(self, browser: Any, path: Any, graph: Graph, *more: Column, **marks: Any) -> None:
        self.browser = browser
        browser.get_log("performance")
        browser.get_log("browser")
        path = path / "graph.html"
        path.write_text(html_of(graph, more, **marks), encoding="utf-8")
        browser.get(path.as_uri())

    def js(self, code: str, *arguments: Any) -> Any:
        return self.browser.execute_script(code, *arguments)

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements("css selector", selector)

    def titles(self, selector: str = ".box") -> list[str]:
        return self.js(
            "return [...document.querySelectorAll(arguments[0] + ' > .title')].map(t => t.firstChild.data)",
            selector,
        )

    def box(self, title: str, selector: str = ".box") -> Any:
        found = [e for e, t in zip(self.all(selector), self.titles(selector)) if t == title]
        assert found, f"no {title} among {self.titles(selector)}"
        return found[0]

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def focused(self) -> str:
        return self.js("return document.activeElement.dataset.id || document.activeElement.id")

    def click(self, element: Any) -> None:
        """As the mouse does, wherever on the picture it is."""
        self.js("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", element)

    def find(self, words: str) -> list[str]:
        self.press("/")
        self.press(words)
        return [e.text for e in self.all("#results [role=option]")]

    def in_order(self) -> None:
        """Nothing was complained of, nothing was asked of the network, no script of a name ran."""
        assert self.browser.get_log("browser") == []
        messages = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        # what the browser's own first tab asks of itself is not the page's
        asked = [p["request"]["url"] for p in sent if not p["documentURL"].startswith("chrome:")]
        assert all(url.startswith(("file:", "data:")) for url in asked), asked


@pytest.fixture
def opened(browser: Any, tmp_path: Any) -> Any:
    pages: list[Page] = []

    def make(graph: Graph, *more: Column, **marks: Any) -> Page:
        pages.append(Page(browser, tmp_path, graph, *more, **marks))
        return pages[-1]

    yield make
    for each in pages:
        each.in_order()


# In the browser


def test_modules_open_and_close(opened: Any) -> None:
    net, loss = residual()
    page = opened(draw(loss))
    assert "ResidualBlock × 9" in page.titles(".head")
    page.click(page.box("Net", ".head").find_element("css selector", ".toggle"))
    assert "Net" in page.titles(".module")
    assert page.titles(".head") == []
    few = len(page.all(".box"))
    module = page.box("Net", ".module")
    assert module.get_attribute("aria-expanded") == "false"
    ActionChains(page.browser).double_click(module).perform()
    assert "Net" in page.titles(".head")
    assert len(page.all(".box")) > few
    del net


def test_nothing_overlaps_and_every_box_has_a_name(opened: Any) -> None:
    net, loss = residual()
    page = opened(draw(loss))
    page.js("for (const g of groups) openGroups.add(g.index); render()")
    assert all(page.titles())
    overlaps = page.js("""
        const leaves = scene.boxes.filter((b) => !b.children), found = [];
        for (const a of leaves) for (const b of leaves) if (a.number < b.number && a.x < b.x + b.w && b.x < a.x + a.w
            && a.y < b.y + b.h && b.y < a.y + a.h) found.push([a.about.title, b.about.title]);
        for (const b of scene.boxes) if (b.parent && (b.x < b.parent.x || b.y < b.parent.y
            || b.x + b.w > b.parent.x + b.parent.w || b.y + b.h > b.parent.y + b.parent.h)) found.push(b.about.title);
        return found;""")
    assert overlaps == []
    wide = page.js("""return [...document.querySelectorAll(".box")].filter((g) => [...g.querySelectorAll("text")].some(
        (t) => t.getBBox().width > g.querySelector(".face").getBBox().width - 10)).map((g) => g.textContent)""")
    assert wide == []
    del net


def test_a_click_lights_up_ancestors_and_descendants(opened: Any) -> None:
    x, z = variable(3), variable(3)
    page = opened(draw((x.sin() * x.cos() + z.exp()).sum()))
    page.box("multiply").click()
    assert page.titles(".above") == ["sin", "cos", "input"]
    assert page.titles(".below") == ["add", "sum"]
    assert page.titles(".dim") == ["exp", "input"]
    assert {e.text for e in page.all(".above .kin")} == {"▲"}
    assert {e.text for e in page.all(".below .kin")} == {"▼"}
    assert page.titles("[aria-pressed=true]") == ["multiply"]
    assert "float32[3]" in page.all("#panel")[0].text
    page.press(Keys.ESCAPE)
    assert page.all(".above, .below, .dim") == []


def test_search_opens_what_is_closed(opened: Any) -> None:
    net, loss = residual()
    page = opened(draw(loss))
    page.click(page.box("Net", ".head").find_element("css selector", ".toggle"))
    found = page.find("blocks.layers.4 weight")
    assert found
    assert page.focused() == "search"
    page.press(Keys.ENTER)
    assert page.focused().startswith("s")
    assert page.titles(".chosen")[0].endswith("weight")
    assert "ResidualBlock × 9" in page.titles(".head")
    assert page.find("no such thing") == []
    assert page.all("#results")[0].text == "nothing found"
    page.press(Keys.ESCAPE)
    del net


def test_the_keyboard_alone(opened: Any) -> None:
    net, loss = residual()
    page = opened(draw(loss))
    page.js("openGroups.clear(); openGroups.add(0); render(); fit(); document.activeElement.blur()")
    page.press(Keys.ARROW_DOWN)
    first = page.focused()
    page.press(Keys.TAB)
    assert page.focused() != first
    page.js("scene.byId.get(arguments[0]).element.focus()", "g1")
    page.press(Keys.ENTER)
    assert "Net" in page.titles(".head")
    assert page.focused() == "g1"
    page.press(Keys.ARROW_DOWN)
    inside = page.focused()
    assert inside != "g1"
    page.press(Keys.SPACE)
    assert page.js("return chosen") == inside
    page.press(Keys.ESCAPE)
    assert page.js("return chosen") is None
    place = "const b = scene.byId.get(document.activeElement.dataset.id); return [b.x + b.w / 2, b.y]"
    for key, axis, sign in ((Keys.ARROW_DOWN, 1, 1), (Keys.ARROW_UP, 1, -1)):
        here = page.js(place)[axis]
        page.press(key)
        assert (page.js(place)[axis] - here) * sign > 0
    before = page.js("return at.zoom")
    page.press("+")
    assert page.js("return at.zoom") > before
    page.press("0")
    page.js("scene.byId.get('g1').element.focus()")
    page.press(Keys.ENTER)
    assert page.titles(".head") == []
    del net


def test_mouse_moves_and_zooms(opened: Any) -> None:
    page = opened(draw(variable(3).sin().sum()))
    svg = page.all("#graph")[0]
    before = page.js("return {...at}")
    ActionChains(page.browser).move_to_element_with_offset(svg, -300, 200).click_and_hold().move_by_offset(
        50, 30
    ).release().perform()
    after = page.js("return {...at}")
    assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((50, 30))
    ActionChains(page.browser).scroll_by_amount(0, -200).perform()
    page.js("arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: -200, cancelable: true}))", svg)
    assert page.js("return at.zoom") > before["zoom"]
    page.all("#fit")[0].click()
    assert page.js("return at.zoom") == pytest.approx(before["zoom"])
    ActionChains(page.browser).move_to_element(page.box("sin")).perform()
    assert page.all("#tip")[0].text == "sin\nfloat32[3]"


def test_the_wheel_zooms_where_the_mouse_is(opened: Any) -> None:
    page = opened(residual_of_one())
    under = "return [(700 - at.x) / at.zoom, (300 - at.y) / at.zoom, at.zoom]"
    x, y, zoom = page.js(under)
    page.js("zoomBy(1.5, 700, 300)")
    assert page.js(under) == pytest.approx([x, y, 1.5 * zoom])


def test_nothing_in_the_data_can_end_or_open_a_script() -> None:
    for name in (HOSTILE, "<!--<script ", "]]>", "</ScRiPt >"):
        p = Parameter(np.ones(3, np.float32))
        p.name = name
        html = draw(p * 2).html()
        data = html.partition('id="data">')[2].partition("</script>")[0]
        assert not re.search("[<>&]", data)
        assert json.loads(data)["sources"][0]["title"] == clean(name)


def test_hostile_names_are_text(opened: Any) -> None:
    p = Parameter(np.ones(3, np.float32))
    p.name = HOSTILE
    operation = Primitive(lambda x: x * 1, name=HOSTILE).defvjp(lambda g, x: g)
    before, state.module_path = state.module_path, HOSTILE
    try:
        y = operation(p)
    finally:
        state.module_path = before
    page = opened(draw(y), Column(HOSTILE, HOSTILE, operations={0: 1.0}, sources={0: float("nan")}))
    page.js("for (const g of groups) openGroups.add(g.index); render()")
    assert all("script>" in title or "<img" in title for title in page.titles())
    page.js("choose(scene.boxes.find((b) => b.kind === 'o').id)")
    assert "<script>" in page.all("#panel")[0].text
    page.find("alert")
    page.js("overlayName = Object.keys(data.overlays)[1]; render()")
    assert page.all("img, #view script, #panel script") == []
    assert len(page.all("script")) == 2


def test_values_lines_and_time_of_what_was_observed(opened: Any) -> None:
    x = variable(4)
    with ag.observe(), np.errstate(divide="ignore", invalid="ignore"):
        y = (x - 0.5).log().sum()
        y.backward()
    page = opened(draw(y), bad={1}, without_gradient={0})
    page.box("log").click()
    words = page.all("#panel")[0].text
    assert "test_graph_page.py" in words
    assert "infinite\n4" in words
    assert "✗ first bad value" in words
    assert page.titles(".bad") == ["log"]
    assert page.titles(".nogradient") == ["input"]
    assert {"bytes", "time"} <= set(page.js("return Object.keys(data.overlays)"))


def test_colours_add_up_over_modules(opened: Any) -> None:
    net, loss = residual()
    graph = draw(loss)
    assert graph.arranged
    n = len(graph.arranged.program.operations)
    page = opened(
        graph,
        Column("work", "FLOP", adds=True, operations=dict.fromkeys(range(n), 2.0)),
        Column("norm", operations=dict(enumerate(range(n)))),
    )
    page.click(page.box("Net", ".head").find_element("css selector", ".toggle"))
    page.js(
        "const s = arguments[0]; s.value = 'work'; s.dispatchEvent(new Event('change'))",
        page.all("#overlay")[0],
    )
    inside = n - 2  # of the square and the mean
    assert f"{2 * inside} FLOP" in page.box("Net").text.replace(",", "")
    assert page.all("#legend")[0].text.startswith("2 FLOP")
    assert page.all("#most")[0].text.replace(",", "") == f"{2 * inside} FLOP"
    assert page.js("return valueOf(scene.byId.get('g1'), 'norm')") == inside - 1
    del net


def test_ten_thousand_operations_open_at_once(opened: Any) -> None:
    page = opened(draw(irregular(10_000)))
    assert page.js("return Number(document.documentElement.dataset.opened)") < 2000
    assert page.js("return scene.boxes.length") < 350
    rest = next(t for t in page.titles() if t.startswith("… "))
    before = len(page.all(".box"))
    page.click(page.box(rest))
    assert len(page.all(".box")) > before + 50
    page.find("tanh float32")
    page.js("pick(40)")
    assert (
        page.js("uncoverThing('o', 7000); render(); return scene.byId.has('o7000') && scene.boxes.length")
        < 350
    )
    took = page.js("const t = performance.now(); choose('o7000'); render(); return performance.now() - t")
    assert took < 1500


def test_what_is_out_of_sight_of_a_large_scene_is_not_in_the_document(opened: Any) -> None:
    page = opened(draw(irregular(3000)))
    page.js("for (let k = 0; k < 12; k++) showMore(groups[0], false); fit(); render()")
    assert page.js("return scene.boxes.length") < 1000
    page.js("windows.set(0, [0, 2500]); render(); at.zoom = 1; bringIn(scene.byId.get('o2000'), true)")
    assert page.js("return scene.boxes.length") > 2500
    assert len(page.all(".box")) < 100
    assert page.js("return scene.byId.get('o2000').element.isConnected")
    order = page.js(
        "return [...document.querySelectorAll('.box')].map(e => scene.byId.get(e.dataset.id).number)"
    )
    assert order == sorted(order), "the order of the tab key"
    page.js("choose('o2000'); at.y += 20000; move()")
    assert not page.js("return scene.byId.get('o2000').element.isConnected")
    page.js("choose(null); at.y -= 20000; move()")
    assert not page.all(".kin"), "what was lit is not, though it was out of sight when that changed"
    page.js("zoomBy(0.01)")
    assert page.js(
        "return [...document.querySelectorAll('.box .line')].every(e => !e.getClientRects().length)"
    )


def test_a_bad_value_is_in_sight_at_the_start(opened: Any) -> None:
    net = Net()
    h = net(ag.ones((2, 3, 8, 8)))
    for _ in range(40):
        h = (h * 1.5).sin()
    with np.errstate(divide="ignore"):
        found = ag.autopsy((ag.log(h - h) + net(ag.ones((2, 3, 8, 8)))).sum())
    page = opened(found.draw(around=(found.node, 1000)))
    assert page.js("const f = svg.getBoundingClientRect(), b = document.querySelector('.bad .face')"
                   ".getBoundingClientRect(); return b.top > f.top && b.bottom < f.bottom")  # fmt: skip
    assert page.titles(".box.bad") == ["log"]
    assert "log of 0" in page.all("#panel")[0].text
    assert "log of 0" in page.box("log").get_attribute("aria-label")


def test_a_bad_parameter_is_marked_itself(opened: Any) -> None:
    w = Parameter(np.array([1, np.nan], np.float32))
    graph = ag.autopsy((w * 2).sum()).draw(names=Names({"w": w}))
    assert [box.mark for box in graph.picture.boxes if box.title == "w"] == ["bad"]
    assert opened(graph).titles(".box.bad") == ["w"]


def test_names_of_results_and_what_has_no_gradient(opened: Any) -> None:
    used, unused = (Parameter(np.ones(2, np.float32)) for _ in range(2))
    total = (used * 2).sum() + (unused * 3).sum()
    total.backward()
    unused.grad = None
    page = opened(ag.draw(total))
    assert "= total" in page.box("add").text
    assert "no gradient" in page.box("unused").text
    assert "no gradient" not in page.box("used").text
    assert page.find("total")[0].startswith("add")


def test_figures_of_twins_say_what_they_are(opened: Any) -> None:
    net, loss = residual()
    page = opened(draw(loss, overlay="bytes"))
    page.js("groups.forEach((group) => openGroups.add(group.index)); render()")
    shown = [e.get_attribute("textContent") for e in page.all(".box.operation")]
    twins = [text for text in shown if "× 9" in text]
    assert twins
    assert all("9 together: " in text for text in twins)
    del net


def test_two_fingers_zoom_where_they_are(opened: Any) -> None:
    page = opened(residual_of_one())
    finger = (
        "const f = (type, id, x, y) => svg.dispatchEvent(new PointerEvent(type, {pointerId: id, pointerType: 'touch', "
        "clientX: x, clientY: y, button: 0, bubbles: true}));"
    )
    before = page.js("return {...at}")
    page.js(
        finger + "f('pointerdown', 1, 400, 400); f('pointerdown', 2, 500, 400); f('pointermove', 2, 600, 400)"
    )
    after = page.js("return {...at}")
    assert after["zoom"] == pytest.approx(2 * before["zoom"])
    page.js(finger + "f('pointerup', 2, 600, 400); f('pointerup', 1, 400, 400); f('pointermove', 1, 0, 0)")
    assert page.js("return at.zoom") == after["zoom"]


def test_a_narrow_screen_shows_what_is_selected_below(opened: Any) -> None:
    page = opened(residual_of_one())
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    try:
        page.js("fit(); choose('o0')")
        panel, graph = (
            page.js("return arguments[0].getBoundingClientRect()", page.all(s)[0])
            for s in ("#panel", "#graph")
        )
        assert panel["top"] >= graph["bottom"] - 1
        assert panel["width"] == PHONE["width"]
        assert graph["height"] > 300
        assert page.js("return document.documentElement.scrollWidth") <= PHONE["width"]
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def residual_of_one() -> Graph:
    return draw((nn.Dense(2, 3)(ag.ones((2, 2))) ** 2).sum())


def test_steps_of_a_loop_are_one(opened: Any) -> None:
    w, h = variable(4, 4), variable(2, 4)
    for _ in range(1000):
        h = (h @ w).tanh()
    page = opened(draw(h.sum()))
    assert page.titles(".head") == ["matmul, tanh × 1,000"]
    assert len(page.all(".edge.loop")) == 1


# Without a browser


def test_a_hundred_thousand_operations_say_what_is_left_out(opened: Any) -> None:
    graph = draw(irregular(100_000), collapse=False)
    data = data_of(graph)
    assert len(data["operations"]["name"]) == page_data.MOST_OPERATIONS + 1
    assert "80,000 operations from the middle" in data["note"]
    assert len(graph.html()) < 4_000_000
    assert sum(data["operations"]["count"]) == 100_000
    page = opened(graph)
    assert "80,000 operations from the middle" in page.all("#panel")[0].text


def test_two_runs_give_the_same_bytes(tmp_path: Any) -> None:
    def once() -> str:
        ag.random.seed(1)
        _net, loss = residual()
        return draw(loss).html()

    first = once()
    assert once() == first
    path = draw(variable(3).sin()).save(tmp_path / "g.html")
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_nothing_outside_is_named() -> None:
    text = draw(variable(3).sin()).html()
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "src=" not in text


def test_twins_are_added_up() -> None:
    _net, loss = residual()
    data = data_of(draw(loss), bad={60})
    assert len(data["operations"]["name"]) < 40
    counts = data["operations"]["count"]
    assert 9 in counts
    assert sum(counts) == len(draw(loss, collapse=False).arranged.program.operations)
    assert data["overlays"]["parameters"]["unit"] == "values"
    total = sum(v or 0 for v in data["overlays"]["parameters"]["sources"])
    assert total == sum(p.size for p in _net.parameters())
    assert data["bad"][0][1].startswith("repetition ")


def test_a_leaf_alone_and_a_picture_alone(opened: Any) -> None:
    page = opened(draw(variable(3)))
    assert page.titles() == ["input"]
    picture: Picture = draw(variable(3)).picture
    with pytest.raises(ValueError, match="a page needs the graph"):
        Graph(picture).html()
