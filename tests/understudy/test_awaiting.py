"""``async for item in each(...)``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from understudy import Retry, actor, each, handle
from understudy.asking import Asking, asks_by
from understudy.errors import DeclarationError, ItemsChanged
from understudy.testing.faults import Faults

Drain = Callable[..., int]


async def numbers(start: int, end: int) -> AsyncIterator[int]:
    for number in range(start, end):
        await asyncio.sleep(0)
        yield number


async def collect(items: Any) -> list[Any]:
    return [item async for item in each(items, key=str)]


def test_outside_of_a_worker_it_gives_every_distinct_item_once() -> None:
    assert asyncio.run(collect([3, 1, 3, 2])) == [3, 1, 2]
    assert asyncio.run(collect(numbers(0, 1_200))) == list(range(1_200))
    assert asyncio.run(collect([])) == []


def test_async_items_need_an_async_for() -> None:
    with pytest.raises(DeclarationError, match="async for"):
        list(each(numbers(0, 2), key=str))


def test_a_retry_goes_on_with_the_item_that_failed(drain: Drain) -> None:
    done: list[int] = []
    failing = [True]

    @actor(retry=Retry(3, backoff=0, jitter="none"))
    async def body(asynchronous: bool) -> int:
        items = each(numbers(0, 5) if asynchronous else range(5), key=str)
        async for number in items:
            await asyncio.sleep(0)
            if number == 3 and failing:
                failing.pop()
                raise ValueError
            done.append(number)
        return items.successful

    for asynchronous in (True, False):
        done.clear()
        failing.append(True)
        message = body.send(asynchronous)
        drain()
        assert (handle(message).get(), done) == (5, [0, 1, 2, 3, 4])


@pytest.mark.parametrize("place", ["ordered", "cursor"])
def test_a_place_is_found_again_in_async_items(drain: Drain, place: str) -> None:
    done: list[int] = []
    began: list[object] = []

    def behind(after: Any) -> AsyncIterator[int]:
        began.append(after)
        return numbers(0 if after is None else after + 1, 6)

    @actor(retry=Retry(3, backoff=0, jitter="none"))
    async def body() -> None:
        items = (
            each(numbers(0, 6), key=str, ordered=True, batch=2)
            if place == "ordered"
            else each(cursor=behind, key=str, position=lambda number: number, batch=2)
        )
        async for number in items:
            if number == 4 and 4 not in done:
                done.append(number)
                raise ValueError
            done.append(number)

    message = body.send()
    drain()
    assert (handle(message).status, done) == ("SUCCESS", [0, 1, 2, 3, 4, 4, 5])
    assert began in ([], [None, 3])


def test_async_items_that_changed_are_refused(drain: Drain) -> None:
    starts = [0, 1]

    @actor(retry=Retry(1, backoff=0, on=ValueError))
    async def body() -> None:
        async for number in each(numbers(starts.pop(0), 6), key=str, ordered=True):
            if number == 3:
                raise ValueError

    message = body.send()
    drain()
    assert isinstance(handle(message).result, ItemsChanged)


@pytest.mark.brokers("stub")
def test_a_worker_that_dies_leaves_its_item_in_doubt(drain: Drain, faults: Faults, freezer: Any) -> None:
    done: list[int] = []

    @actor
    async def body() -> int:
        items = each(range(4), key=str, on_doubt="skip")
        async for number in items:
            done.append(number)
            if number == 1 and len(done) == 2:
                faults.kill_worker()
        return items.in_doubt

    message = body.send()
    drain()
    for _ in range(4):
        freezer.tick(5)
        drain()
    assert (handle(message).get(), done) == (1, [0, 1, 2, 3])


def test_what_blocks_is_done_by_another_thread_and_the_items_come_in_turn() -> None:
    threads: set[threading.Thread] = set()

    def source() -> Iterator[int]:
        for number in range(3):
            threads.add(threading.current_thread())
            yield number

    async def body(pool: ThreadPoolExecutor) -> list[Any]:
        asks_by(Asking(pool))
        return await collect(source())

    with ThreadPoolExecutor(2) as pool:
        assert asyncio.run(body(pool)) == [0, 1, 2]
    assert threading.current_thread() not in threads


# -- interrupted on the way ----------------------------------------------------------------------------------


class Gate:
    """Lets a thread wait in the middle of what it is asked."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()

    def passed(self, number: int) -> str:
        """The key of an item; waits at number 2, once."""
        if number == 2 and not self.go_on.is_set():
            self.asked.set()
            assert self.go_on.wait(10)
        return str(number)

    async def interrupt(self, task: asyncio.Task[Any]) -> None:
        """Cancel ``task`` while the thread waits."""
        while not self.asked.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0)
        self.go_on.set()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_was_fetched_for_a_body_that_was_interrupted_meanwhile_comes_next(asynchronous: bool) -> None:
    gate, given = Gate(), list[int]()

    async def body(pool: ThreadPoolExecutor) -> int:
        asks_by(Asking(pool))
        items = each(numbers(0, 5) if asynchronous else range(5), key=gate.passed, on_doubt="skip")
        steps = aiter(items)

        async def walk() -> None:
            async for number in steps:
                given.append(number)

        task = asyncio.create_task(walk())
        await gate.interrupt(task)
        with pytest.raises(asyncio.CancelledError):
            await task
        await walk()
        return items.successful

    with ThreadPoolExecutor(2) as pool:
        assert asyncio.run(body(pool)) == 5
    assert given == [0, 1, 2, 3, 4]


def test_two_tasks_do_not_share_a_loop(drain: Drain) -> None:
    """An item is over when the next one is asked for: one of two that are worked on would count as done too soon."""

    @actor
    async def body(apart: bool) -> int:
        items = each(range(6), key=str)
        steps = aiter(items)

        async def walk() -> None:
            async for _ in items if apart else steps:
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(walk())
        return items.successful

    for apart in (False, True):
        message = body.send(apart)
        drain()
        failure = handle(message).result
        assert isinstance(failure, ExceptionGroup)
        assert isinstance(failure.exceptions[0], DeclarationError)
        assert "a loop of its own" in str(failure.exceptions[0])


def test_one_task_after_the_other_may_go_on_with_a_loop(drain: Drain) -> None:
    @actor
    async def body() -> int:
        items = each(range(3), key=str)
        steps = aiter(items)
        while True:
            try:
                await asyncio.create_task(anext_of(steps))
            except StopAsyncIteration:
                return items.successful

    async def anext_of(steps: Any) -> int:
        found: int = await anext(steps)
        return found

    message = body.send()
    drain()
    assert handle(message).get() == 3


def test_a_loop_that_is_left_leaves_nothing_open(drain: Drain) -> None:
    @actor
    async def body() -> int:
        items = each(range(4), key=str)
        async for number in items:
            if number == 1:
                break
        return items.successful

    message = body.send()
    drain()
    assert handle(message).get() == 1
