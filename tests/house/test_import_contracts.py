"""The import contracts of pyproject.toml hold, and each is seen to break when it is broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.project import PACKAGES, ROOT, write

LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"


def lint_imports(directory: Path) -> tuple[int, str]:
    ran = subprocess.run(
        [LINT_IMPORTS, "--no-logo", "--no-cache"],
        cwd=directory,
        env={"COLUMNS": "200", "NO_COLOR": "1", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def assert_breaks(directory: Path, contract: str) -> None:
    code, output = lint_imports(directory)
    assert code == 1, output
    broken = [line for line in output.splitlines() if line.endswith(" BROKEN")]
    assert [line for line in broken if line.startswith(contract)], output


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """An empty house with the real contracts: no module of ours, so that only what a test plants counts."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in (*PACKAGES, "tests", "understudy/testing", "understudy/cli", "tasks/adapters"):
        write(tmp_path / package / "__init__.py", "")
    for floor in ("errors", "clock", "states", "durations", "settings"):
        write(tmp_path / "understudy" / f"{floor}.py", "")
    return tmp_path


def test_every_import_contract_is_kept() -> None:
    code, output = lint_imports(ROOT)
    assert code == 0, output


def test_an_empty_house_keeps_every_contract(house: Path) -> None:
    code, output = lint_imports(house)
    assert code == 0, output


@pytest.mark.parametrize(
    ("path", "source", "contract"),
    [
        ("understudy/storage.py", "import tasks", "Imports point one way"),
        ("middleware/state.py", "from tasks.utils import retry_policies", "Imports point one way"),
        ("understudy/options.py", "import tests", "Imports point one way"),
        ("understudy/errors.py", "from . import settings", "The floors of understudy"),
        ("understudy/storage.py", "def later():\n    from .client import x", "The floors of understudy"),
        ("understudy/handle.py", "from understudy import cli", "The floors of understudy"),
        ("understudy/novelty.py", "", "The floors of understudy"),
        ("middleware/state.py", "import understudy.testing", "understudy.testing is imported by"),
        ("understudy/cli/worker.py", "from ..testing import drain", "understudy.testing is imported by"),
        ("tasks/email_tasks.py", "from rich import print", "Only understudy.cli imports typer and rich"),
        ("understudy/client.py", "import typer", "Only understudy.cli imports typer and rich"),
        ("tasks/email_tasks.py", "import smtplib", "Only tasks.adapters imports smtplib"),
        ("tasks/email_tasks.py", "import sqlalchemy", "Only tasks.adapters imports what reads files and tables"),
        ("workflows/flow.py", "def later():\n    from fsspec import open", "Only tasks.adapters imports what reads"),
        ("middleware/metrics.py", "import prometheus_client", "Only understudy.metrics.exposition imports"),
        ("middleware/progress.py", "import redis", "Only understudy.storage and understudy.brokers"),
        ("understudy/embedded.py", "from redis.client import Redis", "Only understudy.storage and"),
    ],
)
def test_a_planted_violation_breaks_its_contract(house: Path, path: str, source: str, contract: str) -> None:
    for neighbour in ("tasks/utils/__init__.py", "tasks/utils/retry_policies.py", "understudy/client.py"):
        write(house / neighbour, "")
    write(house / path, source)
    assert_breaks(house, contract)


def test_two_neighbours_that_import_each_other_break_a_contract(house: Path) -> None:
    write(house / "understudy/states.py", "def later():\n    from .durations import to_seconds")
    write(house / "understudy/durations.py", "from .states import State")
    assert_breaks(house, "No two neighbours import each other")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("understudy/cli/demo.py", "from understudy.testing import smtp\nimport rich, typer"),
        ("tasks/adapters/smtp.py", "import smtplib"),
        ("tasks/adapters/tables.py", "import sqlalchemy, fsspec, polars"),
        ("workflows/columns.py", "import polars"),
        ("understudy/storage/client.py", "import redis"),
        ("understudy/brokers/redis.py", "import redis, dramatiq"),
        ("tests/tasks/test_email_tasks.py", "import understudy.testing, tasks, redis"),
        ("workflows/flow.py", "import tasks, middleware, understudy"),
    ],
)
def test_what_the_contracts_allow_is_let_pass(house: Path, path: str, source: str) -> None:
    write(house / "understudy/testing/smtp.py", "")
    write((house / path).parent / "__init__.py", "")
    write(house / path, source)
    code, output = lint_imports(house)
    assert code == 0, output
