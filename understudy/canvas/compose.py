"""Workflows as values: steps, chains, groups and chords, in any order and depth. Nothing happens before ``run()``.

::

    chain(extract.message(source), group(check.message(n) for n in parts), load.message()).run()
    chord([fetch.message(url) for url in urls], body=report.message(), policy="partial").run()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn

from dramatiq import Message

from understudy.durations import Duration, to_seconds
from understudy.errors import DeclarationError
from understudy.options import did_you_mean

from .elements import Element, Parallel, Task, attach, calls
from .handles import WorkflowHandle
from .running import run

#: When a group, or the header of a chord, has succeeded: when all of its members have ("fail", as in Celery); whatever
#: they come to ("partial"); when at least so many have (a whole number), or such a share of them (0.9).
Policy = Literal["fail", "partial"] | int | float
Callbacks = Message[Any] | Iterable[Message[Any]] | None


@dataclass(frozen=True, kw_only=True)
class Canvas(ABC):
    """What can be run, and be a part of another one.

    Attributes:
      on_success, on_failure: messages that are sent when it has ended so. See ``run``.
    """

    on_success: tuple[Message[Any], ...] = ()
    on_failure: tuple[Message[Any], ...] = ()

    def __or__(self, other: Canvas | Message[Any]) -> Chain:
        """This, and then ``other``."""
        return chain(self, other)

    def copy(self, **_: Any) -> NoReturn:
        """Dramatiq asks for it where a canvas stands behind a message and ``|``, which makes one of its pipelines.

        Raises:
          DeclarationError: always; it says what to write.
        """
        raise DeclarationError(
            "message | canvas is a pipeline of Dramatiq, in which no canvas can stand; write chain(message, canvas)"
        )

    @abstractmethod
    def elements(self) -> list[Element]:
        """It laid flat: what follows what."""

    def run(
        self,
        *args: Any,
        delay: Duration | None = None,
        on_success: Callbacks = None,
        on_failure: Callbacks = None,
        workflow_id: str | None = None,
    ) -> WorkflowHandle:
        """Run it: all of it is accepted, or nothing.

        Args:
          args: go to the first step (to each, if it begins with a group), before its own (C22).
          delay: a timedelta or seconds before the first steps run; the others follow when it is their turn (C16).
          on_success: sent once, when all has succeeded, with the result as its first argument (C20).
          on_failure: sent once, when it has failed or was revoked, with the id of the step that failed (C04); of a
            chord whose header failed that is the body (H04).
          workflow_id: a name of your own: the nodes are ``<name>.1`` and so on. A second run under the name of one that
            is known is refused.

        Raises:
          WorkflowExists: there is a workflow of this name.
          MessageTooLarge, SerializationError, ServerUnavailable: nothing was accepted.
        """
        return run(
            self.elements(),
            args=args,
            delay=0.0 if delay is None else to_seconds(delay, field="delay", allow_zero=True),
            on_success=callbacks(on_success, field="on_success"),
            on_failure=callbacks(on_failure, field="on_failure"),
            workflow_id=workflow_id,
        )


@dataclass(frozen=True, kw_only=True)
class Step(Canvas):
    """One message.

    Attributes:
      immutable: the result of what comes before is not passed; None leaves it to the message and its actor (C02).
      into: the keyword argument that takes it; the first argument when None (C01).
      delay: seconds before it runs, counted from when it is its turn.
    """

    message: Message[Any]
    immutable: bool | None = None
    into: str | None = None
    delay: float = 0.0

    def __str__(self) -> str:
        return self.message.actor_name

    def elements(self) -> list[Element]:
        task = Task(message=self.message, immutable=self.immutable, into=self.into, delay=self.delay)
        return attach([task], good=calls(self.on_success), bad=calls(self.on_failure))


@dataclass(frozen=True, kw_only=True)
class Chain(Canvas):
    """One after the other. What one comes to is the first argument of the next."""

    steps: tuple[Canvas, ...]

    def __str__(self) -> str:
        return f"chain({', '.join(map(str, self.steps))})"

    def elements(self) -> list[Element]:
        strand = [element for part in self.steps for element in part.elements()]
        return attach(strand, good=calls(self.on_success), bad=calls(self.on_failure))


@dataclass(frozen=True, kw_only=True)
class Group(Canvas):
    """All at once. It comes to the list of what they come to, in declared order (G01)."""

    members: tuple[Canvas, ...]
    policy: Policy = "fail"

    def __str__(self) -> str:
        return f"group({_shown(self.members)})"

    def elements(self) -> list[Element]:
        strands = [strand for member in self.members for strand in _strands_of(member)]
        failures = calls(self.on_failure)
        for strand in strands:
            attach(strand, bad=failures)
        return attach([Parallel(members=strands, need=needed(self.policy, len(strands)))], good=calls(self.on_success))


@dataclass(frozen=True, kw_only=True)
class Chord(Canvas):
    """A group, and a body that gets its list."""

    header: Group
    body: Canvas

    def __str__(self) -> str:
        return f"chord([{_shown(self.header.members)}], {self.body})"

    def elements(self) -> list[Element]:
        strand = [*self.header.elements(), *self.body.elements()]
        return attach(strand, good=calls(self.on_success), bad=calls(self.on_failure, told=strand[-1]))


def step(
    message: Message[Any],
    *,
    immutable: bool | None = None,
    into: str | None = None,
    delay: Duration | None = None,
    on_success: Callbacks = None,
    on_failure: Callbacks = None,
) -> Step:
    """A message with what only its place in a workflow needs.

    Args:
      immutable: do not pass it the result of what comes before (C02).
      into: pass that as this keyword argument.
      delay: a timedelta or seconds for which it waits when it is its turn.
      on_success: sent when it has succeeded, with its result (S24).
      on_failure: sent when it has failed for good or was revoked, with its id (R16).
    """
    if not isinstance(message, Message):
        raise TypeError(f"a step is a message, as actor.message(...) makes one, not {type(message).__name__}")
    return Step(
        message=message,
        immutable=immutable,
        into=into,
        delay=0.0 if delay is None else to_seconds(delay, field="delay", allow_zero=True),
        on_success=callbacks(on_success, field="on_success"),
        on_failure=callbacks(on_failure, field="on_failure"),
    )


def chain(*steps: Any, on_success: Callbacks = None, on_failure: Callbacks = None) -> Chain:
    """Messages and canvases, one after the other. What each comes to is the first argument of the next (C01), unless
    that is immutable (C02) or takes it by keyword. When one fails for good the later ones never run, and each is
    FAILURE with the same exception (C03).

    Args:
      on_success: sent when the last step has succeeded, with its result.
      on_failure: sent when one has failed for good, with its id.
    """
    parts = _parts(steps)
    if not parts:
        raise DeclarationError("a chain has at least one step; there is nothing to wait for in an empty one")
    return Chain(steps=parts, **_ends(on_success, on_failure))


def group(*members: Any, policy: Policy = "fail", on_success: Callbacks = None, on_failure: Callbacks = None) -> Group:
    """Messages and canvases, all at once. One that fails keeps no other from running (G02).

    Args:
      policy: when the group has succeeded. In a chain what follows runs then, and gets the list; an exception stands in
        the place of each member that did not succeed.
      on_success: sent once, when the group has succeeded, with the list.
      on_failure: sent once for each member that failed, with the id of the step that did (G08).
    """
    parts = _parts(members)
    needed(policy, len(parts))
    return Group(members=parts, policy=policy, **_ends(on_success, on_failure))


def chord(
    header: Any, body: Any, *, policy: Policy = "fail", on_success: Callbacks = None, on_failure: Callbacks = None
) -> Chord:
    """A group, and a body that gets the list of what its members come to, in declared order (H01).

    The body runs exactly once, when all members have ended; or it is marked FAILURE with ``ChordError`` (H02, H03).

    Args:
      header: the members, or a group.
      policy: ``"fail"``: all members must succeed. ``"partial"``: the body runs in any case, and finds an exception in
        the place of each member that did not succeed. A whole number or a share (0.9): as with ``"partial"``, if at
        least so many have succeeded.
      on_success: sent when the body has succeeded, with its result.
      on_failure: sent once, when the header or the body has failed, with the id of the body (H04).
    """
    found = header if isinstance(header, Group) else group(*_parts((header,)))
    if policy != "fail":
        needed(policy, len(found.members))
        found = replace(found, policy=policy)
    (part,) = _parts((body,)) if isinstance(body, Canvas | Message) else (chain(body),)
    return Chord(header=found, body=part, **_ends(on_success, on_failure))


def needed(policy: Policy, size: int) -> int:
    """How many of ``size`` members must succeed.

    Raises:
      DeclarationError: that is no policy, or more than there are.
    """
    if policy == "fail":
        return size
    if policy == "partial":
        return 0
    if isinstance(policy, bool) or not isinstance(policy, int | float):
        hint = did_you_mean(policy, ("fail", "partial"))
        raise DeclarationError(f'policy is "fail", "partial", a whole number or a share, not {policy!r}{hint}')
    if isinstance(policy, int):
        if policy < 1:
            raise DeclarationError(f'policy={policy} is too few: at least 1 member, or "partial" for any number')
        if policy > max(size, 1):
            raise DeclarationError(f"policy={policy} asks for more than there is: the group has {size} members")
        return policy
    if not 0 < policy <= 1:
        raise DeclarationError(f"policy={policy!r} is a share, so it is above 0 and at most 1")
    # Of ten members 0.7 are seven, whatever 0.7 * 10 is in binary.
    return min(size, -int(-(policy * size - 1e-9) // 1))


def callbacks(given: Callbacks, *, field: str) -> tuple[Message[Any], ...]:
    """One message or several.

    Raises:
      TypeError: that is none.
    """
    several = isinstance(given, Iterable) and not isinstance(given, Message)
    found: tuple[Any, ...] = () if given is None else tuple(given) if several else (given,)  # type: ignore[arg-type]
    for message in found:
        if not isinstance(message, Message):
            raise TypeError(f"{field} takes messages, as actor.message(...) makes them, not {type(message).__name__}")
    return found


def _ends(on_success: Callbacks, on_failure: Callbacks) -> dict[str, tuple[Message[Any], ...]]:
    return {
        "on_success": callbacks(on_success, field="on_success"),
        "on_failure": callbacks(on_failure, field="on_failure"),
    }


def _parts(given: tuple[Any, ...]) -> tuple[Canvas, ...]:
    """The parts that were named one by one, or in one iterable."""
    if len(given) == 1 and not isinstance(given[0], Canvas | Message):
        try:
            given = tuple(given[0])
        except TypeError:
            given = (given[0],)
    parts = []
    for part in given:
        if isinstance(part, Message):
            part = Step(message=part)
        if not isinstance(part, Canvas):
            raise TypeError(
                f"a part of a workflow is a message, as actor.message(...) makes one, or a chain, group or chord; not "
                f"{type(part).__name__}"
            )
        parts.append(part)
    return tuple(parts)


def _strands_of(member: Canvas) -> list[list[Element]]:
    """A member of a group: one strand; or those of a group in a group, which counts as its members (G06)."""
    if isinstance(member, Group) and member.policy == "fail" and not (member.on_success or member.on_failure):
        return [strand for part in member.members for strand in _strands_of(part)]
    return [member.elements()]


def _shown(members: tuple[Canvas, ...]) -> str:
    """A few of many."""
    shown = [str(member) for member in members[:3]]
    return ", ".join(shown + ([f"... {len(members) - 3} more"] if len(members) > 3 else []))
