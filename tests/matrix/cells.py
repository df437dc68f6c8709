"""The cells as pytest runs them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from understudy.actors import declared
from understudy.testing.enqueued import Enqueued

from .capabilities import AWAITED
from .entries import ROWS, Due, Entry, cell_of
from .excuses import Excuse
from .rules import problem_of
from .subjects import Subject

#: Takes a thing away from the subject; returns False when it does not have it.
Sabotage = Callable[[Subject, pytest.MonkeyPatch], bool]


@dataclass(frozen=True)
class Cell:
    """One subject in one row. ``content`` is a case, an ``Excuse``, a ``Due``, or None; ``problem`` makes it red
    before anything runs."""

    subject: Subject
    row: str
    content: Any
    problem: str | None

    def __str__(self) -> str:
        return f"{self.subject.name}-{self.row}"

    @property
    def is_case(self) -> bool:
        return self.problem is None and not isinstance(self.content, Due | Excuse)

    @property
    def aim(self) -> Literal["pass", "excused", "due"]:
        """What it reads in the table unless it fails."""
        if isinstance(self.content, Due):
            return "due"
        return "excused" if isinstance(self.content, Excuse) else "pass"

    @property
    def detail(self) -> str:
        """What it is excused by, or waits for."""
        if isinstance(self.content, Due):
            capability = AWAITED.get(self.content.capability)
            return f"{self.content.capability}" + (f" ({capability.waits_for})" if capability else "")
        return self.content.reason if isinstance(self.content, Excuse) else ""


def cells(subjects: Iterable[Subject], entries: Mapping[str, type[Entry]]) -> list[Cell]:
    """Every subject in every row; a subject without an entry has six red ones."""
    return [
        Cell(
            subject,
            row,
            cell_of(entries[subject.name], row) if subject.name in entries else None,
            problem_of(subject, row, entries, AWAITED),
        )
        for subject in subjects
        for row in ROWS
    ]


def run(cell: Cell, request: pytest.FixtureRequest) -> None:
    """Be the test of ``cell``, on the broker that the test was parametrized with."""
    if cell.problem is not None:
        pytest.fail(cell.problem, pytrace=False)
    if not cell.is_case:
        return
    request.getfixturevalue("broker")
    names = inspect.signature(cell.content).parameters
    cell.content(**{name: request.getfixturevalue(name) for name in names})
    enqueued: Enqueued = request.getfixturevalue("enqueued")
    if not any(enqueued.messages(actor) or actor.actor_name in enqueued.begun for actor in cell.subject.actors):
        pytest.fail(f"the case of {cell} passed without a message to {cell.subject.name}", pytrace=False)


def run_sabotaged(cell: Cell, sabotage: Sabotage, request: pytest.FixtureRequest) -> None:
    """Run the case of ``cell`` with something taken away: a case that does not notice proves nothing."""
    request.getfixturevalue("broker")
    with pytest.MonkeyPatch.context() as patch:
        if not sabotage(cell.subject, patch):
            return
        try:
            run(cell, request)
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - however it notices
            return
    what = sabotage.__name__.strip("_").replace("_", " ")
    pytest.fail(f"the case of {cell} passes although its subject has {what}, so it cannot fail", pytrace=False)


def _no_body(subject: Subject, patch: pytest.MonkeyPatch) -> bool:
    for actor in subject.actors:
        patch.setattr(actor, "fn", lambda *args, **kwargs: None)
    return bool(subject.actors)


def _no_retry_policy(subject: Subject, patch: pytest.MonkeyPatch) -> bool:
    return _without("retry", subject, patch)


def _no_idempotency(subject: Subject, patch: pytest.MonkeyPatch) -> bool:
    return _without("idempotency", subject, patch)


def _no_time_limit(subject: Subject, patch: pytest.MonkeyPatch) -> bool:
    for actor in subject.actors:
        patch.delitem(actor.options, "time_limit", raising=False)
    return _without("time_limit", subject, patch)


def _without(option: str, subject: Subject, patch: pytest.MonkeyPatch) -> bool:
    nothing: dict[str, Any] = {option: None}
    having = [actor for actor in subject.actors if getattr(declared(actor), option) is not None]
    for actor in having:
        patch.setattr(actor, "declared", dataclasses.replace(declared(actor), **nothing))
    return bool(having)


#: What a case of each row must notice. Every case must notice that nothing is done at all.
SABOTAGE: dict[str, tuple[Sabotage, ...]] = dict.fromkeys(ROWS, (_no_body,)) | {
    "retry": (_no_body, _no_retry_policy),
    "timeout": (_no_body, _no_time_limit),
    "idempotency": (_no_body, _no_idempotency),
}
