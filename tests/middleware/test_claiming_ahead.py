"""Keys of messages that are fetched together are claimed in one round trip, and that promises no less (P3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import Idempotency, Retry, actor, each, handle
from understudy.brokers.redis import RedisBroker
from understudy.testing.faults import Faults

Drain = Callable[..., int]


@pytest.fixture(autouse=True)
def _as_in_a_worker_with_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RedisBroker, "keeps_up", True)


@pytest.fixture
def ran(broker: RedisBroker) -> list[str]:
    found: list[str] = []

    @actor(idempotency=Idempotency(key="note:{name}"))
    def note(name: str) -> str:
        found.append(name)
        return name.upper()

    return found


def note(broker: RedisBroker, name: str) -> str:
    return str(broker.actors["note"].send(name).message_id)


def test_unused_keys_cost_one_round_trip_for_all(
    broker: RedisBroker, ran: list[str], faults: Faults, drain: Drain
) -> None:
    sent = [note(broker, f"n{n}") for n in range(8)]
    drain()
    assert ran == [f"n{n}" for n in range(8)]
    assert (faults.exchanges.count("claims"), faults.exchanges.count("claim")) == (1, 0)
    assert [handle(id).get() for id in sent] == [name.upper() for name in ran]


def test_messages_of_several_actors_that_are_fetched_together_each_claim_as_theirs_says(
    broker: RedisBroker, ran: list[str], faults: Faults, drain: Drain
) -> None:
    @actor(queue_name="default")
    def plain(name: str) -> None:
        ran.append(f"plain {name}")

    @actor(idempotency=Idempotency(key="other:{name}"))
    def other(name: str) -> None:
        ran.append(f"other {name}")

    for name in ("a", "a", "b"):
        for kind in ("note", "plain", "other"):
            broker.actors[kind].send(name)
    drain()
    assert sorted(ran) == ["a", "b", "other a", "other b", "plain a", "plain a", "plain b"]
    keys = broker.storage.keys
    for kind, name in (("note", "note:a"), ("note", "note:b"), ("other", "other:a"), ("other", "other:b")):
        assert broker.storage.call("HGET", keys.claim(f"{kind}:{name}"), "status") == b"done"
    assert broker.storage.call("EXISTS", keys.claim("plain:note:a"), keys.claim("other:note:a")) == 0
    assert faults.exchanges.count("claims") == 1


def test_duplicates_that_are_fetched_together_run_once(broker: RedisBroker, ran: list[str], drain: Drain) -> None:
    sent = [note(broker, "same") for _ in range(5)]
    drain()
    assert ran == ["same"]
    assert {handle(id).get() for id in sent} == {"SAME"}


def test_a_key_that_was_used_is_not_claimed_ahead(broker: RedisBroker, ran: list[str], drain: Drain) -> None:
    note(broker, "a")
    drain()
    sent = [note(broker, "a"), note(broker, "b")]
    drain()
    assert ran == ["a", "b"]
    assert [handle(id).get() for id in sent] == ["A", "B"]


def test_a_key_that_is_kept_for_a_retry_is_not_claimed_ahead(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(3, backoff=60, jitter="none"), idempotency=Idempotency(key="k:{x}"))
    def flaky(x: int, turn: int) -> None:
        for item in each([1, 2], key=str):
            ran.append(item)
            if turn == 1 and ran == [1, 2]:
                raise ValueError

    first = flaky.send(7, 1)
    drain()
    others = [flaky.send(7, 2) for _ in range(3)]
    drain()
    assert ran == [1, 2]
    freezer.tick(61)
    drain()
    freezer.tick(61)
    drain()
    assert ran == [1, 2, 2], "the retry goes on with its second item, and the twins get its result"
    assert all(handle(message).successful() for message in (first, *others))


def test_a_claim_that_means_that_the_body_has_begun_is_not_taken_ahead(
    broker: RedisBroker, faults: Faults, drain: Drain
) -> None:
    @actor(idempotency=Idempotency(on_doubt="skip"))
    def careful() -> None: ...

    careful.send()
    careful.send()
    drain()
    assert (faults.exchanges.count("claims"), faults.exchanges.count("claim")) == (0, 2)


def test_a_claim_that_has_grown_old_is_asked_for_again(
    broker: RedisBroker, faults: Faults, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[int] = []

    @actor(idempotency=Idempotency())
    def slow(x: int) -> None:
        ran.append(x)
        freezer.tick(broker.settings.heartbeat_timeout * 0.6)

    for x in range(3):
        slow.send(x)
    drain()
    assert ran == [0, 1, 2]
    assert faults.exchanges.count("claim") == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_outage_while_claiming_ahead_leaves_it_to_each_message(
    broker: RedisBroker, ran: list[str], faults: Faults, drain: Drain, when: str
) -> None:
    faults.fail("claims", when=when)  # type: ignore[arg-type]  # one of the two
    sent = [note(broker, name) for name in "ab"]
    drain()
    assert ran == ["a", "b"]
    assert faults.exchanges.count("claim") == 2
    assert [handle(id).get() for id in sent] == ["A", "B"]


def test_what_a_dead_worker_had_claimed_ahead_runs_once_elsewhere(
    broker: RedisBroker, ran: list[str], faults: Faults, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    sent = [note(broker, name) for name in "abc"]
    faults.kill_at("claims", when="after")
    drain()
    assert ran == []
    for _ in range(3):
        freezer.tick(broker.settings.heartbeat_timeout + 1)
        drain()
    assert sorted(ran) == ["a", "b", "c"]
    assert sorted(handle(id).get() for id in sent) == ["A", "B", "C"]


def test_a_key_that_holds_something_else_keeps_the_others_from_nothing(
    broker: RedisBroker, ran: list[str], drain: Drain
) -> None:
    broker.storage.call("SET", broker.storage.keys.claim("note:note:a"), "x")
    note(broker, "a")
    sent = note(broker, "b")
    drain()
    assert ran == ["b"]
    assert handle(sent).get() == "B"
