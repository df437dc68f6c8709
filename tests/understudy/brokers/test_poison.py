"""P6: poison is found, said why, and takes no innocent with it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Literal

import pytest
from dramatiq import Message
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import dead_letters
from understudy import Idempotency, actor, each, handle
from understudy.brokers import reaper
from understudy.brokers.redis import RedisBroker
from understudy.errors import HandBack
from understudy.execution import current
from understudy.holds import MAX_DEATHS, SUSPECT_AFTER
from understudy.testing.faults import Faults

Drain = Callable[..., int]
A_LEASE = 6


def until_quiet(drain: Drain, freezer: FrozenDateTimeFactory, rounds: int = 12) -> None:
    for _ in range(rounds):
        drain()
        freezer.tick(A_LEASE)


@pytest.mark.parametrize("idempotency", [None, Idempotency()])
def test_one_poison_among_innocents_is_one_dead_letter_and_all_others_are_done(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, idempotency: Idempotency | None
) -> None:
    ran: list[int] = []

    @actor(idempotency=idempotency)
    def body(x: int) -> int:
        ran.append(x)
        if x == 20:
            faults.kill_worker()
        return x

    messages = [body.send(x) for x in range(40)]
    until_quiet(drain, freezer)
    assert ran.count(20) == MAX_DEATHS
    assert sorted(ran) == sorted([*range(40), *[20] * (MAX_DEATHS - 1)]), "no innocent ran twice"
    assert [handle(m).get() for x, m in enumerate(messages) if x != 20] == [x for x in range(40) if x != 20]
    (letter,) = dead_letters(broker)
    assert letter["deaths"] == MAX_DEATHS
    assert f"at {MAX_DEATHS} deaths" in letter["reason"]
    assert Message.decode(base64.b64decode(letter["message"])).message_id == messages[20].message_id
    assert handle(messages[20]).status == "FAILURE"
    assert type(handle(messages[20]).result).__name__ == "PoisonMessage"


def test_the_dead_letter_names_the_last_worker(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    names: list[str] = []

    @actor
    def body() -> None:
        names.append(broker.worker_id)
        faults.kill_worker()

    body.send()
    until_quiet(drain, freezer)
    assert len(set(names)) == MAX_DEATHS
    assert names[-1] in dead_letters(broker)[0]["reason"]


def test_what_only_waited_in_a_dead_worker_is_never_counted(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    @actor
    def body(x: int) -> None: ...

    for x in range(5):
        body.send(x)
    for _ in range(MAX_DEATHS + 3):
        source = broker.consume("default", prefetch=5, timeout=1)
        while len(broker.holds) < 5:
            next(source)
        assert {held.hold.deaths for held in broker.holds.values()} == {0}
        broker.abandon()
        broker.upkeep.reaper.longest_gap = float("inf")
        broker.upkeep.reaper.run_once()
        freezer.tick(A_LEASE)
        broker.upkeep.reaper.run_once()
    assert broker.size("default") == 5
    assert dead_letters(broker) == []


def test_a_hand_back_does_not_count(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    @actor
    def body() -> None: ...

    body.send()
    source = broker.consume("default", prefetch=5, timeout=1)
    for _ in range(MAX_DEATHS + 3):
        held = next(source)
        while held is None:
            held = next(source)
        source.requeue([held])
    assert broker.size("default") == 1
    assert dead_letters(broker) == []


def test_a_suspect_runs_alone_and_one_that_survives_is_done(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    alone: list[bool] = []

    @actor
    def body() -> str:
        (held,) = [one for one in broker.holds.values() if one.gate is not None]
        alone.append(held.alone)
        if len(alone) < MAX_DEATHS:
            faults.kill_worker()
        return "survived"

    message = body.send()
    until_quiet(drain, freezer)
    assert alone == [False] * SUSPECT_AFTER + [True]
    assert handle(message).get() == "survived"
    assert dead_letters(broker) == []


def test_a_poison_that_cannot_be_read_is_a_dead_letter_with_its_bytes(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    from understudy.brokers.poison import bury

    broker.declare_queue("default")
    keys = broker.keys_of("default")
    broker.ensure_group(keys)
    entry = broker.storage.call("XADD", keys.streams[1], "*", "m", b"\x00garbage", "d", "3", "w", "w")
    broker.read(keys.streams, count=1)
    bury(broker, keys, keys.streams[1], "w", entry.decode(), b"\x00garbage", "3")
    (letter,) = dead_letters(broker)
    assert base64.b64decode(letter["message"]) == b"\x00garbage"
    assert broker.size("default") == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_outage_at_the_burial_makes_one_dead_letter_all_the_same(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, when: str
) -> None:
    @actor
    def body() -> None:
        faults.kill_worker()

    message = body.send()
    for _ in range(MAX_DEATHS):
        drain()
        freezer.tick(A_LEASE)
    faults.fail("settle", when=when, times=2)  # type: ignore[arg-type]
    until_quiet(drain, freezer, 4)
    assert len(dead_letters(broker)) == 1
    assert handle(message).status == "FAILURE"


# -- a body that comes on between its deaths ------------------------------------------------------------------------


def test_a_campaign_that_comes_on_at_every_delivery_is_no_poison(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    done: list[int] = []

    @actor
    def campaign() -> int:
        items = each(range(30), key=str, on_doubt="repeat")
        for item in items:
            if item % 3 == 2 and item not in done:
                done.append(item)
                faults.kill_worker()  # every third item, the first time; a deploy, say
            done.append(item)
        return items.successful

    message = campaign.send()
    until_quiet(drain, freezer, rounds=14)
    assert handle(message).get() == 30
    assert dead_letters(broker) == []
    assert len(done) == 40, "nobody twice but the ten in doubt"


@pytest.mark.parametrize("on_doubt", ["repeat", "skip"])
def test_one_item_that_is_poison_is_bounded_by_its_own_deaths_however_many_were_done_before(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    faults: Faults,
    on_doubt: Literal["repeat", "skip"],
) -> None:
    begun: list[int] = []

    @actor
    def campaign() -> list[int]:
        items = each(range(30), key=str, on_doubt=on_doubt)
        for item in items:
            begun.append(item)
            if item in (5, 20):
                faults.kill_worker()
        return [items.successful, items.failed]

    message = campaign.send()
    until_quiet(drain, freezer)
    if on_doubt == "skip":
        assert handle(message).get() == [28, 2], "each of the two was skipped"
        assert dead_letters(broker) == []
    else:
        assert begun.count(5) == MAX_DEATHS
        assert begun == [*range(5), *[5] * MAX_DEATHS]
        (letter,) = dead_letters(broker)
        assert letter["deaths"] == MAX_DEATHS
        assert type(handle(message).result).__name__ == "PoisonMessage"


def test_all_deaths_are_bounded_and_the_last_one_is_alone(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 6
    monkeypatch.setattr(reaper, "MOST_DEATHS", most)
    monkeypatch.setattr("understudy.holds.MOST_DEATHS", most)
    begun: list[int] = []

    @actor
    def campaign() -> None:
        for item in each(range(100), key=str, on_doubt="skip"):
            begun.append(item)
            if item % 2:
                faults.kill_worker()

    message = campaign.send()
    until_quiet(drain, freezer, rounds=14)
    (letter,) = dead_letters(broker)
    assert letter["deaths"] == most
    assert begun == list(range(2 * most))
    assert f"at {most} deaths of a worker process, the last time alone" in str(handle(message).result)


def test_a_hand_back_after_an_item_was_finished_takes_the_suspicion_away(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults
) -> None:
    seen: list[tuple[int, int, bool]] = []

    @actor
    def campaign() -> int:
        execution = current()
        assert execution is not None
        seen.append((execution.hold.deaths, execution.hold.in_all, execution.hold.must_be_alone))
        items = each(range(4), key=str, on_doubt="repeat")
        for item in items:
            if len(seen) <= 2:
                faults.kill_worker()
            if len(seen) == 3 and item == 1:
                raise HandBack("the rest is for another one")
        return items.successful

    message = campaign.send()
    until_quiet(drain, freezer, rounds=4)
    assert seen == [(0, 0, False), (1, 1, False), (2, 2, True), (0, 2, False)]
    assert handle(message).get() == 4
