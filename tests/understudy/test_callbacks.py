"""What a callback may be, and what travels of it."""

from __future__ import annotations

from typing import Any

import pytest

from understudy import actor
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.callbacks import convert_callbacks, is_travelling, message_of, name_of, told
from understudy.errors import DeclarationError, SerializationError


@pytest.fixture
def tell(broker: RedisBroker) -> Actor[Any, Any]:
    @actor(queue_name="news")
    def tell(*what: Any) -> None: ...

    return tell


def test_what_is_no_callback_is_refused(broker: RedisBroker, tell: Actor[Any, Any]) -> None:
    @actor
    def body() -> None: ...

    with pytest.raises(DeclarationError, match="body: on_success takes an actor, its name"):
        body.send_with_options(on_success=3)
    with pytest.raises(DeclarationError, match="actor other: on_failure takes an actor"):
        actor(actor_name="other", on_failure=print)(print)
    with pytest.raises(SerializationError):
        body.send_with_options(on_success=tell.message(object()))


def test_what_travels_can_be_made_a_message_again(broker: RedisBroker, tell: Actor[Any, Any]) -> None:
    options: dict[str, Any] = {"on_success": [tell, tell.message(1)], "on_failure": tell, "priority": 3}
    convert_callbacks(options)
    by_name, with_arguments = options["on_success"]
    assert (by_name, options["on_failure"], options["priority"]) == ("tell", "tell", 3)
    assert [name_of(one) for one in options["on_success"]] == ["tell", "tell"]
    found = told(message_of(with_arguments, None), "m", {"x": 1}, root_id="r")
    assert (found.queue_name, found.args) == ("news", ("m", {"x": 1}, 1))
    assert found.options == {"parent_id": "m", "root_id": "r"}
    assert message_of(by_name, "other").queue_name == "other"
    assert message_of(with_arguments, None).message_id != found.message_id


def test_none_is_no_callback() -> None:
    options: dict[str, Any] = {"on_success": None}
    convert_callbacks(options)
    assert options == {}


@pytest.mark.parametrize("broken", [3, "", None, {"actor_name": "a"}, {"actor_name": 3, "queue_name": "q"}])
def test_what_somebody_else_wrote_is_looked_at(broken: object) -> None:
    assert not is_travelling(broken)
