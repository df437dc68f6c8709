from __future__ import annotations

from typing import Any

from dramatiq import Message

from understudy.brokers.held import HeldMessage, plain
from understudy.holds import Hold


def held(**options: object) -> HeldMessage:
    message: Message[Any] = Message(queue_name="q", actor_name="a", args=("secret",), kwargs={}, options=options)
    return HeldMessage(message, Hold(stream="s", entry="1-1", token="q/2/1-1"))


def test_it_shows_no_arguments() -> None:
    message = held()
    assert "secret" not in f"{message} {message!r}"
    assert message.message_id in str(message)


def test_a_delivery_is_named_by_its_token() -> None:
    assert held().entry == "q/2/1-1"


def test_retries_are_kept_in_the_options() -> None:
    assert held(retries=2).retries == 2
    assert held(retries=None).retries == 0


def test_options_are_those_of_the_message_that_is_sent_again() -> None:
    message = held()
    message.options["retries"] = 1
    assert message._message.options == {"retries": 1}


def test_plain_is_the_message_itself() -> None:
    found: Message[Any] = Message(queue_name="q", actor_name="a", args=(), kwargs={}, options={})
    assert plain(found) is found
    assert plain(HeldMessage(found, Hold("s", "1-1", "t"))) is found  # type: ignore[arg-type]
