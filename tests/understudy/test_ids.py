"""Ids are UUIDs that nobody else has, a child of this process neither."""

from __future__ import annotations

import os
import threading
from uuid import RFC_4122, UUID

from understudy.ids import DRAWN, new_id


def test_an_id_is_a_random_uuid_in_its_usual_form() -> None:
    for _ in range(2 * DRAWN):
        text = new_id()
        found = UUID(text)
        assert (str(found), found.version, found.variant) == (text, 4, RFC_4122)


def test_no_two_are_the_same_whichever_thread_asks() -> None:
    found: list[str] = []

    def ask() -> None:
        found.extend(new_id() for _ in range(1_000))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 4_000


def test_a_child_has_ids_of_its_own() -> None:
    new_id()  # some are drawn and not used yet
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, " ".join(new_id() for _ in range(DRAWN)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        of_the_child = set(pipe.read().split())
    assert len(of_the_child) == DRAWN
    assert not of_the_child & {new_id() for _ in range(DRAWN)}
