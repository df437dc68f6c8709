"""Limits of rate and concurrency, as a message meets them (P12, L01)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dramatiq import Message
from freezegun.api import FrozenDateTimeFactory

from tests.depth import on_the_server_first
from tests.understudy.brokers.helpers import dead_letters
from understudy import ConcurrencyLimit, Idempotency, RateLimit, Retry, actor, chain, clock, group, handle
from understudy.brokers import delays
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.execution import current
from understudy.states import State
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker
from understudy.turns import Turns

Drain = Callable[..., int]
Run = Callable[[float], None]


class Log:
    """What began, and when, in seconds from the start of the test."""

    def __init__(self) -> None:
        self.start = clock.now()
        self.names: list[Any] = []
        self.times: list[float] = []

    def note(self, name: object) -> None:
        self.names.append(name)
        self.times.append(round(clock.now() - self.start, 4))
        execution = current()
        assert execution is not None
        assert execution.retries == 0 or name == "retried"


@pytest.fixture
def log(freezer: FrozenDateTimeFactory) -> Log:
    return Log()


@pytest.fixture
def as_with_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RedisBroker, "keeps_up", True)


@pytest.fixture
def run_for(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> Run:
    """Let so many seconds pass, with a worker that does what is due when it is due."""

    def run_for(seconds: float) -> None:
        end = clock.now() + seconds
        drain()
        while (first := _first(broker)) is not None and first <= end:
            freezer.move_to(datetime.fromtimestamp(max(first, clock.now()), UTC))
            drain()
        freezer.move_to(datetime.fromtimestamp(end, UTC))
        drain()

    return run_for


def _first(broker: RedisBroker) -> float | None:
    found: Any = broker.storage.client.zrange(broker.keys_of("default").delayed, 0, 0, withscores=True)
    return math.ceil(float(found[0][1])) / 1000 if found else None


def due(broker: RedisBroker, message: Message[object]) -> list[float]:
    """In how many seconds the copies of a message come again."""
    found = delays.find(broker, message.queue_name, message.message_id)
    return [round(one.due.timestamp() - clock.now(), 3) for one in found]


def test_a_bucket_spaces_bodies_evenly_in_the_order_of_arrival(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, run_for: Run, log: Log
) -> None:
    @actor(rate_limit=RateLimit(2, per=1))
    def body(number: int) -> None:
        log.note(number)

    sent = [body.send(number) for number in range(6)]
    drain()
    assert [due(broker, message) for message in sent] == [[], [0.5], [1.0], [1.5], [2.0], [2.5]], "exact, and told once"
    run_for(3)
    assert log.names == list(range(6))
    assert log.times == [0, 0.5, 1, 1.5, 2, 2.5]
    assert [handle(message).retries for message in sent] == [0] * 6
    assert dead_letters(broker) == []


def test_a_burst_is_what_may_begin_at_once_after_a_pause(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, run_for: Run, log: Log
) -> None:
    @actor(rate_limit=RateLimit(2, per=1, burst=3))
    def body(number: int) -> None:
        log.note(number)

    for number in range(5):
        body.send(number)
    run_for(10)
    assert log.times == [0, 0, 0, 0.5, 1]
    for number in range(4):
        body.send(number)
    drain()
    assert log.times[5:] == [10, 10, 10], "no more than the burst, however long the pause"


def test_a_window_lets_its_limit_begin_at_once_and_the_next_when_the_first_is_over(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, run_for: Run, log: Log
) -> None:
    @actor(rate_limit=RateLimit(2, per=1, kind="window"))
    def body(number: int) -> None:
        log.note(number)

    body.send(0)
    drain()
    freezer.tick(timedelta(seconds=0.4))
    for number in range(1, 6):
        body.send(number)
    run_for(4)
    assert log.names == list(range(6))
    assert log.times == [0, 0.4, 1.0, 1.4, 2.0, 2.4]


def test_a_message_over_its_limit_is_as_if_nobody_had_fetched_it(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    @actor(rate_limit=RateLimit(1, per=60), retry=Retry(1))
    def body(secret: str) -> None:
        log.note(secret)

    body.send("first")
    second = body.send("second")
    drain()
    found = handle(second)
    assert (found.status, found.retries, found.read().fields) == (State.PENDING, 0, {})
    assert due(broker, second) == [60]
    (line,) = [record for record in caplog.records if "waits" in record.message]
    assert line.levelno == logging.DEBUG
    assert line.message == f"body[{second.message_id}] waits: its turn under its rate limit is in 60.000 s"
    assert not [
        record for record in caplog.records if record.levelno >= logging.INFO and second.message_id in record.message
    ]
    assert "secret" not in caplog.text.replace("secrets", "")


def test_who_has_the_same_key_shares_the_limit_and_nobody_else(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, run_for: Run, log: Log
) -> None:
    limit = RateLimit(1, per=10, key="smtp:{host}")

    @actor(rate_limit=limit)
    def one(host: str) -> None:
        log.note(("one", host))

    @actor(rate_limit=limit)
    def other(name: str, host: str = "a") -> None:
        log.note(("other", host))

    one.send("a")
    one.send("b")
    other.send("x")
    other.send("x", host="b")
    other.send_with_options(args=("x",), rate_limit_key="mine")
    drain()
    assert log.names == [("one", "a"), ("one", "b"), ("other", "a")]
    run_for(10)
    assert len(log.names) == 5


def test_an_actor_without_a_key_has_a_limit_of_its_own(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, log: Log
) -> None:
    for name in ("one", "two"):

        @actor(actor_name=name, rate_limit=RateLimit(1, per=10))
        def body(name: str = name) -> None:
            log.note(name)

        body.send()
        body.send()
    drain()
    assert log.names == ["one", "two"]


def test_a_retry_takes_a_turn_and_waiting_for_it_costs_no_attempt(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, run_for: Run, log: Log
) -> None:
    runs: list[int] = []

    @actor(rate_limit=RateLimit(1, per=10), retry=Retry(1, backoff=1, jitter="none"))
    def body(fails: bool) -> None:
        execution = current()
        assert execution is not None
        runs.append(execution.retries)
        log.times.append(round(clock.now() - log.start, 3))
        if fails:
            raise ConnectionError

    failing = handle(body.send(True))
    body.send(False)
    run_for(40)
    assert log.times == [0, 10, 20], "the retry came at 1, and its turn after that of the other one"
    assert runs == [0, 0, 1]
    assert failing.status is State.FAILURE


def test_what_does_not_run_uses_no_turn(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, log: Log
) -> None:
    @actor(rate_limit=RateLimit(1, per=10), idempotency=Idempotency(key="{name}"), expires=100)
    def body(name: str) -> str:
        log.note(name)
        return name

    body.send("a")
    drain()
    freezer.tick(10)
    duplicate = body.send("a")
    revoked = body.send("revoked")
    handle(revoked).revoke()
    expired = body.send_with_options(args=("expired",), expires=1)
    freezer.tick(1)
    body.send("b")
    drain()
    assert log.names == ["a", "b"]
    assert handle(duplicate).get() == "a"
    assert (handle(revoked).status, handle(expired).status) == (State.REVOKED, State.REVOKED)


def test_who_is_revoked_in_line_makes_way(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, run_for: Run, log: Log
) -> None:
    @actor(rate_limit=RateLimit(1, per=10))
    def body(number: int) -> None:
        log.note(number)

    sent = [body.send(number) for number in range(3)]
    drain()
    assert handle(sent[1]).revoke() is State.REVOKED
    run_for(30)
    body.send(3)
    drain()
    assert log.names == [0, 2, 3]


def test_what_arrives_waits_behind_those_in_line(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, run_for: Run, log: Log
) -> None:
    @actor(rate_limit=RateLimit(1, per=1))
    def body(number: int) -> None:
        log.note(number)

    for number in range(3):
        body.send(number)
        drain()
    freezer.tick(timedelta(seconds=0.999))
    late = body.send(3)
    drain()
    assert due(broker, late) == [2.001]
    run_for(5)
    assert log.names == [0, 1, 2, 3]


@pytest.mark.deep
@on_the_server_first
@pytest.mark.parametrize("kind", ["bucket", "window"])
def test_after_a_pause_of_all_workers_those_who_were_due_keep_their_order_and_the_limit(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, run_for: Run, log: Log, kind: str
) -> None:
    @actor(rate_limit=RateLimit(5, per=1, kind=kind))  # type: ignore[arg-type]  # one of the two
    def body(number: int) -> None:
        log.note(number)

    for number in range(60):
        body.send(number)
    run_for(2)
    began = len(log.names)
    freezer.tick(6)
    run_for(12)
    # Which of two that begin in the same moment is first is nobody's business.
    assert [name for _, name in sorted(zip(log.times, log.names, strict=True))] == list(range(60))
    assert began in (11, 15)
    for start in log.times:
        assert sum(start <= time < start + 0.9 for time in log.times) <= 5


def test_a_message_whose_worker_dies_takes_another_turn_and_goes_first(
    broker: RedisBroker, step_worker: StepWorker, freezer: FrozenDateTimeFactory, log: Log, faults: Faults
) -> None:
    @actor(rate_limit=RateLimit(1, per=10))
    def body(number: int) -> None:
        log.note(number)
        if log.names == [0]:
            faults.kill_worker()

    for number in range(3):
        body.send(number)
        freezer.tick(timedelta(milliseconds=1))
    for _ in range(8):
        step_worker.drain()
        freezer.tick(5)
    assert log.names == [0, 0, 1, 2]
    assert log.times[1:] == [10.003, 20.003, 30.003]


def test_a_turn_that_was_given_ahead_and_is_not_used_is_asked_for_again(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    log: Log,
    faults: Faults,
    as_with_threads: None,
) -> None:
    @actor(rate_limit=RateLimit(1, per=1, burst=4))
    def body(number: int) -> None:
        log.note(number)
        freezer.tick(timedelta(seconds=0.1))

    for number in range(4):
        body.send(number)
    drain()
    assert log.names == [0, 1, 2, 3]
    assert faults.exchanges.count("turns") == 4, "one for all, and one each for those whose turn had grown old"


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_outage_while_asking_ahead_leaves_it_to_each_message(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    log: Log,
    faults: Faults,
    as_with_threads: None,
    when: str,
) -> None:
    @actor(rate_limit=RateLimit(2, per=10, kind="window"), concurrency_limit=ConcurrencyLimit(9))
    def body(number: int) -> None:
        log.note(number)

    for number in range(3):
        body.send(number)
    faults.fail("turns", when=when)  # type: ignore[arg-type]  # one of the two
    drain()
    assert log.names == [0, 1]
    assert broker.size("default") == 1


def test_what_is_not_over_its_limit_costs_one_round_trip_for_all_that_were_fetched_together(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    log: Log,
    faults: Faults,
    as_with_threads: None,
) -> None:
    @actor(rate_limit=RateLimit(100, per=1, kind="window"), concurrency_limit=ConcurrencyLimit(100))
    def body(number: int) -> None:
        log.note(number)

    for number in range(8):
        body.send(number)
    drain()
    assert log.names == list(range(8))
    assert faults.exchanges.count("turns") == 1


def test_a_key_made_of_the_input_of_a_step_is_that_of_what_came_before(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, log: Log, as_with_threads: None
) -> None:
    places: list[str] = []

    @actor
    def before(to: str) -> str:
        return to

    @actor(rate_limit=RateLimit(1, per=3600, key="{to}"), concurrency_limit=ConcurrencyLimit(1, key="{to}"))
    def mail(to: str, what: str) -> None:
        log.note(what)
        places.extend(name for name in Turns(broker.storage).names() if name.startswith("places:"))

    chain(before.message("ada"), group(mail.message("first"), mail.message("second"))).run()
    drain()
    assert log.names == ["first"]
    assert places == ["places:key:ada"]


def test_what_goes_back_before_it_began_keeps_its_place_in_line(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, run_for: Run, log: Log
) -> None:
    @actor(rate_limit=RateLimit(1, per=60))
    def body(name: str) -> None:
        log.note(name)

    body.send("first")
    drain()
    body.send("early")
    (held,) = [one for one in [next(broker.consume("default", prefetch=1, timeout=10))] if one is not None]
    broker.emit_before("work", [held])
    freezer.tick(1)
    body.send("late")
    drain()
    assert isinstance(held, HeldMessage)
    broker.hand_back(held)  # as a worker does that stops, or has more than it can do
    run_for(180)
    assert log.names == ["first", "early", "late"]


def test_an_actor_without_limits_asks_nothing(broker: RedisBroker, drain: Drain, faults: Faults) -> None:
    @actor
    def body() -> None: ...

    body.send()
    body.send()
    drain()
    assert not {"turns", "wake"} & set(faults.exchanges)


def test_a_key_that_holds_something_else_lets_nobody_in_and_keeps_the_others_from_nothing(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, log: Log, as_with_threads: None
) -> None:
    @actor(rate_limit=RateLimit(1, key="{name}"))
    def body(name: str) -> None:
        log.note(name)

    key = broker.storage.keys.limit("rate:key:bad")[2]
    broker.storage.call("SET", key, "x")
    bad = body.send("bad")
    body.send("good")
    drain()
    assert log.names == ["good"]
    assert handle(bad).status is State.PENDING
    broker.storage.call("DEL", key)
    freezer.tick(2)
    drain()
    assert log.names == ["good", "bad"]


# -- places --------------------------------------------------------------------------------------------------


def test_at_most_so_many_run_at_once_and_who_leaves_lets_the_first_in_line_in(
    broker: RedisBroker, step_worker: StepWorker, freezer: FrozenDateTimeFactory
) -> None:
    began: list[int] = []

    @actor(concurrency_limit=ConcurrencyLimit(1))
    def body(number: int) -> None:
        began.append(number)
        if number == 0:
            # The others are fetched and ask while this one runs.
            for other in range(1, 5):
                body.send(other)
            StepWorker(broker, step_worker.faults).drain()
            assert began == [0], "its place is taken"
            assert broker.size("default") == 5

    body.send(0)
    step_worker.drain()
    assert began == [0, 1, 2, 3, 4], "without any time passing"
