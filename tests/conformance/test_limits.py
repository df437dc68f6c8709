"""Group T: time limits, in real processes."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Broker, Middleware

from middleware.states import States
from tests.understudy.brokers.helpers import working
from understudy import actor, chain, chord, handle
from understudy.brokers.redis import RedisBroker
from understudy.handle import Handle
from understudy.limits import limits_of
from understudy.settings import Settings, load

from . import actors as scenes
from .actors import LONG, noted
from .behaviours import Outcome, behaviour, got

Drain = Callable[..., int]
Run = Callable[..., Handle]
# What happens in a child is the same on every broker: it never meets one.
pytestmark = pytest.mark.brokers("server")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def run(broker: RedisBroker, drain: Drain) -> Run:
    """Send a message and let a real child run its body."""

    def run(body: Any, *args: object, **options: Any) -> Handle:
        found = handle(body.send_with_options(args=tuple(map(str, args)), **options))
        drain(isolation="process")
        return found

    return run


@behaviour("T01")
def test_t01_the_soft_limit_reaches_a_sleep_and_the_process_goes_on(run: Run, journal: Path, outcome: Outcome) -> None:
    found = run(scenes.sleeps, journal)
    outcome(get=got(found.get), state=found.status, traceback="time.sleep" in (found.traceback or ""))
    outcome(same_child=run(scenes.where, journal).get() == int(noted(journal)[0]))


@behaviour("T02")
def test_t02_a_body_may_catch_the_soft_limit(run: Run, outcome: Outcome) -> None:
    outcome(get=got(run(scenes.cleans_up).get))


@behaviour("T03")
def test_t03_the_hard_limit_ends_the_process_and_the_record_says_where(
    run: Run, journal: Path, outcome: Outcome
) -> None:
    found = run(scenes.too_long, journal)
    outcome(get=got(found.get), state=found.status, runs=len(noted(journal)))
    outcome(traceback="in too_long" in (found.traceback or ""))
    outcome(same_child=run(scenes.where, journal).get() == int(noted(journal)[0]))


@behaviour("T04")
def test_t04_a_hard_limit_in_a_chain_stops_the_later_steps(
    drain: Drain, broker: RedisBroker, journal: Path, outcome: Outcome
) -> None:
    told: list[str] = []
    later: list[int] = []

    @actor
    def first() -> str:
        return str(journal)

    @actor
    def last(*_: Any) -> None:
        later.append(1)

    @actor
    def errback(id: str) -> None:
        told.append(id)

    found = chain(first.message(), scenes.too_long.message(), last.message()).run(on_failure=errback.message())
    drain(isolation="process")
    outcome(get_tail=got(found.get), tail_runs=len(later), errbacks=len(told))
    outcome(states=[handle(f"{found.workflow_id}.{node}").status.value for node in (1, 2, 3)])


@behaviour("T05")
def test_t05_a_soft_limit_is_retried_if_the_policy_says_so(run: Run, journal: Path, outcome: Outcome) -> None:
    found = run(scenes.retried, journal)
    outcome(runs=len(noted(journal)), get=got(found.get))


@behaviour("T06")
def test_t06_a_hard_limit_is_never_retried(run: Run, journal: Path, outcome: Outcome) -> None:
    found = run(scenes.too_long, journal)
    outcome(runs=len(noted(journal)), get=got(found.get))


@behaviour("T07")
def test_t07_a_hard_limit_is_acknowledged(run: Run, journal: Path, broker: RedisBroker, outcome: Outcome) -> None:
    found = run(scenes.too_long, journal)
    outcome(runs=len(noted(journal)), get=got(found.get))
    assert broker.size("default") == 0


def ends_once(run: Run, journal: Path, outcome: Outcome, drain: Drain) -> None:
    """A message that was ended at its limit comes back to nobody, whenever they look."""
    found = run(scenes.too_long, journal)
    seen = ["PENDING", found.status.value]
    for _ in range(3):
        drain()
        seen.append(handle(found.id).status.value)
    outcome(seen=list(dict.fromkeys(seen)), runs=len(noted(journal)))


@behaviour("T08")
def test_t08_a_failure_at_the_limit_is_the_end(run: Run, journal: Path, outcome: Outcome, drain: Drain) -> None:
    ends_once(run, journal, outcome, drain)


@behaviour("T09")
def test_t09_a_failure_at_the_limit_is_the_end_however_it_is_acknowledged(
    run: Run, journal: Path, outcome: Outcome, drain: Drain
) -> None:
    ends_once(run, journal, outcome, drain)


@behaviour("T10")
def test_t10_a_swallowed_soft_limit_comes_once_and_the_hard_one_ends_it(
    run: Run, journal: Path, outcome: Outcome
) -> None:
    found = run(scenes.swallows, journal)
    marks = [None if line == "None" else line for line in noted(journal)]
    outcome(marks=marks, get=got(found.get))


@behaviour("T11")
def test_t11_a_message_may_have_limits_of_its_own(run: Run, journal: Path, outcome: Outcome) -> None:
    outcome(override=got(run(scenes.terminated, journal, soft_time_limit=300).get))

    def inverted() -> None:
        actor(actor_name="inverted", soft_time_limit=2, time_limit=1)(print)

    outcome(inverted=got(inverted))
    with pytest.raises(ValueError, match="soft_time_limit"):
        scenes.terminated.send_with_options(args=("",), soft_time_limit=2_000, time_limit=1_000)


@behaviour("T12")
def test_t12_a_soft_limit_in_the_header_of_a_chord_stops_the_body(
    drain: Drain, broker: RedisBroker, journal: Path, outcome: Outcome
) -> None:
    ran: list[int] = []

    @actor
    def body(*_: Any) -> None:
        ran.append(1)

    found = chord([scenes.sleeps.message(str(journal))], body.message()).run()
    drain(isolation="process")
    outcome(get_at_once=got(found.get), body_runs=len(ran))


@behaviour("T13")
def test_t13_hooks_run_in_the_worker_also_when_the_body_was_killed(
    broker: RedisBroker, run: Run, journal: Path, outcome: Outcome
) -> None:
    told: list[str] = []
    pids: set[int] = set()

    class Hooks(Middleware):
        def after_process_message(self, broker: Broker, message: Any, *, exception: Any = None, **ended: Any) -> None:
            told.append(f"on_failure:{type(exception).__name__}")
            told.append(f"after_return:{message.outcome.state}")
            pids.add(os.getpid())

    # In front of the one that decides on the state, so it is told after that.
    broker.add_middleware(Hooks(), before=States)
    run(scenes.too_long, journal)
    outcome(after_the_body=told, in_the_worker=pids == {os.getpid()})


@behaviour("T14")
def test_t14_limits_in_threads_are_best_effort(broker: RedisBroker, outcome: Outcome) -> None:
    def late() -> str:
        until = time.monotonic() + LONG
        while time.monotonic() < until:
            time.sleep(0.01)  # the work itself, in pieces: a thread is interrupted between two instructions only
        return "late"

    soft = actor(actor_name="soft", isolation="thread", soft_time_limit=0.2, time_limit=LONG)(late)
    hard = actor(actor_name="hard", isolation="thread", time_limit=0.2)(late)
    broker.settings = broker.settings.model_copy(update={"isolation": "process"})
    with working(broker):
        outcome(
            soft=got(lambda: handle(soft.send()).get(timeout=20)), hard=got(lambda: handle(hard.send()).get(timeout=20))
        )


@behaviour("T15")
def test_t15_there_is_a_limit_for_all_that_declare_none(outcome: Outcome) -> None:
    def limit(**environment: str) -> float | None:
        hard = limits_of({}, {}, load(Settings, environ=environment)).hard
        return None if hard == math.inf else hard

    outcome(without_a_setting=limit(), with_one=limit(UNDERSTUDY_DEFAULT_TIME_LIMIT="2s"))


@behaviour("T16")
def test_t16_a_body_sees_its_limits(run: Run, outcome: Outcome) -> None:
    hard, soft = run(scenes.limits, time_limit=20_000, soft_time_limit=10_000).get()
    outcome(hard=hard, soft=soft)
