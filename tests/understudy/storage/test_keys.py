"""The one speller of keys."""

from fnmatch import fnmatch

from understudy.brokers.names import QueueKeys
from understudy.storage.keys import Keys

KEYS = Keys("shop")
ALL = [
    KEYS.clock,
    KEYS.actors,
    KEYS.state("a"),
    KEYS.items("a"),
    KEYS.claimed_items("a"),
    KEYS.claim("a"),
    KEYS.unique("a"),
    KEYS.channel("a"),
    KEYS.limits,
    *KEYS.limit("a"),
    KEYS.queues,
    KEYS.leases,
    KEYS.wake,
    KEYS.hungry("a"),
    KEYS.batch("a"),
    KEYS.started("a"),
    KEYS.producer("a"),
    KEYS.staged("a"),
    KEYS.published("a"),
    KEYS.outbox,
    KEYS.revoked,
    KEYS.stopped,
    KEYS.revocations,
    KEYS.leader,
    KEYS.schedules,
    KEYS.job("a"),
    KEYS.runs("a"),
    KEYS.paused,
    KEYS.requests,
    KEYS.audit,
    KEYS.counters,
    KEYS.alert("a"),
    KEYS.circuit("a"),
    KEYS.scheduling,
    KEYS.workflow("a"),
    KEYS.composed("a"),
    KEYS.ended_nodes("a"),
    KEYS.fanouts,
    KEYS.ended_workflows,
    *QueueKeys("shop", "a").all,
]


def test_everything_that_the_class_spells_is_looked_at_here() -> None:
    names = {name for name in vars(Keys) if not name.startswith("_")} - {"pattern", "namespace"}
    assert len(ALL) == len(names) - 1 + len(KEYS.limit("a")) + len(QueueKeys("shop", "a").all)


def test_every_key_lies_under_the_namespace() -> None:
    assert all(name.startswith("shop:") and fnmatch(name, KEYS.pattern()) for name in ALL)


def test_no_two_keys_are_the_same() -> None:
    assert len(set(ALL)) == len(ALL)
    assert not set(ALL) & {name.replace("shop:", "shop2:", 1) for name in ALL}


def test_the_items_of_an_idempotency_key_have_the_scope_of_that_key() -> None:
    assert KEYS.claimed_items("send:7") == KEYS.items("key:send:7")
