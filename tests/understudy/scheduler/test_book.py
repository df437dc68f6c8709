"""What a leader writes, and what it is told."""

from __future__ import annotations

import json

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import Unique
from understudy.brokers.redis import RedisBroker
from understudy.durations import to_millis
from understudy.scheduler.book import Book, Deposed, Place, Request, Verdict, definition
from understudy.scheduler.jobs import jobs_of
from understudy.scheduler.leadership import Leadership
from understudy.testing.enqueued import Enqueued

from .helpers import declare, runs

NOW = 1_772_366_400_000


@pytest.fixture
def book(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> Book:
    made = Book(broker, Leadership(broker.storage, lease=3, name="me"))
    made.leadership.ask()
    return made


def test_registering_says_where_each_job_has_come_to(book: Book, broker: RedisBroker) -> None:
    declare("a", every=10)
    declare("b", cron="0 3 * * *")
    page = book.register(jobs_of(broker))
    assert page.places == {"a": Place(NOW, NOW), "b": Place(NOW, NOW)}
    assert (page.paused, page.requests) == (frozenset(), ())


def test_requests_come_in_the_order_in_which_they_were_made(book: Book, broker: RedisBroker) -> None:
    broker.storage.client.hset(broker.storage.keys.requests, mapping={"r2": f"{NOW} b c", "r1": f"{NOW + 5} a"})
    assert book.register({}).requests == (Request("r2", "b c", NOW), Request("r1", "a", NOW + 5))


def test_a_claim_is_told_and_a_second_one_is_refused(
    book: Book, broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    declare(every=10)
    job = jobs_of(broker)["job"]
    book.register({"job": job})
    freezer.tick(10.5)
    assert book.send(job, NOW + 10_000, missed=2) == Verdict("sent", NOW + 10_500)
    assert book.send(job, NOW + 10_000).word == "before"  # its own: an answer that was lost
    assert book.send(job, NOW + 5_000).word == "passed"
    assert book.send(job, NOW + 20_000).word == "early"
    (run,) = runs(broker)
    assert (run.message_id, run.lateness, run.missed) == ("job@2026-03-01T12:00:10Z", 0.5, 2)


def test_whoever_does_not_lead_may_write_nothing(
    book: Book, broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    declare(every=10)
    jobs = jobs_of(broker)
    book.register(jobs)
    freezer.tick(10)
    Leadership(broker.storage, lease=3, name="other").ask()
    for write in (
        lambda: book.register(jobs),
        lambda: book.send(jobs["job"], NOW + 10_000),
        lambda: book.give_up(jobs["job"], NOW + 10_000, missed=1),
    ):
        with pytest.raises(Deposed):
            write()
    assert runs(broker) == []


def test_an_actor_that_is_unique_refuses_a_tick_as_it_refuses_any_sender(
    book: Book, broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    actor = declare(every=10, actor_options={"unique": Unique()})
    job = jobs_of(broker)["job"]
    book.register({"job": job})
    sent = actor.send()
    freezer.tick(10)
    assert book.send(job, NOW + 10_000) == Verdict("overlap", NOW + 10_000, sent.message_id)


def test_a_definition_says_what_people_want_to_know(broker: RedisBroker) -> None:
    declare(every=10, window=60, overlap="skip")
    found = json.loads(definition(jobs_of(broker)["job"]))
    assert (found["actor"], found["queue"], found["every"], found["cron"]) == ("job", "default", to_millis(10), None)
    assert (found["window"], found["overlap"], found["schedule"]) == (60_000, "skip", "every 10 s")
