"""An entry that cannot be read stops nobody and keeps nobody waiting."""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec
import pytest

from tests.understudy.brokers.helpers import dead_letters, put
from understudy import actor, handle
from understudy.brokers.redis import RedisBroker

Drain = Callable[..., int]

GARBAGE = b"\x00not a message s3cr3t"


def test_what_cannot_be_read_is_kept_with_its_bytes_and_the_others_go_on(
    broker: RedisBroker, drain: Drain, caplog: pytest.LogCaptureFixture
) -> None:
    @actor
    def body(x: int) -> int:
        return x

    first = body.send(1)
    put(broker, GARBAGE)
    second = body.send(2)
    drain()
    assert [handle(first).get(), handle(second).get()] == [1, 2]
    assert [base64.b64decode(letter["message"]) for letter in dead_letters(broker)] == [GARBAGE]
    assert broker.size("default") == 0
    assert "cannot be read" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_whoever_waits_for_it_is_told(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body(x: object) -> None: ...

    wire = msgspec.json.decode(body.message(1).encode())
    wire["args"] = [{"$": "from-the-future", "v": 1}]
    put(broker, msgspec.json.encode(wire))
    drain()
    found = handle(str(wire["message_id"]))
    assert found.status == "FAILURE"
    assert "newer version" in str(found.result)
