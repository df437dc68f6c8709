"""The systems that are compared, each behind ``Side``. Only the module of the side that runs is imported."""

from __future__ import annotations

from importlib import import_module

from benchmarks.spec import Spec

from .base import Bodies, Side

__all__ = ["SIDES", "Bodies", "Side", "open_side"]

SIDES = ("understudy", "stock", "celery")


def open_side(spec: Spec, bodies: Bodies) -> Side:
    """The side that ``spec`` names, with its actors declared. Connects when it is first used."""
    module = import_module(f"{__name__}.{spec.side}_side")
    side: Side = module.open_side(spec, bodies)
    return side
