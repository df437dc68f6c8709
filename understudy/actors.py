"""``@actor``: declares a Dramatiq actor with typed options that are checked at import.

Three things differ from ``dramatiq.actor``: an unknown option or an impossible combination fails at once and
says what was probably meant; arguments that do not fit the function raise ``TypeError`` in the sender (S21);
a value that cannot travel is refused in the sender with its path (S22).
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, overload

import dramatiq
import dramatiq.broker
from dramatiq import Broker, Message
from dramatiq.actor import _queue_name_re as _queue_name

from .durations import Duration, to_millis, to_seconds
from .errors import DeclarationError, SerializationError, UnknownActor
from .options import ActorOptions, Idempotency, Retry, check_message_options, did_you_mean, message_millis

P = ParamSpec("P")
R = TypeVar("R")

#: What a user of Dramatiq or Celery may write, and what it is called here.
_OTHER_NAMES = {
    "max_retries": "retry=Retry(max_retries=...)",
    "min_backoff": "retry=Retry(backoff=...)",
    "max_backoff": "retry=Retry(maximum=...)",
    "retry_when": "retry=Retry(on=..., never_on=...)",
    "throws": "retry=Retry(never_on=...)",
    "autoretry_for": "retry=Retry(on=...)",
    "retry_backoff": "retry=Retry(backoff=...)",
    "default_retry_delay": "retry=Retry(backoff=..., factor=1)",
    "store_results": "ignore_result=...",
    "queue": "queue_name=...",
    "name": "actor_name=...",
}


#: What only a declaration may say: nobody would look for it on a message.
_DECLARED_ONLY = frozenset({"retry", "idempotency", "result_ttl", "track_started", "ignore_result"})


_HOW_TO_INSTALL = (
    "import the module that installs one before its actors: here `tasks`, if this is the checkout; in a project of "
    "your own, a module that calls understudy.install(middleware=stack(load(Settings))), with `from understudy."
    "settings import Settings, load` and `from understudy_middleware.stack import stack`"
)


class Actor(dramatiq.Actor[P, R]):
    """A Dramatiq actor whose declaration is kept, checked, in ``declared``."""

    declared: ActorOptions
    signature: inspect.Signature

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now (R19). Dramatiq's own would log the arguments."""
        return self.fn(*args, **kwargs)

    def message_with_options(
        self,
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        message_id: str | None = None,
        **options: Any,
    ) -> Message[R]:
        """Build a message. ``message_id`` gives it a name of your own (K01); ``time_limit`` is a ``timedelta``, or
        whole milliseconds as everywhere in Dramatiq's own methods.

        Arguments may be missing yet: a pipeline adds the result of the message before.

        Raises:
          TypeError: arguments that the function does not take (S21), an unknown option, or a wrong value of one.
        """
        self._bind(self.signature.bind_partial, args, kwargs)
        self._check_options(options)
        message = super().message_with_options(args=tuple(args), kwargs=kwargs, **options)
        return message if message_id is None else named(message, message_id)

    def send_with_options(
        self,
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        delay: timedelta | int | None = None,
        **options: Any,
    ) -> Message[R]:
        """Send a message with options of its own.

        Args:
          delay: a ``timedelta``; a whole number is milliseconds, as everywhere in Dramatiq's own methods.
          options: ``message_id``, ``idempotency_key``, ``time_limit`` (as ``delay``), ``priority``, ``when``, and what
            the installed middleware knows.

        Raises:
          TypeError: when the arguments do not fit the function (S21), or an option is unknown or has a wrong value.
          SerializationError: when a value cannot travel; it names the argument and the path.
          MessageTooLarge, ServerUnavailable: nothing was accepted.
        """
        self._bind(self.signature.bind, args, kwargs)
        if delay is not None:
            delay = message_millis(delay, field=f"{self.actor_name}: delay", allow_zero=True)
        try:
            return super().send_with_options(args=args, kwargs=kwargs, delay=delay, **options)
        except SerializationError as error:
            raise self._in_words_of_the_signature(error, args) from None

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Every argument of the function by its name, defaults and ``**`` among them.

        Raises:
          TypeError: when they do not fit the function.
        """
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        found = dict(bound.arguments)
        for parameter in self.signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                found.update(found.pop(parameter.name))
        return found

    def _bind(self, bind: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> None:
        try:
            bind(*args, **(kwargs or {}))
        except TypeError as error:
            raise TypeError(f"{self.actor_name}(): {error}") from None

    def _check_options(self, options: dict[str, Any]) -> None:
        known = self.broker.actor_options
        for option in options:
            if option in _DECLARED_ONLY:
                raise TypeError(f"{self.actor_name}: {option} belongs to the actor's declaration, not to a message")
            if option not in known:
                hint = did_you_mean(option, {"message_id", "delay", *known} - _DECLARED_ONLY)
                raise TypeError(f"{self.actor_name}: unknown option {option!r}{hint}")
        check_message_options(options, where=f"{self.actor_name}: ")
        if options.get("time_limit") is None:
            options.pop("time_limit", None)
        else:
            options["time_limit"] = message_millis(options["time_limit"], field=f"{self.actor_name}: time_limit")
        if options.get("idempotency_key") is None:
            options.pop("idempotency_key", None)
            return
        check_key(options["idempotency_key"])
        if self.declared.idempotency is None:
            raise TypeError(
                f"{self.actor_name} is not declared with idempotency=Idempotency(...), so an idempotency_key would "
                "have no effect"
            )

    def _in_words_of_the_signature(self, error: SerializationError, args: tuple[Any, ...]) -> SerializationError:
        """``args[0][3]`` becomes ``recipients[3]``, and ``kwargs['recipients']`` too."""
        path = error.path
        if found := re.match(r"args\[(\d+)\]", path):
            path = self._position(int(found[1])) + path[found.end() :]
        elif found := re.match(r"kwargs\['(\w+)'\]", path):
            path = found[1] + path[found.end() :]
        return SerializationError(f"{self.actor_name}: {path}", error.reason)

    def _position(self, index: int) -> str:
        """The name of the parameter that the positional argument ``index`` fills."""
        for place, parameter in enumerate(self.signature.parameters.values()):
            if parameter.kind is parameter.VAR_POSITIONAL:
                return f"{parameter.name}[{index - place}]"
            if place == index:
                return parameter.name
        return f"args[{index}]"


def named(message: Message[Any], message_id: str) -> Message[Any]:
    """``message`` under a name of your own.

    Raises:
      TypeError: the name is not a text, or empty.
    """
    if not isinstance(message_id, str) or not message_id:
        raise TypeError(f"message_id is a text that is not empty, not {message_id!r}")
    return dataclasses.replace(message, message_id=message_id)


def check_key(key: object) -> None:
    """Raise ``TypeError`` unless ``key`` can be an idempotency key."""
    if not isinstance(key, str) or not key:
        raise TypeError(f"idempotency_key is a text that is not empty, not {key!r}")


@overload
def actor(fn: Callable[P, R], /) -> Actor[P, R]: ...
@overload
def actor(
    *,
    actor_name: str | None = None,
    queue_name: str = "default",
    priority: int = 0,
    retry: Retry | None = None,
    idempotency: Idempotency | None = None,
    time_limit: Duration | None = None,
    result_ttl: Duration | None = None,
    expected_duration: Duration | None = None,
    track_started: bool = True,
    ignore_result: bool = False,
    pure: bool = False,
    broker: Broker | None = None,
    **options: Any,
) -> Callable[[Callable[P, R]], Actor[P, R]]: ...


def actor(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    actor_name: str | None = None,
    queue_name: str = "default",
    priority: int = 0,
    retry: Retry | None = None,
    idempotency: Idempotency | None = None,
    time_limit: Duration | None = None,
    result_ttl: Duration | None = None,
    expected_duration: Duration | None = None,
    track_started: bool = True,
    ignore_result: bool = False,
    pure: bool = False,
    broker: Broker | None = None,
    **options: Any,
) -> Any:
    """Declare an actor. Durations are timedeltas or seconds.

    Args:
      actor_name: its name in messages; the function's by default.
      queue_name: the queue that its messages go to.
      priority: lower numbers first, among the waiting messages of a worker.
      retry: which failures run again; nothing is retried without it (R04).
      idempotency: at most one outcome per key (P3).
      time_limit: after this long the body is interrupted and the message fails (T01, T06).
      result_ttl: how long state and result can be read after the end (S09); the setting
        ``UNDERSTUDY_RESULT_TTL`` by default.
      expected_duration: how long the body takes as a rule; one declared shorter than a second need not report
        progress.
      track_started: show STARTED while the body runs (S03).
      ignore_result: keep the state, drop the return value (S11).
      pure: the body has no effect besides its result, so that running it twice does no harm.
      broker: the broker to declare it on; the installed one by default.
      options: what other middleware of the broker knows.

    Raises:
      DeclarationError: an unknown option, a wrong value, an impossible combination.
    """

    def declare(function: Callable[P, R]) -> Actor[P, R]:
        if not callable(function):
            raise DeclarationError(f"@actor decorates a function, not {function!r}; write @actor(actor_name=...)")
        name = _name(function, actor_name)
        target = broker or installed_broker()
        signature = inspect.signature(function)
        declared = ActorOptions(
            retry=_instance(name, "retry", retry, Retry),
            idempotency=_instance(name, "idempotency", idempotency, Idempotency),
            time_limit=_seconds(name, "time_limit", time_limit),
            result_ttl=_seconds(name, "result_ttl", result_ttl),
            expected_duration=_seconds(name, "expected_duration", expected_duration),
            track_started=_instance(name, "track_started", track_started, bool),
            ignore_result=_instance(name, "ignore_result", ignore_result, bool),
            pure=_instance(name, "pure", pure, bool),
            extra=dict(options),
        )
        _check(name, signature, declared)
        _check_names(name, queue_name, options, target)
        _check_guards(name, declared, target)
        _check_body(name, function)
        return _declared_class(declared, signature)(
            function,
            actor_name=name,
            queue_name=queue_name,
            priority=_instance(name, "priority", priority, int),
            broker=target,
            options=_dramatiq_options(declared),
        )

    return declare if fn is None else declare(fn)


def _declared_class(declared: ActorOptions, signature: inspect.Signature) -> type[Actor[Any, Any]]:
    """A class that carries the declaration already while Dramatiq's constructor announces the actor to the
    middleware (``after_declare_actor``)."""
    return type("Actor", (Actor,), {"declared": declared, "signature": signature})


def declared(actor: dramatiq.Actor[Any, Any]) -> ActorOptions:
    """What ``actor`` declares; the defaults for one that was declared with ``dramatiq.actor``."""
    return actor.declared if isinstance(actor, Actor) else _DEFAULTS


_DEFAULTS = ActorOptions()
_OPTION_NAMES = frozenset(inspect.signature(actor).parameters) - {"fn", "options"}


def installed_broker() -> Broker:
    """The broker that was installed in this process.

    Raises:
      DeclarationError: none was; Dramatiq would make one up, which nobody would know of.
    """
    found = dramatiq.broker.global_broker
    if found is None:
        raise DeclarationError(f"no broker is installed yet: {_HOW_TO_INSTALL}")
    return found


def registered_actor(broker: Broker, name: str) -> dramatiq.Actor[Any, Any]:
    """The actor called ``name``.

    Raises:
      UnknownActor: there is none; the message says which name is near.
    """
    found = broker.actors.get(name)
    if found is None:
        raise UnknownActor(f"no actor is called {name!r}{did_you_mean(name, broker.actors)}")
    return found


def _name(function: Callable[..., Any], actor_name: str | None) -> str:
    name = getattr(function, "__name__", None) if actor_name is None else actor_name
    if not isinstance(name, str) or not name:
        raise DeclarationError(f"{function!r} needs a name: write actor_name='...', a text that is not empty")
    return name


def _check_names(name: str, queue_name: str, options: dict[str, Any], broker: Broker) -> None:
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
            known = _OTHER_NAMES.get(option)
            hint = f"; did you mean {known}?" if known else did_you_mean(option, _OPTION_NAMES)
            raise DeclarationError(f"actor {name}: unknown option {option!r}{hint}")


def _check_guards(name: str, declared: ActorOptions, broker: Broker) -> None:
    """What is declared must be kept: without its middleware an idempotent actor would run unguarded (P12)."""
    for option in ("retry", "idempotency", "time_limit", "result_ttl"):
        if getattr(declared, option) is not None and option not in broker.actor_options:
            raise DeclarationError(
                f"actor {name}: no middleware of the installed broker knows {option!r}; {_HOW_TO_INSTALL}"
            )


def _check_body(name: str, function: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise DeclarationError(f"actor {name}: the body is a coroutine function; write a plain function")
    if inspect.isgeneratorfunction(function):
        raise DeclarationError(
            f"actor {name}: the body is a generator, which would never run; write a function that returns"
        )


def _check(name: str, signature: inspect.Signature, declared: ActorOptions) -> None:
    if declared.pure and declared.idempotency is not None:
        raise DeclarationError(
            f"actor {name}: pure=True says that running twice does no harm, idempotency=... that it must not "
            "happen; keep one of them"
        )
    limit, expected = declared.time_limit, declared.expected_duration
    if limit is not None and expected is not None and expected > limit:
        raise DeclarationError(
            f"actor {name}: expected_duration ({expected:g} s) is above time_limit ({limit:g} s), so it would "
            "always be stopped"
        )
    if declared.idempotency is not None:
        parameters = signature.parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        names = {p.name for p in parameters.values() if p.kind is not p.VAR_KEYWORD}
        for placeholder in sorted(declared.idempotency.placeholders):
            if placeholder not in names and not open_ended:
                raise DeclarationError(
                    f"actor {name}: idempotency key {declared.idempotency.key!r} names {placeholder!r}, which "
                    f"is not an argument of the function{did_you_mean(placeholder, names)}"
                )


def _instance(name: str, option: str, value: Any, kind: type[Any]) -> Any:
    if kind in (bool, int):
        if type(value) is not kind:
            wanted = "True or False" if kind is bool else "a whole number"
            raise DeclarationError(f"actor {name}: {option} is {wanted}, not {value!r}")
    elif value is not None and not isinstance(value, kind):
        hint = f"; write {kind.__name__}(...)" if value is not kind else f"; call it: {kind.__name__}()"
        raise DeclarationError(f"actor {name}: {option} takes a {kind.__name__} or None, not {value!r}{hint}")
    return value


def _seconds(name: str, option: str, value: Duration | None) -> float | None:
    return None if value is None else to_seconds(value, field=f"actor {name}: {option}")


def _dramatiq_options(declared: ActorOptions) -> dict[str, Any]:
    """What Dramatiq's own middleware reads, in its units."""
    options = dict(declared.extra)
    if declared.time_limit is not None:
        options["time_limit"] = to_millis(declared.time_limit)
    return options
