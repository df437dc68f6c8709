"""Storage that weighs what each exchange costs the server: CPU time of its main thread."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from understudy.storage.client import Storage


class Weighing(Storage):
    """Asks the server for its CPU time before and after each exchange of this process, one at a time.

    A moment by the clock can be the machine's: it puts the server aside in favour of others, and a script that does
    next to nothing then takes long. CPU time is only what the server itself has done. Whatever else its main thread
    does between the two questions is counted along, so nothing is told too low.
    """

    lock: threading.Lock
    #: The largest weight of each exchange, in seconds, and how often it was made.
    heaviest: dict[str, float]
    counted: Counter[str]

    def weigh(self) -> None:
        """Weigh from now on."""
        self.lock, self.heaviest, self.counted = threading.Lock(), {}, Counter()

    def run(self, name: str, *given: Any, **more: Any) -> Any:
        with self.lock:
            before = self._used()
            try:
                return super().run(name, *given, **more)
            finally:
                self.counted[name] += 1
                self.heaviest[name] = max(self.heaviest.get(name, 0.0), self._used() - before)

    def _used(self) -> float:
        info: Any = self.client.info("cpu")
        return float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])
