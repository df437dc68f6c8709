"""Time limits: which ones a message has, and where its body runs because of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .errors import LimitsConflict
from .options import ActorOptions
from .settings import Settings

#: The option that is a limit of memory, in bytes.
MEMORY = "memory_limit"
_OF_A_MESSAGE = ("time_limit", "soft_time_limit", MEMORY)


@dataclass(frozen=True)
class Limits:
    """The limits of one execution, in seconds from the moment its body begins.

    Attributes:
      hard: after this long the body is ended, whatever it does; infinite when it never is.
      soft: after this long ``SoftTimeLimitExceeded`` is raised in the body, once; None: never.
      memory: bytes that the process of the body may take; None: any number.
    """

    hard: float
    soft: float | None = None
    memory: int | None = None

    @property
    def first(self) -> float:
        """The one that comes first."""
        return self.hard if self.soft is None else min(self.hard, self.soft)


def limits_of(message: Mapping[str, Any], actor: Mapping[str, Any], settings: Settings) -> Limits:
    """The limits of a message with these options (durations in milliseconds, as they travel): its own, else its
    actor's, else those of the settings (T11, T15)."""
    hard, soft, memory = message.get("time_limit"), message.get("soft_time_limit"), message.get(MEMORY)
    hard = actor.get("time_limit") if hard is None else hard
    soft = actor.get("soft_time_limit") if soft is None else soft
    memory = actor.get(MEMORY) if memory is None else memory
    return _limits(hard, soft, memory, settings.default_time_limit, settings.default_soft_time_limit)


@lru_cache(maxsize=1_024)
def _limits(
    hard: float | None, soft: float | None, memory: int | None, usual: float | None, default: float | None
) -> Limits:
    """``hard`` and ``soft`` in milliseconds, the two of the settings in seconds."""
    most = (math.inf if usual is None else usual) if hard is None else float(hard) / 1000
    if soft is None and default is not None and default < most:
        return Limits(most, default, memory)
    return Limits(most, None if soft is None else float(soft) / 1000, memory)


def check_limits(hard: float | None, soft: float | None, *, where: str, default: float | None = None) -> None:
    """Refuse a soft limit above the hard one, both in seconds: it would never be met (T11). ``default`` is the hard
    limit of whoever names none.

    Raises:
      LimitsConflict: names both.
    """
    if soft is None:
        return
    if hard is not None and soft > hard:
        raise LimitsConflict(
            f"{where}: soft_time_limit ({soft:g} s) is above time_limit ({hard:g} s), which would end the body first"
        )
    if hard is None and default is not None and soft > default:
        raise LimitsConflict(
            f"{where}: soft_time_limit ({soft:g} s) is above the time limit of actors that name none ({default:g} s); "
            "give it a time_limit too, or raise UNDERSTUDY_DEFAULT_TIME_LIMIT"
        )


def runs_elsewhere(message: Mapping[str, Any], declared: ActorOptions, settings: Settings) -> bool:
    """Whether the body of a message runs in a process of its own: as its actor says, else if it has a limit."""
    if settings.isolation != "process":
        return False
    if declared.isolation is not None:
        return declared.isolation == "process"
    if not (declared.time_limit is None and declared.soft_time_limit is None and declared.memory_limit is None):
        return True
    return bool(message) and any(message.get(name) is not None for name in _OF_A_MESSAGE)


def runs_apart(message: Mapping[str, Any], declared: ActorOptions, settings: Settings) -> bool:
    """Whether an ``async def`` body runs in a process of its own: if its actor says so, or for a limit that the event
    loop cannot keep."""
    if settings.isolation != "process":
        return False
    return declared.isolation == "process" or declared.memory_limit is not None or message.get(MEMORY) is not None
