"""What libraries do over and over in tests, and need not."""

from __future__ import annotations

import traceback
from types import ModuleType
from typing import Any

import freezegun.api
from fakeredis.commands_mixins.scripting_mixin import ScriptingCommandsMixin


def hurry() -> None:
    """See to it that frozen time, tracebacks and the stub's scripts begin at once."""
    # Whether a module has changed since time was frozen before: by how many names it has. freezegun sorts all of them,
    # of a thousand modules, whenever it begins.
    assert callable(freezegun.api._get_module_attributes_hash)
    freezegun.api._get_module_attributes_hash = _as_it_was_seen
    # Tracebacks that are logged underline the whole call, and not the part of it that Python finds by parsing the line.
    if hasattr(traceback, "_extract_caret_anchors_from_line_segment"):
        traceback._extract_caret_anchors_from_line_segment = lambda segment: None
    make = ScriptingCommandsMixin._get_server_runtime
    setattr(ScriptingCommandsMixin, "_get_server_runtime", lambda self, server: _compiling(make, self, server))  # noqa: B010


def _as_it_was_seen(module: ModuleType) -> str:
    return f"{id(module)}-{len(getattr(module, '__dict__', ()))}"


def _compiling(make: Any, commands: Any, server: Any) -> Any:
    made = make(commands, server)
    if not isinstance(made, _Compiled):
        made = server._lua_runtime = _Compiled(made)
    return made


class _Compiled:
    """A Lua runtime that compiles a script once, and leaves it to Lua when to look for garbage.

    fakeredis compiles each script whenever it is called, and collects all garbage after it.
    """

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._compiled: dict[bytes | str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def execute(self, script: bytes | str) -> Any:
        if script == "collectgarbage()":
            return None
        if script not in self._compiled:
            self._compiled[script] = self._runtime.compile(script)
        return self._compiled[script]()
