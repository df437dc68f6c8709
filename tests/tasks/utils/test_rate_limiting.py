"""The named limits say what they are meant to say."""

from __future__ import annotations

from tasks.email_tasks import send_bulk_emails, send_email
from tasks.utils.rate_limiting import SMTP_CONNECTIONS, SMTP_LIMIT, WEBHOOK_LIMIT


def test_all_mail_shares_one_pace_and_so_many_connections() -> None:
    for mail in (send_email, send_bulk_emails):
        assert (mail.declared.rate_limit, mail.declared.concurrency_limit) == (SMTP_LIMIT, SMTP_CONNECTIONS)
    assert (SMTP_LIMIT.limit, SMTP_LIMIT.seconds, SMTP_CONNECTIONS.limit) == (50, 1, 20)


def test_webhooks_share_a_limit_with_all_that_go_to_the_same_host() -> None:
    keys = {WEBHOOK_LIMIT.render({"url": url}) for url in ("https://a.example/x", "https://a.example/y?z=1")}
    assert len(keys) == 1


def test_mails_that_come_together_need_not_wait() -> None:
    assert SMTP_LIMIT.burst == SMTP_LIMIT.limit
