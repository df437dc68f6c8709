"""The sides whose libraries are installed here have one interface; the child refuses what is none of it."""

import inspect

import pytest

from benchmarks.contenders import STOCK, Contender, with_results
from benchmarks.lab import Server
from benchmarks.sides import SIDES, Bodies, Side
from benchmarks.sides.base import IO_SECONDS
from benchmarks.sides.stock_side import StockSide
from benchmarks.sides.understudy_side import UnderstudySide


def signatures(side: type) -> dict[str, str]:
    return {name: str(inspect.signature(getattr(side, name))) for name in vars(Side) if not name.startswith("_")}


@pytest.mark.parametrize("side", [UnderstudySide, StockSide])
def test_a_side_does_all_that_is_asked_of_sides(side: type) -> None:
    assert signatures(side) == signatures(Side)
    assert side.__module__.split(".")[-1].removesuffix("_side") in SIDES


def test_a_body_notes_that_it_ran() -> None:
    seen: list[int] = []
    bodies = Bodies(seen.append, hold=False)
    assert [bodies.noop(1), bodies.io(2), bodies.hold(3)] == [1, 2, 3]
    assert [bodies.hop(4), bodies.gather([1, 5, 2])] == [5, 6]
    assert seen == [1, 2, 3, 4, 6]
    assert IO_SECONDS == 0.005


@pytest.mark.parametrize("contender", [with_results(STOCK)], ids=lambda contender: contender.label)
def test_a_peer_runs_what_it_is_sent_and_hands_back_results(server: Server, contender: Contender) -> None:
    with server.bench(contender, capacity=100) as bench:
        worker = bench.worker()
        sender = bench.sender()
        worker.process.ask("start_worker")
        sender.ask("send", kind="noop", count=5, bulk=True)
        assert len(sender.ask("send_and_wait", kind="noop", first=50, count=1)["seconds"]) == 1
        assert len(sender.ask("send_due", kind="noop", first=60, count=1, delay=0.01, spacing=0.0)["due"]) == 1
