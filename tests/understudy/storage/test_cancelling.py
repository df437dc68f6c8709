"""cancel: every delayed copy of a message goes and it is revoked, or nothing happens."""

from __future__ import annotations

from typing import Any

import pytest

from understudy.brokers.operations import Operations
from understudy.errors import ServerUnavailable
from understudy.outcome import Outcome
from understudy.states import State

from .bench import Bench
from .dumps import dump
from .injected import Injected


def cancel(bench: Bench, message: str = "m") -> Any:
    keys, queue = bench.keys, bench.queue
    record = keys.state(message)
    operations = Operations(keys.clock, queue.delayed, queue.payloads, queue.ids, record)
    operations.state(record, Outcome(state=State.REVOKED), channel=keys.channel(message), ttl=60)
    operations.marks(keys.items(message), {}, token="", ttl=60)
    released = Outcome(claim="release")
    operations.claim(keys.claim("k"), released, token="", items=keys.claimed_items("k"), ttl=60)
    return bench.run("cancel", operations.keys, [message, "cancel/1", 3, *operations.args])


def prepare(bench: Bench) -> None:
    bench.enqueue(bench.later(b"1"), bench.later(b"2"), bench.later(b"3", message="other"))
    bench.client.hset(bench.keys.state("m"), mapping={"state": "RETRY", "retries": "1"})
    bench.client.hset(bench.keys.items("m"), "ada", "1")
    bench.client.hset(bench.keys.claim("k"), mapping={"status": "kept", "owner": "m", "token": "t", "until": "9"})
    bench.client.hset(bench.keys.claimed_items("k"), "ada", "1")


def test_every_copy_goes_and_the_reply_to_a_resend_is_the_same(bench: Bench) -> None:
    prepare(bench)
    assert cancel(bench) == 2
    assert list(bench.hash(bench.queue.payloads).values()) == [b"2:3"]
    assert list(bench.hash(bench.queue.ids)) == [b"other"]
    assert bench.hash(bench.keys.state("m"))[b"state"] == b"REVOKED"
    assert bench.client.pttl(bench.keys.items("m")) > 0
    assert bench.hash(bench.keys.claim("k"))[b"status"] == b"free"
    assert cancel(bench, "nobody") == 0


@pytest.mark.parametrize("what", ["delayed", "payloads", "ids", "state", "items"])
def test_where_a_key_holds_something_else_nothing_is_done(bench: Bench, what: str) -> None:
    prepare(bench)
    keys = {"state": bench.keys.state("m"), "items": bench.keys.items("m")}
    bench.spoil(keys.get(what) or getattr(bench.queue, what))
    before = dump(bench.storage)
    with pytest.raises(ServerUnavailable, match="WRONGTYPE"):
        cancel(bench)
    assert dump(bench.storage) == before


def test_whichever_call_fails_all_is_done_or_nothing(bench: Bench) -> None:
    failed = []
    for nth in range(1, 100):
        prepare(bench)
        before = dump(bench.storage)
        injected = Injected(bench.storage, "cancel", nth=nth)
        try:
            cancelled = cancel(bench)
        except ServerUnavailable:
            cancelled = 0
        what = injected.failed()
        if not what:
            break
        failed.append(what)
        assert (cancelled > 0) == what.startswith("pcall"), what
        if cancelled:
            assert bench.client.zcard(bench.queue.delayed) == 1
            assert bench.hash(bench.keys.state("m"))[b"state"] == b"REVOKED"
        else:
            assert dump(bench.storage) == before, what
        bench.client.delete(*(set(before) | set(dump(bench.storage))) - set(bench.queue.streams))
    assert failed.count("call ZREM") == 2
