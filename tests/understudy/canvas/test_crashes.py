"""A worker that dies at any point between a body, its settlement and the next step: everything happens once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import actor, chain, chord, group
from understudy.brokers.redis import RedisBroker
from understudy.plans import pages
from understudy.testing.faults import Faults

Drain = Callable[..., int]


@pytest.mark.brokers("server")
@pytest.mark.parametrize("nth", [1, 2, 5])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ["fetch", "values", "started", "settle", "fan"])
def test_a_worker_dies_at_an_exact_point(
    broker: RedisBroker,
    drain: Drain,
    faults: Faults,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    when: Any,
    nth: int,
) -> None:
    monkeypatch.setattr(pages, "PAGE", 2)
    ran: Counter[str] = Counter()
    told: list[Any] = []

    @actor
    def part(value: Any, name: str = "first") -> int:
        ran[name] += 1
        return 1

    @actor
    def total(values: list[int]) -> int:
        ran["total"] += 1
        return sum(values)

    @actor
    def tell(value: int) -> None:
        told.append(value)

    header = [chain(part.message(name="a"), part.message(name="b")), *(part.message(name=f"m{n}") for n in range(3))]
    found = chain(part.message(0), group(part.message(name="g")), chord(header, total.message())).run(
        on_success=tell.message()
    )
    faults.kill_at(name, nth=nth, when=when)
    for _ in range(4):
        drain()
        freezer.tick(60)
    assert found.get() == 4
    assert found.parent is not None
    assert found.parent.completed_count == 4
    assert broker.size("default") == 0
    # A body whose outcome was not committed has run once more, and nothing else has.
    again = sum(ran.values()) + len(told) - (len(ran) + 1)
    assert again <= 1
    assert len(ran) == 8
    assert set(told) == {4}
