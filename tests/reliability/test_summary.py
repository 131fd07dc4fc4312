"""model.summary counts what runs: multiply-adds of recorded operations, against counts by hand."""

import numpy as np
import pytest

import autograd_core as ag
import nn

R = ag.ones


def model(f, /, **members):
    class Given(nn.Module):
        def __init__(self):
            for name, member in members.items():
                setattr(self, name, member)

        def forward(self, *args):
            return f(self, *args)

    return Given()


def attention(m, x):  # (2, 5, 8), two heads of 4
    q, k, v = (p(x).reshape(2, 5, 2, 4).permute_dims((0, 2, 1, 3)) for p in (m.q, m.k, m.v))
    weights = ag.softmax(q @ k.mT / 2.0, axis=-1)
    return m.out((weights @ v).permute_dims((0, 2, 1, 3)).reshape(2, 5, 8))


def recurrent(m, x):  # (3, 6, 4): six steps of 4 → 5 and 5 → 5
    h = ag.zeros((3, 5))
    for t in range(6):
        h = ag.tanh(x[:, t] @ m.w + m.again(h))
    return h


def lora(m, x):
    return m.base(x) + (x @ m.a) @ m.b


CASES = [
    ("two matmuls", model(lambda m, x: (x @ m.a) @ m.b, a=nn.Parameter(R((4, 5))), b=nn.Parameter(R((5, 6)))),
     [R((3, 4))], 3 * 4 * 5 + 3 * 5 * 6),
    ("attention", model(attention, **{n: nn.Dense(8, 8) for n in ("q", "k", "v", "out")}),
     [R((2, 5, 8))], 4 * 10 * 8 * 8 + 2 * (2 * 2 * 5 * 5 * 4)),
    ("einsum", model(lambda m, x: ag.einsum("bij,bjk->bik", x, x)), [R((2, 4, 4))], 2 * 4 * 4 * 4),
    ("einsum of three", model(lambda m, x: ag.einsum("ij,jk,kl->il", x, R((3, 50)), R((50, 4)))), [R((2, 3))],
     3 * 50 * 4 + 2 * 3 * 4),
    ("einsum with an ellipsis", model(lambda m, x: ag.einsum("...ij,jk", x, R((4, 5)))), [R((2, 3, 4))], 2 * 3 * 4 * 5),
    ("einsum that adds up nothing", model(lambda m, x: ag.einsum("ij,ij->ij", x, x) + ag.einsum("ij->i", x)),
     [R((3, 3))], 0),
    ("conv, groups", nn.Conv(4, 6, 3, groups=2, padding=1), [R((2, 4, 5, 5))], 2 * 6 * 25 * 2 * 9),
    ("conv, dilation and stride", nn.Conv(4, 6, 3, dilation=2, stride=2), [R((2, 4, 9, 9))], 2 * 6 * 9 * 4 * 9),
    ("conv in 1-D", nn.Conv(4, 6, (3,)), [R((2, 4, 9))], 2 * 6 * 7 * 4 * 3),
    ("transposed conv", nn.ConvTranspose(4, 6, 3, stride=2, groups=2), [R((2, 4, 5, 5))], 2 * 4 * 25 * 3 * 9),
    ("functional conv", model(lambda m, x: ag.conv(ag.relu(ag.conv(x, m.w)), m.w), w=nn.Parameter(R((4, 4, 3, 3)))),
     [R((1, 4, 6, 6))], 4 * 16 * 36 + 4 * 4 * 36),
    ("functional transposed conv", model(lambda m, x: ag.conv_transpose(x, R((4, 2, 2, 2)))), [R((1, 4, 3, 3))],
     36 * 2 * 4),
    ("residual", nn.Residual(nn.Sequential(nn.Dense(4, 4), nn.ReLU(), nn.Dense(4, 4))), [R((3, 4))], 2 * 3 * 16),
    ("broadcast matmul", model(lambda m, x: x @ R((5, 4, 6))), [R((2, 1, 3, 4))], 2 * 5 * 3 * 4 * 6),
    ("recurrent loop", model(recurrent, w=nn.Parameter(R((4, 5))), again=nn.Dense(5, 5)), [R((3, 6, 4))],
     6 * (3 * 4 * 5 + 3 * 5 * 5)),
    ("a layer called twice", model(lambda m, x: m.d(m.d(x)), d=nn.Dense(4, 4)), [R((3, 4))], 2 * 3 * 16),
    ("vecdot", model(lambda m, x: ag.vecdot(x, R(4))), [R((2, 3, 4))], 24),
    ("tensordot", model(lambda m, x: ag.tensordot(x, R((3, 4, 5)), 2)), [R((2, 3, 4))], 2 * 12 * 5),
    ("matrix and vector", model(lambda m, x: (x @ R(4)) @ R(3)), [R((3, 4))], 12 + 3),
    ("outer and elementwise", model(lambda m, x: ag.outer(x, x) * 2 + x / 3), [R(3)], 0),
    ("linalg", model(lambda m, x: ag.linalg.inv(x) @ ag.linalg.solve(x, x)), [ag.eye(3)], 27),
    ("low rank", model(lora, base=nn.Dense(8, 8), a=nn.Parameter(R((8, 2))), b=nn.Parameter(R((2, 8)))),
     [R((3, 8))], 3 * 64 + 3 * 16 + 3 * 16),
    ("checkpoint", model(lambda m, x: ag.checkpoint(m.d)(x) @ R((4, 2)), d=nn.Dense(4, 4)), [R((3, 4))], 48 + 24),
    ("compiled part", model(lambda m, x: m.f(x), f=ag.compile(lambda x: x @ R((4, 2)))), [R((3, 4))], 24),
    ("numpy arrays", model(lambda m, x: x @ np.ones((4, 2), "f4")), [R((3, 4))], 24),
    ("nothing", nn.Sequential(nn.ReLU(), nn.Flatten(), nn.MaxPool(1)), [R((2, 3, 4, 4))], None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "inputs", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_multiply_adds_by_hand(name, given, inputs, wanted):
    if wanted is None:
        given, wanted = nn.Sequential(nn.ReLU(), nn.MaxPool(1), nn.Flatten()), 0
    given(*inputs)  # a compiled part is captured already, or not
    for _ in range(2):
        assert nn.summary(given, tuple(inputs)).total_multiply_adds == wanted


def test_products_stand_in_the_row_of_the_module_that_they_ran_in():
    inner = model(lambda m, x: m.d(x @ R((4, 4))), d=nn.Dense(4, 2))
    outer = model(lambda m, x: m.inner(x) @ R((2, 7)), inner=inner)
    found = nn.summary(outer, R((3, 4)))
    assert [(row.depth, row.multiply_adds) for row in found.rows] == [(0, 42), (1, 48), (2, 24)]
    assert "Multiply-adds: 114" in str(found)


def test_a_module_may_say_its_own_count():
    class Own(nn.Module):
        def __init__(self):
            self.d = nn.Dense(4, 4)

        def forward(self, x):
            return self.d(x @ R((4, 4)))

        def multiply_adds(self, inputs, output):
            return inputs[0].size * 1000

    found = nn.summary(Own(), R((3, 4)))
    assert [row.multiply_adds for row in found.rows] == [12_000, 48]


@pytest.mark.parametrize("width", [60, 72, 80, 120])
def test_the_table_is_readable_at_60_columns(width, monkeypatch):
    deep = nn.Sequential(nn.Dense(4096, 4096))
    for _ in range(8):
        deep = model(lambda m, x: m.a_rather_long_name(x), a_rather_long_name=deep)
    several = model(lambda m, x: {"first": m.deep(x), "second": [x, x, x]}, deep=deep)
    text = nn.summary(several, (64, 4096)).table(width)
    assert max(map(len, text.splitlines())) <= width
    assert "16,781,312" in text
    assert "1,073,741,824" in text
    assert "layers.0 (Dense)" in text
    monkeypatch.setenv("COLUMNS", str(width))
    assert str(nn.summary(several, (64, 4096))) == text


def test_summary_takes_nothing_from_a_compiled_part():
    f = ag.compile(lambda x: x @ R((4, 2)))
    given = model(lambda m, x: f(x))
    x = R((3, 4))
    given(x)
    programs = sum(map(len, f.variants.values()))
    nn.summary(given, x)
    given(x)
    assert sum(map(len, f.variants.values())) == programs == 1
