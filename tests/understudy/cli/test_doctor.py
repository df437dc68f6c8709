from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from dramatiq import Message

from tests.house.project import ROOT
from understudy import clock, runtime
from understudy.cli import doctor
from understudy.cli.console import Exit
from understudy.cli.doctor import Check, Findings, judge
from understudy.errors import ServerUnavailable
from understudy.inspection import Inspection, Queue, ServerFacts, Worker
from understudy.scheduler.overview import Leader
from understudy.settings import Settings, load

from .helpers import Here

FINE = ServerFacts(
    product="Valkey 9.1.2",
    version=(7, 2, 4),
    role="master",
    cluster=False,
    aof=True,
    aof_healthy=True,
    fsync="everysec",
    policy="noeviction",
    memory=2**20,
    max_memory=0,
    clock_difference=0.01,
    round_trip=0.001,
)
QUIET = Queue("mail", waiting=0, held=0, delayed=0, dead=0, announced=True)
ALIVE = Worker("w1", holds=0, idle=0.1, beats=7, alive=True)
DEAD = Worker("w2", holds=3, idle=60, beats=9, alive=False)
UNSURE = Worker("w3", holds=0, idle=60, beats=9, alive=None)


LEADER = Leader("one", term=3, since=1.0, alive=True)


def verdicts(
    *,
    queues: tuple[Queue, ...] = (QUIET,),
    workers: tuple[Worker, ...] = (ALIVE,),
    jobs: tuple[str, ...] = (),
    leader: Leader | None = None,
    **server: Any,
) -> list[Check]:
    """What is not fine."""
    found = Findings(replace(FINE, **server), {"write": "mail"}, list(queues), list(workers))
    findings = replace(found, jobs=list(jobs), leader=leader)
    return [check for check in judge(Settings(), findings) if check.verdict != "ok"]


def test_all_is_well_with_a_good_server_and_a_worker() -> None:
    assert verdicts() == []
    assert verdicts(fsync="always") == []


def test_periodic_jobs_need_a_scheduler_that_leads() -> None:
    assert verdicts(jobs=("tick",), leader=LEADER) == []
    assert verdicts(leader=replace(LEADER, alive=False)) == [], "what there is none of does not have to run"
    for leader, said in ((None, "no scheduler leads"), (replace(LEADER, alive=False), "was heard of last")):
        (check,) = verdicts(jobs=("tick", "tock"), leader=leader)
        assert (check.name, check.verdict) == ("scheduler", "warning")
        assert said in check.text
        assert check.text.endswith("2 periodic jobs do not run; start `understudy scheduler`")


@pytest.mark.parametrize(
    ("server", "name", "verdict", "said"),
    [
        ({"version": (6, 0, 16), "product": "Redis 6.0.16"}, "version", "wrong", "Redis 6.0.16 is too old"),
        ({"role": "slave"}, "role", "wrong", "takes no writes"),
        ({"cluster": True}, "role", "wrong", "Redis Cluster"),
        ({"aof": False}, "persistence", "warning", "set `appendonly yes`"),
        ({"aof_healthy": False}, "persistence", "wrong", "cannot be written"),
        ({"fsync": "no"}, "persistence", "warning", "set `everysec` or `always`"),
        ({"policy": "allkeys-lru"}, "eviction", "wrong", "set `noeviction`"),
        ({"policy": "volatile-ttl"}, "eviction", "wrong", "volatile-ttl throws away"),
        ({"policy": None}, "eviction", "warning", "must be noeviction"),
        ({"memory": 95, "max_memory": 100}, "memory", "warning", "raise maxmemory"),
        ({"clock_difference": 2.5}, "clock", "warning", "2.500 s ahead of this machine's"),
        ({"clock_difference": -2.5}, "clock", "warning", "2.500 s behind this machine's"),
        ({"queues": (replace(QUIET, dead=2),)}, "queue", "warning", "'mail' holds dead letters (2)"),
        ({"queues": (replace(QUIET, waiting=1, announced=False),)}, "queue", "warning", "no worker has announced it"),
        ({"queues": (replace(QUIET, dead=2, poison=1),)}, "queue", "warning", "(2, 1 of them poison"),
        ({"queues": (replace(QUIET, dead=2),)}, "queue", "warning", "see `understudy dead list --queue mail`"),
        (
            {"queues": (replace(QUIET, waiting=9, oldest=125.0),)},
            "queue",
            "warning",
            "9 messages wait, the oldest for 2 min",
        ),
        ({"queues": (replace(QUIET, delayed=1, overdue=61.0),)}, "queue", "warning", "have been due for 1 min"),
        ({"workers": ()}, "workers", "warning", "start `understudy worker`"),
        ({"workers": (ALIVE, DEAD)}, "workers", "warning", "hold messages: w2 (3); the others give them back"),
        ({"workers": (DEAD,)}, "workers", "warning", "start `understudy worker`, which gives them back"),
        ({"workers": (UNSURE,)}, "workers", "warning", "was not renewed while we watched"),
    ],
)
def test_what_is_not_fine_is_told_with_what_to_do(server: dict[str, Any], name: str, verdict: str, said: str) -> None:
    (check,) = verdicts(**server)
    assert (check.name, check.verdict) == (name, verdict)
    assert said in check.text


@pytest.mark.parametrize(("alive", "said"), [(1, "1 process alive"), (3, "3 processes alive")])
def test_workers_are_counted_in_words(alive: int, said: str) -> None:
    workers = tuple(replace(ALIVE, id=f"w{number}") for number in range(alive))
    judged = judge(Settings(), Findings(FINE, {"write": "mail"}, [QUIET], list(workers)))
    assert said in [check.text for check in judged if check.name == "workers"]


def test_short_queues_and_workers_that_ended_long_ago_are_no_trouble() -> None:
    busy = replace(QUIET, waiting=9, oldest=3.0, held=2, delayed=1, overdue=0.4)
    assert verdicts(queues=(busy,), workers=(ALIVE, replace(DEAD, holds=0), UNSURE)) == []


def test_a_policy_of_persistence_that_is_not_told_is_no_mistake() -> None:
    assert verdicts(fsync=None) == []


def test_a_good_server_without_workers_ends_with_0_and_a_warning(on_server: Here) -> None:
    ended = on_server("doctor")
    assert ended.code == 0
    assert "warning workers none was heard of within 5 s" in ended.text
    assert "ok persistence AOF, appendfsync everysec" in ended.text
    assert "UNDERSTUDY_NAMESPACE=" in ended.out


def test_jobs_of_the_modules_are_missed_where_no_scheduler_ever_ran(
    on_server: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_MODULES", "tests.understudy.cli.jobs_for_tests")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ended = on_server("doctor")
    assert ended.code == 0
    assert (
        "warning scheduler no scheduler leads: 1 periodic job does not run; start `understudy scheduler`" in ended.text
    )


def test_jobs_that_a_scheduler_has_told_of_are_known_without_the_modules(on_server: Here) -> None:
    storage = runtime.build_storage(load(Settings))
    storage.call("HSET", storage.keys.schedules, "tick", "{}")
    assert json.loads(on_server("doctor", "--json").out)["scheduler"] == {"jobs": ["tick"], "leader": None}


def test_everything_is_there_as_json(on_server: Here) -> None:
    ended = on_server("doctor", "--json")
    found = json.loads(ended.out)
    assert ended.code == 0
    assert found["verdict"] == "warning"
    assert {"name", "verdict", "text"} == found["checks"][0].keys()
    assert found["server"]["policy"] == "noeviction"
    assert found["server"]["where"].startswith("unix://")
    assert found["queues"] == found["workers"] == []
    assert found["settings"]["UNDERSTUDY_THREADS"] == 8


def test_lag_holders_and_dead_letters_of_a_real_server_are_shown(on_server: Here) -> None:
    broker = runtime.build(load(Settings))
    for number in range(3):
        message: Message[object] = Message("mail", "write", (number,), {}, {})
        broker.enqueue(message)
    consumer = broker.consume("mail", prefetch=2, timeout=1)
    next(consumer)
    keys = broker.keys_of("mail")
    broker.storage.call("ZADD", keys.delayed, int((clock.now() - 600) * 1000), "m|1")
    broker.storage.call("ZADD", keys.dead, 1, "m1|mail/dead/1-0", 2, "m2|mail/2/2-0")
    found = json.loads(on_server("doctor", "--json").out)
    (queue,) = found["queues"]
    assert {name: queue[name] for name in ("waiting", "held", "delayed", "dead", "poison")} == {
        "waiting": 1, "held": 2, "delayed": 1, "dead": 2, "poison": 1
    }  # fmt: skip
    assert 0 <= queue["oldest"] < 60
    assert 590 < queue["overdue"] < 700
    assert queue["holders"] == {broker.worker_id: 2}
    (worker,) = found["workers"]
    assert (worker["id"], worker["holds"], worker["alive"]) == (broker.worker_id, 2, True)
    ended = on_server("doctor")
    assert ended.code == 0
    assert "warning queue 'mail' holds delayed messages that have been due for 10 min" in ended.text
    assert f"{broker.worker_id} holds 2 alive" in ended.text


def test_a_real_server_that_evicts_or_keeps_no_log_is_told(on_server: Here) -> None:
    storage = runtime.build_storage(load(Settings))
    try:
        storage.client.config_set("maxmemory-policy", "allkeys-lru")
        storage.client.config_set("appendonly", "no")
        ended = on_server("doctor")
    finally:
        storage.client.config_set("maxmemory-policy", "noeviction")
        storage.client.config_set("appendonly", "yes")
    assert ended.code == Exit.FAILED
    assert "WRONG eviction maxmemory-policy allkeys-lru" in ended.text
    assert "warning persistence AOF is off" in ended.text


def test_something_wrong_ends_with_1(on_server: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    evicting = Findings(replace(FINE, policy="allkeys-lru"), {}, [QUIET], [ALIVE])
    monkeypatch.setattr(doctor, "examine", lambda settings, limit: evicting)
    ended = on_server("doctor")
    assert ended.code == Exit.FAILED
    assert "WRONG eviction" in ended.text
    assert json.loads(on_server("doctor", "--json").out)["verdict"] == "wrong"


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_a_server_that_hangs_ends_with_3_in_time(
    here: Here, monkeypatch: pytest.MonkeyPatch, silent_server: str
) -> None:
    monkeypatch.setenv("REDIS_URL", silent_server)
    begun = clock.monotonic()
    ended = here("doctor")
    assert ended.code == Exit.SERVER
    assert "did not answer" in ended.err
    assert clock.monotonic() - begun < 8  # the promise itself, not a guess about this machine


def test_answers_that_are_slow_together_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(Inspection, "server", lambda self: release.wait(30))
    try:
        with pytest.raises(ServerUnavailable, match=r"did not answer within 0\.05 seconds"):
            doctor.examine(load(Settings), 0.05)
    finally:
        release.set()
