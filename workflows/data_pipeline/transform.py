"""Transform: columns computed with polars, a chunk at a time. What is loaded afterwards has the declared types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from tasks.adapters.files import frame_types, read_frame, write_frame
from tasks.utils.error_handlers import TRANSFER_ERRORS
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, clock

from .job import Job, Report, kind_and_need, work_file

if TYPE_CHECKING:
    import polars

    Transformation = Callable[[polars.DataFrame], polars.DataFrame]

_TRANSFORMATIONS: dict[str, Transformation] = {}


def transformation(name: str) -> Callable[[Transformation], Transformation]:
    """Register a function from frame to frame under a name by which a run asks for it. It is given the rows of one
    chunk, and must keep the columns that the run declares. ::

    @transformation("hours")
    def in_hours(flights: pl.DataFrame) -> pl.DataFrame:
        return flights.with_columns(pl.col("air_time") / 60)

    Raises:
      ValueError: there is one of this name.
    """

    def register(function: Transformation) -> Transformation:
        if name in _TRANSFORMATIONS:
            raise ValueError(f"there are two transformations called {name!r}")
        _TRANSFORMATIONS[name] = function
        return function

    return register


def transformation_named(name: str) -> Transformation:
    """The function that was registered under ``name``.

    Raises:
      ValueError: there is none.
    """
    if name not in _TRANSFORMATIONS:
        known = ", ".join(sorted(_TRANSFORMATIONS)) or "none"
        raise ValueError(f"there is no transformation called {name!r}; there are {known}")
    return _TRANSFORMATIONS[name]


@actor(
    queue_name="pipeline",
    retry=STORE_RETRY,
    errors=TRANSFER_ERRORS,
    time_limit=timedelta(minutes=15),
    expected_duration=timedelta(milliseconds=500),
    idempotency=Idempotency(ttl=timedelta(days=7)),
)
def transform_chunk(job: Job, report: Report) -> Report:
    """Compute the rows of one chunk that are loaded.

    Raises:
      ValueError: the transformation left out a column, or gives one a type that it cannot have.
      OSError: the store of files is away; retried.
    """
    began = clock.monotonic()
    index = report["chunk"]["index"]
    frame = tidied(read_frame(work_file(job, "valid", index)), job["key"])
    if job["transformation"] is not None:
        frame = typed(transformation_named(job["transformation"])(frame), job)
    write_frame(work_file(job, "ready", index), frame)
    return Report(chunk=report["chunk"], rows=frame.height, bad=report["bad"], seconds=clock.monotonic() - began)


def tidied(frame: polars.DataFrame, key: list[str]) -> polars.DataFrame:
    """Texts without blanks around them, an empty one is none; of rows with the same key the last."""
    import polars as pl  # takes a while to import, and only this step computes

    texts = pl.col(pl.String).str.strip_chars()
    frame = frame.with_columns(pl.when(texts != "").then(texts).name.keep())
    return frame.unique(subset=key, keep="last", maintain_order=True) if key else frame


def typed(frame: polars.DataFrame, job: Job) -> polars.DataFrame:
    """The declared columns in their order, with their types.

    Raises:
      ValueError: one is not there, or a value does not fit.
    """
    import polars as pl

    if lost := [name for name in job["columns"] if name not in frame.columns]:
        raise ValueError(f"the transformation {job['transformation']!r} left out the column {lost[0]!r}")
    kinds = {name: kind_and_need(told)[0] for name, told in job["columns"].items()}
    try:
        return frame.select(pl.col(name).cast(kind) for name, kind in frame_types(kinds).items())
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"the transformation {job['transformation']!r}: {str(error).splitlines()[0]}") from None
