"""Group S: states and results."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import dramatiq
import pytest
from dramatiq import Broker, Middleware
from dramatiq.middleware import SkipMessage
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import working
from understudy import Retry, actor, client, handle, progress
from understudy.brokers.redis import RedisBroker
from understudy.errors import HandBack, RemoteError, TaskError
from understudy.execution import current
from understudy.states import State

from .actors import Boom, TwoArgs
from .behaviours import Outcome, behaviour, got

Drain = Callable[..., int]


def seen_by(message_id: str) -> str:
    return handle(message_id).status.value


@behaviour("S01")
def test_s01_an_unknown_id_is_pending(broker: RedisBroker, outcome: Outcome) -> None:
    found = handle("nobody-knows")
    outcome(state=found.status, result=found.result, ready=found.ready(), successful=found.successful())
    outcome(failed=found.failed(), exists=found.exists(), get=got(lambda: found.get(timeout=0.1)))


@behaviour("S02")
def test_s02_what_nobody_consumes_is_pending_like_an_unknown_id(broker: RedisBroker, outcome: Outcome) -> None:
    @actor
    def body() -> None: ...

    found = handle(body.send())
    outcome(state=found.status, exists=found.exists())


@behaviour("S03")
def test_s03_a_running_body_is_shown_unless_the_installation_says_otherwise(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    seen: dict[str, Any] = {}
    found: list[str] = []

    @actor
    def by_default() -> None:
        execution = current()
        assert execution is not None
        found.append(seen_by(execution.message_id))

    @actor(track_started=True)
    def tracked() -> None:
        execution = current()
        assert execution is not None
        one = handle(execution.message_id)
        seen.update(tracked=one.status.value, info_keys=sorted(one.info))

    by_default.send()
    tracked.send()
    drain()
    # Celery's task_track_started, which is off there.
    broker.settings = broker.settings.model_copy(update={"track_started": False})
    by_default.send()
    drain()
    outcome(default=found[0], **seen)
    assert found[1] == "PENDING"


@behaviour("S04")
def test_s04_progress_is_seen_while_the_body_runs_and_replaced_at_the_end(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    @actor
    def body() -> str:
        execution = current()
        assert execution is not None
        progress.update(0, 3)
        found = handle(execution.message_id)
        outcome(state=found.status, info=found.info, ready=found.ready(), date_done=found.date_done)
        return "done"

    message = body.send()
    drain()
    outcome(get=got(handle(message).get), final=[handle(message).status, handle(message).result])


@behaviour("S05")
def test_s05_the_record_of_a_success_is_complete(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def add(x: int, y: int) -> int:
        return x + y

    found = handle(add.send(2, 3))
    drain()
    outcome(status=found.status, result=found.result, traceback=found.traceback, children=found.children)
    stored = found.read().fields
    outcome(date_done_type=type(found.date_done).__name__, name=found.actor_name, args=stored.get("args"))


@behaviour("S06")
def test_s06_a_failure_comes_back_as_its_own_class(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def body() -> None:
        raise Boom("m1")

    found = handle(body.send())
    drain()
    outcome(get=got(found.get), no_propagate=got(lambda: found.get(propagate=False)))
    outcome(traceback_type=type(found.traceback).__name__, date_done=found.date_done is not None)


@behaviour("S07")
def test_s07_an_exception_that_cannot_be_made_again_keeps_its_name(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    @actor
    def body() -> None:
        raise TwoArgs(1, 2)

    found = handle(body.send())
    drain()
    outcome(get=got(found.get), name=type(found.result).__name__, args=list(found.result.args))


@behaviour("S08")
def test_s08_an_exception_that_the_reader_does_not_know_has_a_stand_in(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    @actor
    def body() -> None:
        raise type("Vanished", (Exception,), {"__module__": "vanished"})("x")

    found = handle(body.send())
    drain()
    outcome(get=got(found.get), name=type(found.result).__name__)
    assert isinstance(found.result, RemoteError)
    assert (found.result.type_name, str(found.result)) == ("vanished.Vanished", "x")


@behaviour("S09")
def test_s09_a_record_lives_as_long_as_was_said(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    @actor(result_ttl=timedelta(seconds=3))
    def body() -> int:
        return 1

    outcome(default_ttl=int(broker.settings.result_ttl))
    message = body.send()
    drain()
    outcome(short_before=handle(message).status)
    freezer.tick(3)
    outcome(short_after=handle(message).status)


@behaviour("S10")
def test_s10_what_is_forgotten_is_pending(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def body() -> int:
        return 1

    found = handle(body.send())
    drain()
    assert found.get() == 1
    found.forget()
    outcome(state=found.status, exists=found.exists(), get=got(lambda: found.get(timeout=0.1)))


@behaviour("S11")
def test_s11_results_that_are_ignored_leave_nobody_waiting(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    ran: list[int] = []

    @actor(ignore_result=True)
    def body(fails: bool) -> int:
        ran.append(1)
        if fails:
            raise Boom
        return 7

    good = handle(body.send(False))
    assert got(good.get) == {"returned": None}  # at once: nobody has run it yet
    drain()
    outcome(ran=len(ran), state=good.status, get=got(good.get), get_by_id=got(lambda: handle(good.id).get(timeout=0.1)))
    bad = handle(body.send(True))
    drain()
    outcome(failure=bad.status)


@behaviour("S12")
def test_s12_a_body_that_is_ignored_leaves_nobody_waiting(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    ran: list[int] = []

    @actor
    def body() -> None:
        ran.append(1)
        raise SkipMessage("ignore it")

    found = handle(body.send())
    drain()
    outcome(ran=len(ran), state=found.status, get=got(lambda: found.get(timeout=0.1)))


@behaviour("S13")
def test_s13_a_rejected_message_is_a_failure_that_is_not_retried(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    ran: list[int] = []

    @actor(retry=Retry(3, backoff=0))
    def body() -> None:
        ran.append(1)
        raise TaskError("no thanks")

    found = handle(body.send())
    states = [found.status]
    drain()
    outcome(seen=[*states, found.status], runs=len(ran), get=got(found.get))


@behaviour("S14")
def test_s14_a_body_may_give_its_message_back(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    flags: list[bool] = []

    @actor
    def body() -> str:
        execution = current()
        assert execution is not None
        flags.append(execution.redelivered)
        if len(flags) < 3:
            raise HandBack("not yet")
        return "third"

    found = handle(body.send())
    drain()
    outcome(get=got(found.get), redelivered=flags)


@behaviour("S15")
def test_s15_get_inside_of_a_body_is_refused(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def body() -> None:
        handle("other").get(timeout=1)

    found = handle(body.send())
    drain()
    outcome(get=got(found.get))


@behaviour("S16")
def test_s16_parents_and_children_know_each_other(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    sent: list[str] = []

    @actor
    def child() -> None: ...

    @actor
    def body() -> None:
        sent.append(child.send().message_id)

    parent = handle(body.send())
    drain()
    up = handle(sent[0]).parent
    outcome(
        children=[one.id == sent[0] for one in parent.children],
        child_parent_is_me=up is not None and up.id == parent.id,
    )


@behaviour("S17")
def test_s17_a_reader_that_gives_up_stops_nothing(broker: RedisBroker, outcome: Outcome) -> None:
    go, began = threading.Event(), threading.Event()

    @actor
    def body() -> str:
        began.set()
        go.wait(20)
        return "v"

    with working(broker):
        found = handle(body.send())
        assert began.wait(20)
        # Were the fifth of a second rounded up, the event would come first.
        rounded_up = threading.Event()
        timer = threading.Timer(0.9, rounded_up.set)
        timer.start()
        outcome(first=got(lambda: found.get(timeout=0.2)), rounded_up_to_a_second=rounded_up.is_set())
        timer.cancel()
        go.set()
        outcome(later=got(lambda: found.get(timeout=20)))


@behaviour("S18")
def test_s18_a_result_that_cannot_travel_is_a_failure(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def body() -> object:
        return threading.Lock()

    found = handle(body.send())
    drain()
    outcome(get=got(found.get), state=found.status)


@behaviour("S19")
def test_s19_a_second_outcome_changes_nothing(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def body(fails: bool) -> None:
        if fails:
            raise Boom

    def twice(first: bool, then: bool) -> str:
        for number, fails in enumerate((first, then)):
            body.send_with_options(args=(fails,), message_id=f"{first}")
            assert drain() == 1, number
        return seen_by(f"{first}")

    outcome(success_then_failure=twice(False, True), failure_then_success=twice(True, False))


@behaviour("S20")
def test_s20_a_message_for_nobody_becomes_a_failure(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, outcome: Outcome
) -> None:
    message: dramatiq.Message[Any] = dramatiq.Message("default", "no_such_actor", (), {}, {})
    broker.declare_queue("default")
    broker.enqueue(message)
    states = [seen_by(message.message_id)]
    drain()
    outcome(at_once=seen_by(message.message_id) == "FAILURE")
    for _ in range(30):
        freezer.tick(broker.settings.unknown_actor_grace / 20)
        drain()
    outcome(seen=[*states, seen_by(message.message_id)], get=got(handle(message).get))


@behaviour("S21")
def test_s21_wrong_arguments_are_the_senders_and_by_name_the_workers_failure(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    @actor
    def add(x: int, y: int) -> int:
        return x + y

    outcome(delay=got(lambda: add.send(1)))  # type: ignore[call-arg]
    assert broker.size("default") == 0
    message = client.send("add", 1)
    drain()
    outcome(send_task=got(handle(message).get))


@behaviour("S22")
def test_s22_values_survive_the_way(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    seen: list[Any] = []

    @actor
    def body(value: Any) -> None:
        seen.append(value)

    sent = [(1, 2), {1: "a"}, datetime(2026, 11, 22, tzinfo=UTC), Decimal("1.5"), uuid4(), b"\x00x"]
    for value in sent:
        body.send(value)
    drain()
    assert [type(value) for value in seen[2:]] == [datetime, Decimal, UUID, bytes]
    assert seen[2:] == sent[2:]
    names = [type(value).__name__ for value in seen]
    outcome(**dict(zip(("datetime", "Decimal", "UUID", "bytes"), names[2:], strict=True)))
    outcome(tuple=names[0], int_keys=type(next(iter(seen[1]))).__name__, set=got(lambda: body.send({1})))


@behaviour("S23")
def test_s23_a_hook_after_a_success_that_raises_is_not_passed_over(
    broker: RedisBroker, drain: Drain, outcome: Outcome
) -> None:
    class Raises(Middleware):
        def after_process_message(self, broker: Broker, message: Any, **ended: Any) -> None:
            raise Boom("hook")

    @actor
    def body() -> str:
        return "value"

    broker.add_middleware(Raises())
    found = handle(body.send())
    drain()
    outcome(state=found.status, get=got(found.get))


@behaviour("S24")
def test_s24_a_linked_message_runs_after_success_only(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    linked: list[int] = []

    @actor
    def body(fails: bool) -> int:
        if fails:
            raise Boom
        return 3

    @actor
    def link(result: int) -> None:
        linked.append(result)

    @actor
    def failing_link(result: int) -> None:
        raise Boom

    dramatiq.pipeline([body.message(False), link.message_with_options()]).run()  # type: ignore[no-untyped-call]
    drain()
    outcome(link_got=list(linked))
    dramatiq.pipeline([body.message(True), link.message_with_options()]).run()  # type: ignore[no-untyped-call]
    drain()
    outcome(after_failure=len(linked) - 1)
    first = body.message(False)
    dramatiq.pipeline([first, failing_link.message_with_options()]).run()  # type: ignore[no-untyped-call]
    drain()
    outcome(parent_of_failing_link=handle(first).status)


@behaviour("S25")
def test_s25_a_handle_keeps_the_end_that_it_has_seen(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    @actor
    def body(fails: bool) -> None:
        if fails:
            raise Boom

    good, bad = handle(body.send(False)), handle(body.send(True))
    drain()
    assert good.ready()
    assert bad.ready()
    handle(good.id).forget()
    handle(bad.id).forget()
    outcome(ok_handle=good.status, fail_handle=bad.status, new_handle=handle(good.id).status)


@behaviour("S26")
def test_s26_there_are_no_states_but_the_seven(outcome: Outcome) -> None:
    stored = [state for state in State if state == "CUSTOM"]
    with pytest.raises(ValueError, match="CUSTOM"):
        State("CUSTOM")
    outcome(stored=stored[0] if stored else None)


@behaviour("S27")
def test_s27_what_celery_only_announces_is_never_stored(broker: RedisBroker, drain: Drain, outcome: Outcome) -> None:
    seen: set[str] = set()

    @actor(retry=Retry(1, backoff=0))
    def body(how: str) -> None:
        execution = current()
        assert execution is not None
        seen.add(seen_by(execution.message_id))
        if how == "ignore":
            raise SkipMessage
        if how == "reject":
            raise TaskError

    messages = [body.send(how) for how in ("", "ignore", "reject")]
    seen.update(seen_by(message.message_id) for message in messages)
    drain()
    seen.update(seen_by(message.message_id) for message in messages)
    outcome(stored=sorted(seen & {"RECEIVED", "REJECTED", "IGNORED"}))
