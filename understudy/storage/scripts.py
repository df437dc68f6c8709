"""The Lua scripts, loaded as package resources. Each says in its header what it does, its keys and its reply."""

from __future__ import annotations

from functools import cache
from importlib import resources

#: The names of the scripts, in the order in which a message meets them.
NAMES = ("claim", "begin", "item", "progress", "renew", "settle", "enqueue", "read", "forget")


@cache
def source(name: str) -> str:
    """The text of script ``name`` with the prelude before it."""
    folder = resources.files(__package__) / "lua"
    prelude = (folder / "_prelude.lua").read_text(encoding="utf-8")
    return prelude + (folder / f"{name}.lua").read_text(encoding="utf-8")
