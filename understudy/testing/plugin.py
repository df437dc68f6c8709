"""The pytest plugin. Its fixtures are described in ``understudy.testing``.

A test that uses ``broker`` (or a fixture built on it) runs once per kind of broker in the ini option
``understudy_brokers`` (``stub`` by default; this project: ``stub server``). ``@pytest.mark.brokers("server")``
restricts a test to some of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from freezegun.api import FrozenDateTimeFactory

    from understudy.brokers.redis import RedisBroker

    from .enqueued import Enqueued
    from .faults import Faults
    from .stage import Kind
    from .worker import StepWorker

#: Where frozen time starts: a Sunday noon in winter, far from any change of clocks.
FROZEN_START = "2026-03-01T12:00:00+00:00"

# The rest of the kit, and freezegun, are imported inside the fixtures: pytest loads plugins in every session of
# every project that has Understudy installed. Those without a test of an actor shall not pay for it, and those
# without the testing extra shall not fail.


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("understudy_brokers", "kinds of broker to run tests of actors on", type="args", default=["stub"])


def pytest_load_initial_conftests() -> None:
    # Before any conftest: whatever imports `tasks` gets the in-memory broker, never a server of the developer's.
    os.environ["BROKER_URL"] = "stub://"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "brokers(kind, ...): run this test on these kinds of broker only")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "broker_kind" in metafunc.fixturenames:
        kinds = list(metafunc.config.getini("understudy_brokers"))
        marker = metafunc.definition.get_closest_marker("brokers")
        if marker is not None:
            # A test that names kinds of which this session has none runs on those it names: it is never skipped.
            kinds = [kind for kind in kinds if kind in marker.args] or list(marker.args)
        unknown = set(kinds) - {"stub", "server"}
        if unknown or not kinds:
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid}: a kind of broker is stub or server, not {sorted(unknown)}; "
                "correct the marker `brokers` or the ini option understudy_brokers"
            )
        metafunc.parametrize("broker_kind", kinds, scope="function")


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server of this session, on a socket of its own, stopped at the end."""
    from understudy.embedded import EmbeddedServer

    server = EmbeddedServer(tmp_path_factory.mktemp("server"))
    server.ensure()
    yield server.url
    server.release()


@pytest.fixture
def faults() -> Faults:
    """Makes the server fail, or the worker die."""
    from .faults import Faults

    return Faults()


@pytest.fixture
def enqueued() -> Enqueued:
    """What was enqueued in this test."""
    from .enqueued import Enqueued

    return Enqueued()


@pytest.fixture
def broker(
    broker_kind: Kind, request: pytest.FixtureRequest, faults: Faults, enqueued: Enqueued
) -> Iterator[RedisBroker]:
    """A fresh broker that all declared actors stand on; once per kind."""
    import dramatiq.broker

    from .stage import stage

    if dramatiq.broker.global_broker is None:
        raise pytest.UsageError(
            "no broker is installed, so messages would meet no middleware: import the module that installs yours "
            "(`import tasks`) in conftest.py"
        )
    url = request.getfixturevalue("server_url") if broker_kind == "server" else None
    with stage(broker_kind, server_url=url, faults=faults, enqueued=enqueued) as staged:
        yield staged


@pytest.fixture
def step_worker(broker: RedisBroker, faults: Faults) -> StepWorker:
    """The worker that ``drain`` drives; ``run_once()`` is one step."""
    from .worker import StepWorker

    return StepWorker(broker, faults)


@pytest.fixture
def drain(step_worker: StepWorker) -> Callable[..., int]:
    """Process everything that is due, in this thread; returns how many executions there were."""
    return step_worker.drain


@pytest.fixture
def freezer() -> Iterator[FrozenDateTimeFactory]:
    """Frozen time. ``tick(seconds)`` moves it, for this process and for the server."""
    import freezegun

    # Event loops sleep in real time, as bodies in threads do: with a clock that stands still they would for ever.
    with freezegun.freeze_time(FROZEN_START, real_asyncio=True) as frozen:
        yield cast("FrozenDateTimeFactory", frozen)
