"""The input of a step: read when it runs, and again when it runs again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from freezegun.api import FrozenDateTimeFactory

from understudy import Idempotency, Retry, actor, chain, handle, retry, step
from understudy.brokers.redis import RedisBroker
from understudy.execution import current
from understudy.testing.faults import Faults

Drain = Callable[..., int]


def test_a_retry_reads_its_input_again_and_does_not_carry_it(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    seen: list[Any] = []

    @actor
    def first() -> list[int]:
        return [1, 2]

    @actor(retry=Retry(1, backoff=5))
    def second(value: list[int], other: str = "", more: int = 0) -> int:
        execution = current()
        assert execution is not None
        seen.append((execution.args, execution.kwargs))
        if len(seen) == 1:
            raise ValueError
        return sum(value)

    found = chain(first.message(), step(second.message(more=1))).run()
    drain()
    freezer.tick(60)
    drain()
    assert found.get() == 3
    assert seen == [(([1, 2],), {"more": 1})] * 2


def test_a_step_whose_input_cannot_be_read_waits(
    broker: RedisBroker, drain: Drain, faults: Faults, freezer: FrozenDateTimeFactory
) -> None:
    @actor
    def body(value: int = 0) -> int:
        return value + 1

    found = chain(body.message(), body.message()).run()
    faults.fail("values", times=1)
    drain()
    assert found.status == "PENDING"
    freezer.tick(10)
    drain()
    assert found.get() == 2


def test_a_step_whose_input_is_gone_fails_and_says_so(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body(value: int = 0) -> int:
        if not value:
            return 1
        return value

    @actor
    def forgetful() -> int:
        return 1

    found = chain(forgetful.message(), body.message()).run()
    broker.enqueue(forgetful.message())
    broker.flush("default")
    client: Any = broker.storage.client
    payload = client.hget(broker.storage.keys.workflow(found.workflow_id), "m2")
    client.xadd(broker.keys_of("default").streams[1], {"m": payload})
    drain()
    assert "resume the workflow" in str(handle(f"{found.workflow_id}.2").result)


def test_an_idempotency_key_may_be_made_of_the_input(broker: RedisBroker, drain: Drain) -> None:
    ran: list[int] = []

    @actor
    def first(value: int) -> int:
        return value

    @actor(idempotency=Idempotency(key="{value}"))
    def second(value: int) -> int:
        ran.append(value)
        return value

    found = [chain(first.message(number), second.message()).run() for number in (1, 2, 1)]
    drain()
    assert [one.get() for one in found] == [1, 2, 1]
    assert sorted(ran) == [1, 2]


def test_a_step_that_asks_for_other_arguments_gets_those_alone(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    seen: list[tuple[int, int]] = []

    @actor
    def first() -> int:
        return 1

    @actor
    def second(value: int, more: int) -> int:
        seen.append((value, more))
        if len(seen) == 1:
            raise retry(args=(10, 20), delay=1)
        return value + more

    found = chain(first.message(), second.message(2)).run()
    drain()
    freezer.tick(5)
    drain()
    assert (found.get(), seen) == (30, [(1, 2), (10, 20)])
