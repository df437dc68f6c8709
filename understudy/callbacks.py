"""Callbacks of a message: ``on_success`` and ``on_failure``, what they may be and how they travel.

A callback is an actor, an actor's name, or a message that stands ready (``notify.message("ops")``), or a list of these.
It is sent once the message has ended, as ``callback(message_id, result or error, *its own arguments)``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import dramatiq
from dramatiq import Message

from .errors import DeclarationError

CALLBACKS = ON_SUCCESS, ON_FAILURE = "on_success", "on_failure"

#: What travels of one callback: an actor's name, or the fields of a message.
Travelling = str | dict[str, Any]
_FIELDS = ("queue_name", "actor_name", "args", "kwargs", "options")


def convert_callbacks(options: dict[str, Any], *, where: str = "") -> None:
    """Turn what a user writes into what travels, in place.

    Raises:
      DeclarationError: it is no callback. It is a ``TypeError``.
      SerializationError: an argument of a message cannot travel.
    """
    for name in CALLBACKS:
        given = options.get(name)
        if given is None:
            options.pop(name, None)
            continue
        several = given if isinstance(given, list | tuple) else [given]
        found = [travelling(one, field=f"{where}{name}") for one in several]
        # One name stays a text, as Dramatiq's own middleware reads it.
        options[name] = found[0] if len(found) == 1 and isinstance(found[0], str) else found


def message_of(callback: Travelling, queue_name: str | None) -> Message[Any]:
    """The message of a callback, a new one each time; ``queue_name`` is that of an actor given by name."""
    if isinstance(callback, str):
        return Message(queue_name=queue_name or "default", actor_name=callback, args=(), kwargs={}, options={})
    fields = {name: callback[name] for name in _FIELDS}
    return Message(**{**fields, "args": tuple(fields["args"]), "options": dict(fields["options"])})


def told(message: Message[Any], message_id: str, value: Any, *, root_id: str) -> Message[Any]:
    """``message`` with what it is told before its own arguments, as a child of the message that ended."""
    options = {**message.options, "parent_id": message_id, "root_id": root_id}
    return dataclasses.replace(message, args=(message_id, value, *message.args), options=options)


def name_of(callback: Travelling) -> str:
    """The name of its actor."""
    return callback if isinstance(callback, str) else str(callback["actor_name"])


def is_travelling(callback: object) -> bool:
    """Whether it can be what ``convert_callbacks`` has made. Others may have written the message."""
    if isinstance(callback, Mapping):
        kinds = (str, str, list | tuple, dict, dict)
        return all(isinstance(callback.get(name), kind) for name, kind in zip(_FIELDS, kinds, strict=True))
    return isinstance(callback, str) and bool(callback)


def travelling(given: object, *, field: str) -> Travelling:
    """What travels of one callback.

    Raises:
      DeclarationError: it is none.
    """
    if isinstance(given, dramatiq.Actor):
        return given.actor_name
    if isinstance(given, Message):
        given.encode()  # what cannot travel is told here
        return {name: value for name, value in given.asdict().items() if name in _FIELDS}
    if is_travelling(given):
        return given  # type: ignore[return-value]  # that is what was asked
    raise DeclarationError(f"{field} takes an actor, its name, a message of it, or a list of these, not {given!r:.80}")
