"""Packed arguments are to a script what its arguments are otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy import Idempotency, actor, handle, progress
from understudy.brokers.redis import RedisBroker
from understudy.storage import packing
from understudy.storage.client import connect
from understudy.storage.packing import UNPACK, packed

Drain = Callable[..., int]

#: Where MessagePack writes lengths of texts, and of lists, in another way.
SIZES = [0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536]
VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.binary(max_size=40),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
ECHO = "return ARGV"


def both(server: Any, args: list[Any]) -> tuple[Any, Any]:
    """What a script sees of ``args``: as they are, and packed."""
    return server.eval(ECHO, 0, *args), server.eval(UNPACK + ECHO, 0, packed(args))


@pytest.fixture
def server(server_url: str) -> Any:
    client = connect(server_url)
    yield client
    client.close()


@given(st.lists(VALUES, min_size=2, max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_script_sees_the_same_packed_or_not(server: Any, args: list[Any]) -> None:
    flat, unpacked = both(server, args)
    assert unpacked == flat


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sign", ["x", "ä", b"x", b"\xff"])
def test_texts_and_bytes_of_any_size_arrive_whole(server: Any, sign: str | bytes, size: int) -> None:
    flat, unpacked = both(server, [sign * size, "end"])
    assert unpacked == flat == [(sign * size).encode() if isinstance(sign, str) else sign * size, b"end"]


@pytest.mark.parametrize("count", [size for size in SIZES if size > 1])
def test_any_number_of_arguments_arrives(server: Any, count: int) -> None:
    args = [str(number) for number in range(count)]
    assert server.eval(UNPACK + "return { #ARGV, ARGV[1], ARGV[#ARGV] }", 0, packed(args)) == [
        count,
        b"0",
        str(count - 1).encode(),
    ]


@pytest.mark.parametrize("odd", [None, True, [1], "\ud800"])
def test_what_cannot_be_sent_is_an_error_of_the_program(odd: Any) -> None:
    with pytest.raises(redis.DataError, match="an argument cannot be sent"):
        packed(["a", odd])


@pytest.mark.brokers("server")
def test_what_most_messages_settle_is_text_before_it_is_packed(
    broker: RedisBroker, drain: Drain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To make text of what is none takes several times as long as to pack it."""
    odd: list[Any] = []

    def element(value: Any) -> str:
        odd.append(value)
        return str(value)

    monkeypatch.setattr(packing, "_element", element)
    monkeypatch.setattr(RedisBroker, "keeps_up", True)

    @actor
    def plain(x: int) -> int:
        return x

    @actor(idempotency=Idempotency(key="{x}"))
    def guarded(x: int) -> int:
        progress.update(x, 7)
        return x

    sent = [one.send(x) for one in (plain, guarded) for x in range(3)]
    drain()
    assert [handle(message).get() for message in sent] == [0, 1, 2, 0, 1, 2]
    assert not odd
