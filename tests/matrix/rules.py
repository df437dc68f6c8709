"""What makes an entry wrong. Every rule gives its complaint as text; None, or no text, is good."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from understudy.options import did_you_mean

from .capabilities import AWAITED, Capability
from .entries import ROWS, Due, Entry, cell_of
from .excuses import Excuse
from .subjects import Subject

#: A case that asks for none of them cannot make a worker do anything.
WORKERS = frozenset({"drain", "step_worker"})


def problem_of(
    subject: Subject,
    row: str,
    entries: Mapping[str, type[Entry]],
    awaited: Mapping[str, Capability] = AWAITED,
) -> str | None:
    """Why this cell is red before anything runs."""
    entry = entries.get(subject.name)
    if entry is None:
        return (
            f"{subject.name} is a registered {subject.kind} without an entry in the matrix: write one in "
            "tests/matrix/cases/"
        )
    cell = cell_of(entry, row)
    if cell is None:
        return f"{entry.__name__} has nothing for {row}: write a case"
    if isinstance(cell, Due):
        return _problem_of_due(cell, row, awaited)
    if isinstance(cell, Excuse):
        return _problem_of_excuse(cell, row, subject)
    return _problem_of_case(cell, f"{entry.__name__}.{row}")


def problems_of_entries(subjects: Iterable[Subject], entries: Mapping[str, type[Entry]]) -> list[str]:
    """What is wrong with entries beyond the cells of a subject."""
    return list(_strangers([subject.name for subject in subjects], entries))


def _strangers(names: list[str], entries: Mapping[str, type[Entry]]) -> Iterator[str]:
    for name, entry in entries.items():
        if name not in names:
            yield f"{entry.__name__} is the entry of {name!r}, which nobody registers{did_you_mean(name, names)}"
        for attribute in vars(entry):
            if not attribute.startswith("_") and attribute not in ROWS:
                yield f"{entry.__name__}.{attribute} is no row of the matrix{did_you_mean(attribute, ROWS)}"


def _problem_of_due(due: Due, row: str, awaited: Mapping[str, Capability]) -> str | None:
    capability = awaited.get(due.capability)
    if capability is None:
        return f"nobody waits for {due.capability!r} (any more){did_you_mean(due.capability, awaited)}: write a case"
    if row not in capability.rows:
        return f"{row} cannot wait for {due.capability!r}: write a case"
    if capability.exists():
        return f"{due.capability!r} exists: write a case, and remove it from the capabilities that are awaited"
    return None


def _problem_of_excuse(excuse: Excuse, row: str, subject: Subject) -> str | None:
    if excuse.row != row:
        return f"{row} is not excused by {excuse.reason!r}, which is for {excuse.row}: write a case"
    objection = excuse.objection(subject)
    return None if objection is None else f"{row} is not excused for {subject.name}: {objection}. Write a case"


def _problem_of_case(case: Any, name: str) -> str | None:
    if not inspect.ismethod(case):
        return f"{name} is neither a case (a method), nor an excuse, nor Due: {case!r}"
    if not any(_can_fail(node) for node in ast.walk(_tree(case))):
        return f"{name} asserts nothing, so it cannot fail"
    if not WORKERS & set(inspect.signature(case).parameters):
        return f"{name} does not ask for `drain`, so nothing ever runs in it"
    return None


def _tree(function: Callable[..., Any]) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def _can_fail(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return not isinstance(node.test, ast.Constant)
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return called == "raises" or called.startswith("assert_")
    return False
