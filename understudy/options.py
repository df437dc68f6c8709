"""The options of an actor: frozen values, checked when the actor is declared.

One rule finds an option's value, in ``lookup``: message, then actor, then default; absence is a sentinel, so
that ``0``, ``None`` and ``False`` are values like any other.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, ClassVar, Final, Literal

from .breaking import CircuitBreaker
from .callbacks import convert_callbacks
from .choices import choose as choose
from .choices import did_you_mean as did_you_mean
from .deadlines import convert_expiry
from .durations import Duration, to_millis, to_seconds
from .errors import DeclarationError
from .exception_groups import names_groups
from .keyed import ConcurrencyLimit, Keyed, RateLimit

Jitter = Literal["none", "full", "equal"]
OnRunning = Literal["wait", "skip", "fail"]
OnDoubt = Literal["repeat", "skip"]
Until = Literal["done", "started"]
Isolation = Literal["process", "thread"]
ExceptionTypes = tuple[type[BaseException], ...]


#: What a user of Dramatiq or Celery may write, and what it is called here.
OTHER_NAMES = {
    "max_retries": "retry=Retry(max_retries=...)",
    "min_backoff": "retry=Retry(backoff=...)",
    "max_backoff": "retry=Retry(maximum=...)",
    "retry_when": "retry=Retry(on=..., never_on=...)",
    "autoretry_for": "retry=Retry(on=...)",
    "retry_backoff": "retry=Retry(backoff=...)",
    "default_retry_delay": "retry=Retry(backoff=..., factor=1)",
    "retry_backoff_max": "retry=Retry(maximum=...)",
    "retry_jitter": "retry=Retry(jitter=...)",
    "dont_autoretry_for": "retry=Retry(never_on=...)",
    "pool": "isolation=...",
    "once": "unique=Unique(...)",
    "rate": "rate_limit=RateLimit(...)",
    "max_concurrency": "concurrency_limit=ConcurrencyLimit(...)",
    "concurrency": "concurrency_limit=ConcurrencyLimit(...)",
    "store_results": "ignore_result=...",
    "queue": "queue_name=...",
    "name": "actor_name=...",
}


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


#: Says that an option was not given at all.
MISSING: Final = _Missing()


def lookup(name: str, message: Mapping[str, Any], actor: Mapping[str, Any], default: Any) -> Any:
    """The value of option ``name``: the message's, else the actor's, else ``default``."""
    for source in (message, actor):
        value = source.get(name, MISSING)
        if value is not MISSING:
            return value
    return default


def check_message_options(options: dict[str, Any], *, where: str = "") -> None:
    """Check the values of those options of a message whose meaning is known here. ``where`` goes before the name in
    errors. ``expires`` becomes what travels. (Other durations are checked where they are converted.)

    Raises:
      DeclarationError: names the option that is wrong. It is a ``TypeError``.
    """
    priority = options.get("priority", 0)
    if isinstance(priority, bool) or not isinstance(priority, int):
        raise DeclarationError(f"{where}priority is a whole number, not {priority!r}")
    choose(options.get("when", "now"), ("now", "committed"), field=f"{where}when")
    headers = options.get("headers")
    if headers is not None and not (isinstance(headers, dict) and all(isinstance(name, str) for name in headers)):
        raise DeclarationError(f"{where}headers is a dict whose keys are texts, not {type(headers).__name__}")
    convert_expiry(options, where=where)
    convert_callbacks(options, where=where)


def check_key(key: object, *, field: str = "idempotency_key") -> None:
    """Raise ``TypeError`` unless ``key`` can be a key of the kind ``field``."""
    if not isinstance(key, str) or not key:
        raise TypeError(f"{field} is a text that is not empty, not {key!r}")


def message_millis(value: object, *, field: str, allow_zero: bool = False) -> int:
    """A duration as Dramatiq's own methods take it, in milliseconds: a timedelta, or whole milliseconds.

    Raises:
      DeclarationError: names the option that is wrong. It is a ``TypeError``.
    """
    if isinstance(value, timedelta):
        return to_millis(to_seconds(value, field=field, allow_zero=allow_zero))
    if isinstance(value, bool) or not isinstance(value, int):
        raise DeclarationError(f"{field} is a timedelta or a whole number of milliseconds, not {type(value).__name__}")
    if value < 0 or (value == 0 and not allow_zero):
        raise DeclarationError(
            f"{field} must be {'zero or more' if allow_zero else 'more than zero'} milliseconds, not {value}"
        )
    return value


def _exception_types(value: object, *, field: str) -> ExceptionTypes:
    kinds = value if isinstance(value, tuple) else (value,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise DeclarationError(f"{field} takes exception classes, not {kind!r}")
    return kinds


#: Seconds before each retry of a policy that says nothing of waits: Celery's ``default_retry_delay`` (R13).
DEFAULT_WAIT = 180.0


@dataclass(frozen=True)
class Retry:
    """Which failures run again, how often, and how long they wait before.

    Nothing is retried unless an actor names a policy (R04). With one, the first run is followed by at most
    ``max_retries`` more (R01); ``None`` is without bound (R05), ``0`` is none (R06). Every wait is three minutes, as in
    Celery (R13), unless ``backoff`` is given: then the n-th wait is ``backoff * factor ** n``, at most ``maximum``
    (R10, R11); with ``jitter="full"`` a random share of it (zero is possible, R12), with ``"equal"`` half of it and a
    random share of the other half.

    Args:
      max_retries: how many times after the first run, or None.
      on: the exceptions to retry, as classes or as a function that says so of one; others fail at once (R08). An
        exception group is retried if all of its members are, unless groups themselves are named.
      never_on: exceptions that are not retried although ``on`` covers them (R09).
      backoff: the first wait, a timedelta or seconds. None: ``DEFAULT_WAIT`` each time, without jitter.
      factor: what each wait is multiplied by to give the next; 1 makes them equal.
      maximum: no wait is longer (before jitter, which only shortens).
      jitter: ``"none"``, ``"full"`` or ``"equal"``.
      respect_retry_after: an exception that says when to come back (see ``understudy.retry_after``) sets the wait, up
        to ``maximum``.

    Raises:
      DeclarationError: names the field that is wrong.
    """

    max_retries: int | None = 3
    _: KW_ONLY
    on: ExceptionTypes | type[BaseException] | Callable[[BaseException], bool] = (Exception,)
    never_on: ExceptionTypes | type[BaseException] = ()
    backoff: Duration | None = None
    factor: float = 2.0
    maximum: Duration = timedelta(minutes=10)
    jitter: Jitter = "full"
    respect_retry_after: bool = True

    def __post_init__(self) -> None:
        retries = self.max_retries
        if retries is not None and (isinstance(retries, bool) or not isinstance(retries, int) or retries < 0):
            raise DeclarationError(f"Retry.max_retries is a whole number from 0, or None, not {retries!r}")
        if isinstance(self.on, type | tuple) or not callable(self.on):
            object.__setattr__(self, "on", _exception_types(self.on, field="Retry.on"))
        object.__setattr__(self, "never_on", _exception_types(self.never_on, field="Retry.never_on"))
        first = 0.0 if self.backoff is None else to_seconds(self.backoff, field="Retry.backoff", allow_zero=True)
        if to_seconds(self.maximum, field="Retry.maximum", allow_zero=True) < first:
            raise DeclarationError("Retry.maximum is shorter than Retry.backoff; make it at least as long")
        if isinstance(self.factor, bool) or not isinstance(self.factor, int | float) or not 1 <= self.factor < math.inf:
            raise DeclarationError(f"Retry.factor is a number from 1, not {self.factor!r}")
        choose(self.jitter, ("none", "full", "equal"), field="Retry.jitter")
        if self.backoff is None and (self.factor != 2 or self.jitter == "equal"):
            raise DeclarationError(
                f"Retry.backoff is not given, so every wait is {DEFAULT_WAIT:g} s, and factor and jitter have no "
                "effect; say what the first wait is"
            )
        if not isinstance(self.respect_retry_after, bool):
            raise DeclarationError(f"Retry.respect_retry_after is True or False, not {self.respect_retry_after!r}")

    def covers(self, exception: BaseException) -> bool:
        """Whether this kind of failure is retried at all."""
        if isinstance(exception, BaseExceptionGroup) and not names_groups(self.on):
            return all(self.covers(member) for member in exception.exceptions)
        if isinstance(exception, self.never_on):
            return False
        return isinstance(exception, self.on) if isinstance(self.on, type | tuple) else self.on(exception)

    def allows(self, retries: int) -> bool:
        """Whether one more run is allowed after ``retries`` retries."""
        return self.max_retries is None or retries < self.max_retries

    def delay(self, retries: int, rng: Callable[[], float] = random.random, *, told: float | None = None) -> float:
        """Seconds to wait before retry number ``retries`` (counted from 0).

        Args:
          rng: gives 0 <= x < 1.
          told: the wait that the exception asks for, in seconds. It has no jitter: sooner would be too soon.
        """
        maximum = to_seconds(self.maximum, field="Retry.maximum", allow_zero=True)
        if told is not None and self.respect_retry_after:
            return min(max(told, 0.0), maximum)
        if self.backoff is None:
            return min(DEFAULT_WAIT, maximum)
        first = to_seconds(self.backoff, field="Retry.backoff", allow_zero=True)
        try:
            wait = min(first * float(self.factor) ** retries, maximum)
        except OverflowError:
            wait = maximum if first else 0.0
        if self.jitter == "full":
            return wait * rng()
        if self.jitter == "equal":
            return wait / 2 + wait / 2 * rng()
        return wait


#: For a body that asks to run again while its actor names no policy: Celery's defaults (R04).
ASKED_FOR = Retry()


@dataclass(frozen=True)
class Idempotency(Keyed):
    """At most one outcome per key within ``ttl``, and at most one live holder that runs the body (P3).

    Args:
      ttl: how long the outcome is remembered after it was committed; a timedelta or seconds.
      key: a template over the actor's arguments (``"welcome:{user_id}"``); the message's id when None.
        ``send_with_options(idempotency_key=...)`` overrides it. Keys of different actors never meet.
      on_running: what a duplicate does while its twin runs: ``"wait"`` (it goes back to the queue and gets
        the stored result later), ``"skip"`` (it is REVOKED) or ``"fail"`` (FAILURE).
      on_doubt: when a process died while running the body, ``"repeat"`` runs it again and ``"skip"`` fails
        the message as in doubt.

    Raises:
      DeclarationError: names the field that is wrong.
    """

    called: ClassVar[str] = "idempotency key"
    ttl: Duration = timedelta(days=1)
    _: KW_ONLY
    key: str | None = None
    on_running: OnRunning = "wait"
    on_doubt: OnDoubt = "repeat"

    def __post_init__(self) -> None:
        to_seconds(self.ttl, field="Idempotency.ttl")
        choose(self.on_running, ("wait", "skip", "fail"), field="Idempotency.on_running")
        choose(self.on_doubt, ("repeat", "skip"), field="Idempotency.on_doubt")
        self._check_key()

    @cached_property
    def seconds(self) -> float:
        """``ttl`` in seconds."""
        return to_seconds(self.ttl, field="Idempotency.ttl")


@dataclass(frozen=True)
class Unique(Keyed):
    """At most one message per key stands: a second one is refused where it is sent, with ``AlreadyEnqueued``.

    It says nothing of how often a message runs: that is what ``Idempotency`` is for.

    Args:
      key: a template over the actor's arguments (``"report:{user_id}"``); all of them when None.
        ``send_with_options(unique_key=...)`` overrides it. Keys of different actors never meet.
      until: a message stands until it is ``"done"`` (SUCCESS, FAILURE, REVOKED, a dead letter), through retries,
        hand-backs and deaths of workers; or until its body has ``"started"`` for the first time.
      ttl: it stands no longer than this, counted from when it may run; a timedelta or seconds; a day when None. So one
        that vanished with its server does not stand for ever.

    Raises:
      DeclarationError: names the field that is wrong.
    """

    called: ClassVar[str] = "unique key"
    key: str | None = None
    _: KW_ONLY
    until: Until = "done"
    ttl: Duration | None = None

    def __post_init__(self) -> None:
        choose(self.until, ("done", "started"), field="Unique.until")
        to_seconds(self.longest, field="Unique.ttl")
        self._check_key()

    @property
    def longest(self) -> Duration:
        """``ttl``, or what it is when nobody says it."""
        return timedelta(days=1) if self.ttl is None else self.ttl


@dataclass(frozen=True)
class ActorOptions:
    """All that an actor declares, after checking. ``time_limit`` and the like are in seconds, ``memory_limit`` in
    bytes."""

    retry: Retry | None = None
    errors: Any = None
    idempotency: Idempotency | None = None
    unique: Unique | None = None
    rate_limit: RateLimit | None = None
    concurrency_limit: ConcurrencyLimit | None = None
    circuit_breaker: CircuitBreaker | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    memory_limit: int | None = None
    isolation: Isolation | None = None
    result_ttl: float | None = None
    expected_duration: float | None = None
    track_started: bool | None = None
    ignore_result: bool = False
    log_args: tuple[str, ...] = ()
    pure: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
