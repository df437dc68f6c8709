"""claim: what it replies, and when it lets somebody in. The state machine stands in ``test_records.py``."""

from __future__ import annotations

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy.states import State

from .bench import BELIEVED, Bench
from .dumps import dump


def test_a_free_key_is_claimed_and_a_live_twin_finds_it_busy_for_as_long_as_it_is_held(
    bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    first, twin = bench.take(), bench.take("w2")
    assert bench.claim(first, "m1") == [b"run", b""]
    for _ in range(3):
        freezer.tick(86_400)
        assert bench.claim(twin, "m2") == [b"busy", b"m1", -1], "however long it runs"
    assert bench.claim(first, "m1") == [b"run", b""]


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_the_liveness_of_a_holder_is_looked_up_in_its_own_stream(bench: Bench, stream: int) -> None:
    holder = bench.take(stream=bench.queue.streams[stream])
    bench.claim(holder, "m1")
    assert bench.claim(bench.take("w2"), "m2")[0] == b"busy"
    bench.client.xack(holder.stream, "workers", holder.entry)
    assert bench.claim(bench.take("w2"), "m2") == [b"takeover", b"m1"]


def test_whoever_comes_after_a_dead_holder_takes_over_and_hears_so_however_often_it_asks(bench: Bench) -> None:
    dead = bench.take()
    bench.claim(dead, "m1")
    bench.reap(resent=[b"reaped", 0])
    again, twin = bench.taken("w2"), bench.take("w3")
    assert bench.claim(again, "m1") == [b"takeover", b"m1"]
    assert bench.claim(twin, "m2") == [b"busy", b"m1", -1]
    assert bench.claim(again, "m1") == [b"takeover", b"m1"]


def test_the_holder_of_the_same_message_is_busy_too(bench: Bench) -> None:
    bench.claim(bench.take(), "m1")
    assert bench.claim(bench.take("w2"), "m1") == [b"busy", b"m1", -1]


def test_a_holder_in_another_queue_is_believed_for_a_time(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    other = Bench(bench.storage, "q.other")
    bench.claim(bench.take(), "m1")
    twin = other.take()
    freezer.tick(BELIEVED / 1000 - 0.001)
    assert other.claim(twin, "m2") == [b"busy", b"m1", -1]
    freezer.tick(0.001)
    assert other.claim(twin, "m2") == [b"takeover", b"m1"]


def test_a_queue_whose_name_has_the_signs_of_a_pattern_finds_its_own_holders(bench: Bench) -> None:
    odd = Bench(bench.storage, "q-%.1")
    odd.claim(odd.take(), "m1")
    assert odd.claim(odd.take("w2"), "m2")[0] == b"busy"
    odd.reap(resent=[b"reaped", 0])
    assert odd.claim(odd.taken("w2"), "m2") == [b"takeover", b"m1"]


def test_a_holder_whose_group_is_gone_is_dead(bench: Bench) -> None:
    bench.claim(bench.take(stream=bench.queue.streams[0]), "m1")
    twin = bench.take("w2")
    bench.client.delete(bench.queue.streams[0])
    assert bench.claim(twin, "m2") == [b"takeover", b"m1"]


def test_a_done_claim_answers_until_exactly_the_end_of_its_ttl(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    first = bench.take()
    bench.claim(first, "m1")
    ops = [bench.marks(first, {"ada": "1"}, scope="key:k", ttl=60), bench.claimed(first, "complete")]
    assert bench.settle((first, ops)) == "c"
    twin = bench.take("w2")
    freezer.tick(59.999)
    assert bench.claim(twin, "m2") == [b"done", b"m1", b"42"]
    assert bench.hash(bench.keys.claimed_items("k")) == {b"ada": b"1"}
    freezer.tick(0.001)
    assert bench.claim(twin, "m2") == [b"run", b""]
    assert not bench.client.exists(bench.keys.claimed_items("k")), "they end with the outcome they made"


def test_a_kept_claim_waits_for_its_own_message(bench: Bench, freezer: FrozenDateTimeFactory) -> None:
    first = bench.take()
    bench.claim(first, "m1")
    assert bench.settle((first, [bench.claimed(first, "keep")])) == "c"
    freezer.tick(59)
    assert bench.claim(bench.take("w2"), "m2") == [b"busy", b"m1", 1000]
    assert bench.claim(bench.take("w3"), "m1") == [b"run", b""]


def test_a_kept_claim_whose_message_vanished_is_free_at_its_deadline(
    bench: Bench, freezer: FrozenDateTimeFactory
) -> None:
    first = bench.take()
    bench.claim(first, "m1")
    bench.settle((first, [bench.claimed(first, "keep")]))
    freezer.tick(60)
    assert bench.claim(bench.take(), "m2") == [b"run", b""]


@pytest.mark.parametrize("action", ["keep", "undo"])
def test_a_claim_whose_answer_was_lost_is_undone_and_leaves_a_doubt_as_it_was(bench: Bench, action: str) -> None:
    """``keep`` is of a body that ran: who comes next goes on; ``undo`` of one that did not."""
    bench.claim(bench.take("dead"), "m1")
    bench.reap("dead", resent=[b"reaped", 0])
    second = bench.taken()
    assert bench.claim(second, "m1") == [b"takeover", b"m1"]
    bench.settle((second, [bench.claimed(second, action), bench.add()]))
    assert bench.claim(bench.taken(), "m1") == ([b"takeover", b"m1"] if action == "undo" else [b"run", b""])


@pytest.mark.parametrize(("wait", "remembered"), [(59.999, 1), (60, 0)])
def test_after_a_failure_for_good_the_next_one_goes_on_with_the_items_until_they_are_too_old(
    bench: Bench, freezer: FrozenDateTimeFactory, wait: float, remembered: int
) -> None:
    first, items = bench.take(), bench.keys.claimed_items("k")
    bench.claim(first, "m1")
    ops = [
        bench.state(State.FAILURE),
        bench.marks(first, {"ada": "1"}, scope="key:k", ttl=60),
        bench.claimed(first, "release"),
    ]
    bench.settle((first, ops))
    freezer.tick(wait)
    assert bench.claim(bench.take(), "m2") == [b"run", b""]
    assert len(bench.hash(items)) == remembered
    assert bench.client.pttl(items) == (-1 if remembered else -2), "what is worked on does not expire"


def test_a_claim_without_items_is_gone_when_it_is_released(bench: Bench) -> None:
    first = bench.take()
    bench.claim(first)
    bench.settle((first, [bench.claimed(first, "release")]))
    assert not bench.client.exists(bench.keys.claim("k"))


@pytest.mark.parametrize("action", ["keep", "undo", "complete", "release"])
def test_a_claim_that_is_another_s_leaves_the_message_held_and_everything_as_it_was(bench: Bench, action: str) -> None:
    other = Bench(bench.storage, "other")
    late, new = bench.take(), other.take()
    bench.claim(late, "m1")
    bench.client.hset(bench.keys.claim("k"), "until", 0)  # not believed any more
    other.claim(new, "m2")
    before = dump(bench.storage)
    ops = [bench.begun(late), bench.state(State.SUCCESS, "m1"), bench.claimed(late, action), bench.add()]
    assert bench.settle((late, ops)) == "u"
    after = dump(bench.storage)
    assert after.pop(bench.keys.batch("w1"))
    assert after == before


@pytest.mark.parametrize("action", ["keep", "undo", "complete", "release"])
def test_a_claim_that_somebody_removed_stops_nothing_and_is_not_made_again(bench: Bench, action: str) -> None:
    held = bench.take()
    bench.claim(held, "m")
    bench.client.delete(bench.keys.claim("k"))
    assert bench.settle((held, [bench.state(State.SUCCESS), bench.claimed(held, action)])) == "c"
    assert bench.hash(bench.keys.state("m"))[b"state"] == b"SUCCESS"
    assert not bench.client.exists(bench.keys.claim("k"))


def test_a_message_that_has_ended_under_another_key_claims_nothing(bench: Bench) -> None:
    first = bench.take()
    bench.claim(first, "m", "a")
    bench.settle((first, [bench.state(State.SUCCESS, "m")]))
    assert bench.claim(bench.take(), "m", "b") == [b"finished", b"SUCCESS"]
    assert not bench.client.exists(bench.keys.claim("b"))
