"""Bad input: the right kind of error, with operation, arguments' shapes and dtypes, module path, mend."""

import re

import numpy as np
import pytest

import autograd_core as ag
from autograd_core.errors import describe
from autograd_core.tape import state

A = ag.zeros((2, 3))
B = ag.zeros((4, 5), dtype="float64")
V = ag.zeros(3)
N = ag.arange(3)
IMAGE, KERNEL = ag.zeros((2, 3, 8, 8)), ag.zeros((4, 1, 3, 3))

# What is done, the kind of error, and what its message must hold: operation, shapes and dtypes, the mend.
CASES = {
    "add": (lambda: A + B, ValueError, ["add:", "float32[2,3]", "float64[4,5]", "equal or 1", "reshape"]),
    "multiply": (lambda: np.ones((2, 2)) * A, ValueError, ["multiply:", "float64[2,2]", "float32[2,3]"]),
    "where": (lambda: ag.where(A > 0, B, 1), ValueError, ["where:", "bool[2,3]", "float64[4,5]"]),
    "maximum": (lambda: ag.maximum(A, B), ValueError, ["maximum:", "float32[2,3]", "float64[4,5]"]),
    "weak": (lambda: ag.tensor(np.zeros(2, "uint8")) + 300, OverflowError, ["add:", "uint8[2]", "300"]),
    "int-power": (lambda: N**-1, ValueError, ["power:", "int64[3]", "negative integer powers"]),
    "bool-minus": (lambda: -ag.tensor([True]), TypeError, ["negative:", "bool[1]"]),
    "bitwise-floats": (lambda: A & A, TypeError, ["bitwise_and:", "float32[2,3]"]),
    "invert-floats": (lambda: ~A, TypeError, ["bitwise_invert:", "float32[2,3]"]),
    "matmul": (lambda: A @ B, ValueError, ["matmul:", "float32[2,3]", "float64[4,5]", "3", "4", "transpose"]),
    "matmul-0d": (lambda: A @ ag.tensor(1.0), ValueError, ["matmul:", "0-d", "*"]),
    "matmul-batch": (lambda: ag.zeros((2, 3, 3)) @ ag.zeros((4, 3, 3)), ValueError, ["matmul:", "[2,3,3]", "[4,3,3]"]),
    "einsum": (lambda: ag.einsum("ij,jk->ik", A, B), ValueError, ["einsum:", "j", "3", "4"]),
    "einsum-terms": (lambda: ag.einsum("ij,jk", A), ValueError, ["einsum:", "2 operands", "1"]),
    "tensordot": (lambda: ag.tensordot(A, B, axes=1), ValueError, ["tensordot:", "[3]", "[4]", "equal size"]),
    "sum-axis": (lambda: A.sum(axis=2), ValueError, ["sum:", "axis 2", "float32[2,3]"]),
    "mean-axis": (lambda: A.mean(axis=-3), ValueError, ["mean:", "axis -3", "float32[2,3]"]),
    "var-axes": (lambda: A.var(axis=(0, 0)), ValueError, ["var:", "float32[2,3]"]),
    "max-empty": (lambda: ag.zeros((0, 3)).max(), ValueError, ["max:", "float32[0,3]"]),
    "argmax-empty": (lambda: ag.zeros(0).argmax(), ValueError, ["argmax:", "float32[0]"]),
    "softmax-axis": (lambda: ag.softmax(V, axis=1), ValueError, ["softmax:", "axis 1", "float32[3]"]),
    "cumulative-sum": (lambda: ag.cumulative_sum(A), ValueError, ["cumulative_sum:", "2 dimensions", "axis"]),
    "reshape": (lambda: A.reshape(4, 2), ValueError, ["reshape:", "(4,2)", "float32[2,3]"]),
    "permute": (lambda: A.permute_dims((0, 0)), ValueError, ["permute_dims:", "float32[2,3]"]),
    "permute-count": (lambda: A.permute_dims((0,)), ValueError, ["permute_dims:", "float32[2,3]"]),
    "squeeze": (lambda: A.squeeze(axis=0), ValueError, ["squeeze:", "float32[2,3]"]),
    "expand-dims": (lambda: A.expand_dims(axis=5), ValueError, ["expand_dims:", "5", "float32[2,3]"]),
    "broadcast-to": (lambda: ag.broadcast_to(A, (2, 4)), ValueError, ["broadcast_to:", "float32[2,3]", "(2,4)"]),
    "concat": (lambda: ag.concat([A, B]), ValueError, ["concat:", "float32[2,3]", "float64[4,5]"]),
    "concat-nothing": (lambda: ag.concat([]), ValueError, ["concat"]),
    "stack": (lambda: ag.stack([A, V]), ValueError, ["concat:", "float32[1,2,3]", "float32[1,3]"]),
    "split": (lambda: ag.split(A, 2, axis=1), ValueError, ["split:", "2 equal parts", "size 3"]),
    "pad-mode": (lambda: ag.pad(A, 1, mode="mirror"), ValueError, ["pad:", "'mirror'", "reflect"]),
    "tril": (lambda: ag.tril(V), ValueError, ["2 dimensions", "1"]),
    "flip-axis": (lambda: A.flip(axis=3), ValueError, ["flip:", "axis 3", "float32[2,3]"]),
    "getitem": (lambda: A[5], IndexError, ["getitem:", "float32[2,3]", "5"]),
    "take": (lambda: ag.take(V, [7]), IndexError, ["float32[3]", "7"]),
    "take-along": (lambda: ag.take_along_axis(A, N, axis=0), ValueError, ["take_along_axis:", "1 dim", "2", "same"]),
    "sort-axis": (lambda: ag.sort(V, axis=2), ValueError, ["argsort:", "float32[3]"]),
    "take-axis": (lambda: ag.take(A, [0], axis=5), ValueError, ["axis 5", "2"]),
    "take-along-axis": (lambda: ag.take_along_axis(A, np.zeros((2, 3), int), axis=5), ValueError, ["axis 5", "2"]),
    "repeat-axis": (lambda: ag.repeat(A, 2, axis=5), ValueError, ["axis 5", "2"]),
    "split-axis": (lambda: ag.split(A, 2, axis=5), ValueError, ["axis 5", "2"]),
    "cumulative-sum-axis": (lambda: ag.cumulative_sum(A, axis=5), ValueError, ["axis 5", "2"]),
    "prod-axis": (lambda: ag.prod(A, axis=-3), ValueError, ["axis -3", "2"]),
    "moveaxis": (lambda: ag.moveaxis(A, 5, 0), ValueError, ["moveaxis", "axis 5", "2"]),
    "roll-axis": (lambda: ag.roll(A, 1, axis=5), ValueError, ["roll:", "axis 5", "float32[2,3]"]),
    "conv-channels": (lambda: ag.conv(IMAGE, KERNEL), ValueError, [
        "conv:", "3 channels", "axis 1", "expects 1", "float32[2,3,8,8]", "float32[4,1,3,3]"]),
    "conv-rank": (lambda: ag.conv(A, KERNEL), ValueError, ["conv:", "2 dim", "4"]),
    "conv-groups": (lambda: ag.conv(IMAGE, KERNEL, groups=2), ValueError, ["conv:", "groups", "float32[2,3,8,8]"]),
    "conv-stride": (lambda: ag.conv(IMAGE, ag.zeros((4, 3, 3, 3)), stride=0), ValueError, ["conv:", "stride", "0"]),
    "conv-stride-count": (lambda: ag.conv(IMAGE, KERNEL, stride=(1, 1, 1)), ValueError, ["stride", "2 spatial"]),
    "conv-too-large": (lambda: ag.conv(IMAGE, ag.zeros((4, 3, 9, 9))), ValueError, ["conv:", "[4,3,9,9]"]),
    "conv-transpose": (lambda: ag.conv_transpose(IMAGE, KERNEL, output_padding=1), ValueError, [
        "conv_transpose:", "output_padding", "stride"]),
    "max-pool-rank": (lambda: ag.max_pool(A, 2), ValueError, ["max_pool:", "2 dim", "batch"]),
    "max-pool-large": (lambda: ag.max_pool(IMAGE, 9), ValueError, ["max_pool", "float32[2,3,8,8]"]),
    "avg-pool-size": (lambda: ag.avg_pool(IMAGE, (2, 2, 2)), ValueError, ["kernel_size", "2 spatial"]),
    "avg-pool-zero": (lambda: ag.avg_pool(IMAGE, 0), ValueError, ["avg_pool", "kernel_size"]),
    "inv": (lambda: ag.linalg.inv(ag.zeros((2, 2))), np.linalg.LinAlgError, ["inv", "float32[2,2]"]),
    "inv-shape": (lambda: ag.linalg.inv(A), ValueError, ["inv", "float32[2,3]"]),
    "cholesky": (lambda: ag.linalg.cholesky(-ag.eye(2)), np.linalg.LinAlgError, ["cholesky", "float32[2,2]"]),
    "backward-shape": (lambda: (ag.Parameter([1.0, 2.0]) * 2).backward([1.0]), ValueError, ["backward:", "[1]", "[2]"]),
    "backward-scalar": (lambda: (ag.Parameter([1.0, 2.0]) * 2).backward(), RuntimeError, [
        "backward:", "sum", "cotangent"]),
    "backward-graph": (lambda: V.backward(), RuntimeError, ["backward:", "float32[3]", "requires_grad=True"]),
    "requires-grad": (lambda: ag.tensor([1], requires_grad=True), TypeError, ["int64[1]", "astype('float32')"]),
    "grad-shape": (lambda: ag.grad(lambda x: x)(V), ValueError, ["grad:", "float32[3]", "sum", "jacobian"]),
    "item": (lambda: V.item(), ValueError, ["item:", "float32[3]", "3 elements"]),
    "assign": (lambda: ag.Parameter([1.0]).assign(V), ValueError, ["assign:", "float32[3]", "float32[1]", "equal"]),
    "dtype": (lambda: ag.zeros(2, dtype="float16"), TypeError, ["float16", "float32"]),
    "unknown-argument": (lambda: ag.sum(V, dims=0), TypeError, ["sum", "dims"]),
    "missing-argument": (lambda: ag.atan2(V), TypeError, ["atan2", "x"]),
    "set-num-threads": (lambda: ag.set_num_threads(0), ValueError, ["set_num_threads", "0", "1"]),
    "meshgrid": (lambda: ag.meshgrid(V, V, indexing="yx"), ValueError, ["meshgrid", "'yx'", "'ij'"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_explained(case):
    action, kind, words = CASES[case]
    with pytest.raises(kind) as caught:
        action()
    message = re.sub(r"(?<=\d), (?=\d)", ",", str(caught.value))
    assert [word for word in words if word not in message] == [], message


RECORDED = [
    "add", "where", "matmul", "sum-axis", "reshape", "concat", "getitem", "conv-channels", "max-pool-large", "inv",
    "avg-pool-zero", "broadcast-to", "softmax-axis", "weak",
]  # fmt: skip


@pytest.mark.parametrize("case", RECORDED)
def test_the_error_says_in_which_module_it_happened_once(case):
    action, kind, _ = CASES[case]
    state.module_path = "model.stem.conv"
    try:
        with pytest.raises(kind) as caught:
            action()
    finally:
        state.module_path = ""
    assert str(caught.value).count("in model.stem.conv") == 1


@pytest.mark.parametrize("case", RECORDED)
def test_outside_a_module_the_error_names_none(case):
    action, kind, _ = CASES[case]
    with pytest.raises(kind) as caught:
        action()
    assert "· in" not in str(caught.value)


def test_an_error_in_backward_names_the_module_of_the_forward_pass():
    @ag.primitive
    def crooked(x):
        return x * 1.0

    crooked.defvjp(lambda g: g[:1])
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    state.module_path = "model.head"
    try:
        y = crooked(x)
    finally:
        state.module_path = ""
    for create_graph in (False, True):
        with pytest.raises(ValueError, match=r"crooked, derivative for x.*\[2\].*in model\.head") as caught:
            y.backward([1.0, 1.0], create_graph=create_graph, retain_graph=True)
        assert str(caught.value).count("model.head") == 1


def test_the_cause_is_kept():
    with pytest.raises(ValueError, match="matmul") as caught:
        A @ B
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_operation_is_named_once_however_deep_the_call():
    f = ag.checkpoint(lambda x: ag.grad(lambda v: (v @ np.ones((7, 7))).sum())(x).sum())
    with pytest.raises(ValueError, match="matmul") as caught:
        f(ag.tensor([1.0, 2.0], requires_grad=True))
    assert str(caught.value).count("matmul:") == 1


def test_errors_that_are_not_the_callers_keep_their_type_and_gain_a_note():
    class Custom(Exception):
        pass

    @ag.primitive
    def f(x):
        raise Custom("mine")

    with pytest.raises(Custom, match="mine") as caught:
        f(ag.tensor([1.0]))
    assert any("f: mine · x float32[1]" in note for note in caught.value.__notes__)


def test_kinds_of_error_survive():
    for kind in (TypeError, ValueError, IndexError, OverflowError, ZeroDivisionError, np.linalg.LinAlgError):

        @ag.primitive
        def f(x, kind=kind):
            raise kind("reason")

        with pytest.raises(kind, match="f: reason") as caught:
            f(ag.tensor([1.0]))
        assert type(caught.value) is kind


def test_describe():
    assert describe(np.zeros((2, 3), "float32")) == "float32[2,3]"
    assert describe(np.float64(1)) == "float64[]"
    assert describe(2) == "2"
    assert describe("text") == "str"


def test_after_every_error_the_engine_works():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    for action, kind, _ in CASES.values():
        with pytest.raises(kind):
            action()
        assert state.recording
    (x * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_numpy_warnings_are_numpys_own():
    """Overflow and invalid values warn as in NumPy and can be silenced as in NumPy."""
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        ag.log(ag.tensor([0.0]))
    with np.errstate(divide="ignore"):
        assert ag.log(ag.tensor([0.0])).item() == -np.inf


def test_an_impossible_size_is_an_error_and_not_a_wrapped_product():
    for make in (
        lambda: ag.broadcast_to(ag.tensor(1.0), (2**40, 2**40)),
        lambda: ag.zeros((2**40, 2**40)),
        lambda: ag.random.uniform((2**33, 2**33)),
        lambda: ag.tile(ag.ones(2), 2**62),
        lambda: ag.conv_transpose(
            ag.zeros((1, 1, 2, 2)), ag.zeros((1, 1, 1, 1)), stride=2**31 - 1, padding=0
        ),
    ):
        with pytest.raises((ValueError, MemoryError, OverflowError)):
            make()
