"""Reading and writing by index: all of NumPy's indexing, against NumPy, with gradients against a dense Jacobian."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autograd_core as ag

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def numbered(shape):
    """No two elements are equal, so that each result names the element it came from."""
    return np.arange(1.0, 1.0 + math.prod(shape)).reshape(shape)


@st.composite
def mixed(draw, shape):
    """Tuples of slices, integers, None, Ellipsis, integer arrays (in order or not) and boolean masks."""
    common = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3))
    parts, axis, dots = [], 0, False
    while axis < len(shape):
        size = shape[axis]
        kinds = ["slice", "none", "stop"] + ([] if dots else ["dots"])
        if size:
            kinds += ["int", "array", "array", "list", "tensor"]
        kinds += ["mask"]
        kind = draw(st.sampled_from(kinds))
        if kind == "slice":
            parts.append(draw(st.slices(size)))
        elif kind == "none":
            parts.append(None)
            continue
        elif kind == "stop":
            break
        elif kind == "dots":
            skipped = draw(st.integers(0, len(shape) - axis))
            rest = len(shape) - axis - skipped
            parts.append(Ellipsis)
            dots, axis = True, axis + skipped
            if rest == 0:
                break
            continue
        elif kind == "int":
            parts.append(draw(st.integers(-size, size - 1)))
        elif (
            kind == "mask"
        ):  # its number of True elements must broadcast with the other arrays: 1 always does
            mask = np.zeros(size, bool)
            if size:
                mask[draw(st.integers(0, size - 1))] = True
            parts.append(mask)
        else:
            dims = common if kind != "list" else common[-1:]
            array = draw(hnp.arrays(np.int64, dims, elements=st.integers(-size, size - 1)))
            parts.append(array if kind == "array" else array.tolist() if kind == "list" else ag.tensor(array))
        axis += 1
    return tuple(parts)


@st.composite
def shape_and_index(draw):
    shape = draw(SHAPES)
    kinds = [hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)]
    kinds += [mixed(shape), hnp.arrays(bool, shape), st.sampled_from([True, False, (), None, Ellipsis])]
    if shape and all(shape):
        kinds.append(hnp.integer_array_indices(shape))
    return shape, draw(st.one_of(kinds))


def for_numpy(index):
    if isinstance(index, tuple):
        return tuple(map(for_numpy, index))
    return index.numpy() if isinstance(index, ag.Tensor) else index


def numpy_read(x, index):
    """What NumPy reads, or None where it refuses: then the engine must refuse too."""
    try:
        return np.asarray(x[for_numpy(index)])
    except IndexError:
        return None


@given(shape_and_index())
@settings(max_examples=300)
def test_reading_equals_numpy_and_its_gradient_counts_each_reading(case):
    shape, index = case
    x = numbered(shape)
    want = numpy_read(x, index)
    t = ag.tensor(x, requires_grad=True)
    if want is None:
        with pytest.raises(IndexError):
            t[index]
        return
    got = t[index]
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got.numpy(), want)

    weights = np.linspace(0.5, 2, want.size).reshape(want.shape)
    got.backward(weights)
    dense = want.reshape(-1, 1) == x.reshape(1, -1)  # row: an element read; column: where it came from
    np.testing.assert_allclose(t.grad.numpy().reshape(-1), weights.reshape(-1) @ dense)


@st.composite
def write(draw):
    """A shape, an index, and a value whose shape broadcasts to what the index names."""
    shape, index = draw(shape_and_index())
    where = numpy_read(numbered(shape), index)
    target = () if where is None else where.shape
    kept = draw(st.integers(0, len(target)))
    value_shape = tuple(1 if draw(st.booleans()) else n for n in target[kept:])
    if draw(st.booleans()):
        value_shape = (1,) * (len(target) - len(value_shape) + draw(st.integers(0, 1))) + value_shape
    return shape, index, value_shape


@given(write())
@settings(max_examples=300)
def test_writing_equals_numpy_and_its_gradients_equal_a_dense_jacobian(case):
    shape, index, value_shape = case
    x, value = numbered(shape), -numbered(value_shape)
    want = x.copy()
    base = ag.tensor(x, requires_grad=True)
    source = ag.tensor(value, requires_grad=True)
    t = base * 1.0
    try:
        want[for_numpy(index)] = value
    except (IndexError, ValueError, TypeError) as error:
        with pytest.raises(type(error), match="setitem"):
            t[index] = source
        np.testing.assert_array_equal(t.numpy(), x)
        return
    t[index] = source
    assert t.shape == shape
    np.testing.assert_array_equal(t.numpy(), want)

    weights = np.linspace(0.5, 2, x.size).reshape(shape)
    t.backward(weights)
    flat = weights.reshape(-1)
    # Each element of the result came from one element of x or one of the value: found by its number.
    from_x = want.reshape(-1, 1) == x.reshape(1, -1)
    from_value = want.reshape(-1, 1) == value.reshape(1, -1)
    assert (from_x.sum(1) + from_value.sum(1) == 1).all()
    np.testing.assert_allclose(base.grad.numpy().reshape(-1), flat @ from_x)
    np.testing.assert_allclose(source.grad.numpy().reshape(-1), flat @ from_value)


@given(hnp.arrays(np.int64, st.integers(0, 12), elements=st.integers(0, 4)))
def test_where_an_index_names_a_place_twice_the_last_value_wins_and_alone_gets_the_gradient(index):
    value = ag.tensor(np.arange(1.0, len(index) + 1), requires_grad=True)
    t = ag.tensor(np.zeros(5))
    t[index] = value
    last = {place: i for i, place in enumerate(index.tolist())}
    assert t.tolist() == [last.get(place, -1) + 1.0 for place in range(5)]
    weights = np.arange(1.0, 6.0)
    (t * weights).sum().backward()
    want = np.zeros(len(index))
    for place, i in last.items():
        want[i] = weights[place]
    np.testing.assert_array_equal(value.grad.numpy(), want)


def test_a_broadcast_value_written_twice_to_one_place_is_counted_once():
    value = ag.tensor(3.0, dtype="float64", requires_grad=True)
    t = ag.tensor(np.zeros(3))
    t[np.array([0, 0, 1])] = value
    t.sum().backward()
    assert value.grad.item() == 2.0


@pytest.mark.parametrize(
    "index", [(np.array([2, 0, 2]), slice(1, 3)), (..., np.array([0, 0])), -1, np.eye(3) > 0]
)
def test_derivatives_of_reading_and_writing_to_third_order(index):
    x = np.linspace(0.5, 2, 9).reshape(3, 3)
    shape = x[index].shape
    ag.check_grads(lambda t: (t * t)[index] * t[index], (x,), order=3, rtol=1e-4, atol=1e-4)

    def written(t, v):
        u = t * t
        u[index] = v * v * t[index]
        return u * t

    ag.check_grads(
        written, (x, np.linspace(-1, 1, math.prod(shape)).reshape(shape)), order=3, rtol=1e-4, atol=1e-4
    )


# Errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [5, -6, np.array([0, 5]), np.array([-6]), [7], (slice(None), 2)])
def test_reading_out_of_range_is_an_index_error_that_names_the_operation_and_the_shape(index):
    with pytest.raises(IndexError, match=r"getitem: .*float32\[5,2\]"):
        ag.zeros((5, 2))[index]


@pytest.mark.parametrize("index", [5, -6, np.array([0, 5]), (0, 0, 0)])
def test_writing_out_of_range_is_an_index_error_and_changes_nothing(index):
    t = ag.zeros((5, 2))
    with pytest.raises(IndexError, match=r"setitem: .*float32\[5,2\]"):
        t[index] = 1.0
    assert not t.numpy().any()


@pytest.mark.parametrize(
    "index", [1.0, np.array([0.0, 1.0]), [0.5], np.nan, np.array([np.nan]), (0, 1.5), "a"]
)
def test_an_index_that_is_not_integral_is_an_index_error(index):
    x = ag.zeros((3, 3))
    with pytest.raises(IndexError, match=r"index|indices"):
        x[index]
    with pytest.raises(IndexError, match=r"index|indices"):
        x[index] = 1.0


def test_a_float_tensor_is_no_index():
    with pytest.raises(IndexError, match="float32"):
        ag.zeros(3)[ag.tensor([0.0])]


def test_a_mask_of_another_shape_is_an_index_error():
    with pytest.raises(IndexError, match="getitem"):
        ag.zeros(3)[np.array([True, False])]


def test_a_value_that_does_not_broadcast_is_a_value_error_that_names_both_shapes():
    with pytest.raises(ValueError, match=r"setitem: .*float32\[3\].*float32\[2\]"):
        ag.zeros(3)[:] = ag.ones(2)


# Kinds of index --------------------------------------------------------------------------------------------------


def test_tensors_index_as_arrays_do():
    x = ag.arange(10)
    assert x[ag.tensor([2, 7])].tolist() == [2, 7]
    assert x[x > 7].tolist() == [8, 9]
    assert x[ag.tensor(3)].item() == 3
    assert x[ag.tensor(np.array([1, 2], np.uint8))].tolist() == [1, 2]


def test_numpy_integers_and_nested_lists_index_as_in_numpy():
    x = np.arange(12.0).reshape(3, 4)
    t = ag.tensor(x)
    for index in (
        np.int32(1),
        [[0, 1], [2, 0]],
        ([0, 2], [1, 3]),
        (slice(None), [True, False, True, False]),
        [],
    ):
        np.testing.assert_array_equal(t[index].numpy(), x[index])


def test_a_list_of_a_million_duplicates_adds_up_in_the_gradient():
    x = ag.tensor(np.zeros(3), requires_grad=True)
    x[np.zeros(1_000_000, np.int64)].sum().backward()
    assert x.grad.tolist() == [1_000_000.0, 0.0, 0.0]


def test_changing_the_index_array_afterwards_changes_no_gradient():
    index = np.array([0, 1])
    x = ag.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[index]
    index[:] = 2
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 0.0]


def test_iteration_and_unpacking_are_reading_by_index():
    x = ag.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    first, second = x
    (first * second).sum().backward()
    assert x.grad.tolist() == [[3.0, 4.0], [1.0, 2.0]]


# Tensors are values ----------------------------------------------------------------------------------------------


def test_writing_changes_no_tensor_that_was_computed_from_it_or_shares_with_it():
    x = ag.tensor([1.0, 2.0, 3.0, 4.0])
    view, row, doubled = x[1:3], x.reshape(2, 2), x * 2
    seen, cut, same = x.numpy(), x.detach(), x
    x[1] = 99.0
    assert x.tolist() == [1.0, 99.0, 3.0, 4.0]
    assert same is x
    for other, want in [
        (view, [2, 3]),
        (row, [[1, 2], [3, 4]]),
        (doubled, [2, 4, 6, 8]),
        (cut, [1, 2, 3, 4]),
    ]:
        assert other.tolist() == want
    assert seen.tolist() == [1.0, 2.0, 3.0, 4.0]
    view[0] = -1.0
    assert x.tolist() == [1.0, 99.0, 3.0, 4.0]


def test_writing_does_not_corrupt_what_the_tape_has_saved():
    x = ag.tensor([1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    y = x * 1.0
    square = y * y  # saves y's array
    y[0] = 100.0
    y *= 7.0
    square.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


def test_writing_into_the_value_written_does_not_reach_back():
    x, v = ag.zeros(3), ag.ones(3)
    x[:] = v
    v[0] = 5.0
    x[1] = 7.0
    assert x.tolist() == [1.0, 7.0, 1.0]
    assert v.tolist() == [5.0, 1.0, 1.0]


def test_writing_an_ndarray_and_changing_it_afterwards_changes_nothing():
    source = np.ones(3)
    x = ag.tensor(np.zeros(3))
    x[:] = source
    source[:] = 9
    assert x.tolist() == [1.0, 1.0, 1.0]


def test_a_tensor_made_from_an_ndarray_does_not_write_to_it():
    source = np.zeros(3)
    for make in (ag.tensor, ag.asarray, lambda a: ag.asarray(a, copy=False)):
        x = make(source)
        x[0] = 1.0
        x += 1.0
        assert source.tolist() == [0.0, 0.0, 0.0]


def test_writing_is_recorded_and_the_earlier_value_keeps_its_own_gradient():
    x = ag.tensor([1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    y = x * 2
    before = y.sum()
    y[0] = x[2] ** 2
    (before + y.sum()).backward()
    assert x.grad.tolist() == [2.0, 4.0, 2.0 + 2.0 + 6.0]


def test_writing_into_itself_reads_the_old_values():
    x = ag.arange(5)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3]


def test_writing_keeps_the_dtype_as_numpy_does():
    x = ag.zeros(2)
    x[0] = np.float64(1.5)
    assert x.dtype == np.float32
    n = ag.tensor([1, 2])
    n[0] = 7.9
    assert n.dtype == np.int64
    assert n.tolist() == [7, 2]


def test_writing_a_tracked_value_into_an_untracked_tensor_starts_the_tape():
    v = ag.tensor(2.0, requires_grad=True)
    x = ag.zeros(3)
    x[1] = v * 3
    assert x.requires_grad
    x.sum().backward()
    assert v.grad.item() == 3.0


def test_writing_to_a_leaf_lets_the_object_stand_for_the_new_value():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    x[0] = 5.0
    assert x.tolist() == [5.0, 2.0]
    assert not x.is_leaf


@pytest.mark.parametrize("operator", ["+=", "-=", "*=", "/=", "//=", "%=", "**="])
def test_in_place_operators_compute_what_the_plain_ones_do_and_rebind(operator):
    names = {"x": ag.tensor([4.0, 9.0], dtype="float64"), "y": ag.tensor([2.0, 2.0])}
    x = names["x"]
    other = x * 1.0
    expected = eval(f"x {operator[:-1]} y", {}, dict(names))
    exec(f"x {operator} y", {}, names)
    assert names["x"] is x
    np.testing.assert_array_equal(x.numpy(), expected.numpy())
    assert other.tolist() == [4.0, 9.0]


def test_in_place_operators_are_recorded():
    x = ag.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    y = x * 1.0
    y += x
    y *= y
    y.sum().backward()
    assert x.grad.tolist() == [8.0, 16.0]


def test_in_place_operators_keep_shape_and_dtype_or_say_why_not():
    x = ag.zeros(2)
    x += np.ones(2)  # float64
    assert x.dtype == np.float32
    with pytest.raises(ValueError, match=r"add: .*\[3,2\].*\[2\]"):
        x += ag.ones((3, 2))
    n = ag.tensor([1, 2])
    with pytest.raises(TypeError, match="int64"):
        n /= 2
    assert x.tolist() == [1.0, 1.0]


def test_under_no_grad_a_leaf_stays_a_leaf():
    x = ag.tensor([1.0, 2.0], requires_grad=True)
    with ag.no_grad():
        x += 1.0
        x[0] = 10.0
    assert x.is_leaf
    assert x.requires_grad
    assert x.tolist() == [10.0, 3.0]
    (x * x).sum().backward()
    assert x.grad.tolist() == [20.0, 6.0]


def test_a_parameter_refuses_in_place_changes_while_recording_and_takes_them_under_no_grad():
    p = ag.Parameter([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"assign.*no_grad"):
        p += 1.0
    with pytest.raises(RuntimeError, match=r"assign.*no_grad"):
        p[0] = 1.0
    assert p.tolist() == [1.0, 2.0]
    with ag.no_grad():
        p -= 0.5
        p[0] = 7.0
    assert type(p) is ag.Parameter
    assert p.is_leaf
    assert p.tolist() == [7.0, 1.5]


def test_the_gradient_of_a_leaf_changed_under_no_grad_is_taken_at_the_arrays_of_the_forward_pass():
    x = ag.tensor([3.0], requires_grad=True)
    y = x * x
    with ag.no_grad():
        x += 100.0
    y.sum().backward()
    assert x.grad.tolist() == [6.0]
