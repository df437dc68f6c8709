from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from understudy import handle
from understudy.actors import actor
from understudy.brokers.settlement import SettlingBroker
from understudy.execution import current

from .helpers import Here

pytestmark = pytest.mark.brokers("server")


@pytest.fixture
def command(here: Here, broker: SettlingBroker, server_url: str, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("REDIS_URL", server_url)
    monkeypatch.setenv("UNDERSTUDY_NAMESPACE", broker.storage.keys.namespace)
    return here


def test_waiting_messages_are_revoked(command: Here, broker: SettlingBroker, drain: Callable[..., int]) -> None:
    @actor(broker=broker)
    def work() -> None:
        raise AssertionError("it must not run")

    ids = [work.send().message_id, work.send_with_options(delay=60_000).message_id]
    said = command("revoke", *ids, "unknown")
    assert said.code == 0
    assert said.out.split() == [word for id in [*ids, "unknown"] for word in (id, "REVOKED")]
    drain()
    assert [handle(id).status for id in ids] == ["REVOKED", "REVOKED"]


def test_what_runs_and_what_has_ended_is_said(command: Here, broker: SettlingBroker, drain: Callable[..., int]) -> None:
    said: list[str] = []

    @actor(broker=broker)
    def work(*words: str) -> None:
        execution = current()
        assert execution is not None
        said.append(command("revoke", *words, execution.message_id).text)

    first = work.send()
    work.send("--terminate")
    drain()
    assert "it runs, to its end; it will not run again" in said[0]
    assert "it runs; its body is being ended" in said[1]
    assert "SUCCESS: it had ended before" in command("revoke", first.message_id).text


def test_scripts_get_a_line_of_json_for_each(command: Here) -> None:
    lines = command("revoke", "--json", "a", "b").out.splitlines()
    assert [json.loads(line) for line in lines] == [{"id": "a", "state": "REVOKED"}, {"id": "b", "state": "REVOKED"}]
