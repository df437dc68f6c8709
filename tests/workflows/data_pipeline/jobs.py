"""A small job for tests of the steps."""

from __future__ import annotations

from typing import Any

from tasks.adapters.files import Chunk
from tests.tasks.stores import Unsteady
from workflows.data_pipeline.job import Job
from workflows.data_pipeline.planning import plan

#: Rows 2 and 5 are bad.
PEOPLE = """id,name,born
1,Ada,1815-12-10
2,Grace,yesterday
3, Linus ,1969-12-28
4,Barbara,NA
x,Nobody,NA
3,Linus T.,1969-12-28
"""


def job_of(unsteady: Unsteady, text: str = PEOPLE, **options: Any) -> tuple[Job, list[Chunk]]:
    """The job that loads ``text`` into the table ``people``."""
    source = unsteady.put("people.csv", text)
    given: dict[str, Any] = {
        "key": ["id"],
        "columns": {"id": "integer", "name": "text!", "born": "date"},
        "max_bad": 0.5,
        "work": f"{unsteady.url}/work",
        "quarantine": f"{unsteady.url}/quarantine",
    }
    return plan(source, **{"table": "people"} | given | options)
