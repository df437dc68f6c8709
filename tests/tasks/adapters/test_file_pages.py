"""What a Parquet file unpacks to is known before it is unpacked."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.adapters.file_errors import BadFile, FileTooLarge
from tasks.adapters.file_pages import check_pages
from tasks.adapters.file_settings import FileSettings
from tasks.adapters.files import open_rows, read_frame
from understudy.settings import load

ROWS = 20_000


def of(root: Path, **environ: str) -> FileSettings:
    return load(FileSettings, environ={"FILES_ROOT": str(root), **environ})


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """200 KB or more of everything."""
    return pl.DataFrame(
        {
            "id": list(range(ROWS)),
            "same": [7] * ROWS,
            "name": [f"name {n}" for n in range(ROWS)],
            "none": [None] * ROWS,
            "day": [datetime(2024, 1, 1 + n % 28) for n in range(ROWS)],
            "list": [[n, n + 1] for n in range(ROWS)],
        }
    )


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "lz4", "brotli", "uncompressed"])
@pytest.mark.parametrize("options", [{}, {"row_group_size": 3_000, "data_page_size": 4_096}, {"statistics": False}])
def test_files_of_every_kind_are_passed_and_measured(
    compression: Any, options: dict[str, Any], frame: pl.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "all.parquet"
    frame.write_parquet(path, compression=compression, **options)
    check_pages(path, of(tmp_path, FILES_MAX_UNPACKED="10MiB"))
    with pytest.raises(FileTooLarge, match="unpacks to more than FILES_MAX_UNPACKED"):
        check_pages(path, of(tmp_path, FILES_MAX_UNPACKED="200KiB"))


def test_an_empty_file_is_passed(tmp_path: Path) -> None:
    pl.DataFrame(schema={"a": pl.Int64, "b": pl.String}).write_parquet(tmp_path / "empty.parquet")
    check_pages(tmp_path / "empty.parquet", of(tmp_path))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    pl.DataFrame({"a": ["x" * 20_000_000] * 3}).write_parquet(path, compression="zstd")
    assert path.stat().st_size < 100_000
    strict = of(tmp_path, FILES_MAX_UNPACKED="10MiB")
    with pytest.raises(FileTooLarge, match="unpacks to more than"):
        open_rows("bomb.parquet", settings=strict)
    with pytest.raises(FileTooLarge, match="unpacks to more than"):
        read_frame("bomb.parquet", strict)


def test_more_values_than_there_may_be_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    pl.DataFrame({"a": pl.repeat(7, 3_000_000, eager=True)}).write_parquet(path)
    assert path.stat().st_size < 100_000
    with pytest.raises(FileTooLarge, match="more values than"):
        check_pages(path, of(tmp_path, FILES_MAX_UNPACKED="2MiB"))


def test_what_is_damaged_anywhere_is_told(frame: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    frame.head(50).write_parquet(path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    for data in (b"", b"PAR1", whole[:-1], whole[:-8] + b"\xff\xff\xff\x7fPAR1", whole[: -8 - length] + whole[-8:]):
        path.write_bytes(data)
        with pytest.raises(BadFile, match="or damaged"):
            check_pages(path, of(tmp_path))
    # Whatever stands in the headers: it is told, or passed on to what reads the file.
    for place in range(len(whole) - 8 - length, len(whole) - 8, 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            check_pages(path, of(tmp_path))
        except BadFile:
            continue
