"""What is made of the ticks of a job that are due: pure functions, the same in every scheduler."""

from __future__ import annotations

from dataclasses import dataclass

from .jobs import Job

#: So many ticks of a job are made up for at the most; those before are given up.
MOST = 1_000
#: Milliseconds by which a tick may be late and still count as on time (``catch_up="none"``): a leader that died has
#: long been followed by another one.
ON_TIME = 10_000


@dataclass(frozen=True)
class Due:
    """What follows from the ticks of one job up to now.

    Attributes:
      send: the fire times that become messages, in order.
      missed: how many came before the first of them, or are all there is, and do not; ``MOST`` stands for that many or
        more.
      passed: the last fire time that is over, whether it was sent or not; None when none is due.
    """

    send: tuple[int, ...] = ()
    missed: int = 0
    passed: int | None = None


def due(job: Job, *, after: int, epoch: int, now: int) -> Due:
    """The ticks after ``after`` whose time has come at ``now``, and what the job's policy makes of them."""
    ripe = []
    for fire in job.ticks.upto(now, after, epoch, MOST):
        if fire + job.put_off(fire) > now:
            break  # those after it wait for their turn
        ripe.append(fire)
    if not ripe:
        return Due()
    window = ON_TIME if job.window is None and job.catch_up == "none" else job.window
    send = [fire for fire in ripe if window is None or now - (fire + job.put_off(fire)) <= window]
    if job.catch_up == "latest":
        send = send[-1:]
    return Due(tuple(send), len(ripe) - len(send), ripe[-1])


def next_due(job: Job, *, after: int, epoch: int) -> tuple[int, int] | None:
    """The next fire time after ``after``, and when it is due (later by its jitter); None when there is none."""
    fire = job.ticks.after(after, epoch)
    return None if fire is None else (fire, fire + job.put_off(fire))
