from __future__ import annotations

from dramatiq import Message
from freezegun.api import FrozenDateTimeFactory

from understudy.brokers.held import ENTRY, HeldMessage
from understudy.brokers.outbox import letters, pack, unpack
from understudy.brokers.settlement import SettlingBroker
from understudy.outcome import Disposition


def held(**options: object) -> HeldMessage:
    return HeldMessage(
        Message(
            queue_name="q",
            actor_name="a",
            args=(1,),
            kwargs={},
            options={ENTRY: "entry", **options},
            message_id="m",
        )
    )


def test_an_outcome_that_sends_nothing_has_an_empty_outbox() -> None:
    message = held()
    message.outcome.decide(Disposition.DONE)
    assert pack(message) == b""
    assert letters(message) == []


def test_what_was_packed_is_sent_with_the_same_entries_and_at_the_same_time(
    broker: SettlingBroker, freezer: FrozenDateTimeFactory
) -> None:
    before = held(retries=1)
    follower = Message[object](queue_name="q", actor_name="b", args=(2,), kwargs={}, options={})
    before.outcome.follow_ups += [(follower, None), (follower, 30.0)]
    before.outcome.decide(Disposition.RETRY, delay=60.0)
    packed = pack(before)
    freezer.tick(20)
    after = held(retries=0)
    unpack(after, packed)
    assert after.outcome.disposition is Disposition.HAND_BACK
    assert after.retries == 1
    sent, again = letters(before), letters(after)
    assert [entry for _, _, entry in again] == [entry for _, _, entry in sent]
    assert [delay for _, delay, _ in again] == [None, 10.0, 40.0]
    assert list(again[0][0].args) == [2]


def test_what_is_overdue_is_sent_at_once(freezer: FrozenDateTimeFactory) -> None:
    before = held()
    before.outcome.decide(Disposition.HAND_BACK, delay=5.0)
    packed = pack(before)
    freezer.tick(60)
    after = held()
    unpack(after, packed)
    assert [delay for _, delay, _ in letters(after)] == [None]


def test_an_empty_outbox_changes_nothing() -> None:
    message = held()
    unpack(message, b"")
    assert message.outcome.disposition is None


def test_entries_have_different_names() -> None:
    message = held()
    follower = Message[object](queue_name="q", actor_name="b", args=(), kwargs={}, options={})
    message.outcome.follow_ups += [(follower, None)] * 3
    assert len({entry for _, _, entry in letters(message)}) == 3


def test_a_hand_back_and_a_retry_of_the_same_entry_are_two_entries() -> None:
    first, second = held(retries=0), held(retries=0)
    first.outcome.decide(Disposition.HAND_BACK)
    second.options["retries"] = 1
    second.outcome.decide(Disposition.RETRY)
    assert letters(first)[0][2] != letters(second)[0][2]
