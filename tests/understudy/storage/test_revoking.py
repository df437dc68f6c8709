"""What the scripts ``revoke`` and ``revoked`` reply and leave behind."""

from __future__ import annotations

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy.brokers.names import QueueKeys
from understudy.holds import Hold
from understudy.states import State

from .bench import Bench
from .dumps import dump

DAY = 86_400_000


def revoke(
    bench: Bench,
    by: str = "",
    *,
    order: str = "stay",
    claim: str = "",
    seen_to: str = "",
    resent: list[bytes] | None = None,
) -> list[str]:
    keys, queue = bench.keys, bench.queue
    other = QueueKeys(keys.namespace, "other")
    names = [keys.clock, keys.revoked, keys.stopped, keys.state("m"), keys.items("m")]
    names += [keys.claim(claim), keys.claimed_items(claim)]
    for one in (other, queue):
        names += [one.delayed, one.payloads, one.ids]
    args = ["m", order, 7 * DAY, 60_000, "why", keys.channel("m"), keys.revocations, "workers", 2, by, claim, seen_to]
    reply = bench.run("revoke", [*names, *queue.streams], args, resent)
    return [part.decode() for part in reply]


def revoked(bench: Bench, message: str = "", start: int = 0, most: int = 10) -> list[bytes | int]:
    keys = bench.keys
    reply: list[bytes | int] = bench.run("revoked", [keys.clock, keys.revoked, keys.stopped], [message, start, most])
    return reply


ENDED = [b"ended", b"REVOKED"]


def test_a_message_of_which_nothing_is_known_is_revoked_at_once(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    assert revoke(bench, resent=ENDED) == ["revoked", ""]
    record = bench.hash(bench.keys.state("m"))
    assert (record[b"state"], record[b"exception"]) == (b"REVOKED", b"why")
    assert int(record[b"expires_at"]) - int(record[b"done_at"]) == 60_000
    assert bench.client.pttl(bench.keys.state("m")) == pytest.approx(120_000, abs=5_000)
    assert revoked(bench, "m") == [1]
    assert revoked(bench) == [b"m", b"stop"], "a body that begins at this moment is stopped"
    freezer.tick(7 * DAY / 1000)
    assert revoked(bench, "m") == [0]
    assert revoked(bench) == []


def test_every_delayed_copy_goes_and_its_neighbours_stay(bench: Bench) -> None:
    bench.enqueue(bench.later(), bench.later(delay=5), bench.later(b"n", message="n"))
    revoke(bench, resent=ENDED)
    assert bench.client.zcard(bench.queue.delayed) == 1
    assert [value.rpartition(b":")[2] for value in bench.client.hvals(bench.queue.payloads)] == [b"n"]
    assert bench.client.hkeys(bench.queue.ids) == [b"n"]


def test_what_waits_for_a_retry_forgets_what_is_over(bench: Bench) -> None:
    hold = bench.take()
    bench.started(hold)
    bench.settle((hold, [bench.state(State.RETRY, next_run="9", traceback="t"), bench.later()]))
    bench.client.hset(bench.keys.items("m"), "item", "1")
    assert revoke(bench, hold.token, resent=ENDED) == ["revoked", ""]
    record = bench.hash(bench.keys.state("m"))
    assert record[b"state"] == b"REVOKED"
    assert not {b"next_run", b"traceback"} & record.keys()
    assert bench.client.pttl(bench.keys.items("m")) > 0, "what is remembered of items does not stay for ever"


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("order", ["stay", "stop"])
def test_a_body_that_runs_keeps_its_record_and_the_worker_is_told(bench: Bench, tracked: bool, order: str) -> None:
    hold = bench.take()
    bench.started(hold, tracked=tracked)
    before = bench.hash(bench.keys.state("m"))
    assert revoke(bench, hold.token, order=order) == ["running", "STARTED" if tracked else ""]
    assert bench.hash(bench.keys.state("m")) == before
    assert revoked(bench) == [b"m", order.encode()]


def test_a_body_whose_worker_died_does_not_run(bench: Bench) -> None:
    hold = bench.take("dead")
    bench.started(hold, worker="dead")
    bench.reap("dead", resent=[b"reaped", 0])
    assert revoke(bench, hold.token, resent=ENDED) == ["revoked", ""]


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE"])
def test_what_has_ended_is_left_as_it_is_until_its_time_is_over(
    bench: Bench, freezer: FrozenDateTimeFactory, state: str
) -> None:
    bench.settle((bench.take(), [bench.state(State(state), result=b"1")]))
    before = dump(bench.storage)
    assert revoke(bench) == ["ended", state]
    assert dump(bench.storage) == before
    freezer.tick(60)
    assert revoke(bench, resent=ENDED) == ["revoked", ""]
    assert b"result" not in bench.hash(bench.keys.state("m"))


def test_who_looked_before_the_body_began_looks_again(bench: Bench) -> None:
    hold: Hold = bench.take()
    bench.started(hold)
    before = dump(bench.storage)
    assert revoke(bench, "q/2/0-1") == ["again", ""]
    assert revoke(bench, hold.token, claim="k") == ["again", ""]
    assert dump(bench.storage) == before


@pytest.mark.parametrize(
    ("status", "owner", "left"), [("kept", "m", False), ("kept", "n", True), ("running", "m", True)]
)
def test_the_key_that_was_kept_for_its_retry_is_free(bench: Bench, status: str, owner: str, left: bool) -> None:
    bench.client.hset(bench.keys.state("m"), mapping={"state": "RETRY", "claim": "k"})
    bench.client.hset(bench.keys.claim("k"), mapping={"status": status, "owner": owner})
    revoke(bench, claim="k", resent=ENDED)
    assert bool(bench.client.exists(bench.keys.claim("k"))) == left


def test_what_was_done_under_the_key_is_remembered(bench: Bench) -> None:
    bench.client.hset(bench.keys.state("m"), mapping={"state": "RETRY", "claim": "k"})
    bench.client.hset(bench.keys.claim("k"), mapping={"status": "kept", "owner": "m"})
    bench.client.hset(bench.keys.claimed_items("k"), "item", "1")
    revoke(bench, claim="k", resent=ENDED)
    assert bench.hash(bench.keys.claim("k"))[b"status"] == b"free"
    assert bench.client.pttl(bench.keys.claimed_items("k")) > 0


def test_all_are_told_in_pages(bench: Bench) -> None:
    for number in range(5):
        bench.client.zadd(bench.keys.revoked, {f"m{number}": 9e15})
    assert revoked(bench, "", 0, 2)[::2] + revoked(bench, "", 2, 2)[::2] + revoked(bench, "", 4, 2)[::2] == [
        b"m0",
        b"m1",
        b"m2",
        b"m3",
        b"m4",
    ]


def test_what_is_not_tracked_shows_nothing_but_its_delivery(bench: Bench) -> None:
    hold = bench.take()
    bench.started(hold, tracked=False)
    assert bench.hash(bench.keys.state("m")) == {b"v": b"1", b"by": hold.token.encode()}


def test_what_goes_on_in_its_place_is_seen_to_first(bench: Bench) -> None:
    bench.client.hset(bench.keys.state("m"), mapping={"v": 1, "by": "x", "instead": "w.2"})
    before = dump(bench.storage)
    assert revoke(bench, "x") == ["instead", "w.2"]
    assert revoke(bench, "x", seen_to="w.1") == ["instead", "w.2"]
    assert dump(bench.storage) == before
    assert revoke(bench, "x", seen_to="w.2", resent=ENDED) == ["revoked", ""]
