"""The composition root's tool: builds a broker and its storage from settings and installs them.

``tasks/__init__.py`` calls ``install`` for a worker and for senders that import actors. A service that only sends
by name or reads by id need not call anything: ``installed()`` builds what the settings say. No I/O happens here;
the first send, read or consume connects.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import dramatiq
import dramatiq.broker
from dramatiq import Middleware

from .brokers.redis import RedisBroker
from .brokers.settlement import SettlingBroker
from .embedded import EmbeddedServer
from .encoder import MessageEncoder
from .errors import SettingsError
from .settings import Settings, load
from .storage.client import READING, Storage, connect, in_memory

#: Two threads that ask first at the same time get the same broker.
_installing = threading.Lock()


def install(settings: Settings | None = None, *, middleware: Sequence[Middleware] = ()) -> SettlingBroker:
    """Build the broker that ``settings`` (default: the environment) describe and make it Dramatiq's.

    Raises:
      SettingsError: lists every setting that is wrong.
    """
    broker = build(load(Settings) if settings is None else settings, middleware=middleware)
    dramatiq.set_encoder(MessageEncoder())
    dramatiq.set_broker(broker)
    return broker


def installed() -> SettlingBroker:
    """The broker of this process; one for sending and reading is installed from the settings if there is none.

    Raises:
      SettingsError: a broker is installed that is not Understudy's, or a setting is wrong.
    """
    with _installing:
        found = dramatiq.broker.global_broker
        if found is None:
            return install()
    if not isinstance(found, SettlingBroker):
        raise SettingsError(
            [f"the installed broker is a {type(found).__name__}; call understudy.install() before anything else"]
        )
    return found


def build(settings: Settings, *, middleware: Sequence[Middleware] = (), storage: Storage | None = None) -> RedisBroker:
    """A broker for ``settings``, installed nowhere. ``storage`` replaces the one that they describe, and then nothing
    blocks: whoever gives a storage drives the broker step by step."""
    reader = None
    if storage is None:
        storage = build_storage(settings)
        reader = None if settings.is_stub else build_storage(settings, blocking=True)
    return RedisBroker(storage, settings, middleware=list(middleware), reader=reader)


def build_storage(settings: Settings, *, blocking: bool = False) -> Storage:
    """Access to the server that ``settings`` describe: a given one, the embedded one, or one in memory.

    Args:
      blocking: for reads that wait on the server; they are not resent, because a reply may have been lost.
    """
    if settings.is_stub:
        return Storage(in_memory(), namespace=settings.namespace, can_wait=False)
    url = settings.server_url
    embedded = EmbeddedServer(settings.data_dir / "server") if url is None else None
    options = READING if blocking else {}
    return Storage(connect(url, embedded=embedded, **options), namespace=settings.namespace, reads=blocking)
