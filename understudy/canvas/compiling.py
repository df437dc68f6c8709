"""From elements to what is stored: nodes with numbers, their messages complete, pages of members.

Each message is ready to be put on its queue by a script: it has its id, its place, and where its input will be found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import dramatiq
import msgspec
from dramatiq import Message

from understudy.actors import Actor
from understudy.brokers.names import level_of
from understudy.brokers.settlement import SettlingBroker
from understudy.durations import to_millis
from understudy.errors import DeclarationError
from understudy.execution import current
from understudy.options import did_you_mean, lookup
from understudy.plans.pages import Letter, pack, pages
from understudy.plans.place import TAKES, WORKFLOW, Place, Stream, node_id
from understudy.storage.client import Value

from .elements import Callback, Element, Parallel, Task, calls

#: Options that only composing reads. A unique key refuses what is sent by itself; a step is part of what was accepted.
_COMPOSING = frozenset({"immutable", "into", "unique_key", "delay", "when"})


@dataclass(frozen=True)
class Entrance:
    """What the first elements of a strand begin with.

    Attributes:
      source: the node whose value they get; None when there is none.
      args: what they get besides.
      delay: in seconds.
    """

    source: int | None = None
    args: tuple[Any, ...] = ()
    delay: float = 0.0


@dataclass(frozen=True)
class Exit:
    """Where a strand leads: the group above, the node after it, and the strand that it is a part of if it is not one
    of its own; callbacks of what it stands in place of."""

    up: str = "-"
    next: str = "-"
    strand: int | None = None
    good: str = "-"
    bad: str = "-"


@dataclass(eq=False)
class Node:
    """An element with its number."""

    number: int
    element: Element
    up: str
    next: str
    strand: int
    entrance: Entrance
    good: str = "-"
    bad: str = "-"
    alone: bool = False
    by_page: bool = False
    members: list[tuple[Node, int]] = field(default_factory=list)

    @property
    def late(self) -> bool:
        """Whether it waits for its time when it is its turn."""
        return isinstance(self.element, Task) and max(self.element.delay, self.entrance.delay) > 0


@dataclass(frozen=True)
class Plan:
    """A workflow as it is stored.

    Attributes:
      first: the node that begins.
      value: the node whose value is the workflow's.
      size: how many numbers were taken.
    """

    workflow: str
    fields: dict[str, Value]
    streams: tuple[Stream, ...]
    first: int
    value: int
    size: int


class Compiler:
    """Numbers and encodes elements.

    Args:
      base: the first number that is free.
      streams: those that nodes of the workflow mean by number already.
      extends: it is a part of a workflow that is stored already.
    """

    def __init__(
        self,
        broker: SettlingBroker,
        workflow: str,
        *,
        base: int = 1,
        streams: tuple[Stream, ...] = (),
        extends: bool = False,
    ) -> None:
        self.broker = broker
        self.workflow = workflow
        self._next = base
        self._extends = extends
        self._streams = dict.fromkeys(streams)
        self._callbacks: dict[tuple[Callback, int | None, int | None], int] = {}
        self._number_of: dict[Element, int] = {}
        self._nodes: list[Node] = []
        self._leaves: list[tuple[int, int, int]] = []
        execution = current()
        self._root = None if execution is None else execution.root_id
        self.fields: dict[str, Value] = {}

    def plan(
        self,
        strand: list[Element],
        *,
        entrance: Entrance,
        exit: Exit | None = None,
        good: Iterable[Message[Any]] = (),
        bad: Iterable[Message[Any]] = (),
    ) -> Plan:
        """The plan of a strand. ``good`` and ``bad`` are sent at the end of all."""
        base = self._next
        first, value = self._strand(strand, entrance, exit or Exit())
        self._root = self._root or node_id(self.workflow, base)
        for node in self._nodes:
            self._collect(node)
        ends = {"good": self._calls(calls(good), source=value), "bad": self._calls(calls(bad))}
        for node in self._nodes:
            self._write(node)
        for (callback, told, source), number in self._callbacks.items():
            self._write_callback(callback, number, told=told, source=source)
        self.fields.update({name: text for name, text in ends.items() if text != "-"})
        if self._leaves:
            self.fields["leaves"] = msgspec.msgpack.encode(self._leaves)
        return Plan(self.workflow, self.fields, tuple(self._streams), first, value, self._next - base)

    # -- numbers -----------------------------------------------------------------------------------------

    def _take(self, count: int = 1) -> int:
        number, self._next = self._next, self._next + count
        return number

    def _strand(self, strand: list[Element], entrance: Entrance, exit: Exit) -> tuple[int, int]:
        """Number a strand; its first node and the one whose value is its own."""
        numbers = [self._take() for _ in strand]
        name = numbers[0] if exit.strand is None else exit.strand
        for number, element in zip(numbers, strand, strict=True):
            self._number_of[element] = number
        for place, (number, element) in enumerate(zip(numbers, strand, strict=True)):
            last = place == len(strand) - 1
            node = Node(
                number,
                element,
                up=exit.up,
                next=exit.next if last else str(numbers[place + 1]),
                strand=name,
                entrance=entrance,
                good=exit.good if last else "-",
                bad=exit.bad,
            )
            self._nodes.append(node)
            if isinstance(element, Parallel):
                self._members(node, element)
            entrance = Entrance(source=number)
        return numbers[0], numbers[-1]

    def _members(self, node: Node, element: Parallel) -> None:
        up = str(node.number)
        run: list[int] = []
        for strand in element.members:
            if len(strand) == 1 and isinstance(strand[0], Task) and not (strand[0].good or strand[0].bad):
                number = self._take()
                self._number_of[strand[0]] = number
                leaf = Node(number, strand[0], up, "-", number, node.entrance, alone=not self._extends, by_page=True)
                self._nodes.append(leaf)
                node.members.append((leaf, number))
                run.append(number)
                continue
            at = len(self._nodes)
            _, value = self._strand(strand, node.entrance, Exit(up=up))
            first = self._nodes[at]
            first.by_page = isinstance(first.element, Task)
            node.members.append((first, value))
        for start, count in () if self._extends else _runs(run):
            self._leaves.append((start, count, node.number))

    # -- what stands where -------------------------------------------------------------------------------

    def _collect(self, node: Node) -> None:
        """Find the streams and the callbacks, which every message must know of by number."""
        element = node.element
        if isinstance(element, Task) and not (node.by_page or node.late):
            self._stream(element.message)
        if element.good:
            node.good = _joined(node.good, self._calls(element.good, source=node.number))
        if element.bad:
            node.bad = _joined(node.bad, self._calls(element.bad))

    def _calls(self, callbacks: Iterable[Callback], *, source: int | None = None) -> str:
        """The numbers of callbacks; ``source`` is the node whose value they get."""
        numbers = []
        for callback in callbacks:
            self._stream(callback.message)
            told = None if callback.told is None else self._number_of[callback.told]
            after_failure = "!" if callback.of is not None and source is None else ""
            known = self._callbacks.get((callback, told, source))
            if known is None:
                known = self._callbacks[callback, told, source] = self._take()
            numbers.append(f"{known}{after_failure}")
        return ",".join(numbers) or "-"

    def _stream(self, message: Message[Any]) -> int:
        """The number of the stream of a message."""
        stream = Stream(message.queue_name, self._level(message))
        self._streams.setdefault(stream)
        return list(self._streams).index(stream) + 1

    def _level(self, message: Message[Any]) -> int:
        return _level_of(self.broker, message)

    # -- fields ------------------------------------------------------------------------------------------

    def _write(self, node: Node) -> None:
        element, number = node.element, node.number
        if node.alone:
            return  # its group has its message, and its message knows its group
        before = "-" if node.entrance.source is None else node.entrance.source
        words = [node.up, node.next, node.strand, "-", node.good, node.bad, before]
        if isinstance(element, Parallel):
            self._write_group(node, element, words)
        elif isinstance(element, Task):
            kind = "t" if not (node.by_page or node.late) else "l"
            if kind == "t":
                words[3] = self._stream(element.message)
                self.fields[f"m{number}"] = self._message(node, element).encode()
            elif not node.by_page:
                (self.fields[f"l{number}.0"],) = pages([self._letter(node)])
            self.fields[f"p{number}"] = " ".join(map(str, (kind, *words)))

    def _write_group(self, node: Node, element: Parallel, words: list[Any]) -> None:
        number, members = node.number, node.members
        self.fields[f"p{number}"] = " ".join(map(str, ("g", *words, len(members), element.need)))
        self.fields[f"w{number}"] = pack(value for _, value in members)
        for place, page in enumerate(pages([self._letter(first) for first, _ in members])):
            self.fields[f"l{number}.{place}"] = page

    def _letter(self, node: Node) -> Letter:
        element = node.element
        if not isinstance(element, Task):
            return Letter(node.number)
        message = self._message(node, element)
        return Letter(
            node.number,
            message.queue_name,
            self._level(message),
            message.encode(),
            max(element.delay, node.entrance.delay),
        )

    def _message(self, node: Node, task: Task) -> Message[Any]:
        """The message of a node, as it is put on its queue."""
        given, entrance = task.message, node.entrance
        message = self._composed(given, node_id(self.workflow, node.number))
        message.options[WORKFLOW] = Place(self.workflow, node.number, node.up, tuple(self._streams)).option()
        actor = self.broker.actors.get(given.actor_name)
        defaults = {} if actor is None else actor.options
        told = task.immutable
        immutable = lookup("immutable", given.options, defaults, False) if told is None else told
        if not immutable:
            into = lookup("into", given.options, defaults, None) if task.into is None else task.into
            if entrance.source is not None or entrance.args:
                _check_argument(actor, into)
            message = _with_input(message, entrance, into)
        if entrance.source is not None:
            message.options["parent_id"] = node_id(self.workflow, entrance.source)
            message.options["root_id"] = self._root
        return self._accepted(message, max(task.delay, entrance.delay))

    def _composed(self, given: Message[Any], id: str) -> Message[Any]:
        options = {name: value for name, value in given.options.items() if name not in _COMPOSING}
        return Message(
            given.queue_name, given.actor_name, given.args, given.kwargs, options, id, given.message_timestamp
        )

    def _accepted(self, message: Message[Any], delay: float) -> Message[Any]:
        self.broker.emit_before("enqueue", message, to_millis(delay) or None)
        self.broker.check_size(message.encode())
        return message

    def _write_callback(self, callback: Callback, number: int, *, told: int | None, source: int | None) -> None:
        given = callback.message
        message = self._composed(given, f"{self.workflow}.?.c{number}")
        if callback.of is not None:
            failed = {} if source is not None else {"failed": True}
            message.options[TAKES] = {"from": self._number_of[callback.of], "at": 1} | failed
        elif not given.options.get("immutable"):
            into = given.options.get("into")
            if source is not None:
                message = _with_input(message, Entrance(source=source), into)
            else:
                id = f"{self.workflow}.?" if told is None else node_id(self.workflow, told)
                message = _with_input(message, Entrance(args=(id,)), into)
        payload = self._accepted(message, 0.0).encode()
        self.fields[f"k{number}"] = f"{self._stream(given)} ".encode() + payload


def _with_input(message: Message[Any], entrance: Entrance, into: str | None) -> Message[Any]:
    """The message with what it begins with: what is there already, and where the rest will be found."""
    if entrance.source is not None:
        message.options[TAKES] = {"from": entrance.source} | ({} if into is None else {"into": into})
    if not entrance.args:
        return message
    if into is None:
        return message.copy(args=(*entrance.args, *message.args))
    if len(entrance.args) > 1:
        raise DeclarationError(f"{message.actor_name}: into={into!r} takes one argument, not {len(entrance.args)}")
    return message.copy(kwargs={**message.kwargs, into: entrance.args[0]})


def _check_argument(actor: dramatiq.Actor[..., Any] | None, into: str | None) -> None:
    """Refuse to pass a result as an argument that the actor, if it is known here, does not have."""
    if into is None or not isinstance(actor, Actor):
        return
    parameters = actor.signature.parameters
    if into not in parameters and all(one.kind is not one.VAR_KEYWORD for one in parameters.values()):
        hint = did_you_mean(into, tuple(parameters))
        raise DeclarationError(f"{actor.actor_name} has no argument {into!r} for into={hint}")


def _joined(one: str, other: str) -> str:
    return ",".join(part for part in (one, other) if part != "-") or "-"


def _runs(numbers: list[int]) -> Iterable[tuple[int, int]]:
    """Neighbours among ascending numbers: start and count."""
    start = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield numbers[start], place - start
            start = place


def streams_of(broker: SettlingBroker, strand: list[Element]) -> tuple[Stream, ...]:
    """Every stream that the messages of a strand, and its callbacks, may be put on."""
    found: dict[Stream, None] = {}

    def add(message: Message[Any]) -> None:
        found.setdefault(Stream(message.queue_name, _level_of(broker, message)))

    def walk(strand: list[Element]) -> None:
        for element in strand:
            for callback in (*element.good, *element.bad):
                add(callback.message)
            if isinstance(element, Task):
                add(element.message)
            elif isinstance(element, Parallel):
                for member in element.members:
                    walk(member)

    walk(strand)
    return tuple(found)


def _level_of(broker: SettlingBroker, message: Message[Any]) -> int:
    actor = broker.actors.get(message.actor_name)
    return level_of(message.options.get("priority", 0 if actor is None else actor.priority))
