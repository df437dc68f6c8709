"""CSV and JSON Lines with dirt in them."""

from __future__ import annotations

import codecs
import gzip
import random
import tracemalloc
from pathlib import Path

import pytest

from tasks.adapters.file_errors import BadFile
from tasks.adapters.file_places import find
from tasks.adapters.file_settings import FileSettings
from tasks.adapters.file_text import CsvReader, JsonLinesReader
from tasks.adapters.files import open_rows
from understudy.settings import load


@pytest.fixture
def settings(tmp_path: Path) -> FileSettings:
    return load(FileSettings, environ={"FILES_ROOT": str(tmp_path), "FILES_MAX_RECORD": "4KiB"})


def read(settings: FileSettings, data: bytes, **options: str) -> CsvReader:
    (settings.root / "in.csv").write_bytes(data)
    return CsvReader(find("in.csv", settings), **options)


def test_a_mark_is_no_part_of_the_first_column(settings: FileSettings) -> None:
    with read(settings, "\ufeffname,size\nAda,1\n".encode()) as reader:
        assert reader.columns == ("name", "size")
        assert [row.values for row in reader.rows()] == [{"name": "Ada", "size": "1"}]


def test_a_quoted_newline_is_no_end_of_a_row(settings: FileSettings) -> None:
    with read(settings, b'a,b\r\n"one\r\ntwo","x"\r\n\r\n3,4\r\n') as reader:
        rows = list(reader.rows())
        assert [(row.number, row.values) for row in rows] == [
            (1, {"a": "one\r\ntwo", "b": "x"}),
            (2, {"a": "3", "b": "4"}),
        ]
        assert [row.number for row in reader.rows(rows[0].position)] == [2]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"1", "has 1 fields where the header has 2"),
        (b"1,2,3", "has 3 fields where the header has 2"),
        (b'"1"x,2', "is not CSV"),
        (b"\xff\xfe,2", "holds bytes that are not utf-8"),
    ],
)
def test_a_row_that_is_none_says_so_and_the_next_one_is_fine(line: bytes, problem: str, settings: FileSettings) -> None:
    with read(settings, b"a,b\n" + line + b"\n5,6\n", encoding="utf-8") as reader:
        bad, good = reader.rows()
    assert bad.problem is not None
    assert bad.problem.startswith(problem)
    assert (good.number, good.values, good.problem) == (2, {"a": "5", "b": "6"}, None)


def test_a_quote_that_is_never_closed_does_not_swallow_the_file(settings: FileSettings) -> None:
    with read(settings, b"a,b\n1,2\n" + b'3,"open\n' + b"4,5\n" * 10_000) as reader:
        rows = reader.rows()
        assert next(rows).values == {"a": "1", "b": "2"}
        with pytest.raises(BadFile, match=r"the row at byte 8 has more than 4,096 bytes .* is a quote not closed"):
            next(rows)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no header"),
        (b"a,,c\n", "column 2 has no name"),
        (b"a,b, a\n", "names 'a' twice"),
        (b'a,"b\n', "the header cannot be read"),
    ],
)
def test_a_header_that_is_none_is_refused(data: bytes, why: str, settings: FileSettings) -> None:
    with pytest.raises(BadFile, match=why):
        read(settings, data)


def test_what_is_said_is_not_found_out(settings: FileSettings) -> None:
    with read(settings, "a;b\nü,1;2\n".encode("cp1250"), encoding="cp1250", delimiter=";") as reader:
        assert [row.values for row in reader.rows()] == [{"a": "ü,1", "b": "2"}]
        assert reader.options == {"format": "csv", "encoding": "cp1250", "delimiter": ";"}
    with pytest.raises(BadFile, match="one character"):
        read(settings, b"a\n", delimiter="::")


def test_damage_in_two_byte_text_is_told_and_passed_by(settings: FileSettings) -> None:
    text = b"\xff\xfe" + "a,b\n".encode("utf-16-le") + b"\x00\xd8" + ",1\nü,2\n".encode("utf-16-le")
    with read(settings, text) as reader:
        bad, good = reader.rows()
        assert bad.problem == "holds bytes that are not utf-16-le"
        assert good.values == {"a": "ü", "b": "2"}
        assert list(reader.rows(bad.position)) == [good]


def test_a_file_of_any_length_takes_the_same_memory(settings: FileSettings) -> None:
    with read(settings, b"a,b\n" + b"12345,67890\n" * 40_000) as reader:
        tracemalloc.start()
        assert sum(1 for _ in reader.rows()) == 40_000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 * 1024**2


def test_json_lines_keep_their_types_and_bad_lines_are_told(settings: FileSettings) -> None:
    lines = ['{"id": 1, "on": true}', "", "[1]", "{broken", '{"id": 2, "more": {"x": null}}']
    (settings.root / "in.jsonl").write_text("\n".join(lines))
    with JsonLinesReader(find("in.jsonl", settings)) as reader:
        assert reader.columns == ("id", "on", "more")
        rows = list(reader.rows())
        assert [row.number for row in rows] == [1, 2, 3, 4]
        assert [row.values for row in rows] == [{"id": 1, "on": True}, {}, {}, {"id": 2, "more": {"x": None}}]
        assert [(row.problem or "")[:11] for row in rows] == ["", "is not a JS", "is not JSON", ""]
        assert list(reader.rows(rows[1].position)) == rows[2:]


@pytest.mark.parametrize("name", ["utf-16", "UTF_16LE", "utf16"])
def test_two_byte_text_is_read_from_any_row_on_whatever_its_name(name: str, settings: FileSettings) -> None:
    text = "a,b\n" + "".join(f"{n},\u010a{n}\n" for n in range(50))  # a letter with the byte of a line's end in it
    (settings.root / "in.csv").write_bytes(codecs.BOM_UTF16_LE + text.encode("utf-16-le"))
    with open_rows("in.csv", encoding=name, settings=settings) as reader:
        chunks = list(reader.chunks(20))
        found = [row.values["b"] for chunk in chunks for row in reader.read(chunk)]
    assert found == [f"\u010a{n}" for n in range(50)]


def test_bytes_for_which_an_encoding_has_nothing_are_told_with_their_row(settings: FileSettings) -> None:
    (settings.root / "in.csv").write_bytes(b"a,b\n1,fine\n2,xn--\xff\n3,fine\n")
    with open_rows("in.csv", encoding="idna", settings=settings) as reader:
        assert [(row.number, row.problem) for row in reader.rows()] == [
            (1, None),
            (2, "holds bytes that are not idna"),
            (3, None),
        ]


@pytest.mark.parametrize("name", ["in.csv.gz", "in.jsonl.gz"])
def test_damage_in_a_packed_file_is_told_with_the_row_behind_which_it_is(name: str, settings: FileSettings) -> None:
    noise = random.Random(1)
    lines = [noise.randbytes(500).hex() for _ in range(2_000)]  # more than what is looked at to know the encoding
    text = "a\n" + "\n".join(lines) if "csv" in name else "\n".join(f'{{"a":"{line}"}}' for line in lines)
    data = gzip.compress(text.encode(), mtime=0)
    (settings.root / name).write_bytes(data[:-500])
    with (
        open_rows(name, settings=settings) as reader,
        pytest.raises(BadFile, match=r"no gzip file, or damaged: .* \(behind row 1,\d{3}\)"),
    ):
        list(reader.rows())
