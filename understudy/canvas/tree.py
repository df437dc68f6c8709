"""A workflow as a tree, for people: each step with its state, how long it took, and why it stopped."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dramatiq import Message
from dramatiq.errors import DecodeError

from understudy import exceptions
from understudy.plans.place import node_id
from understudy.plans.reading import Entry, Flow
from understudy.records import Record, Records

#: Members of a group that are shown.
MOST = 20


@dataclass(frozen=True)
class Branch:
    """A step, or a group.

    Attributes:
      label: the actor, or of a group what has come of its members.
      seconds: how long it took, or None.
      error: why it failed, as a text; empty if it did not.
      instead: the id of what goes on in its place; empty if nothing does.
      members: the strands of a group, at most ``MOST``; of a step the strand that goes on in its place.
      more: how many members are not shown.
    """

    id: str
    state: str
    label: str
    seconds: float | None = None
    error: str = ""
    instead: str = ""
    members: list[list[Branch]] = field(default_factory=list)
    more: int = 0

    def plain(self) -> dict[str, Any]:
        """It by names and values."""
        members = [[branch.plain() for branch in strand] for strand in self.members]
        return {
            "id": self.id,
            "state": self.state,
            "label": self.label,
            "seconds": self.seconds,
            "error": self.error or None,
            "instead": self.instead or None,
            "members": members,
            "more": self.more,
        }


def tree(records: Records, flow: Flow, *, most: int = MOST) -> list[Branch]:
    """The steps and groups of a workflow, in their order.

    Raises:
      ServerUnavailable: the server cannot be asked.
    """
    return list(_strand(records, flow, flow.root[0], most))


def _strand(records: Records, flow: Flow, first: int, most: int) -> Iterator[Branch]:
    entry = flow.entry(first)
    while True:
        yield _branch(records, flow, entry, most)
        if entry.next == "-":
            return
        entry = flow.entry(int(entry.next))


def _branch(records: Records, flow: Flow, entry: Entry, most: int) -> Branch:
    id = node_id(flow.id, entry.node)
    record = records.read(id)
    error = _error(record)
    if not entry.is_group:
        name = record.text("actor") or _actor(flow, entry)
        instead = record.text("instead") or ""
        below = [_branch(records, flow, one, most) for one in flow.in_the_place_of(record.fields)]
        return Branch(id, record.state.value, name, _seconds(record), error, instead, [below] if below else [])
    done, failed = flow.counts(entry.node) or (0, 0)
    label = f"group of {entry.size}: {done} succeeded, {failed} did not"
    shown = list(itertools.islice(flow.letters(entry.node), most))
    members = [list(_strand(records, flow, letter.node, most)) for letter in shown]
    return Branch(id, record.state.value, label, error=error, members=members, more=max(0, entry.size - len(members)))


def _error(record: Record) -> str:
    data = record.fields.get("exception")
    if not data or not record.state.terminal:
        return ""
    error = exceptions.decode_exception(data)
    return f"{type(error).__name__}: {error}"


def _seconds(record: Record) -> float | None:
    started, done = record.seconds("started_at"), record.seconds("done_at")
    return None if started is None or done is None else max(0.0, done - started)


def _actor(flow: Flow, entry: Entry) -> str:
    """The actor of a step that did not run yet."""
    payload = flow.ask(f"m{entry.node}")[0]
    if payload is None:
        start = entry.node if entry.up == "-" else int(entry.up)
        letters = itertools.chain(flow.letters(entry.node), flow.letters(start))
        payload = next((letter.payload for letter in letters if letter.node == entry.node), None)
    try:
        return "?" if not payload else Message.decode(payload).actor_name
    except DecodeError:
        return "?"
