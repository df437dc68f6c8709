"""How much a test goes through: a part by default, all of it in ``make chaos``, which says ``TEST_DEPTH=all``.

Such a test has the mark ``deep``, by which ``make chaos`` finds it.
"""

from __future__ import annotations

import os
from typing import TypeVar

import pytest

T = TypeVar("T")

IS_ALL = os.environ.get("TEST_DEPTH") == "all"


def depth(part: T, whole: T) -> T:
    """``whole`` in ``make chaos``, else ``part``."""
    return whole if IS_ALL else part


#: For tests of what the server's scripts do, call by call or over and over. The stub runs the same scripts, at many
#: times the cost.
on_the_server_first = pytest.mark.brokers(*depth(("server",), ("stub", "server")))
