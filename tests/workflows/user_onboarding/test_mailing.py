"""A user is mailed once, whatever fails around the mail."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.database_errors import DatabaseUnavailable
from tasks.adapters.mail import DeliveryInDoubt, Email, MemoryMailer
from tests.tasks.stores import Unsteady
from understudy import handle
from understudy.actors import Actor
from workflows.user_onboarding.follow_up import send_follow_up
from workflows.user_onboarding.mailing import mail_once
from workflows.user_onboarding.send_welcome import send_welcome
from workflows.user_onboarding.users import known

Drain = Callable[..., int]
ADA = ("ada", "ada@lovelace.example", "Ada")
MAIL = Email(to=ADA[1], subject="Welcome", text="Hello", html=None, message_key="k")


@pytest.mark.parametrize("actor", [send_welcome, send_follow_up])
def test_a_database_that_is_away_after_the_mail_has_gone_has_nobody_mailed_twice(
    actor: Actor[..., Any], drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, unsteady: Unsteady
) -> None:
    def away() -> None:
        if smtp.attempts == 1:
            smtp.attempts += 1  # once
            raise DatabaseUnavailable("away")

    unsteady.on_transaction = away
    message = actor.send(*ADA)
    for _ in range(4):
        drain()
        freezer.tick(700)
    assert handle(message).status == "SUCCESS"
    assert smtp.delivered == [ADA[1]]


@pytest.mark.usefixtures("unsteady")
@pytest.mark.parametrize("failure", [smtplib.SMTPConnectError(421, "closed"), ConnectionResetError(), ValueError()])
def test_what_certainly_did_not_go_may_go_later(failure: Exception, smtp: MemoryMailer) -> None:
    smtp.fail_next(failure)
    with pytest.raises(type(failure)):
        mail_once("ada", "welcomed_at", MAIL)
    assert known("ada")["welcomed_at"] is None
    assert mail_once("ada", "welcomed_at", MAIL)
    assert not mail_once("ada", "welcomed_at", MAIL)
    assert smtp.delivered == [ADA[1]]


@pytest.mark.usefixtures("unsteady")
def test_what_may_have_gone_does_not_go_again(smtp: MemoryMailer) -> None:
    smtp.fail_next(DeliveryInDoubt(), delivered=True)
    with pytest.raises(DeliveryInDoubt):
        mail_once("ada", "welcomed_at", MAIL)
    assert not mail_once("ada", "welcomed_at", MAIL)
    assert smtp.delivered == [ADA[1]]


def test_why_the_mail_did_not_go_is_told_although_the_note_cannot_be_taken_back(
    smtp: MemoryMailer, unsteady: Unsteady, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> None:
        if smtp.attempts:
            raise DatabaseUnavailable("away")

    unsteady.on_transaction = away
    smtp.fail_next(smtplib.SMTPConnectError(421, "closed"))
    with pytest.raises(smtplib.SMTPConnectError):
        mail_once("ada", "welcomed_at", MAIL)
    assert "welcomed_at stays noted" in caplog.text
