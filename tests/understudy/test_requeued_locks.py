"""A dead letter that is requeued stands under its unique key again; it is left alone while another message does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.scheduler.helpers import live, runs
from understudy import AlreadyEnqueued, Unique, actor, handle, periodic
from understudy.brokers.redis import RedisBroker
from understudy.deadletters import DeadLetter, DeadLetters
from understudy.errors import ServerUnavailable
from understudy.scheduler.loop import Scheduler
from understudy.testing.faults import Faults

Drain = Callable[..., int]


class Failing:
    """A unique actor that fails as often as it is told to, and a dead letter of it."""

    def __init__(self, broker: RedisBroker, drain: Drain, policy: Unique) -> None:
        self.failures, self.ran = 1, list[str]()

        @actor(unique=policy)
        def body(name: str) -> str:
            self.ran.append(name)
            if self.failures:
                self.failures -= 1
                raise ValueError(name)
            return name

        self.actor = body
        self.message = body.send("a")
        drain()
        self.letters = DeadLetters(broker.storage)

    @property
    def letter(self) -> DeadLetter:
        (found,) = self.letters.walk()
        return found


@pytest.fixture
def failing(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> Failing:
    return Failing(broker, drain, Unique(key="{name}", ttl=timedelta(days=3)))


def refused(call: Callable[[], Any]) -> str:
    """The id of the message that stands."""
    with pytest.raises(AlreadyEnqueued) as told:
        call()
    return told.value.message_id


def test_a_requeued_message_stands_until_it_has_ended(
    failing: Failing, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    assert failing.letters.requeue(failing.letter) == "requeued"
    freezer.tick(timedelta(days=2))
    assert refused(lambda: failing.actor.send("a")) == failing.message.message_id
    drain()
    assert handle(failing.message).get() == "a"
    failing.actor.send("a")


def test_it_stands_no_longer_than_its_actor_says(failing: Failing, freezer: FrozenDateTimeFactory) -> None:
    failing.letters.requeue(failing.letter)
    freezer.tick(timedelta(days=3))
    failing.actor.send("a")


def test_while_another_one_stands_it_is_left_alone_and_that_one_is_named(
    failing: Failing, broker: RedisBroker, drain: Drain
) -> None:
    letter, other = failing.letter, failing.actor.send("a")
    with pytest.raises(AlreadyEnqueued, match=rf"^body: message {other.message_id} stands under the same unique key"):
        failing.letters.requeue(letter)
    assert failing.letter == letter
    assert broker.size("default") == 1
    assert handle(failing.message).status == "FAILURE"
    drain()
    assert failing.letters.requeue(letter) == "requeued"
    drain()
    assert failing.ran == ["a", "a", "a"]


def test_a_person_may_insist(failing: Failing, drain: Drain) -> None:
    other = failing.actor.send("a")
    assert failing.letters.requeue(failing.letter, force=True) == "requeued"
    assert refused(lambda: failing.actor.send("a")) == other.message_id
    drain()
    assert (handle(failing.message).get(), handle(other).get()) == ("a", "a")
    failing.actor.send("a")


def test_until_started_is_kept_by_the_letter(broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    failing = Failing(broker, drain, Unique(key="{name}", until="started"))
    assert failing.letter.stands == ("started", 86_400.0)
    failing.letters.requeue(failing.letter)
    assert refused(lambda: failing.actor.send("a")) == failing.message.message_id
    drain()
    failing.actor.send("a")


def test_it_may_be_requeued_again_when_it_has_died_again(failing: Failing, drain: Drain) -> None:
    for _ in range(2):
        failing.failures = 1
        assert failing.letters.requeue(failing.letter) == "requeued"
        drain()
    failing.actor.send("a")
    assert len(failing.ran) == 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_answer_that_never_came_leaves_it_in_one_place(
    failing: Failing, drain: Drain, faults: Faults, when: Any
) -> None:
    letter = failing.letter
    faults.fail("requeue", when=when)
    with pytest.raises(ServerUnavailable):
        failing.letters.requeue(letter)
    assert failing.letters.requeue(letter) == ("requeued" if when == "before" else "gone")
    assert refused(lambda: failing.actor.send("a")) == failing.message.message_id
    drain()
    assert failing.ran == ["a", "a"]


def test_a_lock_that_holds_something_else_is_told_and_nothing_is_done(failing: Failing, broker: RedisBroker) -> None:
    letter = failing.letter
    broker.storage.call("SET", broker.storage.keys.unique("body:a"), "x")
    with pytest.raises(ServerUnavailable, match="holds something else"):
        failing.letters.requeue(letter)
    assert failing.letter == letter
    assert broker.size("default") == 0


def test_poison_remembers_until_when_it_stood(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    @actor(unique=Unique(key="{name}", until="started"))
    def body(name: str) -> None:
        faults.kill_worker()

    body.send("a")
    for _ in range(5):
        drain()
        freezer.tick(60)
    (letter,) = DeadLetters(broker.storage).walk()
    assert letter.poison
    assert letter.stands == ("started", 86_400.0)


def test_a_tick_is_left_out_while_a_requeued_one_stands(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    failures = [1]

    @periodic(every=10, overlap="skip")
    @actor(actor_name="job")
    def body() -> None:
        if failures:
            failures.pop()
            raise ValueError

    scheduler = Scheduler(broker)
    live(freezer, scheduler, seconds=10)
    drain()
    letters = DeadLetters(broker.storage)
    (letter,) = letters.walk()
    letters.requeue(letter)
    live(freezer, scheduler, seconds=10)
    assert [run.word for run in runs(broker)] == ["sent", "overlap"]
    drain()
    live(freezer, scheduler, seconds=10)
    assert [run.word for run in runs(broker)] == ["sent", "overlap", "sent"]
