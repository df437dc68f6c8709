"""``understudy demo``: the main job from end to end, on real parts, with everything going wrong on purpose."""

from __future__ import annotations

from .command import demo

__all__ = ["demo"]
