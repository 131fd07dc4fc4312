"""Fitting a model: the training loop with its progress, its history, and its ways to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import autograd_core
from autograd_core.dtypes import as_array, is_float
from autograd_core.errors import TracedValueError
from autograd_core.parameter import Buffer
from autograd_core.random import stream
from autograd_core.tape import Value, recording, replaced
from autograd_core.tensor import Tensor
from nn.data import repeatable
from nn.history import History
from nn.interrupts import Interrupts
from nn.optimizer import Optimizer
from nn.progress import reporter as progress_reporter
from nn.storage import save

Metric = Callable[
    [Tensor, Any], Any
]  # (prediction, target) → one number for the batch, averaged over its rows
Callback = Callable[[History, Any], Any]


def fit(
    model: Any,
    data: Any,
    loss: Callable[[Any, Any], Tensor],
    optimizer: Any,
    epochs: int,
    validation: Any = None,
    callbacks: Callback | Iterable[Callback] = (),
    progress: bool | int = True,
    metrics: Mapping[str, Metric] | None = None,
    schedule: Any = None,
    save_best: str | Path | None = None,
    compile: bool = True,
    report: str | Path | None = None,
) -> History:
    """Train a model for some epochs; returns the History, one number per epoch and quantity.

    - `data`: what gives tuples (*inputs, target) each time it is iterated over, such as `nn.data.batches(...)`; or
      the arrays (x, y) themselves, for shuffled batches of 32. `validation`: likewise, evaluated after each epoch in
      evaluation mode. Float ndarrays are converted to the dtype of the model's parameters.
    - `loss(model(*inputs), target)` is a scalar tensor, the mean over the batch.
    - `metrics`: names and functions of (prediction, target). Without any, "accuracy" is measured when targets are
      integers (N,) and predictions (N, classes); `{}` measures nothing.
    - `callbacks` are called as callback(history, model) after each epoch; returning True or raising StopIteration
      ends the training. `early_stopping` is one.
    - `progress`: a bar on a terminal, elsewhere a line per epoch; a number n: a line every n epochs; False: silence.
    - `schedule.step()` is called after each batch. For one step per epoch make it a callback:
      `lambda history, model: schedule.step()`.
    - `save_best`: where the model goes (`nn.save`) after each epoch that has the lowest validation loss so far
      (training loss without validation).
    - `compile`: training steps run compiled (`autograd_core.compile`), with optimizers of this package; where they
      cannot, a line says why and they run as they stand. What the loss or the model does besides computing, such as
      printing, then happens just once.
    - `report`: a file that is kept up to date while training and stays after a crash: "run.html", a page that
      refreshes itself (curves, gradients, updates, sample predictions, speed, memory), or "run.txt", text for a
      terminal (`watch cat run.txt`). It takes about 2 % of the time, up to 6 % where a step takes 0.3 ms.

    The model's training modes are afterwards as they were before. Ctrl-C ends the training after the running step, and
    the history so far is returned; pressed twice, at once. A step that ends halfway, by an error or so, is undone:
    parameters, buffers, optimizer and schedule are those of one step. Raises FloatingPointError, before the parameters
    change, when the loss is not finite, and ValueError at the first step when no parameter of the optimizer gets a
    gradient: when it was made for another model, for example. It may hold a part of the parameters, and some may be
    frozen.

    >>> import nn
    >>> import numpy as np
    >>> x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(64, 1)
    >>> model = nn.Dense(1, 1)
    >>> history = nn.fit(model, (x, 3 * x + 1), nn.mse_loss, nn.SGD(model.parameters(), 0.1), 30, progress=False)
    >>> history["loss"][-1] < 0.01
    True
    """
    if isinstance(epochs, bool) or not isinstance(epochs, int | np.integer) or epochs < 0:
        raise ValueError(f"fit: epochs = {epochs!r}: it must be an integer, 0 or more")
    _check_optimizer(optimizer)
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(
            f"fit: metrics is a {type(metrics).__name__}: give names and functions, "
            "metrics={'error': lambda prediction, target: ...}"
        )
    data = repeatable(data, "data", 32, shuffle=True)
    if validation is not None:
        validation = repeatable(validation, "validation", 256, shuffle=False)
    calls = (callbacks,) if callable(callbacks) else tuple(callbacks)
    history = History()
    watch = _watch(report, model, history, epochs, data)
    shown = watch.reporter = progress_reporter(progress, epochs, data)
    modes = [(module, module.training) for module in model.modules()]
    keyboard = Interrupts()
    trainer = _Trainer(model, loss, optimizer, schedule, metrics, shown, compile, watch, keyboard)
    stopped = ""
    try:
        keyboard.__enter__()
        for epoch in range(epochs):
            values = trainer.epoch(epoch, data, validation)
            keyboard.within = "step"
            history.record(**values)
            keyboard.deliver()
            shown.epoch(epoch, history)
            watch.epoch()
            if save_best is not None and history.best_epoch == epoch:
                save(save_best, model, epoch=epoch, **{history.monitored: history[history.monitored][epoch]})
            if any([_stops(callback, history, model) for callback in calls]):  # noqa: C419 (all are called)
                stopped = f"stopped by a callback after {epoch + 1} of {epochs} epochs" * (epoch + 1 < epochs)
                break
        watch.end("stopped" if stopped else "finished", stopped)
    except KeyboardInterrupt:
        stopped = f"stopped by the keyboard after {history.epochs} of {epochs} epochs"
        shown.line(stopped)
        watch.end("stopped", stopped)
    except BaseException as error:
        watch.failed(error)
        raise
    finally:
        keyboard.__exit__()
        shown.close()
        for module, training in modes:
            module.training = training
    return history


def early_stopping(patience: int = 5, monitor: str | None = None, min_delta: float = 0.0) -> Callback:
    """A callback that ends the training when a quantity has not fallen by more than `min_delta` for some epochs.

    `monitor` names the quantity: by default "validation_loss" where there is one, else "loss".

    >>> import nn
    >>> stop = nn.training.early_stopping(patience=2)
    >>> history = nn.History()
    >>> for loss in (1.0, 0.5, 0.6, 0.55):
    ...     history.record(loss=loss)
    ...     print(stop(history, None))
    False
    False
    False
    True
    """

    def stop(history: History, model: Any) -> bool:
        best, since = math.inf, 0
        for value in history[monitor or history.monitored]:
            if value < best - min_delta:
                best, since = value, 0
            else:
                since += 1
        return since >= patience

    return stop


def _stops(callback: Callback, history: History, model: Any) -> bool:
    try:
        answer = callback(history, model)
    except StopIteration:
        return True
    return isinstance(answer, bool | np.bool_) and bool(answer)


class _Trainer:
    """One epoch after another; what stays the same through all of them is held here."""

    def __init__(
        self,
        model: Any,
        loss: Any,
        optimizer: Any,
        schedule: Any,
        metrics: Any,
        report: Any,
        compile: bool,
        watch: Any,
        keyboard: Interrupts,
    ) -> None:
        self.model = model
        # An optimizer with a step of its own may write to arrays where nobody sees it.
        known = isinstance(optimizer, Optimizer) and type(optimizer).step is Optimizer.step
        self.compiled = autograd_core.compile(self.step) if compile and known else None
        owners = (model.parameters(), model.buffers(), _states(optimizer), _states(schedule))
        self.states = [stream, *(state for states in owners for state in states)]
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.metrics = metrics
        self.report = report
        self.watch = watch
        self.keyboard = keyboard
        self.checked = False  # that the optimizer's parameters get gradients
        self.dtype = next((p.dtype for p in model.parameters()), None)

    def epoch(self, epoch: int, data: Any, validation: Any) -> dict[str, float]:
        """Train on all data and evaluate; what belongs into the history."""
        began, lr = time.perf_counter(), self.optimizer.lr
        values = self.train(epoch, data)
        if validation is not None:
            evaluated = self.evaluate(validation)
            values |= {f"validation_{name}": value for name, value in evaluated.items()}
        return {**values, "lr": lr, "seconds": time.perf_counter() - began}

    def train(self, epoch: int, data: Any) -> dict[str, float]:
        """One pass over the data that changes the parameters."""
        self.model.train()
        self.watch.begin()
        means = _Means()
        last: tuple[Any, ...] | None = None
        for number, batch in enumerate(data):
            inputs, target = self.split(batch, "data")
            lr, before = (
                self.optimizer.lr,
                _Before(self.states, [] if self.checked else self.model.parameters()),
            )
            self.watch.before()
            self.keyboard.within = "step"
            try:
                loss, prediction = self.run(inputs, target)
            except BaseException:
                self.keyboard.within = "undo"
                before.put_back()
                self.keyboard.within = ""
                raise
            self.keyboard.deliver()
            value = float(loss)
            self.watch.after(value, _rows(target))
            if not math.isfinite(value):
                before.put_back()
                raise FloatingPointError(
                    f"fit: the loss is {value} in epoch {epoch + 1}, step {number + 1} (lr {lr:g}). "
                    "Parameters and buffers are as before this step: try a lower learning rate, or nn.clip_grad_norm. "
                    f"That step's forward pass, run again:\n{self.autopsy(inputs, target)}"
                )
            means.add(_rows(target), {"loss": value, **self.measure(prediction, target)})
            self.report.batch(epoch, _rows(target), means)
            if last is None or _rows(target) >= _rows(
                last[1]
            ):  # the last batch may be the rest, of a few rows
                last = inputs, target, prediction
        if last is not None:
            self.watch.evaluated(*last, "last training batch")
        return means.result("data")

    def run(self, inputs: list[Any], target: Any) -> tuple[Tensor, Any]:
        """One step, compiled if it can be."""
        if self.compiled is not None:
            try:
                return self.compiled(inputs, target)
            except TracedValueError as error:
                self.compiled = None
                self.report.line(f"fit: steps run uncompiled, for {error}")
        return self.step(inputs, target)

    def step(self, inputs: list[Any], target: Any) -> tuple[Tensor, Any]:
        """One step as it stands."""
        prediction = self.model(*inputs)
        loss = self.loss(prediction, target)
        if not isinstance(loss, Tensor):
            raise TypeError(
                f"fit: the loss is a {type(loss).__name__}: return a tensor, without item(), float() or numpy()"
            )
        self.optimizer.zero_grad()
        loss.backward()
        if not self.checked:
            self.check_gradients()
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        return loss, prediction

    def check_gradients(self) -> None:
        """ValueError when no parameter of the optimizer has a gradient; a line about those that never will."""
        params = getattr(self.optimizer, "params", None)
        if params is None:  # an optimizer of another kind
            return
        own = {id(p) for p in self.model.parameters()}
        foreign = [p for p in params if id(p) not in own]
        kind, total = type(self.optimizer).__name__, len(params)
        if all(p.grad is None for p in params):
            frozen = sum(not p.requires_grad for p in params)
            if foreign:
                why = (
                    f"{len(foreign)} are not this model's: make the optimizer after the model, "
                    f"optimizer = nn.{kind}(model.parameters(), ...)"
                )
            elif frozen:
                why = f"{frozen} are frozen: set p.requires_grad = True, or give the optimizer others"
            else:
                why = "the loss does not depend on them"
            raise ValueError(
                f"fit: none of the optimizer's {total} parameters gets a gradient from this loss, nothing would be "
                f"trained: {why}"
            )
        stale = [p for p in foreign if p.grad is None and p.requires_grad]
        if stale:
            self.report.line(
                f"fit: {len(stale)} of the optimizer's {total} parameters are not this model's and get no gradient: "
                f"was a parameter replaced? Make the optimizer again, optimizer = nn.{kind}(model.parameters(), ...)"
            )
        self.checked = True

    def autopsy(self, inputs: list[Any], target: Any) -> Any:
        """Of the loss of a batch, computed anew; all states stay as they are. What it raises is told, not raised."""
        before = [(state, state.array) for state in self.states]
        try:
            with autograd_core.observe():
                loss = self.loss(self.model(*inputs), target)
            return autograd_core.autopsy(loss)
        except Exception as error:
            return f"it raised {type(error).__name__}: {error}"
        finally:
            for state, array in before:
                state.array = array

    @recording(False)
    def evaluate(self, data: Any) -> dict[str, float]:
        """One pass over the data in evaluation mode."""
        self.model.eval()
        means = _Means()
        for number, batch in enumerate(data):
            inputs, target = self.split(batch, "validation")
            prediction = self.model(*inputs)
            if not number:
                self.watch.evaluated(inputs, target, prediction, "validation")
            loss = float(self.loss(prediction, target))
            means.add(_rows(target), {"loss": loss, **self.measure(prediction, target)})
        return means.result("validation")

    def split(self, batch: Any, name: str) -> tuple[list[Any], Any]:
        """Inputs and target of a batch, float ndarrays in the model's dtype."""
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
            raise TypeError(
                f"fit: {name} gives a {type(batch).__name__}{size} where a tuple (*inputs, target) is needed: give the "
                "arrays as a tuple, (x, y), or nn.data.batches((x, y), 32)"
            )
        *inputs, target = (self.convert(part) for part in batch)
        return inputs, target

    def convert(self, part: Any) -> Any:
        """A tensor; NumPy's float64 would make all computations slow float64 ones."""
        if isinstance(part, Value):
            return part
        array = np.asarray(part)
        return Tensor(as_array(array, self.dtype if is_float(array.dtype) else None, copy=True))

    def measure(self, prediction: Any, target: Any) -> dict[str, float]:
        """The metrics of one batch."""
        if self.metrics is not None:
            with recording(False):
                return {name: float(metric(prediction, target)) for name, metric in self.metrics.items()}
        shapes = getattr(prediction, "ndim", 0) == 2 and getattr(target, "ndim", 0) == 1
        if not shapes or target.dtype.kind not in "iu" or not target.size:
            return {}
        return {"accuracy": float((prediction.array.argmax(axis=1) == target.array).mean())}


class _Before:
    """States, and gradients, as they are now: to be put back when a step ends halfway."""

    def __init__(self, states: list[Any], graded: list[Any]) -> None:
        self.arrays = [(state, state.array) for state in states]
        self.grads = [(p, p.grad) for p in graded]

    def put_back(self) -> None:
        """Everything as it was."""
        for state, array in self.arrays:
            if state.array is not array:
                state.array = array
                replaced(state)
        for p, grad in self.grads:
            p.grad = grad


def _check_optimizer(optimizer: Any) -> None:
    name = getattr(optimizer, "__name__", type(optimizer).__name__)
    if isinstance(optimizer, type):
        raise TypeError(f"fit: optimizer is the class {name}: make one, nn.{name}(model.parameters(), ...)")
    if isinstance(optimizer, list | tuple):
        raise TypeError(f"fit: optimizer is a {name}: give one optimizer, nn.Adam(model.parameters(), 1e-3)")
    missing = [each for each in ("step", "zero_grad", "lr") if not hasattr(optimizer, each)]
    if missing:
        raise TypeError(
            f"fit: optimizer is a {type(optimizer).__module__}.{name} without {', '.join(missing)}: give one of this "
            "package, nn.Adam(model.parameters(), 1e-3)"
        )


def _states(owner: Any) -> list[Any]:
    """The tensors that an optimizer or a schedule keeps between steps."""
    if owner is None:
        return []
    if hasattr(owner, "buffers"):
        return list(owner.buffers().values())
    return [value for value in vars(owner).values() if isinstance(value, Buffer)]


def _rows(target: Any) -> int:
    return target.shape[0] if target.ndim else 1


class _Means:
    """Means over rows, of values that are means over batches."""

    def __init__(self) -> None:
        self.rows = 0
        self.sums: dict[str, float] = {}

    def add(self, rows: int, values: Mapping[str, float]) -> None:
        self.rows += rows
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * rows

    def result(self, name: str) -> dict[str, float]:
        if not self.rows:
            raise ValueError(f"fit: {name} gave no batch: is it empty, or does it work only once?")
        return {name: total / self.rows for name, total in self.sums.items()}


class _Unwatched:
    """No report: what nn.report.Watch does, left undone."""

    reporter: Any = None

    def begin(self) -> None: ...

    def before(self) -> None: ...

    def after(self, loss: float, rows: int) -> None: ...

    def evaluated(self, inputs: list[Any], target: Any, prediction: Any, source: str) -> None: ...

    def epoch(self) -> None: ...

    def end(self, state: str, note: str = "") -> None: ...

    def failed(self, error: BaseException) -> None: ...


def _watch(path: Any, model: Any, history: History, epochs: int, data: Any) -> Any:
    if path is None:
        return _Unwatched()
    from nn.report import Watch

    return Watch(path, model, history, epochs, len(data) if hasattr(data, "__len__") else None)
