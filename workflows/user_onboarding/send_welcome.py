"""Welcome: one mail to a new user."""

from __future__ import annotations

from datetime import timedelta

from tasks.adapters.mail import Email
from tasks.utils.retry_policies import ONBOARDING_RETRY
from understudy import Idempotency, actor

from .mailing import mail_once


@actor(
    queue_name="onboarding",
    retry=ONBOARDING_RETRY,
    time_limit=timedelta(minutes=2),
    expected_duration=timedelta(milliseconds=500),
    idempotency=Idempotency(key="welcome:{user_id}", ttl=timedelta(days=30), on_doubt="skip"),
)
def send_welcome(user_id: str, email: str, name: str) -> bool:
    """Mail a welcome to a user, once ever. False: it was sent before, or the user has left.

    A mail that was in flight when a worker died is not repeated: no welcome is better than two.

    Raises:
      InvalidAddress: ``email`` is no address; not retried.
      smtplib.SMTPException, DatabaseUnavailable: the mail server or the database is away; retried.
    """
    text = f"Hello {name},\n\nwelcome. Your workspace will be ready in a moment.\n"
    mail = Email(to=email, subject="Welcome", text=text, html=None, message_key=f"welcome:{user_id}")
    return mail_once(user_id, "welcomed_at", mail)
