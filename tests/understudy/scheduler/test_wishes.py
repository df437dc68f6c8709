"""What people want of a job, and what it wants of itself: pauses, requests, no overlap. Driven step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from freezegun.api import FrozenDateTimeFactory

from understudy import Retry, actor, chain, periodic, step
from understudy.brokers.redis import RedisBroker
from understudy.scheduler.loop import Scheduler
from understudy.scheduler.overview import Overview
from understudy.testing.enqueued import Enqueued

from .helpers import declare, fires, ids, live, runs

Drain = Callable[..., int]


# -- what people want ----------------------------------------------------------------------------------------


def test_a_paused_job_lets_its_ticks_pass_through_restarts_until_it_is_resumed(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare(every=10, catch_up="all")
    first = Scheduler(broker)
    first.run_once()
    people = Overview(broker.storage)
    assert people.want("pause", "job", who="ada") == "done"
    live(freezer, first, seconds=20)  # it has not heard of it
    freezer.tick(10)
    live(freezer, Scheduler(broker), seconds=20)
    assert fires(enqueued) == []
    assert people.want("resume", "job", who="grace") == "done"
    third = Scheduler(broker)
    freezer.tick(5)
    live(freezer, third, seconds=10)
    assert [fire[-9:] for fire in fires(enqueued)] == ["12:01:00Z"]
    assert [(wish.verb, wish.who) for wish in people.wishes()] == [("resume", "grace"), ("pause", "ada")]


def test_run_now_is_sent_once_at_once_also_when_the_job_is_paused(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, drain: Drain
) -> None:
    seen: list[Any] = []
    declare(seen=seen, every=3_600)
    one, other = Scheduler(broker), Scheduler(broker)
    one.run_once()
    people = Overview(broker.storage)
    people.want("pause", "job", who="ada")
    freezer.tick(7)
    people.want("run-now", "job", who="ada", token="t1")
    people.want("run-now", "job", who="ada", token="t1")  # a resend
    for scheduler in (one, other, one):
        scheduler.told()
        scheduler.run_once()
    assert ids(enqueued) == ["job@run-now-t1"]
    drain()
    assert [f"{moment:%H:%M:%S}" for moment in seen] == ["12:00:07"]
    (run,) = runs(broker)
    assert (run.asked, run.word, run.state) == (True, "sent", "SUCCESS")


def test_what_was_asked_for_while_no_scheduler_ran_is_done_when_one_does(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare(every=3_600)
    Scheduler(broker).run_once()
    Overview(broker.storage).want("run-now", "job", who="ada", token="t1")
    freezer.tick(10)
    Scheduler(broker).run_once()
    assert ids(enqueued) == ["job@run-now-t1"]


def test_what_cannot_be_sent_now_is_tried_again(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare(every=3_600, actor_options={"queue_name": "spoilt"})
    scheduler = Scheduler(broker)
    scheduler.run_once()
    broker.storage.client.set(broker.keys_of("spoilt").streams[1], "not a stream")
    Overview(broker.storage).want("run-now", "job", who="ada", token="t1")
    scheduler.told()
    live(freezer, scheduler, seconds=3)
    assert ids(enqueued) == []
    broker.storage.client.delete(broker.keys_of("spoilt").streams[1])
    live(freezer, scheduler, seconds=5)  # nobody says anything
    assert ids(enqueued) == ["job@run-now-t1"]


# -- overlap -------------------------------------------------------------------------------------------------


def test_without_overlap_a_tick_is_left_out_until_the_message_before_has_ended(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, drain: Drain
) -> None:
    failures = [1]

    @periodic(every=10, overlap="skip")
    @actor(actor_name="job", retry=Retry(1, backoff=25, jitter="none"), result_ttl=1)
    def body() -> None:
        if failures:
            failures.pop()
            raise ConnectionError("once")

    scheduler = Scheduler(broker)
    live(freezer, scheduler, seconds=10)
    drain()  # it waits for its retry
    live(freezer, scheduler, seconds=20)
    assert [run.word for run in runs(broker)] == ["sent", "overlap", "overlap"]
    freezer.tick(5)
    drain()
    for _ in range(2):
        freezer.tick(100)  # the record is long gone
        scheduler.run_once()
        drain()
    assert [run.word for run in runs(broker)][3:] == ["sent", "sent"]


def test_without_overlap_a_tick_is_left_out_while_what_the_message_before_returned_goes_on(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, drain: Drain
) -> None:
    @actor
    def part() -> None: ...

    @periodic(every=10, overlap="skip")
    @actor(actor_name="job")
    def body() -> Any:
        return chain(step(part.message(), delay=25), part.message_with_options(immutable=True))

    scheduler = Scheduler(broker)
    for _ in range(7):
        live(freezer, scheduler, seconds=10)
        drain()
    assert [run.word for run in runs(broker)] == ["sent", *["overlap"] * 3, "sent", *["overlap"] * 2]


def test_with_overlap_a_tick_is_sent_although_the_one_before_still_waits(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare(every=10)
    live(freezer, Scheduler(broker), seconds=30)
    assert len(fires(enqueued)) == 3
