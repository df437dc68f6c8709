"""The unique key of a message: what it is, and the lock that a message sets where it is enqueued.

::

    send --unique, then add or later, in one script--> stands --settle (done), or its body begins (started)--> free
           |
           '--- another one stands: refused, and its id is told

The key travels with the message, so that whoever ends it can free the lock. But no lock counts on that: it is looked at
what has become of the message that set it (``stands`` in ``storage/lua/_ops.lua``), and at its time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import dramatiq
import msgspec
from dramatiq import Message

from .actors import Actor, declared
from .durations import to_seconds
from .options import Unique
from .serialization import to_wire

#: The option under which the key travels.
OPTION = "unique_key"

_REFUSAL = re.compile(rb"(\d+):(\d+):")


class Lock(msgspec.Struct, array_like=True, frozen=True):
    """What a message asks for. Durations in seconds.

    Attributes:
      name: the key, among those of its actor.
      until: until when it stands: ``"done"`` or ``"started"``.
      ttl: how long at the most, counted from when the message may run.
      expires_at: when the message does not begin any more, in seconds since the epoch; None when it always may.
    """

    name: str
    until: str
    ttl: float
    expires_at: float | None = None


def mark(message: Message[Any], actors: Mapping[str, dramatiq.Actor[..., Any]]) -> None:
    """Let the unique key of ``message`` travel with it, if its actor declares one.

    Raises:
      ValueError: the template does not fit the arguments.
      SerializationError: an argument cannot travel.
    """
    actor = actors.get(message.actor_name)
    policy = None if actor is None else declared(actor).unique
    if policy is not None and message.options.get(OPTION) is None and (key := _key(message, actor, policy)):
        message.options[OPTION] = key


def lock_of(message: Message[Any], actors: Mapping[str, dramatiq.Actor[..., Any]]) -> Lock | None:
    """The lock that a marked message sets; None when it has no unique key. A sender that does not know the actor takes
    the defaults of ``Unique``."""
    name = lock_name(message.actor_name, message.options)
    if name is None:
        return None
    actor = actors.get(message.actor_name)
    policy = Unique() if actor is None else declared(actor).unique
    if policy is None:
        return None
    return Lock(name, policy.until, to_seconds(policy.longest, field="Unique.ttl"), message.options.get("expires_at"))


def lock_name(actor_name: str, options: Mapping[str, Any]) -> str | None:
    """What is locked for a message with these options; None when it has no unique key."""
    key = options.get(OPTION)
    return f"{quote(actor_name, safe='')}:{key}" if isinstance(key, str) and key else None


def refusals(reply: bytes) -> dict[int, str]:
    """The operations that were refused, by their numbers, each with the id of the message that stands."""
    found, at = {}, 0
    while head := _REFUSAL.match(reply, at):
        at = head.end() + int(head[2])
        found[int(head[1])] = reply[head.end() : at].decode()
    return found


def _key(message: Message[Any], actor: dramatiq.Actor[..., Any] | None, policy: Unique) -> str | None:
    assert isinstance(actor, Actor)  # no other has a policy
    try:
        if policy.key is not None:
            return policy.render(actor.arguments(message.args, message.kwargs))
        bound = actor.signature.bind(*message.args, **message.kwargs)
    except TypeError:
        return None  # the body will fail with the same TypeError, and say it better
    bound.apply_defaults()
    plain = to_wire([list(bound.args), bound.kwargs], root="arguments")
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()
