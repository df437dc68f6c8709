"""Mail."""

from __future__ import annotations

import smtplib
from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.channel_memory import MemoryChannels
from tasks.adapters.mail import Email, InvalidAddress, MemoryMailer
from tasks.email_tasks import send_bulk_emails, send_email
from tasks.utils.retry_policies import SMTP_RETRY
from tests.matrix.entries import Entry, matrix_entry
from tests.matrix.excuses import NO_COLLECTION, SHORT_WORK
from tests.matrix.stops import assert_chain_stops
from understudy import handle
from understudy.errors import TimeLimitExceeded

Drain = Callable[..., int]

ADA, GRACE, LINUS = "ada@lovelace.example", "grace@hopper.example", "linus@kernel.example"
#: Seconds; longer than any wait between two tries.
LONG_ENOUGH = 600
TRIES = 1 + (SMTP_RETRY.max_retries or 0)


@matrix_entry("send_bulk_emails")
class SendBulkEmails(Entry):
    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer) -> None:
        smtp.fail_at(2, smtplib.SMTPException("down"))
        campaign = send_bulk_emails.send([ADA, GRACE, LINUS])
        drain()
        assert handle(campaign).status == "RETRY"
        assert smtp.delivered == [ADA]
        freezer.tick(LONG_ENOUGH)
        drain()
        assert handle(campaign).get() == {"successful": 3, "failed": 0, "failed_emails": []}
        assert smtp.delivered == [ADA, GRACE, LINUS]  # nobody twice

        smtp.fail_next(smtplib.SMTPConnectError(421, "closed for the day"), times=TRIES)
        hopeless = send_bulk_emails.send([ADA])
        for _ in range(TRIES):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert handle(hopeless).status == "FAILURE"
        assert handle(hopeless).retries == TRIES - 1
        with pytest.raises(smtplib.SMTPConnectError, match="closed for the day"):
            handle(hopeless).get()

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer) -> None:
        def hang(email: Email) -> None:
            freezer.tick(3_601)

        smtp.on_send = hang
        message = send_bulk_emails.send([ADA, GRACE, LINUS])
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 3600 s"):
            handle(message).get()
        assert handle(message).retries == 0
        assert smtp.delivered == [ADA]

    def partial_failure(self, drain: Drain, smtp: MemoryMailer) -> None:
        smtp.refuse(GRACE, 550, "5.1.1 no such user")
        message = send_bulk_emails.send([ADA, GRACE, LINUS])
        drain()
        assert handle(message).get() == {
            "successful": 2,
            "failed": 1,
            "failed_emails": [{"email": GRACE, "error": "550 5.1.1 no such user"}],
        }
        assert smtp.delivered == [ADA, LINUS]

    def chain_stop(self, drain: Drain, smtp: MemoryMailer, channels: MemoryChannels) -> None:
        assert_chain_stops(send_bulk_emails.message([ADA], "Hello", None, None), ValueError, drain, channels)
        assert smtp.delivered == []

    def progress(self, drain: Drain, smtp: MemoryMailer) -> None:
        message = send_bulk_emails.send([ADA, GRACE, LINUS])
        seen = []

        def look(email: Email) -> None:
            seen.append((handle(message).status, handle(message).info))

        smtp.on_send = look
        drain()
        # The first mail is on its way before there is anything to report.
        assert seen[1:] == [("PROGRESS", {"current": 1, "total": 3}), ("PROGRESS", {"current": 2, "total": 3})]
        assert handle(message).progress == {"current": 3, "total": 3}

    def idempotency(self, drain: Drain, smtp: MemoryMailer) -> None:
        once = {"successful": 2, "failed": 0, "failed_emails": []}
        first = send_bulk_emails.send_with_options(args=([ADA, GRACE],), idempotency_key="spring")
        drain()
        send_bulk_emails.send_with_options(args=([ADA, GRACE],), message_id=first.message_id)
        same_key = send_bulk_emails.send_with_options(args=([ADA, GRACE],), idempotency_key="spring")
        drain()
        assert smtp.delivered == [ADA, GRACE]
        assert handle(first).get() == once
        assert handle(same_key).get() == once


@matrix_entry("send_email")
class SendEmail(Entry):
    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer) -> None:
        smtp.fail_next(smtplib.SMTPException("down"))
        message = send_email.send(ADA, "Hello", text="Hello, Ada.")
        drain()
        assert handle(message).status == "RETRY"
        freezer.tick(LONG_ENOUGH)
        drain()
        assert handle(message).get() == {"email": ADA}
        assert smtp.delivered == [ADA]

        smtp.fail_next(smtplib.SMTPConnectError(421, "closed for the day"), times=TRIES)
        hopeless = send_email.send(ADA, "Hello", text="Hello, Ada.")
        for _ in range(TRIES):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert handle(hopeless).status == "FAILURE"
        assert handle(hopeless).retries == TRIES - 1
        with pytest.raises(smtplib.SMTPConnectError, match="closed for the day"):
            handle(hopeless).get()

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer) -> None:
        def hang(email: Email) -> None:
            freezer.tick(61)

        smtp.on_send = hang
        message = send_email.send(ADA, "Hello", text="Hello, Ada.")
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 60 s"):
            handle(message).get()
        assert handle(message).retries == 0

    partial_failure = NO_COLLECTION

    def chain_stop(self, drain: Drain, smtp: MemoryMailer, channels: MemoryChannels) -> None:
        assert_chain_stops(send_email.message("nobody", "Hello", "World"), InvalidAddress, drain, channels)
        assert smtp.delivered == []

    progress = SHORT_WORK

    def idempotency(self, drain: Drain, smtp: MemoryMailer) -> None:
        first = send_email.send_with_options(args=(ADA, "Hello", "Hello, Ada."), idempotency_key="welcome ada")
        drain()
        send_email.send_with_options(args=(ADA, "Hello", "Hello, Ada."), message_id=first.message_id)
        same_key = send_email.send_with_options(args=(ADA, "Hello", "Hello, Ada."), idempotency_key="welcome ada")
        drain()
        assert smtp.delivered == [ADA]
        assert handle(first).get() == {"email": ADA}
        assert handle(same_key).get() == {"email": ADA}
