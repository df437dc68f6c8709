from __future__ import annotations

from understudy.exceptions import format_traceback
from understudy.isolation import body
from understudy.isolation.stacks import Stacks, traced

TEXT = f"""Timeout (0:00:02)!
Thread 0x00007f0000000002 (most recent call first):
  File "/lib/threading.py", line 5 in wait
Thread 0x00007f0000000001 (most recent call first):
  File "/lib/re.py", line 9 in match
  File "{__file__}", line 1 in work
  File "{body.__file__}", line 7 in _call
  File "{body.__file__}", line 6 in run
  File "/child.py", line 3 in main
"""
MAIN = 0x7F0000000001


def test_the_stack_of_the_body_is_read_from_the_actor_inwards() -> None:
    stacks = Stacks(TEXT, MAIN)
    assert stacks.timed_out
    assert [frame.name for frame in stacks.frames] == ["work", "match"]
    assert stacks.where == "; it was at /lib/re.py:9 in match"


def test_a_crash_is_no_timeout() -> None:
    text = TEXT.replace("Timeout (0:00:02)!", "Fatal Python error: Segmentation fault\n").replace(
        "Thread 0x00007f0000000001", "Current thread 0x00007f0000000001"
    )
    stacks = Stacks(text, MAIN)
    assert not stacks.timed_out
    assert [frame.name for frame in stacks.frames] == ["work", "match"]


def test_it_becomes_the_traceback_of_an_error() -> None:
    text = format_traceback(traced(ValueError("late"), Stacks(TEXT, MAIN)))
    assert text.splitlines() == [
        "Traceback (most recent call last):",
        f'  File "{__file__}", line 1, in work',
        "    from __future__ import annotations",
        '  File "/lib/re.py", line 9, in match',
        "ValueError: late",
    ]


def test_nothing_known_is_nothing_said() -> None:
    stacks = Stacks("", MAIN)
    assert (stacks.timed_out, stacks.where) == (False, "")
    assert format_traceback(traced(ValueError("late"), stacks)) == "ValueError: late"
