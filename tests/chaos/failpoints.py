"""A worker that kills itself at an exact point of its traffic with the server, named by the environment.

``CHAOS_FAILPOINTS`` is a list such as ``fetch:after:1,settle:before:1``: an exchange, whether the process dies before
it is sent or when it has taken effect and nobody has looked at the reply, and which of them, counted from 1. Only those
that concern the message ``CHAOS_TARGET`` count, or name ``CHAOS_NAMED`` if that is given, and each point kills once in
the life of a test: ``CHAOS_FLAGS`` is where that is remembered. It is a composition root of its own, with actors of its
own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dramatiq

from middleware.stack import stack
from tests.chaos.journal import Commits, Noting, effect
from understudy.brokers.redis import RedisBroker
from understudy.encoder import MessageEncoder
from understudy.settings import Settings, load
from understudy.storage.client import BLOCKING_TIMEOUT, NEVER, Storage, Value, connect


@dataclass
class Failpoint:
    """One point at which the process kills itself."""

    name: str
    when: str
    nth: int

    @classmethod
    def all(cls) -> list[Failpoint]:
        """Those that the environment names."""
        words = [point.split(":") for point in os.environ["CHAOS_FAILPOINTS"].split(",") if point]
        return [cls(name, when, int(nth)) for name, when, nth in words]

    def pass_by(self, name: str, when: Literal["before", "after"]) -> None:
        """Kill the process if this is the point, for the first time."""
        if (name, when) != (self.name, self.when):
            return
        self.nth -= 1
        if self.nth:
            return
        flag = f"{self.name}-{self.when}"
        try:
            os.close(os.open(Path(os.environ["CHAOS_FLAGS"], flag), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        effect(f"killed {flag}")
        os.kill(os.getpid(), signal.SIGKILL)


class Deliveries:
    """Which entries of the streams are the target's, as the reads of this process tell."""

    def __init__(self) -> None:
        self.points = Failpoint.all()
        self._target = os.environ["CHAOS_TARGET"].encode()
        named = os.environ.get("CHAOS_NAMED")
        self._entries = set() if named is None else {named.encode()}

    def learn(self, reply: Any) -> bool:
        """Note the target's entries in the reply to a read; False when there are none."""
        pairs = reply.items() if isinstance(reply, dict) else reply or ()
        entries = [entry for _, found in pairs for entry in found]
        found = {entry for entry, fields in entries if fields and self._target in repr(fields).encode()}
        self._entries |= found
        return bool(found)

    def concern(self, values: Iterable[Value]) -> bool:
        """Whether one of ``values`` names such an entry."""
        texts = [value if isinstance(value, bytes) else str(value).encode() for value in values]
        return any(entry in text for entry in tuple(self._entries) for text in texts)

    def pass_by(self, name: str, when: Literal["before", "after"]) -> None:
        """Die here if that is asked for."""
        for point in self.points:
            point.pass_by(name, when)


class FailingStorage(Storage):
    """A storage whose exchanges about the target pass the failpoints."""

    deliveries: Deliveries

    def run(self, name: str, keys: Iterable[str], args: Iterable[Value] = (), **more: Any) -> Any:
        keys, args = list(keys), list(args)
        concerned = self.deliveries.concern([*keys, *args])
        if concerned:
            self.deliveries.pass_by(name, "before")
        reply = super().run(name, keys, args, **more)
        if concerned:
            self.deliveries.pass_by(name, "after")
        return reply

    def call(self, *command: Value, name: str | None = None, **more: Any) -> Any:
        reply = super().call(*command, name=name, **more)
        if name == "fetch" and self.deliveries.learn(reply):
            self.deliveries.pass_by(name, "after")
        return reply


def _storage(settings: Settings, deliveries: Deliveries, **options: Any) -> FailingStorage:
    storage = FailingStorage(connect(settings.server_url, **options), namespace=settings.namespace)
    storage.deliveries = deliveries
    return storage


settings = load(Settings)
deliveries = Deliveries()
broker = RedisBroker(
    _storage(settings, deliveries),
    settings,
    [*stack(settings), Noting(), Commits()],
    reader=_storage(settings, deliveries, socket_timeout=BLOCKING_TIMEOUT, retry=NEVER),
)
dramatiq.set_encoder(MessageEncoder())
dramatiq.set_broker(broker)

from tests.chaos.failing_actors import gather, goes_on, guarded, leaf, step, target, tell  # noqa: E402 - declared on the broker that was set above

__all__ = ["gather", "goes_on", "guarded", "leaf", "step", "target", "tell"]
