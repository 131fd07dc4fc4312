"""Tensors as objects: making them, reading them, copying them; operators on both sides; parameters and buffers."""

import copy
import operator
import pickle

import numpy as np
import pytest

import autograd_core as ag

# Making ---------------------------------------------------------------------------------------------------------


def test_tensor_copies_an_ndarray_and_keeps_its_dtype():
    for dtype in ("float32", "float64", "int8", "uint64", "bool"):
        source = np.ones(3, dtype)
        t = ag.tensor(source)
        source[:] = 0
        assert t.dtype == dtype
        assert t.numpy().all()


def test_tensor_copies_a_tensor_without_its_graph():
    x = ag.tensor([1.0], requires_grad=True)
    y = ag.tensor(x * 2)
    assert y.is_leaf
    assert not y.requires_grad
    assert not np.shares_memory(y.numpy(), x.numpy())


def test_lists_of_floats_are_float32_and_of_ints_int64_and_of_bools_bool():
    assert ag.tensor([1.0, 2]).dtype == np.float32
    assert ag.tensor(1.5).dtype == np.float32
    assert ag.tensor([[]]).dtype == np.float32
    assert ag.tensor([1, 2]).dtype == np.int64
    assert ag.tensor(3).dtype == np.int64
    assert ag.tensor([True]).dtype == np.bool_
    assert ag.tensor([[1.0, 2.0], [3, 4]]).shape == (2, 2)


def test_lists_of_numpy_scalars_and_arrays_keep_their_dtype():
    assert ag.tensor([np.float64(1), np.float64(2)]).dtype == np.float64
    assert ag.tensor([np.zeros(2), np.ones(2)]).dtype == np.float64
    assert ag.tensor(np.float64(1)).dtype == np.float64


def test_tensor_of_a_list_of_tensors():
    rows = [ag.tensor([1.0, 2.0]), ag.tensor([3.0, 4.0])]
    assert ag.tensor(rows).tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    "name", ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool"]
)
def test_dtypes_by_name_type_and_dtype(name):
    for given in (name, np.dtype(name), np.dtype(name).type):
        assert ag.tensor([1, 0], dtype=given).dtype == name
        assert ag.zeros(2, dtype=given).dtype == name
        assert ag.tensor([1.0, 0.0]).astype(given).dtype == name


def test_set_default_dtype_is_what_lists_and_creation_take(float64):
    assert ag.default_dtype() == np.float64
    for made in (
        ag.tensor([0.5]),
        ag.zeros(2),
        ag.ones(2),
        ag.linspace(0, 1, 3),
        ag.arange(0.0, 1.0),
        ag.eye(2),
    ):
        assert made.dtype == np.float64
    assert (ag.tensor(np.ones(2, "float32")) + 1.5).dtype == np.float32
    assert ag.random.uniform(2).dtype == np.float64


@pytest.mark.parametrize("dtype", ["int64", "float16", "bool", "complex64"])
def test_set_default_dtype_takes_float_dtypes_only(dtype):
    with pytest.raises(TypeError, match="float32 or float64"):
        ag.set_default_dtype(dtype)
    assert ag.default_dtype() == np.float32


def label(value):
    """A name for the test that is the same in every process."""
    return f"{type(value).__name__}-{getattr(value, 'dtype', value if value is None else '')}"


BAD = [
    np.ones(2, "float16"), np.ones(2, "complex128"), np.array([object()]), np.array(["a"]), "text", [1, "a"], 1j,
    np.array([b"x"]), np.datetime64("2020-01-01"), None, [None], np.ones(2, "longdouble"),
]  # fmt: skip


@pytest.mark.parametrize("data", BAD, ids=label)
def test_what_the_engine_does_not_compute_in_is_a_type_error_that_says_what_it_does(data):
    with pytest.raises(TypeError, match="float32, float64, bool and the 8- to 64-bit integers"):
        ag.tensor(data)


@pytest.mark.parametrize("data", BAD[:4], ids=label)
def test_an_operation_on_what_the_engine_does_not_compute_in_is_a_type_error(data):
    with pytest.raises(TypeError, match="not supported"):
        ag.tensor([1.0, 2.0]) * data
    with pytest.raises(TypeError, match="not supported"):
        ag.exp(data)


@pytest.mark.parametrize("dtype", ["float16", "complex64", "object", "U3", "longdouble"])
def test_no_function_makes_an_unsupported_dtype(dtype):
    for make in (
        lambda: ag.zeros(2, dtype=dtype),
        lambda: ag.tensor([1.0], dtype=dtype),
        lambda: ag.tensor([1.0]).astype(dtype),
        lambda: ag.arange(3, dtype=dtype),
    ):
        with pytest.raises(TypeError, match="not supported"):
            make()


def test_a_list_of_tracked_tensors_does_not_lose_its_graph_without_a_word():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    for make in (
        lambda parts: ag.asarray(parts),
        lambda parts: ag.tensor([0.0, 0.0]) + parts,
        lambda parts: ag.exp(parts),
        lambda parts: ag.maximum(parts, 0.0),
    ):
        outcome = "untracked"
        try:
            outcome = "tracked" if make([x[0], x[1] * 2]).requires_grad else outcome
        except TypeError as error:
            outcome = "explained" if "stack" in str(error) else str(error)
        assert outcome in ("tracked", "explained")


def test_ragged_lists_are_an_error():
    with pytest.raises(ValueError, match=r"inhomogeneous|ragged"):
        ag.tensor([[1.0], [1.0, 2.0]])


def test_asarray_gives_back_a_tensor_as_it_is_and_shares_only_what_nobody_can_write_to():
    x = ag.tensor([1.0])
    assert ag.asarray(x) is x
    assert ag.asarray(x, dtype="float64").dtype == np.float64
    assert ag.asarray(x, copy=True) is not x
    writeable = np.ones(3)
    copied = ag.asarray(writeable)
    writeable[:] = 0
    assert copied.numpy().all()
    fixed = np.ones(3)
    fixed.flags.writeable = False  # its owner can take that back
    assert not np.shares_memory(ag.asarray(fixed).numpy(), fixed)
    constant = np.frombuffer(bytes(24))
    assert np.shares_memory(ag.asarray(constant).numpy(), constant)
    with pytest.raises(ValueError, match="copy=False"):
        ag.asarray([1.0], copy=False)


def test_byte_swapped_arrays_are_made_native():
    for dtype in (">f4", ">f8", ">i4"):
        t = ag.tensor(np.arange(3).astype(dtype))
        assert t.dtype.isnative
        assert t.tolist() == [0, 1, 2]


def test_a_subclass_of_ndarray_becomes_a_plain_array():
    masked = np.ma.array([1.0, 2.0], mask=[False, False])
    assert type(ag.tensor(masked).numpy()) is np.ndarray
    assert type(ag.tensor(np.zeros(2).view(np.recarray)).numpy()) is np.ndarray


# Reading --------------------------------------------------------------------------------------------------------


def test_properties():
    t = ag.tensor(np.zeros((2, 3), "float32"))
    assert t.shape == (2, 3)
    assert t.ndim == 2
    assert t.size == 6
    assert t.dtype == np.dtype("float32")
    assert t.nbytes == 24
    assert t.grad is None
    assert not t.requires_grad
    assert t.is_leaf
    assert len(t) == 2
    assert t.T.shape == (3, 2)
    assert ag.zeros((2, 3, 4)).mT.shape == (2, 4, 3)
    assert ag.zeros((2, 3, 4)).T.shape == (4, 3, 2)


def test_mT_needs_two_axes():
    with pytest.raises(ValueError, match="2"):
        ag.zeros(3).mT


def test_numpy_is_read_only_and_shares_memory():
    t = ag.tensor([1.0, 2.0])
    array = t.numpy()
    assert np.shares_memory(array, t.numpy())
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 5.0
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(t)[0] = 5.0


def test_a_copy_of_numpy_is_writeable_and_independent():
    t = ag.tensor([1.0, 2.0])
    for array in (np.array(t), t.numpy().copy(), np.asarray(t, dtype="float64")):
        array[0] = 5.0
        assert t.tolist() == [1.0, 2.0]


def test_conversion_to_python_numbers():
    assert ag.tensor([[2.5]]).item() == 2.5
    assert float(ag.tensor(2.5)) == 2.5
    assert int(ag.tensor(2.9)) == 2
    assert int(ag.tensor(2**62 + 1)) == 2**62 + 1
    assert bool(ag.tensor([1.0]))
    assert not ag.tensor(0)
    assert type(ag.tensor(True).item()) is bool
    assert [10, 20, 30][ag.tensor(1)] == 20
    assert list(range(ag.tensor(3))) == [0, 1, 2]
    assert f"{ag.tensor(2.0):.3f}" == "2.000"


def test_conversion_of_several_elements_is_an_error_that_says_how_many():
    t = ag.tensor([1.0, 2.0])
    for convert in (float, int, bool, ag.Tensor.item):
        with pytest.raises(ValueError, match="2 elements"):
            convert(t)
    with pytest.raises(ValueError, match="0 elements"):
        bool(ag.zeros(0))
    with pytest.raises(TypeError, match="integer"):
        [1, 2][ag.tensor(1.0)]


def test_a_0d_tensor_has_no_length_and_no_rows():
    with pytest.raises(TypeError, match="0-d"):
        len(ag.tensor(1.0))
    with pytest.raises(TypeError, match="0-d"):
        list(ag.tensor(1.0))


def test_iteration_gives_rows():
    rows = list(ag.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert [row.tolist() for row in rows] == [[1.0, 2.0], [3.0, 4.0]]
    assert list(ag.zeros((0, 3))) == []


def test_contains():
    t = ag.tensor([1.0, 2.0])
    assert 2.0 in t
    assert 5.0 not in t


def test_repr_shows_values_dtype_and_where_it_came_from():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    assert repr(ag.tensor([1, 2])) == "tensor([1, 2], dtype=int64)"
    assert repr(x) == "tensor([1., 2.], dtype=float32, requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 4.], dtype=float32, from=multiply)"
    assert repr(ag.tensor(1.5)) == "tensor(1.5, dtype=float32)"
    assert len(repr(ag.zeros((1000, 1000)))) < 2000


def test_repr_of_a_parameter_names_its_values():
    assert "[1., 2.]" in repr(ag.Parameter([1.0, 2.0]))


# detach, astype, requires_grad ----------------------------------------------------------------------------------------


def test_detach_cuts_the_graph_and_keeps_the_value():
    x = ag.tensor([2.0], requires_grad=True)
    cut = (x * 3).detach()
    assert not cut.requires_grad
    assert cut.tolist() == [6.0]
    (cut * x).sum().backward()
    assert x.grad.tolist() == [6.0]


def test_astype_is_differentiable_and_gives_a_new_tensor():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x.astype("float64")
    assert y.dtype == np.float64
    (y * y).sum().backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [2.0, 4.0]
    assert not x.astype("int64").requires_grad


@pytest.mark.parametrize("data", [[1, 2], [True], np.zeros(2, "uint8")])
def test_integers_and_booleans_cannot_require_a_gradient(data):
    with pytest.raises(TypeError, match=r"cannot require a gradient.*astype"):
        ag.tensor(data, requires_grad=True)
    t = ag.tensor(data)
    with pytest.raises(TypeError, match="cannot require a gradient"):
        t.requires_grad = True
    with pytest.raises(TypeError, match="cannot require a gradient"):
        ag.Parameter(data)


def test_requires_grad_can_be_switched_on_a_leaf_but_not_off_a_result():
    x = ag.tensor([1.0])
    x.requires_grad = True
    y = x * 2
    with pytest.raises(RuntimeError, match="detach"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad
    x.requires_grad = True
    x.requires_grad = True
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0]


def test_grad_can_be_set_and_is_checked():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    x.grad = [0.5, 0.5]
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.5, 2.5]
    with pytest.raises(ValueError, match=r"\[2\]"):
        x.grad = ag.zeros(3)
    x.grad = None
    assert x.grad is None


# Operators ------------------------------------------------------------------------------------------------------------

BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
]  # fmt: skip


@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.__name__)
@pytest.mark.parametrize(
    "other", [2, 2.5, np.float32(2), np.array([2.0, 5.0]), [2.0, 5.0], np.array([[1], [2]])], ids=repr
)
def test_operators_with_numbers_arrays_and_lists_on_both_sides(op, other):
    x = np.array([3.0, 4.0], "float32")
    t = ag.tensor(x)
    plain = np.asarray(other, "float32") if isinstance(other, list) else other
    for got, want in [(op(t, other), op(x, plain)), (op(other, t), op(plain, x))]:
        assert type(got) is ag.Tensor
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


def test_matmul_with_an_ndarray_on_either_side():
    a, b = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)
    for got in (ag.tensor(a) @ b, a @ ag.tensor(b), ag.tensor(a) @ b.tolist()):
        assert type(got) is ag.Tensor
        np.testing.assert_allclose(got.numpy(), a @ b)


@pytest.mark.parametrize("op", [operator.and_, operator.or_, operator.xor], ids=lambda op: op.__name__)
def test_logic(op):
    for x, y in [(np.array([True, False]), np.array([True, True])), (np.array([6, 3]), np.array([5, 5]))]:
        for left, right in [(ag.tensor(x), ag.tensor(y)), (ag.tensor(x), y), (x, ag.tensor(y))]:
            np.testing.assert_array_equal(op(left, right).numpy(), op(x, y))
    assert (~ag.tensor([True, False])).tolist() == [False, True]
    assert (~ag.tensor([5])).tolist() == [-6]


def test_unary_operators():
    t = ag.tensor([-1.5, 2.0])
    assert (-t).tolist() == [1.5, -2.0]
    assert (+t).tolist() == [-1.5, 2.0]
    assert abs(t).tolist() == [1.5, 2.0]


def test_ndarray_operators_keep_the_graph():
    x = ag.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    y = np.array([3.0, 4.0]) * x + np.array([1.0, 1.0])
    assert type(y) is ag.Tensor
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 4.0]


def test_numpy_ufuncs_are_the_engines_operations():
    x = ag.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    y = np.exp(x)
    assert type(y) is ag.Tensor
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]))
    for f in (np.sin, np.sqrt, np.tanh, np.square, np.log1p, np.negative):
        assert type(f(x)) is ag.Tensor
    for f in (np.add, np.maximum, np.power, np.logaddexp):
        assert type(f(np.ones(2), x)) is ag.Tensor
    assert type(np.matmul(np.ones((2, 2)), x)) is ag.Tensor


def test_numpy_ufuncs_that_the_engine_lacks_are_a_type_error_not_a_silent_loss_of_the_graph():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError):
        np.cbrt(x)
    with pytest.raises(TypeError):
        np.add.reduce(x)
    with pytest.raises(TypeError):
        np.add(x, 1.0, out=np.zeros(2))


def test_an_ndarray_is_not_written_to_by_an_in_place_operator_with_a_tensor():
    a = np.ones(2)
    try:
        a += ag.tensor([1.0, 1.0])
    except TypeError:
        a = np.asarray(a)
    assert np.asarray(a).tolist() in ([1.0, 1.0], [2.0, 2.0])
    assert not isinstance(a, np.ndarray) or a.dtype != object


@pytest.mark.parametrize("other", [None, "a", {}, set(), object()], ids=label)
def test_operators_with_foreign_objects_are_type_errors(other):
    t = ag.tensor([1.0])
    for op in (operator.add, operator.mul, operator.lt, operator.matmul, operator.pow):
        with pytest.raises(TypeError):
            op(t, other)
        with pytest.raises(TypeError):
            op(other, t)


def test_equality_with_none_is_false_not_an_error():
    t = ag.tensor([1.0])
    assert (t == None) is False  # noqa: E711
    assert (t != None) is True  # noqa: E711


def test_hash_is_by_identity():
    x, y = ag.tensor([1.0]), ag.tensor([1.0])
    assert len({x, y, x}) == 2
    assert {x: 1}[x] == 1


def test_a_tensor_on_the_left_of_an_object_with_its_own_operator_lets_it_decide():
    class Unit:
        __array_ufunc__ = None

        def __radd__(self, other):
            return "mine"

    class Stranger:
        def __rmul__(self, other):
            return "stranger's"

    assert ag.tensor([1.0]) + Unit() == "mine"
    assert ag.tensor([1.0]) * Stranger() == "stranger's"


# Copies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_hold_the_values_without_the_graph(duplicate):
    x = ag.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    for original in (x, ag.tensor([1, 2]), ag.Parameter([1.0]), ag.Buffer([3])):
        twin = duplicate(original)
        assert type(twin) is type(original)
        assert twin is not original
        assert twin.dtype == original.dtype
        assert twin.tolist() == original.tolist()
        assert twin.is_leaf
        assert twin.requires_grad == original.requires_grad
        assert not np.shares_memory(twin.numpy(), original.numpy())
    twin = duplicate(x)
    (twin * 3).sum().backward()
    assert x.grad is None
    assert twin.grad.tolist() == [3.0, 3.0]


def test_a_copy_of_a_computed_tensor_keeps_its_graph():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    twin = copy.copy(y)
    twin[0] = 9
    assert y.tolist() == [2.0, 4.0]
    copy.copy(y).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_deep_copy_of_a_computed_tensor_is_refused_instead_of_losing_the_graph():
    y = ag.tensor([1.0, 2.0], requires_grad=True) * 2
    for given in (y, [y], {"loss": y}, (1, [y])):
        with pytest.raises(TypeError, match=r"lose the graph. Copy t.detach\(\)"):
            copy.deepcopy(given)
    assert copy.deepcopy([y.detach()])[0].tolist() == [2.0, 4.0]
    with ag.no_grad():
        assert copy.deepcopy(y).tolist() == [2.0, 4.0]


def test_deepcopy_keeps_shared_tensors_shared():
    x = ag.Parameter([1.0])
    first, second = copy.deepcopy([x, x])
    assert first is second


# Methods --------------------------------------------------------------------------------------------------------------


def test_reshape_takes_sizes_or_a_tuple():
    t = ag.arange(6)
    assert t.reshape(2, 3).shape == t.reshape((2, 3)).shape == t.reshape([2, -1]).shape == (2, 3)
    assert t.reshape(-1).shape == (6,)
    assert t.reshape(2, 3).flatten().shape == (6,)
    assert ag.tensor([7.0]).reshape(()).shape == ()


def test_transpose_and_permute_dims():
    t = ag.zeros((2, 3, 4))
    assert t.transpose().shape == (4, 3, 2)
    assert (
        t.transpose(1, 0, 2).shape
        == t.transpose((1, 0, 2)).shape
        == t.permute_dims((1, 0, 2)).shape
        == (3, 2, 4)
    )


def test_methods_take_the_arguments_of_the_functions():
    t = ag.tensor([[3.0, 1.0], [2.0, 4.0]])
    assert t.sum(0).tolist() == [5.0, 5.0]
    assert t.max(axis=1, keepdims=True).shape == (2, 1)
    assert t.argmax(axis=0).tolist() == [0, 1]
    assert t.sort(axis=0, descending=True).tolist() == [[3.0, 4.0], [2.0, 1.0]]
    assert t.clip(1.5, 3.5).tolist() == [[3.0, 1.5], [2.0, 3.5]]
    assert t.take([1], axis=0).tolist() == [[2.0, 4.0]]
    assert t.squeeze().shape == (2, 2)
    assert t.expand_dims(axis=0).shape == (1, 2, 2)
    assert t.std(axis=0, correction=1).shape == (2,)


# Parameter and Buffer -------------------------------------------------------------------------------------------------


def test_a_parameter_is_a_leaf_that_requires_a_gradient_and_copies_its_data():
    source = np.ones(2)
    p = ag.Parameter(source)
    source[:] = 0
    assert p.requires_grad
    assert p.is_leaf
    assert p.tolist() == [1.0, 1.0]
    assert isinstance(p, ag.Tensor)
    assert type(p * 2) is ag.Tensor


def test_a_buffer_requires_no_gradient_and_may_be_integral():
    b = ag.Buffer(np.array([1, 2]))
    assert not b.requires_grad
    assert b.dtype == np.int64
    assert type(b + 1) is ag.Tensor


@pytest.mark.parametrize("kind", [ag.Parameter, ag.Buffer])
def test_assign_replaces_the_elements_and_keeps_dtype_shape_and_identity(kind):
    state = kind([1.0, 2.0])
    before, earlier = state.numpy(), state * 1
    state.assign(np.array([3.0, 4.0]))  # float64
    assert state.dtype == np.float32
    assert state.tolist() == [3.0, 4.0]
    assert before.tolist() == [1.0, 2.0]
    assert earlier.tolist() == [1.0, 2.0]
    assert state.is_leaf
    state.assign(state + 1)
    state.assign([9.0, 9.0])
    assert state.tolist() == [9.0, 9.0]
    assert state.is_leaf


def test_assign_copies_what_can_change():
    p, source = ag.Parameter([1.0, 2.0], dtype="float64"), np.array([5.0, 6.0])
    p.assign(source)
    source[:] = 0
    assert p.tolist() == [5.0, 6.0]


def test_assign_of_another_shape_is_an_error_and_changes_nothing():
    p = ag.Parameter([1.0, 2.0])
    for value in (np.zeros(3), 1.0, np.zeros((1, 2))):
        with pytest.raises(ValueError, match=r"assign: .*\[2\]"):
            p.assign(value)
    assert p.tolist() == [1.0, 2.0]


def test_assign_of_a_tracked_tensor_does_not_make_the_state_part_of_the_graph():
    p, b = ag.Parameter([1.0]), ag.Buffer([0.0])
    b.assign(p * 3)
    p.assign(p * 2)
    assert not b.requires_grad
    assert p.is_leaf
    (p * b).sum().backward()
    assert p.grad.tolist() == [3.0]


def test_gradients_of_values_computed_before_an_assign_use_the_old_elements():
    p = ag.Parameter([3.0])
    y = p * p
    p.assign([100.0])
    y.sum().backward()
    assert p.grad.tolist() == [6.0]


def test_assign_to_a_plain_tensor_is_missing():
    assert not hasattr(ag.tensor([1.0]), "assign")


def test_numpy_functions_on_tracked_tensors_keep_the_gradient_or_refuse():
    x = np.array([3.0, 4.0])
    np.testing.assert_allclose(ag.grad(lambda v: (v * np.linalg.norm(v)).sum())(x).numpy(), [9.2, 10.6])
    np.testing.assert_allclose(ag.grad(lambda v: np.dot(v, v))(x).numpy(), [6.0, 8.0])
    tracked = ag.tensor(x, requires_grad=True)
    with pytest.raises(TypeError, match=r"np\.median .*detach"):
        np.median(tracked)
    with pytest.raises(TypeError, match=r"np\.cbrt .*detach"):
        np.cbrt(tracked)
    assert np.shape(tracked) == (2,)
    assert np.allclose(tracked, x)
    np.testing.assert_allclose(np.cbrt(tracked.detach()), np.cbrt(x))
    total = np.ones(2)
    total += ag.ones(2)
    assert total.tolist() == [2.0, 2.0]
