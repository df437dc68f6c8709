"""Rows of a chunk: the good ones go on, the others are told."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tasks.adapters.files import BadFile, read_frame
from tests.tasks.stores import Unsteady
from tests.workflows.data_pipeline.jobs import PEOPLE, job_of
from understudy import handle
from workflows.data_pipeline.job import work_file
from workflows.data_pipeline.validate import allowed, too_many, validate_chunk

Drain = Callable[..., int]


def test_bad_rows_are_told_with_number_field_and_reason_and_the_rest_goes_on(drain: Drain, unsteady: Unsteady) -> None:
    job, chunks = job_of(unsteady)
    message = validate_chunk.send(job, chunks[0])
    drain()
    report = handle(message).get()
    assert (report["rows"], report["bad"]) == (4, 2)
    assert read_frame(work_file(job, "valid", 0))["name"].to_list() == ["Ada", " Linus ", "Barbara", "Linus T."]
    lines = unsteady.read(work_file(job, "bad", 0, "jsonl")).splitlines()
    assert len(lines) == 2
    assert '"row":2,"field":"born","reason":"Input should be a valid date' in lines[0]
    assert '"value":"yesterday"' in lines[0]
    assert '"row":5,"field":"id"' in lines[1]


def test_a_row_that_cannot_be_read_is_one_of_the_bad(drain: Drain, unsteady: Unsteady) -> None:
    job, chunks = job_of(unsteady, "id,name,born\n1,Ada,NA\n2,Grace\n3,Linus,NA\n")
    message = validate_chunk.send(job, chunks[0])
    drain()
    assert handle(message).get()["bad"] == 1
    assert "has 2 fields where the header has 3" in unsteady.read(work_file(job, "bad", 0, "jsonl"))


def test_rows_are_numbered_as_in_the_file_also_in_a_later_chunk(drain: Drain, unsteady: Unsteady) -> None:
    job, chunks = job_of(unsteady, chunk_rows=3, key=[])
    message = validate_chunk.send(job, chunks[1])
    drain()
    assert handle(message).get()["rows"] == 2
    assert read_frame(work_file(job, "valid", 1))["row_number"].to_list() == [4, 6]
    assert '"row":5' in unsteady.read(work_file(job, "bad", 1, "jsonl"))


def test_a_source_that_was_changed_meanwhile_is_told(drain: Drain, unsteady: Unsteady) -> None:
    job, chunks = job_of(unsteady, chunk_rows=6)
    unsteady.put("people.csv", "id,name,born\n1,Ada,NA\n")
    message = validate_chunk.send(job, chunks[0])
    drain()
    with pytest.raises(ValueError, match="not what it was when the run began"):
        handle(message).get()


def test_a_source_that_has_as_many_rows_but_others_is_told_too(drain: Drain, unsteady: Unsteady) -> None:
    job, chunks = job_of(unsteady)
    unsteady.put("people.csv", PEOPLE.replace("Grace", "Grace Hopper"))
    message = validate_chunk.send(job, chunks[0])
    drain()
    with pytest.raises(BadFile, match="not what it was when the run began"):
        handle(message).get()


def test_a_source_that_is_changed_while_it_is_read_is_told(drain: Drain, unsteady: Unsteady) -> None:
    job, chunks = job_of(unsteady)

    def change(path: str) -> None:
        if "/people.csv" in path:
            unsteady.on_open = lambda path: None
            unsteady.put("people.csv", PEOPLE + "7,late,NA\n")

    unsteady.on_open = change
    message = validate_chunk.send(job, chunks[0])
    drain()
    with pytest.raises(BadFile, match="not what it was when the run began"):
        handle(message).get()


def test_a_row_of_too_many_fields_is_shown_with_all_of_them(drain: Drain, unsteady: Unsteady) -> None:
    job, chunks = job_of(unsteady, "id,name,born\n1,Ada,NA,more\n")
    validate_chunk.send(job, chunks[0])
    drain()
    line = json.loads(unsteady.read(work_file(job, "bad", 0, "jsonl")))
    assert line["value"] == '["1","Ada","NA","more"]'


def test_too_many_bad_rows_are_told_with_the_quarantine(unsteady: Unsteady) -> None:
    job, _ = job_of(unsteady, max_bad=0.25)
    assert allowed(job) == 1
    assert str(too_many(2, job, "q.csv")) == (
        "2 of 6 rows were refused, which is more than max_bad=0.25 allows; nothing was loaded; see q.csv"
    )
