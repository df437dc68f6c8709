from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from understudy import clock
from understudy.isolation import wire
from understudy.isolation.wire import Channel, Closed


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    yield channel, theirs
    channel.close()
    theirs.close()


def frame(value: object) -> bytes:
    writer, reader = socket.socketpair()
    with writer, reader:
        Channel(writer).send(value)
        return reader.recv(1 << 16)


def test_values_come_one_by_one_however_the_bytes_come(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    data = frame({"a": 1}) + frame("b") + frame([b"c"])
    for start in range(0, len(data), 7):
        other.sendall(data[start : start + 7])
    assert [channel.receive() for _ in range(3)] == [{"a": 1}, "b", [b"c"]]


def test_a_large_value_travels_in_both_directions_at_a_time() -> None:
    ours, theirs = socket.socketpair()
    one, other = Channel(ours), Channel(theirs)
    large = b"x" * 5_000_000
    thread = threading.Thread(target=lambda: other.send(other.receive()))
    thread.start()
    one.send(large)
    assert one.receive() == large
    thread.join()
    one.close()
    other.close()


def test_what_came_before_the_deadline_is_kept(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    data = frame(b"x" * 100)
    for piece in (data[:4], data[4:50]):
        other.sendall(piece)
        with pytest.raises(TimeoutError):
            channel.receive(clock.monotonic() + 0.01)
    other.sendall(data[50:])
    assert channel.receive(clock.monotonic() + 10) == b"x" * 100


def test_a_deadline_may_be_a_month_away(ends: tuple[Channel, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    channel, other = ends
    timer = threading.Timer(0.05, other.sendall, [frame("late")])
    timer.start()
    monkeypatch.setattr(wire, "LONGEST", 0.01)
    assert channel.receive(clock.monotonic() + 30 * 86_400) == "late"
    timer.join()
    monkeypatch.undo()
    other.sendall(frame("soon"))
    assert channel.receive(clock.monotonic() + 30 * 86_400) == "soon"


def test_a_value_that_cannot_be_pickled_sends_nothing(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    with pytest.raises(TypeError, match="lock"):
        channel.send(threading.Lock())
    channel.send("next")
    assert other.recv(100) == frame("next")


def test_the_end_of_the_other_side_is_told(ends: tuple[Channel, socket.socket]) -> None:
    channel, other = ends
    other.sendall(frame("last") + b"\0\0")
    other.close()
    assert channel.receive() == "last"
    with pytest.raises(Closed):
        channel.receive()
    with pytest.raises(Closed):
        channel.send("x")
