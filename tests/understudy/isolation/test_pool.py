from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.understudy.isolation.test_process import job, refuse
from tests.understudy.isolation.test_runner import ends
from understudy.isolation.pool import Pool, close_all
from understudy.settings import Settings, load


def settings(**environ: str) -> Settings:
    return load(Settings, environ={"BROKER_URL": "stub://", **environ})


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    made.close()


def test_a_thread_keeps_its_child_and_another_one_has_its_own(pool: Pool) -> None:
    given = settings()
    first = pool.take(given)
    assert pool.take(given) is first
    pids: list[int] = []
    thread = threading.Thread(target=lambda: pids.append(pool.take(given).pid))
    thread.start()
    thread.join()
    assert pids != [first.pid]


def test_a_child_is_replaced_after_its_messages(pool: Pool) -> None:
    given = settings(UNDERSTUDY_CHILD_MAX_MESSAGES="2")
    first = pool.take(given)
    first.run(job("echo"), refuse)
    assert pool.take(given) is first
    first.run(job("echo"), refuse)
    second = pool.take(given)
    assert second.pid != first.pid
    ends(first.pid)


def test_a_child_that_is_gone_is_replaced(pool: Pool) -> None:
    given = settings()
    first = pool.take(given)
    first.kill()
    assert pool.take(given).alive


def test_a_child_is_not_used_under_other_settings(pool: Pool) -> None:
    first = pool.take(settings())
    assert pool.take(settings(UNDERSTUDY_NAMESPACE="other")).pid != first.pid


def test_closing_ends_every_child(pool: Pool) -> None:
    child = pool.take(settings())
    close_all()
    assert pool.closed
    ends(child.pid)
    assert pool.take(settings()).alive
    assert not pool.closed
