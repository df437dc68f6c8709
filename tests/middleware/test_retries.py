"""Retries as in Celery (group R), and what is never retried."""

from __future__ import annotations

from collections.abc import Callable

import dramatiq
import pytest
from dramatiq.middleware import Shutdown, TimeLimitExceeded
from freezegun.api import FrozenDateTimeFactory

from understudy import Retry, actor, handle
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import HandBack, MaxRetriesExceeded, RemoteError
from understudy.execution import current
from understudy.testing.enqueued import Enqueued

Drain = Callable[..., int]


def run_out(drain: Drain, freezer: FrozenDateTimeFactory, times: int = 12) -> None:
    for _ in range(times):
        drain()
        freezer.tick(700)
    drain()


def delays(enqueued: Enqueued) -> list[float]:
    return [sent.delay for sent in enqueued.sent if sent.delay is not None]


def test_r01_runs_once_more_than_it_retries_and_ends_with_the_original_exception(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(2, backoff=10, factor=1, jitter="none"))
    def body() -> None:
        ran.append(1)
        raise ValueError(f"run {len(ran)}")

    message = body.send()
    drain()
    found = handle(message)
    assert found.status == "RETRY"
    assert isinstance(found.result, ValueError)
    assert "run 1" in (found.traceback or "")
    assert found.date_done is None
    assert found.retries == 1
    assert found.next_run is not None
    run_out(drain, freezer, 3)
    assert len(ran) == 3
    found = handle(message)
    assert found.status == "FAILURE"
    assert found.retries == 2
    assert found.next_run is None
    assert handle(message).date_done is not None
    with pytest.raises(ValueError, match="run 3"):
        found.get()


def test_r04_nothing_is_retried_unless_asked(broker: SettlingBroker, drain: Drain, enqueued: Enqueued) -> None:
    @actor
    def body() -> None:
        raise ValueError

    message = body.send()
    drain()
    assert handle(message).status == "FAILURE"
    assert len(enqueued) == 1


def test_r05_none_retries_without_bound(broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    seen: list[tuple[str, int]] = []

    @actor(retry=Retry(None, backoff=1, factor=1))
    def body() -> None:
        execution = current()
        assert execution is not None
        assert not execution.last_attempt
        seen.append((execution.message_id, execution.retries))
        raise ValueError

    message = body.send()
    run_out(drain, freezer, 30)
    assert seen == [(message.message_id, n) for n in range(31)]
    assert handle(message).status == "RETRY"


def test_r06_no_retries_are_one_run(broker: SettlingBroker, drain: Drain, enqueued: Enqueued) -> None:
    @actor(retry=Retry(0))
    def body() -> None:
        execution = current()
        assert execution is not None
        assert execution.last_attempt
        raise ValueError

    message = body.send()
    drain()
    assert handle(message).status == "FAILURE"
    assert handle(message).retries == 0


@pytest.mark.parametrize(
    ("raised", "runs"), [(KeyError, 3), (ValueError, 1), (ZeroDivisionError, 1), (OverflowError, 3)]
)
def test_r08_r09_only_what_is_covered_is_retried(
    broker: SettlingBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    raised: type[Exception],
    runs: int,
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(2, on=(KeyError, ArithmeticError), never_on=ZeroDivisionError, backoff=0))
    def body() -> None:
        ran.append(1)
        raise raised

    message = body.send()
    drain()
    assert len(ran) == runs
    assert isinstance(handle(message).result, raised)


def test_r10_r11_waits_grow_up_to_the_maximum(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    @actor(retry=Retry(6, backoff=2, maximum=20, jitter="none"))
    def body() -> None:
        raise ValueError

    body.send()
    run_out(drain, freezer)
    assert delays(enqueued) == [2, 4, 8, 16, 20, 20]


def test_a_retry_runs_when_it_is_due_and_not_before(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(1, backoff=10, jitter="none"))
    def body() -> None:
        ran.append(1)
        raise ValueError

    body.send()
    drain()
    freezer.tick(9.999)
    drain()
    assert len(ran) == 1
    freezer.tick(0.001)
    drain()
    assert len(ran) == 2


def test_a_body_may_ask_for_a_retry_with_a_delay_of_its_own(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, enqueued: Enqueued
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(3, on=KeyError))
    def body() -> str:
        ran.append(1)
        if len(ran) == 1:
            raise dramatiq.Retry("later", delay=90_000)
        return "done"

    message = body.send()
    drain()
    assert delays(enqueued) == [90]
    assert handle(message).status == "RETRY"
    assert handle(message).result is None
    freezer.tick(90)
    drain()
    assert handle(message).get() == "done"


def test_r02_a_retry_for_no_reason_ends_with_max_retries_exceeded(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(retry=Retry(1, backoff=0))
    def body() -> None:
        try:
            raise KeyError
        except KeyError:
            raise dramatiq.Retry("not yet") from None

    message = body.send()
    drain()
    with pytest.raises(MaxRetriesExceeded, match=message.message_id):
        handle(message).get()


def test_r01_a_retry_with_a_reason_shows_the_reason(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(retry=Retry(1, backoff=5))
    def body() -> None:
        try:
            raise KeyError("why")
        except KeyError as error:
            raise dramatiq.Retry from error

    message = body.send()
    drain()
    assert isinstance(handle(message).result, KeyError)
    run_out(drain, freezer, 1)
    with pytest.raises(KeyError, match="why"):
        handle(message).get()


def test_without_a_policy_a_body_may_still_ask(broker: SettlingBroker, drain: Drain, enqueued: Enqueued) -> None:
    @actor
    def body() -> None:
        raise dramatiq.Retry(delay=1_000)

    message = body.send()
    drain()
    assert handle(message).status == "RETRY"
    assert delays(enqueued) == [1]


def test_t06_a_time_limit_is_never_retried(broker: SettlingBroker, drain: Drain, enqueued: Enqueued) -> None:
    @actor(retry=Retry(5, on=BaseException, backoff=0))
    def body() -> None:
        raise TimeLimitExceeded

    message = body.send()
    drain()
    assert handle(message).status == "FAILURE"
    assert type(handle(message).result).__name__ == "TimeLimitExceeded"
    assert len(enqueued) == 1


def test_w05_sys_exit_in_a_body_is_a_failure_that_does_not_end_the_reader(
    broker: SettlingBroker, drain: Drain, enqueued: Enqueued
) -> None:
    @actor(retry=Retry(3))
    def body() -> None:
        raise SystemExit(3)

    message = body.send()
    drain()
    assert handle(message).status == "FAILURE"
    assert len(enqueued) == 1
    with pytest.raises(RemoteError) as caught:
        handle(message).get()
    assert caught.value.type_name == "builtins.SystemExit"


@pytest.mark.parametrize("stop", [HandBack("not now", delay=5), Shutdown()])
def test_stopping_burns_no_attempt(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory, stop: BaseException
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(0))
    def body() -> str:
        ran.append(1)
        if len(ran) < 4:
            raise stop
        return "done"

    message = body.send()
    run_out(drain, freezer, 4)
    assert handle(message).get() == "done"
    assert handle(message).retries == 0


class GivesBack(dramatiq.Middleware):
    """A guard of somebody else's, the last before the body."""

    def __init__(self) -> None:
        self.asked = 0

    def before_process_message(self, broker: dramatiq.Broker, message: object) -> None:
        self.asked += 1
        if self.asked == 1:
            raise HandBack("a guard says so", delay=5)


def test_only_what_went_back_after_its_body_began_is_redelivered(
    broker: SettlingBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    flags: list[bool] = []
    broker.add_middleware(GivesBack())

    @actor(retry=Retry(1, backoff=5))
    def body() -> None:
        execution = current()
        assert execution is not None
        flags.append(execution.redelivered)
        if len(flags) == 1:
            raise HandBack("not now", delay=5)
        if len(flags) == 2:
            raise Shutdown
        if len(flags) == 3:
            raise ValueError

    found = handle(body.send())
    run_out(drain, freezer, 5)
    assert found.status == "SUCCESS"
    assert flags == [False, True, True, False], "a guard, a hand-back, a stop, a retry went before"


def test_r20_a_retry_is_neither_ready_nor_failed(broker: SettlingBroker, drain: Drain) -> None:
    @actor(retry=Retry(1, backoff=60, jitter="none"))
    def body() -> None:
        raise ValueError

    found = handle(body.send())
    drain()
    assert (found.ready(), found.failed(), found.successful()) == (False, False, False)
    with pytest.raises(TimeoutError):
        found.get(timeout=0.01)
    assert isinstance(found.info, ValueError)
