"""What a profile counts, that it changes no result, and that nothing from the user breaks its pictures."""

import json
import threading
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import autograd_core as ag
import nn
from autograd_core.tape import state

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert("&")</script>\x00\x1b[31m]]>\u202e\U0001f600' + "w" * 300


class Two(nn.Module):
    def __init__(self):
        self.first = nn.Dense(3, 4)
        self.second = nn.Dense(4, 2)

    def forward(self, x):
        return self.second(ag.tanh(self.first(x)))


def data(rows=5):
    rng = np.random.default_rng(1)
    return ag.tensor(rng.normal(size=(rows, 3)).astype("f4"))


def profiled():
    model, x = Two(), data()
    with ag.profile() as p:
        for _ in range(3):
            (model(x) ** 2).sum().backward()
    return p


def training():
    """A model, its step, and what the step is called with."""
    ag.random.seed(3)
    model = nn.Sequential(
        nn.Conv(2, 4, 3, padding=1), nn.BatchNorm(4), ag.relu, nn.Flatten(), nn.Dense(64, 3)
    )
    optimizer = nn.Adam(model.parameters(), 0.01)
    rng = np.random.default_rng(2)
    x, y = ag.tensor(rng.normal(size=(6, 2, 4, 4)).astype("f4")), ag.tensor(rng.integers(0, 3, 6))

    def step(x, y):
        loss = nn.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return model, step, (x, y)


def rectangles(path):
    """All rectangles of an SVG as (x, y, width, height, title), after checking that it holds them."""
    root = ET.parse(path).getroot()
    _, _, width, height = map(float, root.get("viewBox").split())
    found = []
    for rect in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(key, "0")) for key in ("x", "y", "width", "height"))
        title = rect.find(f"{SVG}title")
        assert title is not None
        assert title.text
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
        found.append((x, y, w, h, title.text))
    return root, found


def complete(path):
    """The complete events of a trace, after checking their order and that they nest."""
    events = json.loads(path.read_text())["traceEvents"]
    assert [e["ts"] for e in events] == sorted(e["ts"] for e in events)
    found = [e for e in events if e["ph"] == "X"]
    open_until: dict[int, list[int]] = {}
    for event in found:
        assert event["dur"] >= 0
        begin = round(1e3 * event["ts"])
        end = begin + round(1e3 * event["dur"])
        stack = open_until.setdefault(event["tid"], [])
        while stack and stack[-1] <= begin:
            stack.pop()
        assert not stack or end <= stack[-1]
        stack.append(end)
    return found


# Counting --------------------------------------------------------------------------------------------------------


def test_calls_of_operations_are_counted_in_both_passes():
    counted = {row.name: (row.forward.calls, row.backward.calls) for row in profiled().operations}
    assert counted.pop("add") == (8, 0)  # gradients of four parameters, added up twice
    assert counted == {"linear": (6, 6), "tanh": (3, 3), "power": (3, 3), "sum": (3, 3)}


def test_calls_of_modules_are_counted_in_both_passes():
    p = profiled()
    counted = {m.path: (m.forward_total.calls, m.backward_total.calls) for m in p.modules}
    assert counted == {"Two": (9, 9), "Two.first": (3, 3), "Two.second": (3, 3)}
    assert [m.kind for m in p.modules] == ["Two", "Dense", "Dense"]
    assert p.modules[0].forward.calls == 3  # tanh alone


def test_bytes_are_those_of_results_and_inputs():
    x = ag.tensor(np.ones((10, 10), "f4"))
    with ag.profile() as p:
        ag.add(x, x).reshape(100)
    rows = {row.name: row.forward for row in p.operations}
    assert (rows["add"].read, rows["add"].written) == (800, 400)
    assert (rows["reshape"].read, rows["reshape"].written) == (0, 0)


def test_times_add_up_to_no_more_than_the_context():
    p = profiled()
    assert 0 < sum(row.seconds for row in p.operations) <= p.seconds
    assert p.explained + p.unexplained + p.compiling_seconds == pytest.approx(p.seconds)


def test_a_module_is_the_sum_of_what_is_in_it():
    root, modules = profiled().tree()
    for module in (root, *modules):
        for own, total in ((module.forward, "forward_total"), (module.backward, "backward_total")):
            parts = [own, *(getattr(child, total) for child in module.children)]
            whole = getattr(module, total)
            assert whole.seconds == pytest.approx(sum(part.seconds for part in parts))
            assert whole.calls == sum(part.calls for part in parts)
            assert whole.read == sum(part.read for part in parts)
            assert whole.written == sum(part.written for part in parts)
        assert (
            sum(row.total.calls for row in module.operations) == module.forward.calls + module.backward.calls
        )


def test_lines_are_those_of_the_program():
    p = profiled()
    assert {line.file for line in p.lines} == {__file__}
    assert all(row.line[0] == __file__ for row in p.operations)
    assert sum(line.seconds for line in p.lines) == pytest.approx(p.explained)


def test_derivatives_that_are_recorded_are_backward_and_counted_once():
    x = ag.tensor(2.0, requires_grad=True)
    with ag.profile() as p:
        ag.grad(ag.grad(lambda x: ag.exp(x) * x))(x)
    assert sum(row.seconds for row in p.operations) <= p.seconds
    assert any(row.name == "multiply" and row.backward.calls for row in p.operations)


def test_checkpointed_segments_are_counted_in_the_backward_pass(tmp_path):
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    with ag.profile() as p:
        ag.checkpoint(lambda x: ag.exp(ag.sin(x)))(x).sum().backward()
    rows = {row.name: row for row in p.operations}
    assert (rows["sin"].forward.calls, rows["sin"].backward.calls) == (1, 2)  # run again, and its rule
    assert sum(row.seconds for row in p.operations) <= p.seconds
    p.save(tmp_path / "t.json")
    complete(tmp_path / "t.json")


# Contexts --------------------------------------------------------------------------------------------------------


def test_profiles_nest_and_each_sees_what_runs_inside_it():
    x = ag.tensor([1.0])
    with ag.profile() as outer, ag.observe():
        ag.exp(x)
        with ag.profile() as inner:
            ag.sin(x)
    assert [row.name for row in inner.operations] == ["sin"]
    assert {row.name for row in outer.operations} == {"sin", "exp"}
    assert state.observer is None


def test_an_exception_leaves_what_was_measured():
    x = ag.tensor([1.0], requires_grad=True)

    @ag.primitive
    def broken(x):
        return x * 1

    @broken.defvjp
    def rule(g, x):
        raise RuntimeError("the rule is broken")

    with pytest.raises(RuntimeError, match="the rule is broken"), ag.profile() as p:
        ag.exp(broken(x)).backward()
    assert {row.name: (row.forward.calls, row.backward.calls) for row in p.operations} == {
        "exp": (1, 1),
        "broken": (1, 0),
    }
    assert (state.observer, state.within, state.deriving) == (None, 0, False)


def test_a_decorator_adds_its_calls_up_and_may_call_itself():
    p = ag.profile()

    @p
    def f(n):
        ag.exp(ag.tensor(1.0))
        return f(n - 1) if n else None

    f(2)
    f(0)
    assert p.contexts == 2
    assert [(row.name, row.forward.calls) for row in p.operations] == [("exp", 4)]


def test_other_threads_are_not_seen_and_may_not_enter():
    errors = []
    p = ag.profile()

    def other():
        ag.exp(ag.tensor(1.0))
        try:
            p.__enter__()
        except RuntimeError as error:
            errors.append(str(error))

    with p:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert p.operations == []
    assert errors == ["profile: it looks on in another thread: make one profile for each thread"]


def test_an_empty_profile_says_so(tmp_path):
    with ag.profile() as p:
        pass
    assert str(p) == "profile: no operation ran in it"
    for name in ("p.svg", "p.json", "p.txt"):
        p.save(tmp_path / name)
    rectangles(tmp_path / "p.svg")
    assert complete(tmp_path / "p.json") == []
    assert "no operation" in p._repr_html_()


# What is shown ---------------------------------------------------------------------------------------------------


def test_tables_fit_a_terminal():
    text = str(profiled())
    assert max(map(len, text.splitlines())) <= 100
    assert "Python between operations" in text
    assert "  second (Dense)" in text


def test_the_picture_holds_its_rectangles(tmp_path):
    p = profiled()
    p.save(tmp_path / "p.svg")
    _, found = rectangles(tmp_path / "p.svg")
    assert any(title.startswith("Two.first") for *_, title in found)
    assert any(title.startswith("linear, backward") for *_, title in found)


def test_hostile_names_break_nothing(tmp_path):
    @ag.primitive(name=HOSTILE)
    def odd(x):
        return x * 1

    before = state.module_path
    with ag.profile() as p:
        for path in (HOSTILE, f"a.{HOSTILE}", ".." * 40, "深い" * 60, ".".join("deep" * 99)):
            state.module_path = path
            odd(ag.tensor([1.0]))
        state.module_path = before
    assert max(map(len, str(p).splitlines())) <= 100
    assert "\x1b" not in str(p)
    assert "<script" not in p._repr_html_()
    p.save(tmp_path / "p.svg")
    root, _ = rectangles(tmp_path / "p.svg")
    assert not list(root.iter(f"{SVG}script"))
    for group in root.iter(f"{SVG}g"):
        rect, text = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        if text is not None:
            wide = sum(2 if c > "\u2e80" else 1 for c in text.text)
            assert 6.6 * wide <= float(rect.get("width"))
    p.save(tmp_path / "p.json")
    assert len([e for e in complete(tmp_path / "p.json") if e["cat"] == "operation"]) == 5


def test_the_trace_nests_modules_around_their_operations(tmp_path):
    p = profiled()
    p.save(tmp_path / "p.json")
    events = complete(tmp_path / "p.json")
    names = [e["name"] for e in events]
    assert names[:4] == ["Two", "first (Dense)", "linear", "tanh"]
    first = next(e for e in events if e["cat"] == "operation")
    assert first["args"]["module"] == "Two.first"
    assert first["args"]["line"].startswith(__file__)
    assert first["args"]["arrays"][0] == "float32[5,4]"
    assert sum(e["cat"] == "derivative" for e in events) == 15
    modules = [e for e in events if e["cat"] == "module"]
    for e in events:
        assert (
            e["cat"] == "module"
            or not e["args"].get("module")
            or any(m["ts"] <= e["ts"] and e["ts"] + e["dur"] <= m["ts"] + m["dur"] + 1e-3 for m in modules)
        ), "an operation stands inside of its module"
    last = max(e["ts"] + e["dur"] for e in events)
    assert last <= 1e6 * p.seconds + 1, "microseconds"


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.svg .*\.json .*\.txt"):
        profiled().save(tmp_path / "p.png")
    assert list(tmp_path.iterdir()) == []


def test_text_is_saved_as_printed(tmp_path):
    p = profiled()
    p.save(tmp_path / "p.txt")
    assert (tmp_path / "p.txt").read_text(encoding="utf-8").splitlines()[3:] == str(p).splitlines()[3:]


# Compiled functions ----------------------------------------------------------------------------------------------


def test_a_compiled_step_is_shown_by_its_rows_and_computes_the_same_bits(tmp_path):
    found = []
    for look in (False, True):
        model, step, given = training()
        compiled = ag.compile(step)
        compiled(*given)
        losses = [compiled(*given)]
        p = ag.profile()
        for _ in range(4):
            if look:
                with p:
                    losses.append(compiled(*given))
            else:
                losses.append(compiled(*given))
        states = [*model.parameters(), *model.buffers(), *(w.grad for w in model.parameters())]
        found.append([each.numpy().tobytes() for each in (*losses, *states)])
        assert len(compiled.variants) == 1
    assert found[0] == found[1]
    assert p.replays == {"step": 4}
    rows = [row for row in p.operations if row.compiled]
    variant = next(iter(compiled.variants.values()))[0]
    assert sum(row.total.calls for row in rows) == 4 * len(variant.program.instructions)
    assert all(row.compiled for row in p.operations)
    assert any(row.backward.seconds for row in rows)
    assert {"Sequential", "layers.0", "layers.1", "layers.4"} <= {m.name for m in p.modules}
    assert any(row.path.startswith("Sequential.") and row.name.startswith("loop: ") for row in rows)
    assert "step was compiled: in 4 calls its rows ran one at a time" in str(p)
    assert p.explained <= p.seconds
    p.save(tmp_path / "p.json")
    events = complete(tmp_path / "p.json")
    assert sum(e["cat"] == "program" for e in events) == 4
    assert sum(e["cat"] == "row" for e in events) == 4 * len(variant.program.instructions)
    p.save(tmp_path / "p.svg")
    rectangles(tmp_path / "p.svg")


def test_capturing_is_told_apart():
    f = ag.compile(lambda x: ag.exp(x) + 1)
    with ag.profile() as p:
        f(ag.tensor([1.0]))
    assert p.captures == 1
    assert p.compiling_seconds > 0
    assert "1 function was captured and compiled" in str(p)
    assert {row.name for row in p.operations} == {"exp", "add"}


def test_operations_left_to_python_are_rows_too():
    f = ag.compile(lambda x: ag.sort(x) * 2)
    x = ag.tensor([3.0, 1.0, 2.0])
    f(x)
    plain = f(x).tolist()
    with ag.profile() as p:
        assert f(x).tolist() == plain
    assert sum(row.total.calls for row in p.operations) >= 1
    assert all(row.compiled for row in p.operations)


def test_training_with_fit_is_profiled():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(64, 3)).astype("f4")
    model = Two()
    with ag.profile() as p:
        nn.fit(model, (x, x[:, :2]), nn.mse_loss, nn.SGD(model.parameters(), 0.1), 2, progress=False)
    assert p.captures == 1
    assert p.replays == {"step": 3}  # two batches an epoch, of which the first is captured
    assert "Two.first" in {m.path for m in p.modules}
