"""What the tape saved does not change, whatever happens afterwards to the array, list or buffer that was given."""

import array
import ctypes
import sys

import numpy as np
import pytest

import autograd_core as ag
import nn


class ByArray:
    """Something with an array of its own, which it hands out."""

    def __init__(self, values=(1.0, 1.0, 1.0, 1.0)):
        self.values = np.array(values)

    def change(self):
        self.values[:] = 100

    def __array__(self, dtype=None, copy=None):
        return self.values


class ByInterface:
    """The same by NumPy's older protocol, which says that it is read-only."""

    def __init__(self):
        self.values = np.ones(4)

    def change(self):
        self.values[:] = 100

    @property
    def __array_interface__(self):
        description = dict(self.values.__array_interface__)
        description["data"] = (description["data"][0], True)
        return description


def of_view(view):
    """A read-only view of an array that is written to later."""

    def make():
        owner = np.ones(8)
        given = view(owner)
        given.flags.writeable = False
        return given, lambda: owner.fill(100)

    return make


def writable():
    owner = np.ones(4)
    return owner, lambda: owner.fill(100)


def made_writable_again():
    owner = np.ones(4)
    owner.flags.writeable = False

    def change():
        owner.flags.writeable = True
        owner.fill(100)

    return owner, change


def of_bytearray():
    memory = bytearray(np.ones(4).tobytes())
    return np.frombuffer(memoryview(memory).toreadonly()), lambda: memory.__setitem__(
        slice(None), np.full(4, 100.0).tobytes()
    )


def of_ctypes():
    memory = (ctypes.c_double * 4)(1, 1, 1, 1)
    return memory, lambda: memory.__setitem__(slice(0, 4), [100.0] * 4)


def of_array_array():
    memory = array.array("d", [1.0] * 4)
    return memory, lambda: memory.__setitem__(slice(None), array.array("d", [100.0] * 4))


def of_memoryview():
    memory, change = of_array_array()
    return memoryview(memory), change


def of_list():
    values = [1.0] * 4
    return values, lambda: values.__setitem__(slice(None), [100.0] * 4)


def of_array_protocol():
    holder = ByArray()
    return holder, holder.change


def of_array_interface():
    holder = ByInterface()
    return holder, holder.change


def numpy_made_writable():
    tensor = ag.ones(4, dtype="float64")
    view = tensor.numpy()

    def change():
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True
        with pytest.raises(ValueError, match="WRITEABLE"):
            np.asarray(tensor).setflags(write=True)

    return view, change


def dlpack():
    tensor = ag.ones(4, dtype="float64")

    def change():
        exported = np.from_dlpack(tensor)
        if not exported.flags.writeable:
            exported = exported.copy()
        exported.fill(100)

    return tensor, change


GIVEN = {
    "an array": writable,
    "a read-only view": of_view(lambda a: a[:4]),
    "a reversed view": of_view(lambda a: a[3::-1]),
    "a strided view": of_view(lambda a: a[::2]),
    "a reshaped view": of_view(lambda a: a.reshape(2, 4)[1]),
    "a view as another dtype": of_view(lambda a: a.view(np.float64)[4:]),
    "broadcast_to": of_view(lambda a: np.broadcast_to(a[:1], (4,))),
    "a large broadcast_to": of_view(lambda a: np.broadcast_to(a[:4], (5000, 4))),
    "as_strided": of_view(lambda a: np.lib.stride_tricks.as_strided(a, (4,), (0,))),
    "sliding_window_view": of_view(lambda a: np.lib.stride_tricks.sliding_window_view(a, 4)[1]),
    "an array made writable again": made_writable_again,
    "memory of a bytearray": of_bytearray,
    "an array of another byte order": of_view(lambda a: a.astype(">f8")[:4]),
    "a list": of_list,
    "an array protocol": of_array_protocol,
    "t.numpy() made writable": numpy_made_writable,
    "a tensor that was exported": dlpack,
}
USES = {
    "an operand": lambda w, a: w * a,
    "a matrix product": lambda w, a: ag.matmul(a, w),
    "asarray": lambda w, a: w * ag.asarray(a),
    "tensor": lambda w, a: w * ag.tensor(a),
    "stack": lambda w, a: w * ag.stack([a, a])[0],
    "where": lambda w, a: ag.where(True, w * a, a),
    "Parameter": lambda w, a: w * nn.Parameter(a),
    "Buffer": lambda w, a: w * nn.Buffer(a),
    "einsum": lambda w, a: ag.einsum("i,...i->...i", w, a),
}


def gradient(make, use, change):
    given, changed = make()
    w = ag.tensor(np.arange(1.0, 5.0), requires_grad=True)
    loss = use(w, given).sum()
    if change:
        changed()
    loss.backward()
    return w.grad.tolist()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("given", GIVEN)
def test_a_saved_array_does_not_change(given, use):
    assert gradient(GIVEN[given], USES[use], True) == gradient(GIVEN[given], USES[use], False)


@pytest.mark.parametrize("make", [of_array_array, of_memoryview, of_ctypes, of_array_interface])
@pytest.mark.parametrize("use", ["asarray", "tensor", "stack", "Parameter", "Buffer"])
def test_a_saved_buffer_does_not_change(make, use):
    assert gradient(make, USES[use], True) == gradient(make, USES[use], False)


@pytest.mark.parametrize("given", [*(name for name in GIVEN if name != "a list"), "a buffer"])
def test_gradients_buffers_and_cotangents_are_copies(given):
    make = of_array_array if given == "a buffer" else GIVEN[given]
    value, change = make()
    shape = np.shape(value)
    w = ag.tensor(np.ones(shape), requires_grad=True)
    state = nn.Buffer(np.zeros(shape))
    w.grad = value
    state.assign(value)
    _, pull_back = ag.vjp(lambda v: v * 1.0, np.ones(shape))
    (pulled,) = pull_back(value)
    (w * 0.0).backward(value)
    change()
    assert np.array_equal(w.grad.numpy(), np.ones(shape))
    assert np.array_equal(state.numpy(), np.ones(shape))
    assert np.array_equal(pulled.numpy(), np.ones(shape))


def indices(kind):
    if kind == "a list":
        given = [3, 2, 1, 0]
        return given, lambda: given.__setitem__(slice(None), [0] * 4)
    if kind == "an array.array":
        given = array.array("q", [3, 2, 1, 0])
        return given, lambda: given.__setitem__(slice(None), array.array("q", [0] * 4))
    if kind == "an array protocol":
        given = ByArray([3, 2, 1, 0])
        return given, lambda: given.values.fill(0)
    owner = np.array([3, 2, 1, 0])
    given = owner if kind == "an array" else owner.view()
    given.flags.writeable = kind == "an array"
    return given, lambda: owner.fill(0)


INDEXED = {
    "getitem": lambda w, i: w[i][:2] * 1.0,
    "getitem in a tuple": lambda w, i: w[..., i][:2],
    "take": lambda w, i: ag.take(w, i)[:2],
}


@pytest.mark.parametrize("use", INDEXED)
@pytest.mark.parametrize("kind", ["a list", "an array.array", "an array protocol", "an array", "a view"])
def test_a_saved_index_does_not_change(kind, use):
    assert gradient(lambda: indices(kind), INDEXED[use], True) == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", ["an array", "a view"])
def test_saved_places_masks_and_labels_do_not_change(kind):
    def flags():
        owner = np.array([True, False, True, False])
        given = owner if kind == "an array" else owner.view()
        given.flags.writeable = kind == "an array"
        return given, lambda: owner.fill(True)

    def labels():
        owner = np.array([1, 1])
        given = owner if kind == "an array" else owner.view()
        given.flags.writeable = kind == "an array"
        return given, lambda: owner.fill(0)

    def written(w, i):
        y = w * 1.0
        y[i[:2]] = 0.0
        return y

    for make, use in (
        (flags, lambda w, m: w[m]),
        (flags, lambda w, m: ag.where(m, w, 0.0)),
        (flags, lambda w, m: np.where(m, w, 0.0)),
        (labels, lambda w, n: ag.pick(w.reshape(2, 2), n)),
        (labels, lambda w, n: ag.cross_entropy(w.reshape(2, 2), n)),
        (lambda: indices(kind), written),
        (lambda: indices(kind), lambda w, i: ag.take_along_axis(w, i, axis=0)[:2]),
    ):
        assert gradient(make, use, True) == gradient(make, use, False)


@ag.primitive
def scaled(x, by=None):
    total = by["a"] if isinstance(by, dict) else by
    return x * np.sum(total)


scaled.defvjp(lambda g, by: g * float(np.sum(by["a"] if isinstance(by, dict) else by)))


def static(kind):
    owner = np.ones(4)
    given = {
        "an array": owner,
        "a list": [1.0] * 4,
        "a list of arrays": [owner],
        "a tuple of arrays": (owner,),
        "a dict of arrays": {"a": owner},
    }[kind]

    def change():
        owner.fill(100)
        if kind == "a list":
            given[:] = [100.0] * 4

    return given, change


@pytest.mark.parametrize(
    "kind", ["an array", "a list", "a list of arrays", "a tuple of arrays", "a dict of arrays"]
)
def test_a_static_parameter_of_a_users_operation_does_not_change(kind):
    def use(w, by):
        return scaled(w, by=by)

    assert gradient(lambda: static(kind), use, True) == [4.0] * 4


def test_a_list_given_to_roll_does_not_change():
    def shifts():
        given = [1]
        return given, lambda: given.__setitem__(0, 0)

    assert gradient(shifts, lambda w, by: ag.roll(w, by, [0])[:2], True) == [1.0, 0.0, 0.0, 1.0]


def test_a_users_operation_may_reuse_its_buffer():
    buffer = np.empty(2)

    @ag.primitive
    def exponential(x):
        return np.exp(x, out=buffer)

    exponential.defvjp(lambda g, out: g * out)
    x = ag.tensor(np.array([0.0, 1.0]), requires_grad=True)
    first = exponential(x)
    exponential(np.array([5.0, 6.0]))
    first.sum().backward()
    assert np.allclose(x.grad.numpy(), np.exp([0.0, 1.0]))


def test_a_users_operation_that_returns_a_fresh_array_is_not_copied():
    made = []

    @ag.primitive
    def doubled(x):
        out = x * 2
        made.append(out.__array_interface__["data"][0])
        return out

    assert doubled(np.ones(1000)).array.__array_interface__["data"][0] == made[0]


def test_a_memory_map_that_is_written_to(tmp_path):
    path = tmp_path / "values"
    np.ones(4).tofile(path)

    def mapped():
        def change():
            again = np.memmap(path, float, "r+", shape=(4,))
            again[:] = 100
            again.flush()

        return np.memmap(path, float, "r", shape=(4,)), change

    assert gradient(mapped, lambda w, a: w * a, True) == [1.0] * 4
    np.ones(4).tofile(path)
    assert gradient(mapped, lambda w, a: w * ag.asarray(a), True) == [1.0] * 4


def test_a_large_broadcast_array_is_copied_compactly():
    wide = np.broadcast_to(np.ones((1000, 1), np.float32), (1000, 1_000_000))  # 4 GB if it were written out
    shared = ag.asarray(wide)
    assert shared.array.strides == (4, 0)
    assert sys.getsizeof(shared.array.base) < 10_000
    assert shared[5, 7].item() == 1.0


def test_numpy_gives_a_view_that_nobody_can_write_to():
    for x in (
        ag.ones(3),
        ag.ones((2, 0)),
        ag.tensor(1.0),
        ag.tensor([True]),
        ag.ones((3, 4)).T,
        ag.ones(5)[::-2],
    ):
        view = x.numpy()
        assert view.shape == x.shape
        assert view.dtype == x.dtype
        assert not view.size or np.shares_memory(view, x.array)
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.view().flags.writeable = True


def test_threads_that_share_a_parameter_lose_no_gradient():
    import threading

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        w = ag.tensor(np.ones(1000, np.float32), requires_grad=True)

        def run():
            for _ in range(100):
                (w * 2).sum().backward()

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert w.grad.tolist() == [800.0] * 1000
