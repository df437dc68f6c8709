"""Exception groups, as ``asyncio.TaskGroup`` raises them: what they mean for a message.

A group wraps whatever its tasks raise, also what is no failure: the worker stops, the hold is lost, a run more is asked
for. That must be met as if no group were around it.
"""

from __future__ import annotations

import dramatiq
from dramatiq.middleware import Shutdown

from .errors import HandBack, LeaseLost, ServerUnavailable

#: What is no failure, the more important first: whose message it is, whether it can go on now, whether it wants to.
NO_FAILURE: tuple[type[BaseException], ...] = (LeaseLost, ServerUnavailable, HandBack, Shutdown, dramatiq.Retry)


def members(exception: BaseException) -> list[BaseException]:
    """The exceptions of a group, and of the groups in it; ``exception`` itself if it is none."""
    if not isinstance(exception, BaseExceptionGroup):
        return [exception]
    return [one for member in exception.exceptions for one in members(member)]


def deciding(exception: BaseException) -> BaseException:
    """What decides about the message whose body raised ``exception``: what in a group is no failure, else the group."""
    if not isinstance(exception, BaseExceptionGroup):
        return exception
    found = members(exception)
    return next((one for kind in NO_FAILURE for one in found if isinstance(one, kind)), exception)


def names_groups(condition: object) -> bool:
    """Whether exception classes that somebody has named are groups themselves, and not what is in them."""
    kinds = condition if isinstance(condition, tuple) else (condition,)
    return any(isinstance(kind, type) and issubclass(kind, BaseExceptionGroup) for kind in kinds)
