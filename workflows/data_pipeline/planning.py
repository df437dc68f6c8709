"""Plan: everything that can be wrong with a run is found before the first row is checked."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Literal

from tasks.adapters.arguments import check_names, check_share
from tasks.adapters.database import url_of
from tasks.adapters.files import Chunk, Options, find
from understudy import clock
from understudy.execution import current

from .extract import extract
from .job import MISSING, QUARANTINE, ROW_NUMBER, WORK, Job, kind_and_need, name_of_run
from .load import table_of
from .transform import transformation_named


def plan(
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
) -> tuple[Job, list[Chunk]]:
    """The job, and the chunks of its source. Arguments and errors are those of ``run_pipeline``."""
    check_share(max_bad, field="max_bad")
    check_names(key, field="key")
    check_names(missing, field="missing")
    if chunk_rows < 1:
        raise ValueError(f"chunk_rows={chunk_rows!r} is the number of rows of a chunk, at least 1")
    if policy not in ("fail", "partial"):
        raise ValueError(f"policy={policy!r} is 'fail' or 'partial'")
    url_of(into)
    if transformation is not None:
        transformation_named(transformation)
    found = extract(source, options=options or {}, chunk_rows=chunk_rows, columns=columns, model=model, missing=missing)
    execution = current()
    job = Job(
        # The same for every delivery, so that what one has loaded another one knows.
        run=name_of_run(uuid.uuid4().hex if execution is None else execution.items_scope or execution.message_id),
        source=find(source).url,
        mark=found.mark,
        options=found.options,
        into=into,
        table=table,
        columns=_with_key(found.columns, key),
        key=list(key) or [ROW_NUMBER],
        model=model,
        transformation=transformation,
        max_bad=max_bad,
        missing=list(missing),
        work=work,
        quarantine=quarantine,
        policy=policy,
        rows=found.rows,
        began=clock.now(),
    )
    table_of(job)
    return job, found.chunks


def _with_key(columns: Mapping[str, str], key: Sequence[str]) -> dict[str, str]:
    """The columns of the table; those of the key are required."""
    named = dict(columns) if key else {ROW_NUMBER: "integer!", **columns}
    return {name: kind_and_need(told)[0] + "!" if name in key else told for name, told in named.items()}
