"""``each``: work over many items that remembers which are done (P4).

An intent is stored before an item is given out and a mark after it, in one round trip per item that also
confirms that this process still holds the message. After a retry, a crash or a deploy the next execution goes on
with the first item that is not over. An item whose intent stands when a process died was in flight: it is *in doubt*,
and the actor says whether such items are repeated or skipped and reported.

An item is over when the loop asks for the next one. One whose body raised is not: the next execution gets it again.
One that the loop left by ``break`` is over when the message succeeds; when the body raises afterwards, it cannot
be told from one whose body raised.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Sized
from typing import Any, TypeVar, overload

from .errors import DeclarationError
from .execution import Execution, current
from .looping import IN_DOUBT, WINDOW, Items, Limits
from .options import OnDoubt, choose
from .remembering import SEPARATOR, Place, Remembered, Store
from .sources import Name, Source

__all__ = ["IN_DOUBT", "WINDOW", "Items", "each"]

T = TypeVar("T")

#: The most items that share a round trip: the server does nothing else meanwhile.
LARGEST_BATCH = 1_000


@overload
def each(
    items: Iterable[T] | AsyncIterable[T],
    *,
    key: Name[T],
    on_doubt: OnDoubt = "repeat",
    total: int | None = None,
    name: str = "",
    batch: int = 1,
    ordered: bool = False,
    max_failures: float | None = None,
    reasons: int = 1_000,
    window: int = WINDOW,
) -> Items[T]: ...


@overload
def each(
    *,
    cursor: Callable[[Any], Iterable[T] | AsyncIterable[T]],
    key: Name[T],
    position: Name[T] | None = None,
    on_doubt: OnDoubt = "repeat",
    total: int | None = None,
    name: str = "",
    batch: int = 1,
    max_failures: float | None = None,
    reasons: int = 1_000,
    window: int = WINDOW,
) -> Items[T]: ...


def each(
    items: Iterable[T] | AsyncIterable[T] | None = None,
    *,
    cursor: Callable[[Any], Iterable[T] | AsyncIterable[T]] | None = None,
    key: Name[T],
    position: Name[T] | None = None,
    on_doubt: OnDoubt = "repeat",
    total: int | None = None,
    name: str = "",
    batch: int = 1,
    ordered: bool = False,
    max_failures: float | None = None,
    reasons: int = 1_000,
    window: int = WINDOW,
) -> Items[T]:
    """Iterate over ``items``, remembering which are done. Reports progress, stops cleanly on shutdown and on revoke.

    The time limit (soft or hard) bounds each delivery, not all the items together: when 80 % of it have passed and
    this delivery has finished at least one item, the message is handed back at the next item, and another delivery
    goes on at once. No attempt is burned. So a single item must not take longer than the rest, a fifth of the limit.

    In an ``async def`` body say ``async for item in each(...)``: the event loop goes on while the server is asked. Then
    ``items``, or what ``cursor`` gives, may be async as well; if they are not, threads walk through them in turn.

    Called outside of a worker it gives every distinct item once and records nothing.

    Memory: in the worker one ``window`` of items, the reasons of failures, and the keys that were put off. On
    the server, until the record of the message goes:

    - by default a hash field per distinct item, 30 bytes and the key: they may come in any order;
    - with ``ordered`` or ``cursor`` one field for the loop and one for every open item, whatever the number: the
      position up to which everything is over takes the place of the marks. Keys must be distinct. From the first item
      that was put off on there is a field per item again, until the next execution has done that one.

    Args:
      items: anything that yields the same items in every execution of the message.
      cursor: in place of ``items``, for more than one wants to walk through again: called with None at first, and in a
        later execution with the position of an item up to which everything is over; it yields the items behind that.
      key: names an item: an attribute or mapping key of it, or a function. Items whose keys are the same as text
        are one.
      position: what ``cursor`` is called with for an item, named as ``key`` is; ``key`` itself when left out. Anything
        that may be in a message: a number, a text, a datetime, a list of them.
      on_doubt: what becomes of an item that was in flight when a process died.
      total: how many items there are, for progress, when ``items`` has no length.
      name: tells this loop from the others of the same body, when there are several.
      batch: so many items share a round trip. When a process dies, up to so many are in doubt: those that were begun
        or done since the last round trip, and those that it was about to begin. When the body ends in any other way,
        none is but one in whose middle it was interrupted. Up to 1,000.
      ordered: ``items`` come in the same order in every execution. It is checked. The items that are over are walked
        through, but not looked up.
      max_failures: how many items may fail, or which part of them (a float below 1); with one more the body is stopped
        by ``TooManyFailures``. A part is that of ``total``; where that is not known, of those gone through, from the
        hundredth on. None: all may fail. Those in doubt that were skipped count.
      reasons: how many failures are kept with their reason.
      window: so many items are drawn from the source at once, and looked up in one round trip; at least a ``batch``.
        Fewer than 500 where items are large, or are to be as they are when it is their turn.

    Raises:
      DeclarationError: a wrong argument, a second loop of the same name, an item without a key, a cursor that does not
        begin behind its position.
      ItemsChanged: the items that are over are not those that come first now.
      TooManyFailures: see ``max_failures``. Not retried.
    """
    choose(on_doubt, ("repeat", "skip"), field="each(on_doubt)")
    _check(items, cursor, position, batch, ordered, max_failures, reasons, window)
    if total is None:
        total = _length(items)
    place: Place = "cursor" if cursor is not None else "order" if ordered else "keys"
    execution = current()
    store = Store(place) if execution is None else _remembered(execution, place, on_doubt, name)
    source = Source(items, cursor, key, key if position is None else position)
    return Items(source, store, execution, Limits(total, batch, max_failures, reasons, window))


def _length(items: object) -> int | None:
    return len(items) if isinstance(items, Sized) else None


def _check(
    items: object,
    cursor: object,
    position: object,
    batch: object,
    ordered: object,
    max_failures: object,
    reasons: object,
    window: object,
) -> None:
    if (items is None) == (cursor is None):
        raise DeclarationError("each() is given either items or cursor=...")
    if cursor is None and position is not None:
        raise DeclarationError("each(position=...) is for each(cursor=...); give cursor too, or leave position out")
    if cursor is not None and ordered:
        raise DeclarationError("each(ordered=True) is for items; a cursor is ordered anyway: leave it out")
    if not isinstance(batch, int) or not 1 <= batch <= LARGEST_BATCH:
        raise DeclarationError(f"each(batch={batch!r}) is not a whole number from 1 to {LARGEST_BATCH:,}")
    if not isinstance(window, int) or not 1 <= window <= WINDOW:
        raise DeclarationError(f"each(window={window!r}) is not a whole number from 1 to {WINDOW:,}")
    if not isinstance(reasons, int) or reasons < 0:
        raise DeclarationError(f"each(reasons={reasons!r}) is not a whole number that is not negative")
    is_part = isinstance(max_failures, float) and 0 < max_failures < 1
    is_count = isinstance(max_failures, int) and not isinstance(max_failures, bool) and max_failures >= 0
    if max_failures is not None and not is_part and not is_count:
        raise DeclarationError(
            f"each(max_failures={max_failures!r}) is neither a whole number nor a part, a float between 0 and 1"
        )


def _remembered(execution: Execution, place: Place, on_doubt: OnDoubt, name: str) -> Remembered:
    if SEPARATOR in name or any(
        isinstance(part, Remembered) and part.prefix == name + SEPARATOR for part in execution.contributors
    ):
        raise DeclarationError(
            f"a loop over each(..., name={name!r}) was begun already in this body, and what is done in one would "
            "read as done in the other; give each loop a name of its own"
        )
    store = Remembered(place, execution, on_doubt, name)
    execution.contributors.append(store)
    execution.uses_items = True
    return store
