"""``unique``: a second message with the same key is refused where it is sent, as long as the first one stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.brokers.helpers import dead_letters, put
from understudy import AlreadyEnqueued, Retry, Unique, actor, client, handle, revoke
from understudy.brokers import delays
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerUnavailable
from understudy.execution import current
from understudy.testing.enqueued import Enqueued
from understudy.testing.faults import Faults
from understudy.testing.worker import StepWorker
from understudy.uniqueness import lock_of

Drain = Callable[..., int]
#: Longer than a lease.
LEASE = 60


def refused(send: Callable[[], Any]) -> str:
    """The id of the message that stands."""
    with pytest.raises(AlreadyEnqueued) as told:
        send()
    return told.value.message_id


def locks(broker: RedisBroker) -> list[bytes]:
    """The keys of all locks."""
    return list(broker.storage.client.scan_iter(match=broker.storage.keys.unique("*")))


def test_a_second_one_is_refused_and_told_which_one_stands(
    broker: RedisBroker, drain: Drain, enqueued: Enqueued
) -> None:
    ran: list[int] = []

    @actor(unique=Unique(key="report:{user_id}"))
    def report(user_id: int, page: int = 0) -> None:
        ran.append(user_id)

    first = report.send(1)
    assert refused(lambda: report.send(1, page=5)) == first.message_id
    assert refused(lambda: report.send_with_options(args=(1,), delay=1_000)) == first.message_id
    with pytest.raises(AlreadyEnqueued, match=rf"^report: message {first.message_id} stands under the same unique key"):
        report.send(1)
    report.send(2)
    assert len(enqueued) == 2
    drain()
    assert sorted(ran) == [1, 2]
    report.send(1)
    drain()
    assert sorted(ran) == [1, 1, 2]


def test_without_a_key_all_arguments_are_the_key_however_they_are_given(broker: RedisBroker) -> None:
    @actor(unique=Unique())
    def body(a: Any, b: int = 2, **more: Any) -> None: ...

    @actor(unique=Unique())
    def other(a: Any, b: int = 2) -> None: ...

    first = body.send({"x": 1, "y": [2]})
    assert refused(lambda: body.send(b=2, a={"y": [2], "x": 1})) == first.message_id
    assert refused(lambda: body.send({"y": (2,), "x": 1}, 2)) == first.message_id
    others: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        (({"x": 1, "y": [3]},), {}),
        (({"x": 1, "y": [2]}, 3), {}),
        (({"x": 1, "y": [2]},), {"c": 1}),
    ]
    for args, kwargs in others:
        body.send(*args, **kwargs)
    other.send({"x": 1, "y": [2]})
    long = body.send("x" * 1_000)
    assert len(long.options["unique_key"]) == 64, "no arguments in the names of keys"


def test_a_message_may_bring_its_own_key(broker: RedisBroker) -> None:
    @actor(unique=Unique(key="{x}"))
    def body(x: int) -> None: ...

    @actor
    def plain(x: int) -> None: ...

    first = body.send_with_options(args=(1,), unique_key="mine")
    assert refused(lambda: body.send_with_options(args=(2,), unique_key="mine")) == first.message_id
    body.send(1)
    body.send_with_options(args=(2,), unique_key=None)
    with pytest.raises(TypeError, match="unique_key is a text that is not empty"):
        body.send_with_options(args=(2,), unique_key="")
    with pytest.raises(
        TypeError, match=r"plain is not declared with unique=Unique\(\.\.\.\), so a unique_key would have"
    ):
        plain.send_with_options(args=(2,), unique_key="k")
    with pytest.raises(TypeError, match="unique belongs to the actor's declaration"):
        body.send_with_options(args=(2,), unique=Unique())


def test_a_service_that_cannot_import_the_actor_gives_the_key(broker: RedisBroker, drain: Drain) -> None:
    first = client.send_with_options("elsewhere", queue_name="default", unique_key="k")
    again = [lambda: client.send_with_options("elsewhere", queue_name="default", unique_key="k")]
    assert refused(again[0]) == first.message_id
    client.send_with_options("elsewhere", queue_name="default", unique_key="other")
    client.send_with_options("another", queue_name="default", unique_key="k")
    with pytest.raises(TypeError, match="unique_key"):
        client.send_with_options("elsewhere", queue_name="default", unique_key=5)  # type: ignore[arg-type]
    assert handle(first).revoke() == "REVOKED"
    again[0]()


def test_a_wrong_key_is_told_to_the_sender(broker: RedisBroker, enqueued: Enqueued) -> None:
    @actor(unique=Unique(key="{user[id]}"))
    def body(user: Any) -> None: ...

    with pytest.raises(ValueError, match=r"^unique key '\{user\[id\]\}' does not fit the arguments: KeyError"):
        body.send({})
    enqueued.assert_nothing()
    # As ever: what does not fit the function fails in the worker, if it gets so far.
    broker.enqueue(body.message_with_options())


def succeed() -> None: ...


def fail() -> None:
    raise OSError


@pytest.mark.parametrize("end", [succeed, fail])
def test_it_stands_until_it_has_ended_and_not_longer_than_its_record(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, end: Callable[[], None]
) -> None:
    @actor(unique=Unique(), result_ttl=10)
    def body() -> None:
        assert refused(body.send) == first.message_id
        end()

    first = body.send()
    drain()
    assert handle(first).ready()
    assert len(dead_letters(broker)) == (end is fail)
    freezer.tick(60)
    body.send()
    assert locks(broker) != []


def test_what_is_done_leaves_nothing_behind(broker: RedisBroker, drain: Drain) -> None:
    @actor(unique=Unique(key="{x}"))
    def body(x: int) -> None: ...

    body.send(1)
    drain()
    assert locks(broker) == []


def test_a_retry_keeps_it_and_is_not_refused_itself(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[str] = []

    @actor(unique=Unique(), retry=Retry(1, backoff=30, jitter="none"))
    def body() -> None:
        ran.append("x")
        raise OSError

    first = body.send()
    drain()
    assert handle(first).status == "RETRY"
    assert refused(body.send) == first.message_id
    freezer.tick(30)
    drain()
    assert (len(ran), handle(first).status) == (2, "FAILURE")
    body.send()


def test_until_started_means_the_first_time_that_its_body_begins(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    sent: list[str] = []

    @actor(unique=Unique(until="started"), retry=Retry(1, backoff=30, jitter="none"))
    def body() -> None:
        if not sent:
            sent.append(body.send_with_options(delay=1_000).message_id)
            raise OSError

    first = body.send()
    assert refused(body.send) == first.message_id
    names = [broker.storage.keys.clock, *broker.keys_of("default").promoted]
    assert broker.storage.run("promote", names, [10])[0] == 0
    drain()
    assert handle(first).status == "RETRY"
    assert refused(body.send) == sent[0], "the first one stands no more, the second one does"
    freezer.tick(30)
    drain()
    assert handle(first).status == "SUCCESS"
    body.send()


def test_a_killed_worker_keeps_it_and_what_is_taken_up_is_not_refused(
    broker: RedisBroker, drain: Drain, faults: Faults, freezer: FrozenDateTimeFactory
) -> None:
    ran: list[str] = []

    @actor(unique=Unique())
    def body() -> None:
        ran.append("x")
        if len(ran) == 1:
            faults.kill_worker()

    first = body.send()
    drain()
    assert refused(body.send) == first.message_id
    _die(drain, freezer)
    assert (len(ran), handle(first).status) == (2, "SUCCESS")
    body.send()


def test_poison_is_an_end_too(
    broker: RedisBroker, drain: Drain, faults: Faults, freezer: FrozenDateTimeFactory
) -> None:
    @actor(unique=Unique())
    def body() -> None:
        faults.kill_worker()

    first = body.send()
    for _ in range(3):
        assert refused(body.send) == first.message_id
        drain()
        _die(drain, freezer)
    assert handle(first).status == "FAILURE"
    assert locks(broker) == [], "it is free also when its record is gone"
    body.send()


def _die(drain: Drain, freezer: FrozenDateTimeFactory) -> None:
    drain()
    freezer.tick(LEASE)
    drain()


def test_what_is_handed_back_keeps_it(broker: RedisBroker, step_worker: StepWorker, drain: Drain) -> None:
    @actor(unique=Unique())
    def body() -> None: ...

    @actor(priority=-1)
    def before() -> None: ...

    before.send()
    first = body.send()
    step_worker.run_once()
    for held in list(broker.holds.values()):
        broker.hand_back(held)
    assert broker.size("default") == 1
    assert refused(body.send) == first.message_id
    drain()
    assert handle(first).status == "SUCCESS"
    body.send()


@pytest.mark.parametrize("delay", [None, 1_000])
def test_one_that_is_revoked_stands_no_more_also_when_its_record_is_gone(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, delay: int | None
) -> None:
    ran: list[str] = []

    @actor(unique=Unique(ttl=timedelta(days=5)))
    def body() -> None:
        found = current()
        assert found is not None
        ran.append(found.message_id)

    drain()  # the queue is known
    first = body.send_with_options(delay=delay)
    revoke(first.message_id)
    freezer.tick(timedelta(days=4))  # no worker came by
    second = body.send()
    drain()
    assert ran == [second.message_id]
    body.send()


def test_a_running_body_that_is_revoked_stands_until_it_ends(broker: RedisBroker, drain: Drain) -> None:
    @actor(unique=Unique())
    def body() -> None:
        revoke(first.message_id)
        assert refused(body.send) == first.message_id

    first = body.send()
    drain()
    assert handle(first).status == "SUCCESS"
    body.send()


def test_one_that_is_cancelled_stands_no_more(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, drain: Drain
) -> None:
    @actor(unique=Unique(ttl=timedelta(days=30)), result_ttl=10)
    def body() -> None: ...

    first = body.send_with_options(delay=1_000)
    assert refused(body.send) == first.message_id
    assert delays.cancel(broker, "default", first.message_id) == 1
    freezer.tick(3600)
    body.send()


def test_one_that_has_expired_stands_no_more_though_no_worker_came_by(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(unique=Unique(), expires=10)
    def body() -> None:
        freezer.tick(20)
        with pytest.raises(AlreadyEnqueued):
            body.send()

    first = body.send()
    freezer.tick(10)
    second = body.send()
    freezer.tick(9)
    drain()
    assert [handle(message).status for message in (first, second)] == ["REVOKED", "SUCCESS"]
    body.send()


def test_it_stands_no_longer_than_its_ttl_counted_from_when_it_may_run(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    @actor(unique=Unique(key="{x}", ttl=60))
    def body(x: int) -> None: ...

    for x, delay in ((1, None), (2, timedelta(seconds=100))):
        first = body.send_with_options(args=(x,), delay=delay)
        freezer.tick(59.9 + (delay.total_seconds() if delay else 0))
        assert refused(lambda x=x: body.send(x)) == first.message_id  # type: ignore[misc]
        freezer.tick(0.1)
        second = body.send(x)
        drain()
        assert [handle(message).status for message in (first, second)] == ["SUCCESS", "SUCCESS"]


def test_the_end_of_the_first_does_not_free_the_lock_of_the_second(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, step_worker: StepWorker
) -> None:
    @actor(unique=Unique(ttl=60))
    def body() -> None: ...

    first = body.send()
    freezer.tick(60)
    second = body.send()
    step_worker.run_once()
    assert (handle(first).status, handle(second).status) == ("SUCCESS", "PENDING")
    assert refused(body.send) == second.message_id


def test_what_vanishes_stands_for_a_day_at_most(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    @actor(unique=Unique())
    def body() -> None: ...

    first = body.send()
    broker.flush("default")
    freezer.tick(timedelta(days=1) - timedelta(seconds=1))
    assert refused(body.send) == first.message_id
    freezer.tick(1)
    body.send()


@pytest.mark.parametrize("until", ["done", "started"])
def test_an_id_that_is_sent_anew_is_not_taken_for_the_one_that_has_ended(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, until: Any
) -> None:
    @actor(unique=Unique(key="{x}", until=until))
    def body(x: int) -> None: ...

    for x in (1, 2):
        body.send_with_options(args=(x,), message_id="m")
        assert refused(lambda x=x: body.send(x)) == "m"  # type: ignore[misc]
        drain()
        body.send(x)
        freezer.tick(1)
    assert refused(lambda: body.send_with_options(args=(2,), message_id="m")) != "m"


def test_the_same_message_is_refused_while_it_stands(broker: RedisBroker, drain: Drain) -> None:
    @actor(unique=Unique())
    def body() -> None: ...

    message = body.message()
    broker.enqueue(message)
    assert refused(lambda: broker.enqueue(message)) == message.message_id
    assert drain() == 1


def test_what_cannot_be_read_stands_no_more(broker: RedisBroker, drain: Drain) -> None:
    @actor(unique=Unique(key="{x}"))
    def body(x: int) -> None: ...

    first = body.send(1)
    payload = first.encode()
    broker.storage.call("XTRIM", broker.keys_of("default").streams[1], "MAXLEN", 0)
    put(broker, payload.replace(b'"args":[1]', b'"args":{"$":"?","v":1}'))
    drain()
    assert len(dead_letters(broker)) == 1
    assert locks(broker) == []
    body.send(1)


def test_a_lock_that_somebody_else_wrote_stops_nobody_for_ever(broker: RedisBroker, drain: Drain) -> None:
    @actor(unique=Unique(key="{x}"))
    def body(x: int) -> None: ...

    first = body.send(1)
    lock = lock_of(first, broker.actors)
    assert lock is not None
    key = broker.storage.keys.unique(lock.name)
    broker.storage.client.set(key, "not ours")
    with pytest.raises(ServerUnavailable, match="WRONGTYPE"):
        body.send(1)
    drain()
    assert len(dead_letters(broker)) == 1
    assert broker.storage.client.get(key) == b"not ours"
    assert broker.holds == {}
