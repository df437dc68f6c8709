"""What is wrong with a run is found before it begins."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tasks.stores import Unsteady
from tests.workflows.data_pipeline.jobs import job_of


def test_a_plan_says_everything_and_holds_no_row(unsteady: Unsteady) -> None:
    job, chunks = job_of(unsteady, chunk_rows=4)
    assert [chunk["rows"] for chunk in chunks] == [4, 2]
    assert job["columns"] == {"id": "integer!", "name": "text!", "born": "date"}
    assert job["rows"] == 6
    assert "Ada" not in str((job, chunks))


def test_without_a_key_it_is_the_number_of_the_row(unsteady: Unsteady) -> None:
    job, _ = job_of(unsteady, key=[])
    assert job["key"] == ["row_number"]
    assert list(job["columns"]) == ["row_number", "id", "name", "born"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"max_bad": 5}, "max_bad is a share of the rows, from 0 to 1, not 5"),
        ({"max_bad": float("nan")}, "max_bad is a share"),
        ({"key": "id"}, "key is a list of names"),
        ({"missing": "NA"}, "missing is a list of names"),
        ({"table": "understudy_ledger"}, "Understudy's own"),
        ({"chunk_rows": 0}, "chunk_rows=0"),
        ({"policy": "some"}, "'fail' or 'partial'"),
        ({"key": ["ident"]}, "no column 'ident'"),
        ({"columns": {"id": "int"}}, "'int' is no kind"),
        ({"model": "none"}, "no model of rows called 'none'"),
        ({"transformation": "none"}, "no transformation called 'none'"),
        ({"into": "postgresql://ada@h/d"}, "env:WAREHOUSE_URL"),
        ({"options": {"format": "doc"}}, "no format 'doc'"),
    ],
)
def test_a_wrong_argument_is_told_at_once(options: dict[str, Any], why: str, unsteady: Unsteady) -> None:
    with pytest.raises(ValueError, match=why):
        job_of(unsteady, **options)
