from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from threading import Event
from typing import Any

import pytest

from understudy.asking import Asking, ask, asks_by
from understudy.asynchronous import body as module
from understudy.asynchronous.body import Body
from understudy.asynchronous.loop import made
from understudy.errors import HandBack, SoftTimeLimitExceeded, TimeLimitExceeded
from understudy.exceptions import format_traceback
from understudy.execution import Terminated
from understudy.limits import Limits


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.05)


async def done(
    coroutine: Coroutine[Any, Any, Any], *, limits: Limits | None = None, end: BaseException | None = None
) -> Body:
    """The body, when it is done; ``end`` ends it after its first step."""
    over = asyncio.Event()
    body = Body(coroutine, None, limits, Asking(None), lambda body: over.set())
    body.start(copy_context())
    await asyncio.sleep(0)
    if end is not None:
        body.end(end)
        body.end(ValueError("the first reason counts"))
    await over.wait()
    assert body.done
    return body


async def sleeps(returns: str = "") -> str:
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        if not returns:
            raise
    return returns


async def fails_on_the_way_out() -> None:
    try:
        await asyncio.sleep(30)
    finally:
        raise ValueError("on the way out")


async def swallows() -> None:
    while True:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            continue


def test_it_gives_what_the_body_gives() -> None:
    async def returns() -> int:
        return 5

    async def raises() -> None:
        raise KeyError("x")

    assert asyncio.run(done(returns())).result() == 5
    with pytest.raises(KeyError):
        asyncio.run(done(raises())).result()


def test_a_soft_limit_that_is_not_caught_is_an_ordinary_one() -> None:
    body = asyncio.run(done(asyncio.sleep(30), limits=Limits(60, 0.01)))
    with pytest.raises(SoftTimeLimitExceeded, match=r"0\.01 s") as caught:
        body.result()
    assert type(caught.value) is SoftTimeLimitExceeded


def test_a_hard_limit_names_the_place() -> None:
    body = asyncio.run(done(sleeps(), limits=Limits(0.01)))
    with pytest.raises(TimeLimitExceeded, match=r"limit of 0\.01 s; it was at .*:\d+ in sleep") as caught:
        body.result()
    assert "in sleeps" in format_traceback(caught.value)


@pytest.mark.parametrize("make", [sleeps, lambda: sleeps("returned"), fails_on_the_way_out, swallows])
@pytest.mark.parametrize("why", [Terminated, lambda: HandBack("stops"), lambda: TimeLimitExceeded("over")])
def test_one_that_was_ended_has_ended_for_that_reason_whatever_it_made_of_it(make: Any, why: Any) -> None:
    reason = why()
    body = asyncio.run(done(make(), end=reason))
    with pytest.raises(type(reason)) as caught:
        body.result()
    assert caught.value is reason


@pytest.mark.parametrize("why", [Terminated, lambda: HandBack("stops"), lambda: TimeLimitExceeded("over")])
def test_one_that_has_come_to_its_end_is_not_ended_any_more(why: Any) -> None:
    """Its task has one more turn of the loop to go, and whoever ends it may come first."""

    async def scene() -> Body:
        over = asyncio.Event()
        bodies: list[Body] = []

        async def returns() -> str:
            asyncio.get_running_loop().call_soon(bodies[0].end, why())
            return "done"

        bodies.append(Body(returns(), None, None, Asking(None), lambda body: over.set()))
        bodies[0].start(copy_context())
        await over.wait()
        return bodies[0]

    assert asyncio.run(scene()).result() == "done"


def test_what_it_raised_on_the_way_out_is_the_cause() -> None:
    reason = HandBack("stops")
    with pytest.raises(HandBack):
        asyncio.run(done(fails_on_the_way_out(), end=reason)).result()
    assert isinstance(reason.__cause__, ValueError)


def test_one_that_waits_for_what_does_not_end_is_left() -> None:
    async def scene() -> None:
        let_go = asyncio.Event()
        began = asyncio.Event()

        async def child() -> None:
            began.set()
            while not let_go.is_set():
                with suppress(asyncio.CancelledError):
                    await let_go.wait()

        async def waits() -> None:
            await asyncio.create_task(child())

        over = asyncio.Event()
        body = Body(waits(), None, None, Asking(None), lambda body: over.set())
        body.start(copy_context())
        await began.wait()
        body.end(HandBack("stops"))
        await over.wait()
        assert not body.is_over
        with pytest.raises(HandBack):
            body.result()
        let_go.set()

    asyncio.run(scene())


def test_a_task_that_it_leaves_behind_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on when the message has ended, and with the worker it is lost without a word."""
    monkeypatch.setattr(module, "LINGER", 0.1)
    forgotten: list[asyncio.Task[Any]] = []

    async def forgets() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        forgotten.append(asyncio.create_task(asyncio.sleep(30), name="mail to ada"))
        asyncio.create_task(asyncio.sleep(0.01))  # noqa: RUF006 - that is what it is about

    async def scene() -> None:
        asyncio.get_running_loop().set_task_factory(made)
        asking, over = Asking(None), asyncio.Event()
        context = copy_context()
        context.run(asks_by, asking)
        body = Body(forgets(), None, None, asking, lambda body: over.set())
        body.name = "forgets[1]"
        body.start(context)
        await over.wait()
        while not caplog.records:
            await asyncio.sleep(0.001)

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    (line,) = caplog.records
    assert line.getMessage().startswith("forgets[1]: it has ended, and tasks that it started go on: sleep; ")
    assert forgotten


def test_nothing_is_made_of_it_while_a_thread_asks_for_it() -> None:
    answered = Event()

    async def asks() -> None:
        await ask(answered.wait, 10)

    async def scene(pool: ThreadPoolExecutor) -> None:
        asking, over = Asking(pool), asyncio.Event()
        context = copy_context()
        context.run(asks_by, asking)
        body = Body(asks(), None, None, asking, lambda body: over.set())
        body.start(context)
        while not asking.open:
            await asyncio.sleep(0.001)
        body.end(HandBack("stops"))
        await asyncio.sleep(0.2)
        assert not body.done
        answered.set()
        await over.wait()
        with pytest.raises(HandBack):
            body.result()

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(scene(pool))
