"""The scripts: their headers, every reply of each, and that each may be sent twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy.brokers.settlement import SettlingBroker
from understudy.storage import scripts
from understudy.storage.client import Storage
from understudy.storage.keys import Keys

from .dumps import dump

FOLDER = resources.files("understudy.storage") / "lua"
LUA = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir() if not path.name.startswith("_")}
Run = Callable[..., Any]
TTL, LEASE = 60_000, 5_000


# -- headers ---------------------------------------------------------------------------------------------------


def test_every_script_is_registered() -> None:
    assert sorted(LUA) == sorted(f"{name}.lua" for name in scripts.NAMES)


@pytest.mark.parametrize("name", LUA)
def test_every_script_says_what_it_does_its_keys_its_arguments_and_its_reply(name: str) -> None:
    header = re.match(r"(?:--.*\n)+", LUA[name])
    assert header is not None
    lines = header[0].splitlines()
    assert re.match(rf"-- {name.removesuffix('.lua')}: \w", lines[0])
    for part in ("-- KEYS: ", "-- ARGV: ", "-- Reply: ", "-- Safe to resend"):
        assert part in header[0] or part.replace("-- Safe", "Safe") in header[0], part


@pytest.mark.parametrize("name", LUA)
def test_every_key_that_a_script_touches_was_passed_to_it(name: str) -> None:
    body = re.sub(r"--.*", "", LUA[name])
    for command, first in re.findall(r"redis\.p?call\(\s*'(\w+)'\s*(?:,\s*([^,)]+))?", body):
        if command in ("TIME", "PUBLISH"):
            continue
        assert re.fullmatch(r"KEYS\[\d\]", first), f"{command} {first}"
    declared = {int(n) for n in re.findall(r"(?:^-- KEYS: |, )(\d) ", re.search(r"-- KEYS: .*", LUA[name])[0])}  # type: ignore[index]
    assert {int(n) for n in re.findall(r"KEYS\[(\d)\]", body)} == declared


@pytest.mark.parametrize("name", LUA)
def test_no_script_asks_for_the_time_but_through_now(name: str) -> None:
    body = re.sub(r"--.*", "", LUA[name])
    assert "'TIME'" not in body
    assert "unpack(" not in body
    assert "'KEYS'" not in body
    assert "'SCAN'" not in body


# -- replies ---------------------------------------------------------------------------------------------------


@pytest.fixture
def storage(broker: SettlingBroker, freezer: FrozenDateTimeFactory) -> Storage:
    return broker.storage


@pytest.fixture
def keys(storage: Storage) -> Keys:
    return storage.keys


@pytest.fixture
def run(storage: Storage) -> Run:
    """Runs a script twice with the same arguments: the reply and what is stored are those of once."""

    def twice(name: str, names: list[str], args: list[Any], resent: Any = None) -> Any:
        reply = storage.run(name, names, args)
        stored = dump(storage)
        assert storage.run(name, names, args) == (reply if resent is None else resent)
        assert dump(storage) == stored
        return reply

    return twice


def claim(run: Run, keys: Keys, token: str, message: str) -> Any:
    return run("claim", [keys.clock, keys.claim("k"), keys.claimed_items("k")], [token, message, LEASE])


def begin(
    run: Run, keys: Keys, token: str, message: str = "m", *, retries: int = 0, entry: str = "", claimed: bool = False
) -> Any:
    scope = keys.claimed_items("k") if claimed else keys.items(message)
    names = [keys.clock, keys.state(message), scope, keys.claim("k" if claimed else "-")]
    return run("begin", names, [token, "actor", "queue", "worker", 1, retries, entry, int(claimed)])


def settle(
    run: Run,
    keys: Keys,
    token: str,
    message: str = "m",
    *,
    begun: bool = True,
    state: str = "SUCCESS",
    claimed: str = "",
    ttl: int = TTL,
    fields: dict[str, str] | None = None,
    marks: dict[str, str] | None = None,
    resent: Any = b"again",
    scope: str = "m",
) -> Any:
    pairs = [part for group in (fields or {}, marks or {}) for pair in group.items() for part in pair]
    names = [keys.clock, keys.state(message), keys.items(scope), keys.claim("k")]
    head = [token, int(begun), state, TTL, claimed, ttl, b"42", keys.channel(message), len(fields or {})]
    return run("settle", names, [*head, *pairs], resent=resent)


def test_a_free_key_is_claimed_and_a_twin_finds_it_busy(run: Run, keys: Keys, freezer: FrozenDateTimeFactory) -> None:
    assert claim(run, keys, "t1", "m1") == [b"run", b""]
    freezer.tick(1)
    assert claim(run, keys, "t2", "m2") == [b"busy", b"m1", LEASE - 1000]


def test_a_lease_ends_exactly_at_its_deadline(run: Run, keys: Keys, freezer: FrozenDateTimeFactory) -> None:
    claim(run, keys, "t1", "m1")
    begin(run, keys, "t1", "m1", claimed=True)
    freezer.tick(4.999)
    assert claim(run, keys, "t2", "m2") == [b"busy", b"m1", 1]
    freezer.tick(0.001)
    assert claim(run, keys, "t2", "m2") == [b"takeover", b"m1"]
    assert claim(run, keys, "t1", "m1") == [b"busy", b"m2", LEASE]


def test_a_takeover_whose_reply_was_lost_is_still_a_takeover(
    run: Run, storage: Storage, keys: Keys, freezer: FrozenDateTimeFactory
) -> None:
    claim(run, keys, "t1", "m1")
    begin(run, keys, "t1", "m1", claimed=True)
    freezer.tick(5)
    names = [keys.clock, keys.claim("k"), keys.claimed_items("k")]
    replies = [storage.run("claim", names, ["t2", "m2", LEASE]) for _ in range(3)]
    assert replies == [[b"takeover", b"m1"]] * 3


def test_a_renewed_lease_lasts(run: Run, keys: Keys, freezer: FrozenDateTimeFactory) -> None:
    claim(run, keys, "t1", "m1")
    freezer.tick(4)
    assert run("renew", [keys.clock, keys.claim("k")], ["t1", LEASE]) == 1
    freezer.tick(4)
    assert claim(run, keys, "t2", "m2")[0] == b"busy"
    assert run("renew", [keys.clock, keys.claim("k")], ["t2", LEASE]) == 0
    assert run("renew", [keys.clock, keys.claim("other")], ["t1", LEASE]) == 0


@pytest.mark.parametrize("claimed", ["complete", "keep"])
def test_a_heartbeat_that_comes_after_the_commit_changes_nothing(
    run: Run, storage: Storage, keys: Keys, claimed: str
) -> None:
    claim(run, keys, "t1", "m1")
    begin(run, keys, "t1", "m1", claimed=True)
    settle(run, keys, "t1", "m1", claimed=claimed, state="SUCCESS" if claimed == "complete" else "RETRY")
    before = dump(storage)
    assert run("renew", [keys.clock, keys.claim("k")], ["t1", LEASE]) == 0
    assert dump(storage) == before


def test_a_done_claim_answers_until_exactly_the_end_of_its_ttl(
    run: Run, storage: Storage, keys: Keys, freezer: FrozenDateTimeFactory
) -> None:
    claim(run, keys, "t1", "m1")
    begin(run, keys, "t1", "m1", claimed=True)
    assert settle(run, keys, "t1", "m1", claimed="complete", scope="key:k", marks={"ada": "1"}) == b"committed"
    freezer.tick(59.999)
    assert claim(run, keys, "t2", "m2") == [b"done", b"m1", b"42"]
    assert storage.client.hlen(keys.claimed_items("k")) == 1
    freezer.tick(0.001)
    assert claim(run, keys, "t2", "m2") == [b"run", b""]
    assert not storage.client.exists(keys.claimed_items("k")), "the items end with the outcome they were done for"


def test_a_kept_claim_waits_for_its_own_message(run: Run, keys: Keys, freezer: FrozenDateTimeFactory) -> None:
    claim(run, keys, "t1", "m1")
    begin(run, keys, "t1", "m1", claimed=True)
    settle(run, keys, "t1", "m1", state="RETRY", claimed="keep")
    freezer.tick(59)
    assert claim(run, keys, "t2", "m2") == [b"busy", b"m1", 1000]
    assert claim(run, keys, "t3", "m1") == [b"run", b""]


def test_a_kept_claim_whose_message_vanished_is_free_at_its_deadline(
    run: Run, keys: Keys, freezer: FrozenDateTimeFactory
) -> None:
    claim(run, keys, "t1", "m1")
    settle(run, keys, "t1", "m1", begun=False, state="RETRY", claimed="keep")
    freezer.tick(60)
    assert claim(run, keys, "t2", "m2") == [b"run", b""]


def test_after_a_failure_for_good_the_next_one_goes_on_with_the_items_until_they_are_too_old(
    run: Run, storage: Storage, keys: Keys, freezer: FrozenDateTimeFactory
) -> None:
    items = keys.claimed_items("k")
    for token, wait, remembered in (("t1", 59.999, 1), ("t2", 60, 0)):
        claim(run, keys, token, token)
        begin(run, keys, token, token, claimed=True)
        settle(run, keys, token, token, state="FAILURE", claimed="release", scope="key:k", marks={"ada": "1"})
        freezer.tick(wait)
        assert claim(run, keys, f"{token}+", "other") == [b"run", b""]
        assert storage.client.hlen(items) == remembered
        assert storage.client.pttl(items) == (-1 if remembered else -2), "what is worked on does not expire"
        settle(
            run,
            keys,
            f"{token}+",
            "other",
            begun=False,
            state="",
            claimed="release",
            scope="key:k",
            resent=b"committed",
        )


def test_a_claim_without_items_is_gone_when_it_is_released(run: Run, storage: Storage, keys: Keys) -> None:
    claim(run, keys, "t1", "m1")
    settle(run, keys, "t1", "m1", begun=False, state="FAILURE", claimed="release")
    assert not storage.client.exists(keys.claim("k"))


def test_taking_hold_shows_started_and_keeps_the_progress(run: Run, storage: Storage, keys: Keys) -> None:
    assert begin(run, keys, "t1") == [b"begun", b""]
    assert run("progress", [keys.state("m")], ["t1", b"half", keys.channel("m")]) == 1
    assert begin(run, keys, "t2") == [b"begun", b"half"]
    assert storage.client.hget(keys.state("m"), "state") == b"STARTED"
    assert run("progress", [keys.state("m")], ["t1", b"more", keys.channel("m")]) == 0


def test_a_finished_message_is_not_begun_again_until_exactly_its_time_is_over(
    run: Run, storage: Storage, keys: Keys, freezer: FrozenDateTimeFactory
) -> None:
    begin(run, keys, "t1")
    settle(run, keys, "t1", marks={"ada": "1"}, fields={"result": "1"})
    freezer.tick(59.999)
    before = dump(storage)
    assert begin(run, keys, "t2") == [b"finished", b"SUCCESS"]
    assert dump(storage) == before
    freezer.tick(0.001)
    assert begin(run, keys, "t2") == [b"begun", b""]
    assert storage.client.hget(keys.state("m"), "result") is None
    assert not storage.client.exists(keys.items("m"))
    assert storage.client.pttl(keys.state("m")) == -1


def test_an_entry_whose_outcome_is_committed_gets_its_outbox(run: Run, keys: Keys) -> None:
    begin(run, keys, "t1", entry="e1")
    settle(run, keys, "t1", state="RETRY", fields={"outbox": "letters", "outbox_entry": "e1", "retries": "1"})
    assert begin(run, keys, "t2", entry="e1") == [b"settled", b"letters"]
    assert begin(run, keys, "t3", entry="e2", retries=1) == [b"begun", b""]
    assert begin(run, keys, "t4", entry="e1")[0] == b"settled"


def test_an_older_copy_of_a_retried_message_is_stale(run: Run, storage: Storage, keys: Keys) -> None:
    begin(run, keys, "t1", entry="e1", retries=2)
    before = dump(storage)
    assert begin(run, keys, "t2", entry="e0", retries=1) == [b"stale"]
    assert dump(storage) == before


def test_without_its_claim_a_delivery_is_not_begun(run: Run, storage: Storage, keys: Keys) -> None:
    before = dump(storage)
    assert begin(run, keys, "t1", claimed=True) == [b"unclaimed"]
    assert dump(storage) == before


@pytest.mark.parametrize(
    ("stored", "on_doubt", "reply"),
    [
        (None, "skip", [b"open"]),
        ("?t1", "skip", [b"open"]),
        ("?t0", "repeat", [b"repeat"]),
        ("?t0", "skip", [b"doubt"]),
        ("1", "repeat", [b"closed", b"1"]),
        ("!no such user", "skip", [b"closed", b"!no such user"]),
    ],
)
def test_what_is_said_of_an_item(
    storage: Storage, keys: Keys, stored: str | None, on_doubt: str, reply: list[bytes]
) -> None:
    begin(storage.run, keys, "t1")
    if stored:
        storage.client.hset(keys.items("m"), "ada", stored)
    names = [keys.state("m"), keys.items("m")]
    assert storage.run("item", names, ["t1", "", "1", "ada", on_doubt]) == reply
    opened = reply[0] in (b"open", b"repeat")
    mark = storage.client.hget(keys.items("m"), "ada")
    assert mark == (b"?t1" if opened else (stored or "").encode())
    again = [b"open"] if opened else reply
    assert storage.run("item", names, ["t1", "", "1", "ada", on_doubt]) == again


def test_one_item_is_closed_as_the_next_is_opened(run: Run, storage: Storage, keys: Keys) -> None:
    begin(run, keys, "t1")
    names = [keys.state("m"), keys.items("m")]
    assert run("item", names, ["t1", "", "1", "ada", "skip"]) == [b"open"]
    assert run("item", names, ["t1", "ada", "1", "bob", "skip"]) == [b"open"]
    assert run("item", names, ["t1", "bob", "!gone", "", "skip"]) == [b"ok"]
    assert storage.client.hgetall(keys.items("m")) == {b"ada": b"1", b"bob": b"!gone"}
    before = dump(storage)
    assert run("item", names, ["t2", "ada", "!no", "eve", "skip"]) == [b"lost"]
    assert dump(storage) == before


def test_a_commit_writes_state_fields_and_marks_and_starts_the_ttl(
    run: Run, storage: Storage, keys: Keys, freezer: FrozenDateTimeFactory
) -> None:
    begin(run, keys, "t1")
    storage.client.hset(keys.items("m"), mapping={"mine": "?t1", "foreign": "?t0", "done": "1"})
    storage.client.hset(keys.state("m"), "next_run", "5")
    marks = {"mine": "", "foreign": "", "ada": "1"}
    assert settle(run, keys, "t1", fields={"result": "7", "next_run": ""}, marks=marks) == b"committed"
    record = storage.client.hgetall(keys.state("m"))
    assert (record[b"state"], record[b"result"]) == (b"SUCCESS", b"7")
    assert not {b"holder", b"next_run"} & record.keys()
    assert float(record[b"expires_at"]) - float(record[b"done_at"]) == TTL
    assert storage.client.hgetall(keys.items("m")) == {b"foreign": b"?t0", b"done": b"1", b"ada": b"1"}
    assert TTL < storage.client.pttl(keys.state("m")) <= TTL + 60_000
    assert TTL < storage.client.pttl(keys.items("m")) <= TTL + 60_000


def test_what_is_not_finished_never_expires(run: Run, storage: Storage, keys: Keys) -> None:
    claim(run, keys, "t1", "m")
    begin(run, keys, "t1", claimed=True)
    settle(run, keys, "t1", state="RETRY", claimed="keep", scope="key:k", marks={"ada": "1"})
    assert {name: expires for name, (_, expires) in dump(storage).items() if expires} == {}


def test_a_duplicate_that_ends_does_not_let_the_items_of_its_twin_expire(
    run: Run, storage: Storage, keys: Keys
) -> None:
    claim(run, keys, "t1", "m1")
    begin(run, keys, "t1", "m1", claimed=True)
    storage.client.hset(keys.claimed_items("k"), "ada", "1")
    assert settle(run, keys, "t2", "m2", begun=False, state="REVOKED", scope="key:k") == b"committed"
    assert storage.client.pttl(keys.claimed_items("k")) == -1


@pytest.mark.parametrize("stored", ["another holder", "no holder", "finished"])
@pytest.mark.parametrize("claimed", ["", "complete", "keep", "release"])
def test_a_zombies_outcome_is_refused_and_writes_nothing(
    run: Run, storage: Storage, keys: Keys, stored: str, claimed: str
) -> None:
    claim(run, keys, "zombie", "m")
    begin(run, keys, "zombie", claimed=True)
    if stored == "another holder":
        begin(run, keys, "t2")
    elif stored == "no holder":
        storage.client.delete(keys.state("m"))
    else:
        begin(run, keys, "t2")
        settle(run, keys, "t2")
    before = dump(storage)
    reply = settle(
        run, keys, "zombie", claimed=claimed, fields={"result": "0"}, marks={"ada": "1"}, resent=b"lost", scope="key:k"
    )
    assert reply == b"lost"
    assert dump(storage) == before


@pytest.mark.parametrize("claimed", ["complete", "keep", "release"])
def test_who_lost_its_claim_is_told_so_and_writes_nothing(
    run: Run, storage: Storage, keys: Keys, claimed: str, freezer: FrozenDateTimeFactory
) -> None:
    claim(run, keys, "t1", "m1")
    begin(run, keys, "t1", "m1", claimed=True)
    freezer.tick(5)
    claim(run, keys, "t2", "m2")
    before = dump(storage)
    assert settle(run, keys, "t1", "m1", claimed=claimed, marks={"ada": "1"}, resent=b"unclaimed") == b"unclaimed"
    assert dump(storage) == before


def test_terminal_states_are_terminal_for_whoever_did_not_begin(run: Run, storage: Storage, keys: Keys) -> None:
    begin(run, keys, "t1")
    settle(run, keys, "t1", state="FAILURE")
    before = dump(storage)
    assert settle(run, keys, "t2", begun=False, state="SUCCESS", resent=b"lost") == b"lost"
    assert dump(storage) == before


def test_what_is_left_of_an_expired_record_does_not_mix_with_a_new_one(
    run: Run, storage: Storage, keys: Keys, freezer: FrozenDateTimeFactory
) -> None:
    begin(run, keys, "t1")
    settle(run, keys, "t1", state="FAILURE", fields={"exception": "old"})
    freezer.tick(60)
    assert settle(run, keys, "t2", begun=False, fields={"result": "new"}) == b"committed"
    assert b"exception" not in storage.client.hgetall(keys.state("m"))


def test_a_waiter_is_told_of_a_new_state(run: Run, storage: Storage, keys: Keys) -> None:
    pubsub = storage.subscribe(keys.channel("m"))
    begin(run, keys, "t1")
    settle(run, keys, "t1")
    told = [message["data"] for _ in range(5) if (message := pubsub.get_message(timeout=0.2))]
    pubsub.close()
    assert told == [b"SUCCESS"]


def test_a_record_is_read_until_exactly_its_time_is_over(
    run: Run, storage: Storage, keys: Keys, freezer: FrozenDateTimeFactory
) -> None:
    names = [keys.clock, keys.state("m")]
    assert run("read", names, []) == []
    begin(run, keys, "t1")
    settle(run, keys, "t1")
    freezer.tick(59.999)
    assert b"SUCCESS" in run("read", names, [])
    freezer.tick(0.001)
    assert run("read", names, []) == []


def test_forgetting_leaves_the_hold_of_what_is_being_worked_on(run: Run, storage: Storage, keys: Keys) -> None:
    assert storage.run("forget", [keys.state("m")]) == 0
    begin(run, keys, "t1")
    run("progress", [keys.state("m")], ["t1", b"half", keys.channel("m")])
    assert storage.run("forget", [keys.state("m")]) == 1
    assert storage.run("forget", [keys.state("m")]) == 0
    assert settle(run, keys, "t1") == b"committed"
    assert storage.run("forget", [keys.state("m")]) == 1
    assert not storage.client.exists(keys.state("m"))


def test_a_forgotten_message_that_is_sent_again_keeps_the_items_that_were_done(
    run: Run, storage: Storage, keys: Keys
) -> None:
    begin(run, keys, "t1")
    settle(run, keys, "t1", state="FAILURE", marks={"ada": "1"})
    storage.run("forget", [keys.state("m")])
    assert begin(run, keys, "t2") == [b"begun", b""]
    assert storage.client.hgetall(keys.items("m")) == {b"ada": b"1"}
    assert storage.client.pttl(keys.items("m")) == -1


def test_an_entry_is_put_on_its_queue_once(run: Run, storage: Storage, keys: Keys) -> None:
    names = [f"{keys.namespace}:q", f"{keys.namespace}:q.msgs"]
    assert run("enqueue", names, ["e1", b"data"], resent=0) == 1
    assert storage.client.lrange(names[0], 0, -1) == [b"e1"]
    assert storage.client.hgetall(names[1]) == {b"e1": b"data"}
