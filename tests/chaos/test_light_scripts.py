"""No script holds up the server for longer than 50 ms, whatever the size of a chord (P9, section 7).

Held to CPU time, not to the clock: see ``weighing``. By the clock the same chord is shown in ``test_large_chords``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dramatiq
import pytest

from middleware.stack import stack
from tests.chaos.plant import Plant, plant, sending
from tests.chaos.test_workflows import message
from tests.chaos.weighing import Weighing
from understudy import Retry, actor, chord
from understudy.brokers.redis import RedisBroker
from understudy.brokers.workflows import sweep
from understudy.runtime import build_storage
from understudy.settings import Settings, load
from understudy.storage.client import connect

#: Seconds.
LONGEST = 0.05
#: What a chord goes through in its life.
LIFE = {"compose", "launch", "fan", "settle", "reopen", "relaunch", "abort", "sweep"}


def weighing(stage: Plant) -> RedisBroker:
    """A broker for the plant, whose exchanges are weighed."""
    settings = load(Settings, environ={"REDIS_URL": stage.server.url, "UNDERSTUDY_NAMESPACE": stage.namespace})
    storage = Weighing(connect(stage.server.url), namespace=stage.namespace)
    storage.weigh()
    return RedisBroker(storage, settings, stack(settings), reader=build_storage(settings, blocking=True))


def live(directory: Path, members: int) -> str:
    """A chord that fails at its body and is resumed, and one that is revoked; what is left of them is swept."""
    attempts: list[int] = []
    with plant(directory, "everysec") as stage:
        stage.broker.storage.close()
        stage.broker = broker = weighing(stage)
        storage: Any = broker.storage
        with sending(stage):

            @actor(queue_name="chaos", broker=broker)
            def member(number: int) -> int:
                return number

            @actor(queue_name="chaos", broker=broker, retry=Retry(max_retries=0))
            def total(numbers: list[int], name: str) -> int:
                attempts.append(len(numbers))
                if len(attempts) == 1:
                    raise ValueError("the first time")
                return sum(numbers)

            worker = dramatiq.Worker(broker, worker_threads=2)
            worker.start()
            try:
                header = [message("member", number) for number in range(members)]
                found = chord(header, message("total", "large")).run()
                with pytest.raises(ValueError, match="the first time"):
                    found.get(timeout=600)
                found.resume()
                assert found.get(timeout=600) == sum(range(members))
                assert attempts == [members, members]
                other = chord(header, message("total", "revoked")).run()
                other.revoke()
            finally:
                worker.stop()
            for one in (found, other):
                one.forget()
            while sweep(broker):
                pass
            assert not found.exists()
            assert not other.exists()
        assert storage.heaviest.keys() >= LIFE
        heavy = {name: seconds for name, seconds in storage.heaviest.items() if seconds > LONGEST}
        assert not heavy, f"{heavy}, of {storage.counted}"
        shown = sorted(storage.heaviest.items(), key=lambda pair: -pair[1])[:5]
        return f"{members:,} members, CPU of the server at the most: " + ", ".join(
            f"{name} {seconds * 1000:.1f} ms of {storage.counted[name]}" for name, seconds in shown
        )


def test_no_script_of_a_chord_is_heavy(tmp_path: Path) -> None:
    live(tmp_path, 2_000)


@pytest.mark.chaos_long
@pytest.mark.timeout(0)
def test_no_script_of_a_chord_of_100_000_is_heavy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = live(tmp_path, 100_000)
    with capsys.disabled():
        print(f"\n{said}")  # noqa: T201 - for people
