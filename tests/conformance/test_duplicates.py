"""Group D: idempotency and duplicates."""

from __future__ import annotations

from collections.abc import Callable

from freezegun.api import FrozenDateTimeFactory

from understudy import Idempotency, actor, handle
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.execution import current
from understudy.testing.faults import Faults

from .actors import Boom
from .behaviours import Outcome, behaviour, got

Drain = Callable[..., int]


def counted(ran: list[str], idempotency: Idempotency | None = None) -> Actor[[str], str]:
    """An actor that notes every run of its body."""

    @actor(idempotency=idempotency)
    def body(value: str) -> str:
        ran.append(value)
        return value

    return body


def lost(freezer: FrozenDateTimeFactory, drain: Drain) -> None:
    """A worker has died; another one finds that out, and goes on."""
    drain()
    freezer.tick(60)
    drain()


@behaviour("D01")
def test_d01_the_same_id_sent_twice_runs_twice_and_with_a_key_once(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    plain: list[str] = []
    body = counted(plain)
    for value in ("one", "two"):
        body.send_with_options(args=(value,), message_id="m")
        drain()
    outcome(runs=len(plain), stored=handle("m").result)

    ran: list[str] = []

    @actor(idempotency=Idempotency(key="{value}"))
    def guarded(value: str, text: str) -> str:
        ran.append(text)
        return text

    for value in ("one", "two"):
        guarded.send_with_options(args=("k", value), message_id="n")
        drain()
    assert handle("n").result == "one"
    outcome(runs_with_a_key=len(ran))


@behaviour("D02")
def test_d02_what_succeeded_is_not_redelivered(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, outcome: Outcome
) -> None:
    def runs(idempotency: Idempotency | None) -> int:
        ran: list[str] = []
        message = counted(ran, idempotency).send("first-pass")
        # The worker dies in the very moment in which the server has taken its outcome.
        faults.kill_at("settle", when="after")
        lost(freezer, drain)
        outcome(result=handle(message).result)
        broker.actors.pop("body")
        return len(ran)

    outcome(with_dedup_runs=runs(Idempotency()), without_dedup_runs=runs(None))


@behaviour("D03")
def test_d03_the_same_id_sent_again_does_not_run_again(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    ran: list[str] = []
    body = counted(ran, Idempotency())
    for value in ("one", "two"):
        body.send_with_options(args=(value,), message_id="m")
        drain()
    outcome(runs=len(ran))


@behaviour("D04")
def test_d04_a_body_that_raises_runs_once(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    ran: list[int] = []

    @actor
    def body() -> None:
        ran.append(1)
        raise Boom("late")

    found = handle(body.send())
    drain()
    outcome(runs=len(ran), get=got(found.get))


@behaviour("D05")
def test_d05_a_body_can_see_that_it_is_redelivered(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, outcome: Outcome
) -> None:
    flags: list[bool] = []

    @actor
    def body() -> None:
        execution = current()
        assert execution is not None
        flags.append(execution.redelivered)
        if len(flags) == 1:
            faults.kill_worker()

    body.send()
    lost(freezer, drain)
    outcome(flags=flags)


@behaviour("D06")
def test_d06_what_a_worker_held_when_it_died_runs_again_to_one_outcome(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, outcome: Outcome
) -> None:
    ran: list[str] = []

    @actor(idempotency=Idempotency(key="{value}"))
    def guarded(value: str) -> int:
        ran.append(value)
        if len(ran) == 1:
            faults.kill_worker()
        return len(ran)

    messages = [guarded.send("k"), guarded.send("k")]
    for _ in range(3):
        lost(freezer, drain)
    outcome(by_default="at least once" if len(ran) == 2 else f"{len(ran)} runs")
    results = {handle(message).get() for message in messages}
    outcome(at_best="one outcome" if results == {2} else f"outcomes {results}")
