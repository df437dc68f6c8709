"""Parents, roots and children (S16, K03)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from middleware import lineage
from understudy import AlreadyEnqueued, Unique, actor, handle
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerUnavailable
from understudy.execution import current
from understudy.testing.faults import Faults

Drain = Callable[..., int]


def test_each_generation_knows_where_it_comes_from(broker: RedisBroker, drain: Drain) -> None:
    seen: dict[int, tuple[str, str | None, str]] = {}

    @actor
    def body(depth: int) -> None:
        execution = current()
        assert execution is not None
        seen[depth] = (execution.message_id, execution.parent_id, execution.root_id)
        if depth < 2:
            body.send(depth + 1)

    root = body.send(0)
    drain()
    ids = [seen[depth][0] for depth in range(3)]
    assert ids[0] == root.message_id
    assert [seen[depth][1:] for depth in range(3)] == [(None, ids[0]), (ids[0], ids[0]), (ids[1], ids[0])]
    assert [child.id for child in handle(root).children] == [ids[1]]
    assert handle(ids[2]).parent is not None
    assert handle(ids[2]).parent.id == ids[1]  # type: ignore[union-attr]
    assert handle(root).parent is None
    assert handle(ids[2]).children == []


def test_what_is_sent_when_the_outcome_is_committed_is_a_child_too(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def child() -> None: ...

    @actor
    def body() -> None:
        child.send_with_options(when="committed")

    message = body.send()
    drain()
    assert [one.status for one in handle(message).children] == ["SUCCESS"]


def test_a_record_names_a_bounded_number(broker: RedisBroker, drain: Drain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "MOST", 3)

    @actor
    def child() -> None: ...

    @actor
    def body() -> None:
        for _ in range(5):
            child.send()

    message = body.send()
    assert drain() == 6
    assert len(handle(message).children) == 3


def test_what_was_refused_is_nobodys_child(broker: RedisBroker, drain: Drain, faults: Faults) -> None:
    sent: list[str] = []

    @actor(unique=Unique(key="{n}"))
    def child(n: int) -> None: ...

    @actor
    def body() -> None:
        sent.append(child.send(1).message_id)
        with pytest.raises(AlreadyEnqueued):
            child.send(1)
        with faults.outage(), pytest.raises(ServerUnavailable):
            child.send(2)
        sent.append(child.send(3).message_id)

    message = body.send()
    drain()
    assert [one.id for one in handle(message).children] == sent
    assert all(one.successful() for one in handle(message).children)


def test_the_next_step_of_a_pipeline_is_a_child_of_the_one_before(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def body(n: int) -> int:
        return n

    first, second = body.message(1), body.message_with_options()
    (first | second).run()  # type: ignore[no-untyped-call]
    drain()
    assert [one.id for one in handle(first).children] == [second.message_id]
