"""What becomes of which failure: retried, failed at once, told to somebody.

``Errors`` is a value like ``Retry``: a table with a name, shared by the actors whose work meets the same outside world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from .callbacks import Travelling, travelling
from .durations import Duration, to_seconds
from .errors import DeclarationError
from .exception_groups import names_groups
from .options import choose

Verdict = Literal["retry", "retry, then alert", "fail", "alert"]
#: The gravest first. What no rule covers is left to the retry policy, which may say no.
_GRAVEST: tuple[Verdict | None, ...] = ("alert", "fail", None, "retry, then alert", "retry")
#: Exception classes, or a function that says so of an exception.
Condition = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]


@dataclass(frozen=True)
class Alert:
    """How somebody is told. A line at CRITICAL is written anyway.

    Args:
      to: an actor, its name, or a message of it: sent as ``actor(alert, *its own arguments)``, where ``alert`` is a
        dict with ``actor``, ``queue``, ``message_id``, ``error`` (the class), ``attempts``, ``more`` (how many failures
        of the same cause were not told since the last time) and ``every`` (seconds). No text of the exception:
        ``handle(id).result`` has it.
      every: one cause (an actor and a class of exceptions) is told once in this time, by all workers together.

    Raises:
      DeclarationError: names the field that is wrong.
    """

    to: Any = None
    _: KW_ONLY
    every: Duration = timedelta(minutes=15)

    def __post_init__(self) -> None:
        to_seconds(self.every, field="Alert.every")
        if self.to is not None:
            object.__setattr__(self, "to", travelling(self.to, field="Alert.to"))

    @property
    def target(self) -> Travelling | None:
        """What is sent, as it travels."""
        found: Travelling | None = self.to
        return found


@dataclass(frozen=True)
class Errors:
    """Failures by what they are. The first rule that covers an exception counts.

    ``"retry"`` and ``"fail"`` stand above the actor's ``Retry.on``; how often and when stays the policy's. ``"alert"``
    fails at once and tells somebody; ``"retry, then alert"`` tells when the last attempt has failed. What no rule
    covers is left to the retry policy.

    Args:
      rules: pairs of a condition (exception classes, or a function) and a verdict.
      alert: how somebody is told.

    Raises:
      DeclarationError: names the rule that is wrong.
    """

    rules: tuple[tuple[Condition, Verdict], ...]
    _: KW_ONLY
    alert: Alert = Alert()

    def __post_init__(self) -> None:
        if not isinstance(self.rules, tuple) or not self.rules:
            raise DeclarationError("Errors.rules is a tuple of pairs: ((ConnectionError, 'retry'), ...)")
        for rule in self.rules:
            if not isinstance(rule, tuple) or len(rule) != 2:
                raise DeclarationError(f"Errors.rules holds {rule!r}, which is no pair of a condition and a verdict")
            condition, verdict = rule
            choose(verdict, get_args(Verdict), field="Errors.rules: a verdict")
            kinds = condition if isinstance(condition, tuple) else (condition,)
            classes = all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds)
            if not classes and (isinstance(condition, type | tuple) or not callable(condition)):
                raise DeclarationError(f"Errors.rules: {condition!r} is neither exception classes nor a function")
        if not isinstance(self.alert, Alert):
            raise DeclarationError(f"Errors.alert takes an Alert, not {self.alert!r}")

    def verdict(self, exception: BaseException) -> Verdict | None:
        """What becomes of ``exception``; None when no rule covers it. Of a group: the gravest that becomes of one of
        its members, unless a rule names groups themselves."""
        if isinstance(exception, BaseExceptionGroup) and not any(names_groups(named) for named, _ in self.rules):
            found = {self.verdict(member) for member in exception.exceptions}
            return next((verdict for verdict in _GRAVEST if verdict in found), None)
        for condition, verdict in self.rules:
            if isinstance(condition, type | tuple):
                if isinstance(exception, condition):
                    return verdict
            elif condition(exception):
                return verdict
        return None

    @property
    def retries(self) -> bool:
        """Whether any rule has failures retried."""
        return any(verdict.startswith("retry") for _, verdict in self.rules)
