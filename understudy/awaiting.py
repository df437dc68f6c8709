"""What ``async for item in each(...)`` goes through: the loop of ``looping``, with what blocks off the event loop.

A body may be interrupted while a thread fetches the next item for it. What is fetched then is kept, and comes next if
the body goes on; if it does not, that item was not begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from .asking import ask
from .errors import DeclarationError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_END: Any = object()


class Steps(Protocol[T_co]):
    """A loop in steps. Each of them may ask the server.

    Attributes:
      taker: the task that was given the current item.
    """

    taker: asyncio.Task[Any] | None

    @property
    def window(self) -> int: ...
    def begin(self) -> Iterator[Any] | AsyncIterable[Any]: ...
    def through(self, window: Sequence[Any]) -> Iterator[T_co]: ...
    def hold_back(self) -> None: ...
    def give_again(self) -> None: ...
    def finish(self) -> None: ...


class Awaited(Generic[T]):
    """The async iterator over a loop. What gives the items may be async, too; one that is not is asked in a thread."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._source: Iterator[Any] | AsyncIterator[Any] | None = None
        self._window: Iterator[T] | None = None
        self._gathered: list[Any] = []
        #: The answer to a question that the body did not wait for, or what that met.
        self._unseen: list[tuple[Any, BaseException | None]] = []

    def __aiter__(self) -> Awaited[T]:
        return self

    async def __anext__(self) -> T:
        self._take()
        if self._source is None:
            found = await self._ask(self._steps.begin)
            self._source = aiter(found) if isinstance(found, AsyncIterable) else found
        while True:
            if self._window is not None:
                item: T = await self._next(self._window)
                if item is not _END:
                    return item
                self._window = None
            window = await self._gather(self._source)
            if not window:
                await self._ask(self._steps.finish)
                self._steps.taker = None
                raise StopAsyncIteration
            self._window = self._steps.through(window)

    def _take(self) -> None:
        """The current item is over, unless somebody else still works on it."""
        me, taker = asyncio.current_task(), self._steps.taker
        if taker is not None and taker is not me and not taker.done():
            raise DeclarationError(
                "two tasks share a loop over each(...): an item is over when the next one is asked for, so that of the "
                "other task would count as done; give each task a loop of its own (each(..., name=...)), or work on "
                "several things at once within one item"
            )
        self._steps.taker = me

    async def _next(self, window: Iterator[T]) -> T:
        if self._has_an_item:
            self._steps.give_again()
        try:
            found: T = await self._ask(next, window, _END)
        except BaseException:
            if self._has_an_item:
                self._steps.hold_back()
            raise
        return found

    @property
    def _has_an_item(self) -> bool:
        return any(error is None and value is not _END for value, error in self._unseen)

    async def _gather(self, source: Iterator[Any] | AsyncIterator[Any]) -> list[Any]:
        if not isinstance(source, AsyncIterator):
            return list(await self._ask(list, islice(source, self._steps.window)))
        async for item in source:
            self._gathered.append(item)
            if len(self._gathered) == self._steps.window:
                break
        window, self._gathered = self._gathered, []
        return window

    async def _ask(self, function: Callable[..., Any], *args: Any) -> Any:
        """What ``function`` gives, or gave when the body was interrupted before it heard."""
        if not self._unseen:
            await ask(partial(self._answer, function, *args))
        value, error = self._unseen.pop()
        if error is not None:
            raise error
        return value

    def _answer(self, function: Callable[..., Any], *args: Any) -> None:
        try:
            self._unseen.append((function(*args), None))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is heard
            self._unseen.append((None, error))
