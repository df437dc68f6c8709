"""What is written is safe to open, and never half there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.adapters import file_writers
from tasks.adapters.file_places import find
from tasks.adapters.file_settings import FileSettings
from tasks.adapters.file_writers import CsvWriter, JsonLinesWriter, ParquetWriter, XlsxWriter, is_formula
from tests.house.project import ROOT
from understudy.settings import load


@pytest.fixture
def settings(tmp_path: Path) -> FileSettings:
    return load(FileSettings, environ={"FILES_ROOT": str(tmp_path)})


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=", "-"])
def test_what_a_spreadsheet_might_run_is_known(text: str) -> None:
    assert is_formula(text)


@pytest.mark.parametrize("value", ["", "a=1", "-5", "+49.5", "-1,234.50", "-3e5", "-5%", -5, None, " =1"])
def test_a_number_is_no_formula(value: object) -> None:
    assert not is_formula(value)


def test_a_formula_is_defused_in_csv_unless_it_is_wanted(settings: FileSettings) -> None:
    for escape, expected in ((True, "a\n'=1+1\n-5\n"), (False, "a\n=1+1\n-5\n")):
        with CsvWriter(find("out.csv", settings), ["a"], escape=escape) as writer:
            writer.write([{"a": "=1+1"}, {"a": -5}])
        assert (settings.root / "out.csv").read_text() == expected


def test_a_formula_is_text_in_a_sheet(settings: FileSettings) -> None:
    with XlsxWriter(find("out.xlsx", settings), ["a"]) as writer:
        writer.write([{"a": "=1+1"}, {"a": "https://example.com"}])
    with zipfile.ZipFile(settings.root / "out.xlsx") as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet


def test_values_are_written_as_they_are_read_elsewhere(settings: FileSettings) -> None:
    row: dict[str, Any] = {"on": True, "at": datetime(2024, 1, 2, 3, 4), "raw": b"\xff", "no": None, "more": "left out"}
    with CsvWriter(find("out.csv", settings), ["on", "at", "raw", "no"]) as writer:
        writer.write([row])
    assert (settings.root / "out.csv").read_text() == "on,at,raw,no\ntrue,2024-01-02T03:04:00,/w==,\n"
    with JsonLinesWriter(find("out.jsonl", settings), ["on", "at", "no"]) as lines:
        lines.write([row])
    assert (settings.root / "out.jsonl").read_text() == '{"on":true,"at":"2024-01-02T03:04:00","no":null}\n'


def test_a_column_that_begins_empty_gets_its_type_from_a_later_part(
    settings: FileSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_writers, "PART", 2)
    with ParquetWriter(find("out.parquet", settings), ["a"]) as writer:
        writer.write({"a": value} for value in (None, None, 1, 2, None))
    assert pl.read_parquet(settings.root / "out.parquet")["a"].to_list() == [None, None, 1, 2, None]


def test_a_sheet_that_is_full_is_told(settings: FileSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_writers, "SHEET", 3)
    with pytest.raises(ValueError, match="holds 3 rows"), XlsxWriter(find("out.xlsx", settings), ["a"]) as writer:
        writer.write([{"a": 1}] * 3)
    assert list(settings.root.iterdir()) == []


@pytest.mark.parametrize("writer_class", [CsvWriter, JsonLinesWriter, ParquetWriter])
def test_rows_are_not_kept_in_memory(
    writer_class: Any, settings: FileSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_writers, "PART", 2_000)
    with writer_class(find("out.bin", settings), ["a", "b"]) as writer:
        writer.write({"a": number, "b": "x" * 20} for number in range(1_000))
        tracemalloc.start()
        writer.write({"a": number, "b": "x" * 20} for number in range(40_000))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 6 * 1024**2


def test_a_writer_that_is_killed_leaves_no_half_file_under_the_final_name(settings: FileSettings) -> None:
    program = """
import sys, itertools
from tasks.adapters.files import open_writer
with open_writer("out.csv", ["a"]) as writer:
    writer.write({"a": "x" * 1000} for _ in range(5000))
    print("written", flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "FILES_ROOT": str(settings.root), "BROKER_URL": "stub://"},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = settings.root.iterdir()
    assert left.name.startswith(".out.csv.")
    assert left.name.endswith(".part")
    assert left.stat().st_size > 1_000_000


def test_an_upload_that_fails_leaves_nothing(settings: FileSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    place = find("memory://away/out.csv", settings)

    def away(*_: object, **__: object) -> None:
        raise OSError("the store is away")

    monkeypatch.setattr(type(place.system()), "mv", away)
    with pytest.raises(OSError, match="store is away"), CsvWriter(place, ["a"]) as writer:
        writer.write([{"a": 1}])
    assert place.system().find("/away") == []
