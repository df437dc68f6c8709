"""One trial: two schedulers, a job that is due every second, and kills at set times."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import redis

from benchmarks.process import ROOT

from .contenders import Contender
from .tally import Tally, Tick, by_fire_time, tally

#: Seconds after the first tick: whoever sent the last one is killed; another one is started; the same; the end.
KILL, START, KILL_AGAIN, END = 15, 25, 35, 60
#: Where the peers note their ticks: a list of "seconds process".
TICKS = "ticks"
NAMESPACE = "ticking"
STREAM = f"{NAMESPACE}:q:default:2"


class Trial:
    """Runs ``contender`` on the server at ``url``, with logs in ``directory``."""

    def __init__(self, contender: Contender, url: str, directory: Path) -> None:
        self._contender, self._url, self._directory = contender, url, directory
        self._server: Any = redis.Redis.from_url(url)
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, *, scale: float = 1.0) -> Tally:
        """The trial from beginning to end; ``scale`` shortens it."""
        try:
            self._start()
            self._start()
            began = self._first_tick()
            kills = []
            for moment, act in (
                (KILL, self._kill),
                (START, self._start),
                (KILL_AGAIN, self._kill),
                (END, lambda: None),
            ):
                _sleep_until(lambda: self._now() >= began + moment * scale)  # noqa: B023 - called at once
                killed = act()
                if killed is not None:
                    kills.append((self._now(), killed))
            return self._tally(began, round(END * scale) - 1, kills)
        finally:
            for process in self._processes:
                process.kill()
                process.wait()

    def _start(self) -> None:
        log = self._directory / f"{len(self._processes)}.log"
        environ = {
            **{name: value for name, value in os.environ.items() if name not in ("BROKER_URL", "UNDERSTUDY_MODULES")},
            "REDIS_URL": self._url,
            "UNDERSTUDY_NAMESPACE": NAMESPACE,
            "PYTHONPATH": str(ROOT),
            **self._contender.environ,
        }
        with log.open("wb") as output:
            self._processes.append(
                subprocess.Popen(
                    self._contender.command, env=environ, cwd=self._directory, stdout=output, stderr=output
                )
            )

    def _kill(self) -> int:
        """kill -9 of whoever sent the last tick."""
        pid = self._ticks()[-1].pid
        process = next((one for one in self._processes if one.pid == pid), None)
        assert process is not None, f"{pid} is none of the schedulers"
        process.send_signal(signal.SIGKILL)
        process.wait()
        return pid

    def _first_tick(self) -> float:
        _sleep_until(lambda: bool(self._ticks()))
        return self._ticks()[0].at

    def _ticks(self) -> list[Tick]:
        if not self._contender.says_what_for:
            pairs = (line.decode().split() for line in self._server.lrange(TICKS, 0, -1))
            return sorted((Tick(float(at), int(pid)) for at, pid in pairs), key=lambda tick: tick.at)
        return [Tick(int(entry.partition(b"-")[0]) / 1000, self._leader()) for entry, _ in self._entries()]

    def _entries(self) -> list[tuple[bytes, dict[bytes, bytes]]]:
        return list(self._server.xrange(STREAM))

    def _leader(self) -> int:
        return int((self._server.hget(f"{NAMESPACE}:leader", "where") or b"- 0").split()[-1])

    def _now(self) -> float:
        seconds, micros = self._server.time()
        return float(seconds) + float(micros) / 1_000_000

    def _tally(self, began: float, seconds: int, kills: list[tuple[float, int]]) -> Tally:
        ticks = self._ticks()
        if not self._contender.says_what_for:
            return tally(ticks, start=began, seconds=seconds, kills=kills)
        # The stream does not say who has sent: after a kill it is another one.
        found = tally(
            [Tick(tick.at, 0) for tick in ticks], start=began, seconds=seconds, kills=[(at, -1) for at, _ in kills]
        )
        fires = [_fire(fields[b"m"]) for _, fields in self._entries()]
        doubled, missed = by_fire_time(fires, first=min(fires), seconds=seconds)
        return Tally(seconds, found.sent, doubled, missed, found.takeovers)


def _fire(payload: bytes) -> int:
    """The second that a message of ours is for, from its id: ``tick@2026-03-01T12:00:00.123Z``."""
    text = payload.split(b"tick@", 1)[1].split(b"Z", 1)[0].decode()
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


def _sleep_until(condition: Callable[[], bool], timeout: float = 120.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the schedulers did not tick; see their logs")
        time.sleep(0.02)
