from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.project import ROOT
from tests.matrix.subjects import subjects as registered
from understudy import actor
from understudy.deadletters import DeadLetters

from . import subjects
from .figures import Figure, subject_of
from .runs import Run
from .scenes import SCENES, Scene, SceneFailed, perform, wanted

assert subjects  # importing them has filled SCENES
PAGE = ROOT / "docs/reference/sizes.md"


def names() -> set[str]:
    """Every actor and every flow that is registered. A periodic job is an actor too."""
    return {subject.name for subject in registered() if subject.kind != "periodic"}


def test_every_actor_and_every_flow_has_its_scene() -> None:
    told = Counter(name for scene in SCENES for name in scene.subjects)
    assert told == dict.fromkeys(names(), 1)


def test_an_actor_without_a_scene_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    @actor(actor_name="forgotten")
    def forgotten() -> None: ...

    try:
        monkeypatch.setattr(forgotten.fn, "__module__", "tasks.forgotten_tasks")
        assert names() - {name for scene in SCENES for name in scene.subjects} == {"forgotten"}
    finally:
        del forgotten.broker.actors["forgotten"]


def test_the_page_has_a_line_for_each() -> None:
    told = {subject_of(line) for line in PAGE.read_text().splitlines()} - {""}
    assert told == names(), "the page is stale: run `make sizes`"


def test_scenes_are_found_by_what_is_measured_in_them() -> None:
    assert [scene.name for scene in wanted(["import_file"])] == ["goods"]
    assert wanted([]) == SCENES
    with pytest.raises(ValueError, match="nothing is called 'import_files'; there are admit_chunks, "):
        wanted(["import_files"])


@pytest.mark.timeout(300)
def test_a_scene_plays_in_a_real_worker_and_says_what_it_measured(tmp_path: Path) -> None:
    told = list[str]()
    (found,) = perform(wanted(["archive_exports"]), quick=True, tell=told.append)
    assert (found.subject, found.count, found.unit) == ("archive_exports", 30, "exports")
    assert min(found.worker, found.body) > 20 * 1024**2, "what its processes weigh"
    assert found.seconds > 0
    assert told == ["-- archive: archive_exports", found.line]


@pytest.mark.timeout(300)
def test_what_does_not_end_well_at_its_first_attempt_fails_the_run() -> None:
    from tasks.analytics_tasks import record_events

    dead = list[str]()

    def failing(run: Run) -> Iterator[Figure]:
        run.prepare([record_events.message(None)])  # that is what it dies of
        dead.extend(letter.actor for letter in DeadLetters(run.house.plant.broker.storage).walk())
        yield run.work([record_events.message(None)]).figure("record_events", "", 1, "", "")

    with pytest.raises(SceneFailed, match=r"failing:\n(?s:.*)TypeError: records is a list of events"):
        perform([Scene("failing", ("record_events",), failing)], quick=True, tell=lambda line: None)
    assert dead == ["record_events"]


def test_a_scene_that_leaves_out_what_it_is_of_fails_the_run() -> None:
    def silent(run: Run) -> Iterator[Figure]:
        yield from ()

    with pytest.raises(SceneFailed, match=r"of \{'send_email'\} nothing was measured"):
        perform([Scene("silent", ("send_email",), silent)], quick=True, tell=lambda line: None)


@pytest.mark.chaos_long
def test_every_scene_plays() -> None:
    figures = perform(SCENES, quick=True, tell=lambda line: None)
    assert {found.subject for found in figures} == names()
