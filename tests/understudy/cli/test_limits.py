from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import ConcurrencyLimit, RateLimit, actor
from understudy.brokers.settlement import SettlingBroker

from .helpers import Here

pytestmark = pytest.mark.brokers("server")


@pytest.fixture
def command(here: Here, broker: SettlingBroker, server_url: str, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("REDIS_URL", server_url)
    monkeypatch.setenv("UNDERSTUDY_NAMESPACE", broker.storage.keys.namespace)
    return here


def test_limits_are_shown_with_who_is_next(command: Here, broker: SettlingBroker, drain: Callable[..., int]) -> None:
    @actor(rate_limit=RateLimit(1, per=3_600, key="smtp:{host}"))
    def mail(host: str) -> None: ...

    @actor(concurrency_limit=ConcurrencyLimit(4))
    def query() -> None: ...

    sent = [mail.send("mx.example") for _ in range(3)]
    query.send()
    drain()
    said = command("limits")
    assert said.code == 0
    lines = {line.split()[0]: line for line in said.out.splitlines()}
    assert "1 in 3600 s (bucket)" in lines["rate:key:smtp:mx.example"]
    assert f"{sent[1].message_id} in 3.6e+03 s" in lines["rate:key:smtp:mx.example"]
    assert "4 at once" in lines["places:actor:query"]


def test_scripts_get_a_line_of_json_for_each(
    command: Here, broker: SettlingBroker, drain: Callable[..., int], freezer: FrozenDateTimeFactory
) -> None:
    @actor(rate_limit=RateLimit(1, per=10))
    def mail() -> None: ...

    mail.send()
    second = mail.send().message_id
    drain()
    (line,) = command("limits", "--json").out.splitlines()
    assert json.loads(line) == {
        "name": "rate:actor:mail",
        "kind": "bucket",
        "most": 1,
        "per": 10.0,
        "used": 1,
        "waiting": 1,
        "first": [{"queue": "default", "message_id": second, "seconds": 10.0}],
    }


def test_without_limits_it_says_so(command: Here, broker: SettlingBroker) -> None:
    assert "no limit was asked of" in command("limits").out
