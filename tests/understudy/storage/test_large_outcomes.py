"""stage, the operation publish, and pump: an outcome that is too large for one script."""

from __future__ import annotations

import pytest

from understudy.errors import ServerUnavailable
from understudy.states import State

from .bench import Bench
from .dumps import dump


def test_pages_are_staged_in_order_and_each_once(bench: Bench) -> None:
    assert bench.stage("a", "b") == 2
    assert bench.stage("c", already=2) == 3
    assert bench.stage("a", "b") == 3, "an old page that is sent again"
    assert bench.client.lrange(bench.keys.staged("o"), 0, -1) == [b"a", b"b", b"c"]
    assert bench.client.pttl(bench.keys.staged("o")) > 0, "what is never published is swept"


def test_what_was_staged_takes_effect_with_the_outcome(bench: Bench) -> None:
    bench.stage("a")
    assert bench.settle((bench.take(), [bench.state(State.SUCCESS), bench.publish()])) == "c"
    assert not bench.client.exists(bench.keys.staged("o"))
    assert bench.client.lrange(bench.keys.published("o"), 0, -1) == [b"a"]
    assert bench.client.pttl(bench.keys.published("o")) == -1, "what is accepted does not expire"
    assert bench.client.smembers(bench.keys.outbox) == {b"o"}


def test_what_a_zombie_staged_has_no_effect(bench: Bench) -> None:
    bench.stage("a")
    hold = bench.take()
    bench.reap(resent=[b"reaped", 0])
    before = dump(bench.storage)
    assert bench.settle((hold, [bench.publish()])) == "l"
    after = dump(bench.storage)
    del after[bench.keys.batch("w1")]
    assert after == before


@pytest.mark.parametrize("what", ["swept", "staged", "published", "outbox"])
def test_an_outcome_that_cannot_be_published_is_refused_whole_and_its_neighbours_are_committed(
    bench: Bench, what: str
) -> None:
    hold, neighbour = bench.take(), bench.take()
    if what != "swept":
        bench.stage("a")
        bench.spoil({"outbox": bench.keys.outbox}.get(what) or getattr(bench.keys, what)("o"))
    before = dump(bench.storage)
    batch = [(hold, [bench.state(State.SUCCESS), bench.publish()]), (neighbour, [bench.state(State.SUCCESS, "n")])]
    assert bench.settle(*batch) == "ec"
    after = dump(bench.storage)
    for name in (bench.keys.batch("w1"), bench.keys.state("n"), bench.stream):
        before.pop(name, None)
        del after[name]
    assert after == before
    assert bench.holding() == [hold.entry]


def published(bench: Bench, *letters: str) -> None:
    bench.stage(*letters)
    bench.settle((bench.take(), [bench.publish()]))


def test_each_page_is_moved_once_and_of_the_last_one_nothing_is_left(bench: Bench) -> None:
    published(bench, "a", "b", "c")
    assert bench.pump(3, bench.add(b"a"), bench.later(b"b")) == 1
    assert bench.pump(3, bench.add(b"a"), bench.later(b"b")) == -1, "another worker read the same page"
    assert bench.pump(1, bench.add(b"c")) == 0
    assert bench.waiting() == [b"a", b"c"]
    assert bench.client.zcard(bench.queue.delayed) == 1
    for key in (bench.keys.published("o"), bench.keys.outbox):
        assert not bench.client.exists(key)


def test_a_page_is_moved_whole_or_not_at_all(bench: Bench) -> None:
    published(bench, "a", "b")
    bench.spoil(bench.queue.ids)
    before = dump(bench.storage)
    with pytest.raises(ServerUnavailable, match="WRONGTYPE"):
        bench.pump(2, bench.add(b"a"), bench.later(b"b"))
    assert dump(bench.storage) == before
