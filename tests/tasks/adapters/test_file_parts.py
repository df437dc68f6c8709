"""Files that are made in parts, here and in a store."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tasks.adapters.file_errors import BadFile, FileTooLarge
from tasks.adapters.file_parts import Parts, parts_directory
from tasks.adapters.file_places import Place, find, open_binary
from tasks.adapters.file_settings import FileSettings
from tasks.adapters.files import Format, open_rows
from understudy.settings import load

COLUMNS = ["id", "name", "day"]
FORMATS: list[Format] = ["csv", "jsonl", "parquet", "xlsx"]


def rows(first: int, last: int) -> list[dict[str, Any]]:
    return [{"id": n, "name": f'n "{n}",\nx', "day": date(2026, 1, n % 28 + 1)} for n in range(first, last + 1)]


@pytest.fixture(params=["local", "remote"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a file goes."""
    if request.param == "local":
        yield str(tmp_path)
        return
    yield "memory://exports"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def settings(tmp_path: Path) -> FileSettings:
    return load(FileSettings, environ={"FILES_ROOT": str(tmp_path)})


def names(place: Place) -> list[str]:
    if place.local:
        return sorted(path.name for path in Path(place.path).parent.iterdir())
    system = place.system()
    return sorted(str(name).rpartition("/")[2] for name in system.ls(place.path.rpartition("/")[0], detail=False))


@pytest.mark.parametrize("format", FORMATS)
def test_parts_become_the_file_that_one_writer_would_have_made(
    format: Format, directory: str, settings: FileSettings
) -> None:
    target = find(f"{directory}/out.{format}", settings)
    parts = Parts(target, format, COLUMNS, maker="m1")
    parts.write(2, rows(4, 5))
    parts.write(1, rows(1, 3))
    assert not target.exists()
    published = parts.join(2)
    parts.remove()
    assert (published.rows, published.url) == (5, target.url)
    with open_binary(target) as file:
        data = file.read()
    assert (published.bytes, published.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    with open_rows(target.url, format=format, settings=settings) as reader:
        assert list(reader.columns) == COLUMNS
        assert [int(row.values["id"]) for row in reader.rows()] == [1, 2, 3, 4, 5]
    assert names(target) == [f"out.{format}"], "nothing is left behind"


@pytest.mark.parametrize("format", FORMATS)
def test_of_no_rows_a_file_is_made_that_says_which_columns_it_would_have(
    format: Format, directory: str, settings: FileSettings
) -> None:
    target = find(f"{directory}/out.{format}", settings)
    parts = Parts(target, format, COLUMNS, maker="m1")
    assert parts.join(0).rows == 0
    if format != "jsonl":  # which says so by its rows only
        with open_rows(target.url, settings=settings) as reader:
            assert list(reader.columns) == COLUMNS
            assert list(reader.rows()) == []


def test_whoever_goes_on_finds_what_is_done_and_replaces_what_was_in_doubt(
    directory: str, settings: FileSettings
) -> None:
    target = find(f"{directory}/out.csv", settings)
    first = Parts(target, "csv", COLUMNS, maker="m1")
    first.write(1, rows(1, 3))
    first.write(2, rows(4, 9))
    second = Parts(target, "csv", COLUMNS, maker="m1")
    second.write(2, rows(4, 5))
    assert second.rows == 5
    assert second.join(2).rows == 5


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_of_parts_that_are_not_all_there_no_file_is_made(lost: int, directory: str, settings: FileSettings) -> None:
    target = find(f"{directory}/out.csv", settings)
    parts = Parts(target, "csv", COLUMNS, maker="m1")
    for number in {1, 2, 3} - {lost}:
        parts.write(number, rows(number, number))
    with pytest.raises(BadFile, match=f"part {lost} of 3 .* is gone"):
        parts.join(3)
    assert not target.exists()


def test_two_who_make_the_same_file_do_not_mix_their_parts(directory: str, settings: FileSettings) -> None:
    target = find(f"{directory}/out.csv", settings)
    one, other = (Parts(target, "csv", COLUMNS, maker=maker) for maker in ("m1", "m2"))
    one.write(1, rows(1, 3))
    other.write(1, rows(1, 4))
    assert (one.rows, other.rows) == (3, 4)
    one.remove()
    assert (one.rows, other.rows) == (0, 4)


def test_a_column_that_is_empty_in_one_part_has_the_type_of_the_next(directory: str, settings: FileSettings) -> None:
    target = find(f"{directory}/out.parquet", settings)
    parts = Parts(target, "parquet", ["id", "late"], maker="m1")
    parts.write(1, [{"id": 1, "late": None}])
    parts.write(2, [{"id": 2, "late": 2.5}])
    parts.join(2)
    with open_rows(target.url, settings=settings) as reader:
        assert [row.values for row in reader.rows()] == [{"id": 1, "late": None}, {"id": 2, "late": 2.5}]


def test_objects_in_a_sheet_keep_their_own_fields(settings: FileSettings) -> None:
    parts = Parts(find("out.xlsx", settings), "xlsx", ["id", "more"], maker="m1")
    parts.write(1, [{"id": 1, "more": {"a": 1}}, {"id": 2, "more": {"b": [1, "x"]}}])
    parts.join(1)
    with open_rows("out.xlsx", settings=settings) as reader:
        assert [row.values["more"] for row in reader.rows()] == ['{"a":1}', '{"b":[1,"x"]}']


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_joining_that_fails_leaves_nothing_behind(
    format: Format, directory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    strict = load(FileSettings, environ={"FILES_ROOT": str(tmp_path), "FILES_MAX_SIZE": "10"})
    target = find(f"{directory}/out.{format}", strict)
    parts = Parts(target, format, COLUMNS, maker="m1")
    parts.write(1, rows(1, 3))
    with pytest.raises(FileTooLarge):
        parts.join(1)
    parts.remove()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_directory_of_parts_is_known_by_its_name(settings: FileSettings) -> None:
    target = find("out.csv", settings)
    name = Path(Parts(target, "csv", COLUMNS, maker="m1").directory.path).name
    assert parts_directory("out.csv").fullmatch(name)
    assert parts_directory("").fullmatch(name)
    assert not parts_directory("other.csv").fullmatch(name)
    assert not parts_directory("").fullmatch("out.csv.parts")


def test_a_text_that_a_cell_would_cut_is_found_when_its_part_is_written(settings: FileSettings) -> None:
    parts = Parts(find("out.xlsx", settings), "xlsx", ["id", "name"], maker="m1")
    parts.write(1, [{"id": n, "name": "x" * 32_767} for n in (1, 2, 3)])
    for long in ("x" * 32_768, b"x" * 24_600, ["x" * 32_765]):  # in the sheet all of them are texts
        with pytest.raises(ValueError, match="row 5, column 'name': a cell of XLSX holds 32,767 characters, not 32,"):
            parts.write(2, [{"id": 4, "name": "x"}, {"id": 5, "name": long}])
    assert parts.missing(2) == [2]
    parts.write(2, [{"id": 4, "name": None}])
    assert parts.join(2).rows == 4
