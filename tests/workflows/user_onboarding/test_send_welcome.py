"""A user is welcomed once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.mail import MemoryMailer
from tests.tasks.stores import Unsteady
from understudy import handle
from workflows.user_onboarding.send_welcome import send_welcome
from workflows.user_onboarding.users import known, note

Drain = Callable[..., int]
ADA = ("ada", "ada@lovelace.example", "Ada")
LONG = 40 * 24 * 3600


def test_a_user_is_welcomed_by_name(drain: Drain, smtp: MemoryMailer, unsteady: Unsteady) -> None:
    message = send_welcome.send(*ADA)
    drain()
    assert handle(message).get() is True
    (mail,) = smtp.messages
    assert (mail["To"], mail["Subject"]) == (ADA[1], "Welcome")
    assert "Hello Ada" in mail.as_string()
    assert known("ada")["welcomed_at"] is not None


def test_nobody_is_welcomed_twice_also_when_all_records_of_messages_are_gone(
    drain: Drain, smtp: MemoryMailer, unsteady: Unsteady, freezer: FrozenDateTimeFactory
) -> None:
    send_welcome.send(*ADA)
    drain()
    freezer.tick(LONG)
    message = send_welcome.send(*ADA)
    drain()
    assert handle(message).get() is False
    assert smtp.delivered == [ADA[1]]


def test_who_has_left_is_not_welcomed(drain: Drain, smtp: MemoryMailer, unsteady: Unsteady) -> None:
    note("ada", "left_at")
    message = send_welcome.send(*ADA)
    drain()
    assert handle(message).get() is False
    assert smtp.delivered == []


def test_an_address_that_is_none_is_not_tried_again(drain: Drain, smtp: MemoryMailer, unsteady: Unsteady) -> None:
    message = send_welcome.send("ada", "nowhere", "Ada")
    drain()
    with pytest.raises(ValueError, match="must have an @"):
        handle(message).get()
    assert handle(message).retries == 0
