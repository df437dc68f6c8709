"""Which files actors may touch, from ``FILES_*`` in the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from understudy.settings import Bytes, CommaSeparated, Env, EnvSettings, project_dir

KIB, GIB = 1024, 1024**3


def _absolute(value: Path) -> Path:
    return Path(os.path.abspath(value.expanduser()))


def _check_protocols(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if name.lower() in ("http", "https"):
            # Whoever may send a message could have a worker fetch what only the worker can reach; and a name that was
            # checked may mean another address when it is opened.
            raise ValueError(
                f"holds {name}, by which a message could reach inside the network; have the file put below FILES_ROOT "
                "or into a bucket, and name it there"
            )
    return value


def _default_root() -> Path:
    return project_dir() / "data"


class FileSettings(EnvSettings):
    """Where files may be, and how large. A path comes in a message, and whoever can send one must not reach the rest
    of the machine with it."""

    model_config = SettingsConfigDict(env_prefix="FILES_")
    # A misspelt limit would be no limit.
    owned_prefix = "FILES_"

    root: Annotated[
        Path,
        AfterValidator(_absolute),
        Env(expects="a directory"),
        Field(description="Local files outside of it are neither read nor written. Default: data in the project."),
    ] = Field(default_factory=_default_root)
    protocols: Annotated[
        Annotated[CommaSeparated, AfterValidator(_check_protocols)],
        Env(expects="protocols of fsspec, separated by commas"),
        Field(description="Where files may be beside FILES_ROOT: s3 for s3://bucket/key, and so on."),
    ] = ("file", "memory", "s3", "gs", "gcs", "az", "abfs", "abfss")
    swept: Annotated[
        CommaSeparated,
        Env(expects="URLs as s3://bucket/exports, separated by commas"),
        Field(description="Where clean_up looks for what was given up, beside FILES_ROOT. Not set: nowhere."),
    ] = ()
    max_size: Annotated[Bytes, Field(ge=1, description="The largest file that is read.")] = 10 * GIB
    max_unpacked: Annotated[
        Bytes,
        Field(ge=1, description="What a compressed file (gzip, XLSX, Parquet) may hold at most when it is unpacked."),
    ] = 4 * GIB
    max_record: Annotated[
        Bytes, Field(ge=64, le=GIB, description="The largest single row; an open quote ends there.")
    ] = KIB * KIB
