"""nn's layers against slow obvious twins, their gradients against finite differences, and what Module promises."""

import ast
import copy
import math
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats
from kernels import naive

import autograd_core as ag
import nn
from autograd_core.ops.define import registry
from autograd_core.tape import state


def normal(rng, *shape, dtype="float64"):
    return rng.standard_normal(shape).astype(dtype)


def as_function(module):
    """The module as a function of its input and of the values of its parameters."""
    places = [
        (owner, name)
        for owner in module.modules()
        for name, value in list(vars(owner).items())
        if isinstance(value, nn.Parameter)
    ]

    def f(x, *values):
        for (owner, name), value in zip(places, values, strict=True):
            vars(owner)[name] = value  # an attribute's own assignment refuses what is no parameter
        return module(x)

    return f, [getattr(owner, name).numpy() for owner, name in places]


def check_layer(module, x, order=2, **tolerances):
    f, values = as_function(module)
    ag.check_grads(f, (x, *values), order=order, **tolerances)


# No layer has a derivative of its own ---------------------------------------------------------------------------------

FORBIDDEN = {
    "defvjp",
    "primitive",
    "Primitive",
    "operation",
    "elementwise",
    "constant_pieces",
    "registry",
    "Node",
}


@pytest.mark.parametrize("path", sorted(Path(nn.__file__).parent.glob("*.py")), ids=lambda p: p.name)
def test_nn_defines_no_derivative_rules(path):
    tree = ast.parse(path.read_text())
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Attribute):
            assert statement.attr not in FORBIDDEN, f"{path.name}:{statement.lineno}"
            assert statement.attr != "apply", f"{path.name}:{statement.lineno}"
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            assert statement.name not in {"backward", "vjp", "pull_back"}, f"{path.name}:{statement.lineno}"
        elif isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("autograd_core"):
            # Calling an operation by its name in ops/ is fine; defining one is not.
            names = {alias.name for alias in statement.names}
            assert not names & FORBIDDEN, f"{path.name}:{statement.lineno}"


def test_importing_nn_registers_no_primitive_and_changes_none():
    program = (
        "from autograd_core.ops.define import registry\n"
        "import autograd_core\n"
        "before = {name: (p, p.forward, list(p.rules)) for name, p in registry.items()}\n"
        "import nn\n"
        "assert before == {name: (p, p.forward, list(p.rules)) for name, p in registry.items()}\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(nn.__file__).parents[1])


def test_the_tape_of_every_layer_is_made_of_registered_primitives(rng):
    before = {name: (p.forward, list(p.rules)) for name, p in registry.items()}
    convolutional = nn.Sequential(
        nn.ResidualBlock(1, 4, 2),
        nn.ConvTranspose(4, 4, 2),
        nn.GroupNorm(2, 4),
        nn.MaxPool(2),
        nn.AvgPool(2),
        nn.GlobalAvgPool(),
    )
    dense = [nn.Dense(4, 4), nn.LayerNorm(4), nn.ReLU(), nn.GELU(), nn.SiLU(), nn.Tanh(), nn.Sigmoid()]
    model = nn.Sequential(convolutional, nn.Flatten(), *dense, nn.LeakyReLU(), nn.Softmax(), nn.Dropout(0.1))
    scores = model(normal(rng, 3, 1, 8, 8, dtype="float32"))
    target = ag.zeros((3, 4))
    loss = nn.cross_entropy(scores, [0, 1, 3]) + nn.nll_loss(scores, [0, 1, 3])
    for f in (nn.mse_loss, nn.l1_loss, nn.huber_loss, nn.binary_cross_entropy_with_logits):
        loss = loss + f(scores, target)
    pending, found = [loss.node], set()
    while pending:
        node = pending.pop()
        if node is not None and node.primitive is not None:
            found.add(node.primitive)
            pending.extend(node.inputs)
    assert len(found) > 20
    assert found <= set(registry.values())
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert before == {name: (p.forward, list(p.rules)) for name, p in registry.items()}


# Dense and convolutions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("leading", [(5,), (), (2, 3), (0,)])
def test_dense_is_x_weight_plus_bias(rng, leading, bias):
    layer = nn.Dense(4, 3, bias=bias)
    x = normal(rng, *leading, 4, dtype="float32")
    if bias:
        layer.bias.assign(normal(rng, 3, dtype="float32"))
    expected = np.zeros((*leading, 3))
    for index in np.ndindex(*leading, 3):
        terms = [float(x[(*index[:-1], k)]) * float(layer.weight.numpy()[k, index[-1]]) for k in range(4)]
        expected[index] = math.fsum(terms) + (float(layer.bias.numpy()[index[-1]]) if bias else 0)
    y = layer(ag.tensor(x))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert (layer.bias is None) is not bias


def test_dense_gradients(rng, float64):
    check_layer(nn.Dense(3, 2), normal(rng, 4, 3))
    check_layer(nn.Dense(3, 2, bias=False), normal(rng, 2, 2, 3))


CONVOLUTIONS = [
    ((2, 3, 3), {}, (2, 2, 5, 6)),
    ((2, 4, (3, 2)), {"stride": (2, 1), "padding": 1, "dilation": (1, 2)}, (1, 2, 6, 5)),
    ((4, 4, 3), {"groups": 4, "padding": 1, "bias": False}, (2, 4, 4, 4)),
    ((2, 2, (3,)), {"stride": 2}, (2, 2, 9)),
    ((1, 2, (2, 2, 2)), {"padding": 1}, (1, 1, 3, 3, 3)),
]


@pytest.mark.parametrize(("args", "options", "shape"), CONVOLUTIONS)
def test_conv_against_its_twin(rng, args, options, shape):
    layer = nn.Conv(*args, **options)
    x = normal(rng, *shape, dtype="float32")
    if layer.bias is not None:
        layer.bias.assign(normal(rng, args[1], dtype="float32"))
    assert layer.weight.shape == (args[1], args[0] // layer.groups, *layer.kernel_size)
    expected = naive.conv_forward(
        x.astype("float64"),
        layer.weight.numpy().astype("float64"),
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    if layer.bias is not None:
        for channel in range(args[1]):
            expected[:, channel] += layer.bias.numpy()[channel]
    np.testing.assert_allclose(layer(ag.tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("args", "options", "shape"), CONVOLUTIONS)
def test_conv_transpose_is_the_input_gradient_of_conv(rng, args, options, shape):
    layer = nn.ConvTranspose(*args, **options)
    x = normal(rng, *shape, dtype="float32")
    y = layer(x)
    spatial = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + 1
        for n, s, p, d, k in zip(
            shape[2:], layer.stride, layer.padding, layer.dilation, layer.kernel_size, strict=True
        )
    )
    assert y.shape == (shape[0], args[1], *spatial)
    expected = naive.conv_input_grad(
        x.astype("float64"),
        layer.weight.numpy().astype("float64"),
        spatial=spatial,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_conv_transpose_output_padding_and_bias():
    layer = nn.ConvTranspose(2, 3, 3, stride=2, padding=1, output_padding=1)
    layer.bias.assign(np.float32([1, 2, 3]))
    y = layer(ag.zeros((1, 2, 4, 4)))
    assert y.shape == (1, 3, 8, 8)
    assert [float(y[0, c].min()) for c in range(3)] == [1, 2, 3]


def test_convolution_gradients(rng, float64):
    check_layer(nn.Conv(2, 2, 3, stride=2, padding=1), normal(rng, 1, 2, 4, 4))
    check_layer(nn.ConvTranspose(2, 2, 2, stride=2), normal(rng, 1, 2, 3, 3))


# Normalisation --------------------------------------------------------------------------------------------------------


def batch_norm_twin(x, weight, bias, epsilon=1e-5):
    out = np.empty_like(x)
    means, variances = [], []
    for c in range(x.shape[1]):
        values = [float(v) for v in x[:, c].ravel()]
        mean = math.fsum(values) / len(values)
        var = math.fsum((v - mean) ** 2 for v in values) / len(values)
        out[:, c] = (x[:, c] - mean) / math.sqrt(var + epsilon) * weight[c] + bias[c]
        means.append(mean)
        variances.append(var)
    return out, np.array(means), np.array(variances)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_norm_in_both_modes(rng, shape, dtype):
    ag.set_default_dtype(dtype)
    norm = nn.BatchNorm(3)
    ag.set_default_dtype("float32")
    norm.weight.assign(normal(rng, 3))
    norm.bias.assign(normal(rng, 3))
    weight, bias = norm.weight.numpy(), norm.bias.numpy()
    mean, var = np.zeros(3), np.ones(3)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-10, "atol": 1e-12}
    for _ in range(3):
        x = normal(rng, *shape, dtype=dtype) * 3 + 2
        expected, batch_mean, batch_var = batch_norm_twin(x, weight, bias)
        y = norm(ag.tensor(x))
        assert y.dtype == dtype
        np.testing.assert_allclose(y.numpy(), expected, **tolerance)
        mean, var = 0.9 * mean + 0.1 * batch_mean, 0.9 * var + 0.1 * batch_var
        np.testing.assert_allclose(norm.running_mean.numpy(), mean, **tolerance)
        np.testing.assert_allclose(norm.running_var.numpy(), var, **tolerance)
    norm.eval()
    x = normal(rng, *shape, dtype=dtype)
    along = (1, 3, *[1] * (len(shape) - 2))
    expected = (x - mean.reshape(along)) / np.sqrt(var + 1e-5).reshape(along) * weight.reshape(along)
    np.testing.assert_allclose(norm(x).numpy(), expected + bias.reshape(along), **tolerance)
    np.testing.assert_allclose(norm.running_mean.numpy(), mean, **tolerance)  # evaluation leaves them
    assert not norm.running_mean.requires_grad


def test_batch_norm_keeps_its_digits_far_from_zero():
    """With x·scale - mean·scale, values around 10⁴ would lose four digits."""
    x = np.float32([[10000.0], [10001.0], [10002.0]])
    np.testing.assert_allclose(nn.BatchNorm(1)(x).numpy().ravel(), [-1.22474, 0, 1.22474], atol=1e-3)


@pytest.mark.parametrize("shape", [(5, 2), (3, 2, 2, 2)])
def test_batch_norm_gradients_in_both_modes(rng, float64, shape):
    check_layer(nn.BatchNorm(2), normal(rng, *shape), atol=1e-4)
    norm = nn.BatchNorm(2).eval()
    norm.running_var.assign([0.5, 2.0])
    check_layer(norm, normal(rng, *shape))


def test_batch_norm_refuses_what_has_no_variance():
    norm = nn.BatchNorm(3)
    for shape in [(1, 3), (0, 3), (1, 3, 1, 1)]:
        with pytest.raises(ValueError, match=r"at least 2 values .* larger batch.* in BatchNorm"):
            norm(ag.ones(shape))
    assert norm.running_mean.tolist() == [0, 0, 0]
    assert norm.eval()(ag.ones((1, 3))).shape == (1, 3)
    with pytest.raises(ValueError, match=r"x has 4 channels \(axis 1\) but num_features is 3"):
        norm(ag.ones((2, 4)))
    with pytest.raises(ValueError, match=r"x has 1 dimensions: it needs \(N, C\)"):
        norm(ag.ones(3))
    with pytest.raises(ValueError, match="momentum is 2"):
        nn.BatchNorm(3, momentum=2)


@pytest.mark.parametrize(("shape", "x_shape"), [(4, (3, 4)), ((2, 3), (5, 2, 3)), (4, (4,)), (4, (2, 3, 4))])
def test_layer_norm_against_its_twin(rng, float64, shape, x_shape):
    norm = nn.LayerNorm(shape)
    norm.weight.assign(normal(rng, *norm.shape))
    norm.bias.assign(normal(rng, *norm.shape))
    x = normal(rng, *x_shape)
    expected = np.empty_like(x)
    leading = x_shape[: len(x_shape) - len(norm.shape)]
    for index in np.ndindex(*leading):
        sample = x[index]
        deviation = sample - sum(sample.ravel()) / sample.size
        var = sum((deviation**2).ravel()) / sample.size
        expected[index] = deviation / math.sqrt(var + 1e-5) * norm.weight.numpy() + norm.bias.numpy()
    np.testing.assert_allclose(norm(x).numpy(), expected, rtol=1e-10)
    check_layer(norm, x, atol=1e-4)


def test_layer_norm_errors():
    with pytest.raises(ValueError, match=r"x must end in axes of sizes \[4\].*float32\[2,3\].* in LayerNorm"):
        nn.LayerNorm(4)(ag.ones((2, 3)))
    with pytest.raises(ValueError, match="shape is empty"):
        nn.LayerNorm(())


@pytest.mark.parametrize("x_shape", [(3, 6), (2, 6, 4), (2, 6, 3, 2)])
def test_group_norm_against_its_twin(rng, float64, x_shape):
    norm = nn.GroupNorm(2, 6)
    norm.weight.assign(normal(rng, 6))
    norm.bias.assign(normal(rng, 6))
    x = normal(rng, *x_shape)
    expected = np.empty_like(x)
    for n in range(x_shape[0]):
        for group in (slice(0, 3), slice(3, 6)):
            sample = x[n, group]
            expected[n, group] = (sample - sample.mean()) / math.sqrt(sample.var() + 1e-5)
        for c in range(6):
            expected[n, c] = expected[n, c] * norm.weight.numpy()[c] + norm.bias.numpy()[c]
    np.testing.assert_allclose(norm(x).numpy(), expected, rtol=1e-10, atol=1e-12)
    check_layer(norm, x, atol=1e-4)


def test_group_norm_errors():
    with pytest.raises(ValueError, match="groups 4 must divide channels 6"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match=r"x needs 6 channels along axis 1.* in GroupNorm"):
        nn.GroupNorm(2, 6)(ag.ones((2, 4)))


# Dropout --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(rate):
    n = 100_000
    y = nn.Dropout(rate)(ag.ones(n)).numpy()
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {0, np.float32(1 / (1 - rate))}
    dropped = int((y == 0).sum())
    assert scipy.stats.binomtest(dropped, n, rate).pvalue > 1e-4
    lag = np.corrcoef(y[1:], y[:-1])[0, 1]  # neighbours are independent
    assert abs(lag) < 5 / math.sqrt(n)


def test_dropout_depends_on_the_seed_only():
    x = ag.ones((10, 10))
    layer = nn.Dropout(0.5)
    ag.random.seed(3)
    first, second = layer(x).numpy(), layer(x).numpy()
    ag.random.seed(3)
    assert (layer(x).numpy() == first).all()
    assert (first != second).any()
    ag.random.seed(3)
    assert (layer(x.astype("float64")).numpy() == first).all()  # one mask for both dtypes
    assert layer(x.astype("float64")).dtype == np.float64


def test_dropout_does_nothing_in_evaluation():
    x = ag.ones(5)
    before = ag.random.get_state().copy()
    for layer in (nn.Dropout(0.5).eval(), nn.Dropout(0)):
        y = layer(x)
        assert (y == x).all()
        y[0] = 9
        assert x[0] == 1
    assert (ag.random.get_state() == before).all()


def test_dropout_gradient_is_the_mask(rng, float64):
    x = ag.tensor(normal(rng, 50), requires_grad=True)
    y = nn.Dropout(0.3)(x)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(y.numpy() == 0, 0, 1 / 0.7))

    def seeded(v):
        ag.random.seed(1)
        return nn.Dropout(0.5)(v) ** 2

    ag.check_grads(seeded, (normal(rng, 6),))


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, math.nan])
def test_dropout_refuses_rates_that_are_none(rate):
    with pytest.raises(ValueError, match="at least 0 and less than 1"):
        nn.Dropout(rate)


# Pooling, activations -------------------------------------------------------------------------------------------------


def test_pooling_layers_against_twins(rng):
    x = normal(rng, 2, 3, 7, 6, dtype="float32")
    for options, expected in [({}, (2, 2)), ({"stride": 1, "padding": 1}, (1, 1))]:
        pad = options.get("padding", 0)
        index = naive.max_pool_index(
            x, kernel_size=(2, 2), stride=expected, padding=(pad, pad), dilation=(1, 1)
        )
        flat = x.reshape(2, 3, -1)
        want = np.take_along_axis(flat, index.reshape(2, 3, -1), axis=2).reshape(index.shape)
        np.testing.assert_array_equal(nn.MaxPool(2, **options)(x).numpy(), want)
        means = naive.avg_pool(x, kernel_size=(2, 2), stride=expected, padding=(pad, pad))
        np.testing.assert_allclose(nn.AvgPool(2, **options)(x).numpy(), means, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nn.GlobalAvgPool()(x).numpy(), x.mean((2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(nn.Flatten()(x).numpy(), x.reshape(2, -1))
    assert nn.Flatten()(ag.ones((0, 2, 3))).shape == (0, 6)
    assert nn.Flatten()(ag.ones(3)).shape == (3, 1)
    assert nn.MaxPool((2,))(ag.ones((1, 1, 4))).shape == (1, 1, 2)


def test_pooling_errors_name_the_layer():
    with pytest.raises(ValueError, match=r"GlobalAvgPool: x needs batch, channels and spatial axes"):
        nn.GlobalAvgPool()(ag.ones((2, 3)))
    with pytest.raises(ValueError, match=r"Flatten: x is 0-d"):
        nn.Flatten()(ag.tensor(1.0))
    with pytest.raises(ValueError, match="max_pool"):
        nn.MaxPool(2)(ag.ones((2, 3)))


def test_pooling_gradients(rng, float64):
    x = rng.permutation(72).reshape(2, 1, 6, 6) / 10
    for layer in (nn.MaxPool(2), nn.MaxPool(3, 1, 1), nn.AvgPool(2), nn.AvgPool(3, 2, 1), nn.GlobalAvgPool()):
        check_layer(layer, x)


ACTIVATIONS = [
    (nn.ReLU(), lambda v: max(v, 0.0)),
    (nn.LeakyReLU(), lambda v: v if v > 0 else 0.01 * v),
    (nn.LeakyReLU(0.3), lambda v: v if v > 0 else 0.3 * v),
    (nn.GELU(), lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2)))),
    (nn.SiLU(), lambda v: v / (1 + math.exp(-v))),
    (nn.Tanh(), math.tanh),
    (nn.Sigmoid(), lambda v: 1 / (1 + math.exp(-v))),
]


@pytest.mark.parametrize(
    ("layer", "twin"), ACTIVATIONS, ids=lambda v: repr(v) if isinstance(v, nn.Module) else ""
)
def test_activations_against_twins(rng, layer, twin):
    x = normal(rng, 3, 7) * 3
    np.testing.assert_allclose(layer(x).numpy(), np.vectorize(twin)(x), rtol=1e-12, atol=1e-14)
    assert layer(x.astype("float32")).dtype == np.float32
    check_layer(layer, x)
    assert layer(np.zeros(1)).item() == twin(0.0)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax_sums_to_one_along_its_axis(rng, axis):
    x = normal(rng, 3, 4)
    np.testing.assert_allclose(nn.Softmax(axis)(x).numpy(), scipy.special.softmax(x, axis=axis), rtol=1e-12)
    check_layer(nn.Softmax(axis), x)


# Containers -----------------------------------------------------------------------------------------------------------


def test_sequential_is_a_list_of_layers():
    layers = [nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 1)]
    model = nn.Sequential(*layers)
    assert len(model) == 3
    assert list(model) == layers
    assert model[0] is layers[0]
    assert list(model[1:]) == layers[1:]
    assert nn.Sequential(layers).layers == layers
    assert nn.Sequential()(5) == 5
    assert nn.Sequential(ag.exp, lambda x: x + 1)(ag.zeros(1)).item() == 2
    with pytest.raises(TypeError, match=r"layer 1 is .*: give an instance, ReLU"):
        nn.Sequential(nn.Dense(1, 1), nn.ReLU)
    with pytest.raises(TypeError, match="layer 0 is 3: give a layer"):
        nn.Sequential(3)


def test_residual_adds_body_and_shortcut(rng):
    x = normal(rng, 4, 3)
    body, shortcut = nn.Dense(3, 5), nn.Dense(3, 5, bias=False)
    y = nn.Residual(body, shortcut, nn.ReLU())(x)
    expected = np.maximum(x @ body.weight.numpy() + body.bias.numpy() + x @ shortcut.weight.numpy(), 0)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_residual_of_different_shapes_is_an_error_even_where_they_would_broadcast():
    with pytest.raises(
        ValueError, match=r"Residual: .*give a shortcut that projects.*\[2,1\].*\[2,3\].*in Residual"
    ):
        nn.Residual(nn.Dense(3, 1))(ag.ones((2, 3)))
    with pytest.raises(ValueError, match="let shortcut and body give the same shape"):
        nn.Residual(nn.Dense(3, 1), nn.Dense(3, 2))(ag.ones((2, 3)))


@pytest.mark.parametrize(
    ("channels", "stride", "size", "projects"),
    [((4, 4), 1, 6, False), ((4, 8), 1, 6, True), ((4, 4), 2, 6, True), ((4, 8), 2, 7, True)],
)
def test_residual_block_shapes(channels, stride, size, projects):
    block = nn.ResidualBlock(*channels, stride)
    y = block(ag.random.normal((2, channels[0], size, size)))
    assert y.shape == (2, channels[1], -(-size // stride), -(-size // stride))
    assert (block.shortcut is not None) is projects
    assert float(y.min()) >= 0
    expected = 9 * channels[0] * channels[1] + 9 * channels[1] ** 2 + 4 * channels[1]
    expected += projects * (channels[0] * channels[1] + 2 * channels[1])
    assert sum(p.size for p in block.parameters()) == expected


def test_residual_block_against_its_twin(rng, float64):
    block = nn.ResidualBlock(2, 3, stride=2)
    x = normal(rng, 2, 2, 5, 5)
    first, _, _, second, _ = block.body

    def conv(v, layer):
        sizes = {"stride": layer.stride, "padding": layer.padding, "dilation": (1, 1), "groups": 1}
        return naive.conv_forward(v, layer.weight.numpy(), **sizes)

    def norm(v):
        return batch_norm_twin(v, np.ones(3), np.zeros(3))[0]

    main = norm(conv(np.maximum(norm(conv(x, first)), 0), second))
    expected = np.maximum(main + norm(conv(x, block.shortcut[0])), 0)
    np.testing.assert_allclose(block(x).numpy(), expected, rtol=1e-8, atol=1e-10)
    check_layer(block, x, order=1, atol=1e-4)


# Module: finding, state, modes ----------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        self.stem = nn.Sequential(nn.Conv(1, 2, 3), nn.BatchNorm(2))
        self.heads = {"a": nn.Dense(2, 3), "b": [nn.Dense(2, 2), (nn.Dropout(), nn.Parameter([1.0]))]}
        self.scale = nn.Parameter(1.0)
        self.tied = self.heads["a"]
        self.table = [1, 2.0, None, "text", np.ones(2)]

    def forward(self, x):
        return self.tied(nn.GlobalAvgPool()(self.stem(x)).relu()) * self.scale


NAMES = [
    "stem.layers.0.weight",
    "stem.layers.0.bias",
    "stem.layers.1.weight",
    "stem.layers.1.bias",
    "heads.a.weight",
    "heads.a.bias",
    "heads.b.0.weight",
    "heads.b.0.bias",
    "heads.b.1.1",
    "scale",
]


def test_parameters_and_buffers_are_found_once_in_order():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [p.name for p in net.parameters()] == NAMES
    assert [name for name, _ in net.named_buffers()] == [
        "stem.layers.1.running_mean",
        "stem.layers.1.running_var",
    ]
    assert len(net.buffers()) == 2
    assert [type(m).__name__ for m in net.modules()][:3] == ["Net", "Sequential", "Conv"]
    assert dict(net.named_modules())["heads.b.0"] is net.heads["b"][0]


def test_parameters_learn_their_longest_name():
    layer = nn.Dense(1, 1)
    layer.parameters()
    assert layer.weight.name == "weight"
    model = nn.Sequential(layer)
    model(ag.ones((1, 1)))  # the first call names them too
    assert layer.weight.name == "layers.0.weight"
    layer.parameters()
    assert layer.weight.name == "layers.0.weight"


def test_cycles_and_a_missing_super_init_do_no_harm():
    class Child(nn.Module):
        def __init__(self, parent):
            super().__init__()
            self.parent, self.me = parent, self
            self.weight = nn.Parameter([1.0])
            self.ring = [self]
            self.ring.append(self.ring)

        def forward(self, x):
            return x * self.weight

    class Parent(nn.Module):
        def __init__(self):
            self.child = Child(self)

        def forward(self, x):
            return self.child(x)

    parent = Parent()
    assert [name for name, _ in parent.named_parameters()] == ["child.weight"]
    assert parent.train(False).child.training is False
    assert parent(ag.ones(1)).item() == 1
    assert repr(parent).count("Child") == 1
    assert parent.state_dict().keys() == {"child.weight"}


def test_deep_nesting_is_walked_without_recursion():
    module = nn.Dense(1, 1)
    for _ in range(3000):
        module = nn.Residual(module)
    assert len(module.parameters()) == 2
    assert repr(module).count("Residual") == 3000


def test_train_and_eval_set_every_module():
    net = Net()
    assert net.eval() is net
    assert {m.training for m in net.modules()} == {False}
    assert net.train() is net
    assert {m.training for m in net.modules()} == {True}
    assert nn.Module.training is True


def test_zero_grad_forgets():
    net = Net()
    net(ag.random.normal((2, 1, 4, 4))).sum().backward()
    assert net.scale.grad is not None
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_state_round_trip():
    net, other = Net(), Net()
    net(ag.random.normal((4, 1, 5, 5)))
    saved = net.state_dict()
    assert list(saved) == [*NAMES[:4], "stem.layers.1.running_mean", "stem.layers.1.running_var", *NAMES[4:]]
    saved["scale"][...] = 7  # a copy
    assert net.scale.item() == 1
    other.load_state_dict(saved)
    assert other.scale.item() == 7
    assert other.scale.requires_grad
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, saved[name])
    other.load_state_dict({name: ag.tensor(a) for name, a in net.state_dict().items()})  # tensors will do
    assert other.tied is other.heads["a"]
    x = ag.random.normal((2, 1, 5, 5))
    np.testing.assert_array_equal(net.eval()(x).numpy(), other.eval()(x).numpy())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda s: s.pop("scale"), r"missing: scale float32\[\]"),
        (lambda s: s.update(extra=np.ones(2)), r"unexpected: extra float64\[2\]"),
        (lambda s: s.update(scale=np.ones(3, "f4")), r"scale is float32\[\] here but float32\[3\]"),
        (lambda s: s.update(scale=np.ones((), "f8")), r"scale is float32\[\] here but float64\[\]"),
        (lambda s: s.update(scale=None), r"scale is float32\[\] here but object\[\]"),
    ],
)
def test_a_failed_load_changes_nothing(spoil, message):
    net = Net()
    before = net.state_dict()
    given = {name: array + 1 for name, array in before.items()}
    spoil(given)
    with pytest.raises(ValueError, match=message):
        net.load_state_dict(given)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    with pytest.raises(TypeError, match="takes a dict"):
        net.load_state_dict([1])


def test_a_failed_load_lists_everything():
    with pytest.raises(ValueError, match=r"nothing was changed") as caught:
        nn.Dense(2, 3).load_state_dict({"weight": np.ones((3, 2), "f4"), "gamma": np.ones(1)})
    for part in ("missing: bias", "unexpected: gamma", "weight is float32[2,3] here but float32[3,2]"):
        assert part in str(caught.value)


def test_two_tensors_of_one_name_are_an_error():
    module = nn.Module()
    module.parts = {1: nn.Parameter(0.0), "1": nn.Parameter(1.0)}
    with pytest.raises(ValueError, match=r"both named 'parts\.1'"):
        module.state_dict()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_modules_can_be_copied(duplicate):
    model = nn.Sequential(nn.Dense(2, 2), nn.BatchNorm(2))
    x = ag.random.normal((4, 2))
    model(x)
    twin = duplicate(model)
    np.testing.assert_array_equal(model.eval()(x).numpy(), twin.eval()(x).numpy())
    twin[0].weight.assign(np.zeros((2, 2)))
    assert (model[0].weight != 0).all()
    assert twin[0].weight.requires_grad
    assert not twin[1].running_mean.requires_grad


def test_representation_shows_one_line_for_each_module():
    assert repr(nn.Dense(2, 3, bias=False)) == "Dense(2, 3, bias=False)"
    assert repr(nn.Conv(1, 8, 3, padding=1)) == "Conv(1, 8, kernel_size=(3, 3), padding=(1, 1))"
    assert repr(nn.MaxPool(3, 2, 1)) == "MaxPool(3, stride=2, padding=1)"
    text = repr(nn.ResidualBlock(4, 8, 2)).splitlines()
    assert text[0] == "ResidualBlock("
    assert (
        text[2] == "    layers.0: Conv(4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)"
    )
    assert text[-2:] == ["  activation: ReLU()", ")"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Dense(0, 2), "in_features is 0: give a positive integer"),
        (lambda: nn.Dense(2, 2.5), "out_features is 2.5"),
        (lambda: nn.Conv(3, 4, (3, 3, 3, 3)), "has 4 dimensions: give 1, 2 or 3"),
        (lambda: nn.Conv(3, 4, 3, stride=(1, 1, 1)), "Conv: stride is .1, 1, 1."),
        (lambda: nn.Conv(3, 4, 0), "kernel_size is 0: it must be at least 1"),
        (lambda: nn.Conv(3, 4, 3, padding=-1), "padding is -1"),
        (lambda: nn.Conv(3, 4, 3, groups=2), "groups 2 must divide"),
        (lambda: nn.ConvTranspose(2, 2, "3"), "ConvTranspose: kernel_size"),
    ],
)
def test_impossible_sizes_are_refused_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Module: paths, errors ------------------------------------------------------------------------------------------------


def paths_of(t):
    pending, found = [t.node], set()
    while pending:
        node = pending.pop()
        if node is not None and node.primitive is not None:
            found.add(node.module_path)
            pending.extend(node.inputs)
    return found


def test_nodes_know_their_module():
    net = Net()
    found = paths_of(net(ag.random.normal((2, 1, 4, 4))))
    assert found == {"Net", "Net.stem.layers.0", "Net.stem.layers.1", "Net.heads.a", "Net.GlobalAvgPool"}
    (kinds,) = {p.kinds for p in found if p == "Net.stem.layers.0"}
    assert kinds == ("Net", "Sequential", "", "Conv")
    assert state.module_path == ""


def test_paths_follow_changes_of_the_model():
    shared = nn.Dense(1, 1)
    model, other = nn.Sequential(shared, nn.ReLU()), nn.Sequential(nn.Tanh(), shared)
    x = ag.ones((1, 1))
    assert paths_of(model(x)) == {"Sequential.layers.0", "Sequential.layers.1"}
    assert "Sequential.layers.1" in paths_of(other(x))
    assert paths_of(shared(x)) == {"Dense"}
    model.layers.append(nn.Sigmoid())
    assert "Sequential.layers.2" in paths_of(model(x))

    class Outer(nn.Module):
        def __init__(self):
            self.inner = model

        def forward(self, x):
            return self.inner.layers[0](x)  # past the module in between

    assert paths_of(Outer()(x)) == {"Outer.inner.layers.0"}


def test_a_module_may_call_itself():
    class Twice(nn.Module):
        def forward(self, x, again=True):
            return self(x, again=False) * 2 if again else x.exp()

    x = ag.ones(1)
    x.requires_grad = True
    assert paths_of(Twice()(x)) == {"Twice"}


def test_errors_name_operation_path_shapes_and_mend():
    class Classifier(nn.Module):
        def __init__(self):
            self.stem = nn.Sequential(nn.Conv(1, 4, 3), nn.Flatten())
            self.head = nn.Dense(10, 2)

        def forward(self, x):
            return self.head(self.stem(x))

    model = Classifier()
    with pytest.raises(ValueError, match="Dense") as caught:
        model(ag.ones((2, 1, 5, 5)))
    message = str(caught.value)
    assert "the last axis of x has size 36 but in_features is 10" in message
    assert "x float32[2,36], weight float32[10,2] · in Classifier.head" in message
    assert not getattr(caught.value, "__notes__", [])
    with pytest.raises(ValueError, match=r"conv: .*float32\[2,3,5,5\].* in Classifier\.stem\.layers\.0"):
        model(ag.ones((2, 3, 5, 5)))
    assert state.module_path == ""


def test_other_errors_get_one_note_at_the_innermost_module():
    class Broken(nn.Module):
        def forward(self, x):
            return {}["absent"]

    model = nn.Sequential(nn.ReLU(), nn.Residual(Broken()))
    with pytest.raises(KeyError) as caught:
        model(ag.ones(2))
    assert caught.value.__notes__ == ["in Sequential.layers.1.body"]
    assert state.module_path == ""
    assert model[0](ag.ones(1)).item() == 1


def test_a_module_without_forward_says_so():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no forward"):
        Empty()(1)


def test_paths_are_each_thread_s_own():
    model = nn.Sequential(nn.Dense(2, 2), nn.ReLU(), nn.Dense(2, 2))
    found, errors = [], []

    def run():
        try:
            found.extend(frozenset(paths_of(model(ag.ones((1, 2))))) for _ in range(50))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert set(found) == {frozenset(f"Sequential.layers.{i}" for i in range(3))}


def test_ndarrays_and_keywords_arrive():
    class Pair(nn.Module):
        def forward(self, a, b, *, c):
            assert isinstance(a, ag.Tensor)
            return a * 2 + b * c

    assert Pair()(np.ones(2), np.ones(2), c=3).tolist() == [5, 5]


# Initial weights ------------------------------------------------------------------------------------------------------


def test_one_seed_fixes_a_model():
    def make():
        ag.random.seed(11)
        return nn.Sequential(nn.Conv(1, 2, 3), nn.Dense(4, 5), nn.ConvTranspose(2, 2, 2)).state_dict()

    first, second = make(), make()
    assert all((first[name] == second[name]).all() for name in first)
    assert not (first["layers.0.bias"]).any()


@pytest.mark.parametrize(
    ("draw", "std"),
    [
        (nn.init.he_normal, math.sqrt(2 / (16 * 9))),
        (nn.init.he_uniform, math.sqrt(2 / (16 * 9))),
        (nn.init.xavier_normal, math.sqrt(2 / (16 * 9 + 64 * 9))),
        (nn.init.xavier_uniform, math.sqrt(2 / (16 * 9 + 64 * 9))),
    ],
)
def test_initial_spread(draw, std):
    w = draw((64, 16, 3, 3))
    assert w.dtype == np.float32
    assert w.numpy().std() == pytest.approx(std, rel=0.03)
    assert abs(w.numpy().mean()) < 4 * std / math.sqrt(w.size)
    if "uniform" in draw.__name__:
        assert np.abs(w.numpy()).max() <= std * math.sqrt(3)
    assert draw((5, 7), dtype="float64").dtype == np.float64


def test_fans_and_constants():
    assert nn.init.fans((784, 10)) == (784, 10)
    assert nn.init.fans((8, 3, 5, 5)) == (75, 200)
    assert nn.init.fans(4) == (4, 4)
    with pytest.raises(ValueError, match="0-d"):
        nn.init.fans(())
    assert nn.init.zeros((2,)).tolist() == [0, 0]
    assert nn.init.ones(2).tolist() == [1, 1]
    assert nn.init.constant(2, 3).dtype == np.float32
    assert nn.Dense(1000, 200).weight.numpy().std() == pytest.approx(math.sqrt(2 / 1000), rel=0.02)


# Losses ---------------------------------------------------------------------------------------------------------------

ELEMENTWISE = [
    (nn.mse_loss, lambda e: e * e),
    (nn.l1_loss, abs),
    (nn.huber_loss, lambda e: e * e / 2 if abs(e) <= 1 else abs(e) - 0.5),
    (
        lambda p, t, **k: nn.huber_loss(p, t, 0.3, **k),
        lambda e: e * e / 2 if abs(e) <= 0.3 else 0.3 * (abs(e) - 0.15),
    ),
]


@pytest.mark.parametrize(("loss", "twin"), ELEMENTWISE)
def test_losses_of_differences(rng, loss, twin):
    p, t = normal(rng, 4, 3), normal(rng, 4, 3)
    each = np.vectorize(twin)(p - t)
    np.testing.assert_allclose(loss(p, t, reduction="none").numpy(), each, rtol=1e-12)
    assert loss(p, ag.tensor(t), reduction="sum").item() == pytest.approx(each.sum())
    assert loss(ag.tensor(p), t).item() == pytest.approx(each.mean())
    ag.check_grads(loss, (p, t))
    with pytest.raises(ValueError, match="reduction is 'avg': use one of mean, sum, none"):
        loss(p, t, reduction="avg")


@pytest.mark.parametrize(
    "loss", [nn.mse_loss, nn.l1_loss, nn.huber_loss, nn.binary_cross_entropy_with_logits]
)
def test_losses_refuse_to_broadcast(loss):
    with pytest.raises(
        ValueError, match=r"differ in shape: .* reshape\(|\.reshape\(.*float32\[4,1\].*float32\[4\]"
    ):
        loss(ag.ones((4, 1)), ag.ones(4))
    with pytest.raises(ValueError, match="give both the same shape"):
        loss(ag.ones((4, 2)), 1.0)


def test_integer_targets_do_not_promote():
    assert nn.mse_loss(ag.ones(3), np.array([0, 1, 2])).dtype == np.float32
    assert nn.binary_cross_entropy_with_logits(ag.ones(3), np.array([True, False, True])).dtype == np.float32


def test_mse_is_three_operations():
    assert operations(nn.mse_loss(ag.Parameter([1.0]), ag.ones(1))) == [
        "subtract",
        "square",
        "mean",
    ]


def operations(t):
    nodes, pending = set(), [t.node]
    while pending:
        node = pending.pop()
        if node is not None and node.primitive is not None:
            nodes.add(node)
            pending.extend(node.inputs)
    return [n.primitive.name for n in sorted(nodes, key=lambda n: n.index)]


@pytest.mark.parametrize("spatial", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", ["int64", "uint8"])
def test_cross_entropy_against_its_twin(rng, spatial, dtype):
    logits = normal(rng, 4, 5, *spatial) * 3
    labels = rng.integers(0, 5, (4, *spatial)).astype(dtype)
    each = np.empty(labels.shape)
    for index in np.ndindex(*labels.shape):
        scores = [logits[(index[0], c, *index[1:])] for c in range(5)]
        each[index] = math.log(math.fsum(math.exp(s) for s in scores)) - scores[labels[index]]
    np.testing.assert_allclose(nn.cross_entropy(logits, labels, reduction="none").numpy(), each, rtol=1e-10)
    assert nn.cross_entropy(logits, labels).item() == pytest.approx(each.mean())
    assert nn.cross_entropy(logits, ag.tensor(labels), reduction="sum").item() == pytest.approx(each.sum())
    log_probabilities = ag.log_softmax(logits, axis=1)
    assert nn.nll_loss(log_probabilities, labels).item() == pytest.approx(each.mean())
    one_hot = np.moveaxis(np.eye(5)[labels], -1, 1)
    assert nn.cross_entropy(logits, one_hot).item() == pytest.approx(each.mean())
    ag.check_grads(lambda x: nn.cross_entropy(x, labels), (logits,))
    ag.check_grads(lambda x: nn.nll_loss(x, labels), (logits,))


def test_cross_entropy_of_many_logits_has_kernels_and_derivatives_to_every_order(rng):
    """From 1024 float32 logits on; in float64, and in a compiled step, it is NumPy's or the program's own."""
    logits, labels = normal(rng, 128, 10), rng.integers(0, 10, 128)
    v = normal(rng, 128, 10)

    def derivatives(x):
        first = ag.grad(lambda x: nn.cross_entropy(x, labels))
        turn = ag.tensor(v.astype(x.dtype))
        return nn.cross_entropy(x, labels), first(x), ag.grad(lambda x: (first(x) * turn).sum())(x)

    narrow = ag.tensor(logits.astype(np.float32))
    wide, eager, compiled = derivatives(ag.tensor(logits)), derivatives(narrow), ag.compile(derivatives)
    for made in (eager, compiled(narrow), compiled(narrow)):
        for one, other in zip(made, wide, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-7)
    logits = ag.tensor(logits, requires_grad=True)
    assert operations(nn.cross_entropy(logits, labels)) == ["cross_entropy", "mean"]
    with pytest.raises(IndexError, match="label"):
        ag.cross_entropy(narrow, labels + 20)


@pytest.mark.parametrize("rows", [4, 1024])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropys_labels_are_one_for_each_sample(rows, dtype):
    x = ag.tensor(np.zeros((rows, 4), dtype))
    for function in (ag.cross_entropy, ag.compile(ag.cross_entropy)):
        for labels in (np.zeros(rows - 1, int), np.zeros((rows, 1), int), np.zeros(1, int), 3):
            with pytest.raises(ValueError, match="labels have the shape"):
                function(x, ag.asarray(labels))
        for labels in (np.zeros(rows, bool), np.zeros(rows)):
            with pytest.raises(TypeError, match="give integers"):
                function(x, ag.asarray(labels))
        with pytest.raises(IndexError):
            function(x, ag.asarray(np.full(rows, 4)))
        np.testing.assert_allclose(function(x, ag.asarray(np.full(rows, -1))).numpy(), np.log(4), rtol=1e-6)


@pytest.mark.parametrize("rows", [4, 1024])
def test_cross_entropy_of_an_infinite_logit(rows):
    logits = np.zeros((rows, 4), np.float32)
    logits[:, 3] = np.inf
    slope = ag.grad(lambda x: ag.cross_entropy(x, np.zeros(rows, int)).sum())
    with np.errstate(invalid="ignore"):
        for function in (slope, ag.compile(slope)):
            for _ in range(2):
                np.testing.assert_array_equal(function(ag.tensor(logits)).numpy()[0], [-1, 0, 0, np.nan])


@pytest.mark.parametrize("size", [1, 10, 32, 33, 70])
def test_softmax_of_short_and_long_rows(rng, size):
    x = normal(rng, 6, 4, size)
    for function, twin in (
        (ag.softmax, scipy.special.softmax),
        (ag.log_softmax, scipy.special.log_softmax),
    ):
        for given in (x, x.transpose(1, 0, 2), x[:, ::-1]):
            found = function(ag.tensor(given), axis=-1).numpy()
            np.testing.assert_allclose(found, twin(given, axis=-1), rtol=1e-12)


def test_cross_entropy_with_probabilities(rng):
    logits, p = normal(rng, 4, 3), rng.dirichlet(np.ones(3), 4)
    expected = -(p * scipy.special.log_softmax(logits, axis=1)).sum(1)
    np.testing.assert_allclose(nn.cross_entropy(logits, p, reduction="none").numpy(), expected, rtol=1e-12)
    ag.check_grads(nn.cross_entropy, (logits, p))


def test_cross_entropy_is_stable():
    logits = ag.tensor([[1e4, 0.0, -1e4], [-math.inf, 0.0, 0.0]], requires_grad=True)
    loss = nn.cross_entropy(logits, [2, 1], reduction="none")
    np.testing.assert_allclose(loss.numpy(), [2e4, math.log(2)], rtol=1e-6)
    loss.sum().backward()
    np.testing.assert_allclose(logits.grad.numpy(), [[1, 0, -1], [0, -0.5, 0.5]], atol=1e-6)


@pytest.mark.parametrize(
    ("logits", "labels", "kind", "message"),
    [
        (
            np.ones((2, 3)),
            [0, 3],
            ValueError,
            "label 3 is out of range: with 3 classes labels go from 0 to 2",
        ),
        (np.ones((2, 3)), [0, -1], ValueError, "label -1 is out of range"),
        (np.ones((2, 3)), [0.0, 1.0], TypeError, r"labels must be integers.*astype\('int64'\)"),
        (np.ones((2, 3)), [True, False], TypeError, "labels must be integers"),
        (np.ones((2, 3)), [[0], [1]], ValueError, r"labels must have shape \[2\].*labels int64\[2,1\]"),
        (np.ones((2, 3, 4)), [0, 1], ValueError, r"labels must have shape \[2, 4\]"),
        (np.ones((2, 3)), [[0, 1, 0], [1, 0, 0]], ValueError, r"labels must have shape \[2\]"),
        (np.ones(3), 1, ValueError, "need a batch and a class axis"),
    ],
)
def test_cross_entropy_errors(logits, labels, kind, message):
    for loss in (nn.cross_entropy, nn.nll_loss):
        with pytest.raises(kind, match=f"{loss.__name__}: .*{message}"):
            loss(logits, labels)


def test_binary_cross_entropy_is_exact_for_logits_of_any_size(rng):
    x = np.array([-800.0, -30, -1, 0, 1, 30, 800])
    for target in (0.0, 0.25, 1.0):
        expected = target * np.logaddexp(0, -x) + (1 - target) * np.logaddexp(0, x)
        t = np.full(7, target)
        got = nn.binary_cross_entropy_with_logits(x, t, reduction="none").numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-12)
        logits = ag.tensor(x, requires_grad=True)
        nn.binary_cross_entropy_with_logits(logits, t, reduction="sum").backward()
        np.testing.assert_allclose(
            logits.grad.numpy(), scipy.special.expit(x) - target, rtol=1e-10, atol=1e-16
        )
    small = nn.binary_cross_entropy_with_logits(np.float32([20, -20]), np.float32([1, 0]), reduction="none")
    np.testing.assert_allclose(small.numpy(), [2.0611537e-9] * 2, rtol=1e-5)  # small losses keep their digits
    ag.check_grads(nn.binary_cross_entropy_with_logits, (normal(rng, 5), rng.uniform(0, 1, 5)))


# Summary --------------------------------------------------------------------------------------------------------------


def test_summary_by_hand(capsys):
    model = nn.Sequential(
        nn.Conv(1, 4, 3, padding=1),  # 40 parameters, 4·8·8·9 multiply-adds for each of 2 images
        nn.BatchNorm(4),  # 8
        nn.ReLU(),
        nn.MaxPool(2),
        nn.ConvTranspose(4, 2, 2, stride=2),  # 34, (4·4·4)·2·4 for each image
        nn.Flatten(),
        nn.Dense(128, 10),  # 1290, 1280 for each image
    )
    found = model.summary(ag.ones((2, 1, 8, 8)))
    assert found.total_parameters == 40 + 8 + 34 + 1290
    assert found.total_buffers == 8
    assert found.total_multiply_adds == 2 * (4 * 64 * 9 + 64 * 2 * 4 + 1280)
    assert found.total_bytes == 4 * (1372 + 8)
    assert [row.output for row in found.rows][1:3] == ["(2, 4, 8, 8)", "(2, 4, 8, 8)"]
    text = str(found)
    assert capsys.readouterr().out == text + "\n"
    assert repr(found) == "<Summary: 1,372 parameters, 8,192 multiply-adds>"
    assert repr(nn.summary(model, ag.ones((2, 1, 8, 8)))) == text
    assert "layers.6 (Dense)" in text
    assert "(2, 10)" in text
    assert "1,290" in text
    assert "Parameters: 1,372" in text
    grouped = nn.summary(nn.Conv(4, 8, (3,), groups=2, stride=2), (1, 4, 9))
    assert grouped.total_multiply_adds == 8 * 4 * 2 * 3


def test_summary_leaves_the_model_as_it_was():
    class Strange(nn.Module):
        def __init__(self):
            self.norm, self.drop, self.calls = nn.BatchNorm(3), nn.Dropout(), nn.Buffer(0)
            self.drop.eval()

        def forward(self, x):
            self.calls.assign(self.calls + 1)
            return self.drop(self.norm(x)) + ag.random.normal(x.shape)

    model = Strange()
    before, numbers = model.state_dict(), ag.random.get_state().copy()
    modes = [vars(m).get("training") for m in model.modules()]
    nn.summary(model, np.ones((4, 3), "float32"))
    with pytest.raises(ValueError, match="BatchNorm"):
        nn.summary(model, (4, 5))
    assert [vars(m).get("training") for m in model.modules()] == modes
    assert all("forward" not in vars(m) for m in model.modules())
    assert (ag.random.get_state() == numbers).all()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert state.assigning
    assert state.recording


def test_summary_counts_a_shared_layer_once_and_takes_several_inputs():
    class Twins(nn.Module):
        def __init__(self):
            self.dense = nn.Dense(2, 3)

        def forward(self, a, b):
            return {"sum": self.dense(a) + self.dense(b), "parts": (a, b)}

    found = nn.summary(Twins(), (ag.ones((1, 2)), ag.ones((1, 2))))
    assert found.total_parameters == 9
    assert found.total_multiply_adds == 12
    assert [row.reused for row in found.rows] == [False, False, True]
    assert found.rows[0].output == "{sum: (1, 3), parts: [(1, 2), (1, 2)]}"


# Everything together --------------------------------------------------------------------------------------------------


def test_gradients_through_a_whole_model(rng, float64):
    model = nn.Sequential(
        nn.Conv(1, 2, 3, padding=1),
        nn.BatchNorm(2),
        nn.SiLU(),
        nn.AvgPool(2),
        nn.Residual(nn.Conv(2, 2, 3, padding=1)),
        nn.Flatten(),
        nn.LayerNorm(8),
        nn.Dense(8, 3),
    )
    labels = np.array([0, 2, 1])
    f, values = as_function(model)
    ag.check_grads(
        lambda x, *v: nn.cross_entropy(f(x, *v), labels), (normal(rng, 3, 1, 4, 4), *values), atol=1e-4
    )


def test_a_model_learns(rng):
    ag.random.seed(0)
    x = np.linspace(-1, 1, 64, dtype="float32").reshape(-1, 1)
    y = x**2
    model = nn.Sequential(nn.Dense(1, 32), nn.Tanh(), nn.Dense(32, 1))
    first = nn.mse_loss(model(x), y).item()
    for _ in range(300):
        loss = nn.mse_loss(model(x), y)
        model.zero_grad()
        loss.backward()
        for parameter in model.parameters():
            parameter.assign(parameter.numpy() - 0.1 * parameter.grad.numpy())
    assert loss.item() < first / 20
