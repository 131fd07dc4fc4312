"""Recording on or off, as a context that belongs to the code that entered it.

The state is a context variable: each thread and each asyncio task has its own. It is the list of contexts that were
entered and not yet left, and the last of them counts, so that contexts may be left in any order: two generators that
are suspended inside `with ag.no_grad():` leave recording on when both are closed.
"""

import inspect
import types
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from functools import wraps
from types import TracebackType
from typing import Any, Self

Contexts = Callable[[], Any]  # makes a context to enter


class Stepwise(ContextDecorator):
    """A context that is also a decorator, of generators, async generators and async functions too.

    What these do runs inside the context, each step of its own: while they are suspended, the context is left.
    """

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(function):
            raise TypeError(
                f"{type(self).__name__}: a decorator stands above a function, but this is {function!r}"
            )
        if inspect.isasyncgenfunction(function):

            @wraps(function)
            def call(*args: Any, **params: Any) -> Any:
                return _async_steps(function(*args, **params), self._stepper())

            return call
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def asynchronous(*args: Any, **params: Any) -> Any:
                return await _awaited(function(*args, **params), self._stepper())

            return asynchronous
        if inspect.isgeneratorfunction(function):

            @wraps(function)
            def generator(*args: Any, **params: Any) -> Any:
                return (yield from _steps(function(*args, **params), self._stepper()))

            return generator
        return super().__call__(function)

    def _stepper(self) -> Contexts:
        """What makes the context of each step of one call."""
        return self._recreate_cm


def _steps(generator: Any, fresh: Contexts) -> Generator[Any, Any, Any]:
    """What the generator (or coroutine) yields and returns, each of its steps inside a context."""
    step, given = generator.send, None
    while True:
        try:
            with fresh():
                item = step(given)
        except StopIteration as end:
            return end.value
        try:
            step, given = generator.send, (yield item)
        except GeneratorExit:
            with fresh():
                generator.close()
            raise
        except BaseException as error:  # thrown in from outside: it goes on inside
            step, given = generator.throw, error


_awaited = types.coroutine(_steps)


async def _async_steps(generator: Any, fresh: Contexts) -> AsyncGenerator[Any, Any]:
    """What the async generator yields, each of its steps inside a context."""
    step, given = generator.asend, None
    while True:
        try:
            item = await _awaited(step(given), fresh)
        except StopAsyncIteration:
            return
        try:
            step, given = generator.asend, (yield item)
        except GeneratorExit:
            await _awaited(generator.aclose(), fresh)
            raise
        except BaseException as error:
            step, given = generator.athrow, error


class recording(Stepwise):
    """Switch recording on or off, as a context or a decorator. It nests.

    It acts in the thread and the asyncio task that entered it, and in tasks that are started inside. Above a generator
    or an async function it acts while that runs. One limit is Python's own (PEP 568): `with ag.no_grad():` inside the
    body of a plain generator also acts on its caller, while the generator is suspended there; the decorator does not.
    """

    def __init__(self, on: bool) -> None:
        self.wanted = self.on = on  # `on` is what holds while this is the innermost context
        self.before = True  # what held when it was entered
        self.left = False  # by another thread or task than entered it

    def __enter__(self) -> Self:
        now = _entered.get()
        while now[-1].left:
            now = now[:-1]
        self.on, self.before, self.left = self.wanted, now[-1].on, False
        _entered.set((*now, self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = _entered.get()
        if now[-1] is self:
            _entered.set(now[:-1])
        elif self in now:  # left in another order than entered
            last = len(now) - 1 - now[::-1].index(self)
            _entered.set((*now[:last], *now[last + 1 :]))
        else:  # a generator that was started in another thread or task: what held there holds there again
            self.on, self.left = self.before, True

    def _recreate_cm(self) -> "recording":
        return recording(self.wanted)

    def _stepper(self) -> Contexts:
        resumed = _Resumed(self.wanted)
        return lambda: resumed


class _Resumed:
    """The contexts of one call of a decorated generator or async function: the decorator's, and above it those that the
    function has entered itself. They hold while it runs, and not while it is suspended.
    """

    def __init__(self, on: bool) -> None:
        self.own = (recording(on),)
        self.outer: tuple[recording, ...] = ()

    def __enter__(self) -> None:
        self.outer = _entered.get()
        _entered.set((*self.outer, *self.own))

    def __exit__(self, *_: object) -> None:
        self.own = _entered.get()[len(self.outer) :]
        _entered.set(self.outer)


_entered: ContextVar[tuple[recording, ...]] = ContextVar("recording", default=(recording(True),))
entered = _entered.get  # entered()[-1].on: whether operations are recorded
_ALONE = {on: (recording(on),) for on in (False, True)}


def switch(on: bool) -> Token[tuple[recording, ...]]:
    """Recording on or off until `switch_back` of what this returns: for code that is never suspended between the two.

    It takes a quarter of the context's time.
    """
    return _entered.set(_ALONE[on])


switch_back = _entered.reset


def reset(on: bool) -> None:
    """Recording on or off from here, as if no context had been entered."""
    _entered.set((recording(on),))
