"""JAX: plain functions on a pytree of weights, the whole step under jit, its state donated."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .. import layers as d
from ..measure import Call
from ..workloads import MOMENTUM, Workload
from . import Role, Step
from .xla_operations import Operations


class Jax:
    """Compiled by jit, with the channels first or last."""

    def __init__(self, channels_last: bool = False) -> None:
        self.operations = Operations(-1 if channels_last else 1)

    def place(self, array: np.ndarray, role: Role) -> Any:
        return jnp.array(self.operations.order(array, role))

    def fetch(self, result: Any, role: Role) -> list[np.ndarray]:
        parts = result if isinstance(result, tuple) else (result,)
        return [self.operations.usual_order(np.asarray(part), role) for part in parts]

    def forward(self, operation: str, inputs: list[Any], settings: dict[str, Any]) -> Call:
        function = getattr(self.operations, operation)
        compiled = jax.jit(lambda *arrays: function(*arrays, **settings))
        return lambda: jax.block_until_ready(compiled(*inputs))

    def pullback(self, operation: str, inputs: list[Any], cotangent: Any, settings: dict[str, Any]) -> Call:
        function = getattr(self.operations, operation)
        first, *rest = inputs
        _, pull = jax.vjp(lambda x: function(x, *rest, **settings), first)
        compiled = jax.jit(lambda pull, g: pull(g))  # what the forward pass saved comes in with `pull`
        return lambda: jax.block_until_ready(compiled(pull, cotangent))

    def step(self, workload: Workload) -> Step:
        x, y = self.place(workload.inputs, _input_role(workload)), jnp.array(workload.targets)
        state = self._initial(workload)
        compiled = jax.jit(self._update(workload), donate_argnums=0)

        def step() -> float:
            nonlocal state
            state, loss = compiled(state, x, y)
            return float(loss)

        return step

    def forget(self) -> None:
        jax.clear_caches()

    def _initial(self, workload: Workload) -> dict[str, Any]:
        weights = jax.tree.map(jnp.array, self._prepared(workload.model, workload.weights))
        normalised = [layer.channels for layer in d.leaves(workload.model) if isinstance(layer, d.BatchNorm)]
        return {
            "weights": weights,
            "momentum": jax.tree.map(jnp.zeros_like, weights),
            "statistics": [(jnp.zeros(size), jnp.ones(size)) for size in normalised],
            "key": jax.random.key(0),
        }

    def _update(self, workload: Workload) -> Callable[..., Any]:
        """state, x, y → state, loss."""

        def update(state: dict[str, Any], x: Any, y: Any) -> tuple[dict[str, Any], Any]:
            key, drawn = jax.random.split(state["key"])

            def loss_of(weights: Any) -> tuple[Any, Any]:
                run = Run(self.operations, state["statistics"], drawn)
                out = run.apply(workload.model, weights, x)
                loss = self._cross_entropy(out, y) if workload.classifies else jnp.mean((out - y) ** 2)
                return loss, run.statistics

            (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(state["weights"])
            momentum = jax.tree.map(lambda m, g: MOMENTUM * m + g, state["momentum"], gradients)
            weights = jax.tree.map(lambda w, m: w - workload.lr * m, state["weights"], momentum)
            new = {"weights": weights, "momentum": momentum, "statistics": statistics, "key": key}
            return new, loss

        return update

    def _cross_entropy(self, logits: Any, labels: Any) -> Any:
        axis = self.operations.channels
        scores = jax.nn.log_softmax(logits, axis)
        return -jnp.mean(jnp.take_along_axis(scores, jnp.expand_dims(labels, axis), axis))

    def _prepared(self, layer: d.Layer, weights: d.Weights) -> Any:
        """The weights in this setting's order; equal layers' stacked, for scan."""
        match layer:
            case d.Conv() | d.ConvTranspose():
                return [self.operations.order(weights[0], "weight"), *weights[1:]]
            case d.Repeat(body):
                return jax.tree.map(lambda *same: np.stack(same), *[self._prepared(body, w) for w in weights])
        inside = d.children(layer)
        return [self._prepared(child, w) for child, w in zip(inside, weights)] if inside else weights


def _input_role(workload: Workload) -> Role:
    return "image" if workload.has_images else "plain"


class Run:
    """One forward pass: what it reads besides the weights, and the statistics it leaves."""

    def __init__(self, operations: Operations, statistics: list[Any], key: Any) -> None:
        self.operations, self.key = operations, key
        self.before, self.statistics = iter(statistics), []

    def apply(self, layer: d.Layer, weights: Any, x: Any) -> Any:
        """The layer's output."""
        match layer:
            case d.Chain(layers):
                for one, w in zip(layers, weights):
                    x = self.apply(one, w, x)
                return x
            case d.Repeat(body):
                return lax.scan(lambda h, w: (self.apply(body, w, h), None), x, weights)[0]
            case d.Residual(body, shortcut, scale):
                main = self.apply(body, weights[0], x)
                return self.apply(shortcut, weights[1], x) + scale * main
            case d.Concat(body):
                return jnp.concatenate([x, self.apply(body, weights[0], x)], self.operations.channels)
            case d.BatchNorm():
                return self._batch_norm(weights, x)
            case d.Dropout():
                self.key, drawn = jax.random.split(self.key)
                return jnp.where(jax.random.bernoulli(drawn, 0.5, x.shape), x / 0.5, 0)
        return self._leaf(layer, weights, x)

    def _leaf(self, layer: d.Layer, weights: Any, x: Any) -> Any:
        operations = self.operations
        match layer:
            case d.Dense():
                return x @ weights[0] + weights[1]
            case d.Conv(_, _, kernel, stride, groups):
                y = operations.conv(x, weights[0], stride, kernel // 2, groups)
                return operations.add_bias(y, weights[1]) if layer.bias else y
            case d.ConvTranspose():
                return operations.add_bias(operations.conv_transpose(x, weights[0], 2), weights[1])
            case d.LayerNorm():
                centered = x - x.mean(-1, keepdims=True)
                variance = (centered**2).mean(-1, keepdims=True)
                return centered * lax.rsqrt(variance + 1e-5) * weights[0] + weights[1]
            case d.Attention(_, heads):
                return _attention(x, weights, heads)
            case d.MaxPool():
                return operations.max_pool(x, 2, 2, 0)
            case d.GlobalAvgPool():
                return x.mean(operations.spatial(x))
            case d.Flatten():
                return jnp.moveaxis(x, operations.channels, 1).reshape(len(x), -1)
            case d.Relu():
                return jax.nn.relu(x)
            case d.Gelu():
                return jax.nn.gelu(x, approximate=False)
        raise NotImplementedError(f"{layer} in JAX")

    def _batch_norm(self, weights: Any, x: Any) -> Any:
        mean, var = self.operations.statistics(x)
        before = next(self.before)
        self.statistics.append(tuple(0.9 * old + 0.1 * new for old, new in zip(before, (mean, var))))
        scale = lax.rsqrt(var + 1e-5) * weights[0]
        along = self.operations.along
        return (x - along(mean, x)) * along(scale, x) + along(weights[1], x)


def _attention(x: Any, weights: Any, heads: int) -> Any:
    n, tokens, size = x.shape
    qkv = (x @ weights[0] + weights[1]).reshape(n, tokens, 3, heads, size // heads)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)
    scores = jax.nn.softmax(q @ k.mT * (size // heads) ** -0.5, -1)
    return (scores @ v).transpose(0, 2, 1, 3).reshape(n, tokens, size) @ weights[2] + weights[3]
