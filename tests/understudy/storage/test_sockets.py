"""Connections that let go of the interpreter seldom still notice what others notice."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from freezegun.api import FrozenDateTimeFactory
from redis._parsers.hiredis import _HiredisParser

from understudy.errors import ServerUnavailable
from understudy.storage.client import NEVER, READING, Storage, connect
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
        assert seconds_of(wire) == (5, 0)


def seconds_of(wire: socket.socket) -> tuple[int, int]:
    seconds, micros = struct.unpack("ll", wire.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))
    return seconds, micros


def test_the_shortest_time_out_is_not_for_ever() -> None:
    here, there = socket.socketpair()
    here.settimeout(1e-9)
    with KernelTimed.of(here) as wire, there:
        assert seconds_of(wire) > (0, 0)
        with pytest.raises(TimeoutError):
            wire.recv_into(bytearray(1))


def test_a_time_out_may_change_while_another_thread_reads() -> None:
    """redis-py does that to connections in use when a server says that it moves. One that did not block any more would
    spin."""
    here, there = socket.socketpair()
    here.settimeout(5)
    with KernelTimed.of(here) as wire, there:
        for seconds in (3, None, 0.5):
            wire.settimeout(seconds)
            assert os.get_blocking(wire.fileno())


@pytest.fixture
def client(server_url: str) -> Iterator[Any]:
    client = connect(server_url)
    yield client
    client.close()


@pytest.mark.parametrize("scheme", ["unix", "redis"])
def test_a_reply_that_nobody_has_read_is_not_that_of_the_next_command(server_url: str, scheme: str) -> None:
    """The exception of a time limit comes from outside, and may come between the two."""
    with scripted(b"+LOST\r\n", b"+MINE\r\n") as server:
        client: Any = connect(server_url if scheme == "unix" else server.url, protocol=2)
        client.echo("before") if scheme == "unix" else client.execute_command("BEFORE")
        connection = client.connection_pool.get_connection()
        connection.send_command("ECHO", "lost")
        client.connection_pool.release(connection)
        if scheme == "unix":
            assert client.echo("mine") == b"mine"
        else:
            server.replies[:] = [b"+MINE\r\n"]
            assert client.execute_command("NEXT") == b"MINE"
        client.close()


def test_a_pipeline_owes_a_reply_for_each_of_its_commands(client: Any) -> None:
    client.ping()
    connection = only_connection(client)
    pipeline = client.pipeline(transaction=False)
    for text in "abc":
        pipeline.echo(text)
    assert pipeline.execute() == [b"a", b"b", b"c"]
    assert connection.owes == 0
    lent: Any = client.connection_pool.get_connection()
    lent.send_packed_command(lent.pack_commands([("ECHO", "a"), ("ECHO", "b")]))
    assert lent.read_response() == b"a"
    assert lent.owes == 1
    client.connection_pool.release(lent)
    assert client.echo("mine") == b"mine"


def test_an_error_is_a_reply(client: Any) -> None:
    client.ping()
    connection = only_connection(client)
    with pytest.raises(redis.ResponseError):
        client.execute_command("NONSENSE")
    assert only_connection(client) is connection
    wire: Any = connection._sock
    assert wire is not None, "it is not made anew for that"


def test_what_is_no_socket_of_the_kernels_is_left_alone(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Green:
        """As gevent's, which holds one and is none."""

    monkeypatch.setattr(redis.UnixDomainSocketConnection, "_connect", lambda self: Green())
    client = connect(server_url)
    assert isinstance(client.connection_pool.make_connection()._connect(), Green)  # type: ignore[attr-defined]


def test_only_who_reads_much_has_memory_for_it(server_url: str) -> None:
    sizes = [client.connection_pool.make_connection()._parser.socket_read_size for client in both(server_url)]
    assert sizes[0] < 100_000 < sizes[1]


def both(url: str) -> tuple[Any, Any]:
    return connect(url), connect(url, **READING)


def test_a_connection_class_of_ones_own_is_used() -> None:
    class Own(redis.Connection):
        pass

    client = connect("redis://192.0.2.1", connection_class=Own)
    assert client.connection_pool.connection_class is Own


def test_a_client_may_have_one_connection(server_url: str) -> None:
    for single in (False, True):
        client: Any = connect(server_url, single_connection_client=single)
        assert client.ping()
        assert (client.connection is not None) == single
        client.close()


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
