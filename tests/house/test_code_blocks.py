"""What the documentation shows is run: its Python on the stub broker, its commands as far as their names and options.

The blocks of a page are run in their order. One that begins with a comment such as ``# tasks/reminder_tasks.py`` is
that module; the others share one. Where a test, or an entry of the matrix, is shown, it is run. ``python celery`` is
Celery's, and only has to be Python.
"""

from __future__ import annotations

import itertools
import re
import shlex
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from tasks.adapters.mail import MemoryMailer
from tests.house.project import ROOT
from tests.matrix.cells import cells, run
from tests.matrix.entries import ENTRIES
from tests.matrix.subjects import of_actor
from tests.tasks.conftest import channels, smtp
from understudy import WorkflowHandle
from understudy.brokers.redis import RedisBroker
from understudy.cli import app
from understudy.handle import Handle

__all__ = ["channels", "smtp"]

PAGES = [
    ROOT / "README.md",
    ROOT / "docs/tutorial.md",
    ROOT / "docs/explanation/guarantees.md",
    *sorted((ROOT / "docs/howto").glob("*.md")),
]
#: What a block of shell may call beside ours.
OTHERS = {"cd", "cp", "mkdir", "git", "pip", "dramatiq"}
PYTHON = {"python", ".venv/bin/python"}


@dataclass(frozen=True)
class Block:
    """One block of code: its language and what else stands behind the fence, its text, and the line where it begins."""

    info: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    found = re.finditer(r"^```([^\n]+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [Block(match[1].strip(), match[2], page.count("\n", 0, match.start(2)) + 1) for match in found]


def module_of(block: Block) -> str | None:
    """The module that a block says it is."""
    named = re.match(r"# (\S+)\.py\n", block.text)
    return None if named is None else named[1].replace("/", ".")


class Reader:
    """Runs the blocks of one page as its reader would, where a worker runs, too."""

    def __init__(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
        self._request = request
        self._monkeypatch = monkeypatch
        self._place = place
        self._page = self._module("tests.page")
        # What is `middleware` in this checkout is called so where it is installed.
        for name in ("", ".stack"):
            monkeypatch.setitem(sys.modules, f"understudy_middleware{name}", import_module(f"middleware{name}"))

    def read(self, block: Block) -> None:
        name = module_of(block)
        module = self._page if name is None else self._module(name)
        path = self._place / f"block_{block.line}.py"
        path.write_text("\n" * (block.line - 1) + block.text)
        module.__file__ = str(path)
        code = compile(path.read_text(), path, "exec")
        if block.info == "python":
            known = {*vars(module)}
            exec(code, vars(module))
            self._request.getfixturevalue("drain")()
            for shown in [shown for shown in vars(module) if shown.startswith("test_") and shown not in known]:
                self._run_test(vars(module)[shown])

    def _module(self, name: str) -> types.ModuleType:
        module = types.ModuleType(name)
        self._monkeypatch.setitem(sys.modules, name, module)
        return module

    def fresh(self) -> None:
        """What was sent and mailed so far was another test's."""
        self._request.getfixturevalue("cleared").flush_all()
        self._request.getfixturevalue("cleared").storage.client.flushall()
        mailer = self._request.getfixturevalue("smtp")
        vars(mailer).clear()
        vars(mailer).update(vars(MemoryMailer()))

    def _run_test(self, test: Callable[..., None]) -> None:
        self.fresh()
        names = test.__code__.co_varnames[: test.__code__.co_argcount]
        test(**{name: self._request.getfixturevalue(name) for name in names})


@pytest.fixture
def cleared(broker: RedisBroker, smtp: Any) -> Iterator[RedisBroker]:
    """A broker on which nothing remains of what a page declares, nor in the matrix."""
    actors, entries = {*broker.actors}, {*ENTRIES}
    yield broker
    for name in {*broker.actors} - actors:
        del broker.actors[name]
    for name in {*ENTRIES} - entries:
        del ENTRIES[name]


@pytest.fixture
def reader(
    cleared: RedisBroker,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    drain: Callable[..., int],
    freezer: Any,
) -> Reader:
    # Who waits for a result waits for a worker. Here it is this thread.
    for kind in (Handle, WorkflowHandle):
        monkeypatch.setattr(kind, "get", _after(drain, kind.get))
    return Reader(request, monkeypatch, tmp_path)


def _after(first: Callable[..., Any], then: Callable[..., Any]) -> Callable[..., Any]:
    def both(*args: Any, **kwargs: Any) -> Any:
        first()
        return then(*args, **kwargs)

    return both


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.brokers("stub")
@pytest.mark.parametrize("path", PAGES, ids=named)
def test_the_python_of_a_page_runs(
    path: Path, reader: Reader, cleared: RedisBroker, request: pytest.FixtureRequest
) -> None:
    entries = {*ENTRIES}
    python = [block for block in blocks(path.read_text()) if block.info.split()[0] == "python"]
    # A page shows the test before what is tested, as one writes it.
    for block in sorted(python, key=lambda block: (module_of(block) or "").startswith("tests.")):
        reader.read(block)
    shown = {name: entry for name, entry in ENTRIES.items() if name not in entries}
    for cell in cells([of_actor(cleared.actors[name]) for name in shown], shown):
        reader.fresh()
        run(cell, request)


@pytest.mark.brokers("stub")
def test_a_block_that_breaks_fails_at_its_line(reader: Reader) -> None:
    good, bad = blocks("```python\none = 1\n```\n\n```python\n# of the page\nassert one == 2\n```\n")
    reader.read(good)
    with pytest.raises(AssertionError) as failed:
        reader.read(bad)
    assert failed.traceback[-1].lineno + 1 == 7


@pytest.mark.brokers("stub")
def test_a_test_that_is_shown_is_run_and_celerys_code_is_only_compiled(reader: Reader) -> None:
    reader.read(Block("python celery", "import celery_is_not_here\n", 1))
    with pytest.raises(ZeroDivisionError):
        reader.read(Block("python", "def test_it(drain):\n    1 / drain()\n", 1))
    with pytest.raises(SyntaxError):
        reader.read(Block("python celery", "def f(:\n", 1))


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a block of shell, as words, without variables before them and comments behind."""
    for line in block.text.replace("\\\n", " ").splitlines():
        for part in re.split(r"\s(?:&&|\|)\s", line):
            words = shlex.split(part, comments=True)
            words = list(itertools.dropwhile(lambda word: re.fullmatch(r"[A-Z_]+=.*", word), words))
            if words:
                yield words


def complaint(words: list[str]) -> str | None:
    """What is wrong with a command, as far as that shows without running it."""
    program, *rest = words
    if program == "make":
        targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        unknown = [word for word in rest if "=" not in word and word not in targets]
        return f"make has no target {unknown[0]}" if unknown else None
    if program in {"understudy", ".venv/bin/understudy"}:
        return _complaint_of_ours(rest)
    if program in PYTHON:
        return _complaint_of_python(rest)
    return None if program in OTHERS or words[:2] == ["docker", "compose"] else f"{program} is not known here"


def _complaint_of_ours(words: list[str]) -> str | None:
    command: Any = typer.main.get_command(app)
    try:
        context = command.make_context("understudy", list(words))
        while isinstance(command, TyperGroup):
            name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(name, rest, parent=context)
    except typer.Exit:
        return None
    except Exception as error:  # noqa: BLE001 - the classes are those of the click that Typer brings along
        return str(error) or repr(error)
    return None


def _complaint_of_python(words: list[str]) -> str | None:
    if words[:1] != ["-m"]:
        return "python without -m is not known here"
    missing = [word for word in words[2:] if word.startswith("tests/") and not (ROOT / word).exists()]
    # A page may have its reader write a file first.
    shown = "".join(path.read_text() for path in PAGES)
    missing = [word for word in missing if f"# {word}\n" not in shown]
    return f"there is no {missing[0]}" if missing else None


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_the_commands_of_a_page_exist_with_these_options(path: Path) -> None:
    shell = [block for block in blocks(path.read_text()) if block.info in {"sh", "console"}]
    found = [(words, complaint(words)) for block in shell for words in commands(block)]
    assert [(words, wrong) for words, wrong in found if wrong is not None] == []


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "understudy wrk",
        "understudy send",
        "understudy schedule lst",
        "A=1 understudy worker --queue mail",
        "python -m pytest tests/no_such.py",
        "rm -rf /",
    ],
)
def test_a_command_that_does_not_exist_is_reported(line: str) -> None:
    (words,) = commands(Block("sh", line + "  # and so on\n", 1))
    assert complaint(words) is not None


def test_what_is_to_be_added_to_a_file_has_its_place_there() -> None:
    text = (ROOT / "tasks/__init__.py").read_text()
    changes = [block for block in blocks((ROOT / "docs/tutorial.md").read_text()) if block.info == "diff"]
    assert len(changes) == 2
    for change in changes:
        before = "".join(line[1:] + "\n" for line in change.text.splitlines() if not line.startswith("+"))
        assert before in text, f"tasks/__init__.py has not these lines, one after the other:\n{before}"
