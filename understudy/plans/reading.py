"""Reads workflows: what a node is, what has come of it, and what it comes to.

What never ran has no record of its own. Its state is derived: from what stopped the strand in which it stands, or the
strand of a group above that never began.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import msgpack

from understudy import clock, exceptions, serialization
from understudy.errors import ChordError, Revoked
from understudy.states import State
from understudy.storage.client import Storage

from .pages import Letter, read_page, unpack
from .place import Stream, node_id, parse_id, streams_in

#: Records that are read in one round trip.
PAGE = 1_000
#: What of a record says how a node has ended.
FIELDS = ("state", "result", "exception", "traceback", "instead", "done_at")

Fields = dict[str, bytes]
_ALL = "the workflow was revoked"


@dataclass(frozen=True)
class Entry:
    """A node as it was composed (``p<n>``). ``size`` and ``need`` are of groups: members, and how many must succeed."""

    node: int
    kind: str
    up: str
    next: str
    strand: str
    stream: str = "-"
    good: str = "-"
    bad: str = "-"
    previous: str = "-"
    size: int = 0
    need: int = 0

    @classmethod
    def parse(cls, node: int, text: bytes) -> Entry:
        kind, up, next, strand, stream, good, bad, previous, *numbers = text.decode().split(" ")
        return cls(node, kind, up, next, strand, stream, good, bad, previous, *map(int, numbers))

    @property
    def is_group(self) -> bool:
        return self.kind == "g"


@dataclass(frozen=True)
class Ending:
    """How a node has ended, or that it has not; ``fields`` as in a record. ``values`` reads what a group comes to."""

    state: State
    fields: Fields = field(default_factory=dict)
    values: Callable[[], Any] | None = None

    def outcome(self) -> Any:
        """The result, or the exception."""
        if self.values is not None:
            return self.values()
        if self.state is State.SUCCESS:
            data = self.fields.get("result")
            return None if not data else serialization.loads(data)
        data = self.fields.get("exception")
        return exceptions.decode_exception(data) if data else None


class Flow:
    """One workflow on the server. Reads what it is asked for and no more.

    Every method raises ``ServerUnavailable`` when the server cannot be asked.
    """

    def __init__(self, storage: Storage, workflow: str) -> None:
        self.storage = storage
        self.id = workflow
        self._key = storage.keys.workflow(workflow)
        self._entries: dict[int, Entry] = {}

    # -- as it was composed ------------------------------------------------------------------------------

    def ask(self, *names: str) -> list[bytes | None]:
        """Fields of the workflow."""
        found: list[bytes | None] = self.storage.call("HMGET", self._key, *names)
        return found

    def exists(self) -> bool:
        """Whether it is known, and its time is not over."""
        told, ends = self.ask("v", "expires_at")
        return told is not None and not self._over(ends)

    def entry(self, node: int) -> Entry:
        """What ``node`` is."""
        found = self._entries.get(node)
        if found is None:
            text = self.ask(f"p{node}")[0]
            found = self._leaf(node) if text is None else Entry.parse(node, text)
            self._entries[node] = found
        return found

    def _leaf(self, node: int) -> Entry:
        """A member of a group that is one message and nothing else."""
        for start, count, group in self._leaves():
            if start <= node < start + count:
                return Entry(node, "m", str(group), "-", str(node), previous=self.entry(group).previous)
        return Entry(node, "m", "-", "-", str(node))

    def _leaves(self) -> list[tuple[int, int, int]]:
        data = self.ask("leaves")[0]
        return unpack_leaves(data)

    def streams(self) -> tuple[Stream, ...]:
        """Where what follows may be put."""
        return streams_in((self.ask("to")[0] or b"").decode())

    def members(self, group: int) -> list[int]:
        """The nodes whose values are those of the members of ``group``, in declared order."""
        data = self.ask(f"w{group}")[0]
        return [] if data is None else unpack(data)

    def messages_of(self, node: int) -> Iterator[int]:
        """The messages that come to the value of ``node``: its strand up to it, the last first, and its groups."""
        entry = self.entry(node)
        while True:
            if entry.is_group:
                for value in self.members(entry.node):
                    yield from self.messages_of(value)
            else:
                yield entry.node
            if entry.previous == "-" or entry.strand == str(entry.node):
                return
            entry = self.entry(int(entry.previous))

    def in_the_place_of(self, fields: Fields) -> list[Entry]:
        """The strand that goes on in the place of a node with such a record, if one does and it is a part of this."""
        found = parse_id(fields.get("instead", b"").decode())
        if found is None or found[0] != self.id:
            return []
        strand = [self.entry(found[1])]
        while strand[-1].previous != "-":
            strand.append(self.entry(int(strand[-1].previous)))
        return strand[::-1]

    @property
    def root(self) -> tuple[int, int]:
        """The first node, and the one whose value is the workflow's."""
        first, value = self.ask("first", "value")
        return int(first or 0), int(value or 0)

    # -- what has come of it -----------------------------------------------------------------------------

    def ending(self, node: int, own: Fields | None = None) -> Ending:
        """How ``node`` has ended, or what it is about. ``own`` is its record, if that was read already."""
        node, fields, replaced = self._in_its_place(node, self._records([node])[0] if own is None else own)
        state = _state(fields)
        if state.terminal:
            return Ending(state, fields)
        entry = self.entry(node)
        if entry.is_group:
            ended = self._group_ending(entry)
            if ended is not None:
                return ended
        stopped = self._stopped(entry, begun="state" in fields)
        if stopped is not None:
            return stopped
        return Ending(State.STARTED if replaced else state, fields)

    def _in_its_place(self, node: int, fields: Fields) -> tuple[int, Fields, bool]:
        """The node that runs in the place of ``node``, its record, and whether there is one."""
        replaced = False
        while "instead" in fields and not _state(fields).terminal:
            node, replaced = int(fields["instead"].rpartition(b".")[2]), True
            fields = self._records([node])[0]
        return node, fields, replaced

    def record(self, node: int) -> Fields:
        """What its record says of the end of ``node``."""
        return self._records([node])[0]

    def has_ended(self, node: int) -> bool:
        """Whether ``node`` counts as ended."""
        return bool(self.storage.call("GETBIT", self.storage.keys.ended_nodes(self.id), node))

    def unsuccessful(self, nodes: Sequence[int]) -> Iterator[int]:
        """Those of ``nodes`` that have not succeeded, in turn. Read in pages."""
        for start in range(0, len(nodes), PAGE):
            page = nodes[start : start + PAGE]
            for node, fields in zip(page, self._records(page), strict=True):
                if _state(fields) is not State.SUCCESS and self.ending(node, fields).state is not State.SUCCESS:
                    yield node

    def letters(self, node: int) -> Iterator[Letter]:
        """What ``node`` starts, as it was composed. Read page by page."""
        for number in itertools.count():
            data = self.ask(f"l{node}.{number}")[0]
            if data is None:
                return
            page = read_page(data)
            yield from page.letters
            if page.last:
                return

    def counts(self, group: int) -> tuple[int, int] | None:
        """How many members have succeeded, and have not; None when the group has not begun."""
        done, failed = self.ask(f"d{group}", f"e{group}")
        return None if done is None else (int(done), int(failed or 0))

    def first_failure(self, group: int) -> int | None:
        """The node that was the first to fail in ``group``."""
        found = self.ask(f"f{group}")[0]
        return None if found is None else int(found)

    def _group_ending(self, entry: Entry) -> Ending | None:
        counts = self.counts(entry.node)
        if counts is None:
            return None
        done, failed = counts
        if done + failed < entry.size:
            return _revoked(_ALL) if self.ask("state")[0] == b"REVOKED" else Ending(State.STARTED)
        if done >= entry.need:
            return Ending(State.SUCCESS, values=lambda: list(self.outcomes(self.members(entry.node))))
        return Ending(State.FAILURE, {"exception": self._failure_in(entry)})

    def _failure_in(self, entry: Entry) -> bytes:
        node = self.first_failure(entry.node)
        if node is None:
            return exceptions.encode_exception(ChordError("members of the group failed"))
        return self.ending(node).fields.get("exception", b"")

    def _stopped(self, entry: Entry, *, begun: bool) -> Ending | None:
        """How a node that never ran has ended with its strand; None while its turn may come."""
        if begun:
            return None
        state, ends, at = self.ask("state", "expires_at", f"x{entry.strand}")
        if self._over(ends):
            return Ending(State.PENDING)
        if at is not None and int(at) != entry.node:
            return self._after(self.entry(int(at)))
        if entry.up != "-" and self.counts(int(entry.up)) is None:
            above = self._stopped(self.entry(int(entry.up)), begun=False)
            if above is not None:
                return above
        if state == b"REVOKED":
            return _revoked(_ALL)
        return None

    def _after(self, cause: Entry) -> Ending:
        """What comes after ``cause`` shows."""
        if cause.is_group:
            node = self.first_failure(cause.node)
            text = "members of the group before it failed"
            if node is not None:
                text = f"Dependency {node_id(self.id, node)} raised {self.ending(node).outcome()!r}"
            return Ending(State.FAILURE, {"exception": exceptions.encode_exception(ChordError(text))})
        ending = self.ending(cause.node)
        id = node_id(self.id, cause.node)
        if ending.state is State.SUCCESS:
            return _revoked(f"step {id} was skipped, so nothing follows it")
        kept = ("exception", "traceback")
        return Ending(ending.state, {name: ending.fields[name] for name in kept if name in ending.fields})

    @staticmethod
    def _over(ends: bytes | None) -> bool:
        return ends is not None and float(ends) / 1000 <= clock.now()

    # -- values ------------------------------------------------------------------------------------------

    def outcomes(self, nodes: Sequence[int]) -> Iterator[Any]:
        """What nodes have come to, in turn: the result, or the exception. Read in pages."""
        for start in range(0, len(nodes), PAGE):
            page = nodes[start : start + PAGE]
            for node, fields in zip(page, self._records(page), strict=True):
                # Of a group that has failed that is an exception, too: it stands in the place of one member.
                yield self.ending(node, fields).outcome()

    def _records(self, nodes: Sequence[int]) -> list[Fields]:
        keys = self.storage.keys
        with self.storage.exchange("values"):
            pipeline: Any = self.storage.client.pipeline(transaction=False)
            for node in nodes:
                pipeline.hmget(keys.state(node_id(self.id, node)), FIELDS)
            replies = pipeline.execute()
        return [
            {name: value for name, value in zip(FIELDS, reply, strict=True) if value is not None} for reply in replies
        ]


def unpack_leaves(data: bytes | None) -> list[tuple[int, int, int]]:
    """Runs of members that are one message each: the first node, how many, their group."""
    return [] if data is None else msgpack.decode(data, type=list[tuple[int, int, int]])


def _revoked(text: str) -> Ending:
    return Ending(State.REVOKED, {"exception": exceptions.encode_exception(Revoked(text))})


def _state(fields: Fields) -> State:
    return State(fields.get("state", b"PENDING").decode())


def flow_of(storage: Storage, id: str) -> tuple[Flow, int | None] | None:
    """The workflow that is known by ``id``: its own, that of a node, which is told then, or that of a message in whose
    place it goes on. None when nobody knows one."""
    flow = Flow(storage, id)
    if flow.exists():
        return flow, None
    found = parse_id(id)
    if found is not None and (flow := Flow(storage, found[0])).exists():
        return flow, found[1]
    instead: bytes | None = storage.call("HGET", storage.keys.state(id), "instead")
    found = None if instead is None else parse_id(instead.decode())
    if found is not None and (flow := Flow(storage, found[0])).exists():
        return flow, None
    return None


def derived(storage: Storage, message_id: str, fields: Fields) -> Ending | None:
    """How a message has ended of which its record says nothing final; None when no workflow knows more."""
    found = parse_id(fields["instead"].decode() if "instead" in fields else message_id)
    if found is None:
        return None
    workflow, node = found
    flow = Flow(storage, workflow)
    if not flow.exists():
        return None
    if "instead" in fields:
        ending = flow.ending(node)
        return ending if ending.state is not State.PENDING else Ending(State.STARTED)
    return flow.ending(node, fields)
