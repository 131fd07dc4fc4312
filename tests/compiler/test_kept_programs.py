"""What compiled functions keep: so many programs, and nothing of those that are gone."""

import gc
import weakref

import numpy as np
import pytest

import autograd_core as ag
import nn
from autograd_core.compiler import loops


def kept(f):
    return [variant for variants in f.variants.values() for variant in variants]


@pytest.mark.parametrize("way", ["shapes", "numbers", "text", "closure", "dtypes and modes"])
def test_programs_are_bounded_however_they_differ(way):
    """300 calls that all differ: 64 programs, and the results stay right."""
    scale = 0.0
    norm = nn.Sequential(nn.Dropout(0.0))
    f = ag.compile(lambda x, n=0.0: norm(x) * 2 + (len(n) if isinstance(n, str) else n) + scale)
    for i in range(90):
        x, n, wanted = np.ones(3), 0.0, 2.0
        if way == "shapes":
            x = np.ones(i + 1)
        elif way == "numbers":
            n, wanted = float(i), 2.0 + i
        elif way == "text":
            n, wanted = "x" * i, 2.0 + i
        elif way == "closure":
            scale, wanted = float(i), 2.0 + i
        else:
            x = np.ones(i % 7 + 1, ("float32", "float64")[i % 2])
            norm.train(i % 3 == 0)
        assert f(ag.tensor(x), n).tolist() == [wanted] * len(x)
        assert len(kept(f)) <= 64
    assert len(kept(f)) == (min(90, 64) if way != "dtypes and modes" else len(kept(f)))
    assert len(f.variants) <= 64
    assert len(f.reasons) <= 64
    assert len(f.explain().splitlines()) < 600


def test_the_program_that_was_not_used_for_longest_goes():
    f = ag.compile(lambda x, n: x * n, max_programs=3)
    x = ag.ones(2)
    for n in (1.0, 2.0, 3.0):
        f(x, n)
    before = kept(f)
    f(x, 1.0)
    assert kept(f) == before  # none is made anew
    f(x, 4.0)
    assert before[1] not in kept(f)
    assert before[0] in kept(f)
    assert before[2] in kept(f)
    assert f(x, 2.0).tolist() == [2, 2]
    assert len(kept(f)) == 3
    for wrong in (0, -1, 2.5, True, None):
        with pytest.raises(ValueError, match="max_programs = "):
            ag.compile(f, max_programs=wrong)
    assert ag.compile(max_programs=2)(lambda x: x).max_programs == 2


def test_the_memory_of_a_program_goes_with_it():
    f = ag.compile(lambda x, n: (x * n + 1).sum(), max_programs=2)
    x = ag.ones(1000)
    f(x, 1.0)
    f(x, 1.0)
    gone = [weakref.ref(kept(f)[0]), weakref.ref(kept(f)[0].replay)]
    for n in (2.0, 3.0):
        f(x, n)
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_arguments_of_programs_that_are_gone_are_not_kept():
    class Settings:
        """A static argument."""

    f = ag.compile(lambda x, s: x + 1, max_programs=2)
    first = Settings()
    f(ag.ones(2), first)
    gone = weakref.ref(first)
    del first
    for _ in range(2):
        f(ag.ones(2), Settings())
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("step", ["compiled step", "fit", "optimizer alone"])
def test_a_trained_model_is_kept_by_nothing(step):
    """The compiler's own tables hold patterns of loops, and no program, model or array."""

    def train(size):
        model = nn.Sequential(nn.Dense(3, size), nn.Tanh(), nn.Dense(size, 1))
        optimizer = nn.Adam(model.parameters(), 0.01)
        x = np.ones((8, 3), np.float32)
        if step == "fit":
            nn.fit(model, (x, x[:, :1]), nn.mse_loss, optimizer, 1, progress=False)
        elif step == "compiled step":

            @ag.compile
            def f(x, y):
                loss = nn.mse_loss(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                return loss

            for _ in range(2):
                f(x, x[:, :1])
        else:
            for _ in range(2):
                optimizer.zero_grad()
                nn.mse_loss(model(x), x[:, :1]).backward()
                optimizer.step()
            assert optimizer.compiled is not None or size < 8192
        return [weakref.ref(model), *(weakref.ref(p) for p in model.parameters()), weakref.ref(optimizer)]

    loops._like.clear()
    for size in (7, 40_000):
        gone = train(size)
        gc.collect()
        assert [reference() for reference in gone] == [None] * 6
    assert loops._like or step == "optimizer alone"
    for loop in loops._like.values():
        assert loop.group is None
        assert all(reference.value is None for reference in loop.references)
        assert loop.scalars == []
