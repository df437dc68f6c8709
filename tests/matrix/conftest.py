"""Notes what became of every cell while pytest runs them, and gives the cases their fixtures."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.tasks.conftest import channels, smtp, store, web
from tests.tasks.stores import unsteady

from .verdicts import MAIN_VERDICTS, VERDICTS, WORKERS, Verdicts, failure_of

# The cases are not in test_*.py files, and a failed assertion in them shall show its values all the same.
pytest.register_assert_rewrite("tests.matrix.cases", "tests.matrix.planted", "tests.matrix.mains")

__all__ = ["channels", "pytest_runtest_makereport", "smtp", "store", "unsteady", "web"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    params: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    cell = params.get("cell", params.get("sabotaged_cell"))
    if cell is not None and "broker_kind" in params:
        verdicts = item.config.stash.setdefault(VERDICTS, Verdicts())
        verdicts.note(cell, params["broker_kind"], failure=failure_of(report, call), decides="cell" in params)
    if "trial" in params:
        trial = params["trial"]
        mains = item.config.stash.setdefault(MAIN_VERDICTS, Verdicts(trial.rows))
        mains.note(trial, WORKERS, failure=failure_of(report, call))
    return report
