"""The scheduler, driven step by step with frozen time, in memory and on a real server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from dramatiq import Middleware
from freezegun.api import FrozenDateTimeFactory

from understudy import Retry, actor, handle, periodic
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerUnavailable
from understudy.scheduler import catchup
from understudy.scheduler.loop import MOST, Scheduler
from understudy.scheduler.timetable import to_datetime
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults

from .helpers import declare, fires, go_to, ids, live, runs

Drain = Callable[..., int]


# -- when --------------------------------------------------------------------------------------------------


def test_a_new_job_first_fires_after_one_interval_or_at_its_next_time(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare("interval", every=90)
    declare("clock", cron="1 * * * *")
    live(freezer, Scheduler(broker), seconds=200)
    assert ids(enqueued) == [
        *("clock@2026-03-01T12:01:00Z", "interval@2026-03-01T12:01:30Z", "interval@2026-03-01T12:03:00Z"),
    ]


def test_it_sleeps_until_the_next_tick_or_until_the_lease_wants_to_be_renewed(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    declare(every=2.5)
    scheduler = Scheduler(broker, lease=6)
    assert scheduler.run_once() == 2.0
    freezer.tick(2)
    assert scheduler.run_once() == 0.5
    freezer.tick(0.5)
    assert scheduler.run_once() == 2.0


@pytest.mark.parametrize(
    ("zone", "cron", "start", "end", "expected"),
    [
        ("America/New_York", "30 2 * * *", "2026-03-07T00:00:00-05:00", "2026-03-09T12:00:00-04:00",
         ["2026-03-07T07:30:00Z", "2026-03-08T07:30:00Z", "2026-03-09T06:30:00Z"]),
        ("America/New_York", "30 1 * * *", "2026-10-31T00:00:00-04:00", "2026-11-02T12:00:00-05:00",
         ["2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]),
        ("Europe/Berlin", "0 0 L * *", "2028-01-31T12:00:00+01:00", "2028-04-01T00:00:00+02:00",
         ["2028-02-28T23:00:00Z", "2028-03-30T22:00:00Z"]),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00+10:30", "2026-10-05T12:00:00+11:00",
         ["2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z"]),
        ("Asia/Kathmandu", "0 6 29 2 *", "2027-01-01T00:00:00+05:45", "2032-03-01T00:00:00+05:45",
         ["2028-02-29T00:15:00Z", "2032-02-29T00:15:00Z"]),
    ],
)  # fmt: skip
def test_through_changes_of_the_clocks_month_ends_and_leap_days(
    broker: RedisBroker,
    freezer: FrozenDateTimeFactory,
    enqueued: Enqueued,
    zone: str,
    cron: str,
    start: str,
    end: str,
    expected: list[str],
) -> None:
    declare(cron=cron, timezone=zone)
    go_to(freezer, start)
    scheduler = Scheduler(broker, lease=3_600)
    scheduler.run_once()
    for _ in range(len(expected)):
        coming = scheduler._timetable.next()
        assert coming is not None
        freezer.move_to(to_datetime(coming - 1))
        scheduler.run_once()
        before = len(fires(enqueued))
        freezer.tick(0.001)
        scheduler.run_once()
        assert len(fires(enqueued)) == before + 1
    assert fires(enqueued) == expected
    go_to(freezer, end)
    scheduler.run_once()
    assert fires(enqueued) == expected


def test_jitter_puts_off_the_message_and_not_its_fire_time(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, drain: Drain
) -> None:
    seen: list[Any] = []
    declare(seen=seen, cron="*/10 * * * *", jitter=300)
    live(freezer, Scheduler(broker, lease=3_600), seconds=3_600)
    drain()
    assert [moment.minute for moment in seen][:5] == [10, 20, 30, 40, 50]
    late = [run.lateness for run in runs(broker)]
    assert all(0 <= one < 300.002 for one in late)
    assert len(set(late)) == len(late)


# -- what nobody saw -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected", "missed"),
    [
        ({}, ["12:01:00Z"], 5),
        ({"catch_up": "all"}, ["12:00:10Z", "12:00:20Z", "12:00:30Z", "12:00:40Z", "12:00:50Z", "12:01:00Z"], 0),
        ({"catch_up": "all", "window": 25}, ["12:00:40Z", "12:00:50Z", "12:01:00Z"], 3),
        ({"catch_up": "none", "window": 2}, [], 6),
    ],
)
def test_after_downtime_the_policy_of_the_job_holds_and_once_when_two_come_back_together(
    broker: RedisBroker,
    freezer: FrozenDateTimeFactory,
    enqueued: Enqueued,
    drain: Drain,
    options: dict[str, Any],
    expected: list[str],
    missed: int,
) -> None:
    seen: list[Any] = []
    declare(seen=seen, every=10, **options)
    Scheduler(broker).run_once()
    freezer.tick(63)  # nobody is there
    one, other = Scheduler(broker), Scheduler(broker)
    for _ in range(3):
        one.run_once()
        other.run_once()
    assert [fire[-9:] for fire in fires(enqueued)] == expected
    drain()
    assert [f"{fire:%H:%M:%SZ}" for fire in seen] == expected  # each sees its own time, in order
    assert sum(run.missed for run in runs(broker)) == missed
    freezer.tick(7)
    one.run_once()
    other.run_once()
    assert fires(enqueued)[-1].endswith("12:01:10Z")  # and then on schedule


def test_what_is_caught_up_is_bounded_in_all_and_in_one_step(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(every=1, catch_up="all")
    Scheduler(broker).run_once()
    freezer.tick(86_400)
    monkeypatch.setattr(catchup, "MOST", 300)
    scheduler = Scheduler(broker)
    assert scheduler.run_once() == 0.0
    assert len(enqueued.sent) == MOST  # then the lease is renewed
    assert scheduler.run_once() > 0
    assert len(enqueued.sent) == 300
    assert fires(enqueued)[-1] == "2026-03-02T12:00:00Z"


# -- more than one -------------------------------------------------------------------------------------------


def test_a_leader_that_was_paused_in_the_middle_of_its_work_can_do_no_harm(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, faults: Faults
) -> None:
    declare(every=1, catch_up="all")
    old, new = Scheduler(broker), Scheduler(broker)
    old.run_once()
    freezer.tick(2)
    found = old._book.send
    paused: list[bool] = []

    def stops_here(*args: Any, **kwargs: Any) -> Any:
        if not paused:
            paused.append(True)
            freezer.tick(10)  # SIGSTOP, between what it decided and what it does
            new.run_once()
        return found(*args, **kwargs)

    old._book.send = stops_here  # type: ignore[method-assign]
    assert old.run_once() == 0.0
    assert len(set(ids(enqueued))) == len(ids(enqueued)) == 12
    assert all(run.word == "sent" for run in runs(broker))
    assert old.leadership.term == 0
    freezer.tick(1)
    old.run_once()
    new.run_once()
    assert len(set(ids(enqueued))) == len(ids(enqueued)) == 13


def test_a_claim_does_not_depend_on_who_leads(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, drain: Drain
) -> None:
    seen: list[Any] = []
    declare(seen=seen, every=1)
    one, other = Scheduler(broker, name="one"), Scheduler(broker, name="one")  # both are the leader, for the server
    for _ in range(20):
        freezer.tick(0.5)
        one.run_once()
        other.run_once()
    drain()
    assert len(set(seen)) == len(seen) == len(runs(broker)) == 9


def test_every_tick_is_sent_once_whoever_dies_in_between(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare(every=1, catch_up="all")
    Scheduler(broker).run_once()
    for _ in range(10):
        live(freezer, Scheduler(broker), seconds=1.7)
        freezer.tick(2.6)  # it is killed, and another one comes
    live(freezer, Scheduler(broker), Scheduler(broker), seconds=5)
    expected = 48
    assert len(set(ids(enqueued))) == len(ids(enqueued)) == expected
    assert [run.fire.second for run in runs(broker)] == [second % 60 for second in range(1, expected + 1)]


def test_one_that_stops_hands_over_at_once(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare(every=1)
    one, other = Scheduler(broker), Scheduler(broker)
    one.run_once()
    other.run_once()
    one.leadership.resign()
    freezer.tick(1)
    other.run_once()
    assert len(enqueued.sent) == 1


# -- the code is the truth -----------------------------------------------------------------------------------


def test_a_job_that_vanished_from_the_code_fires_no_more_and_begins_anew_when_it_returns(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    job = declare(every=10, catch_up="all")
    declare("other", every=10)
    Scheduler(broker, name="s").run_once()
    del broker.actors["job"]
    freezer.tick(10)
    live(freezer, Scheduler(broker), seconds=60)
    assert fires(enqueued, "job") == []
    assert len(fires(enqueued, "other")) == 7
    broker.declare_actor(job)
    live(freezer, Scheduler(broker), seconds=15)
    assert len(fires(enqueued, "job")) == 1  # none of those that came due while it was away


def test_a_changed_schedule_does_not_make_up_for_ticks_that_it_did_not_have(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare(cron="0 3 * * *", catch_up="all")
    Scheduler(broker).run_once()
    freezer.tick(3_600)
    del broker.actors["job"]
    declare(cron="30 * * * *", catch_up="all")
    scheduler = Scheduler(broker)
    freezer.tick(5)
    scheduler.run_once()
    assert fires(enqueued) == []  # 12:30 was not asked for then
    live(freezer, scheduler, seconds=1_800)
    assert fires(enqueued) == ["2026-03-01T13:30:00Z"]


# -- what goes wrong -----------------------------------------------------------------------------------------


def test_a_periodic_job_that_fails_is_retried_like_any_actor_and_stops_no_later_tick(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, drain: Drain
) -> None:
    @periodic(every=60)
    @actor(actor_name="job", retry=Retry(1, backoff=5, jitter="none"))
    def body() -> None:
        raise ValueError("always")

    scheduler = Scheduler(broker)
    live(freezer, scheduler, seconds=60)
    drain()
    assert handle("job@2026-03-01T12:01:00Z").status == "RETRY"
    freezer.tick(5)
    drain()
    assert handle("job@2026-03-01T12:01:00Z").status == "FAILURE"
    live(freezer, scheduler, seconds=60)
    assert "job@2026-03-01T12:02:00Z" in ids(enqueued)


def test_an_outage_is_waited_out_and_what_came_due_is_sent_after_it(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, faults: Faults
) -> None:
    declare(every=1, catch_up="all")
    scheduler = Scheduler(broker)
    scheduler.run_once()
    freezer.tick(1)
    with faults.outage():
        with pytest.raises(ServerUnavailable):
            scheduler.run_once()
        assert scheduler._step() > 0
    freezer.tick(4)
    assert scheduler._step() <= 1
    assert len(fires(enqueued)) == 5


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_is_doubled(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, drain: Drain, faults: Faults, when: Any
) -> None:
    seen: list[Any] = []
    declare(seen=seen, every=1)
    scheduler = Scheduler(broker)
    scheduler.run_once()
    freezer.tick(1)
    faults.fail("tick", when=when)
    scheduler._step()
    scheduler._step()
    drain()
    assert len(seen) == 1
    assert [run.word for run in runs(broker)] == ["sent"]


def test_one_job_that_cannot_be_sent_keeps_no_other_from_it(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, caplog: pytest.LogCaptureFixture
) -> None:
    declare("a", every=1, actor_options={"queue_name": "spoilt"})
    declare("b", every=1)
    broker.storage.client.set(broker.keys_of("spoilt").streams[1], "not a stream")
    live(freezer, Scheduler(broker), seconds=4)
    assert (fires(enqueued, "a"), len(fires(enqueued, "b"))) == ([], 4)
    assert "periodic job a cannot be sent, and is tried again" in caplog.text
    broker.storage.client.delete(broker.keys_of("spoilt").streams[1])
    live(freezer, Scheduler(broker), seconds=7)
    assert fires(enqueued, "a")


def test_a_server_that_has_lost_its_data_is_told_the_jobs_again(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare(every=1)
    scheduler = Scheduler(broker)
    live(freezer, scheduler, seconds=3)
    client, keys = broker.storage.client, broker.storage.keys
    client.delete(keys.job("job"), keys.leader, keys.schedules)
    live(freezer, scheduler, seconds=5)
    assert len(set(ids(enqueued))) == len(ids(enqueued)) >= 6


def test_a_server_clock_that_is_put_back_sends_nothing_twice(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare(every=1)
    scheduler = Scheduler(broker)
    live(freezer, scheduler, seconds=10)
    freezer.tick(-5)
    live(freezer, scheduler, Scheduler(broker), seconds=4)
    assert len(ids(enqueued)) == 10
    live(freezer, scheduler, Scheduler(broker), seconds=6)
    assert len(set(ids(enqueued))) == len(ids(enqueued)) == 15


def test_a_server_clock_that_is_put_forward_is_caught_up_by_the_policy(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare(every=1)
    scheduler = Scheduler(broker)
    live(freezer, scheduler, seconds=3)
    freezer.tick(3_600)
    live(freezer, scheduler, seconds=3)
    assert len(set(ids(enqueued))) == len(ids(enqueued)) == 7


def test_a_late_tick_is_said_in_the_log_and_in_its_history(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "understudy.scheduler")
    declare(every=10)
    Scheduler(broker).run_once()
    freezer.tick(14)
    Scheduler(broker).run_once()
    assert "job@2026-03-01T12:00:10Z, 4.000 s late" in caplog.text
    assert [run.lateness for run in runs(broker)] == [4.0]


def test_history_is_bounded(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    declare(every=1, catch_up="all")
    Scheduler(broker).run_once()
    freezer.tick(150)
    Scheduler(broker).run_once()
    assert len(runs(broker)) == 100


def test_the_hooks_of_the_middleware_see_the_message_of_a_tick(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    seen: list[str] = []

    class Sees(Middleware):
        def before_enqueue(self, broker: Any, message: Any, delay: int | None) -> None:
            seen.append(f"before {message.message_id}")

        def after_enqueue(self, broker: Any, message: Any, delay: int | None) -> None:
            seen.append(f"after {message.message_id}")

    broker.add_middleware(Sees())
    declare(every=1)
    live(freezer, Scheduler(broker), seconds=1)
    assert seen == ["before job@2026-03-01T12:00:01Z", "after job@2026-03-01T12:00:01Z"]
