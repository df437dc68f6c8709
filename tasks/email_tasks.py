"""Mail: one message, or a campaign to many recipients.

Nobody is mailed twice: not by a retry, not by a second worker, not by the same message or key sent again. A mail
that was in flight when a worker died, or whose answer was lost, is in doubt: it is reported, not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from string import Template
from typing import NotRequired, TypedDict

from tasks.adapters.mail import (
    Email,
    Mailer,
    describe,
    in_doubt,
    is_cut,
    is_put_off,
    is_recipient_failure,
    mailbox,
    open_mailer,
)
from tasks.utils.error_handlers import MAIL_ERRORS
from tasks.utils.rate_limiting import SMTP_CONNECTIONS, SMTP_LIMIT
from tasks.utils.retry_policies import SMTP_RETRY
from understudy import Idempotency, actor, each
from understudy.execution import current
from understudy.items import Items

#: What is reported of a mail that was handed over completely and never answered for.
UNANSWERED = "in doubt: the mail server took the mail and its answer was lost; it was not sent again"


class Recipient(TypedDict):
    """One recipient of a campaign. What else it has can be used as ``$name`` in subject and text."""

    email: str
    name: NotRequired[str]


class FailedEmail(TypedDict):
    """A recipient who was not mailed, or perhaps was, and why."""

    email: str
    error: str


class CampaignResult(TypedDict):
    """What became of a campaign; every distinct recipient counts once."""

    successful: int
    failed: int
    failed_emails: list[FailedEmail]


@actor(
    queue_name="email",
    retry=SMTP_RETRY,
    errors=MAIL_ERRORS,
    rate_limit=SMTP_LIMIT,
    concurrency_limit=SMTP_CONNECTIONS,
    time_limit=timedelta(minutes=1),
    expected_duration=timedelta(milliseconds=500),
    idempotency=Idempotency(ttl=timedelta(days=1), on_doubt="skip"),
)
def send_email(to: str, subject: str, text: str | None = None, html: str | None = None) -> dict[str, str]:
    """Send one mail with a text part, an HTML part or both.

    Raises:
      InvalidAddress: ``to`` is no address; not retried.
      smtplib.SMTPException: the server refused it; retried when it may work later.
    """
    email = Email(to=to, subject=subject, text=text, html=html, message_key=_message_key())
    with open_mailer() as mailer:
        mailer.send(email)
    return {"email": email.to}


@actor(
    queue_name="email",
    retry=SMTP_RETRY,
    errors=MAIL_ERRORS,
    rate_limit=SMTP_LIMIT,
    concurrency_limit=SMTP_CONNECTIONS,
    time_limit=timedelta(hours=1),
    idempotency=Idempotency(ttl=timedelta(days=1)),
)
def send_bulk_emails(
    recipients: Sequence[Recipient | str],
    subject: str = "Hello $name",
    text: str | None = "Hello $name,\n\nwelcome.\n",
    html: str | None = None,
) -> CampaignResult:
    """Mail every recipient once; ``$name`` and other fields of a recipient are filled in.

    An address that is invalid or refused is recorded and does not stop the rest. A recipient whom the server puts
    off (4xx) is tried again by a retry of the message, which skips everybody done; when the retries are used up
    such a recipient is recorded as failed. An outage of the server is retried, and fails the message in the end.
    A campaign that takes longer than the time limit is done by several deliveries, one after the other.

    Raises:
      TypeError, ValueError: ``recipients`` is not a list, or there is neither a text nor an HTML part.
      smtplib.SMTPException, OSError: the mail server is away, and the retries are used up.
    """
    campaign = _Campaign(recipients, subject, text, html)
    everybody = len(recipients)
    # Whoever was not mailed is named in the result, be it everybody.
    entries = each(campaign.entries(), key="key", on_doubt="skip", total=everybody, reasons=everybody)
    put_off: Exception | None = None
    with open_mailer() as mailer:
        for entry in entries:
            put_off = campaign.mail(mailer, entry, entries) or put_off
    if put_off is not None:
        raise put_off
    return campaign.report(entries)


class _Entry:
    """One line of a campaign. ``key`` is what is remembered: the mailbox, however it was written."""

    def __init__(self, index: int, recipient: Recipient | str) -> None:
        raw = recipient.get("email") if isinstance(recipient, dict) else recipient
        self.email = raw.strip() if isinstance(raw, str) else ""
        self.key = mailbox(self.email) or f"#{index + 1}"
        self.fields = {"name": "", "email": self.email}
        if isinstance(recipient, dict):
            self.fields.update({name: str(value) for name, value in recipient.items()})
        if not self.fields["name"]:
            self.fields["name"] = self.email.partition("@")[0]


class _Campaign:
    def __init__(self, recipients: Sequence[Recipient | str], subject: str, text: str | None, html: str | None) -> None:
        if not isinstance(recipients, list | tuple):
            raise TypeError(f"recipients is a list of addresses or of records with an email, not {type(recipients)}")
        if text is None and html is None:
            raise ValueError("a campaign needs text, html or both; they are both missing")
        self._recipients = recipients
        self._subject = Template(subject)
        self._text = None if text is None else Template(text)
        self._html = None if html is None else Template(html)
        self._key = _message_key()

    def entries(self) -> Iterator[_Entry]:
        """The recipients one by one: a million of them are not held twice."""
        for index, recipient in enumerate(self._recipients):
            yield _Entry(index, recipient)

    def mail(self, mailer: Mailer, entry: _Entry, entries: Items[_Entry]) -> Exception | None:
        """Mail one recipient. Returns the reason if the server puts this one off."""
        if not entry.email:
            entries.fail(f"recipient {entry.key} has no address; give it as 'email'")
            return None
        try:
            email = self._compose(entry)
        except ValueError as error:
            # Not an address, or a name that would break a header: this recipient's own mail cannot be written.
            entries.fail(describe(error))
            return None
        try:
            self._send(mailer, email)
        except Exception as error:
            if in_doubt(error):
                entries.fail(UNANSWERED)
            elif is_recipient_failure(error) or (is_put_off(error) and _last_attempt()):
                entries.fail(describe(error))
            elif is_put_off(error):
                entries.defer()
                return error
            else:
                raise
        return None

    def report(self, entries: Items[_Entry]) -> CampaignResult:
        """The result, with the failures in the order of the recipients."""
        left = dict(entries.failures)
        failed: list[FailedEmail] = []
        for entry in self.entries() if left else ():
            if entry.key in left:
                failed.append({"email": entry.email, "error": left.pop(entry.key)})
        return {"successful": entries.successful, "failed": len(failed), "failed_emails": failed}

    def _compose(self, entry: _Entry) -> Email:
        return Email(
            to=entry.email,
            subject=self._subject.safe_substitute(entry.fields),
            text=None if self._text is None else self._text.safe_substitute(entry.fields),
            html=None if self._html is None else self._html.safe_substitute(entry.fields),
            message_key=self._key,
        )

    @staticmethod
    def _send(mailer: Mailer, email: Email) -> None:
        try:
            mailer.send(email)
        except Exception as error:
            if not is_cut(error):
                raise
            # One cut is no outage: a second try on a new connection costs less than a retry of the campaign.
            mailer.send(email)


def _message_key() -> str | None:
    """What makes the Message-ID of a mail the same however often the message is delivered."""
    execution = current()
    return None if execution is None else execution.items_scope


def _last_attempt() -> bool:
    execution = current()
    return execution is None or execution.last_attempt
