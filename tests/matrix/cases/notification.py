"""Notifications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.channel_memory import MemoryChannels
from tasks.adapters.channels import ChannelFailed, ChannelUnknown
from tasks.adapters.web import MemoryWeb, Refused
from tasks.notification_tasks import notify, send_notification, send_webhook
from tasks.utils.retry_policies import CHANNEL_RETRY, WEBHOOK_RETRY
from tests.matrix.entries import Entry, matrix_entry
from tests.matrix.excuses import NO_COLLECTION, SHORT_WORK
from tests.matrix.stops import assert_chain_stops
from understudy import Retry, handle
from understudy.errors import TimeLimitExceeded

Drain = Callable[..., int]

URL = "https://receiver.example/hook"
#: Seconds; longer than any wait between two tries.
LONG_ENOUGH = 3_601


def tries(policy: Retry) -> int:
    return 1 + (policy.max_retries or 0)


def fails_for_good(message: Any, policy: Retry, drain: Drain, freezer: FrozenDateTimeFactory) -> Any:
    """Let all tries of ``message`` pass; its handle."""
    for _ in range(tries(policy)):
        drain()
        freezer.tick(LONG_ENOUGH)
    found = handle(message)
    assert found.status == "FAILURE"
    assert found.retries == policy.max_retries
    return found


@matrix_entry("send_webhook")
class SendWebhook(Entry):
    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, web: MemoryWeb) -> None:
        web.fail_next(Refused(503))
        message = send_webhook.send(URL, "ping")
        drain()
        assert handle(message).status == "RETRY"
        freezer.tick(LONG_ENOUGH)
        drain()
        assert handle(message).get() == {"webhook_id": message.message_id, "status": 200, "attempt": 2}

        web.fail_next(Refused(503), times=tries(WEBHOOK_RETRY))
        hopeless = fails_for_good(send_webhook.send(URL, "ping"), WEBHOOK_RETRY, drain, freezer)
        with pytest.raises(Refused, match="503"):
            hopeless.get()

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, web: MemoryWeb) -> None:
        web.on_post = _taking(freezer, 61)
        message = send_webhook.send(URL, "ping")
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 60 s"):
            handle(message).get()
        assert handle(message).retries == 0

    def partial_failure(self, drain: Drain, web: MemoryWeb) -> None:
        def refuse_one(url: str) -> None:
            if "bad" in url:
                raise Refused(410)

        web.on_post = refuse_one
        messages = [send_webhook.send(f"https://{name}.example/", "ping") for name in ("a", "bad", "c")]
        drain()
        assert [handle(message).status for message in messages] == ["SUCCESS", "FAILURE", "SUCCESS"]
        assert [posted.url for posted in web.posted] == ["https://a.example/", "https://c.example/"]
        with pytest.raises(Refused, match="410"):
            handle(messages[1]).get()

    def chain_stop(self, drain: Drain, web: MemoryWeb, channels: MemoryChannels) -> None:
        web.fail_next(Refused(404))
        assert_chain_stops(send_webhook.message(URL, "ping"), Refused, drain, channels)

    progress = SHORT_WORK

    def idempotency(self, drain: Drain, web: MemoryWeb) -> None:
        first = send_webhook.send_with_options(args=(URL, "ping"), idempotency_key="ping 1")
        drain()
        send_webhook.send_with_options(args=(URL, "ping"), message_id=first.message_id)
        same_key = send_webhook.send_with_options(args=(URL, "ping"), idempotency_key="ping 1")
        drain()
        assert len(web.posted) == 1
        assert handle(first).get() == handle(same_key).get()


@matrix_entry("send_notification")
class SendNotification(Entry):
    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, channels: MemoryChannels) -> None:
        channels.fail_next("ops", ChannelFailed("busy"))
        message = send_notification.send("ops", "Hello", "World")
        drain()
        assert handle(message).status == "RETRY"
        freezer.tick(LONG_ENOUGH)
        drain()
        assert handle(message).get() == {"channel": "ops"}

        channels.fail_next("ops", ChannelFailed("gone for good"), times=tries(CHANNEL_RETRY))
        hopeless = fails_for_good(send_notification.send("ops", "Hello", "World"), CHANNEL_RETRY, drain, freezer)
        with pytest.raises(ChannelFailed, match="gone for good"):
            hopeless.get()

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, channels: MemoryChannels) -> None:
        channels.on_send = _taking(freezer, 61)
        message = send_notification.send("ops", "Hello", "World")
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 60 s"):
            handle(message).get()
        assert handle(message).retries == 0

    partial_failure = NO_COLLECTION

    def chain_stop(self, drain: Drain, channels: MemoryChannels) -> None:
        assert_chain_stops(send_notification.message("nobody", "Hello", "World"), ChannelUnknown, drain, channels)

    progress = SHORT_WORK

    def idempotency(self, drain: Drain, channels: MemoryChannels) -> None:
        first = send_notification.send_with_options(args=("ops", "Hello", "World"), idempotency_key="hello")
        drain()
        send_notification.send_with_options(args=("ops", "Hello", "World"), message_id=first.message_id)
        same_key = send_notification.send_with_options(args=("ops", "Hello", "World"), idempotency_key="hello")
        drain()
        assert len(channels.delivered) == 1
        assert handle(first).get() == handle(same_key).get() == {"channel": "ops"}


@matrix_entry("notify")
class Notify(Entry):
    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, channels: MemoryChannels) -> None:
        channels.fail_next("sms", ChannelFailed("busy"))
        message = notify.send(["ops", "sms"], "Hello", "World")
        drain()
        assert handle(message).status == "RETRY"
        freezer.tick(LONG_ENOUGH)
        drain()
        assert handle(message).get() == {"successful": 2, "failed": 0, "failed_channels": []}
        assert [name for name, _ in channels.delivered] == ["ops", "sms"]  # nobody twice

        # An outage that is not one channel's: the message itself fails, and says why.
        failure = ChannelFailed("no network")
        channels.on_send = _raising(failure)
        hopeless = notify.send(["ops"], "Hello", "World")
        for _ in range(tries(CHANNEL_RETRY)):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert handle(hopeless).get()["failed_channels"] == [{"channel": "ops", "error": "no network"}]
        assert handle(hopeless).retries == CHANNEL_RETRY.max_retries

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, channels: MemoryChannels) -> None:
        channels.on_send = _taking(freezer, 301)
        message = notify.send(["ops", "sms"], "Hello", "World")
        drain()
        with pytest.raises(TimeLimitExceeded, match="time limit of 300 s"):
            handle(message).get()
        assert handle(message).retries == 0

    def partial_failure(self, drain: Drain, channels: MemoryChannels) -> None:
        message = notify.send(["ops", "nobody", "chat"], "Hello", "World")
        drain()
        result = handle(message).get()
        assert (result["successful"], result["failed"]) == (2, 1)
        assert result["failed_channels"][0]["channel"] == "nobody"
        assert [name for name, _ in channels.delivered] == ["ops", "chat"]

    def chain_stop(self, drain: Drain, channels: MemoryChannels) -> None:
        assert_chain_stops(notify.message("no list", "Hello", "World"), TypeError, drain, channels)

    def progress(self, drain: Drain, channels: MemoryChannels) -> None:
        message, seen = notify.send(["ops", "sms", "chat"], "Hello", "World"), []
        channels.on_send = lambda channel: seen.append((handle(message).status, handle(message).info))
        drain()
        assert seen[1:] == [("PROGRESS", {"current": 1, "total": 3}), ("PROGRESS", {"current": 2, "total": 3})]
        assert handle(message).progress == {"current": 3, "total": 3}

    def idempotency(self, drain: Drain, channels: MemoryChannels) -> None:
        once = {"successful": 2, "failed": 0, "failed_channels": []}
        first = notify.send_with_options(args=(["ops", "sms"], "Hello", "World"), idempotency_key="hello")
        drain()
        notify.send_with_options(args=(["ops", "sms"], "Hello", "World"), message_id=first.message_id)
        same_key = notify.send_with_options(args=(["ops", "sms"], "Hello", "World"), idempotency_key="hello")
        drain()
        assert [name for name, _ in channels.delivered] == ["ops", "sms"]
        assert handle(first).get() == handle(same_key).get() == once


def _taking(freezer: FrozenDateTimeFactory, seconds: float) -> Callable[[str], None]:
    def take(name: str) -> None:
        freezer.tick(seconds)

    return take


def _raising(failure: Exception) -> Callable[[str], None]:
    def raise_it(channel: str) -> None:
        raise failure

    return raise_it
