"""What is written is safe to open, and never half there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tracemalloc
import zipfile
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.adapters import file_writers
from tasks.adapters.file_places import find
from tasks.adapters.file_settings import FileSettings
from tasks.adapters.file_writers import CsvWriter, JsonLinesWriter, ParquetWriter, XlsxWriter, is_formula
from tasks.adapters.files import open_rows
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


def read(settings: FileSettings, name: str, column: str = "a") -> list[Any]:
    with open_rows(name, settings=settings) as reader:
        return [row.values[column] for row in reader.rows()]


def test_a_text_that_a_cell_would_cut_is_refused_with_its_place(settings: FileSettings) -> None:
    longest = "x" * 32_767
    with XlsxWriter(find("out.xlsx", settings), ["a"]) as writer:
        writer.write([{"a": longest}])
    assert read(settings, "out.xlsx") == [longest]
    with (
        pytest.raises(ValueError, match="row 2, column 'b': a cell of XLSX holds 32,767 characters, not 32,768"),
        XlsxWriter(find("no.xlsx", settings), ["a", "b"]) as writer,
    ):
        writer.write([{"a": 1, "b": "x"}, {"a": 1, "b": longest + "x"}])
    assert [path.name for path in settings.root.iterdir()] == ["out.xlsx"]


def test_what_a_sheet_would_change_is_written_as_text(settings: FileSettings) -> None:
    values = [2**53 - 1, 2**53 + 1, -(2**60) - 1, date(1900, 2, 28), datetime(1583, 1, 1, 2), {"a": [1]}]
    with XlsxWriter(find("out.xlsx", settings), ["a"]) as writer:
        writer.write({"a": value} for value in values)
    expected = ["9007199254740991", "9007199254740993", "-1152921504606846977", "1900-02-28", "1583-01-01T02:00:00"]
    assert read(settings, "out.xlsx") == [*expected, '{"a":[1]}']


def test_a_time_with_a_zone_is_utc_in_a_sheet(settings: FileSettings) -> None:
    with XlsxWriter(find("out.xlsx", settings), ["a"]) as writer:
        writer.write([{"a": datetime(2024, 7, 1, 1, tzinfo=timezone(timedelta(hours=2)))}, {"a": date(1900, 3, 1)}])
    assert read(settings, "out.xlsx") == [datetime(2024, 6, 30, 23), datetime(1900, 3, 1)]


def test_columns_that_a_sheet_has_not_are_refused(settings: FileSettings) -> None:
    with (
        pytest.raises(ValueError, match="has no place for column 16,385, 'c16384'"),
        XlsxWriter(find("out.xlsx", settings), [f"c{n}" for n in range(16_385)]),
    ):
        pass
    assert list(settings.root.iterdir()) == [], "nor is anything left of it"


def test_lists_and_objects_are_json_where_texts_are(settings: FileSettings) -> None:
    row = {"a": {"b": [1, None, date(2024, 1, 2)], "c": "ä"}}
    with CsvWriter(find("out.csv", settings), ["a"]) as writer:
        writer.write([row])
    with ParquetWriter(find("out.parquet", settings), ["a"], kinds={"a": "text"}) as parquet:
        parquet.write([row, {"a": [1, "x"]}, {"a": "t"}])
    assert read(settings, "out.csv") == ['{"b":[1,null,"2024-01-02"],"c":"ä"}']
    assert read(settings, "out.parquet") == [*read(settings, "out.csv"), '[1,"x"]', "t"]


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
