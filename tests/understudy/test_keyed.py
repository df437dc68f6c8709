"""Limits as they are declared. Templates are shown with ``Idempotency``, in ``test_options.py``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from understudy import ConcurrencyLimit, RateLimit, actor
from understudy.brokers.redis import RedisBroker
from understudy.errors import DeclarationError
from understudy.keyed import placed


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"limit": 0}, "RateLimit.limit is a whole number from 1, not 0"),
        ({"limit": 2.5}, "RateLimit.limit is a whole number"),
        ({"limit": True}, "RateLimit.limit is a whole number"),
        ({"limit": 1, "per": 0}, "RateLimit.per must be more than zero"),
        ({"limit": 1, "per": "minute"}, "RateLimit.per is a timedelta or a number of seconds"),
        ({"limit": 1, "burst": 0}, "RateLimit.burst is a whole number from 1"),
        ({"limit": 1, "kind": "buckets"}, "RateLimit.kind is one of bucket, window.*did you mean 'bucket'"),
        ({"limit": 2, "kind": "window", "burst": 2}, 'RateLimit.burst belongs to kind="bucket"'),
        ({"limit": 10_001, "kind": "window"}, 'at most 10,000.*write kind="bucket", burst=10001'),
        ({"limit": 1_000_000}, "at most 100,000"),
        ({"limit": 1, "key": 5}, "RateLimit.key is a text"),
        ({"limit": 1, "key": "{}"}, "name an argument"),
    ],
)
def test_a_wrong_rate_limit_names_its_field(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        RateLimit(**wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"limit": 0}, "ConcurrencyLimit.limit is a whole number from 1"),
        ({"limit": 1_001}, "at most 1,000, not 1,001"),
        ({"limit": 1, "key": "{a.__class__}"}, "attributes that begin with _"),
    ],
)
def test_a_wrong_concurrency_limit_names_its_field(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        ConcurrencyLimit(**wrong)


def test_per_is_a_timedelta_or_seconds() -> None:
    assert RateLimit(1, per=timedelta(minutes=1)).seconds == RateLimit(1, per=60).seconds == 60


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Shop.Example/hook?token=1", "shop.example"),
        ("https://shop.example:443/other", "shop.example"),
        ("http://shop.example:8080/", "shop.example:8080"),
        ("https://u:p@[2001:db8::1]/", "2001:db8::1"),
        ("no url", ""),
        ("https://[", ""),
        (7, ""),
    ],
)
def test_a_key_may_take_the_destination_of_a_url(url: object, host: str) -> None:
    assert RateLimit(1, key="webhook:{url!h}").render({"url": url}) == f"webhook:{host}"


def test_a_key_has_a_conversion_that_is_known() -> None:
    assert RateLimit(1, key="{a!r}").render({"a": "x"}) == "'x'"
    with pytest.raises(DeclarationError, match=r"RateLimit.key '\{a!x\}' converts by !x; there are !r, !s, !a, and !h"):
        RateLimit(1, key="{a!x}")


def test_a_key_may_be_the_same_for_all_messages() -> None:
    assert RateLimit(1, key="smtp").placeholders == frozenset()


@pytest.mark.parametrize("option", ["rate_limit", "concurrency_limit"])
def test_a_key_is_checked_against_the_function_where_the_actor_is_declared(broker: RedisBroker, option: str) -> None:
    limit = {"rate_limit": RateLimit, "concurrency_limit": ConcurrencyLimit}[option](1, key="smtp:{hots}")

    with pytest.raises(DeclarationError, match=r"limit key 'smtp:\{hots\}' names 'hots'.*did you mean 'host'"):

        @actor(**{option: limit})
        def body(host: str) -> None: ...


@pytest.mark.parametrize("option", ["rate_limit", "concurrency_limit"])
def test_what_is_no_limit_is_refused(broker: RedisBroker, option: str) -> None:
    with pytest.raises(DeclarationError, match=f"{option} takes a .*Limit or None, not '2/s'; write .*Limit"):

        @actor(**{option: "2/s"})  # type: ignore[call-overload, untyped-decorator]  # that is the point
        def body() -> None: ...


@pytest.mark.parametrize("option", ["rate_limit", "concurrency_limit"])
def test_a_message_may_name_a_key_and_not_a_limit(broker: RedisBroker, option: str) -> None:
    @actor(rate_limit=RateLimit(1), concurrency_limit=ConcurrencyLimit(1))
    def limited() -> None: ...

    @actor
    def free() -> None: ...

    mine: dict[str, Any] = {f"{option}_key": "mine"}
    sent = limited.send_with_options(**mine)
    assert sent.options[f"{option}_key"] == "mine"
    with pytest.raises(TypeError, match=f"{option} belongs to the actor's declaration"):
        limited.send_with_options(**dict[str, Any]({option: 1}))
    with pytest.raises(TypeError, match=f"{option}_key is a text that is not empty"):
        limited.send_with_options(**dict[str, Any]({f"{option}_key": ""}))
    with pytest.raises(TypeError, match=f"is not declared with {option}="):
        free.send_with_options(**mine)


@pytest.mark.parametrize(
    "template",
    [
        "{a}",
        "x{b}-{a}-{{{c}}}",
        "{a[k]}/{b.real}",
        "{a!r:>12}|{c:.3f}|{b:05}",
        "no placeholder but {{}}",
        "{c!s}{c!a}",
    ],
)
def test_a_template_by_places_says_the_same_as_by_names(template: str) -> None:
    names, args = ("a", "b", "c"), ({"k": "ä{b}"}, 7, 2.5)
    found = placed(template, names)
    assert found is not None
    assert found.format(*args) == template.format_map(dict(zip(names, args, strict=True)))


@pytest.mark.parametrize("template", ["{url!h}", "{nobody}", "{a}{nobody}"])
def test_what_places_cannot_say_is_left_to_names(template: str) -> None:
    assert placed(template, ("url", "a")) is None
