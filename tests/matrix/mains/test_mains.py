from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.house.project import ROOT
from workflows import FLOWS

from .mains import MAINS, Main, main, whole
from .trials import TRIALS, Trial, trials


def domains() -> set[str]:
    """The modules of actors in ``tasks``, the flows, and what runs by the clock."""
    modules = {path.name.removesuffix("_tasks.py") for path in Path(ROOT, "tasks").glob("*_tasks.py")}
    return modules | {flow.name for flow in FLOWS} | {"periodic"}


def test_every_domain_has_its_main_actor() -> None:
    assert set(MAINS) == domains()


def test_a_main_actor_belongs_to_its_domain() -> None:
    for domain, found in MAINS.items():
        assert f".{domain}" in found.actor.fn.__module__.replace("_tasks", "")


def test_each_is_asked_in_every_row() -> None:
    assert Counter(trial.row for trial in trials()) == dict.fromkeys(TRIALS, len(MAINS))
    assert [trial.main.domain for trial in trials("throughput")] == sorted(MAINS)
    trial = Trial(MAINS["email"], "throughput")
    assert (trial.subject.name, trial.subject.kind, str(trial)) == ("send_email", "email", "send_email-throughput")


def test_a_domain_has_one_main_actor() -> None:
    with pytest.raises(ValueError, match="email has two main actors: send_email, export_rows"):

        @main(MAINS["export"].actor, "email")
        class Another(Main):
            """Never made."""


def test_an_effect_that_is_there_by_half_is_found() -> None:
    assert whole(Counter(a=4, b=2), 2) == {"a": 2, "b": 1}
    with pytest.raises(AssertionError, match=r"of 2 parts each there are \{'b': 3\}"):
        whole(Counter(a=4, b=3), 2)
