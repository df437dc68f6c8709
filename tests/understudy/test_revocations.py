"""What is revoked, on the server. What follows for messages: ``tests/middleware/test_revocation.py``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import actor, handle, revocations, revoke
from understudy.brokers.redis import RedisBroker
from understudy.revocations import KEPT, Revocations
from understudy.states import State


@pytest.fixture
def known(broker: RedisBroker) -> Revocations:
    return Revocations(broker.storage)


def test_nothing_is_revoked_until_somebody_says_so(known: Revocations, freezer: FrozenDateTimeFactory) -> None:
    assert not known.holds("m")
    assert known.revoke("m", terminate=False, result_ttl=60) is State.REVOKED
    assert known.holds("m")
    freezer.tick(KEPT)
    assert not known.holds("m")
    assert list(known.all()) == []


def test_all_are_read_page_by_page(known: Revocations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "PAGE", 2)
    for number in range(5):
        known.revoke(f"m{number}", terminate=False, result_ttl=60)
    assert dict(known.all()) == {f"m{number}": True for number in range(5)}


def test_the_delayed_copies_go_whatever_queue_they_are_in(
    broker: RedisBroker, drain: Callable[..., int], freezer: FrozenDateTimeFactory
) -> None:
    @actor(queue_name="one")
    def first() -> None: ...

    @actor(queue_name="two")
    def second() -> None: ...

    first.send()
    second.send()
    drain()
    first.send_with_options(message_id="m", delay=1_000)
    second.send_with_options(message_id="m", delay=1_000)
    second.send_with_options(message_id="n", delay=1_000)
    revoke("m")
    assert (broker.size("one"), broker.size("two")) == (0, 1)


def test_who_looks_as_the_body_begins_looks_again(
    broker: RedisBroker, drain: Callable[..., int], known: Revocations
) -> None:
    @actor
    def body() -> State:
        # A record as it was before the body began, and then as it is.
        storage = broker.storage
        real, answers = storage.call, [[None, None]]

        def call(*command: object, **options: object) -> object:
            return answers.pop() if command[0] == "HMGET" and answers else real(*command, **options)  # type: ignore[arg-type]

        storage.call = call  # type: ignore[method-assign]
        try:
            return known.revoke("m", terminate=False, result_ttl=60)
        finally:
            storage.call = real  # type: ignore[method-assign]

    body.send_with_options(message_id="m")
    drain()
    assert handle("m").get() == "STARTED"
