"""The options of an actor."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.errors import DeclarationError
from understudy.options import MISSING, Idempotency, Retry, lookup

WAITS = st.floats(0, 1e6)
POLICIES = st.builds(
    lambda backoff, more, factor, jitter: Retry(
        None, backoff=backoff, maximum=backoff + more, factor=factor, jitter=jitter
    ),
    WAITS,
    WAITS,
    st.floats(1, 1e300) | st.integers(1, 10**30),
    st.sampled_from(["none", "full", "equal"]),
)
#: Beyond what a float can hold as a power of anything.
RETRIES = st.integers(0, 10**7)
SHARES = st.floats(0, 1, exclude_max=True)


def seconds(value: Any) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


@given(POLICIES, RETRIES, SHARES)
def test_no_wait_is_longer_than_the_maximum_or_shorter_than_nothing(policy: Retry, n: int, share: float) -> None:
    assert 0 <= policy.delay(n, lambda: share) <= seconds(policy.maximum)


@given(WAITS, st.floats(1, 1e9), RETRIES, RETRIES)
def test_without_jitter_waits_never_get_shorter(backoff: float, factor: float, one: int, other: int) -> None:
    policy = Retry(backoff=backoff, maximum=1e7, factor=factor, jitter="none")
    assert policy.delay(min(one, other)) <= policy.delay(max(one, other))


@given(WAITS, RETRIES, SHARES)
def test_jitter_takes_its_share_of_the_plain_wait(backoff: float, n: int, share: float) -> None:
    def waits(jitter: Any) -> float:
        return Retry(backoff=backoff, maximum=1e7, jitter=jitter).delay(n, lambda: share)

    plain = waits("none")
    assert 0 <= waits("full") <= plain
    assert plain / 2 <= waits("equal") <= plain


@given(POLICIES, RETRIES, st.floats(0, 1e9), SHARES)
def test_what_an_exception_says_is_the_wait_up_to_the_maximum(policy: Retry, n: int, told: float, share: float) -> None:
    assert policy.delay(n, lambda: share, told=told) == min(told, seconds(policy.maximum))
    deaf = replace(policy, respect_retry_after=False)
    assert deaf.delay(n, lambda: share, told=told) == policy.delay(n, lambda: share)


@given(WAITS, RETRIES)
def test_jitter_reaches_from_one_end_of_its_share_to_the_other(backoff: float, n: int) -> None:
    def waits(jitter: Any, share: float) -> float:
        return Retry(backoff=backoff, maximum=1e7, jitter=jitter).delay(n, lambda: share)

    plain, almost = waits("none", 0), math.nextafter(1, 0)
    assert waits("full", 0) == 0
    assert waits("equal", 0) == plain / 2
    assert waits("full", almost) == pytest.approx(plain)
    assert waits("equal", almost) == pytest.approx(plain)


def test_the_waits_are_those_of_celery() -> None:
    assert [Retry().delay(n) for n in (0, 1, 99)] == [180, 180, 180]
    assert Retry(maximum=60).delay(0) == 60
    assert [Retry(backoff=1, jitter="none").delay(n) for n in range(5)] == [1, 2, 4, 8, 16]
    assert Retry(backoff=1, jitter="none").delay(50) == 600
    assert [Retry(jitter="none", backoff=3, factor=1).delay(n) for n in (0, 1, 99)] == [3, 3, 3]


def test_a_backoff_of_zero_stays_zero_however_often() -> None:
    assert Retry(None, backoff=0, jitter="none").delay(10**7) == 0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"max_retries": -1}, "Retry.max_retries"),
        ({"max_retries": True}, "Retry.max_retries"),
        ({"max_retries": 1.5}, "Retry.max_retries"),
        ({"on": int}, "Retry.on"),
        ({"on": (ValueError, "x")}, "Retry.on"),
        ({"on": [ValueError]}, "Retry.on"),
        ({"never_on": 3}, "Retry.never_on"),
        ({"backoff": -1}, "Retry.backoff"),
        ({"backoff": "1"}, "Retry.backoff"),
        ({"maximum": math.nan}, "Retry.maximum"),
        ({"backoff": 10, "maximum": 1}, "Retry.maximum"),
        ({"factor": 0.5}, "Retry.factor"),
        ({"factor": math.nan}, "Retry.factor"),
        ({"factor": math.inf}, "Retry.factor"),
        ({"factor": True}, "Retry.factor"),
        ({"jitter": "ful"}, "Retry.jitter"),
        ({"jitter": None}, "Retry.jitter"),
        ({"factor": 3}, "Retry.backoff"),
        ({"jitter": "equal"}, "Retry.backoff"),
        ({"respect_retry_after": 1}, "Retry.respect_retry_after"),
    ],
)
def test_a_wrong_retry_policy_names_its_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(DeclarationError, match=field):
        Retry(**wrong)


def test_which_failures_are_covered() -> None:
    assert Retry().covers(ValueError())
    assert not Retry().covers(SystemExit())
    assert not Retry(on=OSError).covers(ValueError())
    assert not Retry(on=(OSError,), never_on=FileNotFoundError).covers(FileNotFoundError())
    assert Retry(on=lambda error: "busy" in str(error)).covers(ValueError("busy"))
    assert not Retry(on=lambda error: True, never_on=ValueError).covers(ValueError())


def test_a_group_is_covered_if_all_of_its_members_are() -> None:
    value, deep = ValueError("x"), ExceptionGroup("a", [OSError(), ExceptionGroup("b", [TimeoutError()])])
    assert Retry(on=OSError).covers(deep)
    assert not Retry(on=OSError).covers(ExceptionGroup("a", [OSError(), value]))
    assert not Retry(never_on=ValueError).covers(ExceptionGroup("a", [OSError(), value]))
    assert Retry(on=lambda error: error is value).covers(ExceptionGroup("a", [value]))
    assert Retry(on=ExceptionGroup).covers(ExceptionGroup("a", [value]))
    assert not Retry(on=ExceptionGroup, never_on=ExceptionGroup).covers(ExceptionGroup("a", [value]))


def test_how_many_retries_are_allowed() -> None:
    assert [Retry(2).allows(n) for n in range(4)] == [True, True, False, False]
    assert Retry(None).allows(10**9)
    assert not Retry(0).allows(0)


@pytest.mark.parametrize("value", [0, None, False, "", ()])
def test_a_false_value_is_a_value_and_not_an_absence(value: Any) -> None:
    assert lookup("x", {"x": value}, {"x": 1}, 2) is value
    assert lookup("x", {}, {"x": value}, 2) is value
    assert lookup("x", {}, {}, value) is value
    assert repr(MISSING) == "MISSING"


def test_the_message_goes_before_the_actor_and_the_actor_before_the_default() -> None:
    assert [lookup("x", {"x": 1}, {"x": 2}, 3), lookup("x", {}, {"x": 2}, 3), lookup("x", {}, {}, 3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ttl": 0}, "Idempotency.ttl"),
        ({"ttl": "day"}, "Idempotency.ttl"),
        ({"on_running": "stop"}, "Idempotency.on_running"),
        ({"on_doubt": "wait"}, "Idempotency.on_doubt"),
        ({"key": 5}, "Idempotency.key"),
        ({"key": ""}, "names no argument"),
        ({"key": "welcome"}, "every message would be a duplicate"),
        ({"key": "{{user}}"}, "every message would be a duplicate"),
        ({"key": "{user"}, "not a template"),
        ({"key": "}"}, "not a template"),
        ({"key": "{}"}, "name an argument"),
        ({"key": "{0}"}, "name an argument"),
        ({"key": "{user id}"}, "name an argument"),
        ({"key": "{user.__class__}"}, "attributes that begin with _"),
        ({"key": "{user.id.__globals__[x]}"}, "attributes that begin with _"),
        ({"key": "{user[0]._secret}"}, "attributes that begin with _"),
        ({"key": "{user:{width}}"}, "placeholder within a placeholder"),
    ],
)
def test_a_wrong_idempotency_declaration_names_its_field(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        Idempotency(**wrong)


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("welcome:{user[id]}", "welcome:7"),
        ("{day.year}/{user[_id]}", "2/x"),
        ("{name!r:>6}", " 'Ada'"),
        ("{{{name}}}", "{Ada}"),
    ],
)
def test_a_template_reaches_into_its_arguments(template: str, key: str) -> None:
    class Day:
        year = 2

    arguments = {"user": {"id": 7, "_id": "x"}, "day": Day(), "name": "Ada"}
    assert Idempotency(key=template).render(arguments) == key


@pytest.mark.parametrize("arguments", [{}, {"user": None}, {"user": {}}, {"user": 5}])
def test_a_template_that_does_not_fit_says_so(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"idempotency key '\{user\[id\]\}' does not fit"):
        Idempotency(key="{user[id]}").render(arguments)


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(ValueError, match="is empty"):
        Idempotency(key="{name}").render({"name": ""})


def test_the_placeholders_are_the_names_of_arguments() -> None:
    assert Idempotency(key="{a.b[c]}:{d!r:>5}:{{e}}").placeholders == {"a", "d"}
    assert Idempotency().placeholders == frozenset()
