"""Losses: how far predictions are from what they should be.

Each takes `reduction`: "mean" over all elements (or samples), "sum", or "none". Shapes must be equal: a prediction
(N, 1) against a target (N,) would broadcast to (N, N) and quietly train something else.
"""

from typing import Any

import numpy as np

import autograd_core as ag
from autograd_core import Tensor
from autograd_core.dtypes import Array, as_array
from nn.module import misuse

_REDUCTIONS = ("mean", "sum", "none")


def mse_loss(prediction: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Squared differences. ValueError when the shapes differ.

    >>> import autograd_core as ag, nn
    >>> nn.mse_loss(ag.tensor([1.0, 2.0]), ag.tensor([1.0, 4.0])).item()
    2.0
    """
    return _reduced(_difference("mse_loss", prediction, target).square(), reduction, "mse_loss")


def l1_loss(prediction: Any, target: Any, reduction: str = "mean") -> Tensor:
    """Absolute differences. ValueError when the shapes differ.

    >>> import autograd_core as ag, nn
    >>> nn.l1_loss(ag.tensor([1.0, 2.0]), ag.tensor([1.0, 4.0])).item()
    1.0
    """
    return _reduced(_difference("l1_loss", prediction, target).abs(), reduction, "l1_loss")


def huber_loss(prediction: Any, target: Any, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """½e² for differences |e| ≤ delta, delta·(|e| - ½delta) beyond (Huber 1964). ValueError when the shapes differ.

    >>> import autograd_core as ag, nn
    >>> nn.huber_loss(ag.tensor([1.0, 2.0]), ag.tensor([1.0, 5.0]), reduction="none")
    tensor([0. , 2.5], dtype=float32)
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta is {delta}: it must be positive")
    size = _difference("huber_loss", prediction, target).abs()
    inner = ag.minimum(size, delta if isinstance(delta, Tensor) else float(delta))
    return _reduced(inner * (size - inner * 0.5), reduction, "huber_loss")


def cross_entropy(logits: Any, labels: Any, reduction: str = "mean") -> Tensor:
    """-log of the probability that softmax(logits) gives to the label, without overflow.

    logits (N, C) with integer labels (N,) in 0…C - 1, or (N, C, *spatial) with (N, *spatial); labels that are floats of
    the logits' shape are probabilities of the classes, along axis 1. ValueError for other shapes and labels out of
    range, TypeError for float labels.

    >>> import autograd_core as ag, nn
    >>> round(nn.cross_entropy(ag.tensor([[0.0, 0.0]]), [1]).item(), 4)
    0.6931
    """
    scores = ag.asarray(logits)
    _check_classes("cross_entropy", "logits", scores)
    targets = ag.asarray(labels)
    if targets.shape == scores.shape and targets.dtype.kind == "f":
        return -_reduced((scores.log_softmax(axis=1) * targets).sum(axis=1), reduction, "cross_entropy")
    _check_labels("cross_entropy", "logits", scores, targets.array)
    return _reduced(ag.cross_entropy(scores, targets), reduction, "cross_entropy")


def nll_loss(log_probabilities: Any, labels: Any, reduction: str = "mean") -> Tensor:
    """-log_probabilities at the label: cross_entropy for what has been through log_softmax already.

    (N, C) with integer labels (N,), or (N, C, *spatial) with (N, *spatial). Errors as for `cross_entropy`.

    >>> import autograd_core as ag, nn
    >>> nn.nll_loss(ag.tensor([[-1.0, -2.0]]), [1]).item()
    2.0
    """
    scores = ag.asarray(log_probabilities)
    _check_classes("nll_loss", "log_probabilities", scores)
    targets = ag.asarray(labels)
    _check_labels("nll_loss", "log_probabilities", scores, targets.array)
    return -_reduced(ag.pick(_floats(scores), targets), reduction, "nll_loss")


def binary_cross_entropy_with_logits(logits: Any, targets: Any, reduction: str = "mean") -> Tensor:
    """-t·log p - (1 - t)·log(1 - p) with p = sigmoid(logits), exact for logits of any size.

    `targets` t in [0, 1] (numbers or booleans) of the logits' shape. ValueError when the shapes differ.

    >>> import autograd_core as ag, nn
    >>> nn.binary_cross_entropy_with_logits(ag.tensor([1000.0, -1000.0]), [1.0, 1.0], reduction="none").tolist()
    [0.0, 1000.0]
    """
    x, t = _pair("binary_cross_entropy_with_logits", logits, targets, "logits", "targets")
    # Both terms are ≥ 0, so nothing cancels and small losses keep their digits.
    losses = t * ag.softplus(-x) + (1 - t) * ag.softplus(x)
    return _reduced(losses, reduction, "binary_cross_entropy_with_logits")


# Helpers ---------------------------------------------------------------------------------------------------------


def _reduced(losses: Tensor, reduction: str, name: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    if reduction != "none":
        raise ValueError(f"{name}: reduction is {reduction!r}: use one of {', '.join(_REDUCTIONS)}")
    return losses


def _pair(
    name: str, prediction: Any, target: Any, first: str = "prediction", second: str = "target"
) -> tuple[Tensor, Any]:
    """Both of one shape and as floats: differences of unsigned integers would wrap around.

    An integer or boolean target takes the prediction's dtype instead of promoting it.
    """
    x = prediction if isinstance(prediction, Tensor) else ag.asarray(prediction)
    t = target if isinstance(target, Tensor) else as_array(target)
    if x.shape != t.shape:
        mend = "give both the same shape"
        if x.size == t.size:
            mend += f", for example {second}.reshape({first}.shape)"
        values: dict[str, Any] = {first: x, second: t}
        raise misuse(name, f"{first} and {second} differ in shape: {mend}", **values)
    if x.dtype.kind != "f":
        x = _floats(x if t.dtype.kind == "f" else x.astype(np.result_type(x.dtype, t.dtype)))
    return x, t if t.dtype.kind == "f" else t.astype(x.dtype)


def _floats(x: Tensor) -> Tensor:
    """Integers and booleans as floats that hold them: float32 up to 16 bits, float64 beyond."""
    return x if x.dtype.kind == "f" else x.astype(np.result_type(x.dtype, np.float32))


def _difference(name: str, prediction: Any, target: Any) -> Tensor:
    x, t = _pair(name, prediction, target)
    return x - t


def _check_classes(name: str, argument: str, scores: Tensor) -> None:
    if scores.ndim < 2:
        raise misuse(
            name,
            f"{argument} need a batch and a class axis: (N, C) or (N, C, *spatial)",
            **{argument: scores},
        )


def _check_labels(name: str, argument: str, scores: Tensor, labels: Array) -> None:
    values: dict[str, Any] = {argument: scores, "labels": labels}
    expected = (scores.shape[0], *scores.shape[2:])
    if labels.dtype.kind not in "iu":
        raise misuse(
            name,
            f"labels must be integers from 0 to {scores.shape[1] - 1}: convert them with astype('int64') "
            f"(probabilities need the shape {list(scores.shape)})",
            TypeError,
            **values,
        )
    if labels.shape != expected:
        raise misuse(name, f"labels must have shape {list(expected)}, one class for each sample", **values)
    if labels.size and not (labels.min() >= 0 and labels.max() < scores.shape[1]):
        wrong = labels[(labels < 0) | (labels >= scores.shape[1])].flat[0]
        raise misuse(
            name,
            f"label {wrong} is out of range: with {scores.shape[1]} classes labels go from 0 to {scores.shape[1] - 1}",
            **values,
        )
