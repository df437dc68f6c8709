"""What the scripts ``requeue`` and ``purge`` reply and leave behind."""

from __future__ import annotations

import pytest

from .bench import Bench

DAY = 86_400_000
#: In milliseconds; longer ago than any test.
PAST = 1


def die(bench: Bench, *members: str) -> None:
    for member in members:
        bench.client.zadd(bench.queue.dead, {member: 5})
        bench.client.hset(bench.queue.bodies, member, "body")


def requeue(bench: Bench, *, resent: int = 0) -> int:
    queue, keys = bench.queue, bench.keys
    names = [keys.clock, queue.dead, queue.bodies, bench.stream, keys.state("m1"), keys.items("m1")]
    reply: int = bench.run("requeue", names, ["m1|x", "payload", keys.channel("m1"), DAY], resent)
    return reply


def test_a_dead_letter_is_a_message_on_its_stream_again_as_if_never_run(bench: Bench) -> None:
    die(bench, "m1|x", "m2|x")
    assert requeue(bench) == 1
    ((_, fields),) = bench.client.xrange(bench.stream)
    assert fields == {b"m": b"payload", b"d": b"0", b"w": b""}
    assert bench.client.zrange(bench.queue.dead, 0, -1) == bench.client.hkeys(bench.queue.bodies) == [b"m2|x"]


def test_what_is_no_dead_letter_any_more_is_not_requeued(bench: Bench) -> None:
    assert requeue(bench) == 0
    assert bench.client.xlen(bench.stream) == 0


@pytest.mark.parametrize("state", ["FAILURE", "REVOKED"])
def test_the_record_of_its_end_is_forgotten(bench: Bench, state: str) -> None:
    die(bench, "m1|x")
    bench.client.hset(bench.keys.state("m1"), mapping={"state": state, "retries": 3})
    assert requeue(bench) == 1
    assert not bench.client.exists(bench.keys.state("m1"))


def test_a_success_of_the_same_message_is_kept_until_its_time_is_over(bench: Bench) -> None:
    die(bench, "m1|x")
    record = bench.keys.state("m1")
    bench.client.hset(record, mapping={"state": "SUCCESS"})
    assert requeue(bench, resent=-1) == -1
    assert bench.client.zcard(bench.queue.dead) == 1
    bench.client.hset(record, mapping={"expires_at": PAST})
    assert requeue(bench) == 1
    assert not bench.client.exists(record)


def test_a_twin_that_runs_keeps_its_record(bench: Bench) -> None:
    die(bench, "m1|x")
    bench.client.hset(bench.keys.state("m1"), mapping={"state": "PROGRESS"})
    assert requeue(bench) == 1
    assert bench.client.hget(bench.keys.state("m1"), "state") == b"PROGRESS"


@pytest.mark.parametrize(("before", "after"), [(60_000, DAY), (2 * DAY, 2 * DAY), (None, -1)])
def test_items_that_were_done_are_remembered_long_enough(bench: Bench, before: int | None, after: int) -> None:
    die(bench, "m1|x")
    items = bench.keys.items("m1")
    bench.client.hset(items, "a", "1")
    if before is not None:
        bench.client.pexpire(items, before)
    requeue(bench)
    assert bench.client.pttl(items) == pytest.approx(after, abs=10_000 if before else 0)


def test_only_what_is_named_is_purged_and_what_is_gone_does_not_count(bench: Bench) -> None:
    die(bench, "m1|x", "m2|x", "m3|x")
    names = [bench.queue.dead, bench.queue.bodies]
    assert bench.run("purge", names, ["m1|x", "m3|x", "m9|x"], 0) == 2
    assert bench.client.zrange(bench.queue.dead, 0, -1) == bench.client.hkeys(bench.queue.bodies) == [b"m2|x"]
