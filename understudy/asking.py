"""How a coroutine asks the server without stopping the event loop for everybody else.

Everything that reaches the server blocks. A body on the shared loop has that done by a few threads and waits for them;
one that has a loop of its own (a test, a child process) blocks nobody but itself, so it asks where it stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
R = TypeVar("R")

#: Threads that ask for all bodies of a loop. Each of them waits for one reply at a time.
THREADS = 8


class Asking:
    """The questions of one body.

    Attributes:
      open: how many threads are asking just now. Nothing is made of the body before they are back.
      tasks: those that the body has started, as long as somebody holds them.

    Args:
      pool: the threads that ask; None to ask in the thread of the body.
    """

    def __init__(self, pool: ThreadPoolExecutor | None) -> None:
        self.pool = pool
        self.open = 0
        self.tasks: WeakSet[asyncio.Task[Any]] = WeakSet()


_asking: ContextVar[Asking | None] = ContextVar("understudy_asking", default=None)


def asks_by(asking: Asking | None) -> None:
    """Let ``ask`` go by ``asking`` in this context."""
    _asking.set(asking)


def asking_here() -> Asking | None:
    """Whose questions are asked in this context."""
    return _asking.get()


async def ask(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What ``function`` returns or raises. A coroutine that is cancelled meanwhile learns it when the answer is there:
    half an exchange with the server would be worse than a late end. What no thread has begun is not asked any more."""
    asking = _asking.get()
    if asking is None or asking.pool is None:
        return function(*args, **kwargs)
    call = partial(copy_context().run, partial(function, *args, **kwargs))
    asking.open += 1
    question = asking.pool.submit(call)
    answer = asyncio.wrap_future(question)
    cancelled: asyncio.CancelledError | None = None
    try:
        while not answer.done():
            try:
                await asyncio.wait([answer])
            except asyncio.CancelledError as error:
                cancelled = cancelled or error
                if question.cancel():
                    break
    finally:
        asking.open -= 1
    if cancelled is not None:
        if not question.cancelled():
            answer.exception()  # seen: what the question met is of no interest any more
        raise cancelled
    return answer.result()


def aside(function: Callable[[], object]) -> bool:
    """Have a thread call ``function``, whose end nobody waits for. False, and nothing done, where there is none."""
    asking = _asking.get()
    if asking is None or asking.pool is None:
        return False
    try:
        asking.pool.submit(copy_context().run, function)
    except RuntimeError:
        return False  # the worker has ended
    return True


async def off_the_loop(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """As ``ask``; outside of a body in a thread of the event loop's own."""
    if _asking.get() is None:
        return await asyncio.to_thread(function, *args, **kwargs)
    return await ask(function, *args, **kwargs)
