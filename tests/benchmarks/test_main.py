import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks import machine, rows
from benchmarks.scale import FULL, QUICK
from tests.benchmarks.subjects import result


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the runner was asked for; it returns one row of invented figures."""
    found: dict[str, Any] = {}

    def run(rows: Any, **options: Any) -> Any:
        found.update(options, rows=[row.name for row in rows])
        if found.get("interrupt"):
            raise KeyboardInterrupt
        yield result(understudy=[(500, 250, 3)], stock=[(100, 200, 30)])

    monkeypatch.setattr(program, "run", run)
    monkeypatch.setattr(machine, "describe", lambda fsync, pin, tcp: {"Cores": "2"})
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    return found


def test_by_default_everything_is_measured_three_times(asked: dict[str, Any]) -> None:
    assert program.main([]) == 0
    assert asked["rows"] == [row.name for row in rows.ROWS]
    assert (asked["scale"], asked["repetitions"]) == (FULL, 3)


def test_a_quick_run_is_smaller_and_rows_and_numbers_can_be_chosen(asked: dict[str, Any]) -> None:
    assert program.main(["--quick", "--only", "idle", "bulk", "--reps", "2", "--delayed", "7"]) == 0
    assert asked["rows"] == ["idle", "bulk"]
    assert asked["repetitions"] == 2
    assert (asked["scale"].delayed, asked["scale"].drain) == (7, QUICK.drain)


def test_sides_can_be_chosen(asked: dict[str, Any]) -> None:
    program.main(["--sides", "understudy"])
    assert [c.side for c in rows.ROWS[0].contenders if asked["available"](c)] == ["understudy", "understudy"]


def test_an_unknown_row_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--only", "drian"])
    assert "drian" in capsys.readouterr().err


def test_the_page_is_written_where_it_is_wanted(asked: dict[str, Any], tmp_path: Path) -> None:
    assert program.main(["--out", str(tmp_path / "docs/page.md")]) == 0
    page = (tmp_path / "docs/page.md").read_text()
    assert "- Cores: 2" in page
    assert "20,000 a drain (Celery 5,000), 1,000,000 delayed" in page


def test_an_interrupted_run_writes_nothing(asked: dict[str, Any], tmp_path: Path) -> None:
    asked["interrupt"] = True
    assert program.main(["--out", str(tmp_path / "page.md")]) == 130
    assert not (tmp_path / "page.md").exists()
