"""Hooks and what they enqueue: a guard that raises keeps the body from running, a hook after it voids the outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from dramatiq import Broker, Middleware
from dramatiq.middleware import SkipMessage
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import dead_letters
from understudy import Idempotency, Retry, actor, handle
from understudy.brokers.redis import RedisBroker
from understudy.errors import MessageTooLarge, ServerUnavailable
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

Drain = Callable[..., int]


class Hook(Middleware):
    """Raises (or calls) what it is told to."""

    def __init__(self, before: Callable[[], None] | None = None, after: Callable[[], None] | None = None) -> None:
        self.before, self.after = before, after

    def before_process_message(self, broker: Broker, message: Any) -> None:
        if self.before is not None:
            self.before()

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        if self.after is not None:
            self.after()


def raising(error: BaseException, times: int = 1_000) -> Callable[[], None]:
    left = [error] * times

    def act() -> None:
        if left:
            raise left.pop()

    return act


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_a_hook_that_raises_before_the_body_keeps_it_from_running(
    broker: RedisBroker, drain: Drain, first: bool
) -> None:
    hook = Hook(before=raising(ValueError("broken guard")))
    broker.add_middleware(hook)
    if first:
        broker.middleware.insert(0, broker.middleware.pop())
    ran: list[int] = []

    @actor(retry=Retry(5), idempotency=Idempotency())
    def body() -> None:
        ran.append(1)

    message = body.send_with_options(idempotency_key="k")
    drain()
    assert ran == []
    found = handle(message)
    assert found.status == "FAILURE"
    assert repr(found.result) == "ValueError('broken guard')"
    assert "HookFailed: Hook.before_process_message raised ValueError: broken guard" in (found.traceback or "")
    assert len(dead_letters(broker)) == 1
    hook.before = None
    body.send_with_options(idempotency_key="k")
    drain()
    assert ran == [1]


def test_a_hook_that_skips_leaves_nobody_waiting(broker: RedisBroker, drain: Drain) -> None:
    broker.add_middleware(Hook(before=raising(SkipMessage("not today"))))
    broker.middleware.insert(0, broker.middleware.pop())

    @actor
    def body() -> None: ...

    message = body.send()
    drain()
    assert handle(message).status == "REVOKED"


@pytest.mark.parametrize("fails", [False, True], ids=["success", "failure"])
def test_a_hook_that_raises_after_the_body_voids_the_outcome(broker: RedisBroker, drain: Drain, fails: bool) -> None:
    hook = Hook(after=raising(ValueError("broken hook")))
    broker.add_middleware(hook)

    @actor(retry=Retry(5, backoff=0), idempotency=Idempotency())
    def body() -> int:
        if fails:
            raise KeyError("x")
        return 1

    message = body.send_with_options(idempotency_key="k")
    drain()
    found = handle(message)
    assert found.status == "FAILURE"
    assert "Hook.after_process_message raised ValueError" in str(found.result)
    assert found.traceback is not None
    assert found.retries == 0
    assert len(dead_letters(broker)) == 1
    hook.after = None
    fails = False
    again = body.send_with_options(idempotency_key="k")
    drain()
    assert handle(again).get() == 1


def test_an_outage_in_a_hook_after_the_body_hands_the_message_back(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    broker.add_middleware(Hook(after=raising(ServerUnavailable("away"), times=1)))
    ran: list[int] = []

    @actor(retry=Retry(1, backoff=0), idempotency=Idempotency())
    def body() -> None:
        ran.append(1)
        raise ValueError

    message = body.send()
    drain()
    assert handle(message).status == "STARTED"
    freezer.tick(1)
    drain()
    assert len(ran) == 3, "the voided run has burned no attempt"
    assert handle(message).status == "FAILURE"


def test_a_message_that_a_hook_enqueues_joins_the_outcome(
    broker: RedisBroker, drain: Drain, enqueued: Enqueued
) -> None:
    @actor
    def follower() -> None: ...

    @actor
    def body() -> None: ...

    sent: list[int] = []

    def follow() -> None:
        if not sent:
            follower.send()
            sent.append(len(enqueued))

    broker.add_middleware(Hook(after=follow))
    body.send()
    drain()
    assert sent == [1], "it was not enqueued while the hooks were running"
    assert len(enqueued.messages(follower)) == 1


def test_follow_ups_are_sent_in_order(broker: RedisBroker, drain: Drain, enqueued: Enqueued) -> None:
    @actor
    def follower(x: int) -> None: ...

    @actor
    def body() -> None: ...

    done: list[int] = []

    def follow() -> None:
        if not done:
            done.append(1)
            for x in range(3):
                follower.send(x)

    broker.add_middleware(Hook(after=follow))
    body.send()
    drain()
    assert [message.args[0] for message in enqueued.messages(follower)] == [0, 1, 2]


def test_what_cannot_be_sent_is_found_out_before_the_commit(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def first() -> str:
        return "x" * (broker.settings.max_message_size + 1)

    @actor
    def second(x: str) -> None: ...

    broker.settings = broker.settings.model_copy(update={"max_message_size": 1_000})
    steps = first.message() | second.message()
    steps.run()  # type: ignore[no-untyped-call]
    drain()
    assert handle(steps.messages[0]).status == "FAILURE"
    assert "MessageTooLarge" in str(handle(steps.messages[0]).result)


def test_a_message_above_the_limit_is_refused_in_the_sender(broker: RedisBroker, enqueued: Enqueued) -> None:
    broker.settings = broker.settings.model_copy(update={"max_message_size": 1_000})

    @actor
    def body(x: str) -> None: ...

    with pytest.raises(MessageTooLarge, match="UNDERSTUDY_MAX_MESSAGE_SIZE"):
        body.send("x" * 1_000)
    enqueued.assert_nothing()


def test_a_retry_just_below_the_limit_is_not_refused(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(2, backoff=5, jitter="none"))
    def body(x: str) -> None:
        ran.append(1)
        raise ValueError

    size = len(body.message("").encode())
    broker.settings = broker.settings.model_copy(update={"max_message_size": size + 50})
    message = body.send("x" * 50)
    for _ in range(4):
        drain()
        freezer.tick(10)
    assert len(ran) == 3
    assert handle(message).status == "FAILURE"


def test_arguments_appear_in_no_log_line(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    @actor(retry=Retry(1, backoff=5))
    def body(secret: str, how: str) -> str:
        if how == "retry":
            raise ValueError("no")
        if how == "skip":
            raise SkipMessage("skipped")
        return secret

    for how in ("succeed", "retry", "skip"):
        body.send("s3cr3t-text", how=how)
    drain()
    freezer.tick(10)
    drain()
    assert caplog.records
    assert "s3cr3t-text" not in caplog.text
    assert "Results middleware" not in caplog.text


@pytest.mark.parametrize("idempotency", [None, Idempotency(key="{x}")])
def test_a_pipeline_of_dramatiq_works(broker: RedisBroker, drain: Drain, idempotency: Idempotency | None) -> None:
    @actor(idempotency=idempotency)
    def add(x: int, y: int = 1) -> int:
        return x + y

    @actor
    def double(x: int) -> int:
        return x * 2

    for _ in range(2):  # the second time add is a duplicate, and its stored result goes on
        steps = dramatiq.pipeline([add.message(1), double.message()])
        steps.run()  # type: ignore[no-untyped-call]
        drain()
        assert handle(steps.messages[0]).get() == 2
        assert handle(steps.messages[1]).get() == 4


def test_the_next_step_is_not_sent_while_a_step_is_retried(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(1, backoff=5, jitter="none"))
    def first() -> int:
        ran.append(1)
        if len(ran) == 1:
            raise ValueError
        return 1

    @actor
    def second(x: int) -> int:
        return x

    steps = first.message() | second.message()
    steps.run()  # type: ignore[no-untyped-call]
    drain()
    enqueued.assert_nothing(second)
    freezer.tick(5)
    drain()
    enqueued.assert_sent(second, 1)


def test_waiting_for_the_gate_is_not_running(broker: RedisBroker) -> None:
    """The clock of the time limit starts in a hook, and the hooks are called behind the gate."""
    order: list[str] = []
    gate = broker._gate
    enter = gate.enter

    def entering(*, alone: bool, most: int = 1, patience: float | None = None) -> bool:
        order.append("gate")
        return enter(alone=alone, most=most, patience=patience)

    gate.enter = entering  # type: ignore[method-assign]
    broker.add_middleware(Hook(before=lambda: order.append("hook")))

    @actor
    def body() -> None:
        order.append("body")

    body.send()
    StepWorker(broker, Faults()).drain()
    assert order == ["gate", "hook", "body"]
    assert gate.inside == 0


@pytest.mark.parametrize("error", [ValueError("broken"), SkipMessage("not today"), ServerUnavailable("away")])
def test_whatever_a_hook_raises_the_gate_is_left(broker: RedisBroker, drain: Drain, error: Exception) -> None:
    broker.add_middleware(Hook(before=raising(error, times=1)))

    @actor
    def body() -> None: ...

    body.send()
    drain()
    assert broker._gate.inside == 0


def test_hooks_that_watch_enqueues_see_a_follow_up_before_and_after(
    broker: RedisBroker, drain: Drain, enqueued: Enqueued
) -> None:
    seen: list[str] = []

    class Watch(Middleware):
        def before_enqueue(self, broker: Broker, message: Any, delay: int | None) -> None:
            seen.append(message.actor_name)
            message.options["trace"] = "kept"

    broker.add_middleware(Watch())
    traces: list[object] = []

    @actor
    def first() -> int:
        return 1

    @actor
    def second(x: int) -> None:
        (held,) = broker.holds.values()
        traces.append(held.options.get("trace"))

    steps = first.message() | second.message()
    steps.run()  # type: ignore[no-untyped-call]
    drain()
    assert seen == ["first", "second"]
    assert traces == ["kept"]
    assert [message.actor_name for message in enqueued.messages()] == ["first", "second"]
