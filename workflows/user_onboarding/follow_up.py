"""Follow up: a mail some days later, unless the user has left."""

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
    idempotency=Idempotency(key="follow-up:{user_id}", ttl=timedelta(days=30), on_doubt="skip"),
)
def send_follow_up(user_id: str, email: str, name: str) -> bool:
    """Ask a user how it goes, once ever. False: that was done before, or the user has left.

    Whoever leaves has this revoked; should it have begun at that moment, the database says so before a mail goes out.

    Raises:
      InvalidAddress: ``email`` is no address; not retried.
      smtplib.SMTPException, DatabaseUnavailable: the mail server or the database is away; retried.
    """
    text = f"Hello {name},\n\nhow do you get on? Answer this mail if something is in your way.\n"
    mail = Email(to=email, subject="How is it going?", text=text, html=None, message_key=f"follow-up:{user_id}")
    return mail_once(user_id, "followed_up_at", mail)
