"""``@periodic``: what it takes, and what it refuses at import."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dramatiq
import pytest

from understudy import Unique, actor, periodic
from understudy.brokers.redis import RedisBroker
from understudy.errors import DeclarationError
from understudy.runtime import build
from understudy.scheduler.every import Every
from understudy.scheduler.firing import HEADER
from understudy.scheduler.jobs import jobs_of, tick_id

from .helpers import declare

pytestmark = pytest.mark.brokers("stub")


def test_a_job_is_what_was_declared(broker: RedisBroker) -> None:
    target = declare("report", cron="0 9 * * MON", timezone="Europe/Berlin", window=timedelta(hours=1), jitter=30)
    job = jobs_of(broker)["report"]
    assert job.actor is target
    assert str(job.ticks) == "0 9 * * MON (Europe/Berlin)"
    assert (job.timezone, job.catch_up, job.window, job.jitter, job.overlap) == (
        *("Europe/Berlin", "latest", 3_600_000, 30_000, "allow"),
    )


def test_an_actor_may_have_several_jobs_with_arguments_of_their_own(broker: RedisBroker) -> None:
    @periodic(every=60, name="shard-1", args=(1,))
    @periodic(every=60, name="shard-2", kwargs={"shard": 2}, options={"expires": 30, "headers": {"who": "me"}})
    @actor
    def shard(shard: int) -> None: ...

    jobs = jobs_of(broker)
    assert list(jobs) == ["shard-1", "shard-2"]
    message = jobs["shard-2"].message(1_772_366_400_500)
    assert message.message_id == "shard-2@2026-03-01T12:00:00.500Z"
    assert message.kwargs == {"shard": 2}
    assert message.options["expires"] == 30_000
    header = {"job": "shard-2", "at": 1_772_366_400_500, "zone": "UTC"}
    assert message.options["headers"] == {"who": "me", HEADER: header}


def test_two_jobs_of_one_name_are_refused(broker: RedisBroker) -> None:
    for name in ("first", "second"):

        @periodic(every=60, name="same")
        @actor(actor_name=name)
        def body() -> None: ...

    with pytest.raises(DeclarationError, match="'same': second and first both have a job of this name"):
        jobs_of(broker)


def test_a_job_whose_actor_is_gone_is_gone(broker: RedisBroker) -> None:
    declare("here", every=60)
    gone = declare("gone", every=60)
    del broker.actors[gone.actor_name]
    assert list(jobs_of(broker)) == ["here"]


def test_ids_of_ticks_say_what_they_are_for() -> None:
    assert tick_id("a", 1_772_366_400_000) == "a@2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "gives neither cron nor every"),
        ({"cron": "* * * * *", "every": 5}, "gives both cron and every"),
        ({"cron": "0 25 * * *"}, "periodic job job: cron '0 25 \\* \\* \\*': hour '25'"),
        ({"every": -1}, "every must be more than zero"),
        ({"every": 5, "timezone": "Europe/Berlin"}, "timezone goes with cron"),
        ({"every": 5, "days": "both"}, "days goes with cron"),
        ({"every": 5, "catch_up": "lates"}, "catch_up is one of latest, all, none, not 'lates'; did you mean 'latest'"),
        ({"every": 5, "overlap": "skp"}, "overlap is one of allow, skip"),
        ({"every": 5, "window": 0}, "window must be more than zero"),
        ({"every": 5, "jitter": -1}, "jitter must be zero or more"),
        ({"every": 5, "jitter": 5}, "jitter is not below every"),
        ({"every": 50, "jitter": 10, "window": 5}, "jitter is above window"),
        ({"every": 5, "args": (1, 2)}, "too many positional arguments"),
        ({"every": 5, "crontab": 1}, "unknown option 'crontab'; did you mean cron='...'"),
        ({"every": 5, "catchup": "all"}, "unknown option 'catchup'; did you mean 'catch_up'"),
        ({"every": 5, "args": (1,)}, "its message cannot be made: too many positional arguments"),
        ({"every": 5, "options": {"delay": 5}}, "options may not hold delay: the schedule says when"),
        ({"every": 5, "options": {"expries": 5}}, "unknown option 'expries'; did you mean 'expires'"),
    ],
)
def test_what_is_wrong_is_refused_at_import_and_named(broker: RedisBroker, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        declare(**options)


def test_arguments_that_cannot_travel_are_refused_at_import(broker: RedisBroker) -> None:
    with pytest.raises(DeclarationError, match=r"its message cannot be made: args\[0\]"):

        @periodic(every=5, args=(object(),))
        @actor
        def body(lock: object) -> None: ...


def test_a_job_needs_a_name_that_can_be_shown(broker: RedisBroker) -> None:
    for name in ("", "two\nlines"):
        with pytest.raises(DeclarationError, match="a name is a text that is not empty and can be printed"):

            @periodic(every=5, name=name)
            @actor(actor_name=f"body-{len(name)}")
            def body() -> None: ...


def test_only_an_actor_can_be_periodic(broker: RedisBroker) -> None:
    with pytest.raises(DeclarationError, match="@periodic stands above @actor"):
        periodic(every=5)(lambda: None)  # type: ignore[type-var]  # on purpose
    with pytest.raises(DeclarationError, match="@periodic stands above @actor"):
        periodic(every=5)(dramatiq.actor(actor_name="stock", broker=broker)(lambda: None))  # type: ignore[type-var]


def test_a_broker_without_the_middleware_that_tells_the_fire_time_is_refused(broker: RedisBroker) -> None:
    bare = build(broker.settings)
    with pytest.raises(DeclarationError, match="no middleware of its broker tells the body its fire time; import"):
        periodic(every=5)(actor(broker=bare)(lambda: None))


def test_two_ways_of_keeping_a_message_away_are_one_too_many(broker: RedisBroker) -> None:
    with pytest.raises(DeclarationError, match="overlap='skip' and unique="):
        declare(every=5, overlap="skip", actor_options={"unique": Unique()})


def test_every_and_cron_are_values(broker: RedisBroker) -> None:
    declare("a", every=timedelta(minutes=5))
    assert jobs_of(broker)["a"].ticks == Every(300_000)
