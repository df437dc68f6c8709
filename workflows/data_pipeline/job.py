"""What the steps of a pipeline tell one another: the job, the chunk, and reports. References only, never rows."""

from __future__ import annotations

import hashlib
from typing import Literal, NotRequired, TypedDict

from tasks.adapters.files import BadFile, Chunk, Kind, Options, find
from tasks.adapters.kinds import PYTHON
from tasks.adapters.sweeping import PIPELINE_QUARANTINE, PIPELINE_WORK
from understudy.options import did_you_mean

#: Where the files between the steps are, and what was refused, below ``FILES_ROOT`` or as a URL.
WORK, QUARANTINE = PIPELINE_WORK, PIPELINE_QUARANTINE
#: The column that is the key of a table whose rows have none.
ROW_NUMBER = "row_number"
#: What stands for "nothing" in a text file.
MISSING = ("", "NA", "N/A", "NULL", "null")


class Job(TypedDict):
    """One run of a pipeline, complete: every step gets it.

    Attributes:
      run: names it: its files, and what was loaded of it.
      mark: that of the source when it was looked at (see ``Place.mark``).
      options: how the source is read (see ``Reader.options``).
      columns: their kinds, in order; one that ends in "!" is required.
      key: the columns that make a row the same row.
      model, transformation: names of what a developer registered; None: made from ``columns``, and none.
      max_bad: the share of rows that may be refused.
      policy: "fail": a chunk that fails ends the run; "partial": the rest is loaded, and the summary tells.
      began: when, in seconds since 1970.
    """

    run: str
    source: str
    mark: str
    options: Options
    into: str | None
    table: str
    columns: dict[str, str]
    key: list[str]
    model: str | None
    transformation: str | None
    max_bad: float
    missing: list[str]
    work: str
    quarantine: str
    policy: Literal["fail", "partial"]
    rows: int
    began: float


class Report(TypedDict):
    """What became of a chunk in one step. ``seconds`` is how long the step took."""

    chunk: Chunk
    rows: int
    bad: int
    seconds: float
    loaded: NotRequired[int]


class Failed(TypedDict):
    """A chunk that failed for good, where failures are allowed."""

    chunk: int
    error: str


class Summary(TypedDict):
    """What came of a run. ``rows`` are ``valid`` or ``bad``, but for those of ``failed`` chunks; ``loaded`` is less
    than ``valid`` where a key came twice."""

    run: str
    source: str
    table: str
    rows: int
    valid: int
    bad: int
    loaded: int
    chunks: int
    failed: list[Failed]
    quarantine: str | None
    seconds: float
    seconds_by_step: dict[str, float]


def name_of_run(message_id: str) -> str:
    """A name for files and records, the same for every delivery of a message."""
    return hashlib.sha256(message_id.encode()).hexdigest()[:16]


def work_file(job: Job, step: str, index: int, kind: str = "parquet") -> str:
    """Where a step leaves what the next one takes up."""
    return f"{job['work']}/{job['run']}/{step}-{index:06}.{kind}"


def check_source(source: str, mark: str) -> None:
    """See that a source is still what was looked at.

    Raises:
      BadFile: it was written anew.
      FileNotFoundError, OSError: it is gone, or its store is away.
    """
    place = find(source)
    if place.mark() != mark:
        raise BadFile(f"{place.url} is not what it was when the run began: run it anew")


def kind_and_need(told: str) -> tuple[Kind, bool]:
    """``"integer!"`` as the kind, and whether it is required.

    Raises:
      ValueError: there is no such kind.
    """
    for kind in PYTHON:
        if told.removesuffix("!") == kind:
            return kind, told.endswith("!")
    hint = did_you_mean(told.removesuffix("!"), PYTHON)
    raise ValueError(f"{told!r} is no kind of column{hint}; there are {', '.join(PYTHON)}, and each with ! if required")
