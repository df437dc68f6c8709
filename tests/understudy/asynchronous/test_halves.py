"""The two halves around a body, step by step: the tests begin and settle, the loop runs by itself."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from dramatiq import Middleware

from understudy import Idempotency, Retry, actor, each, handle, progress
from understudy.brokers.redis import RedisBroker
from understudy.errors import HandBack, TimeLimitExceeded
from understudy.execution import current
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

from .stage import Halves

#: The broker's side is the same on both kinds; a server in memory is not made for several threads.
pytestmark = pytest.mark.brokers("server")


@pytest.fixture
def halves(broker: RedisBroker, step_worker: StepWorker) -> Iterator[Halves]:
    found = Halves(broker, step_worker)
    yield found
    found.close()


def test_bodies_run_at_once_and_each_has_its_own_execution(halves: Halves) -> None:
    seen: dict[str, list[str]] = {}
    together = threading.Barrier(1)

    @actor
    async def body(name: str) -> str:
        execution = current()
        assert execution is not None
        seen.setdefault(name, []).append(execution.message_id)
        while len(seen) < 5:
            await asyncio.sleep(0.001)
        again = current()
        assert again is not None
        seen[name].append(again.message_id)
        progress.update(1, 1, name=name)
        return name

    sent = {name: body.send(name) for name in "abcde"}
    assert halves.begin() == 5
    halves.settle(5)
    assert together.n_waiting == 0
    for name, message in sent.items():
        assert seen[name] == [message.message_id] * 2
        assert handle(message).get() == name
        assert handle(message).progress == {"current": 1, "total": 1, "name": name}
    assert current() is None
    assert (halves.lane.running, halves.broker.detached, len(halves.broker.holds)) == (0, 0, 0)
    assert halves.broker._gate.inside == 0
    assert halves.lane.line.unfinished_tasks == 0


def test_a_body_holds_no_room_and_its_place_is_free_when_its_outcome_is_committed(halves: Halves) -> None:
    go_on = threading.Event()

    @actor
    async def body() -> None:
        while not go_on.is_set():
            await asyncio.sleep(0.001)

    messages = [body.send() for _ in range(12)]
    assert halves.begin() == 10, "there are ten places"
    assert halves.lane.full
    assert halves.broker._room._held["default"] == 2, "two wait"
    assert halves.broker.detached == 10
    go_on.set()
    halves.settle(10)
    assert halves.begin() == 2
    halves.settle(2)
    assert {handle(message).status for message in messages} == {"SUCCESS"}
    assert halves.broker._room._held["default"] == 0


def test_a_failure_is_retried_and_logged_as_by_dramatiq(halves: Halves, caplog: pytest.LogCaptureFixture) -> None:
    @actor(retry=Retry(1, backoff=0, jitter="none"), throws=KeyError)
    async def body() -> None:
        execution = current()
        assert execution is not None
        raise ValueError("x") if not execution.retries else KeyError("y")

    message = body.send()
    with caplog.at_level(logging.INFO, "dramatiq"):
        for _ in range(2):
            halves.begin()
            halves.settle()
    assert isinstance(handle(message).result, KeyError)
    assert "with unhandled exception" in caplog.text
    assert "with expected exception KeyError" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_w05_no_body_ends_the_loop(halves: Halves, error: BaseException) -> None:
    @actor
    async def body(fail: bool) -> None:
        if fail:
            raise error

    for fail, status in ((True, "FAILURE"), (False, "SUCCESS")):
        message = body.send(fail)
        halves.begin()
        halves.settle()
        assert handle(message).status == status


def test_arguments_that_do_not_fit_fail_the_message(halves: Halves, broker: RedisBroker) -> None:
    @actor
    async def body(x: int) -> None: ...

    message = body.message(1).copy(args=(1, 2))
    broker.enqueue(message)
    halves.begin()
    halves.settle()
    assert isinstance(handle(message).result, TypeError)


def test_a_guard_keeps_the_body_from_beginning(halves: Halves, faults: Faults, broker: RedisBroker) -> None:
    ran: list[object] = []

    @actor(idempotency=Idempotency())
    async def body() -> None:
        ran.append(1)

    message = body.send()
    faults.fail("claim")
    halves.begin()
    halves.settle()
    assert (ran, handle(message).retries, broker.size("default")) == ([], 0, 1)
    assert (halves.lane.running, broker.detached) == (0, 0)


def test_one_that_went_back_meanwhile_is_passed_over(halves: Halves, broker: RedisBroker) -> None:
    @actor
    async def body() -> None: ...

    message = body.send()
    halves.fetch()
    (held,) = broker.holds.values()
    broker.hand_back(held)
    assert halves.beginner.run_once(0)
    halves.settle()
    assert (handle(message).status, broker.size("default")) == ("PENDING", 1)
    assert (halves.lane.running, broker._room._held["default"]) == (0, 0)


def test_what_it_sends_with_its_commit_is_sent_with_its_success(halves: Halves, enqueued: Enqueued) -> None:
    stray: list[BaseException] = []

    @actor
    def child(name: str) -> None: ...

    @actor
    async def body(fail: bool) -> None:
        child.send_with_options(args=("a",), when="committed")
        await child.asend_with_options(args=("b",), when="committed")
        if fail:
            raise ValueError

        async def later() -> None:
            while not held.ended:
                await asyncio.sleep(0.001)
            try:
                child.send_with_options(args=("too late",), when="committed")
            except TypeError as error:
                stray.append(error)

        execution = current()
        assert execution is not None
        (held,) = [one for one in halves.broker.holds.values() if one.execution is execution]
        tasks.add(asyncio.create_task(later()))

    tasks: set[Any] = set()
    for fail, count in ((True, 0), (False, 2)):
        body.send(fail)
        halves.begin()
        halves.settle()
        assert len(enqueued.messages(child)) == count
    while not stray:
        threading.Event().wait(0.001)
    assert "running body" in str(stray[0])
    assert {message.options["parent_id"] for message in enqueued.messages(child)} != set()


def test_a_context_variable_of_a_hook_is_there_in_the_body_and_in_the_hooks_after_it(halves: Halves) -> None:
    name: ContextVar[str] = ContextVar("name", default="nobody")
    seen: list[str] = []

    class Naming(Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            message.token = name.set(message.message_id)

        def after_process_message(self, broker: Any, message: Any, **kwargs: Any) -> None:
            seen.append(name.get())
            name.reset(message.token)

    @actor
    async def body() -> None:
        seen.append(name.get())

    halves.broker.add_middleware(Naming())
    message = body.send()
    halves.begin()
    assert name.get() == "nobody"
    halves.settle()
    assert seen == [message.message_id] * 2
    assert handle(message).status == "SUCCESS"


def test_t03_a_limit_is_kept_by_the_loop(halves: Halves) -> None:
    @actor(time_limit=0.1)
    async def body() -> None:
        await asyncio.sleep(30)

    message = body.send()
    halves.begin()
    halves.settle()
    assert isinstance(handle(message).result, TimeLimitExceeded)


def test_p11_one_that_is_cut_off_goes_back(halves: Halves, broker: RedisBroker) -> None:
    @actor
    async def body() -> None:
        await asyncio.sleep(30)

    message = body.send()
    halves.begin()
    while not halves.beginner.bodies:
        threading.Event().wait(0.001)
    for one in list(halves.beginner.bodies):
        one.end_soon(HandBack("stops"))
    halves.settle()
    assert (handle(message).retries, broker.size("default")) == (0, 1)


@pytest.mark.parametrize("on_doubt", ["repeat", "skip"])
@pytest.mark.parametrize("why", ["in an item", "between two"])
def test_p4_the_item_in_whose_middle_a_body_is_cut_off_is_in_doubt_and_no_other(
    halves: Halves, broker: RedisBroker, on_doubt: Any, why: str
) -> None:
    done: list[int] = []
    asked, go_on = threading.Event(), threading.Event()

    def key(number: int) -> str:
        if number == 2 and why == "between two" and not asked.is_set():
            asked.set()
            assert go_on.wait(10)
        return str(number)

    @actor
    async def body() -> list[int]:
        items = each(numbers(), key=key, on_doubt=on_doubt)
        async for number in items:
            done.append(number)
            if number == 2 and why == "in an item" and not asked.is_set():
                asked.set()
                await asyncio.sleep(30)
        return [items.successful, items.failed, items.in_doubt]

    async def numbers() -> AsyncIterator[int]:
        for number in range(4):
            yield number

    message = body.send()
    halves.begin()
    assert asked.wait(10)
    (one,) = halves.beginner.bodies
    one.end_soon(HandBack("stops"))
    halves.loop.loop.call_soon_threadsafe(go_on.set)
    halves.settle()
    assert broker.size("default") == 1
    halves.drain()
    if why == "between two":
        assert (done, handle(message).get()) == ([0, 1, 2, 3], [4, 0, 0])
    elif on_doubt == "skip":
        assert (done, handle(message).get()) == ([0, 1, 2, 3], [3, 1, 1])
    else:
        assert (done, handle(message).get()) == ([0, 1, 2, 2, 3], [4, 0, 1])


def test_items_are_asked_for_by_other_threads(halves: Halves, broker: RedisBroker) -> None:
    threads: set[str] = set()
    intercept = broker.storage.interceptor
    assert intercept is not None

    def note(name: str, when: Any) -> None:
        if name == "item":
            threads.add(threading.current_thread().name)
        intercept(name, when)

    broker.storage.interceptor = note

    @actor
    async def body() -> list[int]:
        return [number async for number in each(range(3), key=str)]

    message = body.send()
    halves.begin()
    halves.settle()
    assert handle(message).get() == [0, 1, 2]
    assert threads
    assert "event loop" not in threads


def test_outcomes_that_end_together_share_round_trips(
    halves: Halves, faults: Faults, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker.committer, "_busy", lambda: True)

    @actor
    async def body() -> None: ...

    for _ in range(10):
        body.send()
    halves.begin()
    while halves.beginner.bodies or halves.ended.qsize() < 10:
        threading.Event().wait(0.001)
    halves.settle(10)
    assert faults.exchanges.count("settle") == 1
    assert not len(broker.committer)


def test_a_settler_ends_when_there_will_be_no_more(halves: Halves) -> None:
    halves.ended.put(None)
    run: Callable[[], bool] = halves.settler.run_once
    assert not run()
    assert not run(), "every one of them learns it"


def test_p6_a_suspect_does_not_wait_for_ever_for_bodies_that_do_not_end(
    halves: Halves, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.brokers.settlement.PATIENCE", 0.1)
    go_on = threading.Event()

    @actor
    async def body() -> None:
        while not go_on.is_set():
            await asyncio.sleep(0.001)

    body.send()
    halves.begin()
    suspect = body.send()
    halves.fetch()
    (held,) = [one for one in broker.holds.values() if one.message_id == suspect.message_id]
    held.hold = dataclasses.replace(held.hold, deaths=2, worker="dead")
    assert halves.beginner.run_once(0)
    halves.settle()
    assert (handle(suspect).retries, broker.size("default")) == (0, 2)
    third = body.send()
    assert halves.begin() == 1, "the others go in meanwhile"
    go_on.set()
    halves.settle(2)
    assert handle(third).status == "SUCCESS"
    broker.storage.call("DEL", broker.keys_of("default").delayed)


def test_p6_suspects_run_with_each_other_and_one_without_company_alone(halves: Halves, broker: RedisBroker) -> None:
    @actor
    async def body() -> None: ...

    for _ in range(2):
        body.send()
    halves.fetch()
    one, other = broker.holds.values()
    one.hold = dataclasses.replace(one.hold, deaths=2)
    assert broker.company_of(one) == 1
    other.hold = dataclasses.replace(other.hold, deaths=3)
    assert (broker.company_of(one), broker.company_of(other)) == (250, 62)
    one.on_loop = False
    assert broker.company_of(one) == 1, "in a thread"
