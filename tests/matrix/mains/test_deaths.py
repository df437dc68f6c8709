"""A server that is restarted, and a worker that is killed, while a body of every main actor runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy.states import State

from .scenes import WAITING, Aftermath, deaths
from .trials import Trial, trials

#: One scene is set up for all of them.
pytestmark = pytest.mark.timeout(500)

Deaths = dict[str, dict[str, Aftermath]]
DONE = (State.SUCCESS, 1)


@pytest.fixture(scope="module")
def happened(tmp_path_factory: pytest.TempPathFactory) -> Deaths:
    return deaths(tmp_path_factory.mktemp("deaths"))


@pytest.mark.parametrize("trial", trials("server_restart"), ids=str)
def test_server_restart(trial: Trial, happened: Deaths) -> None:
    found = happened["server"][trial.main.name]
    assert found == Aftermath(DONE, [DONE] * WAITING), found.said


@pytest.mark.parametrize("trial", trials("worker_kill"), ids=str)
def test_worker_kill(trial: Trial, happened: Deaths) -> None:
    found = happened["worker"][trial.main.name]
    assert found == Aftermath(trial.main.killed, [DONE] * WAITING), found.said


@pytest.mark.chaos_long
def test_many_that_wait_take_effect_once(tmp_path: Path) -> None:
    for what, by_name in deaths(tmp_path, waiting=40).items():
        for name, aftermath in by_name.items():
            assert aftermath.waiting == [DONE] * 40, f"{what}: {name}"
