"""An ``async def`` body on every broker, in the test's own thread, with frozen time: as any other actor."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from middleware.revocation import Revocation
from understudy import Idempotency, Retry, actor, each, handle, progress, revoke
from understudy.actors import AsyncActor
from understudy.brokers.redis import RedisBroker
from understudy.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from understudy.execution import current
from understudy.testing.enqueued import Enqueued
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]


def test_its_state_and_result_are_kept_as_of_any_actor(drain: Drain) -> None:
    @actor
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    message = double.send(4)
    assert isinstance(double, AsyncActor)
    assert handle(message).status == "PENDING"
    assert drain() == 1
    assert (handle(message).status, handle(message).get()) == ("SUCCESS", 8)


def test_it_runs_in_the_tests_own_thread_with_its_own_execution(drain: Drain) -> None:
    seen: list[Any] = []

    @actor
    async def body(name: str) -> None:
        await asyncio.sleep(0)
        execution = current()
        assert execution is not None
        seen.append((name, execution.message_id, threading.current_thread()))

    sent = [body.send(name) for name in "ab"]
    drain()
    me = threading.current_thread()
    assert seen == [("a", sent[0].message_id, me), ("b", sent[1].message_id, me)]
    assert current() is None


def test_r19_called_by_a_script_it_runs_and_in_a_coroutine_it_is_awaited(broker: RedisBroker) -> None:
    @actor
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    async def other() -> int:
        here: Any = double  # by its type it gives the result
        found: int = await here(3)
        return found

    assert double(2) == 4
    assert asyncio.run(other()) == 6


def test_a_body_may_await_another_actor_and_its_own(drain: Drain) -> None:
    @actor
    async def factorial(n: int) -> int:
        again: Any = factorial
        return 1 if n == 0 else n * int(await again(n - 1))

    message = factorial.send(5)
    drain()
    assert handle(message).get() == 120


def test_a_failure_is_retried_as_the_policy_says(drain: Drain) -> None:
    @actor(retry=Retry(2, backoff=0, jitter="none"))
    async def body() -> int:
        await asyncio.sleep(0)
        execution = current()
        assert execution is not None
        if execution.retries < 2:
            raise ConnectionError("not yet")
        return execution.retries

    message = body.send()
    drain()
    assert (handle(message).get(), handle(message).retries) == (2, 2)


def test_a_failure_keeps_the_place_in_its_traceback(drain: Drain) -> None:
    async def inner() -> None:
        await asyncio.sleep(0)
        raise ValueError("inside")

    @actor
    async def body() -> None:
        await inner()

    message = body.send()
    drain()
    assert isinstance(handle(message).result, ValueError)
    told = handle(message).traceback or ""
    assert "in inner" in told
    assert "steering.py" not in told


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError("by itself")])
def test_w05_whatever_it_raises_is_its_failure_and_nobody_elses(drain: Drain, error: BaseException) -> None:
    @actor
    async def body() -> None:
        await asyncio.sleep(0)
        raise error

    @actor
    async def neighbour() -> str:
        return "fine"

    failed, fine = body.send(), neighbour.send()
    drain()
    assert handle(failed).status == "FAILURE"
    assert type(error).__name__ in repr(handle(failed).result)
    assert handle(fine).get() == "fine"


def test_sent_twice_under_one_key_it_runs_once(drain: Drain) -> None:
    ran: list[str] = []

    @actor(idempotency=Idempotency(key="{name}"))
    async def body(name: str) -> str:
        await asyncio.sleep(0)
        ran.append(name)
        return f"done {name}"

    sent = [body.send("x"), body.send("x")]
    drain()
    assert ran == ["x"]
    assert [handle(message).get() for message in sent] == ["done x", "done x"]


# -- what it may do ------------------------------------------------------------------------------------------


def test_progress_is_shown(drain: Drain) -> None:
    seen: list[Any] = []

    @actor
    async def body() -> None:
        execution = current()
        assert execution is not None
        for number in range(1, 4):
            progress.update(number, 3)
            await asyncio.sleep(0)
            seen.append(handle(execution.message_id).info)

    message = body.send()
    drain()
    assert seen == [{"current": n, "total": 3} for n in (1, 2, 3)]
    assert handle(message).progress == {"current": 3, "total": 3}


def test_what_it_sends_is_sent_and_knows_where_it_comes_from(drain: Drain, enqueued: Enqueued) -> None:
    @actor
    def child(name: str) -> str:
        return name

    @actor
    async def body(fail: bool) -> str:
        now = await child.asend("now")
        await child.asend_with_options(args=("committed",), when="committed")
        enqueued.assert_sent(child, "now")
        if fail:
            raise ValueError
        return now.message_id

    message = body.send(False)
    drain()
    found = handle(message)
    assert found.get() in [one.id for one in found.children]
    assert [one.args for one in enqueued.messages(child)] == [("now",), ("committed",)]
    body.send(True)
    drain()
    assert len(enqueued.messages(child)) == 3, "what joins the outcome of a failure is never sent"


def test_what_a_body_starts_is_of_its_message(drain: Drain, enqueued: Enqueued) -> None:
    seen: list[object] = []

    @actor
    def child(name: str) -> None: ...

    @actor
    async def body() -> None:
        def send(name: str) -> None:
            execution = current()
            seen.append(None if execution is None else execution.message_id)
            child.send_with_options(args=(name,), when="committed")

        async def later() -> None:
            send("by a task")

        await asyncio.create_task(later())
        await asyncio.to_thread(send, "by a thread")

    message = body.send()
    drain()
    assert seen == [message.message_id] * 2
    assert [one.args for one in enqueued.messages(child)] == [("by a task",), ("by a thread",)]


def test_asend_works_in_a_service_as_well(drain: Drain) -> None:
    @actor
    async def body() -> str:
        return "done"

    message = asyncio.run(body.asend())
    drain()
    assert handle(message).get() == "done"


# -- limits, measured by the frozen clock ---------------------------------------------------------------------


def test_a_body_that_has_taken_too_long_fails(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    @actor(time_limit=5, retry=Retry(2, backoff=0))
    async def body(seconds: float) -> str:
        await asyncio.sleep(0.001)  # real time: loops are not frozen
        freezer.tick(seconds)
        return "done"

    late, in_time = body.send(6), body.send(4)
    drain()
    with pytest.raises(TimeLimitExceeded, match="time limit of 5 s"):
        handle(late).get()
    assert handle(late).retries == 0
    assert handle(in_time).get() == "done"


def test_a_soft_limit_is_told_where_it_looks_back(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    @actor(time_limit=20, soft_time_limit=5)
    async def body(catch: bool) -> str:
        freezer.tick(6)
        try:
            progress.update(1)
        except SoftTimeLimitExceeded:
            if not catch:
                raise
        await asyncio.sleep(0)
        return "done"

    failed, done = body.send(False), body.send(True)
    drain()
    assert isinstance(handle(failed).result, SoftTimeLimitExceeded)
    assert handle(done).get() == "done"


# -- limits, kept by the loop ---------------------------------------------------------------------------------


def test_t03_the_hard_limit_cancels_it_and_says_where_it_was(drain: Drain) -> None:
    seen: list[str] = []

    @actor(time_limit=0.1, retry=Retry(2, backoff=0))
    async def body() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    message = body.send()
    drain(isolation="thread")
    with pytest.raises(TimeLimitExceeded, match=r"time limit of 0\.1 s; it was at .*:\d+ in sleep"):
        handle(message).get()
    assert "in body" in (handle(message).traceback or "")
    assert (seen, handle(message).retries) == (["cancelled", "cleaned up"], 0)


def test_t01_the_soft_limit_is_raised_in_it(drain: Drain) -> None:
    @actor(time_limit=20, soft_time_limit=0.1)
    async def body(catch: bool) -> str:
        try:
            await asyncio.sleep(30)
        except SoftTimeLimitExceeded:
            if not catch:
                raise
        await asyncio.sleep(0.01)
        return "caught"

    failed, done = body.send(False), body.send(True)
    drain(isolation="thread")
    assert type(handle(failed).result) is SoftTimeLimitExceeded
    assert "0.1 s" in str(handle(failed).result)
    assert "in body" in (handle(failed).traceback or "")
    assert handle(done).get() == "caught"


# -- revoked -------------------------------------------------------------------------------------------------


def test_v02_a_revoke_with_terminate_cancels_it(broker: RedisBroker, drain: Drain) -> None:
    ran: list[str] = []

    @actor(retry=Retry(backoff=0))
    async def body() -> None:
        execution = current()
        assert execution is not None
        revoke(execution.message_id, terminate=True)
        next(part for part in broker.middleware if isinstance(part, Revocation)).run_once(broker)
        try:
            await asyncio.sleep(30)
        finally:
            ran.append("cleaned up")

    message = body.send()
    drain()
    assert ran == ["cleaned up"]
    assert (handle(message).status, handle(message).retries) == ("REVOKED", 0)


def test_p11_when_the_worker_stops_it_is_handed_back_at_its_next_item(
    broker: RedisBroker, step_worker: StepWorker, drain: Drain
) -> None:
    done: list[int] = []

    @actor
    async def body() -> None:
        async for number in each(range(4), key=str):
            done.append(number)
            if number == 1:
                broker.stopping.set()

    message = body.send()
    step_worker.run_once()
    assert (broker.size("default"), done) == (1, [0, 1])
    broker.stopping.clear()
    drain()
    assert done == [0, 1, 2, 3]
    assert (handle(message).status, handle(message).retries) == ("SUCCESS", 0)
