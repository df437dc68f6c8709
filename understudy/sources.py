"""Where the items of a loop come from, how they are named, and where they go on."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Generic, TypeVar

from . import serialization
from .errors import DeclarationError, ItemsChanged
from .ledger import Ledger, link

T = TypeVar("T")
#: An attribute or mapping key of an item, or a function of it.
Name = str | Callable[[T], Any]


class Source(Generic[T]):
    """Either ``items`` or what ``cursor`` gives."""

    def __init__(
        self,
        items: Iterable[T] | AsyncIterable[T] | None,
        cursor: Callable[[Any], Iterable[T] | AsyncIterable[T]] | None,
        key: Name[T],
        position: Name[T],
    ) -> None:
        self._items: Iterable[T] | AsyncIterable[T] = () if items is None else items
        self._cursor = cursor
        self._key = key
        self._position = position

    def all(self) -> Iterator[T] | AsyncIterable[T]:
        """All of them."""
        return _iterated(self._items)

    def rest(self, ledger: Ledger) -> Iterator[T] | AsyncIterable[T]:
        """The items behind the first so many.

        Raises:
          ItemsChanged: the first so many are not those that are over.
        """
        if isinstance(self._items, AsyncIterable):
            return self._rest(self._items, ledger)
        source, chain, count = iter(self._items), "", 0
        for count, item in enumerate(islice(source, ledger.position), 1):
            chain = link(chain, self.key(item, count - 1))
        self._check(ledger, chain, count)
        return source

    async def _rest(self, items: AsyncIterable[T], ledger: Ledger) -> AsyncIterator[T]:
        chain, count, checked = "", 0, False
        async for item in items:
            if count < ledger.position:
                chain = link(chain, self.key(item, count))
                count += 1
                continue
            if not checked:
                self._check(ledger, chain, count)
                checked = True
            yield item
        self._check(ledger, chain, count)

    def _check(self, ledger: Ledger, chain: str, count: int) -> None:
        if chain != ledger.chain or count != ledger.position:
            raise ItemsChanged(
                f"the first {ledger.position:,} items of each(ordered=True) are not those that were done before, or in "
                "another order; nothing was repeated. Give the same items in the same order in every execution, or "
                "leave out ordered and send the message anew"
            )

    def behind(self, ledger: Ledger) -> Iterator[T] | AsyncIterable[T]:
        """The items behind a position."""
        assert self._cursor is not None
        return _iterated(self._cursor(serialization.loads(ledger.after) if ledger.position else None))

    def key(self, item: T, index: int) -> str:
        """What names ``item``, the ``index``-th, in this loop.

        Raises:
          DeclarationError: nothing does.
        """
        name = self._named(item, self._key)
        if name is None or str(name) == "":
            raise DeclarationError(f"item {index} has no {self._key!r}, by which it would be remembered")
        return str(name)

    def position(self, item: T) -> str:
        """What the cursor is called with to go on behind ``item``, encoded.

        Raises:
          DeclarationError: the item has no position.
          SerializationError: it cannot travel.
        """
        value = self._named(item, self._position)
        if value is None:
            raise DeclarationError(f"an item has no {self._position!r}, by which the cursor would find it again")
        return serialization.dumps(value, root="each(position)").decode()

    def _named(self, item: T, by: Name[T]) -> Any:
        if callable(by):
            return by(item)
        return item.get(by) if isinstance(item, Mapping) else getattr(item, by, None)


def _iterated(items: Iterable[T] | AsyncIterable[T]) -> Iterator[T] | AsyncIterable[T]:
    return items if isinstance(items, AsyncIterable) else iter(items)
