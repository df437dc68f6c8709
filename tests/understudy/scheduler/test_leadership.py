"""One of several schedulers leads. Each test drives single steps; nothing sleeps."""

from __future__ import annotations

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy.brokers.redis import RedisBroker
from understudy.durations import to_millis
from understudy.errors import ServerUnavailable
from understudy.scheduler.leadership import Leadership
from understudy.testing.faults import Faults


def three(broker: RedisBroker) -> list[Leadership]:
    return [Leadership(broker.storage, lease=3, name=name) for name in "abc"]


def test_of_several_one_leads(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    standings = [one.ask() for one in three(broker)]
    assert [bool(standing.term) for standing in standings] == [True, False, False]
    assert [standing.leader for standing in standings] == ["a", "a", "a"]


def test_a_leader_that_renews_leads_on_in_the_same_term(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    a, b, _ = three(broker)
    first = a.ask()
    for _ in range(10):
        freezer.tick(a.until_next(first))
        assert a.ask().term == first.term == 1
        assert not b.ask().term


def test_a_leader_that_is_silent_is_followed_when_its_lease_is_over(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    a, b, _ = three(broker)
    a.ask()
    freezer.tick(1)
    waiting = b.ask()
    assert (waiting.term, waiting.left, b.until_next(waiting)) == (0, 2_000, 2.0)
    freezer.tick(1.999)
    assert not b.ask().term
    freezer.tick(0.001)
    assert b.ask().term == 2
    assert a.ask().term == 0  # it wakes up, and follows


def test_one_that_resigns_is_followed_at_once_and_its_term_is_over(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    a, b, _ = three(broker)
    a.ask()
    assert a.resign()
    assert b.ask().term == 2
    assert not a.resign()  # there is nothing left to end
    assert b.ask().term == 2


def test_a_late_copy_of_a_resignation_ends_no_newer_term(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    (a, *_), keys = three(broker), broker.storage.keys
    a.ask()
    a.resign()
    assert a.ask().term == 2
    broker.storage.run("resign", [keys.leader], ["a", 1, keys.scheduling])
    assert a.ask().term == 2


def test_a_lease_that_ran_out_unnoticed_goes_on(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    a, *_ = three(broker)
    a.ask()
    freezer.tick(60)
    assert a.ask().term == 1  # nobody wanted to lead meanwhile, so nobody else has done anything


def test_a_server_clock_that_is_put_back_keeps_nobody_from_leading_for_long(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    a, b, _ = three(broker)
    a.ask()
    freezer.tick(-3_600)
    assert b.ask().left == 3_000
    freezer.tick(3)
    assert b.ask().term == 2


def test_a_server_clock_that_is_put_forward_makes_a_new_term_and_harms_nobody(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    a, b, _ = three(broker)
    a.ask()
    freezer.tick(3_600)
    assert b.ask().term == 2
    assert not a.ask().term


def test_an_outage_decides_nothing(broker: RedisBroker, freezer: FrozenDateTimeFactory, faults: Faults) -> None:
    a, *_ = three(broker)
    a.ask()
    with faults.outage(), pytest.raises(ServerUnavailable):
        a.ask()
    assert a.term == 1
    assert a.ask().term == 1


def test_an_answer_that_is_lost_is_asked_for_again(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    a, b, _ = three(broker)
    faults.fail("lead", when="after")
    with pytest.raises(ServerUnavailable):
        a.ask()
    assert not b.ask().term
    assert a.ask().term == 1


def test_leases_of_different_lengths_are_each_kept(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    long = Leadership(broker.storage, lease=60, name="long")
    short = Leadership(broker.storage, lease=1, name="short")
    long.ask()
    assert short.ask().left == to_millis(60)
    freezer.tick(59)
    assert not short.ask().term
    freezer.tick(1)
    assert short.ask().term == 2


def test_without_a_name_each_has_one_of_its_own(broker: RedisBroker) -> None:
    assert Leadership(broker.storage, lease=1).name != Leadership(broker.storage, lease=1).name
