"""A canvas laid flat."""

from __future__ import annotations

from typing import Any

import pytest

from understudy import actor, chain, chord, group
from understudy.brokers.redis import RedisBroker
from understudy.canvas.elements import Parallel, Task, attach, calls


@pytest.mark.brokers("stub")
def test_chains_in_chains_and_groups_in_groups_are_one(broker: RedisBroker) -> None:
    @actor
    def a(*args: Any) -> Any:
        return args

    m = a.message()
    flat = chain(m, chain(m, chord([m, group(m, m)], m)), group(m, policy="partial")).elements()
    assert [type(element) for element in flat] == [Task, Task, Parallel, Task, Parallel]
    header, last = flat[2], flat[4]
    assert isinstance(header, Parallel)
    assert isinstance(last, Parallel)
    assert (len(header.members), header.need) == (3, 3)
    assert (len(last.members), last.need) == (1, 0)
    kept = group(group(m, m, policy=1), m).elements()[0]
    assert isinstance(kept, Parallel)
    assert len(kept.members) == 2


@pytest.mark.brokers("stub")
def test_callbacks_stand_at_the_last_element_and_at_each_that_may_fail(broker: RedisBroker) -> None:
    @actor
    def a() -> None:
        return None

    tasks = [Task(message=a.message()), Task(message=a.message())]
    good, bad = calls([a.message()]), calls([a.message()])
    attach([*tasks], good=good, bad=bad)
    assert [task.good for task in tasks] == [[], good]
    assert [task.bad for task in tasks] == [bad, bad]
