"""For services that cannot import ``tasks``: send to an actor by its name.

The queue is the one that workers announced for the actor when they started; give ``queue_name`` to send before
any worker has ever run. Arguments are checked by the worker only: a call that does not fit the function becomes
FAILURE ``TypeError`` there (S21).
"""

from __future__ import annotations

import inspect
from typing import Any

from dramatiq import Message

from .actors import check_key, named
from .brokers.settlement import SettlingBroker
from .durations import Duration, to_millis, to_seconds
from .errors import UnknownActor
from .options import check_message_options, did_you_mean
from .runtime import installed


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
    message_id: str | None = None,
    idempotency_key: str | None = None,
    **options: Any,
) -> Message[Any]:
    """Send a message by name, with options of its own.

    Args:
      queue_name: the actor's queue, when no worker has announced it.
      delay: a timedelta or seconds.
      message_id: a name of your own for the message (K01).
      idempotency_key: in place of the key that the actor declares (P3).
      options: ``time_limit`` (a timedelta or seconds), ``priority`` (a whole number), ``when`` (``"now"`` or
        ``"committed"``), and what the workers' middleware knows, which nobody can check here.

    Raises:
      UnknownActor: nobody announced such an actor and no ``queue_name`` is given.
      TypeError: an option that is misspelt, or has a wrong value.
      SerializationError: a value cannot travel; it names the path.
      MessageTooLarge, ServerUnavailable: nothing was sent.
    """
    broker = installed()
    for option in options:
        if option not in _OPTION_NAMES | broker.actor_options and (hint := did_you_mean(option, _OPTION_NAMES)):
            raise TypeError(f"unknown option {option!r}{hint}")
    if idempotency_key is not None:
        check_key(idempotency_key)
        options["idempotency_key"] = idempotency_key
    if options.get("time_limit") is None:
        options.pop("time_limit", None)
    else:
        options["time_limit"] = to_millis(to_seconds(options["time_limit"], field="time_limit"))
    check_message_options(options)
    wait = None if delay is None else to_millis(to_seconds(delay, field="delay", allow_zero=True))
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


_OPTION_NAMES = frozenset(inspect.signature(send_with_options).parameters) - {"options"} | {
    "time_limit",
    "priority",
    "when",
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
