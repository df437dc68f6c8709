"""The client: how the server is reached, and how its silence is reported.

``Storage`` runs scripts by name. Whatever keeps the server from answering becomes ``ServerUnavailable``: an
outage is never reported as a fact about a message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

import hiredis
import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.client import PubSub
from redis.commands.core import Script
from redis.connection import HiredisRespSerializer
from redis.retry import Retry

from understudy.embedded import EmbeddedServer
from understudy.errors import EmbeddedServerError, ServerFull, ServerUnavailable, SettingsError

from . import scripts
from .keys import Keys
from .packing import Value as Value
from .packing import packed
from .sockets import KINDS, READ_SIZE, Pool, UnixConnection

logger = logging.getLogger(__name__)

#: Seconds to wait for an answer to an ordinary command. Blocking reads have a client of their own.
SOCKET_TIMEOUT = 5.0
#: Seconds to wait for an answer to a blocking read, which waits on the server for less.
BLOCKING_TIMEOUT = 15.0
#: Does not resend a command. A dead connection is noticed by the read after it.
NEVER = Retry(NoBackoff(), 0)
#: The options of a client for blocking reads, whose replies are the largest that a worker gets.
READING: dict[str, Any] = {"socket_timeout": BLOCKING_TIMEOUT, "retry": NEVER, "socket_read_size": READ_SIZE}


class Packer:
    """Writes commands as redis-py's own does, without looking at each of hundreds of arguments before."""

    def __init__(self) -> None:
        self._own = HiredisRespSerializer()

    def pack(self, *args: Any) -> list[bytes]:
        """The bytes of a command.

        Raises:
          DataError: an argument cannot be sent.
        """
        try:
            if " " not in args[0]:
                return [hiredis.pack_command(args)]
        except TypeError:
            pass
        packed: list[bytes] = self._own.pack(*args)
        return packed


class EmbeddedConnection(UnixConnection):
    """A connection that sees to it that the embedded server runs before it connects (and reconnects)."""

    def __init__(self, *, server: EmbeddedServer, **kwargs: Any) -> None:
        self._server = server
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]

    def _connect(self) -> Any:
        self._server.ensure()
        return super()._connect()


def connect(url: str | None, *, embedded: EmbeddedServer | None = None, **options: Any) -> redis.Redis:
    """A client for ``url``, or for the embedded server. Does no I/O: the first command connects.

    Commands are resent on a lost connection, so all that go through here must be safe to resend.
    """
    settings: dict[str, Any] = {
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": SOCKET_TIMEOUT,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.02), 3),
        "command_packer": Packer(),
        **options,
    }
    if url is not None:
        single = settings.pop("single_connection_client", False)
        if (kind := KINDS.get(urlsplit(url).scheme)) is not None:
            settings.setdefault("connection_class", kind)
        pool = Pool.from_url(url, **settings)
        if single:
            return redis.Redis(connection_pool=pool, single_connection_client=True)
        return redis.Redis.from_pool(pool)
    if embedded is None:
        raise ValueError("give a url or an embedded server")
    settings.pop("socket_connect_timeout")
    path = str(embedded.socket_path)
    pool = Pool(connection_class=EmbeddedConnection, server=embedded, path=path, **settings)
    return redis.Redis.from_pool(pool)


def in_memory() -> redis.Redis:
    """A server of this process's own, in memory, that runs the same scripts: for unit tests.

    Raises:
      SettingsError: the testing extra is not installed.
    """
    # Imported here because it belongs to the testing extra: a worker in production does not have it.
    try:
        import fakeredis
    except ModuleNotFoundError:
        raise SettingsError(
            ["BROKER_URL=stub:// needs the testing extra: pip install 'understudy[testing]', or give a server"]
        ) from None
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())


def is_fake(client: redis.Redis) -> bool:
    """Whether there is no server at the other end, but a server of this process's own, in memory."""
    kind = client.connection_pool.connection_class
    return not issubclass(kind, redis.connection.AbstractConnection) or "Fake" in kind.__name__


class Storage:
    """The server as the rest of Understudy sees it.

    Args:
      client: a redis-py client (or a fake that behaves as one).
      namespace: what every key begins with.
      can_wait: False when nothing can change while a reader waits (the stub broker: nobody else runs).
      reads: the client is for reads that wait on the server, and nobody else's.
    """

    def __init__(self, client: redis.Redis, *, namespace: str, can_wait: bool = True, reads: bool = False) -> None:
        self.client = client
        self.keys = Keys(namespace)
        self.can_wait = can_wait
        # A server in memory has not the library to unpack with.
        self._packs = not is_fake(client)
        #: Called with the name of every exchange, before and after it took effect. The testing kit injects
        #: faults and frozen time here; None in production.
        self.interceptor: Callable[[str, Literal["before", "after"]], None] | None = None
        #: How many connections a reader has made: more than before means that the server may have been restarted.
        self.connections = 0
        if reads:
            self._prepare_for_reads()
        self._scripts: dict[str, Script] = {
            name: client.register_script(scripts.source(name)) for name in scripts.NAMES
        }

    def _prepare_for_reads(self) -> None:
        kwargs = self.client.connection_pool.connection_kwargs
        before: Callable[[Any], None] | None = kwargs.get("redis_connect_func")

        def connected(connection: Any) -> None:
            self.connections += 1
            connection.on_connect() if before is None else before(connection)

        kwargs["redis_connect_func"] = connected
        # Nothing is made of the reply, which is the largest that a worker gets: the consumer takes it as it comes.
        self.client.set_response_callback("XREADGROUP", lambda reply, **options: reply)

    def run(self, name: str, keys: Sequence[str], args: Sequence[Value] = (), *, called: str | None = None) -> Any:
        """Run script ``name``. ``called`` is what the exchange is called, if not that.

        Raises:
          ServerUnavailable: the server could not be asked, or would not answer.
        """
        script = self._scripts[name]
        if self._packs and name in scripts.PACKED:
            args = (packed(args),)
        command = ("EVALSHA", script.sha, len(keys), *keys, *args)
        with self.exchange(called or name):
            try:
                # Not by the script's own call, which takes as long again in layers of argument handling.
                return self.client.execute_command(*command)  # type: ignore[no-untyped-call]
            except redis.exceptions.NoScriptError:
                script.sha = self.client.script_load(script.script)
                return self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    def call(self, *command: Value, name: str | None = None, insist: bool = False) -> Any:
        """Run one plain command that is safe to resend.

        Args:
          name: what the exchange is called, if not the command.
          insist: run it on a full server, too: a little that helps workers to make room.

        Raises:
          ServerUnavailable: the server could not be asked.
          ServerFull: it has no memory left for this.
        """
        try:
            with self.exchange(name or str(command[0])):
                return self.client.execute_command(*command)  # type: ignore[no-untyped-call]
        except ServerFull:
            if not insist:
                raise
        at = 2 if command[0] == "XGROUP" else 1
        return self.run("insist", [str(command[at])], [*command[:at], "", *command[at + 1 :]])

    def subscribe(self, *channels: str, confirmed: bool = False) -> PubSub:
        """A subscription to ``channels``; close it after use. When the connection is lost it is made anew.

        Args:
          confirmed: a message says so whenever that has been done: what was told in between is not known.

        Raises:
          ServerUnavailable: the server could not be asked.
        """
        pubsub: PubSub = self.client.pubsub(ignore_subscribe_messages=not confirmed)  # type: ignore[no-untyped-call]
        try:
            with self.exchange("subscribe"):
                pubsub.subscribe(*channels)
        except ServerUnavailable:
            pubsub.close()
            raise
        return pubsub

    @contextmanager
    def exchange(self, name: str) -> Iterator[None]:
        """One exchange with the server, by name. Whatever keeps it from answering is ``ServerUnavailable``."""
        try:
            if self.interceptor is not None:
                self.interceptor(name, "before")
            yield
            if self.interceptor is not None:
                self.interceptor(name, "after")
        except redis.DataError:
            raise  # a value that cannot be sent: asking again would not help
        except (redis.RedisError, OSError, EmbeddedServerError) as error:
            # Scripts of a server before 7 wrap the error, so it is known by its text.
            if "OOM command not allowed" in str(error) or isinstance(error, redis.OutOfMemoryError):
                raise ServerFull(
                    f"the server is full ({name}): its memory limit (maxmemory) is reached; nothing new is taken until "
                    "workers have made room. Send again later, start more workers, or raise maxmemory"
                ) from error
            answer = (
                "refused" if isinstance(error, redis.ResponseError | redis.AuthenticationError) else "did not answer"
            )
            raise ServerUnavailable(
                f"the server {answer} ({name}): {type(error).__name__}: {error}; see that it runs and takes "
                "commands, and that REDIS_URL names it if it is set"
            ) from error

    def address(self) -> dict[str, Any]:
        """How the server is reached, for a helper process with a client of its own. Contains the password."""
        kwargs = self.client.connection_pool.connection_kwargs
        named = {
            "path": kwargs.get("path"),
            "host": kwargs.get("host", "localhost"),
            "port": kwargs.get("port", 6379),
            "db": kwargs.get("db") or 0,
            "username": kwargs.get("username"),
            "password": kwargs.get("password"),
            "tls": issubclass(self.client.connection_pool.connection_class, redis.SSLConnection),
            "ca": kwargs.get("ssl_ca_certs"),
            "certificate": kwargs.get("ssl_certfile"),
            "key_file": kwargs.get("ssl_keyfile"),
            "check_hostname": kwargs.get("ssl_check_hostname", True),
            "verify": kwargs.get("ssl_cert_reqs") not in ("none", 0),
        }
        return {name: value for name, value in named.items() if value is not None}

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
