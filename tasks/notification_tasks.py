"""Notifications: webhooks to other systems, and push, SMS and chat to people.

A webhook carries the id of its message, which is the same at every attempt, so that a receiver can tell a copy.
Channels are meant by their names: their addresses and logins are in no message.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypedDict
from uuid import uuid4

import msgspec

from tasks.adapters.channels import ChannelFailed, ChannelUnknown, Notice, Severity, open_channels
from tasks.adapters.web import open_web
from tasks.utils.circuit_breakers import WEBHOOK_BREAKER
from tasks.utils.error_handlers import WEBHOOK_ERRORS
from tasks.utils.rate_limiting import CHANNEL_LIMIT, WEBHOOK_LIMIT
from tasks.utils.retry_policies import CHANNEL_RETRY, WEBHOOK_RETRY
from understudy import Idempotency, actor, each
from understudy.errors import HandBack
from understudy.execution import current
from understudy.pacing import turn


class Delivery(TypedDict):
    """A webhook that was taken over: under which id, with which answer, at which attempt (1 is the first)."""

    webhook_id: str
    status: int
    attempt: int


class FailedChannel(TypedDict):
    """A channel that was not reached, and why."""

    channel: str
    error: str


class NotifyResult(TypedDict):
    """What became of a notice to many channels; every distinct channel counts once."""

    successful: int
    failed: int
    failed_channels: list[FailedChannel]


@actor(
    queue_name="notification",
    retry=WEBHOOK_RETRY,
    errors=WEBHOOK_ERRORS,
    rate_limit=WEBHOOK_LIMIT,
    circuit_breaker=WEBHOOK_BREAKER,
    time_limit=timedelta(minutes=1),
    expected_duration=timedelta(milliseconds=500),
    idempotency=Idempotency(ttl=timedelta(days=1)),
)
def send_webhook(url: str, event: str, data: Any = None) -> Delivery:
    """Post ``{"type": event, "data": data}`` to ``url``, signed (see ``tasks.adapters.web_signature``).

    Raises:
      DestinationRefused: the URL leads where it may not, or the body is too large; not retried.
      Refused: the receiver said no; retried when it may say yes later, not before its ``Retry-After``.
      Unreachable: there was no answer; retried.
    """
    body = msgspec.json.encode({"type": event, "data": data})
    execution = current()
    webhook_id = uuid4().hex if execution is None else execution.message_id
    reply = open_web().post(url, body, message_id=webhook_id)
    attempt = 1 if execution is None else execution.retries + 1
    return {"webhook_id": webhook_id, "status": reply.status, "attempt": attempt}


@actor(
    queue_name="notification",
    retry=CHANNEL_RETRY,
    rate_limit=CHANNEL_LIMIT,
    time_limit=timedelta(minutes=1),
    expected_duration=timedelta(milliseconds=500),
    idempotency=Idempotency(ttl=timedelta(days=1)),
)
def send_notification(channel: str, title: str, body: str, severity: Severity = "info") -> dict[str, str]:
    """Send one notice to one channel.

    Raises:
      ChannelUnknown: no such channel is set up; not retried.
      ChannelFailed: its service did not take the notice over; retried.
    """
    open_channels().send(channel, Notice(title, body, severity))
    return {"channel": channel}


@actor(
    queue_name="notification",
    retry=CHANNEL_RETRY,
    time_limit=timedelta(minutes=5),
    idempotency=Idempotency(ttl=timedelta(days=1)),
)
def notify(channels: Sequence[str], title: str, body: str, severity: Severity = "info") -> NotifyResult:
    """Send one notice to many channels. One that fails does not stop the rest: it is tried again by a retry of the
    message, which leaves out those that have it, and is reported when the retries are used up. One whose limit is
    reached gets it when it is its turn, which is no attempt.

    Raises:
      TypeError: ``channels`` is not a list of names.
    """
    if not isinstance(channels, list | tuple) or not all(isinstance(name, str) for name in channels):
        raise TypeError("channels is a list of names")
    notice, services = Notice(title, body, severity), open_channels()
    execution, put_off, waits = current(), None, list[float]()
    names = list(dict.fromkeys(channels))
    items = each(names, key=str, reasons=len(names))
    for channel in items:
        if later := turn(CHANNEL_LIMIT, channel=channel):
            items.defer()
            waits.append(later)
            continue
        try:
            services.send(channel, notice)
        except ChannelUnknown as error:
            items.fail(str(error))
        except ChannelFailed as error:
            if execution is None or execution.last_attempt:
                items.fail(str(error))
            else:
                items.defer()
                put_off = error
    if put_off is not None:
        raise put_off
    if waits:
        # The first of them: who comes late for a turn has lost it.
        raise HandBack("a channel has had as many notices as it takes for now", delay=min(waits))
    failed = [FailedChannel(channel=name, error=items.failures[name]) for name in names if name in items.failures]
    return {"successful": items.successful, "failed": len(failed), "failed_channels": failed}
