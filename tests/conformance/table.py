"""What became of each behaviour in a run, and the table of it. Imports nothing of the project at its head: it is needed
before pytest has prepared the ground."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

import pytest

#: Characters of an outcome that are shown.
WIDTH = 52


class Verdicts:
    """Attributes:
    told: behaviour -> what its test saw.
    failures: behaviour -> what went wrong.
    """

    def __init__(self) -> None:
        self.told: dict[str, dict[str, Any]] = {}
        self.failures: dict[str, str] = {}

    def note(self, id: str, told: Any, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        """One phase of one test has ended. A failure is never taken back."""
        self.told[id] = {**self.told.get(id, {}), **(told or {})}
        if not report.passed:
            text = str(call.excinfo.value) if call.excinfo is not None else f"not passed in {report.when}"
            self.failures.setdefault(id, text.strip().partition("\n")[0])


#: Where a run keeps them: in ``config.stash``.
VERDICTS = pytest.StashKey[Verdicts]()


def write(verdicts: Verdicts, stream: TextIO) -> bool:
    """Write the table, the reasons and the counts. False when something is not as it should be."""
    from .behaviours import BEHAVIOURS, WORDS

    words = {id: _word(id, verdicts) for id in BEHAVIOURS}
    lines = [("id", "Celery", "Understudy", "verdict", "scenario")]
    for id, found in BEHAVIOURS.items():
        celery = _short(found.celery) + ("" if found.seen else " *")
        lines.append((id, celery, _short(verdicts.told.get(id, {})), words[id], found.scenario))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    for line in lines:
        stream.write(
            "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[4]]) + "\n"
        )
    stream.write("* documented and tested by Celery, not recorded from a run\n\n")
    stream.writelines(f"{line}\n" for line in _notes(verdicts, words))
    counts = {word: list(words.values()).count(word) for word in (*WORDS, "FAIL")}
    stream.write(", ".join(f"{count} {word}" for word, count in counts.items()) + "\n")
    return not counts["FAIL"]


def _word(id: str, verdicts: Verdicts) -> str:
    from .behaviours import BEHAVIOURS

    if id in verdicts.failures:
        return "FAIL"
    word: str = BEHAVIOURS[id].verdict
    return word if word in ("due", "out") or id in verdicts.told else "FAIL"


def _notes(verdicts: Verdicts, words: dict[str, str]) -> Iterator[str]:
    from .behaviours import BEHAVIOURS

    for id, found in BEHAVIOURS.items():
        if words[id] == "FAIL":
            yield f"{id} FAIL: {verdicts.failures.get(id, 'its test was not run')}"
        elif found.reason:
            yield f"{id} {found.verdict}: {found.reason}"


def _short(outcome: Any) -> str:
    text = ", ".join(f"{name} {_value(value)}" for name, value in outcome.items())
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _value(value: Any) -> str:
    if isinstance(value, dict) and "raised" in value:
        args = ", ".join(value.get("args", ()))
        name = str(value["raised"]).rpartition(".")[2]
        return f"{name}({args})" if args else name
    if isinstance(value, dict) and "returned" in value:
        return _value(value["returned"])
    return value if isinstance(value, str) else json.dumps(value, default=str)
