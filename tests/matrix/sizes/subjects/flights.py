"""The whole pipeline on flights with real dirt."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from tests.matrix.sizes.figures import Figure
from tests.matrix.sizes.runs import Run
from tests.matrix.sizes.scenes import scene
from tests.workflows.data_pipeline.flights import KEY, write_dirty
from workflows.data_pipeline import STEPS, run_pipeline
from workflows.data_pipeline.orchestrator import admit_chunks, summarise_run

FLOW = "workflow:data_pipeline"


@scene(FLOW, *STEPS)
def flights(run: Run) -> Iterator[Figure]:
    """Every good row is in the table, every bad one in quarantine, and nothing is left between the steps."""
    house, rows = run.house, run.of(1_000_000, 1_000)
    source = house.root / "flights.csv"
    with source.open("wb") as file:
        bad = write_dirty(file, rows)
    done = run.work([run_pipeline.message(source.name, "flights", key=KEY, chunk_rows=run.of(5_000, 500))])
    (summary,) = done.results
    good = rows - bad
    counted = {name: summary[name] for name in ("rows", "bad", "valid", "loaded", "failed")}
    assert counted == {"rows": rows, "bad": bad, "valid": good, "loaded": good, "failed": []}
    assert house.ask("SELECT COUNT(*) FROM flights") == good
    with Path(summary["quarantine"]).open(newline="", encoding="utf-8") as file:
        assert len({row["row"] for row in csv.DictReader(file)}) == bad
    assert not [path for path in house.root.glob("pipeline/work/**/*") if path.is_file()]
    size = source.stat().st_size / 1e6
    on = f"{rows:,} dirty rows of CSV, {size:,.0f} MB, {bad:,} bad, in {summary['chunks']} chunks"
    yield done.figure(FLOW, on, rows, "rows", "every good row in the table, every bad one in quarantine")
    for step in STEPS:
        # Two of them see no rows, only what was said of chunks.
        count, unit = (summary["chunks"], "chunks") if step in (admit_chunks, summarise_run) else (rows, "rows")
        yield done.of_bodies(step.actor_name, "its part of that", count, unit, "as the flow")
