"""The numbers that two worker processes serve add up to what ran, through a kill -9 of the one that serves them."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.runners import MODULE, Runner, Stage
from tests.understudy.brokers.servers import real_server
from understudy.testing.conditions import wait_until

TIMEOUT = 60.0
COUNTED = (
    MODULE
    + """
from understudy import Retry
from understudy.execution import current

@actor(retry=Retry(2, backoff=0.05, factor=1, jitter="none"))
def flaky(folder, x):
    note(folder, "begin", x)
    if x % 3 == 0 or current().retries == 0:
        raise ValueError
"""
)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """Name and labels (actor, outcome) of every sample -> its value; nothing while nobody serves."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except URLError:
        return {}
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *(sample.labels[label] for label in ("actor", "outcome") if label in sample.labels))
            found[key] = found.get(key, 0) + sample.value
    return found


def test_metrics_of_two_processes_add_up_to_what_ran_through_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("UNDERSTUDY_METRICS_PORT", str(port))
    with ExitStack() as stack, real_server(tmp_path, aof=True) as server:
        stage = Stage(tmp_path, server)
        stack.callback(stage.broker.close)
        (tmp_path / "counted.py").write_text(COUNTED)
        runners = [Runner(stage, f"worker-{number}", module="counted") for number in range(2)]
        for runner in runners:
            stack.callback(runner.stop)
            runner.ready()
        wait_until(lambda: scrape(port), timeout=TIMEOUT, what="somebody serves the metrics")
        (serving,) = (runner for runner in runners if runner.says("/metrics"))

        held = [stage.send("work", x, "go") for x in range(4)]
        wait_until(lambda: len(stage.journal("begin")) == 4, timeout=TIMEOUT, what="all threads are at work")
        # Behind these wait the others, some of them fetched by the one that dies.
        quick = [stage.send("work", x) for x in range(4, 204)]
        flaky = [stage.send("flaky", x) for x in range(1_000, 1_060)]
        victim = next(line.pid for line in stage.journal("begin") if parent_of(line.pid) == serving.process.pid)
        stage.open_gate()
        wait_until(lambda: len(stage.journal("end")) > 20, timeout=TIMEOUT, what="it is in the middle of its work")
        os.kill(victim, signal.SIGKILL)

        for handle in [*held, *quick]:
            assert handle.get(timeout=TIMEOUT)
        failed = [handle for handle in flaky if handle.get(timeout=TIMEOUT, propagate=False) is not None]
        assert len(failed) == 20
        wait_until(lambda: scrape(port), timeout=TIMEOUT, what="the other process serves")
        found = scrape(port)

    assert {key: value for key, value in found.items() if key[0] == "understudy_executions_total"} == {
        ("understudy_executions_total", "work", "success"): 204,
        ("understudy_executions_total", "flaky", "success"): 40,
        ("understudy_executions_total", "flaky", "failure"): 20,
        ("understudy_executions_total", "flaky", "retry"): 80,
    }
    counts = {key[1:]: value for key, value in found.items() if key[0] == "understudy_body_seconds_count"}
    assert counts == {
        ("work", "success"): 204,
        ("flaky", "success"): 40,
        ("flaky", "failure"): 20,
        ("flaky", "retry"): 80,
    }
    assert len(stage.journal("end")) >= 204, "what died in the middle ran again, and counts once"
    assert found["understudy_server_up",] == 1
