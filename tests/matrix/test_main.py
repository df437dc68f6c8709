"""``python -m tests.matrix`` as a process, over a planted matrix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .__main__ import ROOT, main

CONFTEST = """
from tests.matrix.conftest import pytest_runtest_makereport, smtp
"""

MATRIX = """
import pytest
import tasks
from tests.matrix import planted
from tests.matrix.cells import cells, run
from tests.matrix.planted import {entry} as Entry
from tests.matrix.subjects import of_actor
from understudy import actor

GREET = actor(broker=tasks.broker, **planted.OPTIONS)(planted.greet)


@pytest.fixture
def greet():
    planted.greeted.clear()
    return GREET


@pytest.mark.parametrize("cell", cells([of_actor(GREET)], {{"greet": Entry}}), ids=str)
def test_cell(cell, broker_kind, request):
    run(cell, request)
"""


def run_matrix(place: Path, entry: str) -> tuple[int, list[str], Any]:
    (place / "conftest.py").write_text(CONFTEST)
    (place / "test_planted.py").write_text(MATRIX.format(entry=entry))
    verdicts = place / "verdicts.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.matrix", "--json", str(verdicts), "--page", str(place / "page.md"), str(place)],
        cwd=ROOT,
        env={**os.environ, "BROKER_URL": "stub://"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines(), json.loads(verdicts.read_text())


def test_a_matrix_in_order_ends_with_its_counts_and_code_0(tmp_path: Path) -> None:
    code, lines, found = run_matrix(tmp_path, "Greet")
    assert lines[-1] == "1 subject x 6 rows x 2 brokers: 6 pass, 0 fail, 4 excused, 2 due"
    assert code == 0
    assert found["columns"] == ["stub", "server"]
    assert found["counts"] == {"pass": 6, "FAIL": 0, "excused": 4, "due": 2}
    assert "| `greet` | actor | pass | pass | excused | due | excused | pass |" in (tmp_path / "page.md").read_text()


def test_any_cell_that_fails_makes_it_1(tmp_path: Path) -> None:
    code, lines, found = run_matrix(tmp_path, "WrongExcuses")
    assert code == 1
    assert found["subjects"]["greet"]["timeout"]["server"]["verdict"] == "FAIL"
    assert "timeout cannot wait for 'tomorrow'" in found["subjects"]["greet"]["timeout"]["server"]["detail"]
    assert [line for line in lines if line.startswith("FAIL: idempotency is not excused for greet")]
    assert lines[-1].endswith(": 0 pass, 10 fail, 2 excused, 0 due")


def test_a_page_of_a_part_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["-k", "retry", "--page", str(tmp_path / "page.md")])
    assert stopped.value.code == 2
    assert "does not go with -k" in capsys.readouterr().err


FORGOTTEN = """
import tasks
from understudy import actor

@actor(broker=tasks.broker)
def forgotten() -> None: ...
"""


def test_a_registered_actor_without_an_entry_is_red_on_every_row(tmp_path: Path) -> None:
    (tmp_path / "forgotten_tasks.py").write_text(FORGOTTEN)
    env = {"BROKER_URL": "stub://", "UNDERSTUDY_MODULES": "tasks,forgotten_tasks", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.matrix", "-k", "forgotten", "tests/matrix/test_matrix.py"],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1
    assert [" ".join(line.split()) for line in done.stdout.splitlines() if line.startswith("forgotten  ")] == [
        "forgotten" + " FAIL/FAIL" * 6
    ]
    assert "FAIL: forgotten is a registered actor without an entry in the matrix" in done.stdout


@pytest.mark.parametrize("text", ["def test_other() -> None:\n    assert 1 == 1\n", "import no_such_module\n"])
def test_a_run_without_a_cell_is_a_failure(tmp_path: Path, text: str) -> None:
    (tmp_path / "test_nothing.py").write_text(text)
    command = [sys.executable, "-m", "tests.matrix", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "no cell was run"
