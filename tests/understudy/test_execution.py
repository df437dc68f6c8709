from __future__ import annotations

from collections.abc import Callable

import pytest

from understudy import Retry, actor
from understudy.brokers.redis import RedisBroker
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import LeaseLost
from understudy.execution import Execution, current
from understudy.holds import GROUP
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]


def running() -> Execution:
    found = current()
    assert found is not None
    return found


def test_there_is_none_outside_of_a_worker(broker: SettlingBroker, drain: Drain) -> None:
    seen: list[Execution | None] = []

    @actor
    def body() -> None:
        seen.append(current())

    body()
    body.send()
    drain()
    assert seen[0] is None
    assert seen[1] is not None
    assert current() is None


def test_every_delivery_has_its_own_token(broker: SettlingBroker, drain: Drain) -> None:
    seen: list[tuple[str, int, bool]] = []

    @actor(retry=Retry(2, backoff=0))
    def body() -> None:
        execution = running()
        seen.append((execution.token, execution.retries, execution.last_attempt))
        raise ValueError

    body.send()
    drain()
    assert len({token for token, _, _ in seen}) == 3
    assert [rest for _, *rest in seen] == [[0, False], [1, False], [2, True]]


def test_an_execution_holds_its_entry_and_a_retry_is_another(broker: RedisBroker, drain: Drain) -> None:
    seen: list[tuple[str, str]] = []

    @actor(retry=Retry(1, backoff=0))
    def body() -> None:
        execution = running()
        hold = execution.hold
        assert (hold.stream, execution.token) == (broker.streams_of("default")[1], f"default/2/{hold.entry}")
        pending = broker.storage.client.xpending_range(hold.stream, GROUP, hold.entry, hold.entry, 1)
        assert pending[0]["consumer"] == broker.worker_id.encode()
        seen.append((hold.entry, hold.worker))
        raise ValueError

    body.send()
    drain()
    assert len(set(seen)) == 2
    assert [worker for _, worker in seen] == ["", ""], "nobody died"


def test_an_execution_within_another_gives_way_to_it_again(
    broker: RedisBroker, step_worker: StepWorker, faults: Faults
) -> None:
    seen: list[bool] = []

    @actor
    def inner() -> None: ...

    @actor
    def outer() -> None:
        before = running()
        inner.send()
        StepWorker(broker, faults).drain()
        seen.append(current() is before)

    outer.send()
    step_worker.drain()
    assert seen == [True]


def test_a_lost_claim_stops_the_body(broker: SettlingBroker, drain: Drain) -> None:
    caught: list[type[Exception]] = []

    @actor
    def body() -> None:
        execution = running()
        execution.confirm()
        execution.lost = True
        try:
            execution.confirm()
        except LeaseLost as error:
            caught.append(type(error))
        execution.lost = False
        with pytest.raises(LeaseLost):
            execution.confirm(held=False)

    body.send()
    drain()
    assert caught == [LeaseLost]
