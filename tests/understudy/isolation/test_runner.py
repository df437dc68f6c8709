from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.understudy.isolation import actors_for_tests as them
from understudy import errors, handle
from understudy.brokers.redis import RedisBroker
from understudy.handle import Handle
from understudy.holds import GROUP
from understudy.testing.conditions import wait_until
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker

#: What a child does is the same on every broker: it never meets one.
pytestmark = pytest.mark.brokers("stub")
both = pytest.mark.brokers("stub", "server")

Drain = Callable[..., int]
Run = Callable[..., Handle]


@pytest.fixture
def run(drain: Drain) -> Run:
    """Send a message and let a real child run its body."""

    def run(actor: Any, *args: Any, **options: Any) -> Handle:
        message = actor.send_with_options(args=args, **options)
        drain(isolation="process")
        return handle(message)

    return run


@both
def test_a_body_takes_turns_under_a_limit_from_its_own_process(run: Run) -> None:
    first, second, third = run(them.takes_turns, 3).get()
    assert (first, second) == (0, 0)
    assert 900 < third <= 1_000


@pytest.fixture
def isolated(broker: RedisBroker, step_worker: StepWorker) -> StepWorker:
    """A worker whose children are real."""
    broker.settings = broker.settings.model_copy(update={"isolation": "process"})
    return step_worker


def ends(pid: int) -> None:
    wait_until(lambda: not _lives(pid), timeout=10, what=f"the end of process {pid}")


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


# -- where a body runs ---------------------------------------------------------------------------------------


def test_a_body_with_a_limit_runs_in_a_process_of_its_own_which_serves_the_next_one(run: Run) -> None:
    first, second = run(them.where).get(), run(them.where).get()
    assert first["pid"] != os.getpid()
    assert first["parent"] == os.getpid()
    assert first["group"] == first["pid"]
    assert second["pid"] == first["pid"]
    assert first["collects"], "garbage is collected in bodies"
    assert first["kept"] > 10_000, "what was imported is not looked at again"


def test_bodies_without_limits_and_those_that_say_thread_run_here(run: Run) -> None:
    assert run(them.plain).get() == run(them.in_a_thread).get() == os.getpid()


def test_a_limit_of_the_message_is_reason_enough(run: Run) -> None:
    assert run(them.plain, time_limit=5_000).get() != os.getpid()
    assert run(them.plain, soft_time_limit=5_000).get() != os.getpid()
    assert run(them.in_a_thread, time_limit=5_000).get() == os.getpid()


def test_t16_the_body_sees_what_it_is_and_its_limits(run: Run, broker: RedisBroker) -> None:
    found = run(them.where, message_id="m1", time_limit=5_000, soft_time_limit=2_500)
    seen = found.get()
    assert (seen["message_id"], seen["retries"], seen["last"]) == ("m1", 0, True)
    assert seen["limits"] == [5.0, 2.5]
    assert seen["token"].startswith("default/")
    assert run(them.where).get()["limits"] == [20.0, 10.0]
    assert run(them.without_limits).get()[1] == [None, None]


def test_r19_called_as_a_function_it_runs_here() -> None:
    assert them.without_limits.fn is not None
    assert them.point(1, 2) == them.Point(1, 2)


def test_by_default_a_test_runs_the_body_in_its_own_thread(drain: Drain, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(them.echo, "fn", lambda *args: seen.append((args, threading.current_thread())))
    them.echo.send(1)
    drain()
    assert seen == [((1,), threading.current_thread())]


# -- values --------------------------------------------------------------------------------------------------


@both
def test_arguments_and_results_travel(run: Run) -> None:
    assert run(them.echo, 1, "ä", [b"x"], {"a": 1.5}).get() == [[1, "ä", [b"x"], {"a": 1.5}], {}]
    assert run(them.point, 1, 2).get() == them.Point(1, 2)


@pytest.mark.parametrize(("what", "error"), [("lock", errors.SerializationError), ("huge", errors.ResultTooLarge)])
def test_s18_a_result_that_cannot_travel_is_a_failure_that_says_so(run: Run, what: str, error: type[Exception]) -> None:
    failed = run(them.unsendable, what)
    assert failed.status == "FAILURE"
    with pytest.raises(error, match=r"result\['deep'\]\[0\]|the result is 50,0"):
        failed.get()


def test_an_exception_keeps_its_class_its_state_and_its_traceback(run: Run) -> None:
    failed = run(them.raises, "awkward")
    assert isinstance(failed.result, them.Awkward)
    assert failed.result.code == 7
    assert "in raises" in (failed.traceback or "")
    assert "KeyError: 'the cause'" in (failed.traceback or "")
    assert "runner.py" not in (failed.traceback or "")


def test_the_retry_policy_decides_on_the_class(run: Run) -> None:
    done = run(them.retried)
    assert (done.get(), done.retries) == (2, 2)


def test_a_group_and_a_class_that_nobody_can_import_arrive_as_in_a_thread(run: Run, drain: Drain) -> None:
    for what in ("group", "local", "exit"):
        isolated = run(them.raises, what)
        in_thread = them.raises.send(what)
        drain(isolation="thread")
        assert repr(isolated.result) == repr(handle(in_thread).result)
        assert isolated.status == handle(in_thread).status == "FAILURE"


def test_w05_an_exit_in_a_body_is_a_failure_and_the_process_goes_on(run: Run) -> None:
    before = run(them.where).get()["pid"]
    failed = run(them.raises, "exit")
    assert "SystemExit" in repr(failed.result)
    assert run(them.where).get()["pid"] == before


def test_r01_a_retry_that_the_body_asks_for_keeps_its_cause_and_its_delay(run: Run) -> None:
    waiting = run(them.raises, "asked")
    assert waiting.status == "RETRY"
    assert isinstance(waiting.result, KeyError)


def test_an_actor_that_the_child_cannot_find_is_a_failure_that_says_what_to_do(broker: RedisBroker, run: Run) -> None:
    @them.actor(time_limit=5)
    def local() -> None: ...

    failed = run(local)
    with pytest.raises(errors.IsolationError, match="declare it at the top of a module"):
        failed.get()


# -- what a body may do --------------------------------------------------------------------------------------


@both
def test_items_and_their_marks_are_those_of_the_worker(run: Run, broker: RedisBroker) -> None:
    done = run(them.count, 5)
    assert done.get() == {"done": [0, 1, 2, 3, 4], "successful": 5}
    assert done.progress == {"current": 5, "total": 5}
    assert broker.storage.call("TTL", broker.storage.keys.items(done.id)) > 0


@both
def test_a_retry_goes_on_with_the_item_that_failed(run: Run) -> None:
    assert run(them.fails_at, 5, 3).get() == [3, 4]


def test_progress_that_was_throttled_is_written_in_the_end(run: Run, broker: RedisBroker, faults: Faults) -> None:
    broker.settings = broker.settings.model_copy(update={"progress_interval": 3_600.0})
    done = run(them.reports, 50)
    assert done.progress == {"current": 50, "total": 50, "note": "so far"}
    assert faults.exchanges.count("progress") == 1


def test_the_last_progress_of_a_body_that_was_killed_is_known(run: Run, broker: RedisBroker) -> None:
    broker.settings = broker.settings.model_copy(update={"progress_interval": 3_600.0})
    assert run(them.reports_and_hangs).progress == {"current": 2, "total": 3}


@both
def test_what_a_body_sends_is_sent_at_once_and_what_it_commits_with_its_success(run: Run, enqueued: Enqueued) -> None:
    sent = run(them.sends, False).get()
    assert [message.message_id for message in enqueued.messages(them.plain)] == [sent]
    assert [message.args for message in enqueued.messages(them.echo)] == [("later",)]
    run(them.sends, True)
    assert len(enqueued.messages(them.plain)) == 2
    assert len(enqueued.messages(them.echo)) == 1


def test_a_value_that_cannot_be_sent_is_refused_in_the_body(run: Run) -> None:
    failed = run(them.sends, False, True)
    assert isinstance(failed.result, errors.SerializationError)
    assert "echo: args[0]" in str(failed.result)


def test_p11_a_body_hands_itself_back_when_the_worker_stops(
    broker: RedisBroker, isolated: StepWorker, tmp_path: Path
) -> None:
    told = tmp_path / "told"

    def stop() -> None:
        wait_until(told.exists, timeout=20)
        broker.stopping.set()

    message = them.asks.send(str(told))
    thread = threading.Thread(target=stop)
    thread.start()
    isolated.run_once()
    thread.join()
    assert (broker.size("default"), handle(message).retries) == (1, 0)
    assert broker.records.marks(message.message_id, ["\x1f0", "\x1f1"]) == ["1", ""]


def test_an_error_of_the_server_reaches_the_body_and_burns_no_attempt(
    isolated: StepWorker, broker: RedisBroker, faults: Faults
) -> None:
    message = them.count.send(2)
    faults.fail("item")
    isolated.run_once()
    assert (broker.size("default"), handle(message).retries) == (1, 0)


def test_a_hold_that_was_lost_stops_the_body(isolated: StepWorker, broker: RedisBroker, faults: Faults) -> None:
    message = them.count.send(3)
    intercept = broker.storage.interceptor
    assert intercept is not None

    def take_away(name: str, when: Literal["before", "after"]) -> None:
        if (name, when) == ("item", "before"):
            (held,) = broker.holds.values()
            broker.storage.client.xack(held.hold.stream, GROUP, held.hold.entry)
        intercept(name, when)

    broker.storage.interceptor = take_away
    isolated.run_once()
    assert faults.exchanges.count("item") == 1
    assert broker.refused == 1
    assert handle(message).status != "SUCCESS"


@pytest.mark.parametrize("name", ["hangs", "loops"])
def test_v02_a_body_that_is_to_end_ends(isolated: StepWorker, broker: RedisBroker, tmp_path: Path, name: str) -> None:
    began = tmp_path / "began"

    def end() -> None:
        wait_until(began.exists, timeout=20)
        (held,) = broker.holds.values()
        assert held.execution is not None
        held.execution.terminate("revoked")
        if name == "hangs":
            held.execution.end_now()

    message = getattr(them, name).send(str(began))
    thread = threading.Thread(target=end)
    thread.start()
    isolated.run_once()
    thread.join()
    assert handle(message).status == "REVOKED"
    assert broker.storage.call("ZCARD", broker.keys_of("default").dead) == 0


def test_a_body_knows_its_headers_and_where_it_comes_from(run: Run) -> None:
    found = run(them.line, headers={"x": 1})
    assert found.get() == [{"x": 1}, None, found.id, []]


# -- limits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sleeps", "loops_in_c", "backtracks", "swallows"])
def test_t03_a_hard_limit_ends_the_body_whatever_it_does(run: Run, name: str) -> None:
    failed = run(getattr(them, name))
    with pytest.raises(errors.TimeLimitExceeded, match=r"time limit of 0\.5 s; it was at .*:\d+ in "):
        failed.get()
    assert f", in {name}" in (failed.traceback or "")
    assert failed.retries == 0  # T06


def test_the_worker_ends_a_body_that_has_made_itself_deaf(run: Run) -> None:
    with pytest.raises(errors.TimeLimitExceeded, match=r"time limit of 0\.5 s"):
        run(them.deaf).get()


@both
def test_t07_a_body_that_was_stopped_does_not_run_again(run: Run, drain: Drain, broker: RedisBroker) -> None:
    run(them.sleeps)
    assert drain(isolation="process") == 0
    assert broker.size("default") == 0
    assert not broker.holds


def test_what_a_body_has_started_ends_with_it(run: Run, tmp_path: Path) -> None:
    run(them.starts_a_program, str(tmp_path / "pid"))
    ends(int((tmp_path / "pid").read_text()))


def test_after_a_kill_another_process_takes_the_next_message(run: Run) -> None:
    first = run(them.where).get()["pid"]
    run(them.sleeps)
    assert run(them.where).get()["pid"] != first
    ends(first)


def test_t01_a_soft_limit_reaches_a_sleep_and_the_process_lives_on(run: Run) -> None:
    before = run(them.where).get()["pid"]
    failed = run(them.slow, False)
    with pytest.raises(errors.SoftTimeLimitExceeded, match=r"0\.3 s"):
        failed.get()
    assert "in slow" in (failed.traceback or "")
    assert run(them.where).get()["pid"] == before


def test_t02_a_soft_limit_may_be_caught(run: Run) -> None:
    assert run(them.slow, True).get() == "caught"


def test_t05_a_soft_limit_is_retried_like_any_failure(run: Run) -> None:
    done = run(them.slow_once)
    assert (done.get(), done.retries) == ("the second time", 1)


def test_t10_a_soft_limit_that_is_swallowed_comes_once_only(run: Run) -> None:
    assert run(them.swallows_softly).get() == ["SoftTimeLimitExceeded"]


def test_a_soft_limit_leaves_no_question_half_asked(run: Run) -> None:
    before = run(them.where).get()["pid"]
    assert isinstance(run(them.slow_loop).result, errors.SoftTimeLimitExceeded)
    assert run(them.where).get()["pid"] == before


# -- deaths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "said"), [("segfault", "SIGSEGV"), ("exit", "exit code 1"), ("kill", "SIGKILL")])
def test_p6_a_body_that_kills_its_process_is_a_dead_letter_in_the_end(
    run: Run, broker: RedisBroker, drain: Drain, how: str, said: str
) -> None:
    failed = run(them.dies, how)
    with pytest.raises(errors.PoisonMessage, match=f"died 3 times, the last time alone: .*{said}"):
        failed.get()
    assert failed.retries == 0
    assert broker.storage.call("ZCARD", broker.keys_of("default").dead) == 1
    assert run(them.plain).get() == os.getpid()


@both
def test_an_item_that_was_in_flight_at_a_death_is_in_doubt(run: Run, tmp_path: Path) -> None:
    assert run(them.dies_at, 2, str(tmp_path / "died")).get() == [3]


@both
def test_work_that_must_not_be_repeated_is_not_after_a_death(run: Run, tmp_path: Path) -> None:
    failed = run(them.never_twice, str(tmp_path / "began"))
    assert isinstance(failed.result, errors.InDoubt)


def test_a_worker_that_dies_takes_the_child_along(run: Run, isolated: StepWorker, faults: Faults) -> None:
    pid = run(them.where).get()["pid"]
    faults.kill_at("item")
    message = them.count.send(2)
    isolated.run_once()
    assert handle(message).status != "SUCCESS"
    ends(pid)


# -- what a body may do that waits, gives back, or raises what nobody knows -----------------------------------------


def test_a_failure_of_a_class_that_only_the_child_knows_is_retried_like_any_other(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = run(them.raises_what_only_it_knows, str(log))
    assert log.read_text().split() == ["run", "run"]
    assert (type(found.result).__name__, str(found.result)) == ("Local", "once more")


def test_s14_a_body_that_gave_its_message_back_is_told_so_in_a_process_of_its_own(run: Run, tmp_path: Path) -> None:
    assert run(them.gives_back, str(tmp_path / "log")).get() == [False, True]


def test_s15_a_body_may_wait_for_another_message_if_that_is_allowed(run: Run) -> None:
    other = run(them.plain)
    assert run(them.waits_for, other.id, 5).get() == other.get()
    with pytest.raises(errors.ResultTimeout):
        run(them.waits_for, "nobody-sent-this", 0.2).get()
    with pytest.raises(RuntimeError, match="disable_sync_subtasks=False"):
        run(them.waits_unasked, other.id).get()


def test_a_body_that_comes_on_between_the_deaths_of_its_processes_is_no_poison(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = run(them.stumbles, str(log), False)
    assert found.get() == 8
    assert len(log.read_text().split()) == 12, "four deaths, four items in doubt"


def test_an_item_that_kills_its_process_is_poison_at_its_own_third_death(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(errors.PoisonMessage, match="died 3 times, the last time alone"):
        run(them.stumbles, str(log), True).get()
    assert log.read_text().split() == ["0", "1", "2", "2", "2"]
