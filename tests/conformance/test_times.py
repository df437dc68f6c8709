"""Group E: eta, countdown, expires."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from freezegun.api import FrozenDateTimeFactory

from understudy import actor, handle
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker

from .behaviours import Outcome, behaviour, got

Drain = Callable[..., int]


def counted(ran: list[int]) -> Actor[[], int]:
    @actor
    def body() -> int:
        ran.append(1)
        return 2

    return body


@behaviour("E01")
def test_e01_a_countdown_is_waited_for(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    ran: list[int] = []
    found = handle(counted(ran).send_with_options(delay=timedelta(seconds=2)))
    freezer.tick(1.999)
    drain()
    outcome(state_before=found.status, runs_before=len(ran))
    freezer.tick(0.001)
    drain()
    outcome(runs_after=len(ran))


@behaviour("E02")
def test_e02_what_expires_in_the_queue_does_not_run(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    ran: list[int] = []
    found = handle(counted(ran).send_with_options(expires=1))
    freezer.tick(2)
    drain()
    outcome(get=got(found.get), state=found.status, runs=len(ran), ready=found.ready(), failed=found.failed())


@behaviour("E03")
def test_e03_what_expires_while_it_runs_runs_on(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    @actor
    def body() -> str:
        freezer.tick(2)
        return "v"

    found = handle(body.send_with_options(expires=1))
    drain()
    outcome(get=got(found.get))


@behaviour("E04")
def test_e04_what_would_run_after_it_expires_is_revoked_when_it_would_have_run(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    ran: list[int] = []
    found = handle(counted(ran).send_with_options(delay=3_000, expires=1))
    seen, passed = [found.status.value], 0.0
    while seen[-1] == "PENDING":
        freezer.tick(0.5)
        passed += 0.5
        drain()
        seen.append(found.status.value)
    outcome(seen=[seen[0], seen[-1]], revoked_after_secs=passed, runs=len(ran))


@behaviour("E05")
def test_e05_a_time_in_the_past_is_now(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    found = handle(counted([]).send_with_options(eta=datetime(2020, 1, 1, tzinfo=UTC)))
    assert drain() == 1
    outcome(get=got(found.get))


@behaviour("E06")
def test_e06_delayed_messages_wait_on_the_server(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    ran: list[int] = []
    counted(ran).send_with_options(delay=60_000)
    drain()
    assert not broker.holds
    broker.abandon()  # the worker dies, and with it whatever it has in its memory
    freezer.tick(60)
    drain()
    outcome(place="the server" if ran == [1] else "the memory of one worker")
