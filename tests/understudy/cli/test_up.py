from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from understudy import clock
from understudy.cli import up
from understudy.cli.console import Exit
from understudy.cli.preflight import Modules
from understudy.embedded import EmbeddedServer
from understudy.settings import Settings
from understudy.supervisor.signals import SAME_SIGNAL
from understudy.testing.conditions import wait_until

from .helpers import READY, Running, environment, there


def start(directory: Path, *words: str) -> Running:
    return Running(environment(directory / "data"), directory / "log", "-m", "understudy.cli", "up", *words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_of_it_ends_it_with_0_and_the_server_with_it(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path) as running:
        running.await_line(READY)
        assert f"Server embedded, data in {tmp_path}/data/server" in " ".join(running.said.split())
        assert there(environment(tmp_path / "data"), "send", "add", "--args", "[1, 2]", "--wait", "30").code == 0
        server = EmbeddedServer(tmp_path / "data" / "server")
        assert server.status().running
        running.tell_all(number)
        assert running.wait() == Exit.OK
        assert "Traceback" not in running.said
        wait_until(lambda: not server.status().running)


def test_a_second_ctrl_c_kills(tmp_path: Path) -> None:
    with start(tmp_path) as running:
        running.await_line(READY)
        own = environment(tmp_path / "data")
        there(own, "send", "wait_for_file", "--args", f'["{tmp_path}/never"]', "--message-id", "m1")
        wait_until((tmp_path / "never.begun").exists)
        running.tell_all(signal.SIGINT)
        pressed = clock.monotonic()
        running.await_line("Shutting down...")
        wait_until(lambda: clock.monotonic() - pressed > SAME_SIGNAL)
        running.tell_all(signal.SIGINT)
        assert running.wait() == Exit.FAILED


def test_a_scheduler_runs_beside_the_workers_and_ends_with_them(tmp_path: Path) -> None:
    env = environment(tmp_path / "data", UNDERSTUDY_MODULES="tests.understudy.cli.jobs_for_tests")
    with Running(env, tmp_path / "log", "-m", "understudy.cli", "up") as running:
        running.await_line("beat (every 0.5 s)")
        running.await_line("leads (term 1), with 1 periodic jobs")
        wait_until(lambda: "SUCCESS" in there(env, "schedule", "list").text, timeout=30)
        running.tell(signal.SIGTERM)
        assert running.wait() == Exit.OK
        assert "leads no more" in running.said


def scheduler_of(parent: int) -> int:
    """The process of the scheduler among the children of another."""
    children = [
        int(pid) for path in Path(f"/proc/{parent}/task").glob("*/children") for pid in path.read_text().split()
    ]
    (found,) = (pid for pid in children if "scheduler" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"))
    return found


def test_a_scheduler_that_dies_is_started_again(tmp_path: Path) -> None:
    env = environment(tmp_path / "data", UNDERSTUDY_MODULES="tests.understudy.cli.jobs_for_tests")
    with Running(env, tmp_path / "log", "-m", "understudy.cli", "up") as running:
        running.await_line("leads (term 1), with 1 periodic jobs")
        os.kill(scheduler_of(running.process.pid), signal.SIGKILL)
        running.await_line("the scheduler ended by itself (exit code -9)")
        running.await_line("leads (term 2), with 1 periodic jobs")
        running.tell_all(signal.SIGINT)
        assert running.wait() == Exit.OK
        assert running.said.count("ended by itself") == 1, "one that was told to end is not started again"


def test_passwords_of_the_server_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    up.announce(Settings(redis_url="redis://me:hush@host/0"), Modules(actors={"write": "mail"}, jobs={"tick": "every"}))
    said = capsys.readouterr().out
    assert "redis://me:***@host/0" in said
    assert "write (queue mail)" in said
    assert "tick (every)" in said


def test_modules_without_actors_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    up.announce(Settings(), Modules())
    assert "the modules declare no actor" in capsys.readouterr().out
