"""Actors that fail in every way over what they were given. The module of a worker: nothing secret stands in it.

Every message is sent with marked arguments, named and not, and headers; the texts of all exceptions quote them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import smtplib
import threading
import time
from typing import Any

import dramatiq
from dramatiq import Broker, Middleware
from dramatiq.middleware import SkipMessage

import tasks
from understudy import Idempotency, Retry, actor, each, retry
from understudy.errors import HandBack
from understudy.execution import current

SLOW = 20.0
logger = logging.getLogger(__name__)


class Hooks(Middleware):
    """Raise over the arguments, before and after the body."""

    def before_process_message(self, broker: Broker, message: Any) -> None:
        if message.actor_name == "hook_before":
            raise ValueError(f"over {message.args} {message.kwargs} {message.options}")

    def after_process_message(self, broker: Broker, message: Any, **ended: Any) -> None:
        if message.actor_name == "hook_after":
            raise ValueError(f"over {message.args} {message.kwargs} {ended}")


tasks.broker.add_middleware(Hooks())


class Odd(BaseException):
    """No ``Exception``."""


class Unspeakable:
    """Cannot travel, and says what it holds."""

    def __init__(self, held: str) -> None:
        self.held = held

    def __repr__(self) -> str:
        return f"<{self.held}>"


def quote(*given: Any) -> str:
    execution = current()
    return f"it failed over {given} {execution.headers if execution else ''} {os.environ['REDIS_URL']}"


@actor(actor_name="secret.on_failure")
def told(id: str, error: dict[str, str]) -> None:
    raise ValueError(f"told {error}")


EACH: dict[str, Any] = {"queue_name": "secrets", "on_failure": told}


@actor(**EACH, log_args=("number",))
def raises(how: str, secret: str, number: int, *, named: str) -> Any:
    """In the worker's thread."""
    match how:
        case "plain":
            raise ValueError(quote(secret, named))
        case "cause":
            try:
                raise KeyError(secret)
            except KeyError as error:
                raise RuntimeError(named) from error
        case "group":
            raise ExceptionGroup(secret, [ValueError(named), OSError(1, secret, named)])
        case "local":
            raise type("Local", (Exception,), {})(secret, named)
        case "base":
            raise Odd(secret)
        case "exit":
            raise SystemExit(secret)
        case "skip":
            raise SkipMessage(secret)
        case "back" if _first(secret):
            raise HandBack(secret, delay=0.05)
        case "limited":
            raise dramatiq.RateLimitExceeded(secret)  # type: ignore[no-untyped-call]
        case "smtp":
            raise smtplib.SMTPAuthenticationError(535, f"{secret} {os.environ['SMTP_PASSWORD']}".encode())
        case "unserializable":
            return Unspeakable(secret)
        case "large":
            return secret * 1_000
        case "thread":
            ends = threading.Thread(target=raises.fn, args=("plain", secret, number), kwargs={"named": named})
            ends.start()
            ends.join()
            raise ValueError(named)
        case "logs":
            try:
                raise ValueError(secret)
            except ValueError as error:
                logger.exception("it is caught")
                logger.warning("it is %s", error)
        case "items":
            for item in each([secret, named], key=str):
                raise ValueError(item)
    return secret


_seen: set[str] = set()


def _first(secret: str) -> bool:
    first = secret not in _seen
    _seen.add(secret)
    return first


@actor(**EACH, retry=Retry(2, backoff=0.05, factor=1, jitter="none"))
def tries_again(how: str, secret: str, number: int, *, named: str) -> None:
    if how == "asks":
        raise retry(exc=ValueError(quote(secret, named)), delay=0.05, kwargs={"named": named * 2})
    raise ValueError(quote(secret, named))


@actor(**EACH, time_limit=1.5, soft_time_limit=0.7)
def elsewhere(how: str, secret: str, number: int, *, named: str) -> Any:
    """In a process of its own."""
    match how:
        case "hard":
            while True:
                try:
                    time.sleep(SLOW)
                except Exception:
                    logger.exception("the soft limit is over")
        case "soft":
            time.sleep(SLOW)
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        case "unserializable":
            return Unspeakable(secret)
        case "thread":
            ends = threading.Thread(target=raises.fn, args=("plain", secret, number), kwargs={"named": named})
            ends.start()
            ends.join()
    logger.info("a line of the body")
    raise ValueError(quote(secret, named))


@actor(**EACH)
async def on_the_loop(how: str, secret: str, number: int, *, named: str) -> None:
    """As a coroutine."""
    await asyncio.sleep(0)
    logger.info("a line of a coroutine")
    if how == "task":
        # Nobody looks what has become of it.
        _tasks.append(asyncio.ensure_future(_fails(secret)))
        await asyncio.sleep(0.05)
        _tasks.clear()
    raise ValueError(quote(secret, named))


async def _fails(secret: str) -> None:
    raise ValueError(secret)


_tasks: list[Any] = []


@actor(**EACH, idempotency=Idempotency(key="{secret.missing}"))
def keyed(how: str, secret: str, number: int, *, named: str) -> None: ...


@actor(**EACH)
def hook_before(how: str, secret: str, number: int, *, named: str) -> None: ...


@actor(**EACH)
def hook_after(how: str, secret: str, number: int, *, named: str) -> str:
    return secret


@dramatiq.actor(queue_name="secrets")
def stock(how: str, secret: str, number: int, *, named: str) -> None:
    """Dramatiq's own, which would log its arguments at DEBUG."""
    raise ValueError(quote(secret, named))


@actor(**EACH)
def waits(how: str, secret: str, number: int, *, named: str) -> None:
    """Until it loses its message."""
    for _ in each(range(1_000), key=str):
        time.sleep(0.05)


@actor(queue_name="secrets")
def fine(how: str, secret: str, number: int, *, named: str) -> str:
    return secret
