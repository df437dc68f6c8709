from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from understudy import client, clock, progress
from understudy.actors import actor
from understudy.brokers.settlement import SettlingBroker
from understudy.cli.watch import LOOK_AGAIN, Watch
from understudy.records import Record, Records
from understudy.storage.client import Storage, connect

Drain = Callable[..., int]

pytestmark = pytest.mark.brokers("server")


@pytest.fixture
def records(broker: SettlingBroker, server_url: str) -> Iterator[Records]:
    """Of another process, as it were."""
    storage = Storage(connect(server_url), namespace=broker.storage.keys.namespace)
    yield Records(storage)
    storage.close()


@pytest.fixture
def work(broker: SettlingBroker) -> None:
    @actor(queue_name="mail", broker=broker)
    def work(fails: bool = False) -> None:
        progress.update(1, 2)
        if fails:
            raise ValueError("no")


def send(message_id: str, *args: object) -> None:
    client.send_with_options("work", args=args, queue_name="mail", message_id=message_id)


@pytest.mark.usefixtures("work")
def test_a_watch_ends_when_all_have_ended(records: Records, drain: Drain) -> None:
    watch = Watch(records, ["m1", "m2", "m1"])
    assert watch.ids == ["m1", "m2"]
    send("m1")
    send("m2")
    looks = watch.changes()
    assert next(looks) == ["m1", "m2"]
    assert (watch.over, watch.succeeded) == (False, False)
    drain()
    assert sorted(id for changed in looks for id in changed) == ["m1", "m2"]
    assert (watch.over, watch.succeeded) == (True, True)


@pytest.mark.usefixtures("work")
def test_a_watch_of_a_failure_is_over_and_did_not_succeed(records: Records, drain: Drain) -> None:
    send("m1", True)
    drain()
    watch = Watch(records, ["m1"])
    assert list(watch.changes()) == [["m1"]]
    assert (watch.over, watch.succeeded) == (True, False)


@pytest.mark.usefixtures("work")
def test_a_change_is_told_and_not_waited_for(records: Records, drain: Drain) -> None:
    send("m1")
    watch = Watch(records, ["m1"])
    looks = watch.changes()
    next(looks)
    begun = clock.monotonic()
    ended = threading.Event()

    def follow() -> None:
        for _ in looks:
            pass
        ended.set()

    follower = threading.Thread(target=follow)
    follower.start()
    drain()
    assert ended.wait(10)
    follower.join()
    assert watch.succeeded
    assert clock.monotonic() - begun < LOOK_AGAIN


def test_a_watch_of_what_never_happens_ends_with_its_time(records: Records) -> None:
    watch = Watch(records, ["nobody"])
    assert list(watch.changes(timeout=0.05)) == [["nobody"]]
    assert not watch.over


@pytest.mark.usefixtures("work")
def test_an_end_that_was_seen_is_kept_although_it_is_forgotten(records: Records, drain: Drain) -> None:
    send("m1")
    drain()
    watch = Watch(records, ["m1"])
    watch.read()
    records.forget("m1")
    assert watch.read() == []
    assert watch.succeeded


@pytest.mark.usefixtures("work")
def test_only_those_that_were_told_of_are_read(records: Records, drain: Drain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch of a thousand messages does not read all of them whenever one says something."""
    reads: list[str] = []
    real = records.read

    def read(message_id: str) -> Record:
        reads.append(message_id)
        return real(message_id)

    monkeypatch.setattr(records, "read", read)
    watch = Watch(records, [f"m{n}" for n in range(50)])
    looks = watch.changes(timeout=LOOK_AGAIN / 2)
    assert next(looks) == watch.ids
    reads.clear()
    send("m7")
    drain()
    assert next(looks) == ["m7"]
    assert set(reads) == {"m7"}


def test_a_change_that_nobody_told_of_is_found_a_little_later(records: Records) -> None:
    storage = records.storage
    watch = Watch(records, ["m1", "m2"])
    looks = watch.changes()
    next(looks)
    storage.client.hset(storage.keys.state("m2"), mapping={"state": "SUCCESS", "result": "1"})
    assert next(looks) == ["m2"]
