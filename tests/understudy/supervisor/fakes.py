"""Worker processes that exist in memory only: a supervisor is tested without waiting for anything."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from understudy.supervisor.loop import Supervisor
from understudy.supervisor.messages import OK, Drain, Draining, Failed, Report, Stacks, Up


@dataclass
class FakeLink:
    """A process that does what the test says."""

    number: int
    pid: int
    code: int | None = None
    says: list[Report] = field(default_factory=list)
    told: list[Drain] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)

    def poll(self) -> int | None:
        return self.code

    def hear(self) -> list[Report]:
        said, self.says = self.says, []
        return said

    def tell(self, order: Drain) -> None:
        self.told.append(order)

    def stacks(self) -> str:
        return f"Thread of {self.pid}" if signal.SIGTTIN in self.signals else ""

    def signal(self, number: int) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL and self.code is None:
            self.code = -number

    def up(self) -> None:
        self.says.append(Up())

    def has_written_its_stacks(self) -> None:
        self.says.append(Stacks())

    def leaves(self, reason: str) -> None:
        self.says.append(Draining(reason))

    def fails(self, code: int, reason: str) -> None:
        self.says.append(Failed(code, reason))
        self.code = code

    def ends(self, code: int = OK) -> None:
        self.code = code


class World:
    """A supervisor of fake processes, and a clock that the test moves."""

    def __init__(self, processes: int = 2, *, shutdown_timeout: float = 30.0) -> None:
        self.now = 1000.0
        self.links: list[FakeLink] = []
        #: Errors that the next starts end with.
        self.refusals: list[OSError] = []
        self.supervisor = Supervisor(
            self._spawn, processes=processes, shutdown_timeout=shutdown_timeout, now=lambda: self.now
        )

    def _spawn(self, number: int) -> FakeLink:
        if self.refusals:
            raise self.refusals.pop(0)
        self.links.append(FakeLink(number, 100 + len(self.links)))
        return self.links[-1]

    def all_up(self) -> None:
        """One step in which processes are made, one in which they are up."""
        self.supervisor.run_once()
        for link in self.living:
            link.up()
        assert self.supervisor.run_once() is None

    @property
    def living(self) -> list[FakeLink]:
        return [link for link in self.links if link.code is None]

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
