"""Parquet and XLSX that are not what they seem."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from tasks.adapters.file_errors import BadFile, FileTooLarge
from tasks.adapters.file_frames import WINDOW, ParquetReader, XlsxReader
from tasks.adapters.file_places import find
from tasks.adapters.file_settings import FileSettings
from tasks.adapters.files import open_rows, open_writer
from understudy.settings import load


@pytest.fixture
def settings(tmp_path: Path) -> FileSettings:
    return load(FileSettings, environ={"FILES_ROOT": str(tmp_path), "FILES_MAX_UNPACKED": "1MiB"})


@pytest.mark.parametrize("kind", [ParquetReader, XlsxReader])
def test_what_is_of_another_format_is_refused(kind: type[ParquetReader | XlsxReader], settings: FileSettings) -> None:
    (settings.root / "in.bin").write_bytes(b"a,b\n1,2\n")
    with pytest.raises(BadFile, match="or damaged"):
        kind(find("in.bin", settings))


def test_rows_beyond_a_window_are_read_in_parts(settings: FileSettings) -> None:
    count = WINDOW + 3
    pl.DataFrame({"n": range(count)}).write_parquet(settings.root / "in.parquet")
    with ParquetReader(find("in.parquet", settings)) as reader:
        assert reader.total == reader.size == count
        assert [row.values["n"] for row in reader.rows()] == list(range(count))
        assert reader.reached == count


def test_a_sheet_is_found_by_its_name(settings: FileSettings) -> None:
    book = xlsxwriter.Workbook(settings.root / "in.xlsx")
    for name in ("first", "second"):
        book.add_worksheet(name).write_column(0, 0, ["name", name])
    book.close()
    place = find("in.xlsx", settings)
    for sheet, expected in ((None, "first"), ("second", "second")):
        with XlsxReader(place, sheet=sheet) as reader:
            assert [row.values for row in reader.rows()] == [{"name": expected}]
    with pytest.raises(BadFile, match="no sheet 'third'; there are first, second"):
        XlsxReader(place, sheet="third")


def test_a_column_of_mixed_cells_is_text_and_none_is_lost(settings: FileSettings) -> None:
    book = xlsxwriter.Workbook(settings.root / "in.xlsx")
    book.add_worksheet().write_column(0, 0, ["size", 1, "many", 2.5, True])
    book.close()
    with XlsxReader(find("in.xlsx", settings)) as reader:
        assert [str(row.values["size"]).lower() for row in reader.rows()] == ["1", "many", "2.5", "true"]


def test_an_xlsx_bomb_is_refused_before_it_is_read(settings: FileSettings) -> None:
    book = xlsxwriter.Workbook(settings.root / "in.xlsx")
    book.add_worksheet().write_column(0, 0, ["x" * 30_000 + str(n) for n in range(50)])
    book.close()
    with pytest.raises(FileTooLarge, match="FILES_MAX_UNPACKED"):
        XlsxReader(find("in.xlsx", settings))


@pytest.mark.parametrize("format", ["parquet", "xlsx"])
def test_a_blank_around_the_name_of_a_column_loses_nothing(format: str, tmp_path: Path) -> None:
    settings = load(FileSettings, environ={"FILES_ROOT": str(tmp_path)})
    frame = pl.DataFrame({" name ": ["Ada", "Grace"], "n": [1, 2]})
    path = tmp_path / f"people.{format}"
    if format == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_excel(path)
    with open_rows(str(path), settings=settings) as reader:
        assert reader.columns == ("name", "n")
        assert [row.values["name"] for row in reader.rows()] == ["Ada", "Grace"]


def test_a_text_far_below_in_a_column_of_numbers_is_read(tmp_path: Path) -> None:
    settings = load(FileSettings, environ={"FILES_ROOT": str(tmp_path)})
    with open_writer("n.xlsx", ["n"], settings=settings) as writer:
        writer.write({"n": number} for number in range(1_400))
        writer.write([{"n": "oops"}])
    with open_rows("n.xlsx", settings=settings) as reader:
        values = [row.values["n"] for row in reader.rows()]
    assert values[-1] == "oops"
    assert [int(float(value)) for value in values[:-1]] == list(range(1_400))


@pytest.mark.parametrize("format", ["parquet", "xlsx"])
def test_a_row_that_is_too_large_is_told_by_its_number(format: str, tmp_path: Path) -> None:
    settings = load(FileSettings, environ={"FILES_ROOT": str(tmp_path), "FILES_MAX_RECORD": "1000"})
    with open_writer(f"rows.{format}", ["a", "b"], settings=settings) as writer:
        writer.write({"a": "ä" * 250, "b": "x" * (500 + (n == 7_000))} for n in range(1, 7_501))
    with open_rows(f"rows.{format}", settings=settings) as reader:
        with pytest.raises(BadFile, match="row 7,000 has 1,001 bytes; FILES_MAX_RECORD allows 1,000"):
            list(reader.rows())
        assert reader.reached == 5_000


def test_bytes_count_in_a_row_too(tmp_path: Path) -> None:
    settings = load(FileSettings, environ={"FILES_ROOT": str(tmp_path), "FILES_MAX_RECORD": "100"})
    pl.DataFrame({"a": [b"x" * 100, None, b"x" * 101]}).write_parquet(tmp_path / "rows.parquet")
    with open_rows("rows.parquet", settings=settings) as reader, pytest.raises(BadFile, match="row 3 has 101 bytes"):
        list(reader.rows())
