from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from dramatiq.middleware import TimeLimitExceeded as InThread

from understudy import CircuitBreaker
from understudy.errors import DeclarationError, SoftTimeLimitExceeded, TimeLimitExceeded


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"failures": 0}, "failures"),
        ({"failures": True}, "failures"),
        ({"failures": 1.5}, "failures"),
        ({"within": 0}, "within"),
        ({"cooldown": timedelta(seconds=-1)}, "cooldown"),
        ({"cooldown": 60, "longest": 59}, "longest"),
        ({"patience": 0}, "patience"),
        ({"on": int}, "on"),
        ({"on": (OSError, str)}, "on"),
        ({"on": "OSError"}, "on"),
        ({"answers": int}, "answers"),
        ({"key": "{"}, "key"),
        ({"key": 7}, "key"),
    ],
)
def test_a_wrong_field_is_named(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(DeclarationError, match=rf"CircuitBreaker\.{field}"):
        CircuitBreaker(**wrong)


def test_what_neither_counts_nor_is_an_answer_says_nothing() -> None:
    breaker = CircuitBreaker(on=OSError, answers=(KeyError, TimeoutError))
    assert breaker.verdict(None) == "done"
    assert breaker.verdict(ConnectionError()) == "failed"
    assert breaker.verdict(KeyError()) == "done"
    assert breaker.verdict(TimeoutError()) == "failed", "what counts is no answer"
    assert breaker.verdict(ValueError()) == "nothing"


@pytest.mark.parametrize("limit", [TimeLimitExceeded(), SoftTimeLimitExceeded(), InThread()])
def test_a_body_that_was_ended_at_a_time_limit_counts_whatever_is_declared(limit: BaseException) -> None:
    assert CircuitBreaker(on=KeyError, answers=Exception).verdict(limit) == "failed"


def test_which_failures_count_is_said_by_classes_or_by_a_function() -> None:
    assert CircuitBreaker(on=OSError).covers(TimeoutError())
    assert not CircuitBreaker(on=(OSError,)).covers(ValueError())
    by_function = CircuitBreaker(on=lambda error: "down" in str(error))
    assert by_function.covers(ValueError("down"))
    assert not by_function.covers(ValueError("up"))
    assert CircuitBreaker().covers(RuntimeError())


def test_one_member_of_a_group_says_that_it_is_broken() -> None:
    group = ExceptionGroup("a", [ValueError(), OSError()])
    assert CircuitBreaker(on=OSError).covers(group)
    assert not CircuitBreaker(on=KeyError).covers(group)
    assert CircuitBreaker(on=ExceptionGroup).covers(group)
