from __future__ import annotations

import math
from typing import Any

import pytest

from understudy.errors import LimitsConflict
from understudy.limits import Limits, check_limits, limits_of, runs_elsewhere
from understudy.options import ActorOptions
from understudy.settings import Settings, load


def settings(**environ: str) -> Settings:
    return load(Settings, environ={"BROKER_URL": "stub://", **environ})


@pytest.mark.parametrize(
    ("message", "actor", "environ", "limits"),
    [
        ({}, {}, {}, Limits(math.inf)),
        ({}, {}, {"UNDERSTUDY_DEFAULT_TIME_LIMIT": "30s"}, Limits(30.0)),
        ({}, {"time_limit": 5_000, "soft_time_limit": 2_500}, {}, Limits(5.0, 2.5)),
        ({"time_limit": 7_000}, {"time_limit": 5_000}, {}, Limits(7.0)),
        ({"soft_time_limit": 1_000}, {"time_limit": 5_000, "soft_time_limit": 2_000}, {}, Limits(5.0, 1.0)),
        ({"time_limit": None}, {"time_limit": 5_000}, {}, Limits(5.0)),
        ({}, {}, {"UNDERSTUDY_DEFAULT_SOFT_TIME_LIMIT": "1m"}, Limits(math.inf, 60.0)),
        ({}, {"time_limit": 5_000}, {"UNDERSTUDY_DEFAULT_SOFT_TIME_LIMIT": "1m"}, Limits(5.0)),
        ({}, {"memory_limit": 100}, {}, Limits(math.inf, None, 100)),
        (
            {"memory_limit": 5},
            {"memory_limit": 100},
            {"UNDERSTUDY_DEFAULT_SOFT_TIME_LIMIT": "1m"},
            Limits(math.inf, 60, 5),
        ),
        ({}, {"soft_time_limit": 900}, {"UNDERSTUDY_DEFAULT_SOFT_TIME_LIMIT": "1m"}, Limits(math.inf, 0.9)),
    ],
)
def test_t11_t15_a_limit_is_the_messages_the_actors_or_the_default(
    message: dict[str, Any], actor: dict[str, Any], environ: dict[str, str], limits: Limits
) -> None:
    assert limits_of(message, actor, settings(**environ)) == limits


def test_the_first_limit_is_the_one_that_comes_first() -> None:
    assert Limits(5.0).first == 5.0
    assert Limits(5.0, 2.0).first == 2.0
    assert Limits(5.0, 9.0).first == 5.0


def test_t11_a_soft_limit_above_the_hard_one_is_refused_with_both() -> None:
    check_limits(5.0, 5.0, where="x")
    check_limits(5.0, None, where="x")
    check_limits(None, 700.0, where="x")
    with pytest.raises(LimitsConflict, match=r"x: soft_time_limit \(6 s\) is above time_limit \(5 s\)"):
        check_limits(5.0, 6.0, where="x")
    with pytest.raises(LimitsConflict, match=r"time limit of actors that name none \(600 s\); give it a time_limit"):
        check_limits(None, 700.0, where="x", default=600.0)


@pytest.mark.parametrize(
    ("options", "message", "elsewhere"),
    [
        ({}, {}, False),
        ({"time_limit": 5.0}, {}, True),
        ({"soft_time_limit": 5.0}, {}, True),
        ({"time_limit": 5.0, "isolation": "thread"}, {}, False),
        ({"isolation": "process"}, {}, True),
        ({}, {"time_limit": 5_000}, True),
        ({"memory_limit": 5}, {}, True),
        ({}, {"memory_limit": 5}, True),
        ({"isolation": "thread"}, {"soft_time_limit": 5_000}, False),
    ],
)
def test_a_body_with_a_limit_runs_elsewhere_unless_its_actor_says_thread(
    options: dict[str, Any], message: dict[str, Any], elsewhere: bool
) -> None:
    declared = ActorOptions(**options)
    assert runs_elsewhere(message, declared, settings()) is elsewhere
    for here in ("thread", "simulated"):
        assert not runs_elsewhere(message, declared, settings(UNDERSTUDY_ISOLATION=here))
