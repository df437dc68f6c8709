"""Group V: revoke and terminate."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Broker, Middleware
from freezegun.api import FrozenDateTimeFactory

from middleware.revocation import Revocation
from tests.understudy.brokers.helpers import dead_letters, working
from understudy import Retry, actor, handle, revoke
from understudy.brokers.redis import RedisBroker
from understudy.handle import Handle
from understudy.testing.conditions import wait_until

from . import actors as scenes
from .behaviours import Outcome, behaviour, got

Drain = Callable[..., int]


def never(ran: list[int]) -> Any:
    @actor
    def body() -> None:
        ran.append(1)

    return body


@behaviour("V01")
def test_v01_a_waiting_message_is_revoked(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    ran: list[int] = []
    found = handle(never(ran).send())
    found.revoke()
    outcome(get=got(found.get), state=found.status, failed=found.failed(), successful=found.successful())
    drain()
    outcome(runs=len(ran), ready=found.ready())


@behaviour("V02")
@pytest.mark.brokers("server")
def test_v02_a_running_body_is_terminated_with_its_process(
    broker: RedisBroker, tmp_path: Path, outcome: Outcome
) -> None:
    journal = tmp_path / "journal"
    broker.settings = broker.settings.model_copy(update={"isolation": "process"})
    with working(broker, threads=1):
        found = handle(scenes.terminated.send(str(journal)))
        wait_until(lambda: scenes.noted(journal) and found.status == "STARTED", what="its body runs")
        child = int(scenes.noted(journal)[0])
        assert child != os.getpid()
        revoke(found.id, terminate=True)
        outcome(get=got(lambda: found.get(timeout=20)), state=found.status)
        other = handle(scenes.where.send("")).get(timeout=60)
        outcome(child_replaced=other != child, starts=len(scenes.noted(journal)))


@contextmanager
def hearing(broker: RedisBroker) -> Iterator[None]:
    """A worker that has heard the server."""
    (guard,) = (part for part in broker.middleware if isinstance(part, Revocation))
    with working(broker, threads=1):
        wait_until(lambda: guard._believed_until > time.monotonic(), what="it hears the server")
        yield


def followed(found: Handle, gate: Path, states: list[str], begun: Callable[[], object]) -> list[str]:
    """Revoke ``found`` while its body runs, let it end: the states, each once."""
    wait_until(begun, what="its body runs")
    revoke(found.id)
    states.append(found.status.value)
    gate.touch()
    found.get(timeout=20)
    states.append(found.status.value)
    return list(dict.fromkeys(states))


@behaviour("V03")
@pytest.mark.brokers("server")
def test_v03_a_running_body_that_is_not_terminated_ends_as_ever(
    broker: RedisBroker, tmp_path: Path, outcome: Outcome
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    gates = tmp_path / "gate1", tmp_path / "gate2"
    keys = broker.storage.keys
    with hearing(broker):
        untracked = handle(scenes.untracked.send(str(first), str(gates[0])))
        states = [untracked.status.value]
        outcome(
            track_started_off=followed(
                untracked, gates[0], states, lambda: broker.storage.call("HGET", keys.state(untracked.id), "by")
            )
        )
        tracked = handle(scenes.tracked.send(str(second), str(gates[1])))
        outcome(track_started_on=followed(tracked, gates[1], [], lambda: tracked.status == "STARTED"))
    assert scenes.noted(second) == ["start", "end"]
    outcome(ran_to_end=scenes.noted(first))


@behaviour("V04")
def test_v04_what_has_ended_is_not_changed(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    found = handle(never([]).send())
    drain()
    revoke(found.id, terminate=True)
    outcome(state=handle(found.id).status)


@behaviour("V05")
def test_v05_an_id_that_is_revoked_first_is_discarded_when_it_is_sent(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    ran: list[int] = []
    body = never(ran)
    revoke("m")
    body.send_with_options(message_id="m")
    seen = [handle("m").status.value]
    drain()
    seen.append(handle("m").status.value)
    outcome(seen=list(dict.fromkeys(seen)), runs=len(ran))


@behaviour("V06")
def test_v06_a_delayed_message_is_revoked_at_once(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    ran: list[int] = []
    found = handle(never(ran).send_with_options(delay=60_000))
    revoke(found.id)
    outcome(state_soon_after=found.status)
    freezer.tick(60)
    drain()
    outcome(final=found.status, runs=len(ran))


@behaviour("V07")
def test_v07_a_revoke_outlives_every_worker(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    ran: list[int] = []
    message = never(ran).send()
    revoke(message)
    handle(message).forget()  # what is left is what workers know
    broker.abandon()
    drain()
    outcome(remembered=ran == [])


@behaviour("V08")
def test_v08_a_revoke_is_no_failure(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    failures: list[object] = []
    skipped: list[object] = []

    class Hooks(Middleware):
        def after_process_message(self, broker: Broker, message: Any, *, exception: Any = None, **ended: Any) -> None:
            failures.append(exception)

        def after_skip_message(self, broker: Broker, message: Any) -> None:
            skipped.append(message.outcome.state)

        def after_nack(self, broker: Broker, message: Any) -> None:
            failures.append(message)

    @actor(retry=Retry(3))
    def body() -> None: ...

    broker.add_middleware(Hooks())
    revoke(body.send())
    drain()
    outcome(failure_hooks=len(failures) + len(dead_letters(broker)), revoked_hook=len(skipped))
    assert skipped == ["REVOKED"]


@behaviour("V09")
def test_v09_messages_are_revoked_by_their_ids(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    ran: list[int] = []
    body = never(ran)
    messages = [body.send_with_options(headers={"stamp": "s"}) for _ in range(2)]
    revoke(messages[0])
    drain()
    states = [handle(message).status.value for message in messages]
    outcome(revoked="by id only" if states == ["REVOKED", "SUCCESS"] else f"{states}")
