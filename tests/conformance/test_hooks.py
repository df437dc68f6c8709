"""Group K: callbacks, hooks, ids."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from dramatiq import Broker, Middleware

from middleware.states import States
from understudy import Retry, actor, handle, revoke
from understudy.brokers.redis import RedisBroker
from understudy.execution import current

from .actors import Boom
from .behaviours import Outcome, behaviour, got

Drain = Callable[..., int]


@behaviour("K01")
def test_k01_a_message_may_have_an_id_of_ones_own(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def add(x: int, y: int) -> int:
        return x + y

    message = add.send_with_options(args=(1, 2), message_id="x")
    drain()
    outcome(id=message.message_id, get=got(handle("x").get))


@behaviour("K02")
def test_k02_hooks_are_told_of_every_attempt(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    told: list[str] = []

    class Hooks(Middleware):
        """What Celery calls signals."""

        def before_process_message(self, broker: Broker, message: Any) -> None:
            told.append("prerun")

        def after_process_message(self, broker: Broker, message: Any, *, exception: Any = None, **ended: Any) -> None:
            # In front of those that decide, so it runs after them.
            told.extend([{None: "success"}.get(exception, message.outcome.disposition.value), "postrun"])

        def after_skip_message(self, broker: Broker, message: Any) -> None:
            told.append("revoked")

    @actor(retry=Retry(1, backoff=0))
    def body() -> None:
        if told.count("prerun") == 1:
            raise Boom

    broker.add_middleware(Hooks(), before=States)
    body.send()
    drain()
    outcome(hooks=list(told))
    told.clear()
    revoke(body.send())
    drain()
    outcome(revoked=list(told))


@behaviour("K03")
def test_k03_a_body_knows_its_message(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def body(a: int, *, b: int) -> None:
        execution = current()
        assert execution is not None
        outcome(retries=execution.retries, args=list(execution.args), kwargs=execution.kwargs)
        outcome(id=execution.message_id == "m", root_id=execution.root_id == "m", parent_id=execution.parent_id)
        outcome(headers=execution.headers, redelivered=execution.redelivered)

    body.send_with_options(args=(1,), kwargs={"b": 2}, message_id="m")
    drain()
    assert handle("m").status == "SUCCESS"


@behaviour("K04")
def test_k04_a_hook_before_the_body_that_raises_keeps_it_from_running(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    ran: list[int] = []

    class Raises(Middleware):
        def before_process_message(self, broker: Broker, message: Any) -> None:
            raise RuntimeError("start hook broke")

    @actor
    def body() -> None:
        ran.append(1)

    broker.add_middleware(Raises())
    found = handle(body.send())
    drain()
    assert "Raises.before_process_message" in (found.traceback or ""), "the traceback names the hook"
    outcome(get=got(found.get), body_runs=len(ran))


@behaviour("K05")
def test_k05_a_callback_that_raises_changes_nothing_but_its_own_record(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    told: list[str] = []

    @actor
    def errback(id: str, error: dict[str, str]) -> None:
        told.append(id)
        raise RuntimeError("errback broke")

    @actor
    def body() -> None:
        raise Boom("m1")

    found = handle(body.send_with_options(on_failure=errback))
    drain()
    (child,) = found.children
    assert child.status == "FAILURE"
    outcome(state=found.status, errback_runs=len(told))


@behaviour("K06")
def test_k06_an_expected_exception_is_logged_in_one_line(
    broker: RedisBroker, drain: Drain, outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    @actor(throws=Boom)
    def body() -> None:
        raise Boom("expected")

    found = handle(body.send())
    caplog.set_level(logging.INFO)
    drain()
    (line,) = (one for one in caplog.records if "Failed to process" in one.getMessage())
    outcome(state=found.status, level=line.levelname, traceback_logged=line.exc_info is not None)


@behaviour("K07")
def test_k07_headers_reach_the_body_and_survive_a_retry(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    seen: list[Any] = []

    @actor(retry=Retry(1, backoff=0))
    def body() -> None:
        execution = current()
        assert execution is not None
        seen.append(execution.headers)
        if len(seen) == 1:
            raise Boom

    body.send_with_options(headers={"trace": "t1"})
    drain()
    outcome(seen=seen)
