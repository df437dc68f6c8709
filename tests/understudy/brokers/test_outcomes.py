from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec
from dramatiq import Message
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import dead_letters
from understudy import actor, handle
from understudy.brokers import outcomes
from understudy.brokers.committer import MISFIT, UNCLAIMED
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.holds import Hold
from understudy.outcome import Disposition
from understudy.states import State
from understudy.testing.enqueued import Enqueued

Drain = Callable[..., int]


def held() -> HeldMessage:
    message: Message[object] = Message(queue_name="q", actor_name="a", args=(1,), kwargs={}, options={})
    return HeldMessage(message, Hold(stream="s", entry="1-1", token="q/2/1-1", deaths=2, worker="w"))


def test_what_nobody_decided_is_what_dramatiq_chose(broker: RedisBroker) -> None:
    done, failed = held(), held()
    failed.fail()
    outcomes.conclude(broker, done)
    outcomes.conclude(broker, failed)
    assert done.outcome.disposition is Disposition.DONE
    assert failed.outcome.disposition is Disposition.FAILED
    assert done.body == b""
    assert msgspec.json.decode(failed.body)["deaths"] == 2


def test_a_hand_back_keeps_what_is_known_of_deaths_and_a_retry_does_not(broker: RedisBroker) -> None:
    for disposition, kept in ((Disposition.HAND_BACK, True), (Disposition.RETRY, False)):
        message = held()
        message.outcome.decide(disposition, delay=3)
        outcomes.conclude(broker, message)
        ((_, payload, delay, hold),) = message.letters
        assert payload == message._message.encode()
        assert delay == 3
        assert (hold is not None) == kept


def test_a_message_whose_claim_is_another_s_comes_back_with_its_marks(broker: RedisBroker) -> None:
    message = held()
    message.outcome.state = State.SUCCESS
    message.outcome.marks["item"] = "1"
    assert outcomes.instead(message, UNCLAIMED)
    outcome = message.outcome
    assert (outcome.disposition, outcome.state) == (Disposition.HAND_BACK, None)
    assert outcome.marks == {"item": "1"}


def test_an_outcome_that_does_not_fit_is_tried_with_less_and_then_left(broker: RedisBroker) -> None:
    message = held()
    assert outcomes.instead(message, MISFIT)
    assert (message.outcome.disposition, message.outcome.state) == (Disposition.DEAD, State.FAILURE)
    assert outcomes.instead(message, MISFIT)
    assert (message.outcome.disposition, message.outcome.state) == (Disposition.DEAD, None)
    assert not outcomes.instead(message, MISFIT)


def test_the_size_grows_with_what_is_sent(broker: RedisBroker) -> None:
    small, large = held(), held()
    large.outcome.fields["result"] = b"x" * 10_000
    assert outcomes.size_of(large) - outcomes.size_of(small) == 10_000


def test_a_dead_letter_holds_the_message_whole(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body(x: int) -> None:
        raise ValueError(x)

    message = body.send(7)
    drain()
    (letter,) = dead_letters(broker)
    assert Message.decode(base64.b64decode(letter["message"])).message_id == message.message_id
    assert set(letter) >= {"message", "reason", "stream", "entry", "deaths"}


def test_a_retry_is_told_to_those_who_watch_enqueues_when_it_exists(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    from understudy import Retry

    @actor(retry=Retry(1, backoff=5, jitter="none"))
    def body() -> None:
        raise ValueError

    message = body.send()
    drain()
    assert [sent.delay for sent in enqueued.sent] == [None, 5]
    assert handle(message).status == "RETRY"
