"""The tables say what they are meant to say."""

from __future__ import annotations

import smtplib
import ssl

import pytest

from tasks.adapters.database_errors import DatabaseRefused, DatabaseUnavailable
from tasks.adapters.file_errors import BadFile
from tasks.adapters.mail import DeliveryInDoubt, InvalidAddress
from tasks.adapters.web import DestinationRefused, Unreachable
from tasks.email_tasks import send_bulk_emails, send_email
from tasks.utils.error_handlers import MAIL_ERRORS, STORE_ERRORS, WEBHOOK_ERRORS
from understudy import Errors


@pytest.mark.parametrize(
    ("table", "exception", "verdict"),
    [
        (MAIL_ERRORS, smtplib.SMTPAuthenticationError(535, b"no"), "alert"),
        (MAIL_ERRORS, ssl.SSLCertVerificationError("expired"), "alert"),
        (MAIL_ERRORS, ConnectionRefusedError("nobody listens"), "retry, then alert"),
        (MAIL_ERRORS, smtplib.SMTPException("down"), "retry, then alert"),
        (MAIL_ERRORS, InvalidAddress("ada@", "it has no domain"), "fail"),
        (MAIL_ERRORS, smtplib.SMTPDataError(550, b"no such user"), None),
        (MAIL_ERRORS, DeliveryInDoubt(), None),
        (MAIL_ERRORS, KeyError("a bug"), None),
        (WEBHOOK_ERRORS, Unreachable("gone"), "retry"),
        (WEBHOOK_ERRORS, DestinationRefused("inside"), "fail"),
        (STORE_ERRORS, BadFile("no header"), "fail"),
        (STORE_ERRORS, DatabaseUnavailable("gone"), "retry, then alert"),
        (STORE_ERRORS, DatabaseRefused("no such column"), "alert"),
    ],
)
def test_a_failure_has_its_verdict(table: Errors, exception: Exception, verdict: str | None) -> None:
    assert table.verdict(exception) == verdict


def test_mail_is_sent_under_its_table() -> None:
    assert send_email.declared.errors is send_bulk_emails.declared.errors is MAIL_ERRORS
