"""Group R: retries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from dramatiq import Broker, Middleware
from dramatiq.middleware import SkipMessage
from freezegun.api import FrozenDateTimeFactory

from understudy import Handle, Retry, actor, chain, handle, retry
from understudy.brokers.redis import RedisBroker
from understudy.execution import Execution, current
from understudy.options import ASKED_FOR
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults

from .actors import Boom
from .behaviours import Outcome, behaviour, got

Drain = Callable[..., int]
#: Longer than any wait of these tests.
LONG = 200


class Oops(Exception):
    """Another failure."""


def execution() -> Execution:
    found = current()
    assert found is not None
    return found


def retries() -> int:
    return execution().retries


def to_the_end(drain: Drain, freezer: FrozenDateTimeFactory, runs: int = 12) -> None:
    for _ in range(runs):
        drain()
        freezer.tick(LONG)


def waits(enqueued: Enqueued) -> list[float]:
    return [sent.delay for sent in enqueued.sent if sent.delay is not None]


@behaviour("R01")
def test_r01_a_body_that_asks_each_time_ends_with_its_last_exception(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    runs: list[int] = []

    @actor(retry=Retry(2))
    def body() -> None:
        runs.append(retries())
        raise retry(exc=Boom(f"attempt {retries()}"), delay=1)

    found = handle(body.send())
    drain()
    outcome(retry_state=found.status, retry_result=got(lambda: found.result), traceback=bool(found.traceback))
    outcome(date_done=found.date_done)
    to_the_end(drain, freezer, 4)
    found = handle(found.id)
    outcome(runs=runs, final=found.status, get=got(found.get), final_result=got(lambda: found.result))


@behaviour("R02")
def test_r02_asking_for_no_reason_ends_with_max_retries_exceeded(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    runs: list[int] = []

    @actor(retry=Retry(1))
    def asks_for_no_reason(argument: str) -> None:
        runs.append(retries())
        raise retry(delay=1)

    found = handle(asks_for_no_reason.send("an argument"))
    drain()
    outcome(retry_result=found.result)
    to_the_end(drain, freezer, 3)
    text = str(handle(found.id).result)
    named = {"task": "asks_for_no_reason" in text, "id": found.id in text, "args": "an argument" in text}
    outcome(runs=len(runs), get=got(handle(found.id).get), text_names=[name for name, there in named.items() if there])


@behaviour("R03")
def test_r03_what_was_caught_meanwhile_is_in_the_traceback_only(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    @actor(retry=Retry(1))
    def body() -> None:
        try:
            raise Boom("inner")
        except Boom:
            raise retry(delay=1)  # noqa: B904 - that is the scenario

    found = handle(body.send())
    to_the_end(drain, freezer, 3)
    outcome(get=got(found.get), traceback_mentions_inner="inner" in (found.traceback or ""))


@behaviour("R04")
def test_r04_a_body_may_ask_where_nothing_is_configured(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued, outcome: Outcome
) -> None:
    runs: list[str] = []

    @actor
    def asks() -> None:
        runs.append("asked")
        raise retry(exc=Boom("x"))

    @actor
    def fails() -> None:
        runs.append("failed")
        raise Boom

    found = handle(asks.send())
    fails.send()
    to_the_end(drain, freezer, 6)
    outcome(runs=runs.count("asked"), max_retries=ASKED_FOR.max_retries, get=got(found.get))
    outcome(default_retry_delay=waits(enqueued)[0], runs_of_one_that_does_not_ask=runs.count("failed"))


@behaviour("R05")
def test_r05_none_is_without_bound(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    seen: list[tuple[str, int]] = []

    @actor(retry=Retry(None))
    def body() -> int:
        seen.append((execution().message_id, retries()))
        if retries() < 7:
            raise retry(exc=Boom("again"), delay=0.02)
        return retries()

    found = handle(body.send())
    to_the_end(drain, freezer, 9)
    outcome(runs=len(seen), ids=len({id for id, _ in seen}), retries=[n for _, n in seen], get=got(found.get))


@behaviour("R06")
def test_r06_zero_is_one_run(broker: RedisBroker, drain: Drain, enqueued: Enqueued, outcome: Outcome) -> None:
    @actor(retry=Retry(0))
    def body() -> None:
        raise retry(exc=Boom("zero"), delay=0)

    found = handle(body.send())
    seen = [found.status]
    drain()
    outcome(runs=len(enqueued), seen=[*seen, handle(found.id).status], get=got(found.get))


@behaviour("R07")
def test_r07_the_next_run_may_have_other_arguments(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    runs: list[Any] = []

    @actor(retry=Retry(3))
    def body(n: int, opt: str = "a") -> list[Any]:
        runs.append([n, opt])
        if n < 2:
            raise retry(args=(n + 1,), kwargs={"opt": opt + "b"}, delay=0.05)
        return [n, opt]

    found = handle(body.send(0))
    to_the_end(drain, freezer, 4)
    outcome(runs=runs, get=got(found.get))


@behaviour("R08")
def test_r08_what_is_listed_is_retried_and_nothing_else(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    runs: list[str] = []

    @actor(retry=Retry(2, on=Boom, backoff=0.1, factor=1))
    def body(kind: str) -> None:
        runs.append(kind)
        raise Boom("auto") if kind == "boom" else KeyError("not listed")

    listed, unlisted = handle(body.send("boom")), handle(body.send("key"))
    to_the_end(drain, freezer, 4)
    outcome(listed_runs=runs.count("boom"), listed=got(listed.get))
    outcome(unlisted_runs=runs.count("key"), unlisted=got(unlisted.get))


@behaviour("R09")
def test_r09_what_is_excluded_is_not_retried(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    runs: list[int] = []

    @actor(retry=Retry(2, on=Exception, never_on=KeyError))
    def body() -> None:
        runs.append(1)
        raise KeyError("excluded")

    found = handle(body.send())
    to_the_end(drain, freezer, 3)
    outcome(runs=len(runs), get=got(found.get))


def gaps(policy: Retry, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued) -> tuple[list[float], Handle]:
    """The waits of an actor that always fails, and its handle."""

    @actor(retry=policy)
    def body() -> None:
        raise Boom("b")

    found = handle(body.send())
    to_the_end(drain, freezer, 6)
    return waits(enqueued), found


@behaviour("R10")
def test_r10_waits_double(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued, outcome: Outcome
) -> None:
    seen, found = gaps(Retry(3, on=Boom, backoff=1, jitter="none"), drain, freezer, enqueued)
    outcome(gaps=seen, get=got(found.get))


@behaviour("R11")
def test_r11_waits_have_a_maximum(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued, outcome: Outcome
) -> None:
    seen, found = gaps(Retry(3, on=Boom, backoff=1, maximum=2, jitter="none"), drain, freezer, enqueued)
    outcome(gaps=seen, default_maximum=Retry().maximum / timedelta(seconds=1), get=got(found.get))  # type: ignore[operator]


@behaviour("R12")
def test_r12_jitter_takes_any_share_of_the_wait(outcome: Outcome) -> None:
    policy = Retry(backoff=8)
    shares = [n / 1000 for n in range(1000)]
    seen = [policy.delay(0, lambda share=share: share) for share in shares]  # type: ignore[misc]
    outcome(interval=8, min=min(seen), max=round(max(seen)), mean_is_half=abs(sum(seen) / len(seen) - 4) < 0.1)
    outcome(whole_seconds=all(wait == int(wait) for wait in seen))
    assert {policy.jitter for policy in (Retry(), policy)} == {"full"}, "it is the default"


@behaviour("R13")
def test_r13_a_policy_that_says_nothing_of_waits_waits_three_minutes(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued, outcome: Outcome
) -> None:
    seen, _ = gaps(Retry(on=Boom), drain, freezer, enqueued)
    outcome(seconds_to_next_attempt=seen)


@behaviour("R14")
def test_r14_what_follows_waits_for_a_step_that_is_retried(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    tail_runs: list[int] = []

    @actor(retry=Retry(1))
    def step(x: int) -> int:
        if retries() == 0:
            raise retry(exc=Boom("once"), delay=1.5)
        return x + 1

    @actor
    def add(x: int, y: int) -> int:
        return x + y

    @actor
    def tail() -> int:
        tail_runs.append(1)
        return 7

    last = chain(
        step.message(1), add.message_with_options(args=(10,)), tail.message_with_options(args=(), immutable=True)
    ).run()
    assert last.parent is not None
    assert last.parent.parent is not None
    drain()
    found = [last.parent.parent, last.parent, last]
    outcome(states_while_retrying=[one.status for one in found], tail_runs_before=len(tail_runs))
    to_the_end(drain, freezer, 2)
    outcome(get=got(last.get), tail_runs=len(tail_runs))


@behaviour("R15")
def test_r15_hooks_tell_a_retry_from_the_end(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    told: dict[str, list[str]] = {"ok": [], "fail": [], "retry": []}

    class Hooks(Middleware):
        """What stands for the hooks of a task's class: before the body, and when the outcome is committed."""

        def before_process_message(self, broker: Broker, message: Any) -> None:
            told[message.args[0]].append("before_start")

        def after_commit(self, broker: Broker, message: Any) -> None:
            state, mode = message.outcome.state.value, message.args[0]
            name = {"RETRY": "on_retry", "SUCCESS": "on_success", "FAILURE": "on_failure"}[state]
            reason = message.outcome.reason
            told[mode].append(f"{name}:{reason}" if reason else name)
            if state != "RETRY":
                told[mode].append(f"after_return:{state}")

    @actor(retry=Retry(1, on=()))
    def hooked(mode: str) -> None:
        told[mode].append("run")
        if mode == "fail":
            raise Boom("h")
        if mode == "retry":
            raise retry(exc=Boom("h"), delay=0.05)

    broker.add_middleware(Hooks())
    for mode in told:
        hooked.send(mode)
    to_the_end(drain, freezer, 3)
    outcome(**told)


@behaviour("R16")
def test_r16_the_errback_runs_once_after_the_last_attempt(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    runs: list[int] = []
    told: list[Any] = []

    @actor
    def errback(id: str, error: dict[str, str]) -> None:
        told.append((id, len(runs), error))

    @actor(retry=Retry(2))
    def body() -> None:
        runs.append(1)
        raise retry(exc=Boom(f"attempt {retries()}"), delay=0.2)

    message = body.send_with_options(on_failure=errback)
    to_the_end(drain, freezer, 4)
    outcome(runs=len(runs), errback_runs=len(told))
    assert told == [(message.message_id, 3, {"type": "tests.conformance.actors.Boom", "text": "attempt 2"})]


@behaviour("R17")
def test_r17_a_body_may_ask_for_more_than_its_policy_allows(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    runs: list[int] = []

    @actor(retry=Retry(1))
    def body() -> None:
        runs.append(1)
        raise retry(exc=Boom("o"), delay=0.05, max_retries=3)

    found = handle(body.send())
    to_the_end(drain, freezer, 5)
    outcome(runs=len(runs), get=got(found.get))


@behaviour("R18")
def test_r18_a_body_may_ask_and_go_on(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    runs: list[int] = []

    @actor(retry=Retry(3))
    def body() -> str:
        runs.append(retries())
        if retries() == 0:
            retry(delay=1, throw=False)
            return "first"
        return "second"

    found = handle(body.send())
    drain()
    outcome(first_get=got(found.get))
    to_the_end(drain, freezer, 3)
    outcome(runs=len(runs), result_after_retry=handle(found.id).result, state=handle(found.id).status)
    assert runs == [0, 1]


@behaviour("R19")
def test_r19_a_plain_call_raises_what_was_given(broker: RedisBroker, enqueued: Enqueued, outcome: Outcome) -> None:
    runs: list[int] = []

    @actor(retry=Retry(2))
    def body() -> None:
        runs.append(1)
        raise retry(exc=Boom("attempt 0"), delay=0.2)

    outcome(call=got(body), runs=len(runs), enqueued=len(enqueued))
    with pytest.raises(dramatiq.Retry):
        raise retry()


@behaviour("R20")
def test_r20_a_retry_is_neither_ready_nor_failed(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor(retry=Retry(2))
    def body() -> None:
        raise retry(exc=Boom(f"attempt {retries()}"), delay=3)

    found = handle(body.send())
    drain()
    outcome(get=got(lambda: found.get(timeout=0.05)), ready=found.ready(), failed=found.failed())
    outcome(state=found.status, info=got(lambda: found.info))


@behaviour("R21")
def test_r21_a_retry_keeps_the_options_of_its_message(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued, outcome: Outcome
) -> None:
    headers: list[Any] = []

    @actor(retry=Retry(3, backoff=10, factor=1, jitter="none"), ignore_result=True)
    def body() -> int:
        headers.append(execution().headers)
        if retries() < 1:
            raise Boom
        return 1

    found = handle(body.send_with_options(priority=5, headers={"trace": "t"}))
    to_the_end(drain, freezer, 2)
    outcome(priority=[sent.message.options["priority"] for sent in enqueued.sent], headers=headers)
    outcome(ignored_result=handle(found.id).result)
    runs = len(headers)
    late = handle(body.send_with_options(expires=timedelta(seconds=5)))
    drain()
    freezer.tick(10)
    drain()
    outcome(runs_before_it_expired=len(headers) - runs, expired=handle(late.id).status)


@behaviour("R22")
def test_r22_a_retry_waits_for_a_server_that_is_away(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, faults: Faults, outcome: Outcome
) -> None:
    runs: list[int] = []

    @actor(retry=Retry(1))
    def body() -> None:
        runs.append(1)
        raise Boom("x")

    found = handle(body.send())
    faults.fail("settle", times=3)
    drain()
    outcome(state=handle(found.id).status)
    to_the_end(drain, freezer, 2)
    outcome(runs=len(runs))


@behaviour("R23")
def test_r23_signals_are_no_failures_to_be_retried(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued, outcome: Outcome
) -> None:
    runs: list[str] = []

    @actor(retry=Retry(5, on=Exception, backoff=10, factor=1, jitter="none"))
    def body(how: str) -> None:
        runs.append(how)
        if how == "ignore":
            raise SkipMessage("ignore it")
        if retries() == 0:
            raise retry(exc=Oops("once"), delay=1, max_retries=1)

    body.send("ignore")
    again = handle(body.send("retry"))
    to_the_end(drain, freezer, 3)
    outcome(ignore_runs=runs.count("ignore"), retry_runs=runs.count("retry"), retry_wait=waits(enqueued))
    assert handle(again.id).status == "SUCCESS"
