"""The proxy itself: it knows what passes, and cuts where it is told to."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import redis

from tests.chaos.plant import Server
from tests.chaos.proxy import Line, Point, Proxy, proxy
from understudy.errors import ServerUnavailable
from understudy.storage.client import NEVER, Storage


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("proxy") / "server", "everysec")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def line(server: Server) -> Iterator[Proxy]:
    with proxy(server.socket) as made:
        yield made


@pytest.fixture
def client(line: Proxy) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(line.url, retry=NEVER, socket_timeout=0.3) as made:
        made.delete("n")
        yield made


def test_what_passes_is_known_by_the_name_of_its_script_or_command(line: Proxy, client: redis.Redis) -> None:
    Storage(client, namespace="it").run("forget", ["it:state:1"])
    client.xgroup_create("stream", "group", mkstream=True)
    client.xreadgroup("group", "me", {"stream": ">"})
    client.xreadgroup("group", "me", {"stream": "0"})
    assert {"forget", "fetch", "take-up", "xgroup"} <= set(line.requests)


def test_a_large_reply_passes_whole(client: redis.Redis) -> None:
    data = b"\r\n$5\r\n" * 50_000
    client.rpush("large", data, b"", b"x")
    assert client.lrange("large", 0, -1) == [data, b"", b"x"]
    client.delete("large")


@pytest.mark.parametrize(("point", "effect"), [(Point.BEFORE, None), (Point.AFTER, b"1"), (Point.HALF, b"1")])
def test_a_cut_is_made_at_its_point_and_as_often_as_planned(
    point: Point, effect: bytes | None, line: Proxy, client: redis.Redis
) -> None:
    cut = line.cut("incrby", point, first=2, every=2, times=1)
    client.incr("m")
    with pytest.raises(redis.ConnectionError):
        client.incr("n")
    assert client.get("n") == effect
    client.incr("n")
    client.incr("n")
    assert cut.done == 1


def test_a_reply_that_tells_of_no_effect_is_not_cut(line: Proxy, client: redis.Redis) -> None:
    cut = line.cut("forget", Point.AFTER)
    client.script_flush()
    with pytest.raises(ServerUnavailable):
        Storage(client, namespace="it").run("forget", ["it:state:1"])
    # The first reply said that the server does not know the script.
    assert (line.requests["forget"], cut.seen) == (2, 1)


def test_half_a_reply_is_what_the_client_sees(line: Proxy, client: redis.Redis) -> None:
    client.set("long", b"0123456789" * 10)
    line.cut("get", Point.HALF)
    _, _, port = line.url.removesuffix("/0").rpartition(":")
    with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as raw:
        raw.sendall(b"*2\r\n$3\r\nGET\r\n$4\r\nlong\r\n")
        seen = b""
        while part := raw.recv(1_000):
            seen += part
    whole = b"$100\r\n" + b"0123456789" * 10 + b"\r\n"
    assert seen == whole[: len(whole) // 2]


@pytest.mark.parametrize("how", [Line.REFUSING, Line.BLACKHOLE])
def test_a_line_that_failed_works_again_when_it_is_healed(how: Line, line: Proxy, client: redis.Redis) -> None:
    line.fail(how)
    expected = redis.ConnectionError if how is Line.REFUSING else redis.TimeoutError
    for _ in range(2):  # a connection that was there, and a new one
        with pytest.raises(expected):
            client.ping()
    line.heal()
    assert client.ping()
