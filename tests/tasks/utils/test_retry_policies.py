"""The named policies say what they are meant to say."""

from __future__ import annotations

import smtplib

import pytest

from tasks.adapters.mail import DeliveryInDoubt
from tasks.utils.retry_policies import SMTP_RETRY


@pytest.mark.parametrize(
    "exception",
    [
        smtplib.SMTPServerDisconnected("gone"),
        ConnectionRefusedError("nobody listens"),
        smtplib.SMTPDataError(451, b"try again later"),
        smtplib.SMTPException("down"),
    ],
)
def test_mail_that_may_work_later_is_retried(exception: Exception) -> None:
    assert SMTP_RETRY.covers(exception)


@pytest.mark.parametrize(
    "exception",
    [
        smtplib.SMTPDataError(550, b"no such user"),
        smtplib.SMTPAuthenticationError(535, b"wrong password"),
        DeliveryInDoubt(),
        ValueError("not an address"),
    ],
)
def test_mail_that_cannot_work_or_may_have_worked_is_not_retried(exception: Exception) -> None:
    assert not SMTP_RETRY.covers(exception)


def test_the_waits_grow_to_five_minutes_and_are_never_shorter_than_half() -> None:
    shortest = [SMTP_RETRY.delay(n, rng=lambda: 0.0) for n in range(10)]
    assert shortest == [1, 2, 4, 8, 16, 32, 64, 128, 150, 150]
