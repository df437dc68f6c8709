"""The loop that ``each`` gives: what is over is passed by, the rest is opened, given out and closed, in turn."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from . import clock
from .awaiting import Awaited
from .errors import DeclarationError, HandBack, TooManyFailures
from .execution import Execution, Terminated
from .ledger import Ledger
from .progress import Reporter
from .remembering import FAILED, Store, settled
from .sources import Source

T = TypeVar("T")

#: How many items are looked up at once, and so in memory, unless ``each`` is told otherwise.
WINDOW = 500
#: The part of its time limit after which a delivery gives out no more items.
ENOUGH = 0.8
#: Reasons are cut to this many characters.
LONGEST_REASON = 1_000
#: Where the total is not known, a part is judged after so many items.
ENOUGH_TO_JUDGE = 100
#: How many reasons ``TooManyFailures`` tells, and how much of each.
TOLD, TOLD_CHARACTERS = 5, 200
#: The reason recorded for an item that was in flight when a process died.
IN_DOUBT = "in doubt: a worker died while it worked on this item; it may have been done, so it was not repeated"


@dataclass(frozen=True)
class Limits:
    """What ``each`` was told (see there)."""

    total: int | None
    batch: int
    max_failures: float | None
    reasons: int
    window: int = WINDOW


@dataclass(slots=True)
class _Entry(Generic[T]):
    """An item on its way. ``opens``: it is not over, as far as is known, and to be given out."""

    item: T
    key: str
    mark: str
    after: str
    opens: bool = False


class Items(Generic[T]):
    """The iterable that ``each`` gives, for ``for`` and ``async for``, and what is known of its items: in this
    execution and earlier ones."""

    def __init__(self, source: Source[T], store: Store, execution: Execution | None, limits: Limits) -> None:
        self._source = source
        self._store = store
        self._execution = execution
        self._limits = limits
        #: Key -> reason, of the items that failed for good, at most ``each(reasons)`` of them.
        self.failures: dict[str, str] = {}
        #: How many items were put off to the next execution.
        self.deferred = 0
        self._reporter = Reporter.of(execution)
        self._enough = _when_to_end(execution)
        #: Whether an item was finished in this delivery. Without, handing back would go on for ever.
        self._finished = False
        self._index = 0
        self.taker: asyncio.Task[Any] | None = None

    @property
    def successful(self) -> int:
        """How many items are done; not the one that is worked on."""
        return self._store.load().done

    @property
    def failed(self) -> int:
        """How many items failed for good, with those in doubt that were skipped; not the one that is worked on."""
        return self._store.load().failed

    @property
    def in_doubt(self) -> int:
        """How many items were in flight when a process died, and were repeated or skipped."""
        return self._store.load().in_doubt

    def fail(self, reason: str) -> None:
        """The current item failed for good: it is recorded, and not tried again."""
        key, reason = self._current(), reason[:LONGEST_REASON]
        if not self._store.mark:
            self.deferred -= 1
        self._store.mark = FAILED + reason if self._note(key, reason) else FAILED

    def defer(self) -> None:
        """The current item is put off: the next execution of the message gets it again."""
        self.failures.pop(self._current(), None)
        if self._store.mark:
            self.deferred += 1
        self._store.mark = ""

    def __iter__(self) -> Iterator[T]:
        source = self.begin()
        if isinstance(source, AsyncIterable):
            raise DeclarationError("each() is given async items: loop over it with `async for`, in an async body")
        while window := list(islice(source, self.window)):
            yield from self.through(window)
        self.finish()

    def __aiter__(self) -> Awaited[T]:
        return Awaited(self)

    def hold_back(self) -> None:
        """The current item was fetched for a body that was interrupted meanwhile, and did not reach it."""
        self._store.hold_back()

    def give_again(self) -> None:
        """It reaches the body now."""
        self._store.give_again()

    @property
    def window(self) -> int:
        """How many items are looked up at once."""
        batch, most = self._limits.batch, self._limits.window
        return max(batch, most - most % batch)

    def through(self, window: Sequence[T]) -> Iterator[T]:
        """Go through the next items of the source; those that are not over are given out."""
        batch = self._limits.batch
        line: list[_Entry[T]] = []
        keys: set[str] = set()  # of those in the line that are to be opened
        for entry in self._entries(window):
            entry.opens = not (settled(entry.mark) or entry.key in keys or entry.key in self._store.put_off)
            if not entry.opens and not line:
                self._pass_by(entry)
                continue
            line.append(entry)
            if entry.opens:
                keys.add(entry.key)
            if len(keys) == batch:
                yield from self._work(line)
                line, keys = [], set()
        if line:
            yield from self._work(line)

    def begin(self) -> Iterator[T] | AsyncIterable[T]:
        """The items from where an earlier execution stopped on."""
        if self._reporter is not None:
            self._reporter.begin_anew()
        store = self._store
        if store.place == "keys":
            return self._source.all()
        ledger = store.load()
        for key, mark in store.reasons(self._limits.reasons).items():
            self._note(key, mark.removeprefix(FAILED))
        self._index = ledger.position
        return self._source.behind(ledger) if store.place == "cursor" else self._source.rest(ledger)

    def finish(self) -> None:
        """The source has no more items."""
        if self._index:
            self._store.exchange(())
        self._judge(at_the_end=True)

    def _entries(self, window: Sequence[T]) -> list[_Entry[T]]:
        keys = [self._source.key(item, self._index + offset) for offset, item in enumerate(window)]
        store = self._store
        marks = store.lookup(keys)
        of_cursor = store.place == "cursor"
        afters = [self._source.position(item) for item in window] if of_cursor else [""] * len(window)
        if of_cursor and self._index and afters[0] == store.ledger.after:
            raise DeclarationError(
                "each(cursor=...): the cursor began with the item at the position that it was called with; it must "
                "begin with the one behind it"
            )
        return [_Entry(*parts) for parts in zip(window, keys, marks, afters, strict=True)]

    def _work(self, line: list[_Entry[T]]) -> Iterator[T]:
        """Open what is to be opened of ``line``, and give it out item by item."""
        store, given = self._store, False
        self._go_on_or_stop()
        verdicts = iter(store.exchange([entry.key for entry in line if entry.opens]))
        for entry in line:
            verdict, mark = next(verdicts) if entry.opens else ("closed", entry.mark)
            if verdict == "closed":
                entry.mark = mark
                self._pass_by(entry)
                continue
            if verdict == "doubt":
                reason = FAILED + IN_DOUBT if self._note(entry.key, IN_DOUBT) else FAILED
                store.ledger.in_doubt += 1
                store.settle(entry.key, reason, entry.after)
            else:
                if given:  # the first one has been confirmed with all of them
                    self._go_on_or_stop()
                    store.confirm()
                given = True
                store.begin(entry.key, entry.after)
                yield entry.item
                self._finished = self._finished or store.mark != ""
                store.end()
            self._passed()

    def _pass_by(self, entry: _Entry[T]) -> None:
        if entry.mark.startswith(FAILED):
            self._note(entry.key, entry.mark.removeprefix(FAILED))
        self._store.pass_by(entry.key, entry.after)
        self._passed()

    def _passed(self) -> None:
        self._index += 1
        if self._reporter is not None:
            self._reporter.update(self._index, self._limits.total)

    def _note(self, key: str, reason: str) -> bool:
        """Keep the reason of a failure; False when there are enough of them."""
        if key in self.failures or len(self.failures) < self._limits.reasons:
            self.failures[key] = reason
            return True
        return False

    def _current(self) -> str:
        if not self._store.open_key:
            raise RuntimeError("no item is being worked on: call fail() and defer() inside the loop")
        return self._store.open_key

    def _go_on_or_stop(self) -> None:
        # The sign to stop is looked at first: in a process of its own, that is what asks the worker for news.
        stopping = self._execution is not None and self._execution.stopping.is_set()
        if self._execution is not None and self._execution.terminated:
            self._store.exchange(())
            raise Terminated
        if stopping:
            self._store.exchange(())
            raise HandBack("the worker is stopping; the rest of the items is for another one")
        self._judge()
        if self._finished and clock.monotonic() >= self._enough:
            self._store.exchange(())
            raise HandBack("the time limit is near; the rest of the items is for the next delivery")

    def _judge(self, *, at_the_end: bool = False) -> None:
        """Stop when too many items failed."""
        limit = self._limits.max_failures
        if limit is None:
            return
        ledger, allowed = self._store.ledger, limit
        if isinstance(limit, float):
            seen = self._index if at_the_end else max(self._index, ENOUGH_TO_JUDGE)
            allowed = limit * (seen if self._limits.total is None else self._limits.total)
        if ledger.failed <= allowed:
            return
        if not at_the_end:
            self._store.exchange(())
        raise self._too_many(ledger)

    def _too_many(self, ledger: Ledger) -> TooManyFailures:
        first = {key: reason[:TOLD_CHARACTERS] for key, reason in islice(self.failures.items(), TOLD)}
        text = f"{ledger.failed:,} items failed, {ledger.done:,} are done"
        if self._limits.total is not None:
            text += f", of {self._limits.total:,}"
        if ledger.in_doubt:
            text += f"; {ledger.in_doubt:,} were in doubt"
        text += f"; max_failures={self._limits.max_failures} allows no more"
        if first:
            text += f". The first reasons: {'; '.join(dict.fromkeys(first.values()))}"
        return TooManyFailures(text, done=ledger.done, failed=ledger.failed, in_doubt=ledger.in_doubt, first=first)


def _when_to_end(execution: Execution | None) -> float:
    """When the delivery gives out no more items, by the clock that measures."""
    if execution is None or execution.limits is None:
        return math.inf
    return execution.began_at + ENOUGH * execution.limits.first
