"""What is stored of a workflow, and what its messages carry."""

from __future__ import annotations

from typing import Any

import pytest
from dramatiq import Message

from understudy import actor, chain, chord, group, step
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.canvas.compiling import Compiler, Entrance, Plan
from understudy.canvas.compose import Canvas
from understudy.errors import DeclarationError, MessageTooLarge
from understudy.plans.pages import read_page

pytestmark = pytest.mark.brokers("stub")


@pytest.fixture
def a(broker: RedisBroker) -> Actor[..., Any]:
    @actor
    def a(*args: Any, **kwargs: Any) -> Any:
        return args

    return a


def plan(broker: RedisBroker, canvas: Canvas, **entrance: Any) -> Plan:
    return Compiler(broker, "w").plan(canvas.elements(), entrance=Entrance(**entrance))


def message(plan: Plan, node: int) -> Message[Any]:
    found = plan.fields[f"m{node}"]
    assert isinstance(found, bytes)
    return Message.decode(found)


def test_the_message_of_a_step_is_as_large_in_a_long_chain_as_in_a_short_one(
    broker: RedisBroker, a: Actor[..., Any]
) -> None:
    sizes = {len(message(plan(broker, chain([a.message("x")] * length)), 2).encode()) for length in (3, 1_000)}
    assert len(sizes) == 1


def test_a_message_knows_its_place_and_its_input(broker: RedisBroker, a: Actor[..., Any]) -> None:
    found = plan(broker, chain(a.message(1), a.message_with_options(args=(2,), into="x", priority=5), a.message()))
    assert message(found, 1).options == {"workflow": {"to": "default:2,default:3"}}
    second = message(found, 2)
    assert (second.message_id, second.args) == ("w.2", (2,))
    assert second.options["takes"] == {"from": 1, "into": "x"}
    assert (second.options["parent_id"], second.options["root_id"]) == ("w.1", "w.1")
    assert "into" not in second.options


def test_a_member_that_is_one_message_is_stored_in_a_page_and_nowhere_else(
    broker: RedisBroker, a: Actor[..., Any]
) -> None:
    found = plan(broker, group(a.message(number) for number in range(1_200)))
    assert sorted(found.fields) == ["l1.0", "l1.1", "l1.2", "leaves", "p1", "w1"]
    page = found.fields["l1.2"]
    assert isinstance(page, bytes)
    letters = read_page(page).letters
    assert (letters[0].node, letters[-1].node, len(letters)) == (1_002, 1_201, 200)
    assert Message.decode(letters[-1].payload).options == {"workflow": {"up": "1"}}


def test_one_callback_of_many_steps_is_stored_once(broker: RedisBroker, a: Actor[..., Any]) -> None:
    found = plan(broker, chain([a.message()] * 50, on_failure=a.message()))
    assert len([name for name in found.fields if name.startswith("k")]) == 1


def test_a_delayed_step_waits_where_the_moving_finds_it(broker: RedisBroker, a: Actor[..., Any]) -> None:
    found = plan(broker, chain(a.message(), step(a.message(), delay=5)))
    page = found.fields["l2.0"]
    assert isinstance(page, bytes)
    assert read_page(page).letters[0].delay == 5.0
    assert "m2" not in found.fields


def test_what_the_first_steps_are_given_comes_before_their_own(broker: RedisBroker, a: Actor[..., Any]) -> None:
    assert message(plan(broker, chain(a.message(1)), args=(7, 8)), 1).args == (7, 8, 1)
    assert message(plan(broker, chain(step(a.message(1), into="x")), args=(7,)), 1).kwargs == {"x": 7}
    assert message(plan(broker, chain(step(a.message(1), immutable=True)), args=(7,)), 1).args == (1,)
    with pytest.raises(DeclarationError, match="takes one argument, not 2"):
        plan(broker, chain(step(a.message(1), into="x")), args=(7, 8))


def test_a_step_that_is_too_large_refuses_all_of_it(broker: RedisBroker, a: Actor[..., Any]) -> None:
    large = a.message("x" * (broker.settings.max_message_size + 1))
    with pytest.raises(MessageTooLarge):
        chord([a.message(), chain(a.message(), large)], a.message()).run()
    assert broker.size("default") == 0
    assert not list(broker.storage.client.scan_iter(match="*workflow*"))
