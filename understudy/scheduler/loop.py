"""The scheduler: one step is ``run_once``; a process repeats it.

::

    ask to lead --no--> sleep until the leader's time is over
        | yes
    a new term, or told something? --> register the jobs, learn where each has come to --> timetable
        |
    for each job that is due: what is made of its ticks (`catchup`), each claimed and sent in one script (`book`)
        |
    sleep until the next one is due, or the lease wants to be renewed
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from understudy import clock
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerFull, ServerUnavailable

from .book import Book, Deposed, Place, Request, Verdict
from .catchup import Due, due
from .jobs import Job, jobs_of, tick_id
from .leadership import Leadership, Standing
from .timetable import Timetable
from .wake import Listener, Waker

logger = logging.getLogger(__name__)

#: Ticks that are sent in one step: between two steps the lease is renewed.
MOST = 200
#: Seconds before a server is asked again that did not answer, or is full.
AFTER_AN_OUTAGE = 0.5
#: Milliseconds for which a job is put aside whose message cannot be made or is refused; the others go on.
ASIDE = 5_000
#: Seconds by which a tick may be late before the log says so.
LATE = 1.0


class Scheduler:
    """One of any number of schedulers.

    Args:
      broker: whose actors' jobs they are, and where their messages go.
      lease: seconds for which it leads when it is not heard of; the setting ``UNDERSTUDY_SCHEDULER_LEASE`` by default.
      name: of this scheduler among the others.

    Raises:
      DeclarationError: two jobs have the same name.
    """

    def __init__(self, broker: RedisBroker, *, lease: float | None = None, name: str | None = None) -> None:
        self.jobs: Mapping[str, Job] = jobs_of(broker)
        length = broker.settings.scheduler_lease if lease is None else lease
        self.leadership = Leadership(broker.storage, lease=length, name=name)
        self._broker = broker
        self._book = Book(broker, self.leadership)
        self._timetable = Timetable()
        self._places: dict[str, Place] = {}
        self._term = 0
        self._news = False
        self._again_at: int | None = None
        self._ends = False
        self._outage = False

    # -- one step ----------------------------------------------------------------------------------------

    def run_once(self) -> float:
        """Do what is due; returns the seconds after which it wants to be called again.

        Raises:
          ServerUnavailable: the server could not be asked. What was not done is due at the next call.
        """
        began = clock.monotonic()
        standing = self.leadership.ask()
        if not standing.term:
            if self._term:
                logger.info("follows %s", standing.leader)
                self._term = 0
            return self.leadership.until_next(standing)
        try:
            again = self._again_at is not None and standing.now >= self._again_at
            if standing.term != self._term or self._news or again:
                self._take_over(standing)
            self._send_what_is_due(standing.now)
        except Deposed:
            logger.warning("another scheduler leads: this one was taken for dead, and follows")
            self.leadership.deposed()
            self._term = 0
            return 0.0
        wait = self.leadership.until_next(standing)
        if self._news:
            return 0.0
        for coming in (self._timetable.next(), self._again_at):
            if coming is not None:
                wait = min(wait, (coming - standing.now) / 1000)
        return max(0.0, wait - (clock.monotonic() - began))

    def told(self) -> None:
        """Something was said on the channel: what the server knows is read again in the next step."""
        self._news = True

    def _take_over(self, standing: Standing) -> None:
        if standing.term != self._term:
            logger.info("leads (term %d), with %d periodic jobs", standing.term, len(self.jobs))
        self._news = False  # before it is asked: what is said from now on counts
        page = self._book.register(self.jobs)
        self._term = standing.term
        self._places = dict(page.places)
        self._timetable.shutdown()
        self._timetable = Timetable()
        for name, place in page.places.items():
            if name not in page.paused:
                self._timetable.put(self.jobs[name], after=place.after, epoch=place.epoch)
        self._again_at = None
        for request in page.requests:
            self._run_now(request, standing.now)

    def _run_now(self, request: Request, now: int) -> None:
        job = self.jobs.get(request.job)
        if job is None:
            return  # the code that has it may come with the next scheduler
        try:
            verdict = self._book.send(job, request.at, request=request)
        except Exception as error:  # noqa: BLE001 - one job keeps no other from being sent
            self._set_aside(job, error)
            self._again_at = now + ASIDE
        else:
            logger.info("periodic job %s: it was asked for: %s", job.name, _said(verdict))

    def _send_what_is_due(self, now: int) -> None:
        budget = MOST
        for name in self._timetable.due(now):
            job, place = self.jobs[name], self._places[name]
            found = due(job, after=place.after, epoch=place.epoch, now=now)
            try:
                budget -= self._send(job, place.epoch, found, budget)
            except Exception as error:  # noqa: BLE001 - as above
                self._set_aside(job, error)
                self._timetable.put_off(name, now + ASIDE)
            if budget <= 0:
                return

    def _send(self, job: Job, epoch: int, found: Due, most: int) -> int:
        """Send the first ``most`` ticks; returns how many."""
        missed = found.missed
        if not found.send and found.passed is not None:
            logger.warning("periodic job %s: %d ticks came due unseen, and are given up", job.name, missed)
            self._note(job, epoch, found.passed, self._book.give_up(job, found.passed, missed=missed))
        for fire in found.send[:most]:
            verdict = self._book.send(job, fire, missed=missed)
            missed = 0
            if not self._note(job, epoch, fire, verdict):
                break
        return len(found.send[:most])

    def _note(self, job: Job, epoch: int, fire: int, verdict: Verdict) -> bool:
        """Take down what became of a fire time; False when nothing further of this job can be sent now."""
        if verdict.word in ("paused", "unknown"):
            self._news = True  # something was said that has not been heard yet, or the server has lost its data
            return False
        if verdict.word == "early":
            return False  # the server's clock was put back a moment ago
        late = (verdict.at - fire - job.put_off(fire)) / 1000
        if verdict.word == "sent":
            level = logging.WARNING if late > LATE else logging.INFO
            logger.log(level, "periodic job %s: %s, %.3f s late", job.name, tick_id(job.name, fire), late)
        elif verdict.word != "missed":
            logger.info("periodic job %s: %s: %s", job.name, tick_id(job.name, fire), _said(verdict))
        self._places[job.name] = Place(epoch, fire)
        self._timetable.put(job, after=fire, epoch=epoch)
        return True

    def _set_aside(self, job: Job, error: Exception) -> None:
        """One job that cannot be sent keeps no other from it. Raises what concerns all of them."""
        if isinstance(error, Deposed | ServerFull):
            raise error
        if isinstance(error, ServerUnavailable) and "refused" not in str(error):
            raise error
        logger.error("periodic job %s cannot be sent, and is tried again: %s", job.name, error, exc_info=error)

    # -- a process ---------------------------------------------------------------------------------------

    def run(self, waker: Waker) -> None:
        """Repeat the step until ``stop`` is called, then let another one lead at once."""
        with Listener(self._broker.storage, waker):
            while not self._ends:
                if waker.wait(self._step()):
                    self.told()
            self._hand_over()

    def _hand_over(self) -> None:
        try:
            if self.leadership.resign():
                logger.info("leads no more: it was told to stop")
        except ServerUnavailable as error:
            logger.warning("could not say that it leads no more; another one leads in a moment: %s", error)

    def stop(self) -> None:
        """Let ``run`` come to its end; wake it after this. May be called by a signal handler."""
        self._ends = True

    def _step(self) -> float:
        try:
            wait = self.run_once()
        except ServerUnavailable as error:
            if not self._outage:
                logger.error("nothing can be sent; it is tried again every %g s: %s", AFTER_AN_OUTAGE, error)
            self._outage = self._news = True
            return AFTER_AN_OUTAGE
        if self._outage:
            logger.info("the server answers again")
            self._outage = False
        return wait


def _said(verdict: Verdict) -> str:
    return {
        "sent": "sent",
        "before": "sent",
        "overlap": f"left out, because {verdict.standing} has not ended",
        "passed": "it was over already",
    }.get(verdict.word, verdict.word)
