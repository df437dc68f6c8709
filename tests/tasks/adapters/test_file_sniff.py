"""Encoding and delimiter are found out."""

from __future__ import annotations

import codecs
import io

import pytest

from tasks.adapters.file_errors import BadFile
from tasks.adapters.file_sniff import delimiter_of, encoding_of, known_encoding, mark_of

GERMAN = "Straße;Größe;Übung\n" * 40 + "Köln;Düsseldorf;schön\n" * 40


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16-le"),
        ("utf-32", "utf-32-le"),
        ("cp1252", "cp1252"),
        ("latin-1", "cp1252"),
    ],
)
def test_the_encoding_of_a_text_is_found_out(encoding: str, found: str) -> None:
    assert encoding_of(io.BytesIO(GERMAN.encode(encoding))) == found


def test_big_endian_marks_are_known() -> None:
    assert mark_of(io.BytesIO(b"\xfe\xff\x00a")) == ("utf-16-be", 2)
    assert mark_of(io.BytesIO(b"\x00\x00\xfe\xff\x00\x00\x00a")) == ("utf-32-be", 4)
    assert mark_of(io.BytesIO(b"plain")) == (None, 0)


def test_other_alphabets_are_told_from_latin_ones() -> None:
    japanese = "名前;都市;住所\n花子;東京;千代田区丸の内\n太郎;大阪;北区梅田\n" * 20
    data = japanese.encode("cp932")
    assert data.decode(encoding_of(io.BytesIO(data))) == japanese


@pytest.mark.parametrize("text", ["id;name\n1;Äpfel\n2;zwei\n", "café", "Zoë;Núñez\n"])
def test_of_a_letter_or_two_the_most_common_encoding_is_thought_first(text: str) -> None:
    assert encoding_of(io.BytesIO(text.encode("cp1252"))) == "cp1252"


def test_a_letter_far_behind_the_beginning_is_found() -> None:
    data = b"plain,ascii\n" * 200_000 + "Köln,schön\n".encode("cp1252") * 10_000
    assert encoding_of(io.BytesIO(data)) == "utf-8"  # only the beginning is looked at
    assert encoding_of(io.BytesIO(data), len(data)) == "cp1252"


def test_a_sample_that_ends_within_a_character_is_utf8_all_the_same() -> None:
    data = ("ü" * 1_500_001).encode()
    assert encoding_of(io.BytesIO(b"x" + data), len(data) + 1) == "utf-8"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_splits_evenly(delimiter: str) -> None:
    rows = [["name", "price", "said"], ["Ada", "1,5", "well; yes"], ["Grace", "2", "one\ntwo|three"]]
    text = "\n".join(delimiter.join(f'"{field}"' for field in row) for row in rows)
    assert delimiter_of(text) == delimiter


def test_a_decimal_comma_does_not_pass_for_a_delimiter() -> None:
    assert delimiter_of("name;price\nAda;1,5\nGrace;2,25\nLinus;3\n") == ";"


@pytest.mark.parametrize("text", ["", "name\nAda\nGrace\n"])
def test_one_column_needs_no_delimiter(text: str) -> None:
    assert delimiter_of(text) == ","


@pytest.mark.parametrize("name", ["klingon", "hex", "rot13", "base64", "\0"])
def test_an_encoding_that_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(BadFile, match="write utf-8"):
        known_encoding(name, io.BytesIO())


@pytest.mark.parametrize(
    ("name", "start", "found"),
    [
        ("UTF8", b"", "utf-8"),
        ("utf_8_sig", b"", "utf-8"),
        ("UTF_16LE", b"", "utf-16-le"),
        ("u16", codecs.BOM_UTF16_BE, "utf-16-be"),
        ("utf-32", codecs.BOM_UTF32_LE, "utf-32-le"),
        ("Windows-1252", b"", "cp1252"),
        ("latin1", b"", "iso8859-1"),
    ],
)
def test_an_encoding_has_one_name_however_it_is_written(name: str, start: bytes, found: str) -> None:
    assert known_encoding(name, io.BytesIO(start)) == found


@pytest.mark.parametrize("start", [b"a,b", codecs.BOM_UTF8, codecs.BOM_UTF32_BE])
def test_an_order_of_bytes_that_nobody_says_is_asked_for(start: bytes) -> None:
    with pytest.raises(BadFile, match="no mark of utf-16; write utf-16-le or utf-16-be"):
        known_encoding("utf-16", io.BytesIO(start))
