"""Which of several schedulers does the work, and in which term.

::

                      asks, nobody leads: the next term
        Follower ------------------------------------------> Leader --. renews, a third
           ^  ^                                                |  |   | of the lease later
           |  |   resigns (SIGTERM): the others are told       |  |<--'
           |  '------------------------------------------------'  |
           '------------------------------------------------------'
              is told that another term has begun (it was paused, cut off, or the server's clock was put forward)

    lease   |<------- UNDERSTUDY_SCHEDULER_LEASE ------->|  its end is known to followers, who ask again then
    dies    X                                            |  a follower leads: a new term

The server's record is the only truth, and its clock the only one: a process never decides by its own clock that it
leads. It need not, because nothing that a leader does is done without the record being asked again: ``register`` and
``tick`` look at the term in the same script that writes. A leader that was paused in the middle of its work, and wakes
when another one leads, is refused at the first thing that it tries. So a lease can be short, and a failover early: at
worst two processes ask for the same tick, and one is told that it is over.

One that does not answer is followed within a lease (3 s by default); one that is told to stop, at once.
"""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass

from understudy.durations import to_millis
from understudy.storage.client import Storage

#: So many renewals fit into a lease: two may fail and the third is still in time.
RENEWALS = 3


@dataclass(frozen=True)
class Standing:
    """How things stand, as the server says.

    Attributes:
      term: of this scheduler's leadership; 0 when it does not lead.
      leader: who leads.
      left: milliseconds until the leader's time is over, unless it renews.
      now: the server's time, in milliseconds since 1970.
    """

    term: int
    leader: str
    left: int
    now: int


class Leadership:
    """Stands for leadership on behalf of one scheduler. ``ask`` is one step."""

    def __init__(self, storage: Storage, *, lease: float, name: str | None = None) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.lease = to_millis(lease)
        self._storage = storage
        self._term = 0

    @property
    def term(self) -> int:
        """The term in which it leads, as far as it knows; 0 when it does not."""
        return self._term

    def ask(self) -> Standing:
        """Renew, or stand for election.

        Raises:
          ServerUnavailable: the server could not be asked; the term may go on.
        """
        keys = self._storage.keys
        where = f"{socket.gethostname()} {os.getpid()}"
        term, leader, left, now = self._storage.run("lead", [keys.clock, keys.leader], [self.name, self.lease, where])
        self._term = int(term)
        return Standing(self._term, leader.decode(), int(left), int(now))

    def deposed(self) -> None:
        """Another one leads: whoever was asked has said so."""
        self._term = 0

    def resign(self) -> bool:
        """End the term and tell the others; False when there was none to end.

        Raises:
          ServerUnavailable: the server could not be asked; the lease ends by itself.
        """
        term, self._term = self._term, 0
        keys = self._storage.keys
        return bool(term and self._storage.run("resign", [keys.leader], [self.name, term, keys.scheduling]))

    def until_next(self, standing: Standing) -> float:
        """Seconds after which to ask again: a third of the lease when it leads, else at the end of the leader's."""
        return (self.lease / RENEWALS if standing.term else max(standing.left, 1)) / 1000
