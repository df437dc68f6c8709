import io
import json
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks import child
from benchmarks.child import Child, resident_bytes, serve
from benchmarks.sides import Bodies
from benchmarks.spec import Spec
from benchmarks.tape import Tape


class Instant:
    """A side that runs each message as it is sent, and notes it on the tape that the sender watches."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.sent: list[tuple[int, float | None]] = []

    def send(self, kind: str, index: int) -> None:
        self.sent.append((index, None))
        self.tape.hit(index)

    def send_many(self, kind: str, indices: Any, delay: float | None) -> None:
        self.sent += [(index, delay) for index in indices]

    def send_delayed(self, kind: str, index: int, delay: float) -> None:
        self.sent.append((index, delay))

    def versions(self) -> dict[str, str]:
        return {"instant": "1"}


@pytest.fixture
def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instant:
    found = Instant(Tape(tmp_path / "tape", 100))
    monkeypatch.setattr(child, "open_side", lambda spec, bodies: found)
    return found


@pytest.fixture
def sender(side: Instant, tmp_path: Path) -> Child:
    return Child(Spec("instant", "", "", capacity=100, watched=(str(tmp_path / "tape"),)))


def test_orders_are_answered_line_by_line_and_errors_are_answers(sender: Child, side: Instant) -> None:
    orders = [{"order": "facts", "arguments": {}}, {"order": "warm_up", "arguments": {"kind": "noop"}}]
    answers = io.StringIO()
    serve(sender, map(json.dumps, orders), answers)
    first, second = map(json.loads, answers.getvalue().splitlines())
    assert first["versions"] == {"instant": "1"}
    assert first["rss"] > 0
    assert "missing 1 required positional argument" in second["error"]


def test_a_first_message_connects_before_the_clock_runs(sender: Child, side: Instant) -> None:
    sender.send("noop", 3, bulk=False)
    assert [index for index, _ in side.sent] == [3, 0, 1, 2]


def test_bulk_and_delayed_messages_go_through_the_sides_own_way(sender: Child, side: Instant) -> None:
    sender.send("noop", 2, bulk=True, delay=60.0)
    assert side.sent == [(2, 60.0), (0, 60.0), (1, 60.0)]


def test_picking_up_is_timed_from_send_to_the_note_on_the_tape(sender: Child) -> None:
    sender.warm_up("noop", 2)
    found = sender.pick_up("noop", first=2, count=3, pauses=(0.0, 0.0))["seconds"]
    assert len(found) == 3
    assert min(found) >= 0


def test_each_due_message_is_due_after_its_delay(sender: Child, side: Instant) -> None:
    due = sender.send_due("noop", first=5, count=2, delay=30.0, spacing=0.0)["due"]
    assert side.sent == [(5, 30.0), (6, 30.0)]
    assert due == sorted(due)


def test_a_process_that_only_sends_refuses_to_run_bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Bodies] = []
    monkeypatch.setattr(child, "open_side", lambda spec, bodies: cast(Any, given.append(bodies)))
    Child(Spec("instant", "", ""))
    with pytest.raises(Exception, match="run by a process that only sends"):
        given[0].noop(1)


def test_a_process_knows_its_memory() -> None:
    assert resident_bytes() > 1024 * 1024
