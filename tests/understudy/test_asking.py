from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from understudy.asking import Asking, aside, ask, asks_by, off_the_loop

name: ContextVar[str] = ContextVar("name", default="")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as found:
        yield found


def test_without_a_pool_it_asks_where_it_stands() -> None:
    async def body() -> threading.Thread:
        return await ask(threading.current_thread)

    assert asyncio.run(body()) is threading.current_thread()


def test_with_a_pool_a_thread_asks_in_the_bodys_context_and_the_loop_goes_on(pool: ThreadPoolExecutor) -> None:
    asked, answered = threading.Event(), threading.Event()

    def question() -> tuple[str, bool]:
        asked.set()
        assert answered.wait(10)
        return name.get(), threading.current_thread() is threading.main_thread()

    async def body() -> tuple[str, bool]:
        asks_by(Asking(pool))
        name.set("ada")
        answer = asyncio.ensure_future(ask(question))
        while not asked.is_set():
            await asyncio.sleep(0.001)
        answered.set()
        return await answer

    assert asyncio.run(body()) == ("ada", False)


def test_what_it_meets_is_raised(pool: ThreadPoolExecutor) -> None:
    async def body() -> None:
        asks_by(Asking(pool))
        await ask(int, "x")

    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(body())


def test_one_that_is_cancelled_ends_when_the_answer_is_there(pool: ThreadPoolExecutor) -> None:
    asked, answered = threading.Event(), threading.Event()
    asking = Asking(pool)
    seen: list[object] = []

    def question() -> None:
        asked.set()
        assert answered.wait(10)
        seen.append("answered")

    async def one() -> None:
        asks_by(asking)
        try:
            await ask(question)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def body() -> None:
        task = asyncio.create_task(one())
        while not asked.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0.01)
        assert asking.open == 1
        answered.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())
    assert (seen, asking.open) == (["answered", "cancelled"], 0)


def test_a_question_that_no_thread_has_taken_yet_is_never_asked(pool: ThreadPoolExecutor) -> None:
    let_go = threading.Event()
    asking = Asking(pool)
    seen: list[object] = []

    async def one(question: Callable[[], object]) -> None:
        asks_by(asking)
        await ask(question)

    async def body() -> None:
        busy = [asyncio.create_task(one(lambda: let_go.wait(10))) for _ in range(2)]
        late = asyncio.create_task(one(lambda: seen.append("asked")))
        while asking.open < 3:
            await asyncio.sleep(0.001)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        assert asking.open == 2, "it did not wait for a thread"
        let_go.set()
        await asyncio.gather(*busy)

    asyncio.run(body())
    pool.shutdown()
    assert not seen


def test_what_nobody_waits_for_is_done_aside_if_there_is_a_thread_for_it(pool: ThreadPoolExecutor) -> None:
    done = threading.Event()

    async def body(asking: Asking | None) -> bool:
        asks_by(asking)
        return aside(done.set)

    assert not asyncio.run(body(None))
    assert not asyncio.run(body(Asking(None)))
    assert not done.is_set()
    assert asyncio.run(body(Asking(pool)))
    assert done.wait(10)
    pool.shutdown()
    assert not asyncio.run(body(Asking(pool)))


def test_off_the_loop_means_another_thread_outside_of_a_body() -> None:
    async def body() -> threading.Thread:
        return await off_the_loop(threading.current_thread)

    async def in_a_body() -> threading.Thread:
        asks_by(Asking(None))
        return await off_the_loop(threading.current_thread)

    assert asyncio.run(body()) is not threading.current_thread()
    assert asyncio.run(in_a_body()) is threading.current_thread()
