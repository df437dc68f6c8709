from __future__ import annotations

import pickle

import pytest

from understudy.holds import Hold
from understudy.isolation.jobs import Answer, Boot, CannotServe, Done, Job, Question, Ready
from understudy.isolation.parcels import pack
from understudy.limits import Limits
from understudy.settings import Settings, load


@pytest.mark.parametrize(
    "said",
    [
        Boot(load(Settings, environ={"BROKER_URL": "stub://"}), ["tasks"], ["/x"]),
        Ready(7),
        CannotServe("why"),
        Job(
            "m",
            "a",
            "mod",
            (1,),
            {"b": 2},
            Hold("s", "1-1", "q/1/1-1", 1, "w"),
            0,
            {"h": 1},
            "p",
            "r",
            "s",
            None,
            Limits(5.0, 1.0),
        ),
        Question("run", ("item", [], [])),
        Answer(b"x", pack(ValueError("x"), traceback=False), True, False),
        Done(b"result", marks={"a": "1"}),
    ],
    ids=lambda said: type(said).__name__,
)
def test_what_is_said_arrives_as_it_was(said: object) -> None:
    assert pickle.loads(pickle.dumps(said)) == said
