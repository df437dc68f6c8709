"""The Lua scripts, loaded as package resources. Each says in its header what it does, its keys and its reply."""

from __future__ import annotations

from functools import cache
from importlib import resources

from .packing import UNPACK

#: The names of the scripts, in the order in which a message meets them.
NAMES = (
    *("send", "enqueue", "promote", "claims", "claim", "begin", "started", "item", "progress", "stage", "settle"),
    *("pump", "read", "forget", "beat", "consumers", "reap", "bury", "requeue", "purge", "size", "cancel"),
    *("insist", "alert", "revoke", "revoked", "turns", "wake", "compose", "launch", "fan", "extend", "abort", "sweep"),
    *("reopen", "relaunch", "circuit", "circuit_told"),
    *("lead", "resign", "register", "tick", "order"),
)
#: Those that apply operations, and have them put before.
APPLYING = frozenset({"enqueue", "settle", "pump", "cancel", "requeue", "tick", "launch", "fan", "revoke", "abort"})
#: Those of them that may let a workflow go on.
ADVANCING = frozenset({"settle", "launch", "fan", "cancel", "revoke", "abort"})
#: Those that give turns under limits, and have put before what that takes.
GIVING = frozenset({"turns", "wake"})
#: Those that need nothing before. The functions there are made anew at every run, which is felt in a short script.
ALONE = frozenset({"send", "size"})
#: Those with so many arguments, often enough, that they are packed where the server can unpack them.
PACKED = frozenset({"settle", "claims"})


@cache
def source(name: str) -> str:
    """The text of script ``name`` with what it stands on before it."""
    folder = resources.files(__package__) / "lua"
    parts = [] if name in ALONE else ["_prelude"]
    parts += ["_turns", "_ops"] if name in APPLYING else ["_turns"] if name in GIVING else []
    parts += ["_workflow"] if name in ADVANCING else []
    parts += ["_plain", name] if name == "settle" else [name]
    texts = {part: (folder / f"{part}.lua").read_text(encoding="utf-8") for part in parts}
    if "_workflow" in texts:
        # Its functions are made when an operation of it is met, and not at every run: most settle no step.
        texts["_workflow"] = f"learn = function()\n{texts['_workflow']}end\n"
    return (UNPACK if name in PACKED else "") + "".join(texts.values())
