"""Load: a chunk goes into the table in one transaction, once, however often its message comes.

Chunks come in any order, and of rows with one key the last of the file is to stay: a chunk leaves out what a later one
has brought already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tasks.adapters.database import Transaction, open_database
from tasks.adapters.files import read_frame
from tasks.adapters.tables import Column, Table, applied_behind, apply_once, ensure, upsert
from tasks.utils.error_handlers import TRANSFER_ERRORS
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, clock, progress

from .job import ROW_NUMBER, Job, Report, kind_and_need, work_file

if TYPE_CHECKING:
    import polars


def table_of(job: Job) -> Table:
    """The table that the job loads into."""
    kinds = {name: kind_and_need(told) for name, told in job["columns"].items()}
    return Table(job["table"], {name: Column(*found) for name, found in kinds.items()}, key=tuple(job["key"]))


@actor(
    queue_name="pipeline",
    retry=STORE_RETRY,
    errors=TRANSFER_ERRORS,
    time_limit=timedelta(minutes=15),
    idempotency=Idempotency(ttl=timedelta(days=7)),
)
def load_chunk(report: Report, job: Job) -> Report:
    """Upsert the rows of one chunk. What was loaded already stays as it is.

    Raises:
      DatabaseRefused: the table does not take a row; the chunk is not loaded.
      DatabaseUnavailable, OSError: the database or the store of files is away; retried.
    """
    began = clock.monotonic()
    database, table = open_database(job["into"]), table_of(job)
    ensure(database, table)
    index = report["chunk"]["index"]

    def work(transaction: Transaction) -> int:
        ready = read_frame(work_file(job, "ready", index))
        if job["key"] != [ROW_NUMBER]:  # no two rows have the same number
            later = applied_behind(transaction, job["run"], index)
            ready = _without(ready, (read_frame(work_file(job, "ready", number)) for number in later), job["key"])
        return upsert(transaction, table, _told(ready.iter_rows(named=True), ready.height))

    loaded = apply_once(database, scope=job["run"], number=index, work=work).outcome
    return Report(
        chunk=report["chunk"], rows=report["rows"], bad=report["bad"], loaded=loaded, seconds=clock.monotonic() - began
    )


def _without(ready: polars.DataFrame, later: Iterable[polars.DataFrame], key: list[str]) -> polars.DataFrame:
    """The rows of a chunk whose key is in none of the others."""
    for other in later:
        ready = ready.join(other.select(key), on=key, how="anti", maintain_order="left")
    return ready


def _told(rows: Iterable[dict[str, Any]], total: int) -> Iterator[dict[str, Any]]:
    for done, row in enumerate(rows, 1):
        yield row
        if done % 500 == 0 or done == total:
            progress.update(done, total)
