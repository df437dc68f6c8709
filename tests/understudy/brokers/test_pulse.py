"""The helper that renews a lease, as a real process beside a real worker process, on a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.understudy.brokers.servers import RealServer, real_server
from understudy.testing.conditions import wait_until

#: A worker process with nothing but its lease. It says the pid of its helper.
WORKER = """
import sys
from understudy.brokers.lease import Lease
from understudy.storage.client import Storage, connect
storage = Storage(connect(sys.argv[1]), namespace="t")
lease = Lease(storage, key="leases", worker="w", interval=0.05)
lease.start()
print(lease._helper.pid, flush=True)
sys.stdin.read()
lease.stop()
"""


class Pair:
    """A worker process, its helper, and the server as a third sees it."""

    def __init__(self, server: RealServer, worker: subprocess.Popen[str], helper: int) -> None:
        self.server, self.worker, self.helper = server, worker, helper

    def beats(self) -> int:
        client = redis.Redis.from_url(self.server.url)
        try:
            return int(client.hget("leases", "w") or 0)
        finally:
            client.close()

    def beats_again(self, times: int = 2) -> None:
        seen = self.beats()
        wait_until(lambda: self.beats() >= seen + times, what="the lease is renewed")

    def helper_lives(self) -> bool:
        try:
            state = Path(f"/proc/{self.helper}/stat").read_bytes().rpartition(b")")[2].split()[0]
        except FileNotFoundError:
            return False
        return state != b"Z"


@contextmanager
def pair(server: RealServer) -> Iterator[Pair]:
    client = redis.Redis.from_url(server.url)
    client.hset("leases", "w", "1")
    client.close()
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdin is not None
    try:
        yield Pair(server, worker, int(worker.stdout.readline()))
    finally:
        worker.kill()
        worker.wait()
        worker.stdin.close()
        worker.stdout.close()


@pytest.mark.parametrize("guarded", [False, True])
def test_it_beats_and_gives_a_password(tmp_path: Path, guarded: bool) -> None:
    with real_server(tmp_path, password="s3cr3t" if guarded else "") as server, pair(server) as both:
        both.beats_again()
        shown = Path(f"/proc/{both.helper}/cmdline").read_bytes()
        assert b"s3cr3t" not in shown
        assert b"s3cr3t" not in Path(f"/proc/{both.helper}/environ").read_bytes()


def test_it_does_not_beat_for_a_worker_that_is_stopped(tmp_path: Path) -> None:
    with real_server(tmp_path) as server, pair(server) as both:
        both.beats_again()
        os.kill(both.worker.pid, signal.SIGSTOP)
        stat = Path(f"/proc/{both.worker.pid}/stat")
        wait_until(lambda: stat.read_bytes().rpartition(b")")[2].split()[0] == b"T")
        # One beat may have been on its way; then the helper looks at its worker, again and again, and does not beat.
        wait_until(lambda: both.beats() == both.beats())
        seen = both.beats()
        for _ in range(10):
            looked = _looks(both.helper)
            wait_until(lambda looked=looked: _looks(both.helper) > looked)  # type: ignore[misc]
        assert both.beats() <= seen + 1
        os.kill(both.worker.pid, signal.SIGCONT)
        both.beats_again()


def _looks(helper: int) -> int:
    """How often the helper has been asleep: its voluntary switches of context."""
    lines = Path(f"/proc/{helper}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def test_it_ends_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    with real_server(tmp_path) as server, pair(server) as both:
        both.beats_again()
        both.worker.kill()
        wait_until(lambda: not both.helper_lives(), what="the helper ends")


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    with real_server(tmp_path) as server, pair(server) as both:
        both.beats_again()
        assert both.worker.stdin is not None
        both.worker.stdin.close()
        assert both.worker.wait(20) == 0
        wait_until(lambda: not both.helper_lives(), what="the helper ends")


def test_it_ends_when_its_lease_is_gone_and_makes_no_new_one(tmp_path: Path) -> None:
    with real_server(tmp_path) as server, pair(server) as both:
        both.beats_again()
        client = redis.Redis.from_url(server.url)
        client.delete("leases")
        wait_until(lambda: not both.helper_lives(), what="the helper ends")
        assert client.exists("leases") == 0
        client.close()


def test_it_comes_back_after_a_restart_of_the_server(tmp_path: Path) -> None:
    with real_server(tmp_path, aof=True) as server, pair(server) as both:
        both.beats_again()
        server.kill()
        assert both.helper_lives()
        server.start()
        both.beats_again()
