"""The composition root's tool."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dramatiq
import dramatiq.broker
import pytest
from dramatiq.brokers.stub import StubBroker as ForeignBroker

from understudy import runtime
from understudy.brokers.redis import RedisBroker
from understudy.encoder import MessageEncoder
from understudy.errors import SettingsError
from understudy.runtime import build, build_storage, install, installed
from understudy.settings import Settings, load
from understudy.storage.client import BLOCKING_TIMEOUT, NEVER, EmbeddedConnection


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    found, encoder = dramatiq.broker.global_broker, dramatiq.get_encoder()
    monkeypatch.setenv("BROKER_URL", "stub://")
    monkeypatch.delenv("REDIS_URL", raising=False)
    yield
    dramatiq.set_broker(found)  # type: ignore[arg-type]  # the very thing that was there
    dramatiq.set_encoder(encoder)


def settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name in ("BROKER_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = load(Settings)
    assert isinstance(found, Settings)
    return found


def test_installing_makes_it_dramatiqs_broker_and_encoder() -> None:
    broker = install()
    assert dramatiq.get_broker() is broker is installed()
    assert isinstance(dramatiq.get_encoder(), MessageEncoder)


def test_a_process_that_installed_nothing_gets_what_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dramatiq.broker, "global_broker", None)
    found = installed()
    assert isinstance(found, RedisBroker)
    assert not found.storage.can_wait
    assert installed() is found


def test_threads_that_ask_first_at_the_same_time_get_the_same_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dramatiq.broker, "global_broker", None)
    together, found = threading.Barrier(8), []

    def ask() -> None:
        together.wait()
        found.append(installed())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_a_foreign_broker_is_refused_with_what_to_do() -> None:
    dramatiq.set_broker(ForeignBroker(middleware=[]))
    with pytest.raises(SettingsError, match=r"installed broker is a StubBroker; call understudy.install\(\)"):
        installed()


def test_wrong_settings_install_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dramatiq.get_broker()
    monkeypatch.setenv("UNDERSTUDY_THREADS", "many")
    with pytest.raises(SettingsError, match="UNDERSTUDY_THREADS"):
        install()
    assert dramatiq.get_broker() is before


def test_the_broker_is_what_the_settings_describe(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = build(settings(monkeypatch, REDIS_URL="redis://192.0.2.1:6379/3"))
    assert isinstance(broker, RedisBroker)
    assert broker.storage.client.connection_pool.connection_kwargs["host"] == "192.0.2.1"
    assert broker.storage.can_wait
    assert broker.reader is not None


def test_blocking_reads_have_a_client_of_their_own_that_does_not_resend(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = build(settings(monkeypatch, REDIS_URL="redis://192.0.2.1"))
    assert broker.reader is not None
    ordinary, blocking = (s.client.connection_pool.connection_kwargs for s in (broker.storage, broker.reader))
    assert blocking["retry"] is NEVER
    assert blocking["socket_timeout"] == BLOCKING_TIMEOUT > ordinary["socket_timeout"]
    assert ordinary["retry"] is not NEVER


def test_in_memory_it_is_the_same_broker_of_which_nothing_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = build(settings(monkeypatch, BROKER_URL="stub://"))
    assert isinstance(broker, RedisBroker)
    assert broker.reader is None
    assert not broker.storage.can_wait
    broker.storage.client.set("a", "1")
    assert not build(settings(monkeypatch, BROKER_URL="stub://")).storage.client.exists("a"), "a server of its own"


def test_without_a_server_the_embedded_one_is_used_and_not_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage = build_storage(settings(monkeypatch, UNDERSTUDY_DATA_DIR=str(tmp_path / "data")))
    assert storage.client.connection_pool.connection_class is EmbeddedConnection
    assert not (tmp_path / "data").exists()


def test_a_storage_of_ones_own_replaces_the_described_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings(monkeypatch, BROKER_URL="stub://")
    storage = build_storage(found)
    broker = build(found, storage=storage)
    assert broker.storage is storage
    assert broker.reader is None, "whoever gives a storage drives the broker step by step"


@pytest.mark.parametrize("broker_url", ["", "stub://", "redis://192.0.2.1"])
def test_importing_the_actors_does_no_io(broker_url: str, tmp_path: Path) -> None:
    script = (
        "import socket, subprocess, threading\n"
        "def refuse(*args, **kwargs): raise AssertionError('I/O at import')\n"
        "socket.socket.connect = socket.socket.bind = subprocess.Popen.__init__ = threading.Thread.start = refuse\n"
        "import understudy, tasks, workflows\n"
        "understudy.handle('an id')\n"
    )
    environment = {"UNDERSTUDY_DATA_DIR": str(tmp_path / "data"), "PATH": "/usr/bin:/bin"}
    if broker_url:
        environment["BROKER_URL"] = broker_url
    root = Path(runtime.__file__).parents[1]
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env=environment, cwd=root)
    assert not (tmp_path / "data").exists()
