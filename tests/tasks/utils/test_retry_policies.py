"""The named policies say what they are meant to say."""

from __future__ import annotations

import smtplib

import pytest

from tasks.adapters.channels import ChannelFailed, ChannelUnknown
from tasks.adapters.database_errors import DatabaseRefused, DatabaseUnavailable
from tasks.adapters.file_errors import BadFile, FileRefused
from tasks.adapters.mail import DeliveryInDoubt
from tasks.adapters.web import DestinationRefused, Refused, Unreachable
from tasks.utils.retry_policies import CHANNEL_RETRY, ONBOARDING_RETRY, SMTP_RETRY, STORE_RETRY, WEBHOOK_RETRY
from understudy import Retry


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


@pytest.mark.parametrize(
    ("policy", "exception"),
    [
        (WEBHOOK_RETRY, Refused(503)),
        (WEBHOOK_RETRY, Refused(429, 60.0)),
        (WEBHOOK_RETRY, Unreachable("no answer")),
        (CHANNEL_RETRY, ChannelFailed("busy")),
        (STORE_RETRY, DatabaseUnavailable("away")),
        (ONBOARDING_RETRY, DatabaseUnavailable("away")),
        (ONBOARDING_RETRY, ConnectionResetError()),
        (STORE_RETRY, ConnectionResetError()),
        (STORE_RETRY, OSError(28, "No space left on device")),
    ],
)
def test_what_may_pass_is_retried(policy: Retry, exception: Exception) -> None:
    assert policy.covers(exception)


@pytest.mark.parametrize(
    ("policy", "exception"),
    [
        (WEBHOOK_RETRY, Refused(404)),
        (WEBHOOK_RETRY, DestinationRefused("not public")),
        (CHANNEL_RETRY, ChannelUnknown("nobody")),
        (STORE_RETRY, DatabaseRefused("no such table")),
        (ONBOARDING_RETRY, DatabaseRefused("no such table")),
        (STORE_RETRY, FileRefused("outside")),
        (STORE_RETRY, BadFile("no header")),
        (STORE_RETRY, FileNotFoundError()),
    ],
)
def test_what_does_not_pass_is_not_retried(policy: Retry, exception: Exception) -> None:
    assert not policy.covers(exception)


@pytest.mark.parametrize(
    ("policy", "least", "most"),
    [(WEBHOOK_RETRY, 11, 23), (CHANNEL_RETRY, 0.25, 0.6), (STORE_RETRY, 0.15, 0.35), (ONBOARDING_RETRY, 0.45, 1)],
)
def test_all_waits_together_are_what_the_comment_says(policy: Retry, least: float, most: float) -> None:
    tries = range(policy.max_retries or 0)
    shortest = sum(policy.delay(n, rng=lambda: 0.0) for n in tries) / 3_600
    longest = sum(policy.delay(n, rng=lambda: 1.0) for n in tries) / 3_600
    assert least <= shortest <= longest <= most
