"""The callbacks of a message that has ended, as messages that belong to its outcome.

They are made where an outcome is concluded, so they follow from every end: of a body, of a hook that raised, of a hard
limit, of a message whose actor nobody knows, and of poison. What cannot be made is left out and told to the log: the
message has ended all the same.
"""

from __future__ import annotations

import logging
from typing import Any

from dramatiq import Message

from understudy import serialization
from understudy.callbacks import ON_FAILURE, ON_SUCCESS, is_travelling, message_of, name_of, told
from understudy.errors import UnknownActor
from understudy.exceptions import encode_exception
from understudy.options import lookup
from understudy.states import State
from understudy.uniqueness import mark

from .held import HeldMessage
from .transport import Transport

logger = logging.getLogger(__name__)

#: The option of each end.
_OPTIONS = {State.SUCCESS: ON_SUCCESS, State.FAILURE: ON_FAILURE}


def of_outcome(broker: Transport, held: HeldMessage) -> list[Message[Any]]:
    """What follows from the outcome of ``held``."""
    outcome = held.outcome
    option = _OPTIONS.get(outcome.state) if outcome.state is not None else None
    if option is None:
        return []
    callbacks = _declared(broker, held._message, option)
    if not callbacks:
        return []
    value: Any = None
    if option is ON_FAILURE:
        value = error_of(outcome.fields.get("exception", b""))
    elif outcome.fields.get("result"):
        value = serialization.loads(outcome.fields["result"])  # type: ignore[arg-type]  # encoded
    messages = _messages(broker, held._message, callbacks, value)
    if messages:
        known = outcome.fields.get("children", b"[]")
        children = serialization.loads(known)  # type: ignore[arg-type]  # encoded
        outcome.fields["children"] = serialization.dumps([*children, *(one.message_id for one in messages)])
    return messages


def of_both_ends(broker: Transport, message: Message[Any]) -> tuple[list[Message[Any]], list[Message[Any]]]:
    """What follows when ``message`` has succeeded, and when it has failed, of one that goes on as a workflow. What they
    are told stands open: it is found where they run."""
    good, bad = (_declared(broker, message, option) for option in (ON_SUCCESS, ON_FAILURE))
    return _messages(broker, message, good or (), None), _messages(broker, message, bad or (), None)


def of_failure(broker: Transport, message: Message[Any], error: Exception) -> list[Message[Any]]:
    """What follows when ``message`` has failed and nobody works on it."""
    callbacks = _declared(broker, message, ON_FAILURE)
    return _messages(broker, message, callbacks, error_of(encode_exception(error))) if callbacks else []


def _declared(broker: Transport, message: Message[Any], option: str) -> Any:
    actor = broker.actors.get(message.actor_name)
    found = lookup(option, message.options, {} if actor is None else actor.options, None)
    return found if found and broker.calls_back else None


def error_of(encoded: Any) -> dict[str, str]:
    """What a callback is told of an exception. The exception itself is found by the message's id."""
    record = serialization.loads(encoded) if encoded else {}
    return {"type": str(record.get("type", "")).replace(":", "."), "text": str(record.get("text", ""))}


def _messages(broker: Transport, message: Message[Any], callbacks: Any, value: Any) -> list[Message[Any]]:
    root = str(message.options.get("root_id") or message.message_id)
    found = []
    for callback in callbacks if isinstance(callbacks, list | tuple) else [callbacks]:
        try:
            if not is_travelling(callback):
                raise ValueError("it is no actor's name and no message")
            queue = _queue_of(broker, callback) if isinstance(callback, str) else None
            one = told(message_of(callback, queue), message.message_id, value, root_id=root)
            broker.emit_before("enqueue", one, None)
            mark(one, broker.actors)
            broker.check_size(one.encode())
            found.append(one)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message has ended all the same
            name = name_of(callback) if is_travelling(callback) else "?"
            logger.error(
                "%s[%s]: its callback %s cannot be sent, and is left out (%s)",
                message.actor_name,
                message.message_id,
                name,
                type(error).__name__,
            )
    return found


def _queue_of(broker: Transport, name: str) -> str:
    """The queue of the actor called ``name``, which another worker may know."""
    actor = broker.actors.get(name)
    if actor is not None:
        return actor.queue_name
    queue = broker.records.announced_queue(name)
    if queue is None:
        raise UnknownActor(f"nobody has announced an actor called {name!r}")
    return queue
