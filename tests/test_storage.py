"""Files: what is saved comes back bit for bit; what is damaged, foreign or half-written changes nothing."""

import json
import math
import os

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import autograd_core as ag
import nn
from nn import files, optim, storage


class Model(nn.Module):
    def __init__(self, seed=0, width=3):
        rng = np.random.default_rng(seed)
        self.weight = nn.Parameter(rng.normal(size=(2, width)).astype(np.float32))
        self.bias = nn.Parameter(rng.normal(size=width))
        self.scale = nn.Parameter(np.float32(rng.normal()))
        self.count = nn.Buffer(np.int64(seed))


def stepped(model, n=2):
    optimizer = optim.Adam(model.named_parameters(), lr=0.1)
    for _ in range(n):
        for p in model.parameters():
            p.grad = ag.ones_like(p)
        optimizer.step()
    return optimizer


def same(a, b):
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert array.dtype == b[name].dtype
        np.testing.assert_array_equal(array, b[name], strict=True)


@pytest.fixture
def saved(tmp_path):
    """A file, and the model and optimizer in it."""
    model = Model(1)
    optimizer = stepped(model)
    path = tmp_path / "m.safetensors"
    storage.save(path, model, optimizer, epoch=7)
    return path, model, optimizer


def test_round_trip_with_optimizer_and_more(tmp_path):
    model = Model(1)
    optimizer = stepped(model)
    more = {"epoch": 3, "name": "ä\n", "list": [1, 2.5, None, True], "best": math.inf, "by": {"a": 0.1}}
    arrays = {"mask": np.array([True, False]), "t": ag.tensor([1.0, 2.0]), "scalar": np.float32(2.5)}
    path = tmp_path / "m.safetensors"
    storage.save(path, model, optimizer, **more, **arrays)
    other = Model(2)
    fresh = optim.Adam(other.named_parameters(), lr=0.5)
    loaded = storage.load(path, other, fresh)
    same(model.state_dict(), other.state_dict())
    same(optimizer.state_dict(), fresh.state_dict())
    assert {k: loaded[k] for k in more} == more
    assert loaded["mask"].tolist() == [True, False]
    assert loaded["t"].dtype == np.float32
    assert loaded["scalar"].shape == ()
    loaded["mask"][0] = False  # what comes back can be written


def test_the_library_reads_our_files(saved):
    path, model, _ = saved
    found = load_file(path)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(found[f"model.{name}"], array, strict=True)
    with safe_open(path, "numpy") as file:
        assert json.loads(file.metadata()["more"]) == {"epoch": 7}


BASE = np.arange(24, dtype=np.float32).reshape(4, 6)


@pytest.mark.parametrize(
    "array",
    [
        BASE.T,
        BASE[::2, 1::2],
        BASE[::-1],
        BASE[:, ::-1],
        np.broadcast_to(BASE[0], (3, 6)),
        BASE.reshape(2, 3, 4).transpose(2, 0, 1),
        np.asfortranarray(BASE),
        np.zeros((0, 3), np.float32),
        np.full((), 3.5),
        BASE.astype(">f4"),
        BASE.astype(np.uint8)[:, 2],
    ],
    ids=lambda a: f"{a.dtype}{a.shape}{a.strides}",
)
def test_layouts_that_safetensors_gets_wrong(tmp_path, array):
    path = tmp_path / "m.safetensors"
    storage.save(path, Model(), extra=array)
    loaded = storage.load(path, Model())["extra"]
    assert loaded.shape == array.shape
    assert loaded.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(loaded, array)


class Given(nn.Module):
    """A stand-in that shows the arrays themselves, not copies, and so keeps their layout."""

    def __init__(self, **arrays):
        self.arrays = arrays

    def state_dict(self):
        return self.arrays

    def load_state_dict(self, state):
        self.arrays = dict(state)


def test_a_model_with_transposed_and_reversed_arrays(tmp_path):
    model = Given(a=BASE.T, b=BASE[::-1, ::2])
    storage.save(tmp_path / "m", model)
    other = Given(a=np.zeros_like(BASE.T), b=np.zeros((4, 3), np.float32))
    storage.load(tmp_path / "m", other)
    same(other.arrays, model.arrays)


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a\0b", "__metadata__", "ü", "a" * 5000, ""])
def test_names_are_only_keys(tmp_path, name):
    folder = tmp_path / "in"
    folder.mkdir()
    storage.save(folder / "m", Given(**{name: BASE}), **{f"more {name}": BASE[0]})
    other = Given(**{name: BASE * 0})
    loaded = storage.load(folder / "m", other)
    np.testing.assert_array_equal(other.arrays[name], BASE)
    np.testing.assert_array_equal(loaded[f"more {name}"], BASE[0])
    assert os.listdir(tmp_path) == ["in"]
    assert os.listdir(folder) == ["m"]


# Saving -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crash", ["fsync", "replace"])
def test_a_crash_while_saving_leaves_the_old_file(saved, monkeypatch, crash):
    path, model, optimizer = saved
    before = path.read_bytes()

    def fail(*args):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, crash, fail)
        with pytest.raises(OSError, match="no space"):
            storage.save(path, Model(5))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]  # nothing half-written lies about
    assert storage.load(path, model, optimizer) == {"epoch": 7}


def test_a_power_cut_leaves_the_old_file(saved, monkeypatch):
    """As above, but nobody tidies up: what stands beside has another name."""
    path, model, optimizer = saved

    class Cut(BaseException):
        pass

    def fail(*args):
        raise Cut

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(files.Path, "unlink", lambda *a, **k: None)
    with pytest.raises(Cut):
        storage.save(path, Model(5))
    assert len(os.listdir(path.parent)) == 2
    assert storage.load(path, model, optimizer) == {"epoch": 7}


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, np.float16(1), np.array(["a"]), np.array([None]), 1j * np.ones(2), {1: "a", "1": "b"}],
    ids=["object", "set", "float16", "text array", "object array", "complex", "keys that collide"],
)
def test_what_cannot_be_stored_is_refused_and_nothing_written(tmp_path, value):
    with pytest.raises(TypeError, match=r"save: .*extra"):
        storage.save(tmp_path / "m", Model(), extra=value)
    assert os.listdir(tmp_path) == []


def test_saving_through_a_link_replaces_the_file_behind_it(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    storage.save(real, Model(1))
    link.symlink_to(real)
    storage.save(link, Model(2))
    other = Model(3)
    storage.load(real, other)
    assert link.is_symlink()
    same(other.state_dict(), Model(2).state_dict())


def test_saving_onto_a_folder_or_into_none(tmp_path):
    with pytest.raises(IsADirectoryError, match="folder"):
        storage.save(tmp_path, Model())
    with pytest.raises(FileNotFoundError):
        storage.save(tmp_path / "none" / "m", Model())


# Loading ------------------------------------------------------------------------------------------------------------


def refuses(path, match, model=None, optimizer=None):
    """The load fails with this message and the file's name, and changes nothing."""
    model = model or Model(9)
    before = model.state_dict()
    state = optimizer.state_dict() if optimizer else {}
    with pytest.raises(ValueError, match=match) as info:
        storage.load(path, model, optimizer)
    assert str(path) in str(info.value)
    same(before, model.state_dict())
    same(state, optimizer.state_dict() if optimizer else {})


def test_a_model_that_differs_is_left_alone(saved):
    path, _, _ = saved
    wider = Model(9, width=4)
    refuses(path, r"model\.weight is float32\[2,3\] in the file, not float32\[2,4\]", wider)
    with pytest.raises(ValueError, match=r"model\.bias") as info:
        storage.load(path, wider)
    assert "model.weight" in str(info.value)  # all that differs, not only the first
    other = Model(9)
    other.extra = nn.Parameter([1.0])
    refuses(path, r"model\.extra float32\[1\] is not in the file", other)
    other = Model(9)
    del other.scale
    refuses(path, r"model\.scale float32\[\] is only in the file", other)
    other = Model(9)
    other.bias = nn.Parameter(np.zeros(3, np.float32))
    refuses(path, r"model\.bias is float64\[3\] in the file, not float32\[3\]", other)


def test_an_optimizer_that_differs_is_left_alone(saved, tmp_path):
    path, _, _ = saved
    model = Model(9)
    refuses(path, r"optimizer\.momentum", model, optim.SGD(model.named_parameters(), 0.1, momentum=0.9))
    storage.save(tmp_path / "alone", model)
    refuses(tmp_path / "alone", r"optimizer\.lr .*not in the file", model, optim.SGD(model.parameters(), 0.1))


def test_an_optimizer_may_be_left_in_the_file(saved):
    path, model, _ = saved
    other = Model(9)
    assert storage.load(path, other) == {"epoch": 7}
    same(model.state_dict(), other.state_dict())


def test_values_that_the_optimizer_refuses_leave_the_model_alone(saved):
    path, model, optimizer = saved
    optimizer.settings["lr"].array = np.asarray(np.nan)
    storage.save(path, model, optimizer)
    other = Model(9)
    before = other.state_dict()
    with pytest.raises(ValueError, match="lr = nan"):
        storage.load(path, other, optim.Adam(other.named_parameters()))
    same(before, other.state_dict())


def test_every_truncation_is_noticed(saved):
    path, _, _ = saved
    content = path.read_bytes()
    for length in (0, 1, 7, 8, 9, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        refuses(path, "damaged")
    path.write_bytes(content + b"\0")
    refuses(path, "damaged.*cut off or added to")


def test_flipped_header_bytes_never_do_harm(saved):
    """Any single damaged byte of the header: an error, or an equal table (a space, a number's form)."""
    path, model, _ = saved
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for at in rng.choice(8 + int.from_bytes(content[:8], "little"), 150, replace=False):
        damaged = content.copy()
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        other = Model(9)
        before = other.state_dict()
        try:
            storage.load(path, other)
        except ValueError:
            same(before, other.state_dict())
        else:
            same(model.state_dict(), other.state_dict())


def write(path, header, data=b""):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ('{"a":%s,"a":%s}' % ((json.dumps(entry()),) * 2), "'a' stands there twice"),
        (
            '{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
            "'dtype' stands there twice",
        ),
        ({"a": entry(), "b": entry()}, "overlap"),
        ({"a": entry(), "b": entry(offsets=(4, 12))}, "overlap"),
        ({"a": entry(offsets=(4, 12))}, "gap"),
        ({"a": entry(shape=(4,), offsets=(0, 16))}, "cut off"),
        ({"a": entry(shape=(2**62,), offsets=(0, 2**64))}, "lists of sizes"),
        ({"a": entry(shape=(2**40, 2**40), offsets=(0, 8))}, "bytes do not make"),
        ({"a": entry(), "b": entry(shape=(0, 2**62), offsets=(8, 8))}, "no array can have"),
        ({"a": entry(shape=(-2,), offsets=(0, 8))}, "lists of sizes"),
        ({"a": entry(shape=(True, 2))}, "lists of sizes"),
        ({"a": entry(shape=(2.0,))}, "lists of sizes"),
        ({"a": entry(shape=(1,) * 65 + (2,))}, "lists of sizes"),
        ({"a": entry(offsets=(8, 0))}, "bytes do not make"),
        ({"a": entry(offsets=(0, 4, 8))}, "lists of sizes"),
        ({"a": entry(dtype="BF16", shape=(4,))}, "dtype 'BF16'"),
        ({"a": entry(dtype=["F32"])}, "dtype"),
        ({"a": entry(extra=1)}, "not dtype, shape"),
        ({"a": None}, "not dtype, shape"),
        ([], "not a table"),
        ("{", "damaged"),
        ("[" * 200_000, "damaged"),
        ('{"a":' + "9" * 6000 + "}", "damaged"),
        ({"__metadata__": {"more": 3}, "a": entry()}, "table of texts"),
        ({"__metadata__": 3, "a": entry()}, "table of texts"),
        ({"__metadata__": {"more": "["}, "a": entry()}, "damaged"),
        ({"__metadata__": {"more": "[]"}, "a": entry()}, "'more' is not a table"),
        ({"__metadata__": {"more": '{"x":1,"x":2}'}, "a": entry()}, "'x' stands there twice"),
    ],
)
def test_doctored_headers(tmp_path, header, match):
    path = tmp_path / "m"
    write(path, header, bytes(8))
    refuses(path, match)


def test_a_header_longer_than_the_file_is_not_read(tmp_path):
    path = tmp_path / "m"
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    refuses(path, "does not fit the file")
    path.write_bytes(b"PK\x03\x04 a zip of something else")
    refuses(path, "damaged, or not a safetensors file")


def test_other_arrays_have_a_limit(tmp_path, monkeypatch):
    path = tmp_path / "m"
    model = Model()
    storage.save(path, model, big=np.zeros(100))
    monkeypatch.setattr(storage, "MAX_MORE", 799)
    refuses(path, "800 bytes of other arrays", model)


def test_bytes_that_are_no_bool_become_one(tmp_path):
    path = tmp_path / "m"
    write(path, {"more.mask": entry("BOOL", (3,), (0, 3))}, b"\0\1\7")
    assert storage.load(path, Given())["mask"].tolist() == [False, True, True]


def test_no_file_and_no_regular_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        storage.load(tmp_path / "none", Model())
    with pytest.raises(ValueError, match="not a regular file"):
        storage.load(tmp_path, Model())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a regular file"):
        storage.load(tmp_path / "pipe", Model())
