"""What an actor sees of files: every format behaves the same."""

from __future__ import annotations

import csv
import gzip
import hashlib
import random
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.adapters.files import (
    BadFile,
    FileRefused,
    FileSettings,
    find,
    format_of,
    frame_types,
    open_rows,
    open_writer,
    read_frame,
    write_frame,
)
from understudy.settings import load

FORMATS = ["csv", "jsonl", "parquet", "xlsx"]
ROWS: list[dict[str, Any]] = [
    {"id": n, "name": f"row {n}", "share": n / 4, "day": date(2024, 1, 1 + n % 28), "note": None if n % 3 else "a\nb"}
    for n in range(1, 5_001)
]


@pytest.fixture
def settings(tmp_path: Path) -> FileSettings:
    return load(FileSettings, environ={"FILES_ROOT": str(tmp_path)})


def as_text(value: object) -> str:
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)


def as_texts(rows: Iterator[Any] | list[Any]) -> list[dict[str, str]]:
    return [{name: as_text(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("kind", FORMATS)
def test_what_was_written_is_read_row_by_row(kind: str, settings: FileSettings) -> None:
    with open_writer(f"out.{kind}", list(ROWS[0]), settings=settings) as writer:
        writer.write(ROWS[:3_500])
        writer.write(iter(ROWS[3_500:]))
    assert writer.published.rows == 5_000
    with open_rows(f"out.{kind}", settings=settings) as reader:
        assert reader.columns == tuple(ROWS[0])
        found = list(reader.rows())
    assert [row.number for row in found] == list(range(1, 5_001))
    assert [row.problem for row in found if row.problem] == []
    expected = [{**row, "share": int(row["share"]) if row["share"] % 1 == 0 else row["share"]} for row in ROWS]
    texts = as_texts([row.values for row in found])
    if kind == "csv":
        texts = [{**row, "share": row["share"].removesuffix(".0")} for row in texts]
    assert texts == as_texts(expected)


@pytest.mark.parametrize("kind", FORMATS)
def test_chunks_are_the_whole_file_and_each_is_read_by_itself(kind: str, settings: FileSettings) -> None:
    with open_writer(f"out.{kind}", list(ROWS[0]), settings=settings) as writer:
        writer.write(ROWS)
    with open_rows(f"out.{kind}", settings=settings) as reader:
        chunks = list(reader.chunks(2_000))
        whole = [(row.number, row.values) for row in reader.rows()]
        options = reader.options
    assert [(chunk["index"], chunk["first"], chunk["rows"]) for chunk in chunks] == [
        (0, 1, 2_000),
        (1, 2_001, 2_000),
        (2, 4_001, 1_000),
    ]
    # In another order, and by a reader that has read nothing before.
    for chunk in reversed(chunks):
        with open_rows(f"out.{kind}", **options, settings=settings) as other:
            part = [(row.number, row.values) for row in other.read(chunk)]
        assert part == whole[chunk["first"] - 1 : chunk["first"] - 1 + chunk["rows"]]


@pytest.mark.parametrize("kind", FORMATS)
def test_reading_goes_on_behind_any_row(kind: str, settings: FileSettings) -> None:
    with open_writer(f"out.{kind}", list(ROWS[0]), settings=settings) as writer:
        writer.write(ROWS[:300])
    with open_rows(f"out.{kind}", settings=settings) as reader:
        whole = list(reader.rows())
        for stop in (1, 17, 299, 300):
            rest = list(reader.rows(whole[stop - 1].position))
            assert rest == whole[stop:]


@pytest.mark.parametrize("kind", FORMATS)
def test_an_empty_table_is_a_file_with_columns_and_no_rows(kind: str, settings: FileSettings) -> None:
    with open_writer(f"none.{kind}", ["id", "name"], settings=settings) as writer:
        pass
    assert writer.published.rows == 0
    with open_rows(f"none.{kind}", settings=settings) as reader:
        # JSON Lines has names only with rows.
        assert (reader.columns, reader.total) == ((), 0) if kind == "jsonl" else reader.columns == ("id", "name")
        assert list(reader.rows()) == []
        assert list(reader.chunks(10)) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_published_is_told_with_its_digest(kind: str, settings: FileSettings) -> None:
    with open_writer(f"deep/er/out.{kind}", ["id"], settings=settings) as writer:
        writer.write([{"id": 1}])
    written = Path(writer.published.url).read_bytes()
    assert writer.published.sha256 == hashlib.sha256(written).hexdigest()
    assert writer.published.bytes == len(written)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_appears_whole_or_not_at_all(kind: str, settings: FileSettings) -> None:
    with open_writer(f"out.{kind}", ["id"], settings=settings) as writer:
        writer.write([{"id": 1}])
        assert not (settings.root / f"out.{kind}").exists()
    before = (settings.root / f"out.{kind}").read_bytes()
    rows = ({"id": 1 // number} for number in (2, 1, 0))
    with pytest.raises(ZeroDivisionError), open_writer(f"out.{kind}", ["id"], settings=settings) as writer:
        writer.write(rows)
    assert (settings.root / f"out.{kind}").read_bytes() == before
    assert [path.name for path in settings.root.iterdir()] == [f"out.{kind}"]


@pytest.mark.parametrize("kind", FORMATS)
def test_any_file_system_of_fsspec_does(kind: str, settings: FileSettings) -> None:
    url = f"memory://bucket/{kind}/out.{kind}"
    with open_writer(url, list(ROWS[0]), settings=settings) as writer:
        writer.write(ROWS[:50])
    with open_rows(url, settings=settings) as reader:
        assert len(list(reader.rows())) == 50
    assert [name.rpartition("/")[2] for name in find(url, settings).system().ls(f"/bucket/{kind}", detail=False)] == [
        f"out.{kind}"
    ]


def test_a_gzip_file_is_read_and_sought_like_any_other(settings: FileSettings) -> None:
    with open_writer("out.csv", list(ROWS[0]), settings=settings) as writer:
        writer.write(ROWS[:2_000])
    plain = Path(writer.published.url).read_bytes()
    (settings.root / "out.csv.gz").write_bytes(gzip.compress(plain))
    with open_rows("out.csv.gz", settings=settings) as packed, open_rows("out.csv", settings=settings) as other:
        chunks = list(packed.chunks(700))
        assert chunks == list(other.chunks(700))
        assert list(packed.read(chunks[2])) == list(other.read(chunks[2]))


def test_parquet_keeps_types_and_others_are_found_by_their_values(settings: FileSettings) -> None:
    row = {"id": 1, "share": 0.5, "on": True, "day": date(2024, 2, 29), "at": datetime(2024, 2, 29, 12), "no": None}
    kinds: Any = {"no": "integer"}
    with open_writer("out.parquet", list(row), kinds=kinds, settings=settings) as writer:
        writer.write([row])
    with open_rows("out.parquet", settings=settings) as reader:
        assert [found.values for found in reader.rows()] == [row]


def test_the_format_is_that_of_the_name_unless_it_is_given(settings: FileSettings) -> None:
    assert format_of(find("a.TSV", settings)) == "csv"
    assert format_of(find("a.ndjson.gz", settings)) == "jsonl"
    assert format_of(find("a.data", settings), "parquet") == "parquet"
    with pytest.raises(BadFile, match=r"does not end in a known format; there are csv, jsonl, parquet, xlsx"):
        format_of(find("a.data", settings))
    with pytest.raises(BadFile, match="no format 'doc'"):
        format_of(find("a.csv", settings), "doc")


@pytest.mark.parametrize("name", ["out.csv.gz", "../out.csv", "ftp://host/out.csv"])
def test_what_cannot_be_written_is_refused_before_the_first_row(name: str, settings: FileSettings) -> None:
    with pytest.raises((BadFile, FileRefused)):
        open_writer(name, ["id"], settings=settings)


def test_the_rows_of_a_csv_file_of_any_shape_are_those_of_pythons_own_reader(settings: FileSettings) -> None:
    dice = random.Random(7)
    pieces = ["a", "ü", "€", '"', ",", "\n", "\r\n", " ", ";", "", "x" * 50]
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        table = [["".join(dice.choices(pieces, k=4)) for _ in range(3)] for _ in range(200)]
        path = settings.root / "any.csv"
        with path.open("w", encoding=encoding, newline="") as file:
            csv.writer(file).writerows([["a", "b", "c"], *table])
        with open_rows("any.csv", settings=settings) as reader:
            rows = list(reader.rows())
            assert [list(row.values.values()) for row in rows] == table
            place = dice.randrange(199)
            assert list(reader.rows(rows[place].position)) == rows[place + 1 :]


def test_a_frame_is_written_and_read_at_once(settings: FileSettings) -> None:
    frame = pl.DataFrame({"id": [1, None], "day": [date(2024, 1, 1), None]})
    published = write_frame("memory://frames/out.parquet", frame, settings)
    assert published.rows == 2
    assert read_frame("memory://frames/out.parquet", settings).equals(frame)
    assert frame_types({"id": "integer", "day": "date"}) == dict(frame.schema)
    (settings.root / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(BadFile, match="no Parquet file"):
        read_frame("bad.parquet", settings)
