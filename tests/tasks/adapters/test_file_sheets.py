"""What an XLSX file would take in memory is known before it is read."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import xlsxwriter

from tasks.adapters import file_sheets
from tasks.adapters.file_errors import BadFile, FileTooLarge
from tasks.adapters.file_settings import FileSettings
from tasks.adapters.file_sheets import check_archive
from tasks.adapters.files import open_rows
from understudy.settings import load


def of(root: Path, **environ: str) -> FileSettings:
    return load(FileSettings, environ={"FILES_ROOT": str(root), **environ})


def test_an_archive_is_judged_by_what_it_unpacks_to(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sheet.xml", b" " * 5_000_000)
    check_archive(path, of(tmp_path))
    with pytest.raises(FileTooLarge):
        check_archive(path, of(tmp_path, FILES_MAX_UNPACKED="1MiB"))
    # One whose directory says that it is small.
    honest = path.read_bytes()
    path.write_bytes(honest.replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(BadFile):
        check_archive(path, of(tmp_path, FILES_MAX_UNPACKED="1MiB"))
    path.write_bytes(b"no archive")
    with pytest.raises(BadFile, match="no XLSX file"):
        check_archive(path, of(tmp_path))


def sheet(path: Path, fill: Callable[[xlsxwriter.worksheet.Worksheet], object]) -> Path:
    with xlsxwriter.Workbook(path) as book:
        fill(book.add_worksheet())
    return path


def rewritten(path: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    """The same archive with other bytes in a member."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert change(members[member]) != members[member]
    members[member] = change(members[member])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


SHEET, TEXTS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
# How the same cell may be written; what reads it knows all of these.
SPELLINGS: list[tuple[bytes, bytes]] = [
    (b"<c r=", b"<c r="),
    (b' t="s"', b" t='s'"),
    (b' t="s"', b' t = "s"'),
    (b"<c ", b"<c\n"),
]


def shared(worksheet: xlsxwriter.worksheet.Worksheet) -> None:
    for row in range(400):
        worksheet.write(row, 0, "x" * 10_000)


@pytest.mark.parametrize(("plain", "odd"), SPELLINGS)
def test_a_text_that_many_cells_share_counts_in_each(plain: bytes, odd: bytes, tmp_path: Path) -> None:
    path = sheet(tmp_path / "bomb.xlsx", shared)
    if plain != odd:
        rewritten(path, SHEET, lambda data: data.replace(plain, odd))
    assert path.stat().st_size < 20_000
    check_archive(path, of(tmp_path, FILES_MAX_UNPACKED="5MiB"))
    with pytest.raises(FileTooLarge, match="cells whose texts take more than FILES_MAX_UNPACKED"):
        check_archive(path, of(tmp_path, FILES_MAX_UNPACKED="3MiB"))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"</si>", b"</si >"),
        lambda data: data.replace(b"<t>x", b"<t>si>x"),
        lambda data: data.replace(b"<t>", b"<t><![CDATA[</si></si>]]>"),
    ],
)
def test_a_shared_text_is_measured_however_it_is_written(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = rewritten(sheet(tmp_path / "bomb.xlsx", shared), TEXTS, change)
    with pytest.raises(FileTooLarge, match="cells whose texts take"):
        check_archive(path, of(tmp_path, FILES_MAX_UNPACKED="3MiB"))


@pytest.mark.parametrize("bare", [False, True])
def test_a_value_far_away_makes_a_sheet_as_large_as_all_between(bare: bool, tmp_path: Path) -> None:
    def two(worksheet: xlsxwriter.worksheet.Worksheet) -> None:
        for row in range(5):
            worksheet.write(row, 0, row)
        worksheet.write(200_000, 3_000, "far away")

    path = sheet(tmp_path / "sparse.xlsx", two)
    if bare:  # without saying where it is a cell is where it comes
        rewritten(path, SHEET, lambda data: data.replace(b' r="A2"', b"").replace(b'<row r="2"', b"<row"))
    with pytest.raises(FileTooLarge, match="a sheet of 200,001 x 3,001 cells, which takes more than"):
        check_archive(path, of(tmp_path))
    with pytest.raises(FileTooLarge):
        open_rows("sparse.xlsx", settings=of(tmp_path))


def test_cells_that_do_not_say_where_they_are_are_counted(tmp_path: Path) -> None:
    def some(worksheet: xlsxwriter.worksheet.Worksheet) -> None:
        for row in range(9):
            worksheet.write(row, 0, row)
        worksheet.write(0, 700, 1)

    path = sheet(tmp_path / "some.xlsx", some)
    rows = b"<row><c><v>1</v></c></row>" * 5_000
    rewritten(path, SHEET, lambda data: data.replace(b"</sheetData>", rows + b"</sheetData>"))
    with pytest.raises(FileTooLarge, match="a sheet of 5,009 x 701 cells"):
        check_archive(path, of(tmp_path, FILES_MAX_UNPACKED="100MiB"))
    check_archive(path, of(tmp_path, FILES_MAX_UNPACKED="300MiB"))


def test_an_ordinary_sheet_is_judged_by_its_bounds_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(worksheet: xlsxwriter.worksheet.Worksheet) -> None:
        for row in range(3_000):
            worksheet.write_row(row, 0, ["name", f"text {row}", row, 1.5])

    path = sheet(tmp_path / "rows.xlsx", rows)
    monkeypatch.setattr(file_sheets, "_Cells", None)
    check_archive(path, of(tmp_path))


def test_what_is_no_xml_is_damaged(tmp_path: Path) -> None:
    path = rewritten(sheet(tmp_path / "bad.xlsx", shared), SHEET, lambda data: data.replace(b"</row>", b"</raw>"))
    with pytest.raises(BadFile, match="no XLSX file, or damaged"):
        check_archive(path, of(tmp_path, FILES_MAX_UNPACKED="3MiB"))
