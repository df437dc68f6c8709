"""Limits by name: how much the outside world is asked for, by all workers together."""

from __future__ import annotations

from understudy import ConcurrencyLimit, RateLimit

#: Messages that begin to talk to the mail server, in a second. Those that come alone need not wait.
SMTP_LIMIT = RateLimit(50, per=1, burst=50, key="smtp")

#: Connections to the mail server at once: a mail, or a campaign, has one.
SMTP_CONNECTIONS = ConcurrencyLimit(20, key="smtp")
