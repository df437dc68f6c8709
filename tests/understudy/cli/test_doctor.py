from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from understudy import clock
from understudy.cli import doctor
from understudy.cli.console import Exit
from understudy.cli.doctor import Check, Findings, judge
from understudy.errors import ServerUnavailable
from understudy.inspection import Inspection, Queue, ServerFacts, Worker
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
QUIET = Queue("mail", waiting=0, in_hand=0, delayed=0, dead=0, announced=True)
ALIVE = Worker("w1", 0.1)


def verdicts(
    *, queues: tuple[Queue, ...] = (QUIET,), workers: tuple[Worker, ...] = (ALIVE,), **server: Any
) -> list[Check]:
    """What is not fine."""
    findings = Findings(replace(FINE, **server), {"write": "mail"}, list(queues), list(workers))
    return [check for check in judge(Settings(), findings) if check.verdict != "ok"]


def test_all_is_well_with_a_good_server_and_a_worker() -> None:
    assert verdicts() == []
    assert verdicts(fsync="always") == []


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
        ({"workers": ()}, "workers", "warning", "start `understudy worker`"),
    ],
)
def test_what_is_not_fine_is_told_with_what_to_do(server: dict[str, Any], name: str, verdict: str, said: str) -> None:
    (check,) = verdicts(**server)
    assert (check.name, check.verdict) == (name, verdict)
    assert said in check.text


def test_a_policy_of_persistence_that_is_not_told_is_no_mistake() -> None:
    assert verdicts(fsync=None) == []


def test_a_good_server_without_workers_ends_with_0_and_a_warning(on_server: Here) -> None:
    ended = on_server("doctor")
    assert ended.code == 0
    assert "warning workers none was heard of within 5 s" in ended.text
    assert "ok persistence AOF, appendfsync everysec" in ended.text
    assert "UNDERSTUDY_NAMESPACE=" in ended.out


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
