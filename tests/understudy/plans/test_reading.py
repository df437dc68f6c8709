"""Reading what has come of a node, and of one that never ran."""

from collections.abc import Callable
from typing import Any

from understudy import actor, chain, group
from understudy.brokers.redis import RedisBroker
from understudy.plans.place import Stream
from understudy.plans.reading import Flow
from understudy.states import State

Drain = Callable[..., int]


def test_a_plan_is_read_as_it_was_composed(broker: RedisBroker) -> None:
    @actor
    def body(value: Any = None) -> Any:
        return value

    found = chain(body.message(1), group(body.message(), chain(body.message(), body.message())), body.message()).run()
    flow = Flow(broker.storage, found.workflow_id)
    assert (flow.exists(), flow.root, flow.streams()) == (True, (1, 3), (Stream("default", 2),))
    assert [flow.entry(node).kind for node in (1, 2, 3, 4, 5, 6)] == ["t", "g", "t", "m", "l", "t"]
    assert [flow.entry(node).previous for node in (1, 2, 3, 4, 5, 6)] == ["-", "1", "2", "1", "1", "5"]
    assert [flow.entry(node).up for node in (2, 4, 5, 6)] == ["-", "2", "2", "2"]
    assert (flow.entry(2).size, flow.entry(2).need) == (2, 2)
    assert flow.members(2) == [4, 6]
    assert not Flow(broker.storage, "nobody").exists()


def test_the_states_of_steps_that_did_not_run_follow_from_what_stopped_them(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body(value: Any = None) -> Any:
        if value == "boom":
            raise ValueError(value)
        return value

    found = chain(body.message("boom"), group(body.message(), chain(body.message(), body.message())), body.message())
    flow = Flow(broker.storage, found.run().workflow_id)
    assert {flow.ending(node).state for node in range(1, 7)} == {State.PENDING}
    drain()
    assert {flow.ending(node).state for node in range(1, 7)} == {State.FAILURE}
    assert {repr(value) for value in flow.outcomes([1, 2, 3, 6])} == {"ValueError('boom')"}
    assert flow.counts(2) is None
