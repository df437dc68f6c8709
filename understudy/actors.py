"""``@actor``: declares a Dramatiq actor with typed options that are checked at import.

Three things differ from ``dramatiq.actor``: an unknown option or an impossible combination fails at once and
says what was probably meant; arguments that do not fit the function raise ``TypeError`` in the sender (S21);
a value that cannot travel is refused in the sender with its path (S22).
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, ParamSpec, Protocol, TypeVar, overload

import dramatiq
import dramatiq.broker
from dramatiq import Broker, Message

from .asking import off_the_loop
from .breaking import CircuitBreaker
from .callbacks import CALLBACKS
from .deadlines import declared_options, millis_until
from .declaring import (
    DECLARED_ONLY,
    HOW_TO_INSTALL,
    LIMITS,
    arguments_to_log,
    check_body,
    check_guards,
    check_names,
    check_together,
    default_limit,
    dramatiq_options,
    instance,
    isolation_of,
    name_of,
    names_of,
    places_of,
    seconds,
)
from .durations import Duration
from .errors import DeclarationError, SerializationError, UnknownActor
from .handling import Errors
from .ids import new_id
from .keyed import ConcurrencyLimit, RateLimit
from .limits import MEMORY, check_limits
from .options import (
    ActorOptions,
    Idempotency,
    Isolation,
    Retry,
    Unique,
    check_key,
    check_message_options,
    did_you_mean,
    message_millis,
)
from .running import next_runner
from .sizes import Size, to_bytes

P = ParamSpec("P")
R = TypeVar("R")


class Actor(dramatiq.Actor[P, R]):
    """A Dramatiq actor whose declaration is kept, checked, in ``declared``."""

    declared: ActorOptions
    signature: inspect.Signature
    #: So many positional arguments and no others fit the function for certain: at least, at most.
    places: tuple[int, int]
    #: The names of its parameters, if so many positional arguments fill all of them; None if there are others.
    names: tuple[str, ...] | None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here and now (R19). A worker that calls it has said before what runs its body.

        Dramatiq's own would log the arguments.
        """
        runner = next_runner.get()
        if runner is None or runner.actor is not self:
            return self.fn(*args, **kwargs)
        next_runner.set(None)  # what the body itself calls is an ordinary function
        result: R = runner(args, kwargs)
        return result

    def message(self, *args: Any, **kwargs: Any) -> Message[R]:
        """Build a message. Arguments may be missing yet: in a workflow, or a pipeline, the result of what comes before
        is added, so no type checker asks for them here.

        Raises:
          TypeError: arguments that the function does not take (S21).
        """
        return self.message_with_options(args=args, kwargs=kwargs)

    def message_with_options(
        self,
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        message_id: str | None = None,
        **options: Any,
    ) -> Message[R]:
        """Build a message. ``message_id`` gives it a name of your own (K01); ``time_limit`` and ``soft_time_limit`` are
        a ``timedelta``, or whole milliseconds as everywhere in Dramatiq's own methods.

        Arguments may be missing yet: a pipeline adds the result of the message before.

        Raises:
          TypeError: arguments that the function does not take (S21), an unknown option, or a wrong value of one.
        """
        if kwargs or len(args) > self.places[1]:
            self._bind(self.signature.bind_partial, args, kwargs)
        if not options and message_id is None:  # as nearly always
            return Message(self.queue_name, self.actor_name, tuple(args), kwargs or {}, {}, new_id())
        self._check_options(options)
        # Dramatiq's own takes names of actors only.
        callbacks = {name: options.pop(name) for name in CALLBACKS if name in options}
        message = super().message_with_options(args=tuple(args), kwargs=kwargs, **options)
        message.options.update(callbacks)
        return message if message_id is None else named(message, message_id)

    def send_with_options(
        self,
        *,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        delay: timedelta | int | None = None,
        eta: datetime | None = None,
        **options: Any,
    ) -> Message[R]:
        """Send a message with options of its own.

        Args:
          delay: a ``timedelta``; a whole number is milliseconds, as everywhere in Dramatiq's own methods.
          eta: in place of ``delay``: not before this datetime, which knows its zone.
          options: ``message_id``, ``idempotency_key``, ``unique_key``, ``rate_limit_key`` and
            ``concurrency_limit_key`` (whose limit counts for this message), ``time_limit`` and ``soft_time_limit``
            (as ``delay``), ``memory_limit`` (bytes, or a text such as ``"512MiB"``), ``priority``, ``when``,
            ``expires`` (worth running for so long: a ``timedelta``, seconds, or a datetime that knows its zone),
            ``headers`` (a dict that the body finds), ``on_success`` and ``on_failure`` (what is sent at the end: an
            actor, its name, a message, or a list of these), and what the installed middleware knows.

        Raises:
          TypeError: when the arguments do not fit the function (S21), or an option is unknown or has a wrong value.
          SerializationError: when a value cannot travel; it names the argument and the path.
          AlreadyEnqueued: the actor is ``unique``, and a message with the same key stands; nothing was accepted.
          MessageTooLarge, ServerUnavailable: nothing was accepted.
        """
        if kwargs or not self.places[0] <= len(args) <= self.places[1]:
            self._bind(self.signature.bind, args, kwargs)
        wait = millis_until(eta, delay=delay, where=f"{self.actor_name}: ")
        if delay is not None:
            wait = message_millis(delay, field=f"{self.actor_name}: delay", allow_zero=True)
        try:
            return super().send_with_options(args=args, kwargs=kwargs, delay=wait, **options)
        except SerializationError as error:
            raise self._in_words_of_the_signature(error, args) from None

    async def asend(self, *args: P.args, **kwargs: P.kwargs) -> Message[R]:
        """``send`` for a coroutine: the event loop goes on while the server is asked."""
        return await self.asend_with_options(args=args, kwargs=kwargs)

    async def asend_with_options(self, **options: Any) -> Message[R]:
        """``send_with_options`` for a coroutine: the event loop goes on while the server is asked."""
        return await off_the_loop(self.send_with_options, **options)

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Every argument of the function by its name, defaults and ``**`` among them.

        Raises:
          TypeError: when they do not fit the function.
        """
        if self.names is not None and not kwargs and len(args) == len(self.names):
            return dict(zip(self.names, args, strict=True))
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
            if option in DECLARED_ONLY:
                raise TypeError(f"{self.actor_name}: {option} belongs to the actor's declaration, not to a message")
            if option not in known:
                hint = did_you_mean(option, {"message_id", "delay", *known} - DECLARED_ONLY)
                raise TypeError(f"{self.actor_name}: unknown option {option!r}{hint}")
        check_message_options(options, where=f"{self.actor_name}: ")
        self._check_limits(options)
        self._check_key(options, "idempotency_key", self.declared.idempotency, "idempotency=Idempotency(...)")
        self._check_key(options, "unique_key", self.declared.unique, "unique=Unique(...)")
        self._check_key(options, "rate_limit_key", self.declared.rate_limit, "rate_limit=RateLimit(...)")
        limit = self.declared.concurrency_limit
        self._check_key(options, "concurrency_limit_key", limit, "concurrency_limit=ConcurrencyLimit(...)")

    def _check_key(self, options: dict[str, Any], name: str, policy: object, declaration: str) -> None:
        if options.get(name) is None:
            options.pop(name, None)
            return
        check_key(options[name], field=name)
        if policy is None:
            article = "an" if name.startswith("i") else "a"
            raise TypeError(
                f"{self.actor_name} is not declared with {declaration}, so {article} {name} would have no effect"
            )

    def _check_limits(self, options: dict[str, Any]) -> None:
        for name in LIMITS:
            if options.get(name) is None:
                options.pop(name, None)
            else:
                options[name] = message_millis(options[name], field=f"{self.actor_name}: {name}")
        if options.get(MEMORY) is None:
            options.pop(MEMORY, None)
        elif self.declared.isolation == "thread":
            raise TypeError(f'{self.actor_name} is declared with isolation="thread", where no memory_limit can be kept')
        else:
            options[MEMORY] = to_bytes(options[MEMORY], field=f"{self.actor_name}: {MEMORY}")
        if any(name in options for name in LIMITS):
            hard, soft = (options.get(name, self.options.get(name)) for name in LIMITS)
            check_limits(
                None if hard is None else hard / 1000,
                None if soft is None else soft / 1000,
                where=self.actor_name,
                default=default_limit(self.broker),
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


class AsyncActor(Actor[P, R]):
    """An actor whose body is an ``async def`` function. ``fn`` is that function, not Dramatiq's blocking form of it."""

    def __init__(self, fn: Callable[P, Awaitable[R]], **options: Any) -> None:
        super().__init__(fn, **options)
        self.fn = fn  # type: ignore[assignment]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run the body here and now (R19): something to await where an event loop runs, else the result."""
        runner = next_runner.get()
        if runner is not None and runner.actor is self:
            next_runner.set(None)
            return runner(args, kwargs)
        body: Any = self.fn(*args, **kwargs)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(body)
        return body


def named(message: Message[Any], message_id: str) -> Message[Any]:
    """``message`` under a name of your own.

    Raises:
      TypeError: the name is not a text, or empty.
    """
    if not isinstance(message_id, str) or not message_id:
        raise TypeError(f"message_id is a text that is not empty, not {message_id!r}")
    return dataclasses.replace(message, message_id=message_id)


class _Declare(Protocol):
    """What ``@actor(...)`` is: it takes a function, or a coroutine function."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Actor[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Actor[P, R]: ...


@overload
def actor(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Actor[P, R]: ...
@overload
def actor(fn: Callable[P, R], /) -> Actor[P, R]: ...
@overload
def actor(
    *,
    actor_name: str | None = None,
    queue_name: str = "default",
    priority: int = 0,
    retry: Retry | None = None,
    errors: Errors | None = None,
    idempotency: Idempotency | None = None,
    unique: Unique | None = None,
    rate_limit: RateLimit | None = None,
    concurrency_limit: ConcurrencyLimit | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    time_limit: Duration | None = None,
    soft_time_limit: Duration | None = None,
    memory_limit: Size | None = None,
    isolation: Isolation | None = None,
    result_ttl: Duration | None = None,
    expected_duration: Duration | None = None,
    track_started: bool | None = None,
    ignore_result: bool = False,
    log_args: Sequence[str] = (),
    pure: bool = False,
    broker: Broker | None = None,
    **options: Any,
) -> _Declare: ...


def actor(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    actor_name: str | None = None,
    queue_name: str = "default",
    priority: int = 0,
    retry: Retry | None = None,
    errors: Errors | None = None,
    idempotency: Idempotency | None = None,
    unique: Unique | None = None,
    rate_limit: RateLimit | None = None,
    concurrency_limit: ConcurrencyLimit | None = None,
    circuit_breaker: CircuitBreaker | None = None,
    time_limit: Duration | None = None,
    soft_time_limit: Duration | None = None,
    memory_limit: Size | None = None,
    isolation: Isolation | None = None,
    result_ttl: Duration | None = None,
    expected_duration: Duration | None = None,
    track_started: bool | None = None,
    ignore_result: bool = False,
    log_args: Sequence[str] = (),
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
      errors: which failures are retried, fail at once, or are told to somebody (``understudy.handling``).
      idempotency: at most one outcome per key (P3): refuses a second execution.
      unique: at most one message per key waits or runs: refuses a second enqueue, in the sender.
      rate_limit: at most so many bodies begin within a time, in all workers together; the others wait for their turn.
      concurrency_limit: at most so many bodies run at once, in all workers together.
      circuit_breaker: while what the body calls is broken, it is left alone, and messages wait.
      time_limit: after this long the body is ended, whatever it does, and the message fails (T03, T06).
      soft_time_limit: after this long ``SoftTimeLimitExceeded`` is raised in the body, which may catch it (T01, T02).
      memory_limit: above so much resident memory of its process, the interpreter and modules included, the body is
        ended as at ``time_limit``, and the message fails with ``MemoryLimitExceeded``; bytes, or a text such as
        ``"512MiB"``.
      isolation: ``"process"`` runs the body in a process of its own, where limits can be kept; ``"thread"`` in the
        worker's, where they are best effort. By default a process if the actor, or the message, names a limit; for an
        ``async def`` body always the event loop, which cancels it at its limits.
      result_ttl: how long state and result can be read after the end (S09); the setting
        ``UNDERSTUDY_RESULT_TTL`` by default.
      expected_duration: how long the body takes as a rule; one declared shorter than a second need not report
        progress.
      track_started: show STARTED while the body runs (S03); the setting ``UNDERSTUDY_TRACK_STARTED`` by default.
      ignore_result: keep the state, drop the return value (S11).
      log_args: the names of arguments that hold no secret: log lines of an execution carry them, and no others.
      pure: the body has no effect besides its result, so that running it twice does no harm.
      broker: the broker to declare it on; the installed one by default.
      options: ``expires`` (a message that waited longer is REVOKED, E02), ``throws`` (exceptions that are expected:
        logged in one line, K06), ``on_success`` and ``on_failure`` (what is sent once a message has ended, as
        ``callback(message_id, result or error, ...)``: an actor, its name, a message, or a list; S24, R16), and what
        other middleware of the broker knows.

    Raises:
      DeclarationError: an unknown option, a wrong value, an impossible combination.
    """

    def declare(function: Callable[P, R]) -> Actor[P, R]:
        if not callable(function):
            raise DeclarationError(f"@actor decorates a function, not {function!r}; write @actor(actor_name=...)")
        name = name_of(function, actor_name)
        target = broker or installed_broker()
        signature = inspect.signature(function)
        declared = ActorOptions(
            retry=instance(name, "retry", retry, Retry),
            errors=instance(name, "errors", errors, Errors),
            idempotency=instance(name, "idempotency", idempotency, Idempotency),
            unique=instance(name, "unique", unique, Unique),
            rate_limit=instance(name, "rate_limit", rate_limit, RateLimit),
            concurrency_limit=instance(name, "concurrency_limit", concurrency_limit, ConcurrencyLimit),
            circuit_breaker=instance(name, "circuit_breaker", circuit_breaker, CircuitBreaker),
            time_limit=seconds(name, "time_limit", time_limit),
            soft_time_limit=seconds(name, "soft_time_limit", soft_time_limit),
            memory_limit=None if memory_limit is None else to_bytes(memory_limit, field=f"actor {name}: memory_limit"),
            isolation=isolation_of(name, isolation),
            result_ttl=seconds(name, "result_ttl", result_ttl),
            expected_duration=seconds(name, "expected_duration", expected_duration),
            track_started=None if track_started is None else instance(name, "track_started", track_started, bool),
            ignore_result=instance(name, "ignore_result", ignore_result, bool),
            log_args=arguments_to_log(name, signature, log_args),
            pure=instance(name, "pure", pure, bool),
            extra=declared_options(options, where=f"actor {name}: "),
        )
        check_together(name, signature, declared)
        check_limits(
            declared.time_limit,
            declared.soft_time_limit,
            where=f"actor {name}",
            default=default_limit(target),
        )
        check_names(name, queue_name, options, target, known=_OPTION_NAMES)
        check_guards(name, declared, target)
        check_body(name, function)
        base = AsyncActor if inspect.iscoroutinefunction(function) else Actor
        return _declared_class(base, declared, signature)(
            function,
            actor_name=name,
            queue_name=queue_name,
            priority=instance(name, "priority", priority, int),
            broker=target,
            options=dramatiq_options(declared),
        )

    return declare if fn is None else declare(fn)


def _declared_class(
    base: type[Actor[Any, Any]], declared: ActorOptions, signature: inspect.Signature
) -> type[Actor[Any, Any]]:
    """A class that carries the declaration already while Dramatiq's constructor announces the actor to the
    middleware (``after_declare_actor``)."""
    found = {"declared": declared, "signature": signature}
    found |= {"places": places_of(signature), "names": names_of(signature)}
    return type(base.__name__, (base,), found)


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
        raise DeclarationError(f"no broker is installed yet: {HOW_TO_INSTALL}")
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
