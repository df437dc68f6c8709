"""A plant behind a proxy: workers and a sender whose connections can be cut, and a direct look at what took effect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dramatiq import Message

from tests.chaos.plant import Plant, Worker, plant
from tests.chaos.proxy import Proxy, proxy
from understudy.brokers.redis import RedisBroker
from understudy.handle import Handle
from understudy.holds import GROUP
from understudy.testing.conditions import wait_until

#: What a worker logs of a message that is not its own any more, or of a worker that is taken for dead.
_ZOMBIE = re.compile(r".*(?:was refused|taken for dead|is dead;|held by another worker|has lost it|unexpected error).*")


class Wired:
    """``plant`` is the direct way to the server; everything else goes through ``proxy``."""

    def __init__(self, direct: Plant, line: Proxy) -> None:
        self.plant, self.proxy = direct, line
        # Fails sooner than by default, so that a test of an outage need not be long.
        self.sender = RedisBroker(url=line.url, namespace=direct.namespace, socket_timeout=0.5)
        self._read = 0

    def worker(self, *, threads: int = 4, **environment: str) -> Worker:
        """A worker that writes each progress at once."""
        given = {"REDIS_URL": self.proxy.url, "UNDERSTUDY_PROGRESS_INTERVAL": "0", **environment}
        return self.plant.worker(threads=threads, environment=given)

    def beats(self) -> dict[str, int]:
        """How often each worker process that has a lease has renewed it, by its name."""
        storage = self.plant.broker.storage
        raw: Any = storage.client.hgetall(storage.keys.leases)
        return {name.decode(): int(beats) for name, beats in raw.items()}

    def workers(self, number: int, *, threads: int = 4) -> set[str]:
        """So many workers that are ready; the names of their processes."""
        started = [self.worker(threads=threads) for _ in range(number)]

        def there() -> bool:
            assert not any(worker.ended() for worker in started), self.plant.logs()
            return len(self.beats()) == number

        wait_until(there, timeout=60, what="the workers are ready")
        return set(self.beats())

    def send(self, actor: str, *args: Any, delay: int | None = None) -> Handle:
        """Send through the proxy, ``delay`` in milliseconds; the handle reads directly.

        Raises:
          ServerUnavailable: nothing is known of the message.
        """
        return self.attempt(self.message(actor, *args), delay=delay)

    def message(self, actor: str, *args: Any) -> Message[Any]:
        """A message that is not sent yet."""
        return Message(queue_name="chaos", actor_name=actor, args=args, kwargs={}, options={})

    def attempt(self, message: Message[Any], *, delay: int | None = None) -> Handle:
        """Send a message that was made before."""
        self.sender.enqueue(message, delay=delay)
        return self.handle(message)

    def handle(self, message: Message[Any]) -> Handle:
        """Looks at a message directly."""
        return Handle(message.message_id, self.plant.broker.records)

    def entries(self) -> int:
        """How many entries the queue's streams were ever given: one for each delivery that was made possible."""
        return sum(int(client.xinfo_stream(stream)["entries-added"]) for client, stream in self._streams())

    def pending(self) -> list[int]:
        """How many entries are held, stream by stream, whoever holds them."""
        return [int(client.xpending(stream, GROUP)["pending"]) for client, stream in self._streams()]

    def zombies(self) -> list[str]:
        """Every line of the workers' logs since the last call that speaks of a message or a lease that was lost."""
        logs = "".join(worker.said() for worker in self.plant.workers)
        new, self._read = logs[self._read :], len(logs)
        return _ZOMBIE.findall(new)

    def _streams(self) -> list[tuple[Any, str]]:
        direct = self.plant.broker
        client = direct.storage.client
        return [(client, stream) for stream in direct.keys_of("chaos").streams if client.exists(stream)]


@contextmanager
def wired(directory: Path) -> Iterator[Wired]:
    """A plant in ``directory`` behind a proxy; everything is stopped at the end."""
    with plant(directory) as direct, proxy(direct.server.socket) as line:
        made = Wired(direct, line)
        try:
            yield made
        finally:
            made.sender.close()
            for worker in direct.workers:
                worker.kill()  # before the line is taken from it
