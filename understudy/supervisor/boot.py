"""What runs first in a worker process: log lines as the settings say, then the modules, which install the broker.

Logging is set up here and not by a hook of the broker, which would come after the imports, nor when ``tasks`` is
imported, which would touch every service that sends.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import dramatiq.broker

from understudy import logs
from understudy.brokers.settlement import SettlingBroker
from understudy.errors import SettingsError, UnderstudyError
from understudy.settings import Settings

#: How many objects are made, at the least, before the garbage collector looks at them for the first time.
YOUNG = 5_000


class CannotStart(Exception):
    """A worker process cannot be started with these modules. The text says why, for the person who runs it."""


def boot(settings: Settings) -> SettlingBroker:
    """Configure the logging, import ``settings.modules`` and tell the broker that it is in a worker process.

    Raises:
      CannotStart: a module cannot be imported, or none installs a broker of Understudy.
    """
    logs.configure(settings)
    broker = import_modules(settings.modules)
    broker.emit_after("process_boot")
    return broker


def freeze() -> None:
    """Keep the garbage collector from what is loaded by now, and from what is in work.

    None of the former ever goes, and there are some hundred thousands of objects: to look at all of them again whenever
    a quarter as many were made since took a fifth of a process that works off short messages. And of the messages that
    are in work, hundreds at a time, nearly nothing is garbage when it comes by after every few of them. From here on it
    comes by: until now a worker process has been without it.
    """
    gc.collect()
    gc.freeze()
    young, *older = gc.get_threshold()
    gc.set_threshold(max(young, YOUNG), *older)
    gc.enable()


def import_modules(modules: Sequence[str]) -> SettlingBroker:
    """Import ``modules``, also from the working directory, and return the broker that they install.

    Raises:
      CannotStart: a module cannot be imported, or none installs a broker of Understudy.
    """
    look_in_the_working_directory()
    for name in modules:
        try:
            importlib.import_module(name)
        except BaseException as error:
            # Also SystemExit: whatever it is, workers cannot start.
            raise CannotStart(_reason(name, error)) from error
    broker = dramatiq.broker.global_broker
    if isinstance(broker, SettlingBroker):
        return broker
    installs = f"install a {type(broker).__name__}" if broker else "install no broker"
    raise CannotStart(
        f"the modules {', '.join(modules)} {installs}; let the first one call understudy.install(), or name "
        "`tasks` first"
    )


def look_in_the_working_directory() -> None:
    """Modules are found there, as ``dramatiq`` does it."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


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
