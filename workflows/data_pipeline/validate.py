"""Validate: every row of a chunk becomes one with types, or a line in the quarantine that says why not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from tasks.adapters.arguments import part_of
from tasks.adapters.file_writers import as_text
from tasks.adapters.files import Chunk, Kind, Row, open_rows, open_writer
from tasks.utils.error_handlers import TRANSFER_ERRORS
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, clock, progress

from .job import ROW_NUMBER, Job, Report, check_source, kind_and_need, work_file
from .rows import Rows, usable_names

#: The columns of a quarantine.
REFUSED = ("row", "field", "reason", "value")
#: So much of a value is shown in a quarantine.
SHOWN = 200


class TooManyBadRows(ValueError):
    """More rows were refused than the run allows. Nothing was loaded."""


def too_many(bad: int, job: Job, quarantine: str | None) -> TooManyBadRows:
    """The error that says so."""
    where = "" if quarantine is None else f"; see {quarantine}"
    return TooManyBadRows(
        f"{bad:,} of {job['rows']:,} rows were refused, which is more than max_bad={job['max_bad']:g} allows; nothing "
        f"was loaded{where}"
    )


def allowed(job: Job) -> int:
    """How many rows may be refused."""
    return part_of(job["max_bad"], job["rows"])


@actor(
    queue_name="pipeline",
    retry=STORE_RETRY,
    errors=TRANSFER_ERRORS,
    time_limit=timedelta(minutes=15),
    idempotency=Idempotency(ttl=timedelta(days=7)),
)
def validate_chunk(job: Job, chunk: Chunk) -> Report:
    """Check the rows of one chunk. Leaves the good ones for the next step, and the others as a part of the quarantine.

    A run whose every row may be bad is another matter: how many there are in all is seen when all chunks are checked.

    Raises:
      BadFile, FileNotFoundError: the source is not what it was when the run began.
      OSError: its store is away; retried.
    """
    began = clock.monotonic()
    check_source(job["source"], job["mark"])
    rows = Rows(job["columns"], model=job["model"], missing=job["missing"])
    kinds: dict[str, Kind] = {name: kind_and_need(told)[0] for name, told in job["columns"].items()}
    bad = 0
    with (
        open_rows(job["source"], **job["options"]) as source,
        open_writer(work_file(job, "valid", chunk["index"]), rows.names, kinds=kinds) as valid,
        open_writer(work_file(job, "bad", chunk["index"], "jsonl"), REFUSED) as refused,
    ):
        names = usable_names(source.columns)
        for done, row in enumerate(source.read(chunk), 1):
            checked, lines = _checked(row, rows, names)
            if checked is None:
                bad += 1
                refused.write(lines)
            else:
                valid.write((checked,))
            if done % 500 == 0 or done == chunk["rows"]:
                progress.update(done, chunk["rows"], bad=bad)
    check_source(job["source"], job["mark"])
    if valid.rows + bad != chunk["rows"]:
        raise ValueError(f"{job['source']} is not what it was when the run began: run it anew")
    return Report(chunk=chunk, rows=valid.rows, bad=bad, seconds=clock.monotonic() - began)


def _checked(row: Row, rows: Rows, names: dict[str, str]) -> tuple[dict[str, Any] | None, Iterator[dict[str, Any]]]:
    if row.problem is not None:
        whole = as_text([*row.values.values(), *row.surplus])[:SHOWN]
        return None, iter([{"row": row.number, "field": "", "reason": row.problem, "value": whole}])
    values = {ROW_NUMBER: row.number} | {names.get(name, name): value for name, value in row.values.items()}
    checked, problems = rows.check(values)
    lines = (
        {"row": row.number, "field": field, "reason": reason, "value": str(values.get(field, ""))[:SHOWN]}
        for field, reason in problems
    )
    return checked, lines
