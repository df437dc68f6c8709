"""Guards fail closed (P12): while the server cannot be asked the body does not run, and the message waits.

Shown for everything that stands before a body and asks the server, and every way in which a server does not answer.
A guard that is new in the stack has to come into ``ASKS``, and what it asks into ``GUARDS``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from dramatiq import Middleware
from freezegun.api import FrozenDateTimeFactory

from middleware.stack import stack
from tests.understudy.brokers.helpers import dead_letters
from understudy import CircuitBreaker, ConcurrencyLimit, Idempotency, RateLimit, Retry, actor, handle
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.brokers.settlement import SettlingBroker
from understudy.execution import current
from understudy.isolation.pool import Pool
from understudy.isolation.process import CannotStart
from understudy.states import State
from understudy.testing.faults import Faults, When
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]

#: What each middleware with a hook before the body asks the server there, by the names of the exchanges.
ASKS: dict[str, tuple[str, ...]] = {
    "Executions": (),
    "Canvas": ("values",),
    "Idempotency": ("claim",),
    "Revocation": ("revoked",),
    "Expiry": (),
    "CircuitBreakers": ("circuit",),
    "Limits": ("turns",),
    "States": (),
    "Progress": (),
    "Doubts": ("begin",),
    "TimeLimits": (),
    "Termination": (),
}
#: The same of those with a hook behind the fetch: what they learn there they need not ask before the body.
ASKS_AHEAD: dict[str, tuple[str, ...]] = {"Idempotency": ("claims",), "Limits": ("turns",)}
#: What the broker itself asks when all of them have let the message in.
BROKER_ASKS = "started"

#: A guard, the exchange with which it asks, and the options of an actor that it guards.
GUARDS: dict[str, tuple[str, dict[str, Any]]] = {
    "idempotency": ("claim", {"idempotency": Idempotency()}),
    "idempotency that skips what is in doubt": ("claim", {"idempotency": Idempotency(on_doubt="skip")}),
    "the beginning of what is not repeated in doubt": ("begin", {"idempotency": Idempotency(on_doubt="skip")}),
    "the input of a step": ("values", {"actor_name": "second"}),
    "revocation": ("revoked", {}),
    "a rate limit": ("turns", {"rate_limit": RateLimit(1_000)}),
    "a concurrency limit": ("turns", {"concurrency_limit": ConcurrencyLimit(1)}),
    "a circuit breaker": ("circuit", {"circuit_breaker": CircuitBreaker()}),
    "the mark of the beginning": ("started", {}),
}
#: Actors under every guard there is, also such as ask nobody.
ACTORS: dict[str, dict[str, Any]] = {
    "plain": {},
    "idempotent": {"idempotency": Idempotency()},
    "skips what is in doubt": {"idempotency": Idempotency(on_doubt="skip")},
    "expires": {"expires": 3_600},
    "limited": {"time_limit": 60, "soft_time_limit": 50},
    "under limits": {"rate_limit": RateLimit(1_000, kind="window"), "concurrency_limit": ConcurrencyLimit(1)},
    "behind a circuit": {"circuit_breaker": CircuitBreaker()},
    "retried": {"retry": Retry(1), "track_started": True},
}

#: How the server does not answer: before the exchange takes effect or after it, and what the client raises.
KINDS: dict[str, tuple[When, Exception]] = {
    "unreachable": ("before", redis.ConnectionError("Error 111 connecting: connection refused")),
    "cut off": ("after", redis.ConnectionError("connection closed by server")),
    "slow": ("after", redis.TimeoutError("timeout reading from socket")),
    "LOADING": ("before", redis.BusyLoadingError("LOADING the dataset into memory")),
    "READONLY": ("before", redis.ReadOnlyError("READONLY you can't write against a read only replica")),
    "NOPERM": ("before", redis.exceptions.NoPermissionError("NOPERM this user has no permissions")),
    "NOAUTH": ("before", redis.AuthenticationError("NOAUTH authentication required")),
    "OOM": ("before", redis.OutOfMemoryError("OOM command not allowed when used memory > 'maxmemory'")),
    "MISCONF": ("before", redis.ResponseError("MISCONF errors writing to the AOF file")),
    "MASTERDOWN": ("before", redis.exceptions.MasterDownError("MASTERDOWN link with the primary is down")),
    "BUSY": ("before", redis.ResponseError("BUSY a script is running")),
}


#: Those in which the client or the server differ most, where every actor would be too many.
OUTAGES = ("unreachable", "slow", "LOADING", "OOM")


class Body:
    """An actor with ``options``, one message for it, and what became of both."""

    def __init__(self, broker: RedisBroker, options: dict[str, Any]) -> None:
        self.broker = broker
        self.ran: list[int] = []

        @actor(queue_name="guarded", **options)
        def body(*_: Any) -> str:
            execution = current()
            assert execution is not None
            assert not execution.redelivered, "no death is counted"
            self.ran.append(execution.retries)
            return "done"

        self.actor: Actor[..., str] = body
        if options.get("actor_name") == "second":
            # The second step of a workflow whose first one is done.
            storage: Any = broker.storage
            storage.client.hset(storage.keys.state("w.1"), mapping={"state": "SUCCESS", "result": "1"})
            message = body.message_with_options(message_id="w.2", takes={"from": 1})
            self.handle = handle(broker.enqueue(message))
        else:
            self.handle = handle(body.send())

    def waits(self, *, marked: bool = False) -> None:
        """It has not run, and the message is where it will be found. ``marked``: the mark of the beginning took effect
        although the answer did not come, so it is shown."""
        assert self.ran == []
        assert self.handle.status is (State.STARTED if marked else State.PENDING)
        assert self.broker.size("guarded") == 1
        assert dead_letters(self.broker, "guarded") == []

    def ran_once(self) -> None:
        """It has run, in its first attempt."""
        assert self.ran == [0]
        assert self.handle.get() == "done"
        assert self.handle.retries == 0
        assert self.broker.size("guarded") == 0
        assert dead_letters(self.broker, "guarded") == []
        assert self.broker.refused == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guard", GUARDS)
def test_while_a_guard_is_not_answered_the_body_does_not_run(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, guard: str, kind: str
) -> None:
    exchange, options = GUARDS[guard]
    when, error = KINDS[kind]
    body = Body(broker, options)
    for _ in range(3):
        faults.fail(exchange, when=when, error=error)
        drain()
        assert not faults.planned, "the guard did not ask"
        body.waits(marked=exchange == BROKER_ASKS and when == "after")
        freezer.tick(2)
    drain()
    body.ran_once()


@pytest.mark.parametrize("kind", OUTAGES)
@pytest.mark.parametrize("options", ACTORS)
def test_while_the_server_answers_nothing_no_body_runs_and_its_message_waits(
    broker: RedisBroker,
    step_worker: StepWorker,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    options: str,
    kind: str,
) -> None:
    @actor(queue_name="guarded")
    def first() -> None:
        """Fetched together with the next one."""

    when, error = KINDS[kind]
    first.send()
    body = Body(broker, ACTORS[options])
    step_worker.run_once()
    before, waited = len(faults.exchanges), 0

    def wait(seconds: float) -> None:
        """The server is back when the message has waited for it a few times to be given back."""
        nonlocal waited
        assert body.ran == []
        waited += "settle" in faults.exchanges[before:]
        if waited == 3:
            faults.clear()

    broker.pause = wait
    faults.fail(when=when, error=error, times=1_000)
    step_worker.run_once()
    assert waited == 3
    body.waits()
    for _ in range(3):  # at first the consumer looks for what it may have missed
        freezer.tick(1)
        step_worker.drain()
    body.ran_once()


@pytest.mark.parametrize("kind", KINDS)
def test_keys_that_cannot_be_claimed_ahead_are_claimed_one_by_one_or_the_body_does_not_run(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setattr(RedisBroker, "keeps_up", True)
    when, error = KINDS[kind]
    ran: list[int] = []

    @actor(idempotency=Idempotency(key="{number}"))
    def body(number: int) -> int:
        ran.append(number)
        return number

    sent = [handle(body.send(number)) for number in range(3)]
    faults.fail("claims", when=when, error=error)
    faults.fail("claim", when=when, error=error, times=3)
    drain()
    assert not faults.planned
    assert ran == []
    assert [one.status for one in sent] == [State.PENDING] * 3
    assert broker.size("default") == 3
    faults.fail("claims", when=when, error=error)
    freezer.tick(2)
    drain()
    assert not faults.planned
    assert sorted(ran) == [0, 1, 2]
    assert [one.get() for one in sent] == [0, 1, 2]
    assert [one.retries for one in sent] == [0] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_that_was_claimed_ahead_does_not_open_the_way_past_the_other_guards(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setattr(RedisBroker, "keeps_up", True)
    when, error = KINDS[kind]
    bodies = [Body(broker, {"idempotency": Idempotency(), "actor_name": f"body-{number}"}) for number in range(2)]
    faults.fail("revoked", when=when, error=error, times=2)
    drain()
    assert not faults.planned
    assert "claims" in faults.exchanges
    assert [body.ran for body in bodies] == [[], []]
    assert broker.size("guarded") == 2
    freezer.tick(2)
    drain()
    for body in bodies:
        body.ran_once()


def test_a_time_limit_that_cannot_be_kept_keeps_the_body_from_running(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise CannotStart("no memory")

    body = Body(broker, {"time_limit": 60})
    with monkeypatch.context() as patch:
        patch.setattr(Pool, "take", fail)
        for _ in range(3):
            drain(isolation="process")
            assert body.ran == []
            assert not body.handle.ready()
            assert broker.size("guarded") == 1
            freezer.tick(10)
    drain(isolation="simulated")
    assert body.handle.retries == 0
    assert body.ran == [0]


def test_every_hook_before_a_body_is_in_the_table(broker: SettlingBroker) -> None:
    parts = stack(broker.settings)
    assert [type(part).__name__ for part in parts if _has(part, "before_process_message")] == list(ASKS), (
        "say in ASKS what the new hook asks the server, and in GUARDS how that is shown to fail closed"
    )
    assert [type(part).__name__ for part in parts if _has(part, "before_work")] == list(ASKS_AHEAD)
    asked = {exchange for exchanges in ASKS.values() for exchange in exchanges} | {BROKER_ASKS}
    assert asked == {exchange for exchange, _ in GUARDS.values()}


@pytest.mark.parametrize("options", ACTORS)
def test_each_hook_asks_what_the_table_says_and_nothing_else(
    broker: RedisBroker, drain: Drain, faults: Faults, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    asked: dict[str, list[str]] = {}
    for name in ASKS:
        (part,) = [part for part in broker.middleware if type(part).__name__ == name]
        monkeypatch.setattr(type(part), "before_process_message", _listening(part, faults, asked))
    body = Body(broker, ACTORS[options])
    drain()
    body.ran_once()
    assert list(asked) == [name for name in ASKS if name in asked], "they were called in the order of the table"
    # What guards idempotent actors only, those that expire, are under limits or behind a circuit, or reads the input of
    # a step, is not called for others.
    assert set(ASKS) - set(asked) <= {"Canvas", "Idempotency", "Expiry", "CircuitBreakers", "Limits", "Doubts"}
    assert ("Doubts" in asked) == (options == "skips what is in doubt")
    assert ("Idempotency" in asked) == ("idempotency" in ACTORS[options])
    assert ("Limits" in asked) == ("rate_limit" in ACTORS[options])
    assert ("CircuitBreakers" in asked) == ("circuit_breaker" in ACTORS[options])
    for name, exchanges in asked.items():
        assert exchanges == list(ASKS[name])
    assert asked["Revocation"] == ["revoked"]
    assert BROKER_ASKS in faults.exchanges


def _has(part: Middleware, hook: str) -> bool:
    return getattr(type(part), hook, None) is not getattr(Middleware, hook, None)


def _listening(part: Middleware, faults: Faults, asked: dict[str, list[str]]) -> Callable[..., None]:
    """The hook of ``part``, which notes what it asks."""
    hook = type(part).before_process_message

    def before_process_message(self: Any, broker: Any, message: Any) -> None:
        before = len(faults.exchanges)
        hook(self, broker, message)
        asked[type(self).__name__] = faults.exchanges[before:]

    return before_process_message
