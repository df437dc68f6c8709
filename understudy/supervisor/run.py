"""The supervisor as the command line runs it: real processes, real signals."""

from __future__ import annotations

import select
from collections.abc import Sequence

from understudy.settings import Settings

from .kept import Kept
from .loop import Ended, Supervisor
from .process import Link
from .signals import Signals
from .spawn import Spawned, Spawner


def supervise(settings: Settings, queues: Sequence[str] = (), *, beside: Sequence[Kept] = ()) -> Ended:
    """Run ``settings.processes`` worker processes until they are told to stop, or cannot be started.

    Settings reach the processes through the environment of this one. ``queues`` are the only ones to work on; none
    means all. What is to run ``beside`` them is started too; whoever made it ends it. Call it in the main thread of a
    process that has no other.
    """
    spawner = Spawner(queues)
    links: list[Spawned] = []

    def spawn(number: int) -> Link:
        links.append(spawner(number))
        return links[-1]

    supervisor = Supervisor(spawn, processes=settings.processes, shutdown_timeout=settings.shutdown_timeout)
    with Signals() as signals:
        while (ended := supervisor.run_once()) is None:
            links[:] = [link for link in links if link.fileno() is not None]
            # Whatever ends when all is told to stop has not ended by itself.
            for kept in () if supervisor.stopping else beside:
                kept.run_once()
            pause = min([supervisor.pause(), *(kept.pause() for kept in beside)])
            _wait([signals.wake, *(link.fileno() for link in links)], pause)
            for request in signals.taken():
                supervisor.ask(request)
    return ended


def _wait(descriptors: Sequence[int | None], timeout: float) -> None:
    """Until one of them is readable, or ``timeout`` seconds."""
    poll = select.poll()  # select() refuses descriptors above 1,023
    for descriptor in descriptors:
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
    poll.poll(timeout * 1000)
