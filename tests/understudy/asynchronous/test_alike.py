"""What is promised of a body, held to the three ways in which one runs: ``def``, ``async def`` on a loop of its own,
and ``async def`` on the loop that the bodies of a worker share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from understudy import (
    AlreadyEnqueued,
    ConcurrencyLimit,
    Idempotency,
    RateLimit,
    Retry,
    Unique,
    actor,
    chain,
    chord,
    each,
    group,
    handle,
    progress,
    retry,
    revoke,
)
from understudy.brokers.redis import RedisBroker
from understudy.errors import ChordError, HandBack, LeaseLost, MaxRetriesExceeded, Revoked
from understudy.execution import current
from understudy.testing.conditions import wait_until
from understudy.testing.worker import StepWorker

from .stage import HOW, Bodies

#: The shared loop is not made for a server in memory, and all three are compared on the same one.
pytestmark = pytest.mark.brokers("server")


@pytest.fixture(params=HOW)
def bodies(request: pytest.FixtureRequest, broker: RedisBroker, step_worker: StepWorker) -> Iterator[Bodies]:
    found = Bodies(request.param, broker, step_worker)
    yield found
    found.close()


def execution() -> Any:
    found = current()
    assert found is not None
    return found


# -- retries -------------------------------------------------------------------------------------------------


def test_r01_r02_a_body_asks_for_another_run(bodies: Bodies) -> None:
    @bodies.actor(retry=Retry(2, backoff=0))
    def body(why: str) -> int:
        if why == "again" and execution().retries:
            return int(execution().retries)
        raise retry(delay=0, exc=ValueError("why") if why == "exc" else None)

    again, exc, bare = (body.send(why) for why in ("again", "exc", "bare"))
    bodies.drain()
    assert handle(again).get() == 1
    assert isinstance(handle(exc).result, ValueError)
    assert isinstance(handle(bare).result, MaxRetriesExceeded)
    assert [handle(one).retries for one in (again, exc, bare)] == [1, 2, 2]


def test_r07_r17_the_next_run_has_other_arguments_and_another_maximum(bodies: Bodies) -> None:
    @bodies.actor()
    def body(number: int) -> int:
        if number < 5:
            raise retry(delay=0, args=(number + 1,), max_retries=5)
        return number

    message = body.send(1)
    bodies.drain()
    assert (handle(message).get(), handle(message).retries) == (5, 4)


def test_r18_a_body_goes_on_and_asks_for_another_run(bodies: Bodies) -> None:
    ran: list[int] = []

    @bodies.actor()
    def body() -> int:
        ran.append(execution().retries)
        retry(delay=0, max_retries=1, throw=False) if not ran[1:] else None
        return len(ran)

    message = body.send()
    bodies.drain()
    assert (ran, handle(message).get()) == ([0, 1], 1)


# -- exception groups ----------------------------------------------------------------------------------------


def test_a_group_of_failures_is_retried_if_all_of_them_would_be(bodies: Bodies) -> None:
    @bodies.actor(retry=Retry(2, on=ConnectionError, backoff=0))
    def body(*errors: str) -> None:
        kinds: dict[str, Exception] = {"reset": ConnectionResetError("x"), "value": ValueError("y")}
        raise ExceptionGroup("both", [kinds[name] for name in errors])

    passing, mixed = body.send("reset", "reset"), body.send("reset", "value")
    bodies.drain()
    assert [handle(one).retries for one in (passing, mixed)] == [2, 0]
    result = handle(mixed).result
    assert isinstance(result, ExceptionGroup)
    assert [type(error) for error in result.exceptions] == [ConnectionResetError, ValueError]


@pytest.mark.parametrize("error", [HandBack("not now"), LeaseLost("gone")])
def test_p11_what_sends_a_message_back_does_so_out_of_a_group(
    bodies: Bodies, broker: RedisBroker, error: Exception
) -> None:
    ran: list[int] = []

    @bodies.actor(retry=Retry(2, backoff=0))
    def body() -> str:
        ran.append(1)
        if not ran[1:]:
            raise ExceptionGroup("tasks", [ValueError("beside it"), ExceptionGroup("inner", [error])])
        return "done"

    message = body.send()
    wait_until(lambda: bodies.drain() == 0 and handle(message).ready())
    assert (handle(message).result, handle(message).retries, len(ran)) == ("done", 0, 2)


def test_r01_a_retry_is_asked_for_out_of_a_group(bodies: Bodies) -> None:
    @bodies.actor(retry=Retry(2, on=KeyError, backoff=600))
    def body() -> int:
        if execution().retries < 2:
            raise ExceptionGroup("tasks", [retry(delay=0, exc=ValueError("why"))])
        return int(execution().retries)

    message = body.send()
    bodies.drain()
    assert handle(message).get() == 2


# -- guards and limits ---------------------------------------------------------------------------------------


def test_l01_a_rate_limit_lets_them_wait_and_burns_no_attempt(bodies: Bodies) -> None:
    @bodies.actor(rate_limit=RateLimit(2, per=0.3, kind="window"))
    def body(number: int) -> int:
        return number

    messages = [body.send(number) for number in range(5)]
    assert bodies.drain() >= 2
    assert sum(handle(message).ready() for message in messages) == 2
    wait_until(lambda: bodies.drain() == 0 and all(handle(message).ready() for message in messages))
    assert [handle(message).get() for message in messages] == [0, 1, 2, 3, 4]
    assert [handle(message).retries for message in messages] == [0] * 5


def test_a_concurrency_limit_is_kept_and_its_places_come_back(bodies: Bodies) -> None:
    @bodies.actor(concurrency_limit=ConcurrencyLimit(2), retry=Retry(1, backoff=0))
    def body(number: int) -> int:
        if number == 3 and not execution().retries:
            raise ValueError
        return number

    messages = [body.send(number) for number in range(6)]
    wait_until(lambda: bodies.drain() == 0 and all(handle(message).ready() for message in messages))
    assert [handle(message).get() for message in messages] == [0, 1, 2, 3, 4, 5]
    assert [handle(message).retries for message in messages] == [0, 0, 0, 1, 0, 0]


def test_e02_one_that_waited_too_long_is_revoked(bodies: Bodies) -> None:
    ran: list[int] = []

    @bodies.actor(expires=timedelta(milliseconds=1))
    def body() -> None:
        ran.append(1)

    message = body.send()
    wait_until(lambda: bodies.drain() and handle(message).ready())
    assert (ran, handle(message).status) == ([], "REVOKED")


def test_v01_v03_a_revoked_one_does_not_run_and_one_that_runs_goes_on(bodies: Bodies) -> None:
    ran: list[str] = []

    @bodies.actor(retry=Retry(3, backoff=0))
    def body(name: str) -> str:
        ran.append(name)
        if name == "running":
            revoke(execution().message_id)
        return name

    waiting, running = body.send("waiting"), body.send("running")
    revoke(waiting)
    bodies.drain()
    assert ran == ["running"]
    assert isinstance(handle(waiting).result, Revoked)
    assert handle(running).get() == "running"


def test_p3_a_duplicate_gets_the_stored_result(bodies: Bodies) -> None:
    ran: list[str] = []

    @bodies.actor(idempotency=Idempotency(key="{name}"))
    def body(name: str) -> list[str]:
        ran.append(name)
        return [name, execution().message_id]

    sent = [body.send(name) for name in "xyxy"]
    wait_until(lambda: bodies.drain() == 0 and all(handle(message).ready() for message in sent))
    assert sorted(ran) == ["x", "y"]
    found = [handle(message).get() for message in sent]
    assert found[0] == found[2] != found[1] == found[3]


def test_a_unique_message_stands_until_it_has_ended(bodies: Bodies) -> None:
    @bodies.actor(unique=Unique(key="{name}"), retry=Retry(1, backoff=0))
    def body(name: str) -> str:
        with pytest.raises(AlreadyEnqueued):
            body.send(name)
        if not execution().retries:
            raise ValueError
        return name

    message = body.send("x")
    with pytest.raises(AlreadyEnqueued):
        body.send("x")
    bodies.drain()
    assert handle(message).get() == "x"
    body.send("x")


# -- what it tells -------------------------------------------------------------------------------------------


def test_s03_s04_the_state_is_shown_while_it_runs(bodies: Bodies) -> None:
    seen: list[Any] = []

    @bodies.actor(track_started=True)
    def body() -> None:
        me = execution().message_id
        wait_until(lambda: handle(me).status == "STARTED")
        progress.update(1, 4, name="x")
        wait_until(lambda: handle(me).status == "PROGRESS")
        progress.advance(2)
        seen.append(handle(me).progress)

    message = body.send()
    bodies.drain()
    assert handle(message).get() is None
    assert handle(message).progress == {"current": 3, "total": 4, "name": "x"}


def test_s24_callbacks_are_sent_with_the_end(bodies: Bodies) -> None:
    told: list[Any] = []

    @actor
    def tell(id: str, value: Any, word: str) -> None:
        told.append((id, value, word))

    @bodies.actor(retry=Retry(1, backoff=0))
    def body(fail: bool) -> int:
        if fail:
            raise ValueError("x")
        return 7

    options: dict[str, Any] = {"on_success": tell.message("+"), "on_failure": tell.message("-")}
    good, bad = (body.send_with_options(args=(fail,), **options) for fail in (False, True))
    bodies.drain()
    assert len(told) == 2
    assert (good.message_id, 7, "+") in told
    assert [(id, word) for id, _, word in told if word == "-"] == [(bad.message_id, "-")]


def test_executions_are_counted_by_how_they_ended(bodies: Bodies, broker: RedisBroker) -> None:
    @bodies.actor(actor_name="counted", retry=Retry(1, on=ValueError, backoff=0))
    def body(how: str) -> None:
        if how == "retry" and not execution().retries:
            raise ValueError
        if how == "fail":
            raise KeyError

    for how in ("fine", "retry", "fail"):
        body.send(how)
    bodies.drain()
    raw: Any = broker.storage.call("HGETALL", broker.storage.keys.counters)
    found: dict[str, int] = {}
    for name, value in dict(raw).items():
        label, _, bucket = name.decode().rpartition("|")
        if bucket != "sum":
            found[label.split("|")[2]] = found.get(label.split("|")[2], 0) + int(value)
    assert found == {"success": 2, "retry": 1, "failure": 1}


# -- workflows -----------------------------------------------------------------------------------------------


def test_c01_h01_chains_and_chords_join_bodies_of_either_kind(bodies: Bodies) -> None:
    @bodies.actor()
    def add(value: int, more: int) -> int:
        if more < 0:
            raise ValueError("less")
        return value + more

    @actor
    def total(values: list[int]) -> int:
        return sum(values)

    @bodies.actor()
    def goes_on(value: int) -> Any:
        return chord([add.message(value, n) for n in range(3)], body=total.message())

    found = chain(add.message(1, 1), goes_on.message(), add.message(10)).run()
    stops = chain(add.message(1, -1), add.message(2)).run()
    partial = chord([add.message(1, 1), add.message(1, -1)], body=total.message()).run()
    beside = group(add.message(1, 1), add.message(1, -1)).run()
    bodies.drain()
    assert found.get() == 2 + 3 + 4 + 10
    with pytest.raises(ValueError, match="less"):
        stops.get()
    with pytest.raises(ValueError, match="less"):
        partial.get()
    assert isinstance(partial.result, ChordError)
    values = beside.get(propagate=False)
    assert values[0] == 2
    assert isinstance(values[1], ValueError)


def test_s15_get_is_refused_inside(bodies: Bodies) -> None:
    @bodies.actor()
    def body(id: str) -> None:
        handle(id).get(timeout=1)

    message = body.send("some-id")
    bodies.drain()
    assert isinstance(handle(message).result, RuntimeError)


# -- items ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("place", ["keys", "ordered", "cursor"])
def test_p4_a_plain_loop_over_each_goes_on_where_it_stopped(bodies: Bodies, place: str, batch: int) -> None:
    done: list[int] = []

    @bodies.actor(retry=Retry(2, on=ConnectionError, backoff=0))
    def body() -> list[Any]:
        more: dict[str, Any] = {"key": str, "batch": batch, "name": "loop"}
        if place == "cursor":
            numbers = each(cursor=lambda after: range(-1 if after is None else int(after) + 1, 8), **more)
        else:
            numbers = each(range(-1, 8), ordered=place == "ordered", **more)
        for number in numbers:
            if number == -1:
                numbers.fail("no number")
                continue
            if number == 4 and not execution().retries:
                raise ConnectionError
            done.append(number)
        return [numbers.successful, numbers.failed, numbers.failures]

    message = body.send()
    bodies.drain()
    assert done == list(range(8))
    assert handle(message).get() == [8, 1, {"-1": "no number"}]


def test_p11_when_the_worker_stops_the_loop_hands_back_at_its_next_item(bodies: Bodies, broker: RedisBroker) -> None:
    done: list[int] = []

    @bodies.actor()
    def body() -> None:
        broker.stopping.clear()
        for number in each(range(6), key=str, on_doubt="skip"):
            done.append(number)
            if number == 2:
                broker.stopping.set()

    message = body.send()
    bodies.drain()
    assert done == list(range(6))
    assert (handle(message).status, handle(message).retries) == ("SUCCESS", 0)
