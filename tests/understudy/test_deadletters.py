from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import actor, client, each, handle
from understudy.brokers.redis import RedisBroker
from understudy.deadletters import PAGE, DeadLetter, DeadLetters, Which, fresh, summary
from understudy.errors import DecodeError, ServerUnavailable
from understudy.holds import GROUP
from understudy.options import Retry
from understudy.testing.faults import Faults

Drain = Callable[..., int]


@pytest.fixture
def letters(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> DeadLetters:
    """In frozen time, on a broker that has two actors which fail."""

    @actor(queue_name="mail")
    def fail(text: str = "no") -> None:
        raise ValueError(text)

    @actor(queue_name="sums")
    def miss(name: str) -> None:
        raise KeyError(name)

    return DeadLetters(broker.storage)


@pytest.fixture
def die(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> Callable[..., str]:
    """Sends a message that fails for good; a second passes. Returns its id."""

    def die(name: str, *args: Any, **options: Any) -> str:
        message = broker.actors[name].send_with_options(args=args, **options)
        drain()
        freezer.tick(1)
        return message.message_id

    return die


Die = Callable[..., str]


def put(
    broker: RedisBroker, at: int, member: str, message: bytes = b"{}", reason: str = "x", queue: str = "mail"
) -> None:
    """A dead letter as the broker writes it."""
    keys = broker.keys_of(queue)
    body = {"message": message, "reason": reason, "stream": keys.streams[0], "entry": "1-0", "deaths": 0}
    broker.storage.call("SADD", broker.storage.keys.queues, queue)
    broker.storage.call("ZADD", keys.dead, at, member)
    broker.storage.call("HSET", keys.bodies, member, msgspec.json.encode(body))


def ids(found: Iterator[DeadLetter]) -> list[str]:
    return [letter.message_id for letter in found]


# -- reading ----------------------------------------------------------------------------------------------------


def test_there_are_none_at_first(letters: DeadLetters) -> None:
    assert letters.queues() == []
    assert list(letters.walk()) == []
    assert letters.find("m1") == []


def test_a_dead_letter_says_what_it_is_and_why_it_is_here(broker: RedisBroker, letters: DeadLetters, die: Die) -> None:
    id = die("fail", "no")
    (letter,) = letters.walk()
    row = summary(letter)
    assert (row["id"], row["queue"], row["actor"]) == (id, "mail", "fail")
    assert (row["exception"], row["reason"], row["deaths"], row["poison"]) == ("ValueError", "ValueError", 0, False)
    assert row["died_at"] == "2026-03-01T12:00:00.000+00:00"
    assert row["worker"] == broker.worker_id
    assert row["size"] == len(letter.payload)


def test_the_newest_of_all_queues_come_first(letters: DeadLetters, die: Die) -> None:
    sent = [die("fail"), die("miss", "a"), die("fail"), die("miss", "b")]
    assert ids(letters.walk()) == sent[::-1]
    assert ids(letters.walk(oldest_first=True)) == sent
    assert ids(letters.walk(Which(queue="sums"))) == [sent[3], sent[1]]


def test_they_are_found_by_queue_actor_exception_reason_and_age(
    letters: DeadLetters, die: Die, freezer: FrozenDateTimeFactory
) -> None:
    first = die("fail")
    freezer.tick(100)
    second = die("miss", "a")
    cases = {
        Which(queue="mail"): [first],
        Which(actor="miss"): [second],
        Which(exception="ValueError"): [first],
        Which(exception="builtins.KeyError"): [second],
        Which(exception="Error"): [],
        Which(reason="key"): [second],
        Which(older_than=60): [first],
        Which(older_than=1_000): [],
        Which(actor="miss", exception="ValueError"): [],
    }
    assert {which: ids(letters.walk(which)) for which in cases} == cases
    assert [Which().everything, Which(queue="mail").everything, Which(older_than=0).everything] == [True, False, False]


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("at", ["all at once", "a few at a time", "one by one"])
def test_page_by_page_each_comes_once(broker: RedisBroker, letters: DeadLetters, at: str, oldest_first: bool) -> None:
    random.seed(1)
    span = {"all at once": 1, "a few at a time": 9, "one by one": 10_000}[at]
    placed = {f"m{number}|x": random.randrange(span) for number in range(3 * PAGE + 1)}
    for member, time in placed.items():
        put(broker, time, member)
    found = list(letters.walk(oldest_first=oldest_first))
    assert sorted(letter.member for letter in found) == sorted(placed)
    times = [placed[letter.member] for letter in found]
    assert times == sorted(times, reverse=not oldest_first)


def test_a_walk_survives_what_others_remove_and_ends_although_others_add(
    broker: RedisBroker, letters: DeadLetters, freezer: FrozenDateTimeFactory
) -> None:
    for number in range(3 * PAGE):
        put(broker, number // 7, f"m{number}|x")
    seen = []
    for letter in letters.walk(oldest_first=True):
        seen.append(letter.member)
        letters.purge([letter])
        freezer.tick(1)
        put(broker, int(freezer().timestamp() * 1000), f"new-{letter.member}")
    assert len(seen) == len(set(seen)) == 3 * PAGE


def test_one_is_found_by_its_id_alone(letters: DeadLetters, die: Die) -> None:
    die("fail", message_id="m1")
    die("fail", message_id="m[1]*")
    assert [letter.message_id for letter in letters.find("m[1]*")] == ["m[1]*"]
    assert [letter.message_id for letter in letters.find("m1", "mail")] == ["m1"]
    assert letters.find("m1", "sums") == letters.find("m?") == letters.find("m") == []


def test_show_gives_the_original_message_whole_with_its_record(letters: DeadLetters, die: Die) -> None:
    id = die("fail", "a text")
    (letter,) = letters.find(id)
    shown = letters.show(letter)
    assert shown["message"]["message_id"] == id
    assert shown["message"]["args"] == ["a text"]
    assert shown["record"]["state"] == "FAILURE"
    assert shown["record"]["exception"] == {"type": "ValueError", "message": "a text"}
    assert "ValueError: a text" in shown["record"]["traceback"]


def test_a_dead_letter_names_exception_and_worker_when_the_record_is_gone(
    broker: RedisBroker, letters: DeadLetters, die: Die
) -> None:
    id = die("fail")
    handle(id).forget()
    (letter,) = letters.find(id)
    assert (letter.exception, letter.worker) == ("ValueError", broker.worker_id)
    assert letters.show(letter)["record"]["known"] is False


def test_a_message_that_cannot_be_read_is_shown_by_its_bytes(
    broker: RedisBroker, letters: DeadLetters, drain: Drain
) -> None:
    broker.ensure_group(broker.keys_of("mail"))
    broker.storage.call("XADD", broker.keys_of("mail").streams[1], "*", "m", b"\x00bad", "d", "0", "w", "")
    drain()
    (letter,) = letters.find("?")
    assert (letter.exception, letter.message_id, letter.actor) == ("DecodeError", "", "")
    assert letter.reason.startswith("cannot be read")
    assert base64.b64decode(letters.show(letter)["message"]) == b"\x00bad"
    assert summary(letter)["id"] is None
    assert letters.requeue(letter) == "requeued"
    drain()
    assert [again.payload for again in letters.find("?")] == [b"\x00bad"]


def test_one_that_no_worker_could_read_is_found_by_an_id_that_is_legible(
    broker: RedisBroker, letters: DeadLetters
) -> None:
    put(broker, 1, "?|mail/1/1-0", b'{"message_id": "m1", "options": {}}', "cannot be read: it is new")
    assert [letter.member for letter in letters.find("m1")] == ["?|mail/1/1-0"]


def test_a_record_of_another_run_says_nothing_of_a_dead_letter(broker: RedisBroker, letters: DeadLetters) -> None:
    put(broker, 1, "m1|mail/1/1-0", b'{"message_id": "m1", "options": {}}', "the reason is long")
    broker.storage.client.hset(broker.storage.keys.state("m1"), mapping={"state": "STARTED", "worker": "w2"})
    (letter,) = letters.find("m1")
    assert (letter.worker, letter.exception) == ("", "")


def test_what_another_version_wrote_is_an_error_that_says_so(broker: RedisBroker, letters: DeadLetters) -> None:
    put(broker, 1, "m1|x")
    broker.storage.call("HSET", broker.keys_of("mail").bodies, "m1|x", "?")
    with pytest.raises(DecodeError, match="update this process"):
        list(letters.walk())


def test_an_outage_is_no_answer(letters: DeadLetters, die: Die, faults: Faults) -> None:
    die("fail")
    with faults.outage(), pytest.raises(ServerUnavailable):
        letters.queues()


# -- requeue ----------------------------------------------------------------------------------------------------


def test_a_requeued_dead_letter_runs_and_succeeds(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    broken = True

    @actor(queue_name="mail", retry=Retry(1, backoff=1, jitter="none"))
    def work(x: int) -> int:
        if broken:
            raise ValueError(x)
        return x

    message = work.send(7)
    drain()
    freezer.tick(5)
    drain()
    letters = DeadLetters(broker.storage)
    (letter,) = letters.walk()
    assert handle(message).status == "FAILURE"
    assert handle(message).retries == 1
    broken = False
    assert letters.requeue(letter) == "requeued"
    assert handle(message).status == "PENDING"
    assert handle(message).traceback is None
    assert list(letters.walk()) == []
    assert broker.storage.call("HLEN", broker.keys_of("mail").bodies) == 0
    drain()
    assert handle(message).get() == 7


def test_it_gets_all_its_retries_again(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    runs = []

    @actor(queue_name="mail", retry=Retry(2, backoff=1, jitter="none"))
    def work() -> None:
        runs.append(1)
        raise ValueError("no")

    def play() -> None:
        for _ in range(4):
            drain()
            freezer.tick(10)

    work.send()
    play()
    assert len(runs) == 3
    letters = DeadLetters(broker.storage)
    (letter,) = letters.walk()
    letters.requeue(letter)
    play()
    assert len(runs) == 6
    assert len(list(letters.walk())) == 1


def test_a_campaign_goes_on_where_it_stopped(broker: RedisBroker, drain: Drain) -> None:
    done: list[str] = []
    broken = True

    @actor(queue_name="mail")
    def campaign(names: list[str]) -> int:
        for name in each(names, key=str):
            if name == "c" and broken:
                raise ConnectionError("no")
            done.append(name)
        return len(done)

    message = campaign.send(["a", "b", "c", "d"])
    drain()
    letters = DeadLetters(broker.storage)
    (letter,) = letters.walk()
    items = broker.storage.keys.items(message.message_id)
    # What is done is remembered for as long as the dead letter can be brought back.
    assert broker.storage.client.pttl(items) > broker.dead_ttl * 1_000
    letters.requeue(letter)
    broken = False
    drain()
    assert done == ["a", "b", "c", "d"]
    assert handle(message).status == "SUCCESS"


def test_a_poison_starts_without_deaths(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    @actor(queue_name="mail")
    def work() -> str:
        return "survived"

    message, keys = work.message(), broker.keys_of("mail")
    broker.ensure_group(keys)
    stream = keys.streams[1]
    # Two workers have died at it; the third one runs it alone and dies, too.
    entry = broker.storage.call("XADD", stream, "*", "m", message.encode(), "d", 2, "w", "second")
    broker.storage.call("XREADGROUP", "GROUP", GROUP, "third", "STREAMS", stream, ">")
    broker.storage.call("HSET", broker.storage.keys.started("third"), f"{stream} {entry.decode()}", "alone")
    drain()
    freezer.tick(10)
    drain()
    assert handle(message).status == "FAILURE"
    letters = DeadLetters(broker.storage)
    (letter,) = letters.walk()
    assert (letter.poison, letter.deaths, letter.exception, letter.worker) == (True, 3, "PoisonMessage", "third")
    assert letters.find(message.message_id) == [letter]
    assert list(letters.walk(Which(exception="PoisonMessage"))) == [letter]
    assert letters.requeue(letter) == "requeued"
    ((_, fields),) = broker.storage.call("XRANGE", stream, "-", "+")
    assert (fields[b"d"], fields[b"w"]) == (b"0", b"")
    drain()
    assert handle(message).get() == "survived"


def test_it_goes_back_to_the_stream_of_its_priority(broker: RedisBroker, letters: DeadLetters, drain: Drain) -> None:
    client.send_with_options("fail", priority=-1)
    drain()
    (letter,) = letters.walk()
    letters.requeue(letter)
    assert [broker.storage.client.xlen(stream) for stream in broker.keys_of("mail").streams] == [1, 0, 0]


def test_what_is_requeued_twice_runs_once(letters: DeadLetters, die: Die, drain: Drain, broker: RedisBroker) -> None:
    die("fail")
    (letter,) = letters.walk()
    assert [letters.requeue(letter), letters.requeue(letter)] == ["requeued", "gone"]
    assert drain() == 1


def test_a_message_that_has_succeeded_since_is_left_alone(
    broker: RedisBroker, letters: DeadLetters, freezer: FrozenDateTimeFactory
) -> None:
    put(broker, 1, "m1|mail/1/1-0", b'{"message_id": "m1", "options": {}}')
    record = broker.storage.keys.state("m1")
    expires = int((freezer().timestamp() + 60) * 1000)
    broker.storage.client.hset(record, mapping={"state": "SUCCESS", "expires_at": expires})
    (letter,) = letters.walk()
    assert letters.requeue(letter) == "succeeded"
    assert list(letters.walk()) == [letter]
    assert handle("m1").status == "SUCCESS"
    freezer.tick(61)
    assert letters.requeue(letter) == "requeued"


def test_a_twin_that_is_on_its_way_keeps_its_record(broker: RedisBroker, letters: DeadLetters) -> None:
    put(broker, 1, "m1|mail/1/1-0", b'{"message_id": "m1", "options": {}}')
    broker.storage.client.hset(broker.storage.keys.state("m1"), mapping={"state": "STARTED"})
    (letter,) = letters.walk()
    assert letters.requeue(letter) == "requeued"
    assert handle("m1").status == "STARTED"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_connection_loses_and_doubles_nothing(
    broker: RedisBroker, letters: DeadLetters, die: Die, faults: Faults, drain: Drain, when: Any
) -> None:
    die("fail")
    (letter,) = letters.walk()
    faults.fail("requeue", when=when)
    with pytest.raises(ServerUnavailable):
        letters.requeue(letter)
    assert letters.requeue(letter) == ("requeued" if when == "before" else "gone")
    assert drain() == 1


def test_only_the_counts_of_earlier_runs_are_taken_off_a_message() -> None:
    wire = b'{"args":[123456789012345678901234567890,1.0,{"$":"new","v":1}],"options":{"retries":3,"x":1.50}}'
    assert fresh(wire) == b'{"args":[123456789012345678901234567890,1.0,{"$":"new","v":1}],"options":{"x":1.50}}'
    assert fresh(b"\x00bad") == b"\x00bad"
    assert fresh(b'{"no": "options"}') == b'{"no": "options"}'


# -- purge ------------------------------------------------------------------------------------------------------


def test_what_is_purged_is_gone_for_good(broker: RedisBroker, letters: DeadLetters, die: Die, drain: Drain) -> None:
    kept = die("miss", "a")
    die("fail")
    die("fail")
    assert letters.purge(letters.walk(Which(queue="mail"))) == 2
    assert ids(letters.walk()) == [kept]
    assert broker.storage.call("HLEN", broker.keys_of("mail").bodies) == 0
    assert drain() == 0


def test_many_are_purged_in_batches_and_those_that_are_gone_do_not_count(
    broker: RedisBroker, letters: DeadLetters, faults: Faults
) -> None:
    for number in range(1_001):
        put(broker, number, f"m{number}|x")
    (one, *_) = letters.walk()
    gone = replace(one, member="gone")
    faults.exchanges.clear()
    assert letters.purge([*letters.walk(), gone]) == 1_001
    assert faults.exchanges.count("purge") == 3
    assert list(letters.walk()) == []


def test_one_whose_time_was_over_has_as_much_of_it_again(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(expires=60)
    def late() -> int:
        if fails.pop():
            raise ValueError
        return 1

    fails = [False, True]
    message, letters = late.send(), DeadLetters(broker.storage)
    drain()
    freezer.tick(3_600)
    (letter,) = letters.walk()
    assert letters.requeue(letter) == "requeued"
    drain()
    assert handle(message).status == "SUCCESS"
