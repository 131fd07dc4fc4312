"""Settings that are no integers, labels that do not fit, and shapes that only some settings give."""

import subprocess
import sys

import numpy as np
import pytest

import autograd_core as ag
import nn

X = np.arange(24.0).reshape(2, 3, 4)
IMAGE, KERNEL = np.ones((1, 4, 5, 5), np.float32), np.ones((4, 4, 3, 3), np.float32)
NOT_INTEGERS = [1.0, 1.9, np.float64(1), "1", b"1", True, np.True_, [1.0], (True,), np.array(1.0), {}, 1j]

CALLS = {
    **{
        f"{f.__name__}(axis)": lambda v, f=f: f(X, axis=v)
        for f in (
            ag.sum, ag.mean, ag.prod, ag.max, ag.min, ag.var, ag.std, ag.argmax, ag.argmin, ag.all, ag.any, ag.norm,
            ag.cumulative_sum, ag.logsumexp, ag.softmax, ag.log_softmax, ag.flip, ag.sort, ag.argsort, ag.squeeze,
            ag.expand_dims, ag.linalg.norm,
        )
    },
    "take(axis)": lambda v: ag.take(X, [0], axis=v),
    "take_along_axis(axis)": lambda v: ag.take_along_axis(X, np.zeros((2, 3, 4), int), axis=v),
    "concat(axis)": lambda v: ag.concat([X, X], axis=v),
    "stack(axis)": lambda v: ag.stack([X, X], axis=v),
    "split(axis)": lambda v: ag.split(X, 1, axis=v),
    "split(sections)": lambda v: ag.split(X, v),
    "split(indices)": lambda v: ag.split(X, [v]),
    "roll(shift)": lambda v: ag.roll(X, v),
    "roll(axis)": lambda v: ag.roll(X, 1, axis=v),
    "repeat(repeats)": lambda v: ag.repeat(X, v),
    "repeat(axis)": lambda v: ag.repeat(X, 1, axis=v),
    "tile": lambda v: ag.tile(X, v),
    "pad(pad_width)": lambda v: ag.pad(X, v),
    "tril(k)": lambda v: ag.tril(X, k=v),
    "triu(k)": lambda v: ag.triu(X, k=v),
    "reshape": lambda v: ag.reshape(np.ones(1), v),
    "broadcast_to": lambda v: ag.broadcast_to(np.ones(1), v),
    "permute_dims": lambda v: ag.permute_dims(X, (0, v, 2)),
    "moveaxis(source)": lambda v: ag.moveaxis(X, v, 0),
    "moveaxis(destination)": lambda v: ag.moveaxis(X, 0, v),
    "tensordot(axes)": lambda v: ag.tensordot(np.ones(3), np.ones(3), axes=v),
    "vecdot(axis)": lambda v: ag.vecdot(X, X, axis=v),
    "conv(stride)": lambda v: ag.conv(IMAGE, KERNEL, stride=v),
    "conv(padding)": lambda v: ag.conv(IMAGE, KERNEL, padding=v),
    "conv(dilation)": lambda v: ag.conv(IMAGE, KERNEL, dilation=v),
    "conv(groups)": lambda v: ag.conv(IMAGE, KERNEL, groups=v),
    "conv(stride=(1, ·))": lambda v: ag.conv(IMAGE, KERNEL, stride=(1, v)),
    "conv_transpose(groups)": lambda v: ag.conv_transpose(IMAGE, KERNEL, groups=v),
    "conv_transpose(output_padding)": lambda v: ag.conv_transpose(IMAGE, KERNEL, stride=2, output_padding=v),
    "max_pool(kernel_size)": lambda v: ag.max_pool(IMAGE, v),
    "max_pool(dilation)": lambda v: ag.max_pool(IMAGE, 2, dilation=v),
    "avg_pool(padding)": lambda v: ag.avg_pool(IMAGE, 2, padding=v),
    "random.permutation": ag.random.permutation,
    "random.normal": ag.random.normal,
    "random.seed": ag.random.seed,
    "nn.Dense": lambda v: nn.Dense(v, 2),
    "nn.Conv(kernel_size)": lambda v: nn.Conv(2, 2, v),
    "nn.BatchNorm": nn.BatchNorm,
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_setting_that_is_no_integer_is_refused(call):
    for value in NOT_INTEGERS:
        with pytest.raises((TypeError, ValueError, IndexError)):
            call(value)


@pytest.mark.parametrize(
    "call", [c for n, c in CALLS.items() if not n.startswith(("squeeze", "random.seed"))]
)
def test_a_setting_may_be_an_integer_of_numpy(call):
    call(np.int64(1))


def test_the_message_about_groups_says_what_to_type():
    with pytest.raises(TypeError, match=r"groups is 2\.0 \(float\): give an integer, as groups=2"):
        ag.conv(IMAGE, KERNEL, groups=2.0)


def test_other_settings_that_are_no_numbers_are_refused():
    for call in (
        lambda: ag.var(X, correction="1"),
        lambda: ag.var(X, correction=True),
        lambda: ag.linalg.norm(np.ones(3), ord=b"1"),
        lambda: ag.random.integers(0, 1.5, 3),
        lambda: ag.take(X, True, axis=0),
        lambda: ag.tensordot(X, X, axes=([1.0], [1])),
    ):
        with pytest.raises(TypeError):
            call()


# Labels -----------------------------------------------------------------------------------------------------------

SCORES = np.arange(12.0).reshape(4, 3)
WRONG = [[1, 0], [[1, 0, 1, 0]], 1, [1, 0, 1, 0, 1], [[1], [0], [1], [0]], np.zeros((0,), int)]


@pytest.mark.parametrize("labels", WRONG, ids=lambda v: str(np.shape(v)))
@pytest.mark.parametrize("f", [ag.pick, ag.cross_entropy, nn.cross_entropy, nn.nll_loss])
def test_labels_that_are_not_one_for_each_row_are_refused(f, labels):
    with pytest.raises(ValueError, match="label"):
        f(SCORES, np.asarray(labels))
    with pytest.raises(ValueError, match="label"):
        ag.compile(lambda x, t: f(x, t))(ag.tensor(SCORES), ag.tensor(np.asarray(labels)))


@pytest.mark.parametrize("f", [ag.pick, ag.cross_entropy, nn.cross_entropy, nn.nll_loss])
@pytest.mark.parametrize("labels", [np.array([True, False, True, False]), np.array([1.0, 0.0, 1.0, 0.0])])
def test_labels_that_are_no_integers_are_refused(f, labels):
    with pytest.raises(TypeError, match="labels"):
        f(SCORES, labels)


def test_labels_of_images_need_the_spatial_axes():
    scores = np.ones((2, 3, 4, 4))
    assert ag.pick(scores, np.zeros((2, 4, 4), int)).shape == (2, 4, 4)
    for shape in ((2,), (2, 4), (2, 1, 4), (1, 4, 4)):
        with pytest.raises(ValueError, match="labels"):
            ag.pick(scores, np.zeros(shape, int))


# Transposed convolution ------------------------------------------------------------------------------------------


def _scattered(x, w, stride, padding, dilation, output_padding):
    """Transposed convolution in one dimension by its definition: each product is added where it belongs."""
    size = (len(x) - 1) * stride - 2 * padding + dilation * (len(w) - 1) + output_padding + 1
    out = np.zeros(size + 2 * padding + dilation * len(w))
    for i, value in enumerate(x):
        for k, weight in enumerate(w):
            out[i * stride + k * dilation] += value * weight
    return out[padding : padding + size]


@pytest.mark.parametrize(
    ("stride", "dilation", "extra", "padding"),
    [
        (1, 2, 1, 0),
        (1, 2, 1, 1),
        (2, 4, 2, 0),
        (2, 4, 3, 1),
        (1, 3, 2, 2),
        (2, 3, 2, 0),
        (3, 1, 2, 1),
        (2, 2, 1, 0),
    ],
)
def test_output_padding_below_the_dilation_is_taken(stride, dilation, extra, padding):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=5), rng.normal(size=3)
    wanted = _scattered(x, w, stride, padding, dilation, extra)

    def f(a, b):
        return ag.conv_transpose(a, b, stride, padding, extra, dilation)

    arrays = ag.tensor(x[None, None]), ag.tensor(w[None, None])
    for run in (f, ag.compile(f)):
        for _ in range(2):
            np.testing.assert_allclose(run(*arrays).numpy()[0, 0], wanted, atol=1e-12)
    ag.check_grads(f, arrays, order=2)


def test_output_padding_of_the_stride_and_the_dilation_is_refused():
    with pytest.raises(ValueError, match="output_padding 2"):
        ag.conv_transpose(IMAGE, KERNEL, stride=1, dilation=2, output_padding=2)


# The environment -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1", "0", ""])
def test_numba_without_its_compiler_is_refused_at_import(value):
    code = "import os; os.environ['NUMBA_DISABLE_JIT'] = os.sys.argv[1]; import autograd_core"
    run = subprocess.run([sys.executable, "-c", code, value], capture_output=True, text=True, check=False)
    assert (run.returncode != 0) == (value == "1")
    assert ("unset NUMBA_DISABLE_JIT" in run.stderr) == (value == "1")


def test_roll_takes_arrays_of_integers():
    x = ag.arange(6).reshape(2, 3)
    for shift, axis in ((np.array(1), None), (np.array([1, 2]), (0, 1)), ([1, 2], [0, 1]), (np.int64(2), 1)):
        np.testing.assert_array_equal(ag.roll(x, shift, axis=axis).numpy(), np.roll(x.numpy(), shift, axis))
