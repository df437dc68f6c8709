"""Tables of errors, as values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from understudy import Alert, Errors, Retry, actor, handle
from understudy.brokers.redis import RedisBroker
from understudy.errors import DeclarationError


def test_the_first_rule_that_covers_an_exception_counts() -> None:
    table = Errors(
        (
            (FileNotFoundError, "fail"),
            ((OSError, TimeoutError), "retry"),
            (lambda error: "busy" in str(error), "retry, then alert"),
            (Exception, "alert"),
        )
    )
    found = [table.verdict(error) for error in (FileNotFoundError(), OSError(), ValueError("busy"), ValueError())]
    assert found == ["fail", "retry", "retry, then alert", "alert"]
    assert Errors(((KeyError, "fail"),)).verdict(ValueError()) is None
    assert table.retries
    assert not Errors(((KeyError, "fail"),)).retries


def test_the_gravest_that_becomes_of_a_member_becomes_of_a_group() -> None:
    table = Errors(((KeyError, "alert"), (ValueError, "fail"), (OSError, "retry, then alert"), (EOFError, "retry")))

    def verdict(*errors: Exception) -> object:
        return table.verdict(ExceptionGroup("a", errors))

    assert verdict(EOFError(), ValueError(), KeyError()) == "alert"
    assert verdict(EOFError(), ValueError(), TypeError()) == "fail"
    assert verdict(EOFError(), OSError()) == "retry, then alert"
    assert verdict(EOFError(), TypeError()) is None, "the policy is asked"
    assert Errors(((ExceptionGroup, "fail"), (EOFError, "retry"))).verdict(ExceptionGroup("a", [EOFError()])) == "fail"


def test_a_member_that_no_rule_covers_is_left_to_the_policy(drain: Callable[..., int], broker: RedisBroker) -> None:
    @actor(errors=Errors(((KeyError, "retry"),)), retry=Retry(2, on=OSError, backoff=0))
    def body(*names: str) -> None:
        errors: dict[str, Exception] = {"key": KeyError(), "os": OSError(), "value": ValueError()}
        raise ExceptionGroup("a", [errors[name] for name in names])

    retried, failed = body.send("key", "os"), body.send("key", "value")
    drain()
    assert [handle(message).retries for message in (retried, failed)] == [2, 0]


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ((), "Errors.rules is a tuple of pairs"),
        ([(KeyError, "fail")], "Errors.rules is a tuple of pairs"),
        ((KeyError, "fail"), "no pair"),
        (((KeyError, "alarm"),), "a verdict is one of"),
        (((int, "fail"),), "neither exception classes nor a function"),
        ((((KeyError, 3), "fail"),), "neither exception classes nor a function"),
        ((("KeyError", "fail"),), "neither exception classes nor a function"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(rules: Any, text: str) -> None:
    with pytest.raises(DeclarationError, match=text):
        Errors(rules)


def test_a_wrong_alert_says_what_is_wrong() -> None:
    with pytest.raises(DeclarationError, match=r"Alert\.every"):
        Alert(every=0)
    with pytest.raises(DeclarationError, match=r"Alert\.to takes an actor"):
        Alert(to=3)
    with pytest.raises(DeclarationError, match=r"Errors\.alert takes an Alert"):
        Errors(((KeyError, "fail"),), alert="ops")  # type: ignore[arg-type]  # that is the case


def test_a_table_that_retries_needs_a_policy(broker: RedisBroker) -> None:
    with pytest.raises(DeclarationError, match=r"retry=\.\.\. is missing"):
        actor(actor_name="a", errors=Errors(((KeyError, "retry"),)))(print)
    with pytest.raises(DeclarationError, match="errors takes a Errors"):
        actor(actor_name="b", errors="retry", retry=Retry(1))(print)  # type: ignore[call-overload]  # that is the case
