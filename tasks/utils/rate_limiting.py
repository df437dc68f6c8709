"""Limits by name: how much the outside world is asked for, by all workers together."""

from __future__ import annotations

from understudy import ConcurrencyLimit, RateLimit

#: Messages that begin to talk to the mail server, in a second. Those that come alone need not wait.
SMTP_LIMIT = RateLimit(50, per=1, burst=50, key="smtp")

#: Webhooks to one host in a second, whoever sends them.
WEBHOOK_LIMIT = RateLimit(20, per=1, burst=20, key="webhook:{url!h}")

#: Notices to one channel in a second: services of chat and SMS refuse more.
CHANNEL_LIMIT = RateLimit(1, per=1, burst=5, key="channel:{channel}")

#: Connections to the mail server at once: a mail, or a campaign, has one.
SMTP_CONNECTIONS = ConcurrencyLimit(20, key="smtp")
