"""The data pipeline, step by step: each works on files and a table, and the store of files is what fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dramatiq import Message
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters.database import open_database
from tasks.adapters.database_errors import DatabaseRefused
from tasks.adapters.files import read_frame
from tasks.adapters.tables import count, rows
from tasks.utils.retry_policies import STORE_RETRY
from tests.matrix.entries import Entry, matrix_entry
from tests.matrix.excuses import PURE, SHORT_WORK
from tests.tasks.stores import Unsteady
from tests.workflows.data_pipeline.jobs import PEOPLE, job_of
from understudy import chain, chord, handle
from understudy.actors import Actor
from understudy.errors import TimeLimitExceeded
from workflows.data_pipeline.job import work_file
from workflows.data_pipeline.load import load_chunk
from workflows.data_pipeline.orchestrator import admit_chunks, run_pipeline, summarise_run
from workflows.data_pipeline.transform import transform_chunk
from workflows.data_pipeline.validate import validate_chunk

Drain = Callable[..., int]

#: Seconds; longer than any wait between two tries.
LONG_ENOUGH = 600
TRIES = 1 + (STORE_RETRY.max_retries or 0)
AWAY = ConnectionResetError("the store is away")


class _Step(Entry):
    """What every step shows in the same way."""

    _actor: Actor[..., Any]
    #: Seconds of its time limit.
    _limit = 900

    def _args(self, unsteady: Unsteady, **options: Any) -> tuple[Any, ...]:
        """Arguments with which it has something to do."""
        raise NotImplementedError

    def _kwargs(self, unsteady: Unsteady) -> dict[str, Any]:
        return {}

    def _send(self, unsteady: Unsteady, **options: Any) -> Message[Any]:
        args, kwargs = self._args(unsteady), self._kwargs(unsteady)
        return self._actor.send_with_options(args=args, kwargs=kwargs, **options)

    def _shows(self, message: Message[Any], unsteady: Unsteady) -> None:
        """Asserts that the work of ``_args`` was done."""
        raise NotImplementedError

    def retry(self, drain: Drain, freezer: FrozenDateTimeFactory, unsteady: Unsteady) -> None:
        message = self._send(unsteady)
        unsteady.fail_next(AWAY)
        drain()
        assert handle(message).status == "RETRY"
        freezer.tick(LONG_ENOUGH)
        drain()
        self._shows(message, unsteady)

        hopeless = self._send(unsteady)
        unsteady.fail_next(AWAY, times=TRIES)
        for _ in range(TRIES):
            drain()
            freezer.tick(LONG_ENOUGH)
        assert handle(hopeless).status == "FAILURE"
        assert handle(hopeless).retries == TRIES - 1
        with pytest.raises(ConnectionResetError, match="store is away"):
            handle(hopeless).get()

    def timeout(self, drain: Drain, freezer: FrozenDateTimeFactory, unsteady: Unsteady) -> None:
        message = self._send(unsteady)
        unsteady.on_open = lambda path: freezer.tick(self._limit + 1)
        drain()
        with pytest.raises(TimeLimitExceeded, match=f"time limit of {self._limit} s"):
            handle(message).get()
        assert handle(message).retries == 0

    def chain_stop(self, drain: Drain, unsteady: Unsteady) -> None:
        args, kwargs = self._args(unsteady), self._kwargs(unsteady)
        before = len(unsteady.opened)
        unsteady.fail_next(FileNotFoundError("the file is gone"))
        later = validate_chunk.message_with_options(args=(), immutable=True)
        found = chain(self._actor.message(*args, **kwargs), later).run()
        drain()
        first = found.parent
        assert first is not None
        assert [first.status, found.status] == ["FAILURE", "FAILURE"]
        assert first.retries == 0
        with pytest.raises(FileNotFoundError, match="file is gone"):
            found.get()
        assert len(unsteady.opened) == before + 1  # the later step never ran

    def idempotency(self, drain: Drain, unsteady: Unsteady) -> None:
        given: Any = {"args": self._args(unsteady), "kwargs": self._kwargs(unsteady)}
        first = self._actor.send_with_options(**given, idempotency_key="once")
        drain()
        self._shows(first, unsteady)
        opened = list(unsteady.opened)
        self._actor.send_with_options(**given, message_id=first.message_id)
        same_key = self._actor.send_with_options(**given, idempotency_key="once")
        drain()
        assert unsteady.opened == opened
        assert handle(same_key).get() == handle(first).get()


@matrix_entry("validate_chunk")
class ValidateChunk(_Step):
    _actor = validate_chunk

    def _args(self, unsteady: Unsteady, **options: Any) -> tuple[Any, ...]:
        job, chunks = job_of(unsteady, **options)
        return job, chunks[0]

    def _shows(self, message: Message[Any], unsteady: Unsteady) -> None:
        report = handle(message).get()
        assert (report["rows"], report["bad"]) == (4, 2)

    def partial_failure(self, drain: Drain, unsteady: Unsteady) -> None:
        job, chunk = self._args(unsteady)
        message = validate_chunk.send(job, chunk)
        drain()
        self._shows(message, unsteady)
        assert read_frame(work_file(job, "valid", 0))["id"].to_list() == [1, 3, 4, 3]
        assert [line.split(",")[0] for line in unsteady.read(work_file(job, "bad", 0, "jsonl")).splitlines()] == [
            '{"row":2',
            '{"row":5',
        ]

    def progress(self, drain: Drain, unsteady: Unsteady) -> None:
        people = "id,name,born\n" + "".join(f"{number},Ada,NA\n" for number in range(1_200))
        message = validate_chunk.send(*self._args(unsteady, text=people))
        drain()
        assert handle(message).progress == {"current": 1_200, "total": 1_200, "bad": 0}


@matrix_entry("transform_chunk")
class TransformChunk(_Step):
    _actor = transform_chunk

    def _args(self, unsteady: Unsteady, **options: Any) -> tuple[Any, ...]:
        job, chunks = job_of(unsteady, **options)
        return job, validate_chunk.fn(job, chunks[0])

    def _shows(self, message: Message[Any], unsteady: Unsteady) -> None:
        assert handle(message).get()["rows"] == 3

    def partial_failure(self, drain: Drain, unsteady: Unsteady) -> None:
        job, chunks = job_of(unsteady, chunk_rows=3)
        reports = [validate_chunk.fn(job, chunk) for chunk in chunks]
        unsteady.put(work_file(job, "valid", 0).removeprefix(f"{unsteady.url}/"), b"damaged")
        messages = [transform_chunk.send(job, report) for report in reports]
        drain()
        assert [handle(message).status for message in messages] == ["FAILURE", "SUCCESS"]
        with pytest.raises(ValueError, match="no Parquet file"):
            handle(messages[0]).get()
        assert read_frame(work_file(job, "ready", 1))["name"].to_list() == ["Barbara", "Linus T."]

    progress = SHORT_WORK


@matrix_entry("load_chunk")
class LoadChunk(_Step):
    _actor = load_chunk

    def _args(self, unsteady: Unsteady, **options: Any) -> tuple[Any, ...]:
        job, chunks = job_of(unsteady, **options)
        return transform_chunk.fn(job, validate_chunk.fn(job, chunks[0])), job

    def _shows(self, message: Message[Any], unsteady: Unsteady) -> None:
        assert handle(message).get()["loaded"] == 3
        assert count(open_database(), "people") == 3

    def partial_failure(self, drain: Drain, unsteady: Unsteady) -> None:
        with open_database().transaction() as transaction:
            transaction.execute(
                "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'Ada'), born DATE)"
            )
        job, chunks = job_of(unsteady, chunk_rows=3)
        reports = [transform_chunk.fn(job, validate_chunk.fn(job, chunk)) for chunk in chunks]
        messages = [load_chunk.send(report, job) for report in reports]
        drain()
        assert [handle(message).status for message in messages] == ["FAILURE", "SUCCESS"]
        with pytest.raises(DatabaseRefused, match="CHECK constraint failed"):
            handle(messages[0]).get()
        assert count(open_database(), "people") == 2  # all of the one chunk, nothing of the other

    def progress(self, drain: Drain, unsteady: Unsteady) -> None:
        people = "id,name,born\n" + "".join(f"{number},Ada,NA\n" for number in range(1_200))
        message = load_chunk.send(*self._args(unsteady, text=people))
        drain()
        assert handle(message).progress == {"current": 1_200, "total": 1_200}


@matrix_entry("run_pipeline")
class RunPipeline(_Step):
    _actor = run_pipeline
    _limit = 3_600

    def _args(self, unsteady: Unsteady, **options: Any) -> tuple[Any, ...]:
        return unsteady.put("people.csv", PEOPLE), "people"

    def _kwargs(self, unsteady: Unsteady) -> dict[str, Any]:
        columns = {"id": "integer", "name": "text!", "born": "date"}
        places = {"work": f"{unsteady.url}/work", "quarantine": f"{unsteady.url}/quarantine"}
        return {"key": ["id"], "columns": columns, "max_bad": 0.5, "chunk_rows": 4, **places}

    def _shows(self, message: Message[Any], unsteady: Unsteady) -> None:
        summary = handle(message).get()
        assert (summary["rows"], summary["bad"], summary["loaded"], summary["chunks"]) == (6, 2, 4, 2)
        assert count(open_database(), "people") == 3

    def partial_failure(self, drain: Drain, unsteady: Unsteady) -> None:
        with open_database().transaction() as transaction:
            check = "CHECK (name <> 'Ada')"
            transaction.execute(f"CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT {check}, born DATE)")
        args, kwargs = self._args(unsteady), self._kwargs(unsteady)
        message = run_pipeline.send(*args, **kwargs, policy="partial")
        drain()
        summary = handle(message).get()
        assert (summary["bad"], summary["loaded"]) == (2, 1)
        assert [failed["chunk"] for failed in summary["failed"]] == [0]

    def progress(self, drain: Drain, unsteady: Unsteady) -> None:
        message = self._send(unsteady)
        seen: dict[str, str] = {}
        unsteady.on_open = lambda path: seen.setdefault(path.rpartition("/")[2], handle(message).status)
        drain()
        assert seen["people.csv"] == seen["ready-000000.parquet"] == "STARTED"  # also while its steps run
        size = len(PEOPLE)
        assert handle(message).progress == {"current": size, "total": size}  # of the source that it went through

    def idempotency(self, drain: Drain, unsteady: Unsteady) -> None:
        given: Any = {"args": self._args(unsteady), "kwargs": self._kwargs(unsteady)}
        first = run_pipeline.send_with_options(**given, idempotency_key="once")
        drain()
        self._shows(first, unsteady)
        with open_database().transaction() as transaction:
            transaction.execute("UPDATE people SET name = 'changed since'")
        again = run_pipeline.send_with_options(**given, idempotency_key="once")
        drain()
        self._shows(again, unsteady)
        names = [row["name"] for row in rows(open_database(), "people", key=["id"])]
        assert names == ["changed since"] * 3  # nothing was loaded twice


@matrix_entry("admit_chunks")
class AdmitChunks(_Step):
    _actor = admit_chunks

    def _args(self, unsteady: Unsteady, **options: Any) -> tuple[Any, ...]:
        job, chunks = job_of(unsteady, **options)
        return [validate_chunk.fn(job, chunk) for chunk in chunks], job

    def _shows(self, message: Message[Any], unsteady: Unsteady) -> None:
        summary = handle(message).get()
        assert (summary["bad"], summary["loaded"]) == (2, 3)
        assert len(unsteady.read(summary["quarantine"]).splitlines()) == 3

    def partial_failure(self, drain: Drain, unsteady: Unsteady) -> None:
        job, (first, second) = job_of(unsteady, chunk_rows=3, policy="partial")
        second["rows"] = 10  # so it is not what the source has
        steps = [validate_chunk.message(job, chunk) for chunk in (first, second)]
        found = chord(steps, body=admit_chunks.message_with_options(args=(job,)), policy="partial").run()
        drain()
        summary = found.get()
        assert (summary["loaded"], summary["chunks"]) == (2, 2)
        assert [failed["chunk"] for failed in summary["failed"]] == [1]

    progress = SHORT_WORK
    idempotency = PURE  # type: ignore[assignment]  # an excuse in the place of the case that steps share


@matrix_entry("summarise_run")
class SummariseRun(_Step):
    _actor = summarise_run

    def _args(self, unsteady: Unsteady, **options: Any) -> tuple[Any, ...]:
        job, chunks = job_of(unsteady, **options)
        checked = [validate_chunk.fn(job, chunk) for chunk in chunks]
        loaded = [load_chunk.fn(transform_chunk.fn(job, report), job) for report in checked]
        return loaded, job, checked, [], None

    def _shows(self, message: Message[Any], unsteady: Unsteady) -> None:
        assert handle(message).get()["loaded"] == 3
        assert unsteady.names("work") == []

    def partial_failure(self, drain: Drain, unsteady: Unsteady) -> None:
        job, chunks = job_of(unsteady, chunk_rows=3)
        checked = [validate_chunk.fn(job, chunk) for chunk in chunks]
        for report in checked:
            transform_chunk.fn(job, report)
        unsteady.put(work_file(job, "ready", 0).removeprefix(f"{unsteady.url}/"), b"damaged")
        steps = [load_chunk.message(report, job) for report in checked]
        body = summarise_run.message_with_options(args=(job, checked, [], None))
        found = chord(steps, body=body, policy="partial").run()
        drain()
        summary = found.get()
        assert summary["loaded"] == 2
        assert [failed["chunk"] for failed in summary["failed"]] == [0]

    progress = SHORT_WORK
