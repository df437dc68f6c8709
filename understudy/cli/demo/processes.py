"""The processes of the demo: a worker, schedulers, and a mail server that misbehaves, each a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from understudy.errors import UnderstudyError
from understudy.settings import Settings
from understudy.testing.smtp_server import SmtpPolicy

#: What the mail server does wrong, all on purpose.
MISBEHAVIOUR = SmtpPolicy(
    refuse_pattern=r"@closed\.example$",  # 5xx: these mailboxes are closed
    greylist_pattern=r"@careful\.example$",  # 4xx at the first attempt: "come back later"
    greylist=1,
    drop_before_data=89,  # every 89th mail the line is cut in the middle
    outage_after=250,  # then the server is away for the next two connections
    outage_connections=2,
    delay_ms=6,
)

#: Seconds that a worker has to end after SIGTERM.
GRACE = 20.0


#: How the names of settings begin that the worker does not get from this process.
NOT_INHERITED = ("REDIS_URL", "BROKER_URL", "UNDERSTUDY_", "SMTP_")


class WorkerProcess:
    """``understudy worker`` as a process group of its own, its output in a log file.

    Args:
      command: what is run in its place.
      more: variables of its environment beside those that every process of the demo has.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        smtp_port: int,
        log: Path,
        command: tuple[str, ...] = ("worker", "--processes", "1", "--threads", "4"),
        more: dict[str, str] | None = None,
    ) -> None:
        # The server is the one of ``settings``, whatever the environment of this process says. Nor is anything else
        # inherited that shapes a worker or a mail connection: a login for another mail server, for one.
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.upper().startswith(NOT_INHERITED)},
            **({} if settings.server_url is None else {"REDIS_URL": settings.server_url}),
            "UNDERSTUDY_NAMESPACE": settings.namespace,
            "UNDERSTUDY_DATA_DIR": str(settings.data_dir),
            "UNDERSTUDY_MODULES": "tasks",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(smtp_port),
            "SMTP_SECURITY": "none",
            "SMTP_FROM": "The demo <demo@understudy.example>",
            **(more or {}),
        }
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 when it does not run."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it. Returns at once; the first message says whether it came up."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "understudy.cli", *self._command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal is for the demo, which stops the worker itself
            )

    def check(self) -> None:
        """Raise ``UnderstudyError`` with the end of the log when the worker has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            what = f"the {self._command[0]} ended"
            raise UnderstudyError(f"{what} with exit code {self._process.returncode}; its log ends:\n{tail}")

    def kill(self) -> None:
        """kill -9 of the whole worker, parent and children."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM, and kill -9 for what is left after ``GRACE`` seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(GRACE)
        except BaseException as error:
            # Also a second Ctrl-C: a worker that is left running would go on writing to the server.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
