"""Circuit breakers: what is broken is left alone for a while, instead of being called by every message.

A *circuit* is *closed* while calls get through, *open* after too many failures, and after a cooldown tried out by one
message: if that gets through it is closed, if not it stays open for twice as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import ClassVar, Literal

from dramatiq.middleware import TimeLimitExceeded as TimeLimitExceededInThread

from .durations import Duration, to_seconds
from .errors import DeclarationError, SoftTimeLimitExceeded, TimeLimitExceeded
from .exception_groups import names_groups
from .keyed import Keyed

#: What the end of a body says of what it called: it works, it is broken, or neither.
Told = Literal["done", "failed", "nothing"]
#: What was ended here had not been answered, whatever it called.
_AT_A_LIMIT = (TimeLimitExceeded, SoftTimeLimitExceeded, TimeLimitExceededInThread)
Covers = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]


@dataclass(frozen=True)
class CircuitBreaker(Keyed):
    """While the circuit is open no body begins: messages go back to their queue until it may be tried out, and no
    attempt is burned.

    Args:
      key: a template over the actor's arguments (``"webhook:{url!h}"``: the host of a URL), or a text: whatever has the
        same key shares the circuit, also messages of other actors. When None the circuit is that of the actor.
      failures: so many without a success between them open it.
      within: ... if they come within this time; a timedelta or seconds.
      cooldown: for how long it is open at first.
      longest: ... and at the most, when trying it out has failed again and again.
      patience: a message that has waited for so long fails with ``CircuitOpen``; None lets it wait.
      on: which failures count, as classes or as a function that says so of one. A time limit always does.
      answers: which failures show that what stands behind the circuit works: it has said no. They count as a success;
        a failure that is neither says nothing.

    Raises:
      DeclarationError: names the field that is wrong.
    """

    called: ClassVar[str] = "circuit breaker key"
    shared: ClassVar[bool] = True
    key: str | None = None
    _: KW_ONLY
    failures: int = 5
    within: Duration = timedelta(minutes=1)
    cooldown: Duration = timedelta(seconds=30)
    longest: Duration = timedelta(minutes=10)
    patience: Duration | None = timedelta(days=1)
    on: Covers = Exception
    answers: Covers = ()

    def __post_init__(self) -> None:
        if isinstance(self.failures, bool) or not isinstance(self.failures, int) or self.failures < 1:
            raise DeclarationError(f"CircuitBreaker.failures is a whole number from 1, not {self.failures!r}")
        to_seconds(self.within, field="CircuitBreaker.within")
        first = to_seconds(self.cooldown, field="CircuitBreaker.cooldown")
        if to_seconds(self.longest, field="CircuitBreaker.longest") < first:
            raise DeclarationError(
                "CircuitBreaker.longest is shorter than CircuitBreaker.cooldown; make it at least as long"
            )
        if self.patience is not None:
            to_seconds(self.patience, field="CircuitBreaker.patience")
        _check_covers(self.on, field="CircuitBreaker.on")
        _check_covers(self.answers, field="CircuitBreaker.answers")
        self._check_key()

    def covers(self, exception: BaseException) -> bool:
        """Whether this failure says that what stands behind the circuit is broken. Of a group, one of its members."""
        return _among(exception, _AT_A_LIMIT) or _among(exception, self.on)

    def verdict(self, exception: BaseException | None) -> Told:
        """What it says of what stands behind the circuit that a body ended so; None: without an exception."""
        if exception is None:
            return "done"
        if self.covers(exception):
            return "failed"
        return "done" if _among(exception, self.answers) else "nothing"


def _among(exception: BaseException, covers: Covers) -> bool:
    if isinstance(exception, BaseExceptionGroup) and not names_groups(covers):
        return any(_among(member, covers) for member in exception.exceptions)
    return isinstance(exception, covers) if isinstance(covers, type | tuple) else covers(exception)


def _check_covers(covers: Covers, *, field: str) -> None:
    for kind in covers if isinstance(covers, tuple) else (covers,):
        is_class = isinstance(kind, type) and issubclass(kind, BaseException)
        if not is_class and (isinstance(covers, tuple) or isinstance(kind, type) or not callable(kind)):
            raise DeclarationError(f"{field} takes exception classes or a function, not {kind!r}")
