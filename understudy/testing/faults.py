"""Fault injection at the one seam through which everything reaches the server.

An *exchange* is one script or one command; its name is the script's (``enqueue``, ``claim``, ``started``, ``item``,
``progress``, ``settle``, ``read``, ``promote``, ``reap`` ...), ``fetch`` for the read that hands out messages, or the
command's. A fault hits before the exchange, so that nothing happened, or after it took effect, as when the reply is
cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NoReturn

When = Literal["before", "after"]

#: So many pauses in one outage mean that it never ends.
MAX_PAUSES = 1_000


class SimulatedKill(BaseException):
    """The worker process has died here, as by kill -9. Only ``drain`` catches it."""


@dataclass
class _Plan:
    name: str | None
    nth: int
    when: When
    times: int
    kill: bool
    error: Exception | None = None

    def hits(self, name: str, when: When) -> bool:
        if when != self.when or self.times <= 0 or (self.name is not None and self.name != name):
            return False
        self.nth -= 1
        if self.nth > 0:
            return False
        self.times -= 1
        return True


class Faults:
    """Plans faults; counts what happened.

    Attributes:
      exchanges: the names of all exchanges so far, in order.
      pauses: how often an outcome waited for the server.
    """

    def __init__(self) -> None:
        self.exchanges: list[str] = []
        self.pauses = 0
        self._plans: list[_Plan] = []
        self._down = False
        self._dead = False

    def fail(
        self,
        name: str | None = None,
        *,
        nth: int = 1,
        when: When = "before",
        times: int = 1,
        error: Exception | None = None,
    ) -> None:
        """The nth exchange from now (of that name) and the ``times - 1`` after it fail with a lost connection, or with
        ``error``, as the client raises it: the server's answer is an error, and nothing took effect."""
        self._plans.append(_Plan(name, nth, when, times, kill=False, error=error))

    def kill_at(self, name: str, *, nth: int = 1, when: When = "before") -> None:
        """The worker dies at the nth exchange of that name from now, before or after it took effect."""
        self._plans.append(_Plan(name, nth, when, 1, kill=True))

    def kill_worker(self) -> NoReturn:
        """The worker dies here: call it from within a body. Nothing that it does afterwards has an effect."""
        self._dead = True
        raise SimulatedKill

    @contextmanager
    def outage(self) -> Iterator[None]:
        """While it lasts no exchange works."""
        self._down = True
        try:
            yield
        finally:
            self._down = False

    @property
    def planned(self) -> int:
        """How many faults are planned and did not happen yet."""
        return sum(plan.times for plan in self._plans)

    def clear(self) -> None:
        """Forget the faults that are planned and did not happen."""
        self._plans.clear()

    def intercept(self, name: str, when: When) -> None:
        """The interceptor of ``Storage``."""
        if self._dead:
            raise SimulatedKill
        if when == "before":
            self.exchanges.append(name)
        if self._down:
            raise ConnectionError("injected: the server is down")
        for plan in self._plans:
            if plan.hits(name, when):
                if plan.kill:
                    self._dead = True
                    raise SimulatedKill
                raise plan.error or ConnectionError(f"injected: connection lost {when} {name} took effect")

    def pause(self, seconds: float) -> None:
        """Stands for the waiting of an outcome in an outage; returns at once."""
        self.pauses += 1
        if self.pauses > MAX_PAUSES:
            raise AssertionError("an outcome waited a thousand times for the server: the outage never ends")

    def revive(self) -> None:
        """A new worker process starts."""
        self._dead = False
