"""Scripts in which one call of the server fails, whichever is wanted."""

from __future__ import annotations

from typing import Any

from understudy.storage import scripts
from understudy.storage.client import Storage

#: Calls are counted from where the script asks whether ``entry`` of ``stream`` is held to where it asks the same of
#: another one; from the beginning if ``entry`` is empty.
_BEFORE = """
local server, counted, armed = redis, 0, '{entry}' == ''
local function fails(how, name, ...)
  local stream, _, asked = ...
  if name == 'XPENDING' and '{entry}' ~= '' then armed = stream == '{stream}' and asked == '{entry}' end
  if not armed then return false end
  counted = counted + 1
  if counted ~= {nth} then return false end
  server.call('SET', '{report}', how .. ' ' .. name)
  return true
end
local redis = {{}}
function redis.call(...)
  if fails('call', ...) then error({{err = 'ERR injected'}}) end
  return server.call(...)
end
function redis.pcall(...)
  if fails('pcall', ...) then return {{err = 'ERR injected'}} end
  return server.pcall(...)
end
"""


class Injected:
    """In the script ``name`` the ``nth`` call that is counted fails."""

    def __init__(self, storage: Storage, name: str, *, nth: int, stream: str = "", entry: str = "") -> None:
        self._client: Any = storage.client
        self._report = f"report of {storage.keys.namespace}"  # outside of what the tests compare
        self._client.delete(self._report)
        text = _BEFORE.format(nth=nth, stream=stream, entry=entry, report=self._report) + scripts.source(name)
        storage._scripts[name] = storage.client.register_script(text)

    def failed(self) -> str:
        """What failed: "call" or "pcall" and the command; empty if there were not so many calls."""
        report: bytes | None = self._client.get(self._report)
        self._client.delete(self._report)
        return "" if report is None else report.decode()
