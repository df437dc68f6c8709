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


#: Who knows of subjects. The registry of periodic jobs is added here when it exists; it names its own
#: ``periodic:name``, because a periodic job is an actor as well.
PROVIDERS: tuple[Provider, ...] = (registered_actors, registered_flows)


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
