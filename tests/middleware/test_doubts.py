"""``on_doubt="skip"``: only a body that has begun leaves anything in doubt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import dead_letters
from understudy import ConcurrencyLimit, Idempotency, RateLimit, actor, chain, handle
from understudy.breaking import CircuitBreaker
from understudy.brokers.redis import RedisBroker
from understudy.errors import InDoubt
from understudy.testing.faults import Faults

Drain = Callable[..., int]
#: Seconds after which what a dead worker held is given back.
LEASE = 6
SKIP = Idempotency(key="{name}", on_doubt="skip")

GUARDED: dict[str, dict[str, Any]] = {
    "turns": {"rate_limit": RateLimit(100), "concurrency_limit": ConcurrencyLimit(9)},
    "circuit": {"circuit_breaker": CircuitBreaker(key="{name}")},
    "revoked": {},
    "claim": {},
}


@pytest.mark.parametrize(("exchange", "times"), [("turns", 3), ("circuit", 1), ("revoked", 1), ("claim", 2)])
def test_a_worker_that_dies_between_its_claim_and_the_body_leaves_nothing_in_doubt(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, exchange: str, times: int
) -> None:
    ran: list[str] = []

    @actor(idempotency=SKIP, **GUARDED[exchange])
    def body(name: str) -> str:
        ran.append(name)
        return name

    message = body.send("a")
    for _ in range(times):
        faults.kill_at(exchange, when="after")
        drain()
        assert ran == []
        freezer.tick(LEASE)
    drain()
    assert ran == ["a"]
    assert handle(message).get() == "a"
    assert dead_letters(broker) == []


def test_a_twin_may_run_what_a_dead_worker_had_claimed_and_not_begun(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    ran: list[str] = []

    @actor(idempotency=SKIP)
    def body(name: str) -> str:
        ran.append(name)
        return name

    first = body.send("a")
    faults.kill_at("claim", when="after")
    drain()
    freezer.tick(LEASE)
    twin = body.send("a")
    drain()
    freezer.tick(2)
    drain()
    assert ran == ["a"]
    assert (handle(first).get(), handle(twin).get()) == ("a", "a")


def test_a_worker_that_dies_before_the_body_of_a_step_that_runs_anew_leaves_nothing_in_doubt(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    ran: list[str] = []

    @actor(idempotency=SKIP)
    def body(name: str) -> str:
        ran.append(name)
        return name

    flow = chain(body.message("a"), body.message_with_options(args=("b",), immutable=True)).run()
    drain()
    assert ran == ["a", "b"]
    flow.resume(from_step=1)
    faults.kill_at("claim", nth=2, when="after")  # the first one finds what had been done
    drain()
    assert ran == ["a", "b"]
    freezer.tick(LEASE)
    drain()
    assert flow.get() == "b"
    assert ran == ["a", "b", "a", "b"]


@pytest.mark.parametrize("where", ["begin", "body", "settle"])
def test_a_worker_that_dies_when_its_body_has_begun_leaves_it_in_doubt(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, where: str
) -> None:
    ran: list[str] = []

    @actor(idempotency=SKIP, rate_limit=RateLimit(100))
    def body(name: str) -> None:
        ran.append(name)
        if where == "body":
            faults.kill_worker()

    message = body.send("a")
    if where != "body":
        faults.kill_at(where, when="after" if where == "begin" else "before")
    drain()
    for _ in range(2):
        freezer.tick(LEASE)
        drain()
    assert isinstance(handle(message).result, InDoubt)
    assert ran == ([] if where == "begin" else ["a"]), "it may have begun, for all that anybody knows"


def test_what_is_in_doubt_stays_so_when_whoever_took_it_over_dies_before_it_says_so(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    ran: list[str] = []

    @actor(idempotency=SKIP)
    def body(name: str) -> None:
        ran.append(name)
        faults.kill_worker()

    message = body.send("a")
    drain()
    for exchange in ("claim", "settle"):
        freezer.tick(LEASE)
        faults.kill_at(exchange, when="after" if exchange == "claim" else "before")
        drain()
    freezer.tick(LEASE)
    drain()
    assert ran == ["a"]
    assert isinstance(handle(message).result, InDoubt)


def test_whose_message_is_held_by_another_worker_does_not_begin(
    broker: RedisBroker, drain: Drain, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    @actor(idempotency=SKIP)
    def body(name: str) -> None:
        ran.append(name)

    keys = broker.storage.keys
    body.send("a")
    real = broker.records.begin

    def late(key: str, hold: Any) -> bool:
        broker.storage.client.hset(keys.claim(key), "token", "another/2/1-1")
        return real(key, hold)

    monkeypatch.setattr(broker.records, "begin", late)
    drain()
    assert ran == []


def test_nobody_else_pays_for_it(broker: RedisBroker, drain: Drain, faults: Faults) -> None:
    @actor(idempotency=Idempotency())
    def repeats() -> None: ...

    @actor
    def plain() -> None: ...

    repeats.send()
    plain.send()
    drain()
    assert "begin" not in faults.exchanges

    @actor(idempotency=SKIP)
    def skips(name: str) -> None: ...

    skips.send("a")
    drain()
    assert faults.exchanges.count("begin") == 1
