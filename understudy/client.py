"""For services that cannot import ``tasks``: send to an actor by its name.

The queue is the one that workers announced for the actor when they started; give ``queue_name`` to send before
any worker has ever run. Arguments are checked by the worker only: a call that does not fit the function becomes
FAILURE ``TypeError`` there (S21).
"""

from __future__ import annotations

import inspect
from datetime import datetime
from typing import Any

from dramatiq import Message

from .actors import named
from .brokers.settlement import SettlingBroker
from .deadlines import millis_until
from .durations import Duration, to_millis, to_seconds
from .errors import UnknownActor
from .limits import MEMORY, check_limits
from .options import check_key, check_message_options, did_you_mean
from .runtime import installed
from .sizes import to_bytes


def send(actor_name: str, /, *args: Any, **kwargs: Any) -> Message[Any]:
    """Send a message to the actor called ``actor_name``. See ``send_with_options``."""
    return send_with_options(actor_name, args=args, kwargs=kwargs)


def send_with_options(
    actor_name: str,
    /,
    *,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    queue_name: str | None = None,
    delay: Duration | None = None,
    eta: datetime | None = None,
    message_id: str | None = None,
    idempotency_key: str | None = None,
    unique_key: str | None = None,
    **options: Any,
) -> Message[Any]:
    """Send a message by name, with options of its own.

    Args:
      queue_name: the actor's queue, when no worker has announced it.
      delay: a timedelta or seconds.
      eta: in place of ``delay``: not before this datetime, which knows its zone.
      message_id: a name of your own for the message (K01).
      idempotency_key: in place of the key that the actor declares (P3).
      unique_key: refuse this message if another of the actor stands under the same key. If the actor is not imported
        here nobody knows what it declares: no key is made of the arguments, and this one holds until the message is
        done, for a day at most.
      options: ``time_limit``, ``soft_time_limit`` and ``expires`` (a timedelta or seconds), ``memory_limit`` (bytes, or
        a text such as ``"512MiB"``), ``priority`` (a whole number), ``headers``, ``when`` (``"now"`` or
        ``"committed"``), and what the workers' middleware knows, which nobody can check here.

    Raises:
      UnknownActor: nobody announced such an actor and no ``queue_name`` is given.
      TypeError: an option that is misspelt, or has a wrong value.
      SerializationError: a value cannot travel; it names the path.
      AlreadyEnqueued: another message stands under the same unique key; nothing was sent.
      MessageTooLarge, ServerUnavailable: nothing was sent.
    """
    broker = installed()
    for option in options:
        if option not in _OPTION_NAMES | broker.actor_options and (hint := did_you_mean(option, _OPTION_NAMES)):
            raise TypeError(f"unknown option {option!r}{hint}")
    if idempotency_key is not None:
        check_key(idempotency_key)
        options["idempotency_key"] = idempotency_key
    if unique_key is not None:
        check_key(unique_key, field="unique_key")
        options["unique_key"] = unique_key
    limits = {name: options.pop(name, None) for name in ("time_limit", "soft_time_limit")}
    seconds = {name: to_seconds(limit, field=name) for name, limit in limits.items() if limit is not None}
    check_limits(seconds.get("time_limit"), seconds.get("soft_time_limit"), where=actor_name)
    options.update({name: to_millis(limit) for name, limit in seconds.items()})
    if options.get(MEMORY) is not None:
        options[MEMORY] = to_bytes(options[MEMORY], field=MEMORY)
    check_message_options(options)
    wait = (
        millis_until(eta, delay=delay)
        if delay is None or eta is not None
        else to_millis(to_seconds(delay, field="delay", allow_zero=True))
    )
    message: Message[Any] = Message(
        queue_name=_queue_of(broker, actor_name) if queue_name is None else queue_name,
        actor_name=actor_name,
        args=tuple(args),
        kwargs=dict(kwargs or {}),
        options=options,
    )
    if message_id is not None:
        message = named(message, message_id)
    broker.declare_queue(message.queue_name)
    return broker.enqueue(message, delay=wait)


def message(actor_name: str, *args: Any, queue_name: str | None = None, **kwargs: Any) -> Message[Any]:
    """A message by name that is not sent: a step for ``chain`` and its like.

    Raises:
      UnknownActor: nobody announced such an actor and no ``queue_name`` is given.
      ServerUnavailable: the server could not be asked.
    """
    broker = installed()
    queue = _queue_of(broker, actor_name) if queue_name is None else queue_name
    broker.declare_queue(queue)
    return Message(queue_name=queue, actor_name=actor_name, args=args, kwargs=kwargs, options={})


_OPTION_NAMES = frozenset(inspect.signature(send_with_options).parameters) - {"options"} | {
    "time_limit",
    "soft_time_limit",
    "memory_limit",
    "priority",
    "when",
    "expires",
    "headers",
}


def _queue_of(broker: SettlingBroker, actor_name: str) -> str:
    if actor_name in broker.actors:
        return broker.actors[actor_name].queue_name
    queue = broker.records.announced_queue(actor_name)
    if queue is None:
        announced = broker.records.announced_actors()
        raise UnknownActor(
            f"no worker has announced an actor called {actor_name!r}{did_you_mean(actor_name, announced)}; "
            "start a worker, or pass queue_name"
        )
    return queue
