"""`no_grad` acts on the code that entered it: generators, asyncio tasks, threads, in any order."""

import asyncio
import concurrent.futures
import inspect
import threading

import pytest

import autograd_core as ag
from autograd_core.tape import state

X = ag.tensor([1.0, 2.0], requires_grad=True)


def records() -> bool:
    return (X * 2).requires_grad


@ag.no_grad()
def generator():
    given = yield records()
    try:
        yield given, records()
    except ValueError:
        yield "caught", records()
    return "returned", records()


@ag.no_grad
async def coroutine():
    await asyncio.sleep(0)
    return records()


@ag.no_grad
async def asynchronous_generator():
    given = yield records()
    await asyncio.sleep(0)
    try:
        yield given, records()
    except ValueError:
        yield "caught", records()


def test_a_decorated_generator_does_not_record_while_it_runs_and_its_caller_does():
    steps = generator()
    assert next(steps) is False
    assert records()
    assert steps.send("given") == ("given", False)
    assert records()
    assert steps.throw(ValueError()) == ("caught", False)
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == ("returned", False)
    assert records()


def test_a_decorated_generator_that_is_closed_cleans_up_without_recording():
    seen = []

    @ag.no_grad()
    def closing():
        try:
            yield
        finally:
            seen.append(records())

    steps = closing()
    next(steps)
    steps.close()
    assert seen == [False]
    assert records()


def test_yield_from_a_decorated_generator():
    def outer():
        yield records()
        result = yield from generator()
        yield records(), result

    assert list(outer()) == [True, False, (None, False), (True, ("returned", False))]


def test_a_decorated_method_that_is_a_generator():
    class Data:
        @ag.no_grad
        def batches(self, n):
            for i in range(n):
                yield i, records()

    assert list(Data().batches(2)) == [(0, False), (1, False)]


def test_enable_grad_above_a_generator_inside_no_grad():
    @ag.enable_grad
    def recording():
        yield records()

    with ag.no_grad():
        assert list(recording()) == [True]
        assert not records()


def test_a_decorated_async_function_does_not_record():
    assert inspect.iscoroutinefunction(coroutine)

    async def main():
        task = asyncio.create_task(coroutine())
        await asyncio.sleep(0)
        assert records()
        return await task, await coroutine(), records()

    assert asyncio.run(main()) == (False, False, True)


def test_a_decorated_async_function_that_is_cancelled():
    seen = []

    @ag.no_grad
    async def slow():
        try:
            await asyncio.sleep(60)
        finally:
            seen.append(records())

    async def main():
        task = asyncio.create_task(slow())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return records()

    assert asyncio.run(main())
    assert seen == [False]


def test_a_decorated_async_generator_does_not_record():
    async def main():
        steps = asynchronous_generator()
        found = [await anext(steps), records(), await steps.asend("given"), records()]
        found += [await steps.athrow(ValueError()), records()]
        await steps.aclose()
        looped = [item async for item in asynchronous_generator()]
        return found, looped, records()

    found, looped, after = asyncio.run(main())
    assert found == [False, True, ("given", False), True, ("caught", False), True]
    assert looped == [False, (None, False)]
    assert after


def test_interleaved_tasks_each_have_their_own_no_grad():
    async def inside(delay, results):
        await asyncio.sleep(delay)
        with ag.no_grad():
            await asyncio.sleep(0.02)
            results.append(records())
            await asyncio.sleep(0.02)
        return records()

    async def outside(results):
        for _ in range(6):
            await asyncio.sleep(0.008)
            results.append(records())

    async def main():
        off, on = [], []
        after = await asyncio.gather(inside(0, off), inside(0.01, off), outside(on))
        return off, on, after

    off, on, after = asyncio.run(main())
    assert off == [False, False]
    assert all(on)
    assert after[:2] == [True, True]
    assert records()


def test_a_task_started_inside_no_grad_does_not_record():
    async def main():
        async def look():
            return records()

        with ag.no_grad():
            task = asyncio.create_task(look())
            thread = await asyncio.to_thread(records)
        return await task, thread, records()

    assert asyncio.run(main()) == (False, False, True)


def suspended():
    with ag.no_grad():
        yield


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_generators_that_were_suspended_inside_no_grad_leave_recording_on(order):
    both = [suspended(), suspended()]
    for each in both:
        next(each)
    assert not records()
    for i in order:
        both[i].close()
    assert records()


def test_contexts_left_in_another_order_than_entered():
    off, on = ag.no_grad(), ag.enable_grad()
    off.__enter__()
    on.__enter__()
    off.__exit__(None, None, None)
    assert records()
    on.__exit__(None, None, None)
    assert records()
    on.__enter__()
    off.__enter__()
    on.__exit__(None, None, None)
    assert not records()
    off.__exit__(None, None, None)
    assert records()


def test_one_context_object_entered_twice():
    off = ag.no_grad()
    with off:
        with off:
            assert not records()
        assert not records()
    assert records()


def test_a_generator_suspended_inside_no_grad_and_closed_in_another_thread():
    steps = suspended()
    next(steps)
    assert not records()
    thread = threading.Thread(target=steps.close)
    thread.start()
    thread.join()
    assert records()
    with ag.no_grad():
        assert not records()
    assert records()


def test_a_new_thread_records_though_it_was_started_inside_no_grad():
    found = []
    with ag.no_grad():
        thread = threading.Thread(target=lambda: found.append(records()))
        thread.start()
        thread.join()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            found.append(pool.submit(records).result())
    assert found == [True, True]


def test_one_context_object_in_several_threads_at_once():
    off, barrier, found = ag.no_grad(), threading.Barrier(4), []

    def run():
        for _ in range(50):
            barrier.wait()
            with off:
                found.append(records())
            found.append(not records())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 400
    assert not any(found)
    assert records()


def test_observe_above_a_generator_sees_what_runs_in_it():
    @ag.observe()
    def steps():
        yield X * 2

    (result,) = steps()
    assert result.node.seen.value.tolist() == [2.0, 4.0]
    assert state.observer is None
    assert not hasattr((X * 2).node, "seen")


def test_no_grad_of_something_that_is_no_function():
    with pytest.raises(TypeError, match="a decorator stands above a function"):
        ag.no_grad(5)


def test_a_context_inside_a_decorated_generator_holds_after_a_suspension():
    w = ag.tensor([1.0], requires_grad=True)

    @ag.no_grad()
    def steps():
        with ag.enable_grad():
            yield (w * 2).requires_grad
            yield (w * 2).requires_grad
        yield (w * 2).requires_grad

    found = [(inside, (w * 2).requires_grad) for inside in steps()]
    assert found == [(True, True), (True, True), (False, True)]
    with ag.no_grad():
        assert [(inside, (w * 2).requires_grad) for inside in steps()] == [
            (True, False), (True, False), (False, False),
        ]  # fmt: skip


def test_a_context_inside_a_decorated_async_function_holds_after_an_await():
    w = ag.tensor([1.0], requires_grad=True)

    @ag.no_grad()
    async def work():
        with ag.enable_grad():
            await asyncio.sleep(0)
            inside = (w * 2).requires_grad
            await asyncio.sleep(0)
        return inside, (w * 2).requires_grad

    async def both():
        return await asyncio.gather(work(), work())

    assert asyncio.run(both()) == [(True, False), (True, False)]
    assert (w * 2).requires_grad
