"""Production's actors under kill -9 and a server that is restarted: exports, imports and webhooks, on real files,
tables and sockets."""

from __future__ import annotations

import csv
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.domain import Domain, domain
from tests.tasks.adapters.receiving import receiver
from understudy.handle import Handle
from understudy.testing.conditions import wait_until

TIMEOUT = 120.0
COLUMNS = {"id": "integer", "name": "text", "price": "number"}


def fill(run: Domain, rows: int) -> None:
    run.script(
        f"""
        PRAGMA journal_mode = WAL;
        CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT, price REAL);
        INSERT INTO goods WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
            SELECT i, 'name of ' || i, i / 4.0 FROM n;
        """
    )


def parts(run: Domain) -> int:
    return len(list(run.root.glob(".out.csv.*.parts/*.csv")))


def exported(run: Domain, *, kills: int, rows: int) -> Handle:
    """An export whose worker is killed so many times in the middle of it."""
    worker, found = run.start(), run.send("export", "export_rows", "goods", "out.csv")
    for n in range(1, kills + 1):
        wait_until(lambda n=n: parts(run) >= n, timeout=TIMEOUT, what=f"part {n}")  # type: ignore[misc]
        worker.kill()
        assert not (run.root / "out.csv").exists()
        worker = run.start()
    run.plant.wait_for_all([found], timeout=600)
    run.look()
    assert found.get()["rows"] == rows
    return found


def imported(run: Domain, *, kills: int, rows: int) -> Handle:
    """The file loaded into another table; the database notes each row that is written."""
    run.script(
        """
        CREATE TABLE copy (id INTEGER PRIMARY KEY, name TEXT, price REAL);
        CREATE TABLE noted (id INTEGER);
        CREATE TRIGGER inserted AFTER INSERT ON copy BEGIN INSERT INTO noted VALUES (NEW.id); END;
        CREATE TRIGGER updated AFTER UPDATE ON copy BEGIN INSERT INTO noted VALUES (NEW.id); END;
        """
    )
    found = run.send("import", "import_file", "out.csv", "copy", COLUMNS, ["id"])
    (worker,) = (worker for worker in run.plant.workers if worker.process is not None)
    for _ in range(kills):
        _await_more(run)
        worker.kill()
        worker = run.start()
    run.plant.wait_for_all([found], timeout=600)
    run.look()
    assert found.get()["loaded"] == rows
    assert run.ask("SELECT COUNT(*) FROM copy") == rows
    assert run.ask("SELECT COUNT(*) FROM noted") == rows, "a row was written twice"
    return found


def _await_more(run: Domain) -> None:
    before = run.ask("SELECT COUNT(*) FROM copy")
    wait_until(lambda: run.ask("SELECT COUNT(*) FROM copy") > before, timeout=TIMEOUT, what="more rows")


def test_killed_in_their_middle_an_export_is_whole_and_an_import_loads_every_row_once(tmp_path: Path) -> None:
    with domain(tmp_path) as run:
        fill(run, 40_000)
        exported(run, kills=1, rows=40_000)
        with (run.root / "out.csv").open(newline="") as file:
            assert [int(row["id"]) for row in csv.DictReader(file)] == list(range(1, 40_001))
        assert [path.name for path in run.root.iterdir() if path.name.endswith(".parts")] == []
        imported(run, kills=1, rows=40_000)


def test_webhooks_arrive_through_the_death_of_a_worker_and_a_restart_of_the_server(tmp_path: Path) -> None:
    allowed = {"WEBHOOK_SECRET": "s" * 24, "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128"}
    with receiver() as target, domain(tmp_path, **allowed) as run:
        worker = run.start()
        sent = [run.send("notification", "send_webhook", target.url(f"/{n}"), "ping") for n in range(40)]
        wait_until(lambda: len(target.seen) > 5, timeout=TIMEOUT)
        worker.kill()
        run.plant.server.kill()
        run.plant.server.start()
        run.start()
        run.plant.wait_for_all(sent, timeout=TIMEOUT)
        assert all(found.successful() for found in sent)
        arrived = Counter((path, headers["webhook-id"]) for _, path, headers, _ in target.seen)
        # One that comes twice comes under the same id: what the worker held when it died.
        assert set(arrived) == {(f"/{n}", found.id) for n, found in enumerate(sent)}


@pytest.mark.chaos_long
def test_a_million_rows_are_exported_and_imported_in_bounded_memory(tmp_path: Path) -> None:
    with domain(tmp_path) as run:
        fill(run, 1_000_000)
        for name, step in (("export", exported), ("import", imported)):
            began = time.monotonic()
            step(run, kills=2, rows=1_000_000)
            seconds = time.monotonic() - began
            sys.stderr.write(
                f"\n{name} of 1,000,000 rows: {seconds:.0f} s, at most {run.peak / 1024**2:.0f} MiB a process\n"
            )
        assert run.peak < 200 * 1024**2
