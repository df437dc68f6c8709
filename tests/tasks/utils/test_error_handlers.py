"""The tables say what they are meant to say."""

from __future__ import annotations

import smtplib
import ssl
from typing import Any

import pytest

from tasks import analytics_tasks, cleanup_tasks
from tasks.adapters.database_errors import DatabaseRefused, DatabaseUnavailable
from tasks.adapters.file_errors import BadFile
from tasks.adapters.mail import DeliveryInDoubt, InvalidAddress
from tasks.adapters.web import DestinationRefused, Unreachable
from tasks.email_tasks import send_bulk_emails, send_email
from tasks.export_tasks import export_rows
from tasks.import_tasks import import_file
from tasks.notification_tasks import send_webhook
from tasks.periodic import daily_tasks, hourly_tasks, monthly_tasks, weekly_tasks
from tasks.utils.error_handlers import MAIL_ERRORS, STORE_ERRORS, TRANSFER_ERRORS, WEBHOOK_ERRORS
from understudy import Errors
from understudy.actors import Actor
from understudy.errors import SettingsError
from workflows.data_pipeline import STEPS


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
        (WEBHOOK_ERRORS, SettingsError(["WEBHOOK_SECRET is not set"]), "alert"),
        (TRANSFER_ERRORS, BadFile("no header"), "fail"),
        (TRANSFER_ERRORS, DatabaseRefused("no such column"), "fail"),
        (TRANSFER_ERRORS, DatabaseUnavailable("gone"), "retry, then alert"),
        (TRANSFER_ERRORS, ConnectionResetError("the store"), "retry, then alert"),
        (TRANSFER_ERRORS, FileNotFoundError("no such file"), None),
        (STORE_ERRORS, BadFile("no header"), "alert"),
        (STORE_ERRORS, DatabaseUnavailable("gone"), "retry, then alert"),
        (STORE_ERRORS, DatabaseRefused("no such column"), "alert"),
    ],
)
def test_a_failure_has_its_verdict(table: Errors, exception: Exception, verdict: str | None) -> None:
    assert table.verdict(exception) == verdict


def test_mail_is_sent_under_its_table() -> None:
    assert send_email.declared.errors is send_bulk_emails.declared.errors is MAIL_ERRORS


@pytest.mark.parametrize("sent", [export_rows, import_file, *STEPS], ids=lambda sent: sent.actor_name)
def test_what_a_message_names_is_read_and_written_under_its_table(sent: Actor[..., Any]) -> None:
    assert sent.declared.errors is TRANSFER_ERRORS


@pytest.mark.parametrize(
    "own",
    [
        analytics_tasks.record_events,
        analytics_tasks.roll_up_events,
        analytics_tasks.recompute_roll_ups,
        cleanup_tasks.clean_up,
        hourly_tasks.alert_on_dead_letters,
        daily_tasks.mail_digest,
        weekly_tasks.report_week,
        monthly_tasks.archive_exports,
    ],
    ids=lambda own: own.actor_name,
)
def test_what_is_our_own_is_kept_under_its_table(own: Actor[..., Any]) -> None:
    assert own.declared.errors is STORE_ERRORS


def test_webhooks_are_sent_under_theirs() -> None:
    assert send_webhook.declared.errors is WEBHOOK_ERRORS
