"""What happens to bodies of the shared loop because others run there at the same time."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from middleware import termination as ending
from middleware.termination import Termination
from understudy import ConcurrencyLimit, Idempotency, Retry, actor, clock, each, group, handle, retry, revoke
from understudy.brokers.redis import RedisBroker
from understudy.errors import DuplicateRunning, Revoked
from understudy.execution import current
from understudy.logs import add_execution
from understudy.testing.conditions import wait_until
from understudy.testing.worker import StepWorker

from .stage import Halves

pytestmark = pytest.mark.brokers("server")


@pytest.fixture
def halves(broker: RedisBroker, step_worker: StepWorker) -> Iterator[Halves]:
    found = Halves(broker, step_worker, places=1_000)
    yield found
    found.close()


class Lines(logging.Handler):
    """Keeps what a line says of the message that is being worked on, beside its text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, Any]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append((record.getMessage(), dict(add_execution(None, "", {}))))


@pytest.mark.parametrize("many", [200, pytest.param(1_000, marks=pytest.mark.chaos_long)])
def test_each_line_of_bodies_that_take_turns_says_whose_it_is(halves: Halves, many: int) -> None:
    lines, log = Lines(), logging.getLogger("tests.together")
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    running, all_run = [0], asyncio.Event()

    def say() -> None:
        execution = current()
        assert execution is not None
        log.info("%s %s %s", execution.message_id, execution.workflow, execution.token)

    async def child() -> None:
        await asyncio.sleep(0)
        say()

    @actor
    async def body(number: int) -> str:
        say()
        running[0] += 1
        if running[0] == many:
            all_run.set()
        await all_run.wait()
        say()
        await asyncio.create_task(child())
        if number % 20 == 0:
            await asyncio.to_thread(say)
        execution = current()
        assert execution is not None
        return execution.token

    flows = [group(body.message(number) for number in range(many // 10)).run() for _ in range(5)]
    messages = [body.send(number) for number in range(many // 2)]
    begun = 0
    while begun < many:
        begun += halves.begin()
    halves.settle(many)
    tokens = {handle(message).get() for message in messages}.union(*(flow.get() for flow in flows))
    assert len(tokens) == many
    assert len(lines.found) == 3 * many + many // 20
    for text, said in lines.found:
        message_id, workflow, token = text.split()
        assert said["message_id"] == message_id
        assert said.get("workflow", "None") == workflow
        assert token in tokens
    assert {said.get("workflow") for _, said in lines.found} == {None, *(flow.workflow_id for flow in flows)}


@pytest.mark.parametrize(("on_running", "end"), [("wait", str), ("skip", Revoked), ("fail", DuplicateRunning)])
def test_p3_a_twin_beside_it_waits_or_is_skipped_or_fails(halves: Halves, on_running: Any, end: type) -> None:
    go_on = threading.Event()
    ran: list[str] = []

    @actor(idempotency=Idempotency(key="{name}", on_running=on_running))
    async def body(name: str) -> str:
        ran.append(name)
        while not go_on.is_set():
            await asyncio.sleep(0.001)
        return f"done {name}"

    first = body.send("x")
    halves.begin()
    wait_until(lambda: ran)
    twin = body.send("x")
    halves.begin()
    halves.settle()  # the twin: the first one runs
    go_on.set()
    halves.settle()
    wait_until(lambda: halves.drain() == 0 and handle(twin).ready())
    assert handle(first).get() == "done x"
    assert isinstance(handle(twin).result, end)
    assert ran == ["x"]


def test_a_concurrency_limit_bounds_those_that_run_at_once(halves: Halves) -> None:
    running, peaks = [0], list[int]()

    @actor(concurrency_limit=ConcurrencyLimit(3), retry=Retry(1, backoff=0))
    async def body(number: int) -> None:
        execution = current()
        assert execution is not None
        running[0] += 1
        peaks.append(running[0])
        await asyncio.sleep(0.01)
        running[0] -= 1
        if number == 5 and not execution.retries:
            raise ValueError

    messages = [body.send(number) for number in range(12)]
    wait_until(lambda: halves.drain() == 0 and all(handle(message).ready() for message in messages))
    assert max(peaks) == 3
    assert [handle(message).retries for message in messages] == [0] * 5 + [1] + [0] * 6


def test_v02_a_body_in_a_loop_over_items_has_its_time_for_the_item_before_it_is_cancelled(
    halves: Halves, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "ITEM", 0.0)
    termination = next(part for part in broker.middleware if isinstance(part, Termination))
    ends: list[str] = []
    began: list[str] = []
    told = asyncio.Event()

    @actor
    async def body(name: str) -> None:
        async for _ in each(range(2), key=str, on_doubt="skip"):
            began.append(name)
            try:
                await (asyncio.Event() if name == "long" else told).wait()
            except asyncio.CancelledError:
                ends.append(name)
                await asyncio.sleep(0)
                raise
        ends.append("too far")

    messages = {name: body.send(name) for name in ("short", "long")}
    halves.begin()
    wait_until(lambda: set(began) == {"short", "long"})
    for message in messages.values():
        revoke(message, terminate=True)
    termination.stop({message.message_id for message in messages.values()})
    halves.loop.loop.call_soon_threadsafe(told.set)
    halves.settle()  # the short one ends by itself, before its next item
    assert ends == []
    termination.run_once()
    halves.settle()
    assert ends == ["long"]
    assert {handle(message).status for message in messages.values()} == {"REVOKED"}


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("place", ["keys", "ordered", "cursor"])
@pytest.mark.parametrize("source", ["sync", "async"])
def test_p4_many_loops_at_once_go_on_where_each_of_them_stopped(
    halves: Halves, place: str, batch: int, source: str
) -> None:
    done: dict[str, list[int]] = {}
    put_off: set[str] = set()

    def numbers(after: Any = None) -> Any:
        start = 0 if after is None else int(after) + 1

        async def given() -> AsyncIterator[int]:
            for number in range(start, 8):
                await asyncio.sleep(0)
                yield number

        return given() if source == "async" else range(start, 8)

    @actor(retry=Retry(3, on=ConnectionError, backoff=0))
    async def body(name: str, breaks_at: int) -> list[Any]:
        execution = current()
        assert execution is not None
        more: dict[str, Any] = {"key": str, "batch": batch, "on_doubt": "skip"}
        if place == "cursor":
            items = each(cursor=numbers, **more)
        else:
            items = each(numbers(), ordered=place == "ordered", **more)
        async for number in items:
            await asyncio.sleep(0)
            if number == 1:
                items.fail("odd")
                continue
            if number == 2 and name not in put_off:
                put_off.add(name)
                items.defer()
                continue
            if number == breaks_at and not execution.retries:
                raise ConnectionError
            done.setdefault(name, []).append(number)
        if items.deferred:
            raise retry(delay=0, exc=ConnectionError())
        return [items.successful, items.failed, items.failures]

    messages = {f"m{number}": body.send(f"m{number}", 3 + number % 5) for number in range(10)}
    halves.drain()
    for name, message in messages.items():
        assert handle(message).get() == [7, 1, {"1": "odd"}]
        assert sorted(done[name]) == [0, 2, 3, 4, 5, 6, 7]


def test_how_long_a_body_took_is_without_its_wait_for_a_settler(halves: Halves, broker: RedisBroker) -> None:
    pause = threading.Event()

    @actor
    async def body() -> None: ...

    body.send()
    halves.begin()
    (held,) = broker.holds.values()
    wait_until(lambda: halves.ended.qsize() == 1)
    ended = clock.monotonic()
    pause.wait(0.05)
    halves.settle()
    assert held.execution is not None
    assert held.took is not None
    assert held.took <= ended - held.execution.began_at
