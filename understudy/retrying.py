"""``raise retry(...)``: a body that decides by itself to run again.

Celery's ``self.retry``. The exception that it returns is control flow: it is not logged as an error, and readers see
``exc`` in its place.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from . import serialization
from .actors import Actor, declared
from .durations import Duration, to_millis, to_seconds
from .errors import RetryAsked
from .execution import Execution, current
from .options import ASKED_FOR


def retry(
    *,
    delay: Duration | None = None,
    exc: Exception | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    max_retries: int | None = None,
    throw: bool = True,
) -> Exception:
    """What a body raises to run once more: ``raise retry(delay=30, exc=error)``.

    The actor's policy says how often (and how long to wait, unless ``delay`` or ``exc`` does); an actor without one has
    Celery's defaults: three retries, three minutes apart (R04). When there are no more, the message fails with
    ``exc`` (R01), or with ``MaxRetriesExceeded`` where none is given (R02). Called outside of a worker it returns
    ``exc`` itself (R19).

    Args:
      delay: a timedelta or seconds.
      exc: why: what a reader sees meanwhile and in the end. What it says of the wait itself (``Retry-After``) counts.
      args, kwargs: in place of those that the message has, for the next run and those after it; a half that is not
        given stays (R07). The message keeps its id, and its idempotency key.
      max_retries: in place of the policy's, for this execution (R17).
      throw: False also asks for the run where the body goes on and returns: what it returns is the result, and the
        outcome of the next run is dropped, because SUCCESS is final (R18). An idempotent actor does not run again
        then. Where no run is left, it is raised all the same.

    Raises:
      TypeError: the new arguments do not fit the function, or an option is of the wrong kind.
      SerializationError: an argument cannot travel.
    """
    if exc is not None and not isinstance(exc, Exception):
        raise TypeError(f"retry: exc is an exception, not {type(exc).__name__}")
    if max_retries is not None and (isinstance(max_retries, bool) or not isinstance(max_retries, int)):
        raise TypeError(f"retry: max_retries is a whole number or None, not {type(max_retries).__name__}")
    wait = None if delay is None else to_millis(to_seconds(delay, field="retry: delay", allow_zero=True))
    execution = current()
    arguments = b"" if execution is None or args is None is kwargs else _arguments(execution, args, kwargs)
    asked = RetryAsked("the body asks to run again", wait, arguments=arguments, max_retries=max_retries)
    if exc is not None:
        asked.__cause__ = exc
    if execution is None:
        return asked if exc is None else exc
    if not throw:
        if not allowed(execution, asked):
            raise asked
        execution.again = asked
    return asked


def allowed(execution: Execution, asked: RetryAsked) -> bool:
    """Whether the run that is asked for is still allowed."""
    policy = declared(execution.actor).retry or ASKED_FOR
    if asked.max_retries is not None:
        return execution.retries < asked.max_retries
    return policy.allows(execution.retries)


def new_arguments(asked: RetryAsked) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The arguments of the next run; None when they stay as they are."""
    if not asked.arguments:
        return None
    args, kwargs = serialization.loads(asked.arguments)
    return tuple(args), dict(kwargs)


def _arguments(execution: Execution, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None) -> bytes:
    places = list(execution.args if args is None else args)
    names = dict(execution.kwargs if kwargs is None else kwargs)
    actor = execution.actor
    signature = actor.signature if isinstance(actor, Actor) else inspect.signature(actor.fn)
    try:
        signature.bind(*places, **names)
    except TypeError as error:
        raise TypeError(f"retry: the new arguments of {actor.actor_name}: {error}") from None
    return serialization.dumps([places, names], root="arguments")
