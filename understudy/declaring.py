"""What is checked when an actor is declared. Each function names the actor and the option that is wrong.

All of them raise ``DeclarationError``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from dramatiq import Broker
from dramatiq.actor import _queue_name_re as _queue_name

from .durations import Duration, to_millis, to_seconds
from .errors import DeclarationError
from .keyed import Keyed
from .limits import MEMORY
from .options import OTHER_NAMES, ActorOptions, Isolation, choose, did_you_mean

#: The options that are durations, on the declaration and on a message.
LIMITS = ("time_limit", "soft_time_limit")
#: What only a declaration may say: nobody would look for it on a message.
DECLARED_ONLY = frozenset(
    {
        "retry",
        "idempotency",
        "unique",
        "rate_limit",
        "concurrency_limit",
        "circuit_breaker",
        "result_ttl",
        "track_started",
        "ignore_result",
        "isolation",
        "log_args",
        "errors",
    }
)
HOW_TO_INSTALL = (
    "import the module that installs one before its actors: here `tasks`, if this is the checkout; in a project of "
    "your own, a module that calls understudy.install(middleware=stack(load(Settings))), with `from understudy."
    "settings import Settings, load` and `from understudy_middleware.stack import stack`"
)


def name_of(function: Callable[..., Any], actor_name: str | None) -> str:
    """The name of an actor: the one that it was given, else its function's."""
    name = getattr(function, "__name__", None) if actor_name is None else actor_name
    if not isinstance(name, str) or not name:
        raise DeclarationError(f"{function!r} needs a name: write actor_name='...', a text that is not empty")
    return name


def check_names(name: str, queue_name: str, options: dict[str, Any], broker: Broker, *, known: Iterable[str]) -> None:
    """What the actor is called, where its messages go, and whether the broker knows its options; ``known`` are
    those that any actor may have."""
    if name in broker.actors:
        other = broker.actors[name].fn
        raise DeclarationError(
            f"actor {name}: another actor has this name already ({other!r} of {other.__module__}); give one of them "
            "an actor_name of its own"
        )
    if not isinstance(queue_name, str) or not _queue_name.fullmatch(queue_name):
        raise DeclarationError(
            f"actor {name}: queue_name {queue_name!r} must begin with a letter or _ and go on with letters, "
            "digits, '.', '_' or '-'"
        )
    for option in options:
        if option not in broker.actor_options:
            other_name = OTHER_NAMES.get(option)
            hint = f"; did you mean {other_name}?" if other_name else did_you_mean(option, known)
            raise DeclarationError(f"actor {name}: unknown option {option!r}{hint}")


def check_guards(name: str, declared: ActorOptions, broker: Broker) -> None:
    """What is declared must be kept: without its middleware an idempotent actor would run unguarded (P12)."""
    for option in (
        "retry",
        "errors",
        "idempotency",
        "unique",
        "rate_limit",
        "concurrency_limit",
        "circuit_breaker",
        "time_limit",
        "soft_time_limit",
        "memory_limit",
        "isolation",
        "result_ttl",
    ):
        if getattr(declared, option) is not None and option not in broker.actor_options:
            raise DeclarationError(
                f"actor {name}: no middleware of the installed broker knows {option!r}; {HOW_TO_INSTALL}"
            )


def check_body(name: str, function: Callable[..., Any]) -> None:
    """The body must be a function that a worker can call."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DeclarationError(
            f"actor {name}: the body is a generator, which would never run; write a function that returns"
        )


def check_together(name: str, signature: inspect.Signature, declared: ActorOptions) -> None:
    """Options that are each right and cannot be together, or do not fit the function."""
    if declared.pure and declared.idempotency is not None:
        raise DeclarationError(
            f"actor {name}: pure=True says that running twice does no harm, idempotency=... that it must not "
            "happen; keep one of them"
        )
    if declared.errors is not None and declared.errors.retries and declared.retry is None:
        raise DeclarationError(
            f"actor {name}: errors=... says that failures are retried, and retry=... is missing, which says how often"
        )
    limit, expected = declared.time_limit, declared.expected_duration
    if limit is not None and expected is not None and expected > limit:
        raise DeclarationError(
            f"actor {name}: expected_duration ({expected:g} s) is above time_limit ({limit:g} s), so it would "
            "always be stopped"
        )
    if declared.memory_limit is not None and declared.isolation == "thread":
        raise DeclarationError(
            f'actor {name}: memory_limit=... needs a process of its own, which isolation="thread" is not; keep one'
        )
    limits = (declared.rate_limit, declared.concurrency_limit, declared.circuit_breaker)
    for policy in (declared.idempotency, declared.unique, *limits):
        if policy is not None:
            _check_placeholders(name, signature, policy)


def arguments_to_log(name: str, signature: inspect.Signature, names: object) -> tuple[str, ...]:
    """The names of arguments that may be logged, each of which the function must have."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise DeclarationError(f"actor {name}: log_args is a tuple of names of arguments, not {type(names).__name__}")
    found = tuple(names)
    for one in found:
        if one not in signature.parameters:
            raise DeclarationError(
                f"actor {name}: log_args names {one!r}, which is not an argument of the function"
                f"{did_you_mean(one, signature.parameters)}"
            )
    return found


def _check_placeholders(name: str, signature: inspect.Signature, policy: Keyed) -> None:
    parameters = signature.parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    names = {p.name for p in parameters.values() if p.kind is not p.VAR_KEYWORD}
    for placeholder in sorted(policy.placeholders):
        if placeholder not in names and not open_ended:
            raise DeclarationError(
                f"actor {name}: {policy.called} {policy.key!r} names {placeholder!r}, which "
                f"is not an argument of the function{did_you_mean(placeholder, names)}"
            )


def instance(name: str, option: str, value: Any, kind: type[Any]) -> Any:
    """``value``, which must be a ``kind``."""
    if kind in (bool, int):
        if type(value) is not kind:
            wanted = "True or False" if kind is bool else "a whole number"
            raise DeclarationError(f"actor {name}: {option} is {wanted}, not {value!r}")
    elif value is not None and not isinstance(value, kind):
        hint = f"; write {kind.__name__}(...)" if value is not kind else f"; call it: {kind.__name__}()"
        raise DeclarationError(f"actor {name}: {option} takes a {kind.__name__} or None, not {value!r}{hint}")
    return value


def seconds(name: str, option: str, value: Duration | None) -> float | None:
    """A duration in seconds, or None."""
    return None if value is None else to_seconds(value, field=f"actor {name}: {option}")


def dramatiq_options(declared: ActorOptions) -> dict[str, Any]:
    """What Dramatiq's own middleware reads, in its units."""
    options = dict(declared.extra)
    for name in LIMITS:
        limit = getattr(declared, name)
        if limit is not None:
            options[name] = to_millis(limit)
    if declared.memory_limit is not None:
        options[MEMORY] = declared.memory_limit
    return options


def isolation_of(name: str, value: Any) -> Isolation | None:
    """Where the body runs, as the declaration says."""
    if value is not None:
        choose(value, ("process", "thread"), field=f"actor {name}: isolation")
    found: Isolation | None = value
    return found


def default_limit(broker: Broker) -> float | None:
    """The hard limit of an actor that names none, where the broker knows one."""
    limit: float | None = getattr(getattr(broker, "settings", None), "default_time_limit", None)
    return limit


def places_of(signature: inspect.Signature) -> tuple[int, int]:
    """How many positional arguments fit for certain, without any others: at least, at most.

    Binding arguments is a good part of what a send costs, and most calls need not be bound to be seen to fit.
    """
    taken = [parameter for parameter in signature.parameters.values() if parameter.kind in _ORDINARY]
    needed = sum(parameter.default is parameter.empty for parameter in taken)
    others = any(
        parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
        for parameter in signature.parameters.values()
    )
    return (1, 0) if others else (needed, len(taken))


def names_of(signature: inspect.Signature) -> tuple[str, ...] | None:
    """The names that positional arguments are given to, if as many of them fill all parameters; None if they cannot."""
    ordinary = all(parameter.kind in _ORDINARY for parameter in signature.parameters.values())
    return tuple(signature.parameters) if ordinary else None


_ORDINARY = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
