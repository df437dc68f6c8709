"""What is installed elsewhere: the wheel, and a project outside of this checkout that uses it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.project import ROOT, write

#: Retried once, done once per key, read by its id: what a project of one's own uses the middleware for.
OUTSIDE = """
from datetime import timedelta
from pathlib import Path

import understudy
from understudy import Idempotency, Retry, actor
from understudy.settings import Settings, load
from understudy_middleware.stack import stack

understudy.install(middleware=stack(load(Settings)))

@actor(retry=Retry(3, on=OSError, backoff=1), idempotency=Idempotency(key="{name}"), time_limit=timedelta(minutes=1))
def greet(name: str) -> str:
    runs.append(name)
    if len(runs) == 1:
        raise ConnectionError("down")
    return "hello " + name

runs = []
"""
TEST = """
import pathlib
import jobs
import understudy
from understudy import handle

def test_it_is_retried_and_done_once(drain, freezer):
    assert pathlib.Path(understudy.__file__).parts[-3] == "site"
    message = jobs.greet.send("Ada")
    drain()
    assert handle(message).status == "RETRY"
    freezer.tick(60)
    drain()
    again = jobs.greet.send("Ada")
    drain()
    assert (handle(message).get(), handle(again).get(), jobs.runs) == ("hello Ada", "hello Ada", ["Ada", "Ada"])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, unpacked as an installer does."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


def test_no_name_in_the_wheel_is_too_general_for_site_packages(site: Path) -> None:
    names = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert names == {"understudy", "understudy_middleware"}


def test_the_middleware_in_the_wheel_is_that_of_the_checkout(site: Path) -> None:
    shipped = {path.name: path.read_bytes() for path in (site / "understudy_middleware").iterdir()}
    assert shipped == {path.name: path.read_bytes() for path in (ROOT / "middleware").glob("*.py")}


def test_a_project_elsewhere_declares_actors_and_tests_them(site: Path, tmp_path: Path) -> None:
    write(tmp_path / "jobs.py", OUTSIDE)
    write(tmp_path / "test_jobs.py", TEST)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("UNDERSTUDY_", "PYTEST"))}
    environment |= {"PYTHONPATH": str(site), "BROKER_URL": "stub://", "UNDERSTUDY_DATA_DIR": str(tmp_path / "data")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_jobs.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
