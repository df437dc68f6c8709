"""A TCP proxy in front of a server, that cuts connections at a named point of a named exchange, or all of them.

::

    client --request--> proxy --request--> server
           <--reply----       <--reply----
           (1) BEFORE the request goes on   (2) AFTER its effect, no byte of the reply goes on   (3) HALF of it does

What passes is told apart by ``exchanges.py``. A reply that tells of no effect is never cut.
"""

from __future__ import annotations

import math
import random
import select
import socket
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.chaos.exchanges import end_of, name_of, without_effect


class Point(Enum):
    """Where in an exchange the connection is cut."""

    BEFORE = "before the request"
    AFTER = "after its effect"
    HALF = "half-way through the reply"


class Line(Enum):
    """The state of the whole line."""

    OPEN = "open"
    REFUSING = "connections are closed as soon as they are made"
    BLACKHOLE = "connections are accepted, and nothing is ever answered"


@dataclass
class Cut:
    """A plan: cut the ``first`` exchange of this name from now on and each ``every`` th after it, ``times`` times.

    Attributes:
      chance: cut one by chance instead, so often of 1.
      done: how often it was cut.
    """

    name: str
    point: Point
    first: int = 1
    every: int = 1
    times: float = 1
    chance: float = 0.0
    seen: int = 0
    done: int = 0

    def hits(self, name: str, *, replied: bool) -> bool:
        """Whether this exchange is to be cut here; counts it."""
        if name != self.name or replied is (self.point is Point.BEFORE) or self.done == self.times:
            return False
        self.seen += 1
        if self.chance:
            due = random.random() < self.chance
        else:
            due = self.seen >= self.first and (self.seen - self.first) % self.every == 0
        if not due:
            return False
        self.done += 1
        return True


class Proxy:
    """Listens on a free loopback port and passes everything on to the server at ``target``, a unix socket.

    Attributes:
      requests: how many requests of each name came.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.requests: Counter[str] = Counter()
        self.line = Line.OPEN
        self._cuts: list[Cut] = []
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The server, as clients behind the proxy see it."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def cut(self, name: str, point: Point, *, first: int = 1, every: int = 1, times: int = 1) -> Cut:
        """Plan cuts of exchanges called ``name``: a script, ``fetch``, ``take-up``, or a command in small letters."""
        cut = Cut(name, point, first, every, times)
        with self._lock:
            self._cuts.append(cut)
        return cut

    def cut_by_chance(self, name: str, chance: float) -> None:
        """Cut exchanges of this name at every point by chance, so often of 1, until they are spared."""
        with self._lock:
            self._cuts += [Cut(name, point, times=math.inf, chance=chance / len(Point)) for point in Point]

    def made(self, name: str) -> int:
        """How often exchanges of this name were cut."""
        with self._lock:
            return sum(cut.done for cut in self._cuts if cut.name == name)

    def spare(self) -> None:
        """Forget all plans."""
        with self._lock:
            self._cuts.clear()

    def fail(self, line: Line) -> None:
        """From now on no connection works, neither those that are there nor new ones, until ``heal``."""
        with self._lock:
            self.line = line
            there = list(self._connections)
        for connection in there:
            connection.fail(line)

    def heal(self) -> None:
        """New connections work again; those of the outage are closed."""
        with self._lock:
            self.line = Line.OPEN
            there = list(self._connections)
        for connection in there:
            if connection.dead:
                connection.close()

    def close(self) -> None:
        """End it, and every connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        with self._lock:
            there = list(self._connections)
        for connection in there:
            connection.close()
            connection.thread.join()

    def doomed(self, name: str, reply: bytes | None = None) -> Point | None:
        """Where this exchange is to be cut now, if anywhere: asked with the request, and again with the reply."""
        with self._lock:
            if reply is None:
                self.requests[name] += 1
            elif without_effect(name, reply):
                return None
            hits = [cut.point for cut in self._cuts if cut.hits(name, replied=reply is not None)]
        return hits[0] if hits else None

    def ended(self, connection: _Connection) -> None:
        """A connection has ended."""
        with self._lock:
            self._connections.discard(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self.line is Line.REFUSING:
                    client.close()
                    continue
                connection = _Connection(self, client, dead=self.line is Line.BLACKHOLE)
                self._connections.add(connection)
            connection.thread.start()


class _Connection:
    """One client, and its connection to the server."""

    def __init__(self, proxy: Proxy, client: socket.socket, *, dead: bool) -> None:
        self._proxy, self._client, self.dead = proxy, client, dead
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._waiting: deque[str] = deque()
        self._requests, self._replies = bytearray(), bytearray()
        self._connected = self._subscribed = False
        self.thread = threading.Thread(target=self._run, name="proxied", daemon=True)

    def fail(self, line: Line) -> None:
        """It is dead from now on."""
        self.dead = True
        if line is Line.REFUSING:
            self.close()

    def close(self) -> None:
        """End it; its own thread closes the sockets."""
        self.dead = True
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        with suppress(OSError), self._client, self._server:
            if not self.dead:
                self._server.connect(str(self._proxy.target))
                self._connected = True
            while self._step():
                pass
        self._proxy.ended(self)

    def _step(self) -> bool:
        """Pass on what came; False when the connection is over."""
        ends = [self._client, self._server] if self._connected else [self._client]
        for end in select.select(ends, [], [])[0]:
            data = end.recv(65_536)
            if not data:
                return False
            if self.dead:
                continue  # it goes nowhere
            if end is self._client:
                self._requests += data
                if not self._pass_requests():
                    return False
            else:
                self._replies += data
                if not self._pass_replies():
                    return False
        return True

    def _pass_requests(self) -> bool:
        while (end := end_of(self._requests, 0)) is not None:
            name = name_of(self._requests)
            if self._proxy.doomed(name):
                return False
            self._subscribed = self._subscribed or name == "subscribe"
            self._waiting.append(name)
            self._server.sendall(self._requests[:end])
            del self._requests[:end]
        return True

    def _pass_replies(self) -> bool:
        if self._subscribed:  # more comes than was asked for
            self._client.sendall(self._replies)
            self._replies.clear()
            return True
        while (end := end_of(self._replies, 0)) is not None:
            reply = bytes(self._replies[:end])
            point = None if reply[:1] == b">" else self._proxy.doomed(self._waiting.popleft(), reply)
            if point is Point.HALF:
                self._client.sendall(reply[: len(reply) // 2])
            if point is not None:
                return False
            self._client.sendall(reply)
            del self._replies[:end]
        return True


@contextmanager
def proxy(target: Path) -> Iterator[Proxy]:
    """A proxy before the server at ``target``, ended at the end."""
    made = Proxy(target)
    try:
        yield made
    finally:
        made.close()
