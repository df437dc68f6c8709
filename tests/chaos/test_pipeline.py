"""A load of real flights whose workers are killed in its middle: every row arrives, and none twice."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message

from tests.chaos.plant import Plant
from tests.workflows.data_pipeline.flights import KEY, dirty
from understudy.handle import Handle
from understudy.testing.conditions import wait_until

#: Seconds. A hundred thousand rows take a minute and a half on two busy cores, and each death some ten seconds more.
PATIENCE = 600
TABLE = ", ".join(f'"{name}" {"TEXT" if name in ("carrier", "origin") else "INTEGER"} NOT NULL' for name in KEY)
OTHERS = "dep_time, dep_delay, arr_time, sched_arr_time, arr_delay, tailnum, dest, air_time, distance, hour, minute"


class Load:
    """A load on real workers. Each insert and update is noted by the database, in the transaction that does it."""

    def __init__(self, plant: Plant, directory: Path, rows: int) -> None:
        self.plant, self.rows = plant, rows
        data, self.bad = dirty(rows)
        (directory / "flights.csv").write_bytes(data)
        self.database = directory / "flights.sqlite"
        self.environment = {"FILES_ROOT": str(directory), "DATABASE_URL": f"sqlite:///{self.database}"}
        key = ", ".join(KEY)
        new = "NEW.rowid"
        with closing(sqlite3.connect(self.database)) as connection:
            connection.executescript(
                f"""
                PRAGMA journal_mode = WAL;
                CREATE TABLE flights ({TABLE}, {OTHERS}, time_hour, rmarks, PRIMARY KEY ({key}));
                CREATE TABLE noted (row INTEGER);
                CREATE TRIGGER inserted AFTER INSERT ON flights BEGIN INSERT INTO noted VALUES ({new}); END;
                CREATE TRIGGER updated AFTER UPDATE ON flights BEGIN INSERT INTO noted VALUES ({new}); END;
                """
            )
        self.peak = 0

    def start(self, **more: Any) -> Any:
        return self.plant.worker(module="workflows", threads=4, environment=self.environment, **more)

    def send(self, chunk_rows: int) -> Handle:
        message: Message[Any] = Message(
            queue_name="pipeline",
            actor_name="run_pipeline",
            args=("flights.csv", "flights"),
            kwargs={"key": KEY, "chunk_rows": chunk_rows},
            options={},
        )
        self.plant.broker.declare_queue("pipeline")
        self.plant.broker.enqueue(message)
        return Handle(message.message_id, self.plant.broker.records)

    def ask(self, query: str) -> int:
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            return int(connection.execute(query).fetchone()[0])

    def loaded(self) -> int:
        self.peak = max([self.peak, *(_peak(pid) for worker in self.plant.workers for pid in _below(worker))])
        return self.ask("SELECT COUNT(*) FROM flights")

    def judge(self, found: Handle) -> dict[str, Any]:
        """Wait for the end, and see that each good row is there, by one insert and no update."""
        self.plant.wait_for_all([found], timeout=PATIENCE)
        summary: dict[str, Any] = found.get()
        good = self.rows - self.bad
        assert (summary["rows"], summary["bad"], summary["valid"]) == (self.rows, self.bad, good)
        assert summary["loaded"] == good
        assert self.ask("SELECT COUNT(*) FROM flights") == good
        assert self.ask("SELECT COUNT(*) FROM noted") == good, "a row was written twice"
        assert self.ask("SELECT COUNT(DISTINCT row) FROM noted") == good
        return summary


def tell(run: Load, seconds: float) -> None:
    """The figures, for whoever runs it with ``-s``."""
    peak = run.peak / 1024**2
    sys.stderr.write(f"\n{run.rows:,} rows, {run.bad:,} bad: {seconds:.0f} s, at most {peak:.0f} MiB a process\n")


@contextmanager
def load(directory: Path, rows: int) -> Iterator[Load]:
    plant = Plant(directory / "plant")
    try:
        (directory / "files").mkdir()
        yield Load(plant, directory / "files", rows)
    finally:
        plant.close()


def _below(worker: Any) -> list[int]:
    """The processes of a worker, those that run bodies among them."""
    waiting, found = worker.processes(), list[int]()
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        # Those that run bodies are children of the threads that made them.
        for threads in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                waiting += [int(child) for child in threads.read_text().split()]
    return found


def _peak(pid: int) -> int:
    """The most memory that a process ever had resident, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def kill_in_the_middle(run: Load, worker: Any, *, beyond: int) -> None:
    wait_until(lambda: run.loaded() > beyond, timeout=PATIENCE, what=f"more than {beyond} rows")
    worker.kill()


@pytest.mark.timeout(300)
def test_a_worker_killed_in_the_middle_of_a_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with load(tmp_path, 10_000) as run:
        worker = run.start()
        found = run.send(chunk_rows=500)
        kill_in_the_middle(run, worker, beyond=0)
        assert 0 < run.loaded() < run.rows - run.bad
        assert not found.ready()
        run.start()
        run.judge(found)


@pytest.mark.chaos_long
def test_a_hundred_thousand_flights_arrive_once_although_workers_die(tmp_path: Path) -> None:
    with load(tmp_path, 100_000) as run:
        began = time.monotonic()
        worker = run.start(processes=2)
        found = run.send(chunk_rows=2_500)
        for _ in range(5):
            kill_in_the_middle(run, worker, beyond=run.loaded())
            worker = run.start(processes=2)
        run.judge(found)
        run.loaded()
        seconds = time.monotonic() - began
        tell(run, seconds)
        assert run.peak < 500 * 1024**2


@pytest.mark.chaos_long
def test_a_hundred_thousand_flights_without_any_trouble(tmp_path: Path) -> None:
    with load(tmp_path, 100_000) as run:
        run.start(processes=2)
        began = time.monotonic()
        found = run.send(chunk_rows=5_000)
        wait_until(lambda: run.loaded() > 0 and found.ready(), timeout=PATIENCE, what="the end")
        run.judge(found)
        seconds = time.monotonic() - began
        tell(run, seconds)
        assert run.peak < 500 * 1024**2
