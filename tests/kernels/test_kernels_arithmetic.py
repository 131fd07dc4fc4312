"""Types of arithmetic are asked for once, and only while this project compiles."""

import operator

import numba
import numpy as np
from numba.core.types.functions import BaseFunction

from autograd_core.kernels import arithmetic_types


def arithmetic(a, b, x):
    total = a + b
    for i in range(a):
        total += i * 2 - b // 3
        if not (i & 1) and total < 4:
            total = total << 1
    return total / 2 + x, -x < 0, a % b, 7 - 2


def test_the_answers_are_numbas(monkeypatch):
    wanted = numba.njit(arithmetic)(5, 2, np.float32(1.5))
    monkeypatch.setattr(arithmetic_types, "_found", {})
    asked, find = [], arithmetic_types._find

    def counted(self, context, args, kws):
        asked.append((self.key[0], *map(numba.types.unliteral, args)))
        return find(self, context, args, kws)

    monkeypatch.setattr(arithmetic_types, "_find", counted)
    with arithmetic_types.remembered():
        for _ in range(2):
            assert numba.njit(arithmetic)(5, 2, np.float32(1.5)) == wanted
        before = len(asked)
        assert numba.njit(lambda a, b: a + b)(1, 2) == 3
        assert numba.njit(lambda a, b: a + b)(1.5, 2) == 3.5  # other types are asked for
    numbers = [each for each in asked if each[0] is operator.add]
    assert len(numbers) == len(set(numbers))
    assert asked[before:] == [(operator.add, numba.float64, numba.int64)]


def test_numba_is_as_it_was_afterwards():
    find = BaseFunction.get_call_type
    with arithmetic_types.remembered():
        assert BaseFunction.get_call_type is not find
    assert BaseFunction.get_call_type is find
