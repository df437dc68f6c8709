"""The one speller of keys and channels.

Everything lies under one namespace, so that several systems (and every test) can share a server.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Keys:
    """Spells the names under ``namespace``."""

    namespace: str

    @property
    def clock(self) -> str:
        """String: the time in ms that scripts take for now. Exists in test sessions only."""
        return f"{self.namespace}:clock"

    @property
    def actors(self) -> str:
        """Hash: actor name -> queue name, as announced by workers, for senders that cannot import actors."""
        return f"{self.namespace}:actors"

    @property
    def queues(self) -> str:
        """Set: the queues that were ever consumed."""
        return f"{self.namespace}:queues"

    @property
    def leases(self) -> str:
        """Hash: worker process -> how many times its lease was renewed."""
        return f"{self.namespace}:leases"

    def alert(self, cause: str) -> str:
        """Hash: when a cause of failures was told, and how many of it were not since."""
        return f"{self.namespace}:alert:{cause}"

    @property
    def counters(self) -> str:
        """Hash: what executions have come to since the beginning (see ``brokers/tally.py``). It never expires."""
        return f"{self.namespace}:counters"

    @property
    def wake(self) -> str:
        """Channel: told when a message is delayed that is due before all others of its queue."""
        return f"{self.namespace}:wake"

    def hungry(self, queue: str) -> str:
        """String: a worker that found a queue empty a moment ago, and has nothing else to do."""
        return f"{self.namespace}:q:{queue}:hungry"

    @property
    def outbox(self) -> str:
        """Set: the published outcomes whose messages are not all in their queues yet."""
        return f"{self.namespace}:outbox"

    def staged(self, name: str) -> str:
        """List: the messages of a large outcome that is not committed yet."""
        return f"{self.namespace}:staged:{name}"

    def published(self, name: str) -> str:
        """List: the messages of a large outcome that is committed."""
        return f"{self.namespace}:outbox:{name}"

    def batch(self, worker: str) -> str:
        """Hash: the last batch of outcomes of a worker process, and the reply to it."""
        return f"{self.namespace}:worker:{worker}:batch"

    def started(self, worker: str) -> str:
        """Hash: the entries whose bodies a worker process has begun."""
        return f"{self.namespace}:worker:{worker}:started"

    def producer(self, name: str) -> str:
        """Hash: lane -> the token of the last call that was accepted, for every sending process."""
        return f"{self.namespace}:producer:{name}"

    def state(self, message_id: str) -> str:
        """Hash: the record of one message (state, result, progress, hold)."""
        return f"{self.namespace}:state:{message_id}"

    def items(self, scope: str) -> str:
        """Hash: item key -> mark, of one message or of one idempotency key."""
        return f"{self.namespace}:items:{scope}"

    def claimed_items(self, key: str) -> str:
        """Hash: the items remembered under an idempotency key; its scope is ``key:<key>``."""
        return self.items(f"key:{key}")

    def claim(self, key: str) -> str:
        """Hash: who holds an idempotency key, or the outcome committed under it."""
        return f"{self.namespace}:claim:{key}"

    def unique(self, key: str) -> str:
        """Hash: the message that stands under a unique key."""
        return f"{self.namespace}:unique:{key}"

    @property
    def limits(self) -> str:
        """Sorted set: the limits that were asked of, by when."""
        return f"{self.namespace}:limits"

    def limit(self, name: str) -> tuple[str, str, str, str]:
        """What a limit is (hash); the turns given under it, who waits in line, and until when (sorted sets)."""
        start = f"{self.namespace}:limit"
        return f"{start}:{name}", f"{start}-uses:{name}", f"{start}-line:{name}", f"{start}-due:{name}"

    def circuit(self, name: str) -> str:
        """Hash: what is known of what stands behind a circuit breaker, while it is not known to work."""
        return f"{self.namespace}:circuit:{name}"

    def channel(self, message_id: str) -> str:
        """Channel: told whenever the state of a message changes."""
        return f"{self.namespace}:told:{message_id}"

    @property
    def revoked(self) -> str:
        """Sorted set: the messages that nobody shall run any more, by when that is forgotten."""
        return f"{self.namespace}:revoked"

    @property
    def stopped(self) -> str:
        """Sorted set: those of them whose bodies are stopped if they run."""
        return f"{self.namespace}:stopped"

    @property
    def revocations(self) -> str:
        """Channel: told what is revoked, and whether a running body stops."""
        return f"{self.namespace}:revocations"

    @property
    def leader(self) -> str:
        """Hash: which scheduler leads, in which term, until when."""
        return f"{self.namespace}:leader"

    @property
    def schedules(self) -> str:
        """Hash: name of a periodic job -> what it is, as the leader's code has it."""
        return f"{self.namespace}:schedules"

    def job(self, name: str) -> str:
        """Hash: what a periodic job has come to: its epoch, and the last fire time that is over."""
        return f"{self.namespace}:job:{name}"

    def runs(self, name: str) -> str:
        """List: the last ticks of a periodic job, the newest first."""
        return f"{self.namespace}:runs:{name}"

    @property
    def paused(self) -> str:
        """Hash: name of a periodic job that is paused -> since when, and by whom."""
        return f"{self.namespace}:paused"

    @property
    def requests(self) -> str:
        """Hash: request -> when, and which periodic job shall run now."""
        return f"{self.namespace}:requests"

    @property
    def audit(self) -> str:
        """List: what people wanted of periodic jobs, the newest first."""
        return f"{self.namespace}:audit"

    @property
    def scheduling(self) -> str:
        """Channel: told when the leader resigns, and when somebody wants something of a job."""
        return f"{self.namespace}:scheduling"

    def workflow(self, id: str) -> str:
        """Hash: a workflow, as it was composed, and what has come of it."""
        return f"{self.namespace}:workflow:{id}"

    def composed(self, id: str) -> str:
        """Hash: a workflow that has not begun yet."""
        return f"{self.namespace}:composed:{id}"

    def ended_nodes(self, id: str) -> str:
        """Bitmap: the nodes of a workflow that have ended."""
        return f"{self.namespace}:workflow:{id}:ended"

    @property
    def fanouts(self) -> str:
        """Set: the groups that have begun and whose members are not all in their queues yet: workflow and node."""
        return f"{self.namespace}:fanouts"

    @property
    def ended_workflows(self) -> str:
        """Sorted set: the workflows that have ended, by when they are forgotten."""
        return f"{self.namespace}:workflows:ended"

    def pattern(self) -> str:
        """Matches every key of the namespace, for SCAN."""
        return f"{self.namespace}:*"
