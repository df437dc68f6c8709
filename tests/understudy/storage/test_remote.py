from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from understudy.errors import ServerUnavailable
from understudy.storage.client import Storage, in_memory
from understudy.storage.remote import RemoteStorage


@pytest.fixture
def server() -> Iterator[Storage]:
    made = Storage(in_memory(), namespace="there", can_wait=False)
    yield made
    made.close()


@pytest.fixture
def remote(server: Storage) -> RemoteStorage:
    def ask(what: str, *args: Any) -> Any:
        if what == "run":
            return server.run(*args[:3], called=args[3])
        return server.call(*args[0], name=args[1], insist=args[2])

    return RemoteStorage(ask, namespace="there")


def test_exchanges_happen_there_and_keys_are_the_same(remote: RemoteStorage, server: Storage) -> None:
    assert remote.keys.leases == server.keys.leases
    assert remote.call("SET", "a", 1)
    assert server.call("GET", "a") == b"1"
    assert remote.run("forget", ["a"]) == 1
    assert remote.can_wait


def test_its_client_asks_too(remote: RemoteStorage, server: Storage) -> None:
    remote.client.set("a", 1)
    assert server.call("GET", "a") == b"1"
    pipeline: Any = remote.client.pipeline(transaction=False)
    pipeline.get("a")
    pipeline.hmget("b", "x", "y")
    assert pipeline.execute() == [b"1", [None, None]]
    assert pipeline.execute() == []
    assert remote.client.scan(0)[1] == [b"a"]


def test_an_error_in_a_pipeline_is_raised_or_given(remote: RemoteStorage) -> None:
    remote.client.set("a", 1)
    for raises in (True, False):
        pipeline: Any = remote.client.pipeline()
        pipeline.lpush("a", 1)
        pipeline.get("a")
        if raises:
            with pytest.raises(ServerUnavailable, match="WRONGTYPE"):
                pipeline.execute()
        else:
            error, value = pipeline.execute(raise_on_error=False)
            assert (type(error), value) == (ServerUnavailable, b"1")


def test_whoever_waits_hears_nothing_and_looks_again_soon(remote: RemoteStorage) -> None:
    channel = remote.subscribe("channel")
    assert channel.get_message(timeout=60.0) is None
    channel.close()


def test_what_needs_a_connection_says_what_to_do(remote: RemoteStorage) -> None:
    with pytest.raises(RuntimeError, match='isolation="thread"'):
        remote.client.pubsub()  # type: ignore[no-untyped-call]
    with pytest.raises(RuntimeError, match="no connection"):
        remote.address()
    remote.close()
