"""What a scene is, and which there are."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.matrix.mains.house import house
from understudy.actors import Actor

from .figures import Figure
from .runs import Run

Play = Callable[[Run], Iterator[Figure]]


@dataclass(frozen=True)
class Scene:
    """What is set up once, and the actors and flows that are measured in it."""

    name: str
    subjects: tuple[str, ...]
    play: Play


#: All of them.
SCENES: list[Scene] = []


class SceneFailed(Exception):
    """Some scenes did not end as they should; says which, and why."""


def scene(*subjects: Actor[..., Any] | str) -> Callable[[Play], Play]:
    """Make the decorated function the scene of ``subjects``: actors, and flows by their names in the matrix. It yields
    one figure of each, or several, when what it looks at afterwards is right, and raises when it is not."""

    def declare(play: Play) -> Play:
        names = tuple(subject if isinstance(subject, str) else subject.actor_name for subject in subjects)
        SCENES.append(Scene(play.__name__, names, play))
        return play

    return declare


def wanted(only: Iterable[str]) -> list[Scene]:
    """The scenes of these subjects, or all.

    Raises:
      ValueError: there is no such subject.
    """
    known = {name for found in SCENES for name in found.subjects}
    if unknown := sorted(set(only) - known):
        raise ValueError(f"nothing is called {unknown[0]!r}; there are {', '.join(sorted(known))}")
    return [found for found in SCENES if not only or set(only) & set(found.subjects)]


def perform(scenes: Iterable[Scene], *, quick: bool, tell: Callable[[str], object]) -> list[Figure]:
    """The figures of ``scenes``, each in a house of its own.

    Raises:
      SceneFailed: when all were tried, and some did not end as they should.
    """
    figures, failures = list[Figure](), list[str]()
    for one in scenes:
        with TemporaryDirectory(prefix="understudy-sizes-") as directory:
            # From here on it is cleared away whoever interrupts: while it is made, an interrupt would leave it behind.
            tell(f"-- {one.name}: {', '.join(one.subjects)}")
            try:
                figures += _performed(one, Path(directory), quick=quick, tell=tell)
            except Exception:  # noqa: BLE001 - the others are of use all the same
                failures.append(f"{one.name}:\n{traceback.format_exc()}")
                tell(failures[-1])
    if failures:
        raise SceneFailed("\n".join(failures))
    return figures


def _performed(one: Scene, directory: Path, *, quick: bool, tell: Callable[[str], object]) -> list[Figure]:
    figures = []
    with house(directory) as made:
        for found in one.play(Run(made, quick=quick, tell=tell)):
            tell(found.line)
            figures.append(found)
    measured = {found.subject for found in figures}
    assert measured == set(one.subjects), f"of {set(one.subjects) ^ measured} nothing was measured, or nothing is said"
    return figures
