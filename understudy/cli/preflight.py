"""What is looked at before any worker process is started, so that a mistake is told once and at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from understudy.brokers.settlement import SettlingBroker
from understudy.errors import DeclarationError, SettingsError
from understudy.inspection import open_storage
from understudy.settings import Settings
from understudy.storage.client import Storage
from understudy.supervisor.boot import CannotStart, import_modules

#: Seconds to wait for a server that must be there.
SERVER_TIMEOUT = 5.0
#: The embedded server may have to be started, and reads its data first.
EMBEDDED_TIMEOUT = 30.0


@dataclass(frozen=True)
class Modules:
    """What the modules of a worker declare: actor -> queue, and periodic job -> schedule. Or the ``problem`` with
    them."""

    actors: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    problem: str | None = None

    @property
    def queues(self) -> list[str]:
        """The queues, in order."""
        return sorted(set(self.actors.values()))


def require_server(settings: Settings) -> None:
    """Commands that talk to other processes need a server between them.

    Raises:
      SettingsError: BROKER_URL=stub://.
    """
    if settings.is_stub:
        raise SettingsError(
            ["BROKER_URL='stub://' keeps messages inside one process, for unit tests; remove it, or name a server"]
        )


def reach(settings: Settings) -> Storage:
    """Connect to the server, starting the embedded one. Keep what is returned: it is its user.

    Raises:
      ServerUnavailable, EmbeddedServerError: it cannot be reached.
    """
    timeout = EMBEDDED_TIMEOUT if settings.server_url is None else SERVER_TIMEOUT
    storage = open_storage(settings, timeout=timeout)
    storage.call("PING")
    storage.close()  # this process talks to the server no more, and stays a user of the embedded one
    return storage


def examine(modules: Sequence[str]) -> Modules:
    """Import ``modules`` in a process of its own, and say what they declare.

    Not in this process: the supervisor stays small and single-threaded, whatever a module opens or starts when it
    is imported.
    """
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        try:
            with os.fdopen(write_end, "w", encoding="utf-8") as pipe:
                json.dump(asdict(_import(modules)), pipe)
            sys.stdout.flush()
        finally:
            os._exit(0)  # nothing of the parent's may be flushed or run a second time
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if not said:
        code = os.waitstatus_to_exitcode(status)
        return Modules(problem=f"importing {', '.join(modules)} ended the process (exit code {code})")
    return Modules(**json.loads(said))


def jobs_of(modules: Sequence[str], *, timeout: float) -> list[str]:
    """The names of the periodic jobs of ``modules``, found in a fresh process; none if that does not tell in time, or
    fails: what is wrong with modules is told by who needs them."""
    command = [sys.executable, "-c", "from understudy.cli import preflight; preflight.tell_jobs()", *modules]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return []
    return [str(name) for name in found]


def tell_jobs() -> None:
    """Print the names of the periodic jobs of the modules on the command line, in the last line."""
    sys.stdout.write("\n" + json.dumps(sorted(_import(sys.argv[1:]).jobs)) + "\n")


def _import(modules: Sequence[str]) -> Modules:
    try:
        broker = import_modules(modules)
        jobs = _jobs(broker)
    except (CannotStart, DeclarationError) as error:
        return Modules(problem=str(error))
    return Modules(actors={name: actor.queue_name for name, actor in broker.actors.items()}, jobs=jobs)


def _jobs(broker: SettlingBroker) -> dict[str, str]:
    """Only if a module has imported what makes one: it needs the extra ``scheduler``."""
    known = sys.modules.get("understudy.scheduler.jobs")
    return {} if known is None else {name: str(job.ticks) for name, job in known.jobs_of(broker).items()}
