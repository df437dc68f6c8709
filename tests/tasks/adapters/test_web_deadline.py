"""What is cut at a deadline. Whole exchanges are in ``test_web.py``."""

from __future__ import annotations

import socket

import pytest

from tasks.adapters.web_deadline import Deadline
from understudy.testing.conditions import wait_until


def test_who_reads_at_the_deadline_finds_the_end() -> None:
    here, there = socket.socketpair()
    with here, there, Deadline(0.05) as deadline:
        deadline.watch(here)
        assert here.recv(1) == b""
        assert deadline.over


def test_a_connection_that_comes_too_late_is_cut_at_once() -> None:
    here, there = socket.socketpair()
    with here, there, Deadline(0.001) as deadline:
        wait_until(lambda: deadline.over)
        deadline.watch(here)
        assert here.recv(1) == b""
        assert 0 < deadline.left < 0.01


def test_one_that_has_detached_its_socket_is_cut_too() -> None:
    here, there = socket.socketpair()
    with there, Deadline(0.2) as deadline:
        deadline.watch(here)
        with socket.socket(fileno=here.detach()) as wrapped:
            assert wrapped.recv(1) == b""


def test_what_ends_in_time_is_left_alone() -> None:
    here, there = socket.socketpair()
    with here, there:
        with Deadline(60) as deadline:
            deadline.watch(here)
        assert not deadline.over
        there.sendall(b"x")
        assert here.recv(1) == b"x"


def test_what_is_raised_inside_goes_through() -> None:
    with pytest.raises(ValueError, match="through"), Deadline(60):
        raise ValueError("through")
