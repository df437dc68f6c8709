"""Messages as they travel."""

from datetime import UTC, datetime
from typing import Any

import dramatiq
import pytest
from dramatiq import Message

from understudy.encoder import MessageEncoder
from understudy.errors import SerializationError

FIELDS: dict[str, Any] = {
    "queue_name": "email",
    "actor_name": "send",
    "args": [datetime(2026, 3, 1, tzinfo=UTC), {"$": "not a tag"}],
    "kwargs": {"blob": b"\x00\xff"},
    "options": {"retries": 1},
    "message_id": "a",
    "message_timestamp": 1_772_366_400_000,
}


def test_a_message_comes_back_as_it_was() -> None:
    encoder = MessageEncoder()
    assert encoder.decode(encoder.encode(FIELDS)) == FIELDS


def test_a_refused_value_is_named_by_its_place_in_the_message() -> None:
    with pytest.raises(SerializationError, match=r"^kwargs\['who'\]\[0\]: is a set, which cannot travel"):
        MessageEncoder().encode({**FIELDS, "kwargs": {"who": [set()]}})


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"\xff", b'"text"', b"null"])
def test_bytes_that_are_no_message_are_a_decode_error(data: bytes) -> None:
    with pytest.raises(dramatiq.DecodeError):
        Message.decode(data)


def test_it_is_dramatiqs_encoder_once_a_broker_is_installed() -> None:
    message: Message[Any] = Message(queue_name="q", actor_name="a", args=(b"1",), kwargs={}, options={})
    assert isinstance(dramatiq.get_encoder(), MessageEncoder)
    assert Message.decode(message.encode()) == message


def test_a_bare_result_travels_too() -> None:
    encoder = MessageEncoder()
    assert encoder.decode(encoder.encode(42)) == 42


@pytest.mark.parametrize("value", [set(), "\ud800", object()])
def test_what_cannot_travel_is_refused_also_when_it_is_empty_or_short(value: object) -> None:
    with pytest.raises(SerializationError):
        MessageEncoder().encode({"it": value})


@pytest.mark.parametrize("value", [2**70, {}, "", "ü", {"a": {}}, 0, None])
def test_a_dict_of_anything_comes_back(value: object) -> None:
    assert MessageEncoder().decode(MessageEncoder().encode({"it": value}))["it"] == value
