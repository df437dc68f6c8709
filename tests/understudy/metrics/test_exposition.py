"""The words of Prometheus, and who says them."""

from __future__ import annotations

import socket
from urllib.request import urlopen

from prometheus_client import CollectorRegistry, generate_latest

from understudy.errors import ServerUnavailable
from understudy.inspection import Queue
from understudy.metrics.exposition import Exporter, Readings
from understudy.metrics.reading import Executions, Reading
from understudy.testing.conditions import wait_until

READING = Reading(
    executions=[
        Executions("send", "email", "success", count=3, seconds=1.5, buckets={0.5: 1, 1.0: 1, float("inf"): 1}),
        Executions("send", "email", "handed_back", count=2),
    ],
    queues=[Queue("email", waiting=5, held=2, delayed=1, dead=4, announced=True, oldest=7.5)],
    workers=2,
)


def text(read: object) -> str:
    registry = CollectorRegistry()
    registry.register(Readings(read))  # type: ignore[arg-type]  # a function
    return generate_latest(registry).decode()


def test_a_reading_is_said_in_prometheuss_words() -> None:
    lines = [line for line in text(lambda: READING).splitlines() if not line.startswith("#")]
    label = 'actor="send",outcome="success",queue="email"'
    assert [line for line in lines if "created" not in line] == [
        "understudy_server_up 1.0",
        'understudy_executions_total{actor="send",outcome="success",queue="email"} 3.0',
        'understudy_executions_total{actor="send",outcome="handed_back",queue="email"} 2.0',
        'understudy_body_seconds_bucket{actor="send",le="0.5",outcome="success",queue="email"} 1.0',
        'understudy_body_seconds_bucket{actor="send",le="1.0",outcome="success",queue="email"} 2.0',
        'understudy_body_seconds_bucket{actor="send",le="+Inf",outcome="success",queue="email"} 3.0',
        f"understudy_body_seconds_count{{{label}}} 3.0",
        f"understudy_body_seconds_sum{{{label}}} 1.5",
        'understudy_queue_waiting{queue="email"} 5.0',
        'understudy_queue_held{queue="email"} 2.0',
        'understudy_queue_delayed{queue="email"} 1.0',
        'understudy_queue_dead{queue="email"} 4.0',
        'understudy_queue_oldest_seconds{queue="email"} 7.5',
        "understudy_workers 2.0",
    ]


def test_a_server_that_does_not_answer_is_told_as_such() -> None:
    def away() -> Reading:
        raise ServerUnavailable("connection refused")

    assert [line for line in text(away).splitlines() if not line.startswith("#")] == ["understudy_server_up 0.0"]


def test_the_next_process_takes_the_port_when_it_is_free() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]

    def asked() -> str:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def serves(workers: int) -> bool:
        try:
            return f"understudy_workers {workers}.0" in asked()
        except OSError:
            return False

    first, second = (Exporter(lambda n=n: Reading([], [], n), host="127.0.0.1", port=port) for n in (1, 2))  # type: ignore[misc]
    first.start()
    wait_until(lambda: serves(1), what="the first serves")
    second.start()
    assert serves(1)
    first.stop()
    wait_until(lambda: serves(2), what="the second serves")
    second.stop()
    assert not serves(2)
