"""A server for all tests of this directory: each measurement empties it before it begins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.lab import Server, fresh_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with fresh_server() as found:
        yield found
