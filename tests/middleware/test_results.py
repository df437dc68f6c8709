"""``message.get_result()`` reads what ``States`` recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dramatiq.results import ResultFailure, ResultMissing, ResultTimeout

from understudy import actor
from understudy.brokers.settlement import SettlingBroker

Drain = Callable[..., int]


def test_a_result_is_found_as_in_dramatiq(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def add(x: int, y: int) -> int:
        return x + y

    message = add.send(1, 2)
    with pytest.raises(ResultMissing):
        message.get_result()
    with pytest.raises(ResultTimeout):
        message.get_result(block=True, timeout=50)
    drain()
    assert message.get_result() == 3
    assert message.get_result(block=True, timeout=50) == 3


def test_a_failure_is_told_with_type_and_text(broker: SettlingBroker, drain: Drain) -> None:
    @actor
    def fail() -> None:
        raise ZeroDivisionError("by zero")

    message = fail.send()
    drain()
    with pytest.raises(ResultFailure, match="by zero") as caught:
        message.get_result()
    assert caught.value.orig_exc_type == "ZeroDivisionError"


def test_nobody_is_told_that_a_result_was_discarded(
    broker: SettlingBroker, drain: Drain, caplog: pytest.LogCaptureFixture
) -> None:
    @actor
    def answer() -> int:
        return 42

    answer.send()
    drain()
    assert "discarded" not in caplog.text
