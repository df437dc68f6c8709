"""Metrics as a worker serves them. That they add up through a kill is shown with real processes (tests/chaos)."""

from __future__ import annotations

import socket
from urllib.request import urlopen

import pytest

from middleware import metrics as module
from middleware.metrics import Metrics
from tests.understudy.brokers.helpers import working
from understudy import actor
from understudy.brokers.redis import RedisBroker
from understudy.errors import SettingsError
from understudy.testing.conditions import wait_until


def test_a_worker_serves_them_while_it_runs(broker: RedisBroker) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    settings = broker.settings.model_copy(update={"metrics_port": port})
    broker.add_middleware(Metrics(settings, buckets=(2, 1)))

    @actor
    def body() -> None: ...

    def served() -> str:
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    with working(broker):
        assert list(broker.buckets) == [1, 2]
        body.send()
        line = 'understudy_body_seconds_bucket{actor="body",le="1.0",outcome="success",queue="default"} 1.0'
        wait_until(lambda: line in served(), what="the execution is counted")
    assert served() == ""


def test_without_a_port_nothing_is_served(broker: RedisBroker) -> None:
    metrics = Metrics(broker.settings)
    metrics.after_worker_boot(broker, None)
    assert metrics._exporter is None
    metrics.after_worker_shutdown(broker, None)


def test_a_port_without_the_client_is_a_wrong_setting(broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    settings = broker.settings.model_copy(update={"metrics_port": 9_191})
    with pytest.raises(SettingsError, match=r"pip install 'understudy\[metrics\]'"):
        Metrics(settings)
    Metrics(broker.settings)
