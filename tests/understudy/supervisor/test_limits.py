from __future__ import annotations

import threading
from typing import Any

import pytest
from dramatiq import Message, MessageProxy
from dramatiq.brokers.stub import StubBroker

from understudy.errors import HandBack
from understudy.supervisor.limits import Meter, mebibytes, resident_memory, spread

BROKER = StubBroker(middleware=[])
MESSAGE = MessageProxy(Message(queue_name="q", actor_name="a", args=(), kwargs={}, options={}))


def work(meter: Meter, *, skip: bool = False, **outcome: Any) -> None:
    meter.before_process_message(BROKER, MESSAGE)
    assert meter.running == 1
    if skip:
        meter.after_skip_message(BROKER, MESSAGE)
    else:
        meter.after_process_message(BROKER, MESSAGE, **outcome)


def test_a_process_is_full_once_after_so_many_messages_however_they_ended() -> None:
    said: list[str] = []
    meter = Meter(said.append, max_messages=3)
    work(meter, result=1)
    work(meter, exception=ValueError())
    assert said == []
    work(meter, skip=True)
    assert said == ["it has done 3 messages"]
    assert (meter.done, meter.running) == (3, 0)


def test_a_full_process_begins_nothing_more_and_what_it_fetched_goes_back() -> None:
    said: list[str] = []
    meter = Meter(said.append, max_messages=1)
    work(meter)
    meter.before_worker_shutdown(BROKER, None)
    with pytest.raises(HandBack):
        meter.before_process_message(BROKER, MESSAGE)
    meter.after_process_message(BROKER, MESSAGE, exception=HandBack("it leaves"))
    assert (meter.done, meter.running, len(said)) == (1, 0, 1)


def test_messages_are_counted_not_threads_which_an_async_body_does_not_have() -> None:
    meter = Meter(lambda reason: None)
    other = MessageProxy(MESSAGE._message)
    for message in (MESSAGE, other):
        meter.before_process_message(BROKER, message)
    assert meter.running == 2
    thread = threading.Thread(target=meter.after_process_message, args=(BROKER, other))
    thread.start()
    thread.join()
    assert (meter.running, meter.done) == (1, 1)


def test_too_much_memory_is_told_once_and_not_before_the_first_message_is_done() -> None:
    said: list[str] = []
    meter = Meter(said.append, max_memory=100 * 2**20, memory=lambda: 150 * 2**20)
    meter.check_memory()
    assert said == []
    work(meter)
    meter.check_memory()
    meter.check_memory()
    assert said == ["it uses 150 MiB of memory after 1 messages"]


def test_memory_up_to_the_limit_is_no_reason() -> None:
    said: list[str] = []
    meter = Meter(said.append, max_memory=100, memory=lambda: 100)
    work(meter)
    meter.check_memory()
    Meter(said.append, memory=lambda: 10**15).check_memory()
    assert said == []


def test_this_process_uses_some_memory() -> None:
    before = resident_memory()
    kept = b"x" * (64 * 2**20)
    assert resident_memory() >= before + len(kept) // 2
    assert mebibytes(len(kept)) == "64 MiB"


def test_limits_are_spread_downwards_by_up_to_a_tenth() -> None:
    assert spread(1000, lambda: 0.0) == 1000
    assert spread(1000, lambda: 0.999) == 901
    assert spread(1, lambda: 0.999) == 1
