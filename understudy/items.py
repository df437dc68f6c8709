"""``each``: work over many items that remembers which are done (P4).

An intent is stored before an item is given out and a mark after it, in one round trip per item that also
confirms that this process still holds the message. After a retry, a crash or a deploy the next execution goes on
with the first item that has no mark. An item whose intent stands without a mark was in flight when a process
died: it is *in doubt*, and the actor says whether such items are repeated or skipped and reported.

An item is over when the loop asks for the next one. One whose body raised is not: the next execution gets it again.
One that the loop left by ``break`` is over when the message succeeds; when the body raises afterwards, it cannot
be told from one whose body raised.

Memory: one window of ``WINDOW`` items in the worker; in Redis one hash field per distinct item, removed with the
record of the message.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import Any, Generic, TypeVar

from . import clock
from .brokers.redis import RedisBroker
from .brokers.sharing import limit_of
from .errors import DeclarationError, HandBack
from .execution import Execution, current
from .options import OnDoubt, choose
from .outcome import Outcome
from .progress import Reporter

T = TypeVar("T")

#: How many items are looked up at once when an execution goes on after another.
WINDOW = 500
#: The part of its time limit after which a delivery gives out no more items.
ENOUGH = 0.8
DONE = "1"
FAILED = "!"
#: Between the name of a loop and the key of an item.
SEPARATOR = "\x1f"
#: The reason recorded for an item that was in flight when a process died.
IN_DOUBT = "in doubt: a worker died while it worked on this item; it may have been done, so it was not repeated"


def each(
    items: Iterable[T],
    *,
    key: str | Callable[[T], str],
    on_doubt: OnDoubt = "repeat",
    total: int | None = None,
    name: str = "",
) -> Items[T]:
    """Iterate over ``items``, remembering which are done. Reports progress, stops cleanly on shutdown.

    The time limit of the message bounds each delivery, not all the items together: when 80 % of it have passed and
    this delivery has finished at least one item, the message is handed back at the next item, and another delivery
    goes on at once. No attempt is burned. So a single item must not take longer than the rest, a fifth of the limit.

    Called outside of a worker it gives every distinct item once and records nothing.

    Args:
      items: anything that yields the same items in every execution of the message.
      key: names an item: an attribute or mapping key of it, or a function. Items whose keys are the same as text
        are one.
      on_doubt: what becomes of an item that was in flight when a process died.
      total: how many items there are, for progress, when ``items`` has no length.
      name: tells this loop from the others of the same body, when there are several.

    Raises:
      DeclarationError: a wrong ``on_doubt``, a second loop of the same name, or an item without a key.
    """
    choose(on_doubt, ("repeat", "skip"), field="each(on_doubt)")
    if total is None and isinstance(items, Sized):
        total = len(items)
    execution = current()
    if execution is None:
        return Items(items, _Forgotten(), key=key, total=total, execution=None)
    prefix = f"{name}{SEPARATOR}"
    if SEPARATOR in name or any(isinstance(p, _Remembered) and p.prefix == prefix for p in execution.contributors):
        raise DeclarationError(
            f"a loop over each(..., name={name!r}) was begun already in this body, and what is done in one would "
            "read as done in the other; give each loop a name of its own"
        )
    store = _Remembered(execution, on_doubt, prefix)
    execution.contributors.append(store)
    execution.uses_items = True
    return Items(items, store, key=key, total=total, execution=execution)


class Items(Generic[T]):
    """The iterable that ``each`` gives, and what is known of its items afterwards."""

    def __init__(
        self,
        items: Iterable[T],
        store: _Store,
        *,
        key: str | Callable[[T], str],
        total: int | None,
        execution: Execution | None,
    ) -> None:
        self._items = items
        self._store = store
        self._key = key
        self._total = total
        self._execution = execution
        #: Key -> reason, of the items that failed for good, in this execution and earlier ones.
        self.failures: dict[str, str] = {}
        #: How many items were put off to the next execution.
        self.deferred = 0
        self._enough = _when_to_end(execution)
        #: Whether an item was finished in this delivery. Without, handing back would go on for ever.
        self._finished = False

    @property
    def successful(self) -> int:
        """How many distinct items are done, in this execution and earlier ones. Asks the server."""
        return self._store.done()

    def fail(self, reason: str) -> None:
        """The current item failed for good: it is recorded, and not tried again."""
        self.failures[self._current()] = reason
        self._store.mark = FAILED + reason

    def defer(self) -> None:
        """The current item is put off: the next execution of the message gets it again."""
        self._store.put_off.add(self._current())
        self.deferred += 1
        self._store.mark = ""

    def __iter__(self) -> Iterator[T]:
        source = iter(self._items)
        index = 0
        while window := list(islice(source, WINDOW)):
            keys = [self._name(item, index + offset) for offset, item in enumerate(window)]
            marks = self._store.marks(keys)
            for item, key, mark in zip(window, keys, marks, strict=True):
                index += 1
                if self._settled_before(key, mark) or key in self._store.put_off:
                    self._passed(index)
                    continue
                self._stop_if_told()
                if not self._open(key):
                    self._passed(index)
                    continue
                yield item
                self._store.over = True
                self._finished = self._finished or self._store.mark != ""
                self._passed(index)
        self._store.advance("")

    def _current(self) -> str:
        if not self._store.open_key:
            raise RuntimeError("no item is being worked on: call fail() and defer() inside the loop")
        return self._store.open_key

    def _open(self, key: str) -> bool:
        """Close the item before and open this one; False when there is nothing to do for it."""
        verdict, mark = self._store.advance(key)
        if verdict == "doubt":
            self.failures[key] = IN_DOUBT
            self._store.resume(key, FAILED + IN_DOUBT)
            return False
        return not (verdict == "closed" and self._settled_before(key, mark))

    def _settled_before(self, key: str, mark: str) -> bool:
        if mark.startswith(FAILED):
            self.failures[key] = mark.removeprefix(FAILED)
        return mark == DONE or mark.startswith(FAILED)

    def _passed(self, index: int) -> None:
        reporter = Reporter.of(self._execution)
        if reporter is not None:
            reporter.update(index, self._total)

    def _stop_if_told(self) -> None:
        if self._execution is not None and self._execution.stopping.is_set():
            self._store.advance("")
            raise HandBack("the worker is stopping; the rest of the items is for another one")
        if self._finished and clock.monotonic() >= self._enough:
            self._store.advance("")
            raise HandBack("the time limit is near; the rest of the items is for the next delivery")

    def _name(self, item: T, index: int) -> str:
        if callable(self._key):
            name: Any = self._key(item)
        elif isinstance(item, Mapping):
            name = item.get(self._key)
        else:
            name = getattr(item, self._key, None)
        if name is None or str(name) == "":
            raise DeclarationError(f"item {index} has no {self._key!r}, by which it would be remembered")
        return str(name)


def _when_to_end(execution: Execution | None) -> float:
    """When the delivery gives out no more items, by the clock that measures."""
    if execution is None:
        return math.inf
    broker = execution.actor.broker
    if not isinstance(broker, RedisBroker):
        return math.inf
    held = broker.holds.get((execution.hold.stream, execution.hold.entry))
    if held is None or held.began_at is None:
        return math.inf
    return held.began_at + ENOUGH * limit_of(broker, held)


class _Store:
    """Which items are closed. ``open_key`` is the one given out; ``mark`` is what it will be closed with.

    Attributes:
      over: the loop has asked for the next item, so the one given out is over, whatever follows.
      put_off: the items that were put off in this execution.
    """

    def __init__(self) -> None:
        self.open_key, self.mark = "", DONE
        self.over = False
        self.put_off: set[str] = set()

    def opened(self, key: str) -> None:
        """``key`` (empty for none) is given out now."""
        self.open_key, self.mark = key, DONE
        self.over = False

    def resume(self, key: str, mark: str) -> None:
        """``key`` was not given out; it is closed with ``mark`` when the next one is opened."""
        self.open_key, self.mark, self.over = key, mark, True

    def marks(self, keys: list[str]) -> list[str]:
        raise NotImplementedError

    def advance(self, key: str) -> tuple[str, str]:
        raise NotImplementedError

    def done(self) -> int:
        raise NotImplementedError


class _Forgotten(_Store):
    """Outside of a worker: known for as long as the iteration lasts."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, str] = {}

    def marks(self, keys: list[str]) -> list[str]:
        return [self._known.get(key, "") for key in keys]

    def advance(self, key: str) -> tuple[str, str]:
        if self.open_key and self.mark:
            self._known[self.open_key] = self.mark
        known = self._known.get(key, "")
        self.opened("" if known else key)
        return ("closed", known) if known else ("open", "")

    def done(self) -> int:
        return sum(mark == DONE for mark in self._known.values())


class _Remembered(_Store):
    """In a worker: kept on the server, under the hold of the execution."""

    def __init__(self, execution: Execution, on_doubt: OnDoubt, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix
        self._execution = execution
        self._on_doubt = on_doubt
        #: Set while the server is asked for the next item: it was not given out then.
        self._opening = ""

    def marks(self, keys: list[str]) -> list[str]:
        execution = self._execution
        return execution.records.marks(execution.items_scope, [self.prefix + key for key in keys])

    def advance(self, key: str) -> tuple[str, str]:
        execution = self._execution
        execution.confirm()
        self._opening = key
        verdict, mark = execution.records.item(
            execution.items_scope,
            execution.hold,
            close=self.open_key and self.prefix + self.open_key,
            mark=self.mark,
            opens=key and self.prefix + key,
            on_doubt=self._on_doubt,
        )
        execution.confirm(verdict != "lost")
        self._opening = ""
        self.opened(key if verdict in ("open", "repeat") else "")
        return verdict, mark

    def done(self) -> int:
        return self._execution.records.item_count(self._execution.items_scope, self.prefix)

    def contribute(self, outcome: Outcome, exception: BaseException | None) -> None:
        """What the server does not know yet goes with the outcome."""
        if self._opening:
            outcome.marks[self.prefix + self._opening] = ""
        if not self.open_key:
            return
        if self.mark != DONE or self.over or exception is None:
            outcome.marks[self.prefix + self.open_key] = self.mark
        elif isinstance(exception, Exception):
            outcome.marks[self.prefix + self.open_key] = ""
        # Else it was interrupted from outside in the middle of the item: it stays in doubt.
