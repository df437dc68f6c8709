"""The broker is what its parts take it for."""

from __future__ import annotations

from understudy.brokers.redis import RedisBroker
from understudy.brokers.transport import Transport


def test_the_broker_has_everything_that_its_parts_ask_for(broker: RedisBroker) -> None:
    as_parts_see_it: Transport = broker
    wanted = [name for name in {*Transport.__annotations__, *vars(Transport)} if not name.startswith("_")]
    assert len(wanted) > 20
    assert [name for name in wanted if not hasattr(as_parts_see_it, name)] == []
