"""Training that is interrupted: parameters, buffers and optimizer state are those of one step."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import autograd_core as ag
import nn


@pytest.fixture(autouse=True)
def pythons_own_handler():
    """Where the tests run in the background of a shell, Python starts with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press():
    os.kill(os.getpid(), signal.SIGINT)


X = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
BATCHES = [(X[i : i + 8], X[i : i + 8, :2]) for i in (0, 8, 16)]


def made():
    ag.random.seed(0)
    model = nn.Sequential(nn.Dense(4, 8), nn.BatchNorm(8), nn.Dropout(0.2), nn.Dense(8, 2))
    optimizer = nn.Adam(model.named_parameters(), 0.05)
    return model, optimizer, nn.schedules.cosine(optimizer, 9)


def states(model, optimizer, schedule):
    return [
        *model.state_dict().values(),
        *optimizer.state_dict().values(),
        *map(np.asarray, schedule.state_dict().values()),
    ]


def after(steps, compile):
    """The states after so many steps."""
    model, optimizer, schedule = made()
    batches = (BATCHES * 3)[:steps]
    if steps:
        nn.fit(model, batches, nn.mse_loss, optimizer, 1, schedule=schedule, progress=False, compile=compile)
    return states(model, optimizer, schedule)


def agree(found, wanted, compile):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5 if compile else 0, atol=1e-6 if compile else 0)


class Watched(nn.optim.Adam):
    """Presses Ctrl-C in the middle of an update."""

    at, times, calls = 0, 1, 0

    def update(self, x, g, moments, rates):
        self.calls += 1
        if self.calls == self.at:
            for _ in range(self.times):
                press()
        return super().update(x, g, moments, rates)


@pytest.mark.parametrize(("times", "steps"), [(1, 2), (2, 1)])
@pytest.mark.parametrize("at", [7, 9, 12])
def test_ctrl_c_in_an_update_leaves_whole_steps(at, times, steps):
    """Of the second step's six updates: pressed once the step is finished, pressed twice it is undone."""
    model, _, _ = made()
    optimizer = Watched(model.named_parameters(), 0.05)
    optimizer.at, optimizer.times = at, times
    schedule = nn.schedules.cosine(optimizer, 9)
    options = {"schedule": schedule, "progress": False, "compile": False}
    nn.fit(model, BATCHES, nn.mse_loss, optimizer, 3, **options)
    assert optimizer.counts.tolist() == [steps] * 6
    agree(states(model, optimizer, schedule), after(steps, False), False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("where", ["forward", "loss", "schedule", "data", "callback", "metric"])
@pytest.mark.parametrize("compile", [True, False])
def test_ctrl_c_anywhere_leaves_whole_steps(where, compile):
    model, optimizer, schedule = made()
    calls = [0]

    def at(place, result):
        if place == where:
            calls[0] += 1
            if calls[0] == (1 if place == "callback" or compile else 2):
                press()
        return result

    forward, step = model.layers[0].forward, schedule.step
    model.layers[0].__dict__["forward"] = lambda x: at("forward", forward(x))
    schedule.step = lambda: at("schedule", step())

    class Data:
        def __iter__(self):
            return (at("data", batch) for batch in BATCHES)

    nn.fit(
        model, Data(), lambda p, t: at("loss", nn.mse_loss(p, t)), optimizer, 3, schedule=schedule, progress=False,
        callbacks=lambda h, m: at("callback", None), metrics={"m": lambda p, t: at("metric", 0.0)}, compile=compile,
    )  # fmt: skip
    del model.layers[0].__dict__["forward"]
    count = optimizer.counts.tolist()
    assert len(set(count)) == 1
    assert 0 <= count[0] < 9
    agree(states(model, optimizer, schedule), after(count[0], compile), compile)


@pytest.mark.parametrize("compile", [True, False])
def test_ctrl_c_at_random_moments_leaves_whole_steps(compile):
    for delay in np.random.default_rng(1).uniform(0.005, 0.06, size=12):
        model, optimizer, schedule = made()
        timer = threading.Timer(delay, press)

        class Endless:
            def __iter__(self):
                return (BATCHES[i % 3] for i in range(10**6))

        options = {"schedule": schedule, "progress": False, "compile": compile}
        timer.start()
        nn.fit(model, Endless(), nn.mse_loss, optimizer, 1, **options)
        timer.join()
        count = optimizer.counts.tolist()
        assert len(set(count)) == 1
        assert schedule.count.item() == count[0]
        twin, other, plan = made()
        many = [BATCHES[i % 3] for i in range(count[0])]
        if many:
            nn.fit(twin, many, nn.mse_loss, other, 1, schedule=plan, progress=False, compile=compile)
        agree(states(model, optimizer, schedule), states(twin, other, plan), compile)


def test_an_error_in_the_middle_of_a_step_undoes_the_step():
    class Breaks(nn.optim.Adam):
        calls = 0

        def update(self, x, g, moments, rates):
            self.calls += 1
            if self.calls == 9:
                raise RuntimeError("broken")
            return super().update(x, g, moments, rates)

    model, _, _ = made()
    optimizer = Breaks(model.named_parameters(), 0.05)
    schedule = nn.schedules.cosine(optimizer, 9)
    with pytest.raises(RuntimeError, match="broken"):
        nn.fit(model, BATCHES, nn.mse_loss, optimizer, 1, schedule=schedule, progress=False, compile=False)
    agree(states(model, optimizer, schedule), after(1, False), False)


def test_a_handler_of_ones_own_is_left_alone():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        model, optimizer, _ = made()
        callback = lambda h, m: press()
        history = nn.fit(model, BATCHES, nn.mse_loss, optimizer, 2, callbacks=callback, progress=False)
        time.sleep(0.01)
        assert (history.epochs, len(pressed)) == (2, 2)
    finally:
        signal.signal(signal.SIGINT, before)


def test_fit_runs_in_other_threads():
    found = []

    def work():
        model, optimizer, _ = made()
        found.append(nn.fit(model, BATCHES, nn.mse_loss, optimizer, 1, progress=False).epochs)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1]
