"""Real worker processes on a real embedded server, spoken to by the command line only."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from understudy.cli.console import Exit
from understudy.cli.worker import _settle
from understudy.testing.conditions import wait_until

from .helpers import ACTORS, READY, Here, Running, environment, there, worker


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return environment(tmp_path_factory.mktemp("data"), LOG_FORMAT="json")


@pytest.fixture(scope="module")
def running(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that several tests use."""
    with worker(env, tmp_path_factory.mktemp("logs") / "worker.log") as running:
        yield running
        running.tell(signal.SIGTERM)
        assert running.wait() == Exit.OK


def state(env: dict[str, str], message_id: str) -> str:
    return str(json.loads(there(env, "status", message_id, "--json").out)["state"])


def test_a_message_is_sent_worked_on_and_waited_for(env: dict[str, str], running: Running) -> None:
    ended = there(env, "send", "add", "--args", "[1, 2]", "--wait", "30", "--json")
    row = json.loads(ended.out)
    assert (ended.code, row["state"], row["result"], row["attempts"]) == (0, "SUCCESS", 3, 1)
    assert state(env, row["id"]) == "SUCCESS"


def test_waiting_for_a_failure_ends_with_1_and_its_exception(env: dict[str, str], running: Running) -> None:
    ended = there(env, "send", "fail", "--args", '["secret-argument"]', "--wait")
    assert ended.code == Exit.FAILED
    assert "ValueError" in ended.out


def test_watching_follows_until_the_end(env: dict[str, str], running: Running, tmp_path: Path) -> None:
    signal_file = tmp_path / "go"
    there(env, "send", "wait_for_file", "--args", json.dumps([str(signal_file)]), "--message-id", "followed")
    watching = Running(env, tmp_path / "watch.log", "-m", "understudy.cli", "status", "followed", "--watch", "--json")
    with watching:
        watching.await_line('"state": "PROGRESS"')
        signal_file.touch()
        assert watching.wait() == Exit.OK
    states = [json.loads(line)["state"] for line in watching.said.splitlines()]
    assert states[-1] == "SUCCESS"


def test_log_lines_say_which_message_and_never_its_arguments(env: dict[str, str], running: Running) -> None:
    there(env, "send", "fail", "--kwargs", '{"text": "t"}', "--message-id", "logged", "--wait")
    there(env, "send", "add", "--args", '["tell-nobody", 2]', "--message-id", "argued", "--wait")
    running.await_line('"logged"')
    lines = [json.loads(line) for line in running.said.splitlines()]
    about = [line for line in lines if line.get("message_id") == "logged"]
    assert about
    assert all((line["actor"], line["queue"], line["attempt"]) == ("fail", "sums", 1) for line in about)
    assert all({"timestamp", "level", "logger", "event", "pid"} <= line.keys() for line in lines)
    assert "ValueError (its text is not logged" in about[0]["exception"]
    assert not [line for line in lines if "tell-nobody" in line["event"]]


def test_the_doctor_sees_the_worker_and_its_actors(env: dict[str, str], running: Running) -> None:
    found = json.loads(there(env, "doctor", "--json").out)
    assert len(found["workers"]) == 1
    assert found["actors"]["add"] == "sums"
    assert [queue["name"] for queue in found["queues"]] == ["slow", "sums"]


def test_sigterm_lets_running_work_finish(env: dict[str, str], tmp_path: Path) -> None:
    go = tmp_path / "go"
    with worker(environment(tmp_path / "data"), tmp_path / "log") as running:
        own = environment(tmp_path / "data")
        there(own, "send", "wait_for_file", "--args", json.dumps([str(go)]), "--message-id", "m1")
        wait_until((tmp_path / "go.begun").exists)
        running.tell(signal.SIGTERM)
        running.await_line("Shutting down...")
        go.touch()
        assert running.wait() == Exit.OK
        assert state(own, "m1") == "SUCCESS"


def test_what_cannot_finish_is_handed_back_and_the_next_worker_goes_on(tmp_path: Path) -> None:
    own = environment(tmp_path / "data")
    items = json.dumps([str(tmp_path), ["a", "stop", "b", "c"]])
    journal = tmp_path / "done"
    with worker(own, tmp_path / "first.log") as running:
        there(own, "send", "count", "--args", items, "--message-id", "m1")
        wait_until(lambda: journal.exists() and "stop" in journal.read_text())
        running.tell_all(signal.SIGTERM)  # the process and its children, as systemd does
        assert running.wait() == Exit.OK
    assert journal.read_text().split() == ["a", "stop"]
    with worker(own, tmp_path / "second.log") as running:
        ended = there(own, "status", "m1", "--watch", "--json")
        row = json.loads(ended.out.splitlines()[-1])
        assert (row["state"], row["attempts"]) == ("SUCCESS", 1)
        running.tell(signal.SIGTERM)
        running.wait()
    assert journal.read_text().split() == ["a", "stop", "b", "c"]


def test_the_dramatiq_command_runs_the_same_modules(tmp_path: Path) -> None:
    own = environment(tmp_path / "data")
    command = ["-m", "dramatiq", ACTORS, "--processes", "1", "--threads", "2"]
    with Running(own, tmp_path / "log", *command) as running:
        running.await_line(READY)
        ended = there(own, "send", "add", "--queue", "sums", "--args", "[1, 2]", "--wait", "30", "--json")
        assert json.loads(ended.out)["result"] == 3
        running.tell(signal.SIGTERM)
        assert running.wait() == Exit.OK


def test_the_dramatiq_command_runs_tasks(tmp_path: Path) -> None:
    with Running(environment(tmp_path / "data"), tmp_path / "log", "-m", "dramatiq", "tasks", "-p", "1") as running:
        running.await_line(READY)
        running.tell(signal.SIGTERM)
        assert running.wait() == Exit.OK


def test_a_worker_listens_to_some_queues_only(tmp_path: Path) -> None:
    own = environment(tmp_path / "data", LOG_LEVEL="DEBUG")
    with worker(own, tmp_path / "log", "-Q", "slow") as running:
        running.tell(signal.SIGTERM)
        assert running.wait() == Exit.OK
        assert "Dropping consumer for queue 'sums': not whitelisted." in running.said
        assert "Dropping consumer for queue 'slow'" not in running.said


def test_a_queue_without_actors_is_refused_with_a_near_one(tmp_path: Path) -> None:
    ended = there(environment(tmp_path), "worker", "-Q", "slow,sms")
    assert ended.code == Exit.USAGE
    assert "--queues: no actor has the queue 'sms'; did you mean 'sums'?; there are: slow, sums" in ended.err


def test_modules_that_cannot_be_imported_end_with_2_before_anything_starts(tmp_path: Path) -> None:
    ended = there(environment(tmp_path / "data"), "worker", "no_such_module")
    assert ended.code == Exit.USAGE
    assert "cannot import 'no_such_module'" in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "data").exists()


def test_a_server_that_is_away_ends_with_3_before_anything_starts(tmp_path: Path) -> None:
    ended = there(environment(tmp_path, REDIS_URL="redis://:hush@127.0.0.1:1"), "worker")
    assert ended.code == Exit.SERVER
    assert "the server did not answer (PING)" in ended.err
    assert READY not in ended.err
    assert "hush" not in ended.err


@pytest.mark.parametrize("words", [["--processes", "0"], ["--threads", "x"], ["--shutdown-timeout", "-1"], ["--what"]])
def test_wrong_options_end_with_2(here: Here, words: list[str]) -> None:
    ended = here("worker", *words)
    assert ended.code == Exit.USAGE
    assert words[0] in ended.err


def test_arguments_win_over_the_environment_and_reach_the_worker_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROKER_URL")
    for name, value in {"MODULES": "a", "PROCESSES": "5", "THREADS": "5", "SHUTDOWN_TIMEOUT": "5"}.items():
        monkeypatch.setenv(f"UNDERSTUDY_{name}", value)
    settings = _settle(["b", "c.d"], None, 3, 1.5)
    assert (settings.modules, settings.processes, settings.threads) == (("b", "c.d"), 5, 3)
    assert settings.shutdown_timeout == 1.5


def test_a_module_of_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("raise ValueError('found it')")
    program = f"import os; os.chdir({str(tmp_path)!r}); from understudy.cli import main; raise SystemExit(main())"
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(program)
    with Running(environment(tmp_path / "data"), tmp_path / "log", str(script), "worker", "mine") as running:
        assert running.wait() == Exit.USAGE
        assert "found it" in running.said
    assert sys.path[0] != str(tmp_path)
