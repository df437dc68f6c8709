from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from understudy import actor
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.running import run_by

pytestmark = pytest.mark.brokers("stub")


class Elsewhere:
    def __init__(self, one: Actor[Any, Any]) -> None:
        self.actor = one

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return "elsewhere", args, kwargs


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    yield
    run_by(None)


def test_a_runner_runs_the_next_body_of_its_actor_and_no_other(broker: RedisBroker) -> None:
    @actor
    def body(x: int) -> Any:
        return x

    @actor
    async def asynchronous(x: int) -> Any:
        return x

    for one in (body, asynchronous):
        run_by(Elsewhere(one))
        assert [other(1) for other in (body, asynchronous) if other is not one] == [1]
        assert one(2) == ("elsewhere", (2,), {})
        assert one(3) == 3
    run_by(Elsewhere(body))
    run_by(None)
    assert body(4) == 4
