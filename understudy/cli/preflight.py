"""What is looked at before any worker process is started, so that a mistake is told once and at once."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import dramatiq.broker

from understudy.brokers.settlement import SettlingBroker
from understudy.errors import SettingsError, UnderstudyError
from understudy.inspection import open_storage
from understudy.settings import Settings
from understudy.storage.client import Storage

#: Seconds to wait for a server that must be there.
SERVER_TIMEOUT = 5.0
#: The embedded server may have to be started, and reads its data first.
EMBEDDED_TIMEOUT = 30.0


@dataclass(frozen=True)
class Modules:
    """What the modules of a worker declare: actor -> queue. Or the ``problem`` with them."""

    actors: dict[str, str] = field(default_factory=dict)
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
    storage.close()  # connections do not survive a fork; being a user of the embedded server does
    return storage


def examine(modules: Sequence[str]) -> Modules:
    """Import ``modules`` in a process of its own, and say what they declare.

    Not in this process: the workers are forked from it, and what a module opens when it is imported (a connection,
    a thread), and the broker's identity, must not be shared between them.
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


def _import(modules: Sequence[str]) -> Modules:
    for name in modules:
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001 - also SystemExit: whatever it is, workers cannot start
            return Modules(problem=_reason(name, error))
    broker = dramatiq.broker.global_broker
    if isinstance(broker, SettlingBroker):
        return Modules(actors={name: actor.queue_name for name, actor in broker.actors.items()})
    installs = f"install a {type(broker).__name__}" if broker else "install no broker"
    return Modules(
        problem=f"the modules {', '.join(modules)} {installs}; let the first one call understudy.install(), or name "
        "`tasks` first"
    )


def _reason(name: str, error: BaseException) -> str:
    if isinstance(error, SettingsError):
        return str(error)  # the place in the code is of no use: the environment is wrong
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and (name == missing or name.startswith(f"{missing}.")):
        return (
            f"cannot import {name!r}: there is no module {missing!r}; worker modules are looked for in the working "
            "directory and on PYTHONPATH, and named as arguments or in UNDERSTUDY_MODULES"
        )
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    said = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, UnderstudyError):
        frames = frames[:1]  # its message names what is wrong; the first frame is the place in the module
        said = str(error)
    return f"cannot import {name!r}: {said}\n{''.join(traceback.format_list(frames))}".rstrip()
