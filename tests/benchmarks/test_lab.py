import os

import redis

from benchmarks.contenders import UNDERSTUDY
from benchmarks.lab import Server, fresh_server


def test_a_measurement_finds_the_server_empty_and_leaves_no_process(server: Server) -> None:
    server.client.set("left-over", 1)
    with server.bench(UNDERSTUDY, capacity=10) as bench:
        assert server.client.dbsize() == 0
        worker = bench.worker()
        assert worker.process.ask("facts")["rss"] > 0
        pid = worker.process.pid
        (tape,) = bench.tapes
    assert not tape.exists()
    assert not _exists(pid)


def test_each_measurement_has_a_namespace_of_its_own(server: Server) -> None:
    with server.bench(UNDERSTUDY, capacity=10) as one, server.bench(UNDERSTUDY, capacity=10) as other:
        assert one.namespace != other.namespace


def test_the_server_says_what_it_is_and_when_it_writes_to_disk(server: Server) -> None:
    assert "appendfsync everysec" in server.facts()
    assert server.facts().split()[0] in {"Valkey", "Redis"}
    assert server.used_memory() > 0


def test_workers_are_bound_to_cores_only_when_asked(server: Server) -> None:
    assert server.core(0) is None


def test_every_side_can_be_made_to_go_through_tcp_and_workers_to_stay_on_a_core() -> None:
    with fresh_server("always", pin=True, tcp=True) as server:
        assert server.url.startswith("redis://127.0.0.1:")
        assert redis.Redis.from_url(server.url).ping()
        assert "TCP on loopback" in server.facts()
        assert "appendfsync always" in server.facts()
        assert server.core(0) in os.sched_getaffinity(0)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
