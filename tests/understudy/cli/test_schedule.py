from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import actor, periodic
from understudy.brokers.redis import RedisBroker
from understudy.scheduler.loop import Scheduler

from .helpers import Here

pytestmark = pytest.mark.brokers("server")
Drain = Callable[..., int]


@pytest.fixture
def command(here: Here, broker: RedisBroker, server_url: str, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("REDIS_URL", server_url)
    monkeypatch.setenv("UNDERSTUDY_NAMESPACE", broker.storage.keys.namespace)
    broker.actors.clear()

    @periodic(cron="30 2 * * *", timezone="Europe/Berlin", window=3_600, jitter=60, overlap="skip")
    @actor(broker=broker, queue_name="nights")
    def nightly() -> None: ...

    @periodic(every=10)
    @actor(broker=broker)
    def often() -> None: ...

    return here


def test_without_a_scheduler_it_says_so(command: Here) -> None:
    said = command("schedule", "list").text
    assert "no scheduler leads: no tick is sent until one runs" in said
    assert "no scheduler has run here yet" in said


def test_the_list_shows_the_leader_the_next_times_in_both_clocks_and_the_last_ticks(
    command: Here, broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    Scheduler(broker, name="first").run_once()
    freezer.tick(32)
    Scheduler(broker, name="second").run_once()
    drain()
    said = command("schedule", "list").text
    assert "leader second, term 2, since 2026-03-01 12:00:32 UTC" in said
    assert "nightly (queue nights)" in said
    assert "30 2 * * * (Europe/Berlin), catch-up latest, window 3600 s, jitter 60 s, no overlap" in said
    assert "Mon 2026-03-02 02:30:00 CET 2026-03-02 01:30:00 UTC" in said
    assert said.count("CET") == 5
    assert "SUCCESS 2.000 s late, 2 before it missed often@2026-03-01T12:00:30Z" in said


def test_scripts_get_a_line_of_json_for_each_job(
    command: Here, broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    Scheduler(broker, name="first").run_once()
    lines = [json.loads(line) for line in command("schedule", "list", "--json", "--next", "1").out.splitlines()]
    assert [line["name"] for line in lines] == ["nightly", "often"]
    (coming,) = lines[0]["next"]
    assert coming == {"local": "2026-03-02T02:30:00+01:00", "utc": "2026-03-02T01:30:00+00:00"}
    assert lines[0]["leader"]["name"] == "first"


def test_a_name_that_is_not_known_is_told_with_what_was_meant(
    command: Here, broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    Scheduler(broker).run_once()
    for words in (("list", "oftn"), ("pause", "oftn"), ("run-now", "oftn")):
        ended = command("schedule", *words)
        assert ended.code == 2
        assert "no periodic job is called 'oftn'; did you mean 'often'?" in ended.err


def test_pause_resume_and_run_now_are_done_and_written_down(
    command: Here, broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Any
) -> None:
    scheduler = Scheduler(broker)
    scheduler.run_once()
    assert command("schedule", "pause", "often", "--by", "ada").code == 0
    assert "paused since 2026-03-01 12:00:00 UTC by ada" in command("schedule", "list", "often").text
    assert "was paused before" in command("schedule", "pause", "often").err
    assert command("schedule", "run-now", "often", "--by", "ada").code == 0
    scheduler.told()
    scheduler.run_once()
    assert [message.actor_name for message in enqueued.messages()] == ["often"]
    assert "asked for" in command("schedule", "list", "often").text
    assert command("schedule", "resume", "often", "--by", "grace").code == 0
    assert "was not paused before" in command("schedule", "resume", "often").err
    audit = command("schedule", "audit").out.splitlines()
    assert [line.split("UTC  ")[1] for line in audit] == [
        "resume  often  by grace",
        "run-now  often  by ada",
        "pause  often  by ada",
    ]
    assert json.loads(command("schedule", "audit", "--json", "--limit", "1").out)["verb"] == "resume"


def test_run_now_without_a_scheduler_says_when_it_will_be_done(
    command: Here, broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    Scheduler(broker).run_once()
    freezer.tick(60)
    broker.storage.call("PING")  # tells the server what time it is
    ended = command("schedule", "run-now", "often")
    assert ended.code == 0
    assert "no scheduler runs: it is sent when one does" in ended.err


def test_who_it_was_is_the_user_of_this_machine_if_nobody_is_named(
    command: Here, broker: RedisBroker, freezer: FrozenDateTimeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    Scheduler(broker).run_once()
    command("schedule", "pause", "often")
    assert "by ada@" in command("schedule", "audit").text
