"""What touches the outside world: one small adapter per kind, so that an actor reads as the job it does.

``mail`` is the door to electronic mail; the modules beside it are its rooms.
"""

from __future__ import annotations

from .quiet import silence

silence()
