"""An entry that cannot be read stops nobody and keeps nobody waiting."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from understudy import actor, handle
from understudy.brokers.settlement import SettlingBroker

Drain = Callable[..., int]

GARBAGE = b"\x00not a message s3cr3t"


def put(broker: SettlingBroker, data: bytes) -> None:
    if hasattr(broker, "dead_letters"):
        broker.queues["default"].put(data)
    else:
        queue = f"{broker.storage.keys.namespace}:queue:default"
        broker.storage.client.hset(f"{queue}.msgs", "bad", data)
        broker.storage.client.rpush(queue, "bad")


def buried(broker: SettlingBroker) -> list[bytes]:
    if hasattr(broker, "unreadable"):
        return list(broker.unreadable)
    return list(broker.storage.client.hvals(f"{broker.storage.keys.namespace}:queue:default.XQ.msgs"))  # type: ignore[arg-type]


def test_what_cannot_be_read_is_kept_with_its_bytes_and_the_others_go_on(
    broker: SettlingBroker, drain: Drain, caplog: pytest.LogCaptureFixture
) -> None:
    @actor
    def body(x: int) -> int:
        return x

    first = body.send(1)
    put(broker, GARBAGE)
    second = body.send(2)
    drain()
    assert [handle(first).get(), handle(second).get()] == [1, 2]
    assert buried(broker) == [GARBAGE]
    assert "cannot be read" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_whoever_waits_for_it_is_told(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def body(x: object) -> None: ...

    wire = msgspec.json.decode(body.message(1).encode())
    wire["args"] = [{"$": "from-the-future", "v": 1}]
    put(broker, msgspec.json.encode(wire))
    drain()
    found = handle(str(wire["message_id"]))
    assert found.status == "FAILURE"
    assert "newer version" in str(found.result)
