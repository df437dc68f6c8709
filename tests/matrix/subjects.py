"""The subjects of the matrix: everything that runs in production and was registered to do so."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dramatiq

from understudy.actors import declared
from understudy.options import ActorOptions
from understudy.runtime import installed
from understudy.scheduler.jobs import jobs_of
from workflows import FLOWS

Kind = Literal["actor", "workflow", "periodic"]


@dataclass(frozen=True)
class Subject:
    """One line of the table.

    Attributes:
      name: what its entry is called by; unique among all subjects.
      function: what the developer wrote; excuses are checked against its signature and source.
      declared: its options.
      actors: the actors that do its work. A case of this subject must send to one of them.
    """

    name: str
    kind: Kind
    function: Callable[..., Any]
    declared: ActorOptions
    actors: tuple[dramatiq.Actor[..., Any], ...]


Provider = Callable[[], Iterable[Subject]]


def of_actor(actor: dramatiq.Actor[..., Any]) -> Subject:
    """An actor as a subject."""
    return Subject(actor.actor_name, "actor", actor.fn, declared(actor), (actor,))


def registered_actors() -> Iterator[Subject]:
    """Every actor on the installed broker. Those that tests declare for themselves do not go to production."""
    for actor in installed().actors.values():
        if actor.fn.__module__.partition(".")[0] != "tests":
            yield of_actor(actor)


def registered_flows() -> Iterator[Subject]:
    """Every flow. What its actors declare is theirs; of itself it declares nothing."""
    for flow in FLOWS:
        yield Subject(f"workflow:{flow.name}", "workflow", flow.begin, ActorOptions(), flow.actors)


def periodic_jobs() -> Iterator[Subject]:
    """Every periodic job. Its actor is a subject too: it can be sent by hand."""
    for job in jobs_of(installed()).values():
        if job.actor.fn.__module__.partition(".")[0] != "tests":
            yield Subject(f"periodic:{job.name}", "periodic", job.actor.fn, declared(job.actor), (job.actor,))


#: Who knows of subjects. A flow is ``workflow:name`` and a periodic job ``periodic:name``, because its actor is one
#: too.
PROVIDERS: tuple[Provider, ...] = (registered_actors, registered_flows, periodic_jobs)


def subjects(providers: Sequence[Provider] = PROVIDERS) -> list[Subject]:
    """All subjects, by name, after importing what a worker would import.

    Raises:
      ValueError: two subjects have the same name.
    """
    for module in installed().settings.modules:
        importlib.import_module(module)
    found: dict[str, Subject] = {}
    for subject in (subject for provider in providers for subject in provider()):
        if subject.name in found:
            raise ValueError(f"two subjects are called {subject.name!r}: a provider must prefix its names")
        found[subject.name] = subject
    return [found[name] for name in sorted(found)]
