from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from understudy.actors import actor
from understudy.brokers.settlement import SettlingBroker

from .helpers import Here

pytestmark = pytest.mark.brokers("server")


@pytest.fixture
def command(here: Here, broker: SettlingBroker, server_url: str, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("REDIS_URL", server_url)
    monkeypatch.setenv("UNDERSTUDY_NAMESPACE", broker.storage.keys.namespace)
    return here


def test_executions_are_shown_by_actor(command: Here, broker: SettlingBroker, drain: Callable[..., int]) -> None:
    assert "nothing has been executed yet" in command("stats").err

    @actor(broker=broker, queue_name="mail")
    def work(fail: bool) -> None:
        if fail:
            raise ValueError

    for fail in (False, False, True):
        work.send(fail)
    drain()
    said = command("stats")
    head, row = said.out.splitlines()
    assert head.split() == ["actor", "queue", "success", "failure", "retry", "other", "mean", "body"]
    assert row.split()[:6] == ["work", "mail", "2", "1", "0", "0"]
    lines = [json.loads(line) for line in command("stats", "--json").out.splitlines()]
    assert [(line["actor"], line["outcome"], line["count"]) for line in lines] == [
        ("work", "failure", 1),
        ("work", "success", 2),
    ]
