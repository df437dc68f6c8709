from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from understudy.asynchronous import steering
from understudy.asynchronous.steering import SoftCancellation, Steered
from understudy.errors import SoftTimeLimitExceeded


async def driven(body: Coroutine[Any, Any, Any], *errors: BaseException) -> Steered:
    """``body`` after each of ``errors`` was raised in it, one step later than the one before, and it has ended."""
    steered = Steered(body)
    steered.task = asyncio.create_task(steered)
    for error in errors:
        await asyncio.sleep(0.001)
        steered.interrupt(error)
    await steered.task
    return steered


def soft() -> SoftCancellation:
    return SoftCancellation("the soft limit")


def test_it_ends_with_none_whatever_the_body_returns_or_raises() -> None:
    async def returns() -> str:
        await asyncio.sleep(0)
        return "x"

    async def raises(error: BaseException) -> None:
        raise error

    found = asyncio.run(driven(returns()))
    assert (found.value, found.error, found.ended) == ("x", None, True)
    for error in (ValueError(), SystemExit(), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()):
        assert asyncio.run(driven(raises(error))).error is error


def test_a_soft_limit_is_caught_by_its_name_and_cancels_nothing_else() -> None:
    seen: list[object] = []

    async def body() -> None:
        try:
            await asyncio.sleep(30)
        except SoftTimeLimitExceeded as error:
            seen.append(str(error))
        async with asyncio.timeout(20):
            await asyncio.sleep(0)
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        task = asyncio.current_task()
        assert task is not None
        seen.append(task.cancelling())

    asyncio.run(driven(body(), soft()))
    assert seen == ["the soft limit", 0]


@pytest.mark.parametrize("how", ["group", "wait_for", "gather", "timeout"])
def test_what_stands_between_cleans_up_as_after_a_cancellation(how: str) -> None:
    seen: list[str] = []

    async def child() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("child is cancelled")
            raise

    async def body() -> None:
        try:
            if how == "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(child())
            elif how == "wait_for":
                await asyncio.wait_for(child(), 60)
            elif how == "gather":
                await asyncio.gather(child())
            else:
                async with asyncio.timeout(60):
                    await child()
        except SoftTimeLimitExceeded:
            seen.append("caught")

    found = asyncio.run(driven(body(), soft()))
    assert (seen, found.error) == (["child is cancelled", "caught"], None)


def test_one_that_a_child_has_swallowed_is_raised_all_the_same() -> None:
    async def child() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return

    async def body() -> None:
        await asyncio.create_task(child())

    assert isinstance(asyncio.run(driven(body(), soft())).error, SoftCancellation)


def test_it_says_where_the_body_waits() -> None:
    async def inner() -> None:
        await asyncio.sleep(30)

    async def body() -> None:
        await inner()

    async def look() -> list[str]:
        steered = Steered(body())
        steered.task = asyncio.create_task(steered)
        await asyncio.sleep(0)
        names = [frame.name for frame in steered.where()]
        steered.abandon()
        await steered.task
        return names

    assert asyncio.run(look()) == ["body", "inner", "sleep"]


def test_a_body_that_is_abandoned_goes_no_further() -> None:
    seen: list[str] = []

    async def stubborn() -> None:
        while True:
            try:
                seen.append("goes on")
                await asyncio.sleep(30)
            except BaseException:  # noqa: BLE001 - that is what it is about
                continue

    async def tidy() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            seen.append("cleaned up")

    async def leave(body: Coroutine[Any, Any, Any]) -> None:
        steered = Steered(body)
        steered.task = asyncio.create_task(steered)
        await asyncio.sleep(0)
        steered.abandon()
        steered.abandon()
        steered.interrupt(ValueError())
        await steered.task

    asyncio.run(leave(tidy()))
    assert seen == ["cleaned up"]
    seen.clear()
    asyncio.run(leave(stubborn()))
    assert seen == ["goes on"] * 2
    # It is kept: let go, it would be closed once more, by whichever thread collects it.
    assert steering._stubborn
