"""What happens when a worker starts and stops: actors are announced, bodies are told to hand themselves back."""

from __future__ import annotations

import logging
from typing import Any

from dramatiq import Broker, Middleware

from understudy.brokers.settlement import SettlingBroker
from understudy.errors import ServerUnavailable

logger = logging.getLogger(__name__)


class Lifecycle(Middleware):
    """Stopping is not failing (P11): ``each`` hands the message back at the next item."""

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        if not isinstance(broker, SettlingBroker):
            return
        broker.stopping.clear()
        try:
            broker.records.announce({name: actor.queue_name for name, actor in broker.actors.items()})
        except ServerUnavailable as error:
            # Only senders by name need it, and only the first time; the worker is of use without.
            logger.warning("the actors could not be announced: %s", error)

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        if isinstance(broker, SettlingBroker):
            broker.stopping.set()
