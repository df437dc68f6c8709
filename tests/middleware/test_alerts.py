"""Failures that are told: once per message, once per cause and time, by all workers together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from dramatiq import Broker, Middleware
from freezegun.api import FrozenDateTimeFactory

from middleware.alerts import Alerts
from understudy import Alert, Errors, Retry, actor, handle, retry
from understudy.brokers.redis import RedisBroker
from understudy.testing.faults import Faults

Drain = Callable[..., int]


class Wrong(Exception):
    """A person must look."""


@pytest.fixture
def told(broker: RedisBroker) -> list[Any]:
    return []


@pytest.fixture
def table(broker: RedisBroker, told: list[Any]) -> Errors:
    @actor
    def page(alert: dict[str, Any], *more: Any) -> None:
        told.append((alert, *more))

    return Errors(
        (
            (Wrong, "alert"),
            (TimeoutError, "retry, then alert"),
            (LookupError, "retry"),
            (ZeroDivisionError, "fail"),
        ),
        alert=Alert(to=page.message("ops"), every=timedelta(minutes=10)),
    )


def alerts(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [line.alert for line in caplog.records if line.levelno == logging.CRITICAL]  # type: ignore[attr-defined]


def until_quiet(drain: Drain, freezer: FrozenDateTimeFactory, rounds: int = 8) -> None:
    for _ in range(rounds):
        drain()
        freezer.tick(6)


def test_the_table_goes_before_the_policy(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, table: Errors, told: list[Any]
) -> None:
    ran: list[str] = []
    kinds = {"wrong": Wrong, "late": TimeoutError, "missing": KeyError, "zero": ZeroDivisionError, "other": ValueError}

    @actor(retry=Retry(1, on=(Wrong, ZeroDivisionError, ValueError), backoff=1), errors=table)
    def body(kind: str) -> None:
        ran.append(kind)
        raise kinds[kind]

    for kind in kinds:
        body.send(kind)
    drain()
    assert sorted(error["error"].rpartition(".")[2] for error, _ in told) == ["Wrong"], "the others are not over"
    until_quiet(drain, freezer)
    assert {kind: ran.count(kind) for kind in kinds} == {"wrong": 1, "late": 2, "missing": 2, "zero": 1, "other": 2}
    assert [error["error"].rpartition(".")[2] for error, _ in told] == ["Wrong", "TimeoutError"]


def test_an_alert_says_what_failed_and_no_text(
    broker: RedisBroker, drain: Drain, table: Errors, told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    @actor(queue_name="work", errors=table, retry=Retry(0))
    def body() -> None:
        raise Wrong("5ecret")

    message = body.send()
    drain()
    expected = {
        "actor": "body",
        "queue": "work",
        "message_id": message.message_id,
        "error": "tests.middleware.test_alerts.Wrong",
        "attempts": 1,
        "more": 0,
        "every": 600.0,
    }
    assert told == [(expected, "ops")]
    assert alerts(caplog) == [expected]
    assert not [line for line in caplog.records if line.levelno == logging.CRITICAL and "5ecret" in line.getMessage()]


def test_ten_thousand_failures_are_one_alert_and_the_next_one_counts_them(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, table: Errors, told: list[Any], faults: Faults
) -> None:
    @actor(errors=table, retry=Retry(0))
    def body() -> None:
        raise Wrong

    @actor(errors=table, retry=Retry(0))
    def other() -> None:
        raise Wrong

    for _ in range(50):
        body.send()
    other.send()
    drain()
    assert sorted(alert["actor"] for alert, _ in told) == ["body", "other"]
    assert faults.exchanges.count("alert") == 2, "a flood asks nobody"
    freezer.tick(601)
    body.send()
    drain()
    assert (told[-1][0]["actor"], told[-1][0]["more"]) == ("body", 49)


def test_all_workers_together_tell_a_cause_once(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, table: Errors, told: list[Any]
) -> None:
    @actor(errors=table, retry=Retry(0))
    def body() -> None:
        raise Wrong

    (mine,) = (part for part in broker.middleware if isinstance(part, Alerts))
    for _ in range(3):
        body.send()
        drain()
        mine._known.clear()  # what another process knows
    assert len(told) == 1
    freezer.tick(601)
    body.send()
    drain()
    assert [alert["more"] for alert, _ in told] == [0, 2]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_question_that_is_asked_again_has_the_same_answer_and_an_outage_silences_nobody(
    broker: RedisBroker, drain: Drain, table: Errors, told: list[Any], faults: Faults, when: Any
) -> None:
    @actor(errors=table, retry=Retry(0))
    def body() -> None:
        raise Wrong

    faults.fail("alert", when=when)
    for _ in range(3):
        body.send()
    drain()
    assert len(told) == 1


@pytest.mark.parametrize("end", ["asked", "hook", "poison", "local"])
def test_every_way_to_fail_is_looked_up(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    caplog: pytest.LogCaptureFixture,
    end: str,
) -> None:
    class Local(Exception):
        """Cannot be found by a reader of the record."""

    class Breaks(Middleware):
        def after_process_message(self, broker: Broker, message: Any, **ended: Any) -> None:
            raise RuntimeError

    names = {
        "asked": "tests.middleware.test_alerts.Wrong",
        "hook": "understudy.errors.HookFailed",
        "poison": "understudy.errors.PoisonMessage",
        "local": f"{__name__}.{Local.__qualname__}",
    }
    everything = Errors(((Local, "alert"), (lambda error: names[end].endswith(type(error).__name__), "alert")))

    @actor(errors=everything, retry=Retry(0))
    def body() -> None:
        if end == "asked":
            raise retry(exc=Wrong())
        if end == "poison":
            faults.kill_worker()
        if end == "local":
            raise Local

    if end == "hook":
        broker.add_middleware(Breaks())
    found = handle(body.send())
    until_quiet(drain, freezer, 12)
    assert found.status == "FAILURE"
    assert [(alert["error"], alert["message_id"]) for alert in alerts(caplog)] == [(names[end], found.id)]


def test_an_alert_that_cannot_be_sent_is_in_the_log(
    broker: RedisBroker, drain: Drain, caplog: pytest.LogCaptureFixture
) -> None:
    @actor(errors=Errors(((Wrong, "alert"),), alert=Alert(to="nobody")))
    def body() -> None:
        raise Wrong

    body.send()
    drain()
    assert len(alerts(caplog)) == 1
    assert "the alert could not be sent" in caplog.text
