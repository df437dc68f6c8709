"""What it means to hold a message."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: The consumer group of every stream.
GROUP = "workers"
#: Deaths of a process at which a body was running, the last one alone, that make it a dead letter: those since it
#: finished an item, and all.
MAX_DEATHS, MOST_DEATHS = 3, 100
#: Deaths after which a body runs alone in its process.
SUSPECT_AFTER = MAX_DEATHS - 1


@dataclass(frozen=True, slots=True)
class Hold:
    """What holding a message means: a pending entry of a stream.

    An entry is delivered once: what is handed back, retried or reaped becomes a new entry. So the entry's id names the
    delivery, and a delivery that was taken away finds its entry gone.

    Attributes:
      stream: the key of the stream.
      entry: the id of the entry.
      token: names the delivery across streams; every write on the message's behalf carries it.
      deaths: at how many deaths of a process the body of this message was running since it last finished an item.
      worker: the worker that held it when it died, if one did.
      in_all: at how many deaths of a process it was running at all.
      holder: the worker process that holds it.
    """

    stream: str
    entry: str
    token: str
    deaths: int = 0
    worker: str = ""
    in_all: int = 0
    holder: str = ""

    @property
    def suspect(self) -> bool:
        """Whether an earlier delivery was held by a process that died."""
        return bool(self.worker)

    @property
    def must_be_alone(self) -> bool:
        """Whether the next death would be the last, so that nobody else may run beside it."""
        return self.deaths >= SUSPECT_AFTER or self.in_all >= MOST_DEATHS - 1

    @property
    def is_poison(self) -> bool:
        """Whether it was running at too many deaths. It is a dead letter if it was alone at the last one."""
        return self.deaths >= MAX_DEATHS or self.in_all >= MOST_DEATHS

    @property
    def counted(self) -> str:
        """Both numbers, as they travel with the message."""
        return str(self.deaths) if self.in_all <= self.deaths else f"{self.deaths}/{self.in_all}"

    def after_death(self, worker: str, *, came_on: bool = False) -> Hold:
        """This hold, of which ``worker`` was the holder when a process died at the body, with one more death.

        Args:
          came_on: the body had finished an item in this delivery.
        """
        deaths = 1 if came_on else self.deaths + 1
        return replace(self, deaths=deaths, in_all=max(self.in_all, self.deaths) + 1, worker=worker)


def counts(text: str) -> tuple[int, int]:
    """The numbers of ``Hold.counted``."""
    deaths, _, in_all = text.partition("/")
    since = int(deaths) if deaths.isdecimal() else 0  # an entry that somebody else wrote may hold anything
    return since, int(in_all) if in_all.isdecimal() else since
