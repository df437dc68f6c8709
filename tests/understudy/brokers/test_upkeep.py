from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import SOON, take_away, working
from understudy import actor, handle
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.errors import LeaseLost, ServerUnavailable
from understudy.testing.conditions import wait_until
from understudy.testing.faults import Faults

Drain = Callable[..., int]


def one(broker: RedisBroker) -> HeldMessage:
    """A message that is held and whose body is about to begin."""
    if "body" not in broker.actors:

        @actor
        def body() -> None: ...

    broker.actors["body"].send()
    source = broker.consume("default", prefetch=10, timeout=1)
    for _ in range(4):
        found = next(source)
        if isinstance(found, HeldMessage):
            return found
    raise AssertionError("nothing came")


def marks(broker: RedisBroker) -> dict[bytes, bytes]:
    """Entry -> mark."""
    found: dict[bytes, bytes] = broker.storage.client.hgetall(broker.storage.keys.started(broker.worker_id))  # type: ignore[assignment]
    return {name.rpartition(b" ")[2]: mark for name, mark in found.items()}


def test_without_threads_a_mark_is_written_at_once(broker: RedisBroker) -> None:
    held = one(broker)
    broker.upkeep.begins(held)
    assert marks(broker) == {held.hold.entry.encode(): b"1"}
    broker.commit(held)
    assert marks(broker) == {}


def test_marks_gather_while_threads_run_but_for_a_suspect(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    held = one(broker)
    broker.upkeep.running = True
    broker.upkeep.begins(held)
    assert marks(broker) == {}
    broker.upkeep._flush_starts()
    assert len(marks(broker)) == 1
    take_away(broker)
    suspect = one(broker)
    assert suspect.hold.suspect
    broker.upkeep.begins(suspect)
    assert suspect.hold.entry.encode() in marks(broker)
    broker.upkeep.running = False


def test_a_body_that_has_ended_needs_no_mark(broker: RedisBroker) -> None:
    held = one(broker)
    broker.upkeep.running = True
    broker.upkeep.begins(held)
    held.ended = True
    broker.upkeep._flush_starts()
    assert marks(broker) == {}
    broker.upkeep.running = False


def test_marks_that_could_not_be_written_are_written_later(broker: RedisBroker, faults: Faults) -> None:
    held = one(broker)
    broker.upkeep.running = True
    broker.upkeep.begins(held)
    with faults.outage(), pytest.raises(ServerUnavailable):
        broker.upkeep._flush_starts()
    broker.upkeep._flush_starts()
    assert len(marks(broker)) == 1
    broker.upkeep.running = False


def test_a_body_whose_message_was_taken_away_does_not_begin(broker: RedisBroker) -> None:
    held = one(broker)
    take_away(broker)
    with pytest.raises(LeaseLost):
        broker.upkeep.begins(held)


def test_more_delayed_messages_than_fit_in_one_step_are_promoted(
    broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    @actor
    def body(x: int) -> None: ...

    for x in range(450):
        body.send_with_options(args=(x,), delay=1_000)
    freezer.tick(1)
    broker.upkeep.promote_once()
    keys = broker.keys_of("default")
    assert broker.storage.call("ZCARD", keys.delayed) == 0
    assert broker.storage.call("EXISTS", keys.payloads, keys.ids) == 0


def test_a_worker_starts_its_upkeep_once_and_ends_it(broker: RedisBroker) -> None:
    def threads() -> list[str]:
        return sorted(thread.name for thread in threading.enumerate() if thread.name in ("upkeep", "delays"))

    before = threads()
    with working(broker):
        broker.upkeep.start()
        assert len(threads()) == len(before) + 2
        running = broker.worker_id
    assert threads() == before
    assert broker.worker_id != running, "what was left under the old name is found by a reaper"


@pytest.mark.brokers("server")
def test_a_delayed_message_starts_promptly_and_an_earlier_one_wakes_the_sleeper(broker: RedisBroker) -> None:
    @actor
    def body(x: int) -> int:
        return x

    with working(broker):
        body.send_with_options(args=(1,), delay=60_000)
        soon = body.send_with_options(args=(2,), delay=50)
        assert handle(soon).get(timeout=SOON) == 2


@pytest.mark.brokers("server")
def test_a_helper_that_was_killed_is_started_again(broker: RedisBroker) -> None:
    @actor
    def body() -> int:
        return 1

    with working(broker):
        assert handle(body.send()).get(timeout=SOON) == 1
        pulse = broker.upkeep._pulse
        assert pulse is not None
        assert pulse._helper is not None
        first = pulse._helper
        first.kill()
        wait_until(lambda: pulse.alive() and pulse._helper is not first, timeout=SOON)


@pytest.mark.brokers("server")
def test_a_worker_that_stops_hands_back_what_it_had_not_begun(broker: RedisBroker) -> None:
    began, go = threading.Event(), threading.Event()

    @actor
    def body(x: int) -> int:
        began.set()
        go.wait(SOON)
        return x

    messages = [body.send(x) for x in range(6)]
    with working(broker, threads=1) as worker:
        assert began.wait(SOON)
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        assert broker.stopping.wait(SOON)
        go.set()
        stopping.join(SOON)
    done = [message for message in messages if handle(message).status == "SUCCESS"]
    assert 1 <= len(done) < 6
    assert broker.size("default") == 6 - len(done)
    assert broker.holds == {}
    with working(broker):
        assert sorted(handle(message).get(timeout=SOON) for message in messages) == list(range(6))
