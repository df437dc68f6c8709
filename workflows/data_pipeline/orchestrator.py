"""The whole pipeline: what follows what, how much dirt is too much, and what came of it.

::

    run_pipeline: extract
      |  chord
      |-- validate_chunk 0 --.
      |-- validate_chunk 1 --+-- admit_chunks: are there too many bad rows? Then nothing is loaded
      '-- ...              --'     |  chord
                                   |-- transform_chunk 0 -> load_chunk 0 --.
                                   |-- transform_chunk 1 -> load_chunk 1 --+-- summarise_run
                                   '-- ...                               --'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from dramatiq import Message

from tasks.adapters.files import Options, find, open_rows, open_writer
from tasks.utils.error_handlers import TRANSFER_ERRORS
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, chain, chord, clock
from understudy.actors import Actor
from understudy.canvas import Canvas

from .job import MISSING, QUARANTINE, WORK, Failed, Job, Report, Summary, work_file
from .load import load_chunk
from .planning import plan
from .transform import transform_chunk
from .validate import REFUSED, allowed, too_many, validate_chunk

_KEPT = Idempotency(ttl=timedelta(days=7))


@actor(
    queue_name="pipeline", retry=STORE_RETRY, errors=TRANSFER_ERRORS, time_limit=timedelta(hours=1), idempotency=_KEPT
)
def run_pipeline(
    source: str,
    table: str,
    into: str | None = None,
    *,
    key: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    model: str | None = None,
    transformation: str | None = None,
    max_bad: float = 0.05,
    chunk_rows: int = 5_000,
    policy: Literal["fail", "partial"] = "fail",
    missing: Sequence[str] = MISSING,
    options: Options | None = None,
    work: str = WORK,
    quarantine: str = QUARANTINE,
) -> Canvas:
    """Load a file into a table: CSV, JSON Lines, Parquet or XLSX, below ``FILES_ROOT`` or at a URL of fsspec.

    The result is a ``Summary``. A run that failed goes on where it stopped when its workflow is resumed.

    Args:
      into: None is ``DATABASE_URL`` of the workers; ``env:NAME_URL`` another variable; or ``sqlite:///path``.
      key: the columns by which a row replaces an earlier one. Without, it is the number of the row in the file.
      columns: their kinds by the names in the table: ``{"id": "integer!", "note": "text"}``; "!" is required. Without,
        they are found out, and none is required.
      model: in their place, the name of a model of pydantic (see ``row_model``).
      transformation: the name of a function of frames (see ``transformation``).
      max_bad: the share of rows that may be refused; with more nothing is loaded.
      policy: "fail": a chunk that fails for good ends the run (others that run are finished). "partial": the rest is
        loaded, and the summary names it.
      missing: texts that stand for nothing.
      options: format, encoding, delimiter, sheet, where they cannot be found out.
      work, quarantine: where the files between the steps go, and the rows that were refused. ``clean_up`` sweeps those
        that are named here, and work below ``FILES_SWEPT``; after that a run that failed cannot be resumed.

    Raises:
      FileRefused, BadFile, FileNotFoundError: the source cannot be read.
      DatabaseRefused: ``into`` may not be used, or ``table`` and ``key`` cannot be a table.
      ValueError: another argument is wrong.
    """
    job, chunks = plan(
        source,
        table,
        into,
        key=key,
        columns=columns,
        model=model,
        transformation=transformation,
        max_bad=max_bad,
        chunk_rows=chunk_rows,
        policy=policy,
        missing=missing,
        options=options or {},
        work=work,
        quarantine=quarantine,
    )
    return chord(
        [validate_chunk.message(job, chunk) for chunk in chunks], body=_after(admit_chunks, job), policy=policy
    )


@actor(
    queue_name="pipeline",
    retry=STORE_RETRY,
    errors=TRANSFER_ERRORS,
    time_limit=timedelta(minutes=15),
    expected_duration=timedelta(milliseconds=500),
    # The quarantine is the same, however often it is written.
    pure=True,
)
def admit_chunks(checked: Sequence[Report | BaseException], job: Job) -> Canvas:
    """Write the quarantine, and let the good rows be loaded if there are not too many bad ones.

    Raises:
      TooManyBadRows: there are; nothing is loaded. The message names the quarantine.
      OSError: the store of files is away; retried.
    """
    good = [report for report in checked if not isinstance(report, BaseException)]
    bad = sum(report["bad"] for report in good)
    quarantine = _quarantined(job, good) if bad else None
    if bad > allowed(job):
        raise too_many(bad, job, quarantine)
    failed = _failed(checked)
    return chord(
        [chain(transform_chunk.message(job, report), _after(load_chunk, job)) for report in good],
        body=_after(summarise_run, job, good, failed, quarantine),
        policy=job["policy"],
    )


@actor(
    queue_name="pipeline",
    retry=STORE_RETRY,
    errors=TRANSFER_ERRORS,
    time_limit=timedelta(minutes=15),
    expected_duration=timedelta(milliseconds=500),
    idempotency=_KEPT,
)
def summarise_run(
    loaded: Sequence[Report | BaseException],
    job: Job,
    checked: Sequence[Report],
    failed: Sequence[Failed],
    quarantine: str | None,
) -> Summary:
    """Say what came of a run, and remove the files between its steps.

    Raises:
      OSError: the store of files is away; retried.
    """
    good = [report for report in loaded if not isinstance(report, BaseException)]
    places = [report["chunk"]["index"] for report in checked]
    _clean_up(job, places)
    return Summary(
        run=job["run"],
        source=job["source"],
        table=job["table"],
        rows=job["rows"],
        valid=sum(report["rows"] for report in checked),
        bad=sum(report["bad"] for report in checked),
        loaded=sum(report.get("loaded", 0) for report in good),
        chunks=len(checked) + len(failed),
        failed=[*failed, *_failed(loaded, places)],
        quarantine=quarantine,
        seconds=clock.now() - job["began"],
        seconds_by_step={
            "validate": sum(report["seconds"] for report in checked),
            "load": sum(report["seconds"] for report in good),
        },
    )


def _after(actor: Actor[..., Any], *rest: Any) -> Message[Any]:
    """A message whose first argument will be what comes before it."""
    return actor.message(*rest)


def _failed(outcomes: Sequence[Any], places: Sequence[int] | None = None) -> list[Failed]:
    return [
        Failed(chunk=place if places is None else places[place], error=f"{type(outcome).__name__}: {outcome}"[:500])
        for place, outcome in enumerate(outcomes)
        if isinstance(outcome, BaseException)
    ]


def _quarantined(job: Job, checked: Sequence[Report]) -> str:
    """The refused rows of all chunks in one file, in their order."""
    with open_writer(f"{job['quarantine']}/{job['run']}.csv", REFUSED) as whole:
        for report in checked:
            if report["bad"]:
                with open_rows(work_file(job, "bad", report["chunk"]["index"], "jsonl")) as part:
                    whole.write(row.values for row in part.rows())
    return whole.published.url


def _clean_up(job: Job, places: Sequence[int]) -> None:
    for index in places:
        for step, kind in (("valid", "parquet"), ("ready", "parquet"), ("bad", "jsonl")):
            find(work_file(job, step, index, kind)).remove()
