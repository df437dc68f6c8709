"""``understudy pipeline``: a file into a table, by the flow that the workers have (actor ``run_pipeline``)."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from understudy import client
from understudy.brokers.settlement import SettlingBroker
from understudy.canvas import WorkflowHandle, chain, workflow
from understudy.errors import NotResumable, UnknownActor
from understudy.runtime import install
from understudy.settings import Settings, load

from . import preflight
from .console import Exit, err, fail, hint, out, print_json
from .stages import stages

MARKUP: Any = "markdown"
group = typer.Typer(add_completion=False, rich_markup_mode=MARKUP, no_args_is_help=True)

#: The actor that begins a run.
ACTOR = "run_pipeline"
#: What the stages of a run are called.
NAMES = ("reading", "checking", "loading")
#: Seconds between two looks.
PAUSE = 0.2

Run = Annotated[str, typer.Argument(metavar="RUN", help="What `pipeline run` printed.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


@group.callback()
def pipeline() -> None:
    """Load files into tables: check every row, put the bad ones aside, load the rest in chunks.

    Exit codes: 0 loaded, 1 it failed or goes on without you, 2 wrong argument or setting, 3 server not reached.
    """


@group.command()
def run(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A file (CSV, JSON Lines, Parquet, XLSX), or a URL such as s3://b/k."),
    ],
    table: Annotated[str, typer.Option(help="The table. It is made if there is none.")],
    into: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Its database: sqlite:///file, or env:NAME_URL for a variable of the workers that has the URL of a "
            "server. Default: their DATABASE_URL.",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Columns by which a row replaces an older one: a,b. Default: its number.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:KIND",
            help="A column and its kind: integer, number, text, boolean, date, datetime; "
            "with ! it is required. Default: all columns, kinds found out.",
        ),
    ] = None,
    max_bad: Annotated[float, typer.Option(min=0, max=1, help="The share of rows that may be refused.")] = 0.05,
    chunk_rows: Annotated[int, typer.Option(min=1, help="Rows of a chunk, which is loaded at once.")] = 5_000,
    partial: Annotated[bool, typer.Option("--partial", help="Load the rest when a chunk fails for good.")] = False,
    model: Annotated[str | None, typer.Option(help="A registered model of rows, in the place of --column.")] = None,
    transformation: Annotated[str | None, typer.Option(help="A registered transformation.")] = None,
    format: Annotated[str | None, typer.Option(help="csv, jsonl, parquet or xlsx, if the name does not tell.")] = None,
    encoding: Annotated[str | None, typer.Option(help="If it is not to be found out.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="If it is not to be found out.")] = None,
    sheet: Annotated[str | None, typer.Option(help="Of an XLSX file. Default: the first.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Print the run's name and end; it goes on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Load SOURCE into a table, and show how far it is.

    Ctrl-C leaves the run to go on by itself, and says how to come back and how to stop it.

    Example: `understudy pipeline run flights.csv --into sqlite:///flights.sqlite --table flights --key year,flight`
    """
    _refuse_server(into)
    options = {"format": format, "encoding": encoding, "delimiter": delimiter, "sheet": sheet}
    kwargs: dict[str, Any] = {
        "key": [name.strip() for name in (key or "").split(",") if name.strip()],
        "columns": _columns(column),
        "max_bad": max_bad,
        "chunk_rows": chunk_rows,
        "policy": "partial" if partial else "fail",
        "model": model,
        "transformation": transformation,
        "options": {name: value for name, value in options.items() if value is not None},
    }
    broker = _broker()
    try:
        message = client.message(ACTOR, _source(source), table, into, **kwargs)
    except UnknownActor as error:
        fail(f"no worker knows the data pipeline: {error}", Exit.USAGE)
    name = f"pipeline-{uuid.uuid4().hex[:12]}"
    found = chain(message).run(workflow_id=name)
    if detach:
        typer.echo(name)
        return
    _follow(broker, found, name, as_json=as_json)


@group.command()
def follow(name: Run, as_json: AsJson = False) -> None:
    """Come back to a run, and see it to its end."""
    broker = _broker()
    _follow(broker, _known(name), name, as_json=as_json)


@group.command()
def resume(name: Run, as_json: AsJson = False) -> None:
    """Take a failed run up again: only the chunks that failed are done anew."""
    broker = _broker()
    found = _known(name)
    try:
        found.resume()
    except NotResumable as error:
        fail(str(error), Exit.FAILED)
    _follow(broker, found, name, as_json=as_json)


def _broker() -> SettlingBroker:
    settings = load(Settings)
    preflight.require_server(settings)
    return install(settings)


def _known(name: str) -> WorkflowHandle:
    found = workflow(name)
    if not found.exists():
        fail(f"no run {name!r} is known: it was never begun, or its time is over", Exit.USAGE)
    return found


def _source(given: str) -> str:
    """A file that is here is named in full: workers have another working directory."""
    return given if "://" in given or not Path(given).exists() else str(Path(given).resolve())


def _refuse_server(into: str | None) -> None:
    """The workers would refuse it, and a password in it would be stored with the message until then."""
    if into is not None and not into.startswith(("sqlite:", "env:")):
        fail(
            "--into is sqlite:///file, or the variable of the workers that has the URL. For a server set one, such as "
            "WAREHOUSE_URL=postgresql://..., where the workers run, and write --into env:WAREHOUSE_URL",
            Exit.USAGE,
        )


def _columns(given: list[str] | None) -> dict[str, str] | None:
    if not given:
        return None
    pairs = [text.partition(":") for text in given]
    if wrong := [name for name, colon, kind in pairs if not (name and colon and kind)]:
        fail(f"--column {wrong[0]!r} is not a name and a kind, such as id:integer!", Exit.USAGE)
    return {name.strip(): kind.strip() for name, _, kind in pairs}


# -- until its end -------------------------------------------------------------------------------------------


def _follow(broker: SettlingBroker, found: WorkflowHandle, name: str, *, as_json: bool) -> None:
    try:
        _watch(broker, found, name)
    except KeyboardInterrupt:
        hint("It goes on all the same.")
        hint(f"  come back:  understudy pipeline follow {name}\n  stop it:    understudy revoke {name}")
        raise typer.Exit(Exit.FAILED) from None
    outcome = found.get(timeout=0, propagate=False)
    if found.successful():
        _print(outcome, as_json=as_json)
        return
    _say_failure(found, name)


def _watch(broker: SettlingBroker, found: WorkflowHandle, name: str) -> None:
    bar = (TextColumn("{task.description:>8}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[more]}"))
    with Progress(*bar, TimeElapsedColumn(), console=err(), transient=True) as progress:
        shown: list[TaskID] = []
        while True:
            ended = found.ready()
            for place, stage in enumerate(stages(broker.records, name)):
                if place == len(shown):
                    shown.append(progress.add_task(NAMES[min(place, 2)], total=None, more=""))
                more = "" if place == 0 else f"{stage.done:,} of {stage.total:,} chunks"
                more += f", {stage.failed:,} failed" if stage.failed else ""
                progress.update(shown[place], completed=stage.done, total=stage.total, more=more)
            if ended:
                return
            time.sleep(PAUSE)


def _print(summary: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(summary)
        return
    rate = summary["loaded"] / summary["seconds"] if summary["seconds"] > 0 else 0
    lines = [
        f"{summary['loaded']:,} rows loaded into {summary['table']}, of {summary['rows']:,} in {summary['source']}",
        f"{summary['seconds']:.1f} s, {rate:,.0f} rows a second, {summary['chunks']:,} chunks",
    ]
    if summary["bad"]:
        lines.append(f"{summary['bad']:,} rows were refused: {summary['quarantine']}")
    lines += [f"chunk {failed['chunk']} was not loaded: {failed['error']}" for failed in summary["failed"]]
    out().print("\n".join(lines), markup=False)


def _say_failure(found: WorkflowHandle, name: str) -> NoReturn:
    try:
        found.get(timeout=0)
    except Exception as error:  # noqa: BLE001 - whatever the step raised
        if found.status == "REVOKED":
            fail("the run was revoked; what had been loaded stays", Exit.FAILED)
        hint(f"When the cause is removed, the rest is done by: understudy pipeline resume {name}")
        fail(f"{type(error).__name__}: {error}", Exit.FAILED)
    raise typer.Exit(Exit.FAILED)
