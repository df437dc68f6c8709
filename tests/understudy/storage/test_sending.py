"""enqueue and promote."""

from __future__ import annotations

from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy.brokers.names import HIGH, LOW, QueueKeys
from understudy.errors import ServerUnavailable

from .bench import Bench
from .dumps import dump
from .injected import Injected


def delayed(bench: Bench) -> list[bytes]:
    """The payloads of delayed messages, the earliest first."""
    client, queue = bench.client, bench.queue
    payloads = client.hgetall(queue.payloads)
    return [payloads[member].partition(b":")[2] for member in client.zrange(queue.delayed, 0, -1)]


def test_messages_are_accepted_together_and_in_order(bench: Bench) -> None:
    assert bench.enqueue(bench.add(b"a"), bench.add(b"urgent", HIGH), bench.add(b"b")) == 1
    assert bench.waiting() == [b"a", b"b"]
    assert bench.waiting(bench.queue.streams[HIGH - 1]) == [b"urgent"]
    entry = bench.client.xrange(bench.stream)[0][1]
    assert entry == {b"m": b"a"}


def test_the_same_call_is_accepted_once_and_the_next_of_its_lane_again(bench: Bench) -> None:
    for token in ("t1", "t2"):
        assert bench.enqueue(bench.add(), token=token) == 1
    assert bench.enqueue(bench.add(), token="t2", lane="another thread") == 1
    assert bench.waiting() == [b"next"] * 3


def test_a_delayed_message_is_found_by_its_id_also_when_the_id_waits_twice(bench: Bench) -> None:
    bench.enqueue(bench.later(b"one", delay=5), bench.later(b"two", delay=1), bench.later(b"three", message="other"))
    assert delayed(bench) == [b"two", b"one", b"three"]
    members = bench.hash(bench.queue.ids)
    assert [len(members[name].split()) for name in (b"m", b"other")] == [2, 1]
    assert set(members[b"m"].split()) | {members[b"other"]} == set(bench.hash(bench.queue.payloads))


def test_sleepers_are_woken_by_a_message_that_is_due_before_all_others_only(bench: Bench) -> None:
    pubsub = bench.storage.subscribe(bench.keys.wake)
    for delay in (60, 90, 60, 59):
        bench.enqueue(bench.later(delay=delay))
    told = [message["data"] for _ in range(9) if (message := pubsub.get_message(timeout=0.05))]
    pubsub.close()
    start = int(bench.client.get(bench.keys.clock) or 0)
    assert told == [str(start + seconds * 1000).encode() for seconds in (60, 59)]


def test_the_note_of_what_a_producer_sent_last_expires(bench: Bench) -> None:
    bench.enqueue(bench.add())
    assert bench.client.pttl(bench.keys.producer("p")) > 0


@pytest.mark.parametrize("spoilt", ["payloads", "ids", "delayed", "stream"])
def test_where_a_key_holds_something_else_no_message_of_the_call_is_accepted(bench: Bench, spoilt: str) -> None:
    bench.spoil(getattr(bench, spoilt, "") or getattr(bench.queue, spoilt))
    before = dump(bench.storage)
    with pytest.raises(ServerUnavailable, match=r"refused.*WRONGTYPE"):
        bench.enqueue(bench.add(b"a", HIGH), bench.later(), bench.add(b"b"))
    assert dump(bench.storage) == before


def test_a_message_is_promoted_exactly_when_it_is_due(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    assert bench.promote() == [0, -1]
    bench.enqueue(bench.later(b"a", delay=5), bench.later(b"b", delay=9, level=LOW))
    freezer.tick(4.999)
    assert bench.promote() == [0, 1]
    freezer.tick(0.001)
    assert bench.promote(resent=[0, 4000]) == [1, 4000]
    assert bench.waiting() == [b"a"]
    assert bench.client.xrange(bench.stream)[0][1] == {b"m": b"a"}
    freezer.tick(4)
    assert bench.promote(resent=[0, -1]) == [1, -1]
    assert bench.waiting(bench.queue.streams[LOW - 1]) == [b"b"]
    for key in (bench.queue.delayed, bench.queue.payloads, bench.queue.ids):
        assert not bench.client.exists(key), "nothing is left of what was promoted"


def test_promotion_is_bounded_and_says_when_more_is_due(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    bench.enqueue(*(bench.later(str(n).encode(), delay=n) for n in (1, 2, 3)))
    freezer.tick(10)
    assert bench.storage.run("promote", _names(bench), [2]) == [2, 0]
    assert bench.waiting() == [b"1", b"2"]
    assert len(bench.hash(bench.queue.ids)[b"m"].split()) == 1, "the other two are not found by the id any more"
    assert bench.storage.run("promote", _names(bench), [2]) == [1, -1]
    assert bench.waiting() == [b"1", b"2", b"3"]


def test_queues_are_promoted_together_and_the_bound_is_for_all_of_them(
    bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    other = QueueKeys(bench.keys.namespace, "other")
    bench.enqueue(*(bench.later(str(n).encode(), delay=n) for n in (1, 2, 9)))
    first, bench.queue = bench.queue, other
    bench.enqueue(*(bench.later(str(n).encode(), delay=n, message="m2") for n in (1, 2, 5)))
    freezer.tick(3)
    names = [bench.keys.clock, *other.promoted, *first.promoted]
    assert bench.storage.run("promote", names, [3]) == [3, 0], "one of the second queue is still due"
    assert (bench.waiting(other.streams[1]), bench.waiting(first.streams[1])) == ([b"1", b"2"], [b"1"])
    assert bench.storage.run("promote", names, [3]) == [1, 2000], "the soonest is that of the first queue"
    assert bench.waiting(first.streams[1]) == [b"1", b"2"]


def test_an_id_that_contains_what_members_are_made_of_is_promoted_too(
    bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    bench.enqueue(bench.later(b"a:b|c", delay=1, message="x|y|z"))
    freezer.tick(1)
    bench.promote(resent=[0, -1])
    assert bench.waiting() == [b"a:b|c"]
    assert not bench.client.exists(bench.queue.ids)


def test_what_lost_its_payload_does_not_hold_up_the_others(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    bench.enqueue(bench.later(b"a", delay=1))
    bench.client.delete(bench.queue.payloads)
    bench.enqueue(bench.later(b"b", delay=2, message="other"))
    freezer.tick(2)
    assert bench.promote(resent=[0, -1]) == [2, -1]
    assert bench.waiting() == [b"b"]


def test_a_message_whose_stream_is_spoilt_stays_delayed(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    bench.enqueue(bench.later(delay=1))
    bench.spoil(bench.stream)
    freezer.tick(1)
    before = dump(bench.storage)
    with pytest.raises(ServerUnavailable, match="WRONGTYPE"):
        bench.promote()
    assert dump(bench.storage) == before


def _names(bench: Bench) -> list[str]:
    return [bench.keys.clock, *bench.queue.promoted]


def test_one_message_is_accepted_once_however_often_the_call_is_resent(bench: Bench) -> None:
    producer = bench.keys.producer("p")
    for token, answer in (("1", 1), ("1", 0), ("2", 1), ("2", 0)):
        assert bench.storage.run("send", [producer, bench.stream], ["lane", token, b"x"]) == answer
    assert bench.storage.run("send", [producer, bench.stream], ["another lane", "2", b"y"]) == 1
    assert bench.waiting() == [b"x", b"x", b"y"]
    assert bench.client.pttl(producer) > 0


@pytest.mark.parametrize("which", ["producer", "stream"])
def test_one_message_is_not_accepted_where_a_key_holds_something_else(bench: Bench, which: str) -> None:
    producer = bench.keys.producer("p")
    wrong = producer if which == "producer" else bench.stream
    bench.client.set(wrong, "x")
    before = dump(bench.storage)
    for _ in range(2):
        with pytest.raises(ServerUnavailable, match="WRONGTYPE"):
            bench.storage.run("send", [producer, bench.stream], ["lane", "1", b"x"])
    assert dump(bench.storage) == before


@pytest.mark.parametrize("script", ["send", "enqueue"])
def test_a_copy_of_an_earlier_call_that_comes_late_is_not_accepted_again(bench: Bench, script: str) -> None:
    producer = bench.keys.producer("p")
    answers = []
    for token in (1, 2, 1, 2, 3):
        if script == "send":
            answers.append(bench.storage.run("send", [producer, bench.stream], ["lane", token, b"x"]))
        else:
            answers.append(bench.enqueue(bench.add(b"x"), token=str(token)))
    assert answers == [1, 1, 0, 0, 1]
    assert bench.waiting() == [b"x"] * 3


def send(bench: Bench, token: int, *payloads: bytes) -> Any:
    return bench.run("send", [bench.keys.producer("p"), bench.stream], ["1", token, *payloads], resent=0)


def test_messages_of_one_stream_are_accepted_together_and_once(bench: Bench) -> None:
    assert send(bench, 1, b"a", b"b", b"c") == 1
    assert send(bench, 2, b"d") == 1
    assert bench.waiting() == [b"a", b"b", b"c", b"d"]
    assert bench.client.xrange(bench.stream)[0][1] == {b"m": b"a"}


def test_whichever_call_fails_all_of_one_stream_are_accepted_or_none(bench: Bench) -> None:
    failed = []
    for nth in (1, 2, 3, 4):
        injected = Injected(bench.storage, "send", nth=nth)
        with pytest.raises(ServerUnavailable):
            send(bench, nth, b"a", b"b", b"c")
        failed.append(injected.failed())
        assert bench.waiting() == []
    assert failed == ["call HGET", *["pcall XADD"] * 3]
