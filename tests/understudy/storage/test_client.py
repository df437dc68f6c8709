"""How the server is reached, and that its silence is never taken for a fact."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pytest
import redis
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.retry import Retry

from understudy.brokers.settlement import SettlingBroker
from understudy.embedded import EmbeddedServer
from understudy.errors import EmbeddedServerError, ServerUnavailable, SettingsError
from understudy.storage.client import NEVER, EmbeddedConnection, Packer, Storage, connect, in_memory

from .scripted import CUT, SILENT, scripted

#: So that a failing test is quick: the time-out of production is seconds.
QUICK: dict[str, Any] = {"socket_timeout": 0.1, "retry": Retry(NoBackoff(), 0), "protocol": 2}


@contextmanager
def storage_at(url: str, **options: Any) -> Iterator[Storage]:
    storage = Storage(connect(url, **{**QUICK, **options}), namespace="test")
    try:
        yield storage
    finally:
        storage.close()


def unavailable(act: Callable[[], Any]) -> str:
    with pytest.raises(ServerUnavailable) as caught:
        act()
    return str(caught.value)


def test_making_a_client_does_no_io(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_io(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("I/O")

    monkeypatch.setattr(socket, "socket", no_io)
    monkeypatch.setattr(EmbeddedServer, "ensure", no_io)
    for client in (connect("redis://192.0.2.1:6379"), connect(None, embedded=EmbeddedServer(tmp_path))):
        Storage(client, namespace="test")
    with pytest.raises(ValueError, match="a url or an embedded server"):
        connect(None)


def test_a_server_that_nobody_runs_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with storage_at(f"redis://:secret@127.0.0.1:{port}") as storage:
        told = unavailable(lambda: storage.call("GET", "a"))
    assert "did not answer (GET)" in told
    assert "see that it runs" in told
    assert "understudy doctor" not in told, "the doctor says this too"
    assert "secret" not in told


def test_a_server_that_never_answers_is_unavailable() -> None:
    with scripted(SILENT) as server, storage_at(server.url) as storage:
        assert "did not answer (read): TimeoutError" in unavailable(lambda: storage.run("read", ["a", "b"]))


def test_a_server_that_does_not_even_accept_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as mute:
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}"
        with storage_at(url) as storage:
            assert "did not answer" in unavailable(lambda: storage.call("PING"))


@pytest.mark.parametrize(
    "reply",
    [
        b"-OOM command not allowed when used memory > 'maxmemory'.",
        b"-READONLY You can't write against a read only replica.",
        b"-NOAUTH Authentication required.",
        b"-WRONGPASS invalid username-password pair or user is disabled.",
        b"-NOPERM this user has no permissions to run the 'evalsha' command",
        b"-LOADING Redis is loading the dataset in memory",
        b"-MISCONF Redis is configured to save RDB snapshots",
        b"-BUSY Redis is busy running a script.",
        b"-MASTERDOWN Link with MASTER is down",
        b"-WRONGTYPE Operation against a key holding the wrong kind of value",
        b"-ERR max number of clients reached",
        b"?nonsense",
    ],
)
def test_whatever_keeps_the_server_from_answering_is_unavailability(reply: bytes) -> None:
    with scripted(reply + b"\r\n") as server, storage_at(server.url) as storage:
        for act in (lambda: storage.call("GET", "a"), lambda: storage.run("read", ["a", "b"])):
            assert "the server " in unavailable(act)


@pytest.mark.brokers("server")
def test_a_wrong_password_and_a_missing_permission_are_unavailability(broker: SettlingBroker, server_url: str) -> None:
    user = f"user-{broker.storage.keys.namespace}"
    broker.storage.call("ACL", "SETUSER", user, "on", ">secret", "~*", "-@all", "+hello", "+client")
    try:
        for password, told in (("secret", "refused (GET): NoPermission"), ("wrong", "refused (GET): Authentication")):
            with storage_at(server_url, username=user, password=password) as storage:
                assert told in unavailable(lambda storage=storage: storage.call("GET", "a"))  # type: ignore[misc]
    finally:
        broker.storage.call("ACL", "DELUSER", user)


def test_a_command_is_resent_when_the_connection_is_lost() -> None:
    with scripted(CUT, b"$1\r\n7\r\n") as server:
        storage = Storage(connect(server.url, protocol=2), namespace="test")
        assert storage.call("GET", "a") == b"7"
        storage.close()
        assert server.received == ["GET", "GET"]


def test_a_value_that_no_server_takes_is_an_error_of_the_program(broker: SettlingBroker) -> None:
    with pytest.raises(redis.DataError):
        broker.storage.call("SET", "a", None)  # type: ignore[arg-type]


def test_a_subscription_that_fails_gives_its_connection_back() -> None:
    with storage_at("redis://127.0.0.1:1", max_connections=1) as storage:
        for _ in range(3):
            told = unavailable(lambda: storage.subscribe("channel"))
            assert "(subscribe)" in told
            assert "Too many connections" not in told


def test_an_exchange_is_announced_before_and_after(broker: SettlingBroker) -> None:
    seen: list[tuple[str, str]] = []
    broker.storage.interceptor = lambda name, when: seen.append((name, when))
    broker.records.read("m")
    broker.storage.call("GET", "a")
    assert seen == [("read", "before"), ("read", "after"), ("GET", "before"), ("GET", "after")]


def test_two_servers_in_memory_do_not_meet() -> None:
    one, other = in_memory(), in_memory()
    one.set("a", 1)
    assert other.get("a") is None


def test_without_the_testing_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    with pytest.raises(SettingsError, match=r"pip install 'understudy\[testing\]'"):
        in_memory()


class _Embedded:
    """An embedded server that counts how often it was asked to run."""

    def __init__(self, url: str, error: Exception | None = None) -> None:
        self.socket_path, self.error, self.asked = Path(unquote(url.removeprefix("unix://"))), error, 0

    def ensure(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error


@pytest.mark.brokers("server")
def test_the_embedded_server_is_seen_to_before_every_connection(broker: SettlingBroker, server_url: str) -> None:
    embedded = _Embedded(server_url)
    client = connect(None, embedded=cast("EmbeddedServer", embedded))
    assert isinstance(client.connection_pool.make_connection(), EmbeddedConnection)
    assert embedded.asked == 0
    assert client.ping()
    client.connection_pool.disconnect()
    assert client.ping()
    assert embedded.asked == 2
    client.close()


@pytest.mark.brokers("server")
def test_the_embedded_server_works_in_a_directory_with_any_name(
    broker: SettlingBroker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Short, so that the socket is not put into /tmp under a plain name.
    directory = tmp_path_factory.mktemp("p") / "my project ü%41"
    embedded = EmbeddedServer(directory, linger=0)
    assert embedded.socket_path.parent == directory
    storage = Storage(connect(None, embedded=embedded), namespace="test")
    try:
        assert storage.call("PING")
        assert storage.address()["path"] == str(embedded.socket_path)
        with storage_at(embedded.url, socket_timeout=5) as by_url:
            assert by_url.call("PING")
    finally:
        storage.close()
        embedded.release()


def test_an_embedded_server_that_cannot_be_started_is_unavailable() -> None:
    embedded = _Embedded("unix:///nowhere", EmbeddedServerError("no valkey-server was found"))
    storage = Storage(connect(None, embedded=cast("EmbeddedServer", embedded)), namespace="test")
    assert "no valkey-server was found" in unavailable(lambda: storage.call("PING"))
    storage.close()


def test_a_helper_process_learns_how_the_server_is_reached() -> None:
    with storage_at("rediss://ada:secret@192.0.2.1:6380/3", ssl_cert_reqs="none") as storage:
        found = storage.address()
    assert {name: found[name] for name in ("host", "port", "db", "username", "password")} == {
        "host": "192.0.2.1",
        "port": 6380,
        "db": 3,
        "username": "ada",
        "password": "secret",
    }
    assert (found["tls"], found["verify"]) == (True, False)
    with storage_at("unix:///run/redis.sock") as storage:
        found = storage.address()
    assert (found["path"], found["db"], found["tls"], found["verify"]) == ("/run/redis.sock", 0, False, True)
    assert "password" not in found


def test_a_blocking_read_is_not_resent_because_its_reply_may_be_lost() -> None:
    with scripted(CUT, b"$1\r\n7\r\n") as server, storage_at(server.url, retry=NEVER) as storage:
        unavailable(lambda: storage.call("XREADGROUP", "a", name="fetch"))
        assert server.received == ["XREADGROUP"]


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "a"),
        ("EVALSHA", "ö", 1, b"\x00\r\n", -1, 0.5, ""),
        ("CONFIG GET", "maxmemory"),
        ("SET", "k", bytearray(b"v")),
    ],
)
def test_commands_are_written_as_the_library_writes_them(command: tuple[Any, ...]) -> None:
    own: list[bytes] = HiredisRespSerializer().pack(*command)
    assert Packer().pack(*command) == own


def test_a_value_that_cannot_be_sent_is_told_apart_from_an_outage() -> None:
    with pytest.raises(redis.DataError):
        Packer().pack("SET", "k", object())
