"""What a worker process does beside its messages: started marks, delayed messages, the lease, the dead.

Two threads repeat two steps, ``run_once`` and ``promote``; tests call the steps. They start when a worker boots and not
before: a process that only sends has none of this.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any

from understudy import clock
from understudy.errors import LeaseLost, ServerUnavailable
from understudy.holds import GROUP
from understudy.storage.client import Value

from .held import HeldMessage
from .lease import Lease
from .reaper import Reaper
from .sharing import give_up_stuck, share
from .staging import pump
from .transport import Transport
from .workflows import fan, sweep

logger = logging.getLogger(__name__)

#: Seconds for which started marks gather: a body that is shorter needs none.
GATHER = 0.005
#: Delayed messages promoted in one step, and the longest sleep in ms until the next look.
PROMOTE, LONGEST_SLEEP = 200, 1000
#: Seconds between two looks for workflows whose time is over.
SWEEP = 10.0


class Upkeep:
    """The upkeep of one worker process.

    Attributes:
      running: whether its threads run; without them every mark is written at once.
      reaper: gives back what dead workers held.
    """

    def __init__(self, broker: Transport) -> None:
        self.broker = broker
        self.reaper = Reaper(broker)
        self.running = False
        self._starts: deque[HeldMessage] = deque()
        self._wake = threading.Event()
        self._idle = True
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pulse: Lease | None = None
        self._helping = threading.Lock()
        self._next_look = 0.0
        self._next_sweep = 0.0

    # -- life --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads; the helper follows with the lease. Called when a worker boots."""
        if self.running:
            return
        self._stop.clear()
        self.running = True
        for name, target in (("upkeep", self._keep), ("delays", self._promote)):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads and the helper. What is held is seen as a dead worker's when the lease has run out."""
        if not self.running:
            return
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self._threads.clear()
        with self._helping:
            self.running = False
            if self._pulse is not None:
                self._pulse.stop()
                self._pulse = None
        self.broker.retire()

    def enrolled(self, worker: str) -> None:
        """This process has a lease under the name ``worker`` now: keep it alive."""
        broker = self.broker
        with self._helping:
            if not self.running:
                return
            if self._pulse is not None:
                self._pulse.stop()
            self._pulse = Lease(
                broker.storage,
                key=broker.storage.keys.leases,
                worker=worker,
                interval=broker.settings.heartbeat_timeout / 4,
            )
            self._pulse.start()

    # -- started marks -----------------------------------------------------------------------------------

    def begins(self, held: HeldMessage) -> None:
        """The body of ``held`` begins. A suspect's mark is on the server before it does.

        Raises:
          ServerUnavailable: it could not be written.
          LeaseLost: another worker has it.
        """
        if self.running and not held.hold.suspect:
            self._starts.append(held)
            if self._idle:
                self._idle = False
                self._wake.set()
            return
        if not self._mark([held]):
            raise LeaseLost(f"message {held.message_id} is held by another worker now; its body did not run here")

    def _flush_starts(self) -> None:
        starts = [self._starts.popleft() for _ in range(len(self._starts))]
        running = [held for held in starts if not held.ended]
        if not running:
            return
        try:
            self._mark(running)
        except ServerUnavailable:
            self._starts.extendleft(reversed(running))  # a death that is not counted must not be the rule
            raise

    def _mark(self, starts: list[HeldMessage]) -> int:
        keys, worker = self.broker.storage.keys, self.broker.worker_id
        names = [keys.started(worker)]
        numbers: dict[str, int] = {}
        args: list[Value] = [GROUP, worker]

        def number(key: str) -> int:
            if key not in numbers:
                names.append(key)
                numbers[key] = len(names) + 1  # the clock comes before them
            return numbers[key]

        for held in starts:
            execution = held.execution
            track = execution is not None and execution.tracks(self.broker.settings.track_started)
            held.started = worker
            args += (
                number(held.hold.stream),
                held.hold.entry,
                held.hold.token,
                "alone" if held.alone else "1",
                number(keys.state(held.message_id)) * (1 if track else -1),
                keys.channel(held.message_id),
                held.actor_name,
                held.queue_name,
            )
        return int(self.broker.storage.run("started", [keys.clock, *names], args))

    # -- steps -------------------------------------------------------------------------------------------

    def look_after_helper(self) -> None:
        """Start the helper again if it has ended. It ends by itself when the lease is gone, which the reaper sees."""
        with self._helping:
            if self._pulse is not None and not self._pulse.alive():
                logger.warning("the helper that renews this worker's lease has ended; starting it again")
                self._pulse.start()

    def run_once(self) -> None:
        """Write gathered marks; look at the leases."""
        self._flush_starts()
        self.reaper.run_once()
        give_up_stuck(self.broker)

    def promote_once(self) -> float:
        """Promote what is due in every queue; seconds until the next is due, at most ``LONGEST_SLEEP`` ms."""
        broker, wait = self.broker, float(LONGEST_SLEEP)
        pump(broker)
        fan(broker)
        self._sweep()
        queues = [broker.keys_of(name) for name in sorted(broker.queues)]
        names = [broker.storage.keys.clock, *(key for queue in queues for key in queue.promoted)]
        moved = PROMOTE
        while moved == PROMOTE:
            moved, left = broker.storage.run("promote", names, [PROMOTE])
        if left >= 0:
            wait = min(wait, float(left))
        return wait / 1000

    def _sweep(self) -> None:
        """What is over may lie a while longer; in a worker this is done now and then only."""
        if clock.monotonic() >= self._next_sweep or not self.running:
            self._next_sweep = clock.monotonic() + SWEEP
            sweep(self.broker)

    def _keep(self) -> None:
        interval = min(self.broker.settings.heartbeat_timeout / 5, 1.0)
        while not self._stop.is_set():
            try:
                if clock.monotonic() >= self._next_look:
                    self._next_look = clock.monotonic() + interval
                    self.reaper.run_once()
                    self.look_after_helper()
                    share(self.broker)
                    give_up_stuck(self.broker)
                self._flush_starts()
                self.broker.committer.flush()
                self.broker.work.nudge()
            except ServerUnavailable as error:
                logger.warning("upkeep waits for the server: %s", error)
            except Exception:
                logger.exception("upkeep: unexpected error; going on")
            if self._starts or len(self.broker.committer) or self.broker.work.waits_for_a_thread:
                self._stop.wait(GATHER)
                continue
            self._wake.clear()
            self._idle = True
            if not self._starts:
                self._wake.wait(max(0.0, self._next_look - clock.monotonic()))
            self._idle = False
            self._stop.wait(GATHER)

    def _promote(self) -> None:
        """Promote, and sleep until the next one is due or an earlier one comes in.

        The sleep is measured here: the server looks at the timeouts of blocked clients ten times a second only.
        """
        told: Any = None
        while not self._stop.is_set():
            try:
                # Subscribed before looking, so that nothing that comes in after the look is missed.
                told = told or self.broker.storage.subscribe(self.broker.storage.keys.wake)
                wait = self.promote_once()
                if wait > 0:
                    with self.broker.storage.exchange("wake"):
                        told.get_message(timeout=wait)
            except ServerUnavailable as error:
                logger.warning("delayed messages wait for the server: %s", error)
                _closed(told)
                told = None
                self._stop.wait(0.5)
            except Exception:
                logger.exception("delays: unexpected error; going on")
                _closed(told)
                told = None
                self._stop.wait(1.0)
        _closed(told)


def _closed(told: Any) -> None:
    if told is not None:
        told.close()
