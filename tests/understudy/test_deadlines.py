"""``eta`` and ``expires``, as a sender gives them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import actor, client
from understudy.brokers.redis import RedisBroker
from understudy.deadlines import convert_expiry, declared_options, millis_until
from understudy.errors import DeclarationError
from understudy.testing.enqueued import Enqueued

#: A minute after the start of frozen time.
SOON = datetime(2026, 3, 1, 12, 1, tzinfo=UTC)
NAIVE = SOON.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("eta", "millis"),
    [
        (None, None),
        (SOON, 60_000),
        (SOON.astimezone(timezone(timedelta(hours=5))), 60_000),
        (datetime(2020, 1, 1, tzinfo=UTC), 0),
    ],
)
def test_an_eta_is_a_delay_by_the_clock_of_its_zone(
    freezer: FrozenDateTimeFactory, eta: datetime | None, millis: int | None
) -> None:
    assert millis_until(eta, delay=None) == millis


@pytest.mark.parametrize(
    ("eta", "delay", "text"),
    [(NAIVE, None, "zone"), ("soon", None, "is a datetime, not str"), (SOON, 5, "give one of them")],
)
def test_a_wrong_eta_is_refused(eta: object, delay: object, text: str) -> None:
    with pytest.raises(DeclarationError, match=text):
        millis_until(eta, delay=delay)


def test_a_message_with_an_eta_waits_until_then(
    broker: RedisBroker, drain: Callable[..., int], freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    @actor
    def body() -> None: ...

    body.send_with_options(eta=SOON)
    client.send_with_options("body", eta=SOON)
    assert [sent.delay for sent in enqueued.sent] == [60, 60]
    assert drain() == 0
    freezer.tick(60)
    assert drain() == 2


@pytest.mark.parametrize(
    ("given", "travels"),
    [
        ({}, {}),
        ({"expires": None}, {}),
        ({"expires": 1.5}, {"expires": 1500}),
        ({"expires": timedelta(hours=1)}, {"expires": 3_600_000}),
        ({"expires": SOON}, {"expires_at": SOON.timestamp()}),
    ],
)
def test_an_expiry_becomes_what_travels(
    freezer: FrozenDateTimeFactory, given: dict[str, Any], travels: dict[str, Any]
) -> None:
    convert_expiry(given)
    assert given == travels


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"expires": SOON}, "not until when"),
        ({"expires": "x"}, "expires"),
        ({"throws": ValueError()}, "exception classes"),
        ({"throws": (ValueError, int)}, "exception classes"),
    ],
)
def test_a_wrong_declaration_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(DeclarationError, match=f"^actor a: .*{text}"):
        declared_options(options, where="actor a: ")


def test_one_expected_exception_is_as_good_as_a_tuple() -> None:
    assert declared_options({"throws": ValueError}, where="")["throws"] == (ValueError,)


@pytest.mark.parametrize("wrong", ["x", {1: "a"}])
def test_headers_are_a_dict_with_texts(broker: RedisBroker, wrong: object) -> None:
    @actor
    def body() -> None: ...

    with pytest.raises(DeclarationError, match="body: headers"):
        body.send_with_options(headers=wrong)
