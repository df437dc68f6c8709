"""Webhooks and channels: how they fail, retry, stop, and reach nobody twice. On the stub and on a real server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.channel_memory import MemoryChannels
from tasks.adapters.channels import ChannelFailed, ChannelUnknown, Notice
from tasks.adapters.web import DestinationRefused, HttpWeb, MemoryWeb, Refused, Unreachable, WebhookSettings, use_web
from tasks.notification_tasks import notify, send_notification, send_webhook
from tasks.utils.rate_limiting import CHANNEL_LIMIT
from tests.tasks.adapters.receiving import receiver
from understudy import handle
from understudy.testing.faults import Faults

Drain = Callable[..., int]
URL = "https://receiver.example/hook"
#: Seconds; longer than any wait between two tries.
LONG_ENOUGH = 3_601

pytestmark = pytest.mark.usefixtures("broker")


# -- webhooks ------------------------------------------------------------------------------------------------


def test_a_webhook_is_posted_with_the_id_of_its_message(drain: Drain, web: MemoryWeb) -> None:
    message = send_webhook.send(
        URL, "invoice.paid", {"amount": Decimal("9.90"), "at": datetime(2026, 3, 1, tzinfo=UTC)}
    )
    drain()
    data = {"amount": "9.90", "at": "2026-03-01T00:00:00Z"}
    assert web.posted == [(URL, message.message_id, {"type": "invoice.paid", "data": data})]
    assert handle(message).get() == {"webhook_id": message.message_id, "status": 200, "attempt": 1}


def test_every_attempt_carries_the_same_id_and_is_counted(
    drain: Drain, freezer: FrozenDateTimeFactory, web: MemoryWeb
) -> None:
    web.fail_next(Unreachable("no answer"), times=2)
    message = send_webhook.send(URL, "ping")
    for _ in range(3):
        drain()
        freezer.tick(LONG_ENOUGH)
    assert handle(message).get() == {"webhook_id": message.message_id, "status": 200, "attempt": 3}
    assert [posted.message_id for posted in web.posted] == [message.message_id]


@pytest.mark.parametrize("failure", [Refused(404), DestinationRefused("not public")])
def test_what_does_not_pass_is_not_tried_again(failure: Exception, drain: Drain, web: MemoryWeb) -> None:
    web.fail_next(failure)
    message = send_webhook.send(URL, "ping")
    drain()
    assert handle(message).status == "FAILURE"
    assert web.attempts == 1
    with pytest.raises(type(failure)):
        handle(message).get()


def test_a_worker_that_dies_after_the_post_posts_again_under_the_same_id(
    drain: Drain, web: MemoryWeb, faults: Faults, freezer: FrozenDateTimeFactory
) -> None:
    message = send_webhook.send(URL, "ping")
    faults.kill_at("settle")
    drain()
    freezer.tick(LONG_ENOUGH)
    drain()
    assert handle(message).status == "SUCCESS"
    assert {posted.message_id for posted in web.posted} == {message.message_id}


def test_a_real_receiver_gets_a_signed_webhook(drain: Drain) -> None:
    settings = WebhookSettings(secret="s" * 24, allowed_networks=("127.0.0.0/8", "::1/128"))  # type: ignore[arg-type]
    with receiver() as target, use_web(lambda: HttpWeb(settings)):
        message = send_webhook.send(target.url(), "ping", {"n": 1})
        drain()
    ((_, _, headers, body),) = target.seen
    assert headers["webhook-id"] == message.message_id
    assert body == b'{"type":"ping","data":{"n":1}}'
    assert handle(message).get()["status"] == 200


def test_a_receiver_that_is_down_is_left_alone_and_the_others_get_theirs(
    drain: Drain, freezer: FrozenDateTimeFactory, web: MemoryWeb
) -> None:
    down = [True]

    def answer(url: str) -> None:
        if "down" in url and down[0]:
            raise Unreachable("no answer")

    web.on_post = answer
    broken = [send_webhook.send("https://down.example/", "ping", n) for n in range(12)]
    fine = [send_webhook.send("https://up.example/", "ping", n) for n in range(12)]
    drain()
    assert web.attempts == 5 + 12, "after five failures nobody calls it"
    assert all(handle(message).status == "SUCCESS" for message in fine)
    down[0] = False
    for _ in range(60):
        freezer.tick(60)
        drain()
    assert all(handle(message).status == "SUCCESS" for message in broken)
    assert sum(handle(message).retries for message in broken) == 5


# -- channels ------------------------------------------------------------------------------------------------


def test_a_notice_goes_to_its_channel(drain: Drain, channels: MemoryChannels) -> None:
    message = send_notification.send("ops", "Disk full", "db1 has 2 % left", "warning")
    drain()
    assert channels.delivered == [("ops", Notice("Disk full", "db1 has 2 % left", "warning"))]
    assert handle(message).get() == {"channel": "ops"}


def test_an_unknown_channel_is_named_and_not_tried_again(drain: Drain, channels: MemoryChannels) -> None:
    message = send_notification.send("opps", "a", "b")
    drain()
    with pytest.raises(ChannelUnknown, match=r"'opps'; did you mean 'ops'\?; name it in NOTIFY_CHANNELS"):
        handle(message).get()
    assert handle(message).retries == 0


def test_each_channel_gets_a_notice_once_whatever_the_others_do(
    drain: Drain, freezer: FrozenDateTimeFactory, channels: MemoryChannels
) -> None:
    channels.fail_next("sms", ChannelFailed("busy"), times=2)
    message = notify.send(["ops", "sms", "chat", "ops"], "Hello", "World")
    for _ in range(3):
        drain()
        freezer.tick(LONG_ENOUGH)
    assert [name for name, _ in channels.delivered] == ["ops", "chat", "sms"]
    assert handle(message).get() == {"successful": 3, "failed": 0, "failed_channels": []}


def test_what_cannot_be_reached_in_the_end_is_reported_in_the_order_of_the_list(
    drain: Drain, freezer: FrozenDateTimeFactory, channels: MemoryChannels
) -> None:
    channels.fail_next("ops", ChannelFailed("channel ops: gone"), times=100)
    message = notify.send(["nobody", "chat", "ops", "ops", "nobody"], "Hello", "World")
    for _ in range(9):
        drain()
        freezer.tick(LONG_ENOUGH)
    result = handle(message).get()
    assert (result["successful"], result["failed"]) == (1, 2)
    assert [failed["channel"] for failed in result["failed_channels"]] == ["nobody", "ops"]
    assert result["failed_channels"][1]["error"] == "channel ops: gone"


def test_notices_to_many_share_the_limit_of_a_channel_with_those_to_one(
    drain: Drain, freezer: FrozenDateTimeFactory, channels: MemoryChannels
) -> None:
    single = [send_notification.send("ops", f"single {n}", "World") for n in range(3)]
    many = [notify.send(["ops", "chat"], f"many {n}", "World") for n in range(4)]
    drain()
    arrived = Counter(name for name, _ in channels.delivered)
    assert arrived == {"ops": CHANNEL_LIMIT.burst, "chat": 4}, "the other channel does not wait"
    seconds = 0
    while len(channels.delivered) < 3 + 2 * 4:
        freezer.tick(1.05)
        drain()
        seconds += 1
        assert Counter(name for name, _ in channels.delivered)["ops"] <= CHANNEL_LIMIT.burst + seconds
    assert all(handle(message).get() for message in single + many)
    assert {handle(message).retries for message in single + many} == {0}, "to wait is not to fail"
    assert len(set(channels.delivered)) == len(channels.delivered)


@pytest.mark.parametrize("wrong", ["ops", [1], None, {"ops": 1}])
def test_what_is_no_list_of_channels_is_refused(wrong: Any, drain: Drain, channels: MemoryChannels) -> None:
    message = notify.send(wrong, "Hello", "World")
    drain()
    with pytest.raises(TypeError, match="list of names"):
        handle(message).get()


def test_without_channels_there_is_nothing_to_do(drain: Drain, channels: MemoryChannels) -> None:
    message = notify.send([], "Hello", "World")
    drain()
    assert handle(message).get() == {"successful": 0, "failed": 0, "failed_channels": []}
