from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house.project import ROOT
from understudy import client, progress
from understudy.actors import actor
from understudy.brokers.settlement import SettlingBroker
from understudy.cli.console import Exit
from understudy.cli.watch import Watch
from understudy.testing.conditions import wait_until

from .helpers import Here, Running, environment

pytestmark = pytest.mark.brokers("server")

Drain = Callable[..., int]
#: What a terminal is told when a screen that was redrawn is left.
SHOW_CURSOR = "\x1b[?25h"


@pytest.fixture
def ended(broker: SettlingBroker, drain: Drain) -> SettlingBroker:
    """Message ``good`` has ended in SUCCESS, ``bad`` in FAILURE."""

    @actor(queue_name="mail", broker=broker)
    def work(fails: bool) -> list[str]:
        progress.update(3, 4, item="ada")
        if fails:
            raise ValueError("no such person")
        return ["done"]

    client.send_with_options("work", args=(False,), queue_name="mail", message_id="good")
    client.send_with_options("work", args=(True,), queue_name="mail", message_id="bad")
    drain()
    return broker


@pytest.fixture
def status(here: Here, ended: SettlingBroker, server_url: str, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("REDIS_URL", server_url)
    monkeypatch.setenv("UNDERSTUDY_NAMESPACE", ended.storage.keys.namespace)
    return here


def test_a_message_is_shown_by_its_id(status: Here) -> None:
    shown = status("status", "good")
    assert shown.code == 0
    for words in ("good", "SUCCESS", "work (queue mail)", "attempts 1", "3/4 item=ada", 'result ["done"]', "UTC (now)"):
        assert words in shown.text


def test_a_failure_is_shown_with_its_exception_and_exit_code_0(status: Here) -> None:
    shown = status("status", "bad")
    assert shown.code == 0
    assert "FAILURE" in shown.out
    assert "ValueError: no such person" in shown.out
    assert "Traceback" not in shown.out


def test_the_traceback_is_shown_when_asked_for(status: Here) -> None:
    shown = status("status", "bad", "--traceback")
    assert "Traceback (most recent call last)" in shown.out
    assert "in work" in shown.out


def test_an_unknown_id_is_pending_with_a_hint(status: Here) -> None:
    shown = status("status", "nobody")
    assert shown.code == 0
    assert "PENDING" in shown.out
    assert "unknown and waiting look the same" in shown.text


def test_json_is_a_line_for_each_id_in_order(status: Here) -> None:
    shown = status("status", "good", "nobody", "bad", "--json")
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert [(row["id"], row["state"], row["known"]) for row in rows] == [
        ("good", "SUCCESS", True),
        ("nobody", "PENDING", False),
        ("bad", "FAILURE", True),
    ]
    assert rows[0]["result"] == ["done"]
    assert rows[2]["exception"] == {"type": "ValueError", "message": "no such person"}


def test_watching_ends_with_1_when_one_has_failed(status: Here) -> None:
    assert status("status", "good", "--watch").code == 0
    shown = status("status", "good", "bad", "--watch")
    assert shown.code == Exit.FAILED
    assert "bad FAILURE ValueError: no such person" in shown.text


def test_watching_as_json_gives_a_line_for_each_change(status: Here) -> None:
    shown = status("status", "good", "bad", "--watch", "--json")
    assert [json.loads(line)["state"] for line in shown.out.splitlines()] == ["SUCCESS", "FAILURE"]


def test_ctrl_c_ends_a_watch_with_0(status: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Watch, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Watch, "changes", interrupted)
    shown = status("status", "nobody", "--watch")
    assert (shown.code, shown.err) == (0, "")


class Terminal:
    """A command in a process of its own that writes to a terminal."""

    def __init__(self, env: dict[str, str], *words: str) -> None:
        self.said = ""
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "understudy.cli", *words],
            env={**env, "TERM": "xterm", "LINES": "30"},
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # Linux answers so when the other side is closed
            while data := os.read(self._ours, 65_536):
                self.said += data.decode(errors="replace")

    def shows(self, text: str) -> None:
        wait_until(lambda: text in self.said or self.process.poll() is not None, timeout=30, what=text)
        assert text in self.said, self.said

    def end(self) -> int:
        code = self.process.wait(timeout=30)
        self._reader.join()
        os.close(self._ours)
        return code

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.end()


@pytest.fixture
def env(ended: SettlingBroker, server_url: str, tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path, REDIS_URL=server_url, UNDERSTUDY_NAMESPACE=ended.storage.keys.namespace)


def test_in_a_terminal_a_watch_draws_a_bar_for_each_message_until_all_have_ended(
    env: dict[str, str], drain: Drain
) -> None:
    for id, fails in (("one", False), ("two", True)):
        client.send_with_options("work", args=(fails,), queue_name="mail", message_id=id)
    with Terminal(env, "status", "good", "one", "two", "--watch") as terminal:
        terminal.shows("1 of 3 have ended")
        drain()
        terminal.shows("3 of 3 have ended")
        assert terminal.end() == Exit.FAILED
    assert "ValueError: no such person" in terminal.said
    assert terminal.said.count("━") > 30
    assert terminal.said.rstrip().endswith(SHOW_CURSOR)


def test_ctrl_c_ends_a_watch_in_a_terminal_without_a_trace(env: dict[str, str]) -> None:
    with Terminal(env, "status", "good", "nobody", "--watch") as terminal:
        terminal.shows("1 of 2 have ended")
        os.killpg(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == Exit.OK
    assert "Traceback" not in terminal.said
    assert "Aborted" not in terminal.said
    assert terminal.said.rstrip().endswith(SHOW_CURSOR)


def test_where_there_is_no_terminal_a_watch_writes_lines_and_ctrl_c_ends_it(
    env: dict[str, str], tmp_path: Path
) -> None:
    words = ("-m", "understudy.cli", "status", "good", "nobody", "--watch")
    with Running(env, tmp_path / "log", *words) as watching:
        watching.await_line("nobody  PENDING")
        watching.tell(signal.SIGINT)
        assert watching.wait() == Exit.OK
    assert [line.split()[:2] for line in watching.said.splitlines()] == [["good", "SUCCESS"], ["nobody", "PENDING"]]
