"""Arguments of compiled functions by position and by name, in any order: a replay binds them as the function would."""

from functools import partial, wraps

import numpy as np
import pytest

import autograd_core as ag

A, B = ag.tensor([1.0, 2.0]), ag.tensor([10.0, 20.0])
WIDE = ag.ones((3, 2))


def collect(x, *rest, k, **more):
    """Every kind of parameter; the order of `more` shows in the result."""
    total = x - 2 * k
    for i, value in enumerate((*rest, *more.values())):
        total = total + (i + 3) * value
    return total


def passing_on(function):
    @wraps(function)
    def wrapper(*args, **params):
        return function(*args, **params)

    return wrapper


def by_name_only(function):
    @wraps(function)
    def wrapper(x, *, y):
        return function(x, y)

    return wrapper


def combine(x, y):
    return x - 2 * y


class Model:
    def __call__(self, x, y):
        return x - 2 * y

    def step(self, x, *, target):
        return x - 2 * target


SWAPPED = [((A, B), {}), ((A,), {"y": B}), ((B,), {"y": A}), ((), {"x": A, "y": B}), ((), {"y": B, "x": A}),
           ((), {"y": A, "x": B})]  # fmt: skip
CASES = {
    "lambda": (lambda x, y: x - 2 * y, SWAPPED),
    "function": (combine, SWAPPED),
    "another shape by name": (combine, [((WIDE,), {"y": A}), ((A,), {"y": WIDE}), ((), {"y": WIDE, "x": A})]),
    "keyword only": (Model().step, [((A,), {"target": B}), ((B,), {"target": A}), ((), {"target": B, "x": A})]),
    "callable object": (Model(), SWAPPED),
    "partial": (partial(combine, y=B), [((A,), {}), ((A,), {"y": A}), ((), {"y": B, "x": A})]),
    "wrapper": (passing_on(combine), SWAPPED),
    "wrapper with keywords": (by_name_only(combine), [((A,), {"y": B}), ((B,), {"y": A}), ((), {"y": A, "x": B})]),
    "defaults": (
        lambda x, c=2.0, y=None: x * c if y is None else x * c - y,
        [((A,), {}), ((A,), {"y": B}), ((B,), {"y": A}), ((A,), {"y": B, "c": 3.0}), ((A, 3.0), {"y": B})],
    ),
    "all kinds": (
        collect,
        [((A,), {"k": B}), ((A, B), {"k": A, "z": B, "w": A}), ((A, B), {"w": A, "z": B, "k": A}),
         ((), {"k": A, "x": B}), ((B, B), {"w": B, "z": A, "k": A})],
    ),
    "containers": (
        lambda d, *, e: d["p"] - 2 * e[0] + e[1]["q"],
        [(({"p": A},), {"e": [B, {"q": A}]}), (({"p": B},), {"e": [A, {"q": B}]})],
    ),
    "ndarrays": (combine, [((A,), {"y": B.numpy()}), ((B,), {"y": A.numpy()}), ((), {"y": A.numpy(), "x": B})]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_swapped_keyword_arguments_give_what_the_function_gives(name):
    function, calls = CASES[name]
    compiled = ag.compile(function)
    for args, params in calls * 2:
        wanted = function(*args, **params)
        np.testing.assert_array_equal(compiled(*args, **params).numpy(), wanted.numpy())


def test_naming_an_argument_makes_no_new_program():
    compiled = ag.compile(combine)
    for args, params in SWAPPED:
        compiled(*args, **params)
    assert sum(map(len, compiled.variants.values())) == 1


def test_a_step_with_its_target_by_name_trains_on_the_target():
    def trained(step_of):
        w = ag.tensor([1.0, -1.0], requires_grad=True)

        def step(x, target):
            w.grad = None
            loss = ((w * x - target) ** 2).sum()
            loss.backward()
            return loss

        run = step_of(step)
        found = []
        for x, target in ((A, B), (B, A), (A, A)):
            found += [run(x, target=target).item(), *w.grad.tolist()]
        return found

    assert trained(ag.compile) == pytest.approx(trained(lambda step: step), rel=1e-6)


@pytest.mark.parametrize("params", [{"z": B}, {"x": B, "y": B}, {}])
def test_arguments_that_do_not_fit_raise_what_the_function_raises(params):
    with pytest.raises(TypeError) as wanted:
        combine(A, **params)
    compiled = ag.compile(combine)
    with pytest.raises(TypeError) as found:
        compiled(A, **params)
    assert str(found.value) == str(wanted.value)
