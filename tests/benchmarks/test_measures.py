"""A smoke test: every kind of row, from end to end, with a handful of messages. No figure is judged."""

import math
from dataclasses import replace

import pytest

from benchmarks.contenders import GUARDED, STOCK, UNDERSTUDY, with_results
from benchmarks.lab import Server
from benchmarks.rows import ROWS, Row
from benchmarks.scale import Scale

TINY = Scale(
    drain=50,
    enqueue=20,
    bulk=50,
    io=50,
    samples=5,
    silences=1,
    silence=0.02,
    queued=50,
    delayed=50,
    settle=0.0,
    due=3,
    chain=5,
    chord=10,
    large_chord=10,
    recovery_limit=10.0,
)
#: Rows that differ from another one only in the peers they name, or in numbers.
ALIKE = {"drain-1", "drain-results", "enqueue", "chord-large"}


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in ALIKE], ids=lambda row: row.name)
def test_every_kind_of_row_can_be_measured(server: Server, row: Row) -> None:
    ours = GUARDED if row.name == "guards" else UNDERSTUDY
    values = row.measure(server, replace(ours, environ={"UNDERSTUDY_HEARTBEAT_TIMEOUT": "0.5"}), TINY)
    assert values.keys() >= {metric.key for metric in row.metrics}
    assert all(math.isfinite(value) for value in values.values())
    assert values[row.metrics[0].key] > 0


@pytest.mark.parametrize("row", [row for row in ROWS if row.name in ("chain", "chord")], ids=lambda row: row.name)
def test_a_peers_workflows_come_to_their_end(server: Server, row: Row) -> None:
    values = row.measure(server, with_results(STOCK), TINY)
    assert values[row.metrics[0].key] > 0
