"""The command: runs the campaign, shows it, sends it again, compares it with what the mail server received.

It is a *service*, as any sender is: it knows the actor by name, and reads state, progress and result by id.
"""

from __future__ import annotations

import signal
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from understudy import client, clock, runtime
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import SettingsError, UnderstudyError
from understudy.handle import Handle, handle
from understudy.settings import Settings, load
from understudy.states import State
from understudy.testing.smtp_server import SmtpServer

from . import campaign
from .processes import MISBEHAVIOUR, WorkerProcess
from .report import Report, compare
from .ticking import show_ticks

ACTOR, QUEUE = "send_bulk_emails", "email"
SUBJECT = "An invitation for $name"
TEXT = "Dear $name,\n\nyou are invited. Nobody else in your house gets this twice, and neither do you.\n"
HTML = "<p>Dear <b>$name</b>,</p><p>you are invited.</p>"


def demo(
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A CSV file with the columns email and name. Default: the shipped one."),
    ] = None,
    kill: Annotated[
        bool,
        typer.Option("--kill", help="Also kill -9 the worker in the middle of the campaign and start another."),
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Give up after this many seconds.")] = 120.0,
    directory: Annotated[
        Path | None,
        typer.Option("--directory", help="Where logs and the mail journal go. Default: a temporary one."),
    ] = None,
) -> None:
    """Send a campaign through a real server, a real worker and a mail server that misbehaves on purpose.

    Then a job runs twice a second under two schedulers, one of which is killed.

    Exit code 0 only if what is reported is what the mail server received, nobody was mailed twice, and each tick of the
    job was sent once.
    """
    console = Console()
    rows = campaign.shipped() if file is None else campaign.read(file)
    base = load(Settings)
    if base.is_stub:
        raise SettingsError(["BROKER_URL=stub:// is for unit tests, and the demo needs a real server: unset it"])
    # A namespace of its own, so that a worker that runs beside it does not take the demo's messages.
    settings = base.model_copy(update={"namespace": f"demo-{uuid.uuid4().hex[:8]}"})
    place = directory or Path(tempfile.mkdtemp(prefix="understudy-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    broker = runtime.install(settings)
    try:
        broker.storage.call("PING")  # before anything is started
        with SmtpServer(place / "mails.jsonl", MISBEHAVIOUR) as smtp:
            worker = WorkerProcess(settings, smtp_port=smtp.port, log=place / "worker.log")
            with worker:
                deadline = clock.monotonic() + timeout
                report = _Demo(console, broker, smtp, worker, rows, deadline=deadline).run(kill=kill)
            _show(console, report, smtp.stats(), place)
            wrong = show_ticks(console, settings, broker.storage, place, smtp_port=smtp.port, deadline=deadline)
    finally:
        clean_up(broker)
    raise typer.Exit(0 if report.matches and not wrong else 1)


class _Demo:
    def __init__(
        self,
        console: Console,
        broker: SettlingBroker,
        smtp: SmtpServer,
        worker: WorkerProcess,
        rows: list[campaign.Row],
        *,
        deadline: float,
    ) -> None:
        self._console = console
        self._broker = broker
        self._smtp = smtp
        self._worker = worker
        self._rows = rows
        self._deadline = deadline
        self._arguments = [{"email": row.email, "name": row.name} for row in rows], SUBJECT, TEXT, HTML

    def run(self, *, kill: bool) -> Report:
        say = self._console.print
        say(f"[bold]1.[/] sending a campaign to {len(self._rows)} recipients, by the actor's name")
        first = self._send(idempotency_key="the-campaign")
        self._watch({"campaign": first}, on_tick=self._kill_once(first) if kill else None)
        result = first.get(timeout=self._left())
        retries, received = first.retries, [delivery.recipient for delivery in self._smtp.journal()]

        say("[bold]2.[/] sending the same message id again, and another message with the same idempotency key")
        self._send(message_id=first.id, idempotency_key="the-campaign")
        second = self._send(idempotency_key="the-campaign")
        self._watch({"same key": second})
        self._broker.join(QUEUE, timeout=int(self._left() * 1000))  # the same id has no state of its own to wait for
        again = [("the same id", handle(first.id).get(timeout=self._left())), ("the same key", second.get())]
        return compare(
            self._rows,
            result,
            received,
            retries=retries,
            again=again,
            received_again=len(self._smtp.journal()) - len(received),
        )

    def _send(self, **options: Any) -> Handle:
        message = client.send_with_options(ACTOR, args=self._arguments, queue_name=QUEUE, **options)
        self._console.print(f"   message [cyan]{message.message_id}[/]")
        return handle(message)

    def _left(self) -> float:
        return max(0.1, self._deadline - clock.monotonic())

    def _watch(self, handles: dict[str, Handle], on_tick: Callable[[], None] | None = None) -> None:
        """Draw a bar per message until all have ended."""
        with Progress(
            TextColumn("   {task.description:<10}"),
            TextColumn("[bold]{task.fields[state]:<8}"),
            BarColumn(40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=self._console,
        ) as bars:
            tasks = {name: bars.add_task(name, total=len(self._rows), state="PENDING", note="") for name in handles}
            while clock.monotonic() < self._deadline:
                self._worker.check()
                records = {name: one.read() for name, one in handles.items()}
                for name, record in records.items():
                    done = (record.value("info") or {}).get("current", 0)
                    note = ""
                    if record.state is State.RETRY:
                        note = f"retry {handles[name].retries} after {type(handles[name].info).__name__}"
                    total = len(self._rows)
                    done = total if record.state.terminal else min(done, total - 1)
                    bars.update(tasks[name], completed=done, state=record.state.value, note=note)
                if all(record.state.terminal for record in records.values()):
                    break
                if on_tick is not None:
                    on_tick()
                time.sleep(0.1)  # how often the bars are drawn
        unfinished = [one.id for one in handles.values() if not one.ready()]
        if unfinished:
            raise UnderstudyError(f"not done in time: {', '.join(unfinished)}; --timeout gives it longer")

    def _kill_once(self, first: Handle) -> Callable[[], None]:
        killed = False

        def kill() -> None:
            nonlocal killed
            if not killed and ((first.progress or {}).get("current", 0)) > len(self._rows) // 3:
                killed = True
                self._console.print("   [red]kill -9[/] of the worker; another one starts")
                self._worker.kill()
                self._worker.start()

        return kill


def _show(console: Console, report: Report, stats: dict[str, int], place: Path) -> None:
    table = Table(title="The campaign, as the mail server saw it", title_justify="left", show_header=False)
    table.add_row("recipients who received the mail", str(report.delivered))
    table.add_row(
        "delivered twice", f"[{'green' if report.delivered_twice == 0 else 'red'}]{report.delivered_twice}[/]"
    )
    table.add_row("duplicates in the file, mailed once", str(report.duplicates))
    for reason, count in report.failed.most_common():
        table.add_row(f"failed: {reason}", str(count))
    table.add_row("in doubt (of these the server has)", f"{report.in_doubt} ({report.in_doubt_delivered})")
    table.add_row("retries of the message", str(report.retries))
    for name, count in stats.items():
        table.add_row(f"mail server: {name}", str(count), style="dim")
    console.print(table)
    console.print(f"   worker log and mail journal: {place}", style="dim")
    for problem in report.problems[:20]:
        console.print(f"[red]differs:[/] {problem}")
    if report.matches:
        console.print("[green]The report matches what the mail server received.[/]")
    else:
        console.print(f"[red]The report does not match: {len(report.problems)} differences.[/]")


def clean_up(broker: SettlingBroker) -> None:
    """Remove every key of the demo and hang up. It takes a moment, and Ctrl-C does not end it half-way.

    Raises:
      ServerUnavailable: the server could not be asked.
    """
    storage = broker.storage
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        cursor = b"0"
        while True:
            cursor, names = storage.call("SCAN", cursor, "MATCH", storage.keys.pattern(), "COUNT", 1000)
            if names:
                storage.call("UNLINK", *names)
            if int(cursor) == 0:
                return
    finally:
        storage.close()
        signal.signal(signal.SIGINT, before)
