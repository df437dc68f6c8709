"""A user is asked once, and not after leaving."""

from __future__ import annotations

from collections.abc import Callable

from tasks.adapters.mail import MemoryMailer
from tests.tasks.stores import Unsteady
from understudy import handle
from workflows.user_onboarding.follow_up import send_follow_up
from workflows.user_onboarding.users import known, note

Drain = Callable[..., int]
ADA = ("ada", "ada@lovelace.example", "Ada")


def test_a_user_is_asked_how_it_goes(drain: Drain, smtp: MemoryMailer, unsteady: Unsteady) -> None:
    message = send_follow_up.send(*ADA)
    drain()
    assert handle(message).get() is True
    assert [(mail["To"], mail["Subject"]) for mail in smtp.messages] == [(ADA[1], "How is it going?")]
    assert known("ada")["followed_up_at"] is not None


def test_who_has_left_meanwhile_is_not_asked(drain: Drain, smtp: MemoryMailer, unsteady: Unsteady) -> None:
    message = send_follow_up.send(*ADA)
    note("ada", "left_at")
    drain()
    assert handle(message).get() is False
    assert smtp.delivered == []
