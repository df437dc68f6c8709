"""Actors with a circuit breaker, on the stub and on a real server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import CircuitBreaker, Idempotency, Retry, actor, handle
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.circuits import Circuits
from understudy.errors import CircuitOpen
from understudy.testing.faults import Faults

Drain = Callable[..., int]

pytestmark = pytest.mark.usefixtures("broker")


class Service:
    """What stands behind the circuit."""

    def __init__(self) -> None:
        self.broken = True
        self.called: list[str] = []
        self.answer: Exception = ConnectionError("down")

    def call(self, who: str, where: str = "a") -> str:
        self.called.append(who)
        if self.broken:
            raise self.answer
        return who


@pytest.fixture
def service() -> Service:
    return Service()


def caller(service: Service, breaker: CircuitBreaker, retry: Retry | None = None) -> Actor[[str, str], str]:
    @actor(circuit_breaker=breaker, retry=retry)
    def call(who: str, where: str = "a") -> str:
        return service.call(who, where)

    return call


BREAKER = CircuitBreaker(failures=2, cooldown=30, patience=timedelta(hours=1))


def test_what_is_broken_is_left_alone_and_nobody_burns_an_attempt(
    drain: Drain, freezer: FrozenDateTimeFactory, service: Service
) -> None:
    call = caller(service, BREAKER)
    messages = [call.send(name, "a") for name in "abcdef"]
    drain()
    assert service.called == ["a", "b"]
    assert [handle(message).status for message in messages] == ["FAILURE"] * 2 + ["PENDING"] * 4
    service.broken = False
    freezer.tick(30)
    drain()
    # The first one tries it out; when it has got through, the others follow.
    freezer.tick(60)
    drain()
    assert sorted(service.called[2:]) == ["c", "d", "e", "f"]
    assert [handle(message).get() for message in messages[2:]] == ["c", "d", "e", "f"]
    assert {handle(message).retries for message in messages} == {0}


def test_a_retry_that_meets_an_open_circuit_waits_and_keeps_its_attempts(
    drain: Drain, freezer: FrozenDateTimeFactory, service: Service
) -> None:
    call = caller(service, BREAKER, Retry(3, backoff=1, factor=1, jitter="none"))
    message = call.send("a", "a")
    for _ in range(2):
        drain()
        freezer.tick(1)
    assert service.called == ["a", "a"]
    drain()
    assert handle(message).retries == 2, "it waits for the circuit"
    assert service.called == ["a", "a"]
    service.broken = False
    freezer.tick(30)
    drain()
    assert handle(message).get() == "a"
    assert handle(message).retries == 2


def test_circuits_of_different_keys_do_not_meet(drain: Drain, service: Service) -> None:
    call = caller(service, CircuitBreaker("{where}", failures=1))
    for who, where in (("a", "x"), ("b", "x"), ("c", "y")):
        call.send(who, where)
    drain()
    assert service.called == ["a", "c"]


def test_a_failure_that_is_no_sign_of_breakage_opens_nothing(drain: Drain, service: Service) -> None:
    call = caller(service, CircuitBreaker(failures=1, on=TimeoutError))
    for who in "abc":
        call.send(who, "a")
    drain()
    assert service.called == ["a", "b", "c"]


def test_a_failure_that_says_nothing_closes_no_circuit(drain: Drain, service: Service) -> None:
    call = caller(service, CircuitBreaker(failures=2, on=ConnectionError, answers=LookupError))

    def fails(who: str, error: Exception) -> None:
        service.answer = error
        call.send(who, "a")
        drain()

    fails("a", ConnectionError())
    fails("b", ValueError("before anything was called"))
    fails("c", ConnectionError())
    fails("d", ConnectionError())
    assert service.called == ["a", "b", "c"], "the circuit is open: what came between said nothing"


def test_an_answer_closes_it(drain: Drain, service: Service) -> None:
    call = caller(service, CircuitBreaker(failures=2, on=ConnectionError, answers=LookupError))
    for who, error in (("a", ConnectionError()), ("b", KeyError()), ("c", ConnectionError()), ("d", KeyError())):
        service.answer = error
        call.send(who, "a")
        drain()
    assert service.called == ["a", "b", "c", "d"]


def test_a_time_limit_opens_it_whatever_on_covers(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    called = []

    @actor(circuit_breaker=CircuitBreaker(failures=1, on=ConnectionError), time_limit=10)
    def hangs(who: str) -> None:
        called.append(who)
        freezer.tick(11)

    for who in "ab":
        hangs.send(who)
    drain()
    assert called == ["a"]


def test_whoever_has_waited_too_long_fails_and_says_so(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, service: Service
) -> None:
    call = caller(service, CircuitBreaker("c", failures=1, cooldown=1_000, longest=1_000, patience=1_500))
    call.send("a", "a")
    drain()
    late = call.send("b", "a")
    drain()
    for _ in range(2):
        freezer.tick(1_000)
        assert Circuits(broker.storage).wait("c", "somebody else, who takes long", probe=1_000) == 0
        drain()
    assert service.called == ["a"]
    with pytest.raises(CircuitOpen, match="waited 2,000 s"):
        handle(late).get()


def test_a_worker_that_dies_while_it_tries_it_out_stops_nobody(
    drain: Drain, freezer: FrozenDateTimeFactory, service: Service, faults: Faults
) -> None:
    call = caller(service, CircuitBreaker(failures=1, cooldown=10))
    call.send("a", "a")
    drain()
    waiting = call.send("b", "a")
    drain()
    freezer.tick(10)
    service.broken = False
    faults.kill_at("settle")
    drain()
    freezer.tick(700)
    drain()
    assert handle(waiting).get() == "b"


def test_a_message_that_waits_for_the_circuit_keeps_its_idempotency_key(
    drain: Drain, freezer: FrozenDateTimeFactory, service: Service
) -> None:
    @actor(circuit_breaker=CircuitBreaker(failures=1, cooldown=10), idempotency=Idempotency(key="{who}"))
    def call(who: str) -> str:
        return service.call(who)

    call.send("a")
    drain()
    first, second = call.send("b"), call.send("b")
    drain()
    service.broken = False
    for _ in range(20):
        freezer.tick(5)
        drain()
    assert service.called == ["a", "b"]
    assert handle(first).get() == handle(second).get() == "b"


def test_while_the_server_cannot_be_asked_the_body_does_not_run(
    drain: Drain, freezer: FrozenDateTimeFactory, service: Service, faults: Faults
) -> None:
    service.broken = False
    message = caller(service, BREAKER).send("a", "a")
    faults.fail("circuit", times=2)
    drain()
    assert service.called == []
    assert handle(message).status == "PENDING"
    freezer.tick(2)
    drain()
    freezer.tick(2)
    drain()
    assert handle(message).get() == "a"
    assert handle(message).retries == 0


def test_an_outcome_does_not_depend_on_what_the_circuit_could_be_told(
    drain: Drain, service: Service, faults: Faults
) -> None:
    service.broken = False
    message = caller(service, BREAKER).send("a", "a")
    faults.fail("circuit_told", times=10)
    drain()
    assert handle(message).get() == "a"
