"""At most one outcome per key, at most one live holder (P3), and it fails closed (P12)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import take_away
from understudy import Idempotency, Retry, actor, clock, each, handle
from understudy.brokers.redis import RedisBroker
from understudy.durations import to_millis
from understudy.errors import DuplicateRunning, InDoubt, Revoked
from understudy.testing.faults import Faults, When
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]
DAY = 86_400
LEASE = 10


@pytest.mark.parametrize("result", [{"x": 1}, None, 0, ""])
def test_a_duplicate_gets_the_stored_result(broker: RedisBroker, drain: Drain, result: object) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency())
    def body() -> object:
        ran.append(1)
        return result

    first = body.send()
    drain()
    same_id = body.send_with_options(message_id=first.message_id)
    same_key = body.send_with_options(idempotency_key=first.message_id)
    drain()
    assert ran == [1]
    assert handle(same_id).get() == result
    assert handle(same_key).get() == result
    assert handle(same_key).status == "SUCCESS"
    assert broker.refused == 0


def test_a_forgotten_record_is_not_a_forgotten_outcome(broker: RedisBroker, drain: Drain) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency())
    def body() -> int:
        ran.append(1)
        return 7

    first = body.send()
    drain()
    handle(first).forget()
    second = body.send_with_options(idempotency_key=first.message_id)
    again = body.send_with_options(message_id=first.message_id)
    drain()
    assert ran == [1]
    assert handle(second).get() == 7
    assert handle(again).get() == 7


def test_the_ttl_ends_exactly(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency(ttl=timedelta(hours=1)), result_ttl=DAY)
    def body() -> None:
        for item in each([1, 2], key=str):
            ran.append(item)

    for ticks, expected in ((3_599.999, 2), (0.001, 4)):
        body.send_with_options(idempotency_key="k")
        drain()
        freezer.tick(ticks)
        body.send_with_options(idempotency_key="k")
        drain()
        assert len(ran) == expected, "after the TTL it is new work, with new items"


def test_the_key_is_made_from_arguments(broker: RedisBroker, drain: Drain) -> None:
    ran: list[tuple[int, str]] = []

    @actor(idempotency=Idempotency(key="{user}:{kind}"))
    def body(user: int, kind: str = "mail") -> None:
        ran.append((user, kind))

    body.send(1)
    body.send(user=1, kind="mail")
    body.send(1, "sms")
    body.send(2)
    drain()
    assert ran == [(1, "mail"), (1, "sms"), (2, "mail")]


def test_a_key_given_at_send_goes_before_the_template(broker: RedisBroker, drain: Drain) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency(key="{x}"))
    def body(x: int) -> None:
        ran.append(x)

    body.send_with_options(args=(1,), idempotency_key="k")
    body.send_with_options(args=(2,), idempotency_key="k")
    body.send(2)
    drain()
    assert ran == [1, 2]


@pytest.mark.parametrize(("name", "key"), [("b", "k"), ("a:b", "c")])
def test_keys_of_different_actors_do_not_meet(broker: RedisBroker, drain: Drain, name: str, key: str) -> None:
    ran: list[str] = []

    @actor(actor_name="a", idempotency=Idempotency())
    def one() -> None:
        ran.append("a")

    @actor(actor_name=name, idempotency=Idempotency())
    def other() -> None:
        ran.append(name)

    one.send_with_options(idempotency_key="b:c" if name == "a:b" else key)
    other.send_with_options(idempotency_key=key)
    drain()
    assert sorted(ran) == ["a", name]


def test_a_failure_leaves_the_key_to_others(broker: RedisBroker, drain: Drain) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency())
    def body() -> str:
        ran.append(1)
        if len(ran) == 1:
            raise ValueError
        return "good"

    first = body.send_with_options(idempotency_key="k")
    second = body.send_with_options(idempotency_key="k")
    drain()
    assert handle(first).status == "FAILURE"
    assert handle(second).get() == "good"


def test_a_retry_enters_its_own_claim_and_its_twin_waits(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[str] = []

    @actor(idempotency=Idempotency(), retry=Retry(1, backoff=60, jitter="none"))
    def body(who: str) -> str:
        ran.append(who)
        if len(ran) == 1:
            raise ValueError
        return who

    first = body.send_with_options(args=("first",), idempotency_key="k")
    drain()
    twin = body.send_with_options(args=("twin",), idempotency_key="k")
    for _ in range(59):
        drain()
        freezer.tick(1)
    assert ran == ["first"]
    assert handle(twin).status == "PENDING"
    freezer.tick(2)
    drain()
    freezer.tick(2)
    drain()
    assert ran == ["first", "first"]
    assert handle(first).get() == handle(twin).get() == "first"


@pytest.mark.parametrize("on_running", ["wait", "skip", "fail"])
def test_a_duplicate_that_meets_its_running_twin(
    broker: RedisBroker,
    step_worker: StepWorker,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    on_running: Any,
) -> None:
    ran: list[int] = []
    twins: list[str] = []

    @actor(idempotency=Idempotency(on_running=on_running))
    def body() -> str:
        ran.append(1)
        twin = body.send_with_options(idempotency_key="k")
        twins.append(twin.message_id)
        second.drain()
        return "once"

    second = StepWorker(broker, faults)
    body.send_with_options(idempotency_key="k")
    step_worker.drain()
    found = handle(twins[0])
    if on_running == "wait":
        assert found.status == "PENDING"
        freezer.tick(1)
        second.drain()
        assert found.get() == "once"
    else:
        assert found.status == ("REVOKED" if on_running == "skip" else "FAILURE")
        assert isinstance(found.result, Revoked if on_running == "skip" else DuplicateRunning)
    assert ran == [1]


@pytest.mark.parametrize("on_doubt", ["repeat", "skip"])
def test_a_kill_in_the_body(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, on_doubt: Any
) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency(on_doubt=on_doubt))
    def body() -> str:
        ran.append(1)
        if len(ran) == 1:
            faults.kill_worker()
        return "done"

    message = body.send()
    for _ in range(4):
        drain()
        freezer.tick(LEASE)
    if on_doubt == "repeat":
        assert handle(message).get() == "done"
        assert len(ran) == 2
    else:
        assert isinstance(handle(message).result, InDoubt)
        assert len(ran) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("exchange", ["claim", "started"])
@pytest.mark.parametrize("on_doubt", ["repeat", "skip"])
def test_a_guard_that_cannot_ask_keeps_the_body_from_running(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    exchange: str,
    when: When,
    on_doubt: Any,
) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency(on_doubt=on_doubt), retry=Retry(0))
    def body() -> str:
        ran.append(1)
        return "done"

    message = body.send()
    for _ in range(3):
        faults.fail(exchange, when=when)
        drain()
        assert ran == []
        freezer.tick(1)
    drain()
    assert ran == [1]
    assert handle(message).get() == "done"
    assert handle(message).retries == 0


def test_a_message_whose_claim_is_another_s_at_the_commit_comes_back_and_asks(
    broker: RedisBroker, step_worker: StepWorker, freezer: FrozenDateTimeFactory
) -> None:
    """Somebody has written on the server; of two that ran the body one outcome is committed."""
    ran: list[int] = []

    @actor(idempotency=Idempotency())
    def body() -> int:
        ran.append(1)
        if len(ran) == 1:
            claim = next(broker.storage.client.scan_iter(match=broker.storage.keys.claim("*")))
            until = to_millis(clock.now() + DAY)
            done: dict[str | bytes, Any] = {
                "status": "done",
                "owner": "twin",
                "token": "other/2/1-1",
                "result": "7",
                "until": until,
            }
            broker.storage.client.hset(claim, mapping=done)  # type: ignore[arg-type]
        return len(ran)

    message = body.send()
    step_worker.drain()
    assert handle(message).status == "STARTED"
    freezer.tick(1)
    step_worker.drain()
    assert ran == [1]
    assert handle(message).get() == 7


def test_a_claim_that_was_removed_by_hand_stops_nothing(broker: RedisBroker, drain: Drain) -> None:
    @actor(idempotency=Idempotency())
    def body() -> str:
        broker.storage.client.delete(next(broker.storage.client.scan_iter(match=broker.storage.keys.claim("*"))))
        return "done"

    message = body.send()
    drain()
    assert handle(message).get() == "done"


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_is_in_doubt_stays_so_when_the_answer_to_the_claim_is_cut_off(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, when: When
) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency(on_doubt="skip"))
    def body() -> None:
        ran.append(1)
        faults.kill_worker()

    message = body.send()
    drain()
    for _ in range(2):
        freezer.tick(LEASE)
        faults.fail("claim", when=when)
        drain()
    freezer.tick(LEASE)
    drain()
    assert isinstance(handle(message).result, InDoubt)
    assert ran == [1]


def test_a_message_that_was_taken_away_claims_nothing(broker: RedisBroker, drain: Drain) -> None:
    ran: list[bool] = []
    claimed: list[int] = []

    class Thief(dramatiq.Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            if not claimed:
                take_away(broker)

        def after_process_message(self, broker: Any, message: Any, **ended: Any) -> None:
            claimed.append(broker.storage.call("EXISTS", broker.storage.keys.claim("body:k")))

    broker.add_middleware(Thief(), before=type(broker.middleware[0]))

    @actor(idempotency=Idempotency())
    def body() -> None:
        ran.append(True)

    message = body.send_with_options(idempotency_key="k")
    drain()
    assert ran == [True]
    assert claimed == [0, 1]
    assert handle(message).successful()
