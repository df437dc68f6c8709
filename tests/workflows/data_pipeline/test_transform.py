"""Columns are computed, and have their declared types afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl
import pytest

from tasks.adapters.files import read_frame
from tests.tasks.stores import Unsteady
from tests.workflows.data_pipeline.jobs import job_of
from understudy import handle
from workflows.data_pipeline import transform as module
from workflows.data_pipeline.job import Job, Report, work_file
from workflows.data_pipeline.transform import tidied, transform_chunk, transformation, transformation_named
from workflows.data_pipeline.validate import validate_chunk

Drain = Callable[..., int]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    @transformation("ages")
    def ages(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.col("id") * 10, pl.lit("x").alias("more")).reverse()

    @transformation("lossy")
    def lossy(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.drop("name")

    @transformation("wrong")
    def wrong(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(born=pl.lit("never"))

    yield
    for name in ("ages", "lossy", "wrong"):
        module._TRANSFORMATIONS.pop(name)


def checked(unsteady: Unsteady, transformation: str | None = None) -> tuple[Job, Report]:
    job, chunks = job_of(unsteady, transformation=transformation)
    return job, validate_chunk.fn(job, chunks[0])


def test_texts_are_tidied_and_of_rows_with_one_key_the_last_stays() -> None:
    frame = pl.DataFrame({"id": [1, 2, 1], "a": [" x ", "  ", "z"], "b": [None, "y", ""]})
    assert tidied(frame, ["id"]).rows() == [(2, None, "y"), (1, "z", None)]


def test_rows_are_made_ready_for_the_table(drain: Drain, unsteady: Unsteady) -> None:
    job, report = checked(unsteady)
    message = transform_chunk.send(job, report)
    drain()
    assert handle(message).get()["rows"] == 3
    assert read_frame(work_file(job, "ready", 0))["name"].to_list() == ["Ada", "Barbara", "Linus T."]


def test_a_registered_transformation_computes_and_the_declared_columns_stay(drain: Drain, unsteady: Unsteady) -> None:
    job, report = checked(unsteady, "ages")
    message = transform_chunk.send(job, report)
    drain()
    handle(message).get()
    ready = read_frame(work_file(job, "ready", 0))
    assert ready.columns == ["id", "name", "born"]
    assert ready["id"].to_list() == [30, 40, 10]
    assert ready.schema["born"] == pl.Date


@pytest.mark.parametrize(("name", "why"), [("lossy", "left out the column 'name'"), ("wrong", "'wrong': ")])
def test_a_transformation_that_breaks_the_declaration_is_told(
    name: str, why: str, drain: Drain, unsteady: Unsteady
) -> None:
    job, report = checked(unsteady, name)
    message = transform_chunk.send(job, report)
    drain()
    with pytest.raises(ValueError, match=why):
        handle(message).get()
    assert handle(message).retries == 0


def test_a_transformation_is_registered_once() -> None:
    with pytest.raises(ValueError, match="two transformations called 'ages'"):
        transformation("ages")(lambda frame: frame)
    with pytest.raises(ValueError, match="there are ages, lossy, wrong"):
        transformation_named("agess")
