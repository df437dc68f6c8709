from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from understudy import client, progress
from understudy.actors import actor
from understudy.brokers.settlement import SettlingBroker
from understudy.cli.console import Exit
from understudy.cli.watch import Watch

from .helpers import Here

pytestmark = pytest.mark.brokers("server")


@pytest.fixture
def ended(broker: SettlingBroker, drain: Callable[..., int]) -> SettlingBroker:
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
