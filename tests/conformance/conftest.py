"""Gives the tests their ``outcome``, and notes what became of each behaviour while pytest runs them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from .table import VERDICTS, Verdicts

#: What a test has told.
TOLD = pytest.StashKey[dict[str, Any]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "behaviour(id): the one test that shows this behaviour of Celery")


@pytest.fixture
def outcome(request: pytest.FixtureRequest) -> Iterator[object]:
    """Compares what a test saw with what is recorded, all of it."""
    # Not above: `python -m tests.conformance` imports this folder before pytest has prepared the ground.
    from .behaviours import BEHAVIOURS, Outcome

    marker = request.node.get_closest_marker("behaviour")
    found = Outcome(BEHAVIOURS[marker.args[0]])
    request.node.stash[TOLD] = found.told  # not among the properties of the report: those are sent between processes
    yield found
    if not getattr(request.node, "failed", False):
        found.finish()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marker = item.get_closest_marker("behaviour")
    if marker is not None:
        if report.failed:
            item.failed = True  # type: ignore[attr-defined]
        verdicts = item.config.stash.setdefault(VERDICTS, Verdicts())
        verdicts.note(marker.args[0], item.stash.get(TOLD, {}), report, call)
    return report
