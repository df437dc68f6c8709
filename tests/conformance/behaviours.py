"""What each behaviour is expected to be, and whether what was seen agrees."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest

Word = Literal["same", "differs", "out", "due"]
WORDS: tuple[Word, ...] = ("same", "differs", "out", "due")
FILE = Path(__file__).with_name("celery.json")
T = TypeVar("T", bound=Callable[..., None])


@dataclass(frozen=True)
class Behaviour:
    """A line of the table.

    Attributes:
      scenario: what is done, in a sentence.
      seen: whether the outcome was observed on a real Celery; else it is what Celery documents and tests.
      celery: its outcome.
      understudy: where ours is another one.
      verdict: ``same``; ``differs`` on purpose; ``out``: it is Celery's own matter; ``due``: not built yet.
      reason: why, unless it is the same.
    """

    id: str
    scenario: str
    seen: bool
    celery: Mapping[str, Any]
    understudy: Mapping[str, Any]
    verdict: Word
    reason: str

    @property
    def expected(self) -> dict[str, Any]:
        """What a test must see."""
        return {**self.celery, **self.understudy}


def load(path: Path = FILE) -> tuple[dict[str, Behaviour], dict[str, str]]:
    """The behaviours by id, and what Celery's classes are called here."""
    data = json.loads(path.read_text(encoding="utf-8"))
    found = {}
    for id, line in data["behaviours"].items():
        word, _, reason = line["verdict"].partition(": ")
        found[id] = Behaviour(
            id, line["scenario"], line["seen"], line["celery"], line.get("understudy", {}), word, reason
        )
    return found, data["names"]


BEHAVIOURS, NAMES = load()
#: Behaviour -> the tests that say they show it.
TESTS: dict[str, list[Callable[..., None]]] = {}


def behaviour(id: str) -> Callable[[T], T]:
    """Marks the one test that shows a behaviour."""

    def mark(test: T) -> T:
        TESTS.setdefault(id, []).append(test)
        marked: T = pytest.mark.behaviour(id)(test)
        return marked

    return mark


@dataclass
class Outcome:
    """``outcome(state=..., runs=...)``: what was seen of the behaviour, compared with what is expected."""

    of: Behaviour
    told: dict[str, Any] = field(default_factory=dict)

    def __call__(self, **seen: Any) -> None:
        for name, value in seen.items():
            assert name in self.of.expected, f"{self.of.id}: {name} is not part of the recorded outcome"
            self.told[name] = value
            expected = self.of.expected[name]
            assert agrees(expected, value), f"{self.of.id} {name}: {value!r}, expected {expected!r}"

    def finish(self) -> None:
        """Everything that was recorded must have been looked at."""
        left = self.of.expected.keys() - self.told.keys()
        assert not left, f"{self.of.id}: the test does not look at {', '.join(sorted(left))}"


def agrees(expected: Any, seen: Any) -> bool:
    """Whether ``seen`` is what was recorded, in our names. An exception's arguments count where they are recorded."""
    if isinstance(expected, Mapping) and "raised" in expected:
        if not isinstance(seen, Mapping) or "raised" not in seen:
            return False
        name = NAMES.get(expected["raised"], expected["raised"])
        return bool(seen["raised"] == name and expected.get("args", seen["args"]) == seen["args"])
    if isinstance(expected, list) and isinstance(seen, list):
        return len(expected) == len(seen) and all(agrees(*pair) for pair in zip(expected, seen, strict=True))
    return bool(expected == seen) and isinstance(expected, bool) == isinstance(seen, bool)


def got(ask: Callable[[], Any]) -> dict[str, Any]:
    """What a call returned or raised, as it is recorded."""
    try:
        value = ask()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
        return {"raised": _name(type(error)), "args": [str(part) for part in error.args]}
    return {"returned": f"exception:{value!r}" if isinstance(value, Exception) else value}


def _name(kind: type[BaseException]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def ids_of(test: Callable[..., None]) -> str:
    """The id that the name of a test begins with, or nothing."""
    found = re.match(r"test_([a-z]\d\d)_", test.__name__)
    return found[1].upper() if found else ""
