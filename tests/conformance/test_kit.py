"""Group A: Celery's eager mode, beside the kit: the stub broker, ``drain`` and frozen time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dramatiq.middleware import SkipMessage
from freezegun.api import FrozenDateTimeFactory

from understudy import Retry, actor, chord, group, handle
from understudy.brokers.redis import RedisBroker
from understudy.errors import TaskError
from understudy.execution import current

from .actors import Boom
from .behaviours import Outcome, behaviour, got

Drain = Callable[..., int]
pytestmark = pytest.mark.brokers("stub")


def retrying(runs: list[int]) -> Any:
    @actor(retry=Retry(2, backoff=5, factor=1, jitter="none"))
    def body() -> None:
        execution = current()
        assert execution is not None
        runs.append(execution.retries)
        raise Boom(f"attempt {execution.retries}")

    return body


@behaviour("A01")
def test_a01_a_message_runs_in_the_test_and_its_failure_is_recorded(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    @actor
    def add(x: int) -> int:
        return x + 1

    @actor
    def fails() -> None:
        raise Boom("boom")

    good, sent = handle(add.send(1)), got(fails.send)
    bad = handle(sent["returned"])
    drain()
    outcome(ok=got(good.get), raised_when_sent="raised" in sent, state=bad.status, get=got(bad.get))
    outcome(no_propagate=got(lambda: bad.get(propagate=False)))


@behaviour("A02")
def test_a02_retries_wait_for_their_time(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    runs: list[int] = []
    found = handle(retrying(runs).send())
    drain()
    outcome(countdown="kept" if runs == [0] else "ignored")
    for _ in range(2):
        freezer.tick(5)
        drain()
    outcome(state=found.status, get=got(found.get), runs=runs)


@behaviour("A03")
def test_a03_nothing_is_raised_where_a_message_is_sent_or_run(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    runs: list[int] = []
    sent = got(retrying(runs).send)
    for _ in range(3):
        drain()
        freezer.tick(5)
    outcome(runs=len(runs), raised=sent.get("raised"))


@behaviour("A04")
def test_a04_a_failing_step_is_seen_by_its_handle(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    later: list[int] = []

    @actor
    def first() -> None:
        raise Boom("boom")

    @actor
    def second(value: int = 0) -> None:
        later.append(value)

    step = first.message()
    sent = got((step | second.message()).run)
    drain()
    assert handle(step).status == "FAILURE"
    outcome(raised_when_sent=sent.get("raised"), later_runs=len(later))


@behaviour("A05")
def test_a05_groups_and_chords_come_to_the_same(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def give(value: int) -> int:
        return value

    @actor
    def boom() -> None:
        raise Boom("boom")

    whole = group(give.message(1), give.message(2)).run()
    partial = group(give.message(1), boom.message(), give.message(3)).run()
    joined = chord([give.message(1), give.message(2)], give.message()).run()
    drain()
    mixed = [f"exception:{one!r}" if isinstance(one, Exception) else one for one in partial.get(propagate=False)]
    outcome(group=whole.get(), group_partial=mixed, chord=joined.get())


@behaviour("A06")
def test_a06_limits_and_times_are_kept(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    ran: list[str] = []

    @actor
    def body(name: str) -> None:
        ran.append(name)

    @actor(time_limit=1)
    def slow() -> None:
        freezer.tick(2)

    limited = handle(slow.send())
    drain()
    outcome(time_limit="kept" if limited.status == "FAILURE" else "ignored")
    body.send_with_options(args=("delayed",), delay=1_000)
    drain()
    outcome(countdown="ignored" if ran else "kept")
    expired = handle(body.send_with_options(args=("expired",), expires=1))
    freezer.tick(1)
    drain()
    assert ran == ["delayed"]
    outcome(expires="kept" if expired.status == "REVOKED" else "ignored")


@behaviour("A07")
def test_a07_the_state_is_found_by_id(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def body() -> None: ...

    id = body.send().message_id
    drain()
    outcome(lookup_by_id=handle(id).status)


@behaviour("A08")
def test_a08_the_states_are_those_of_a_worker(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def body(ignore: bool) -> None:
        raise SkipMessage if ignore else TaskError("no thanks")

    ignored, rejected = handle(body.send(True)), handle(body.send(False))
    drain()
    outcome(ignore_state=ignored.status, reject_state=rejected.status)


@behaviour("A09")
def test_a09_arguments_travel_as_they_do_to_a_worker(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    seen: list[str] = []

    @actor
    def body(value: Any) -> None:
        seen.append(type(value).__name__)

    body.send((1, 2))
    drain()
    body((1, 2))
    outcome(tuple=seen[0], apply_tuple=seen[1])
