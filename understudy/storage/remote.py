"""The server as a process sees it that has no connection of its own: every exchange is asked of somebody who has one.

So what is held is held in one place, and a process that is killed leaves no half-sent command behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import redis
from redis.client import PubSub

from understudy.errors import ServerUnavailable

from .client import Storage, Value
from .keys import Keys

#: Asks for an exchange: ``"run"`` or ``"call"``, and what it takes. Raises what the exchange raised.
Ask = Callable[..., Any]

#: Seconds between two looks of whoever waits.
LOOK_AGAIN = 0.05


class RemoteStorage(Storage):
    """``Storage`` through ``ask``. Nothing is heard with it: whoever waits looks again now and then."""

    def __init__(self, ask: Ask, *, namespace: str) -> None:
        self.keys = Keys(namespace)
        self.can_wait = True
        self.interceptor = None
        self._ask = ask
        self.client = _Client(ask)

    def run(self, name: str, keys: Sequence[str], args: Iterable[Value] = (), *, called: str | None = None) -> Any:
        return self._ask("run", name, list(keys), list(args), called)

    def call(self, *command: Value, name: str | None = None, insist: bool = False) -> Any:
        return self._ask("call", command, name, insist)

    def subscribe(self, *channels: str, confirmed: bool = False) -> PubSub:
        return _Silence()

    def address(self) -> NoReturn:
        raise RuntimeError("a body in a process of its own has no connection to the server")

    def close(self) -> None:
        """Does nothing: there is no connection."""


class _Silence(PubSub):
    """A channel on which nothing is heard."""

    def __init__(self) -> None:
        """Without a connection."""

    def get_message(self, ignore_subscribe_messages: bool = False, timeout: float | None = 0.0) -> None:
        """Comes back soon, so that whoever waits looks again."""
        time.sleep(LOOK_AGAIN if timeout is None else max(0.0, min(timeout, LOOK_AGAIN)))

    def close(self) -> None:
        """Does nothing."""

    def __del__(self) -> None:
        """Nothing to let go of."""


class _Client(redis.Redis):
    """A client whose commands are asked for one by one."""

    def __init__(self, ask: Ask) -> None:
        # Redis's own constructor would make a pool of connections; what it sets is taken from one that never connects.
        super().__init__(connection_pool=redis.ConnectionPool())
        self._asking = ask

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return self._asking("call", args, None, False)

    def pipeline(self, transaction: Any = True, shard_hint: Any = None) -> Any:
        return _Pipeline(self._asking)

    def pubsub(self, **kwargs: Any) -> PubSub:
        raise RuntimeError('a body in a process of its own cannot subscribe; declare the actor with isolation="thread"')


class _Pipeline(_Client):
    """Collects commands; asks for them one after the other."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._commands: list[tuple[Any, ...]] = []

    def execute_command(self, *args: Any, **options: Any) -> Any:
        self._commands.append(args)
        return self

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The replies in turn."""
        commands, self._commands = self._commands, []
        replies: list[Any] = []
        for command in commands:
            try:
                replies.append(self._asking("call", command, None, False))
            except ServerUnavailable as error:
                if raise_on_error:
                    raise
                replies.append(error)
        return replies
