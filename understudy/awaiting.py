"""What ``async for item in each(...)`` goes through: the loop of ``looping``, with what blocks off the event loop."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from .asking import ask

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_END: Any = object()


class Steps(Protocol[T_co]):
    """A loop in steps. Each of them may ask the server."""

    @property
    def window(self) -> int: ...
    def begin(self) -> Iterator[Any] | AsyncIterable[Any]: ...
    def through(self, window: Sequence[Any]) -> Iterator[T_co]: ...
    def finish(self) -> None: ...


class Awaited(Generic[T]):
    """The async iterator over a loop. What gives the items may be async, too; one that is not is asked in a thread."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._source: Iterator[Any] | AsyncIterator[Any] | None = None
        self._window: Iterator[T] | None = None

    def __aiter__(self) -> Awaited[T]:
        return self

    async def __anext__(self) -> T:
        if self._source is None:
            found = await ask(self._steps.begin)
            self._source = aiter(found) if isinstance(found, AsyncIterable) else found
        while True:
            if self._window is not None:
                item: T = await ask(next, self._window, _END)
                if item is not _END:
                    return item
                self._window = None
            window = await self._gather(self._source)
            if not window:
                await ask(self._steps.finish)
                raise StopAsyncIteration
            self._window = self._steps.through(window)

    async def _gather(self, source: Iterator[Any] | AsyncIterator[Any]) -> list[Any]:
        if not isinstance(source, AsyncIterator):
            return await ask(list, islice(source, self._steps.window))
        window: list[Any] = []
        async for item in source:
            window.append(item)
            if len(window) == self._steps.window:
                break
        return window
