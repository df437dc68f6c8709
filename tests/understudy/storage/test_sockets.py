"""Connections that let go of the interpreter seldom still notice what others notice."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory
from redis._parsers.hiredis import _HiredisParser

from understudy.errors import ServerUnavailable
from understudy.storage.client import NEVER, Storage, connect
from understudy.storage.sockets import FRESH, KernelTimed, Quiet

from .scripted import CUT, SILENT, scripted

OK = b"+OK\r\n"


def only_connection(client: Any) -> Quiet:
    (connection,) = client.connection_pool._available_connections
    assert isinstance(connection, Quiet)
    return connection


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Each look whether there is something to read, by its time-out."""
    found: list[float] = []
    can_read = _HiredisParser.can_read

    def looked(self: Any, timeout: float = 0) -> bool:
        found.append(timeout)
        return can_read(self, timeout)

    monkeypatch.setattr(_HiredisParser, "can_read", looked)
    return found


def test_the_kernel_minds_the_time_out(server_url: str) -> None:
    client = connect(server_url)
    client.ping()
    wire: Any = only_connection(client)._sock
    assert isinstance(wire, KernelTimed)
    assert wire.gettimeout() is None, "Python polls before each call where it is not None"
    client.close()


def test_what_gives_another_time_out_for_a_moment_gives_back_the_kernels() -> None:
    here, there = socket.socketpair()
    here.settimeout(5)
    wire = KernelTimed.of(here)
    with wire, there:
        wire.settimeout(0)
        with pytest.raises(BlockingIOError):
            wire.recv_into(bytearray(1))
        wire.settimeout(0.01)
        with pytest.raises(TimeoutError):
            wire.recv_into(bytearray(1))
        wire.settimeout(5)
        assert wire.gettimeout() is None


def test_reading_and_writing_end_with_the_time_out() -> None:
    here, there = socket.socketpair()
    here.settimeout(0.05)
    wire = KernelTimed.of(here)
    with wire, there:
        with pytest.raises(TimeoutError):
            wire.recv_into(bytearray(1))
        with pytest.raises(TimeoutError):
            wire.sendall(bytes(10_000_000))


def test_no_time_out_is_none() -> None:
    here, there = socket.socketpair()
    with KernelTimed.of(here) as wire, there:
        seconds = wire.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
        assert seconds == bytes(16)


@pytest.mark.parametrize("reply", [SILENT, CUT])
def test_a_silent_server_and_a_cut_connection_are_told_apart(reply: bytes | None) -> None:
    with scripted(reply) as server:
        storage = Storage(connect(server.url, socket_timeout=0.1, retry=NEVER, protocol=2), namespace="test")
        with pytest.raises(ServerUnavailable, match="TimeoutError" if reply is SILENT else "ConnectionError"):
            storage.call("GET", "a")
        storage.close()


def test_a_connection_that_was_used_just_now_is_not_looked_at(
    server_url: str, looks: list[float], freezer: FrozenDateTimeFactory
) -> None:
    client = connect(server_url)
    client.ping()
    looks.clear()
    for _ in range(5):
        client.ping()
    assert looks == []
    freezer.tick(FRESH)
    client.ping()
    assert looks == [0]
    client.close()


def test_a_connection_that_was_cut_while_it_lay_there_is_made_anew() -> None:
    for retries in ({}, {"retry": NEVER}):
        with scripted(OK, CUT, OK) as server:
            client = connect(server.url, protocol=2, **retries)  # type: ignore[arg-type]
            storage = Storage(client, namespace="test")
            assert storage.call("FIRST") == b"OK"
            wire: Any = only_connection(client)._sock
            # The server has hung up. A command that is sent again does not notice; one that is not does so once.
            wire.shutdown(socket.SHUT_RDWR)
            server.replies[:] = [OK]
            if retries:
                with pytest.raises(ServerUnavailable):
                    storage.call("SECOND")
            assert storage.call("THIRD") == b"OK"
            storage.close()


def test_what_is_said_on_a_channel_is_heard_at_once_also_without_waiting(server_url: str) -> None:
    client: Any = connect(server_url)
    heard = client.pubsub(ignore_subscribe_messages=False)
    heard.subscribe("news")
    assert heard.get_message(timeout=5)["type"] == "subscribe"
    client.publish("news", "one")
    found = None
    while found is None:
        found = heard.get_message(timeout=0)
    assert found["data"] == b"one"
    heard.close()
    client.close()


def test_over_tls_redis_py_minds_the_time() -> None:
    client = connect("rediss://192.0.2.1:6379")
    assert not issubclass(client.connection_pool.connection_class, Quiet)
    client.close()
