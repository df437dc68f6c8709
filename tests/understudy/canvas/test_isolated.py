"""Steps whose bodies run in a process of their own: they get their input, go on as workflows, and run them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from understudy import chain, chord, handle, workflow
from understudy.brokers.redis import RedisBroker

from . import actors_for_tests as scenes

pytestmark = pytest.mark.brokers("server")


def test_steps_run_in_processes_of_their_own(broker: RedisBroker, drain: Callable[..., int]) -> None:
    found = chain(scenes.add.message(1), scenes.goes_on.message(), scenes.total.message()).run()
    partial = chord([scenes.add.message(1), scenes.boom.message()], scenes.total.message(), policy="partial").run()
    sent = handle(scenes.sends.send("isolated"))
    drain(isolation="process")
    assert found.get() == 3 + 12
    assert partial.get() == 1_002
    assert workflow(sent.get()).get() == [3, 3]
