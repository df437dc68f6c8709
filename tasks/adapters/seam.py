"""The place at which a test puts something else for the outside world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from understudy.env import EnvSettings
from understudy.settings import load

T = TypeVar("T")
S = TypeVar("S", bound=EnvSettings)


class Seam(Generic[T, S]):
    """Opens what ``real`` makes of ``settings``, unless something else is put in its place."""

    def __init__(self, real: Callable[[S], T], settings: type[S]) -> None:
        self._real = real
        self._settings = settings
        self._factory: Callable[[], T] | None = None

    def open(self, settings: S | None = None) -> T:
        """The real one of these settings (default: the environment's), or what is in its place.

        Raises:
          understudy.errors.SettingsError: the settings of the environment are wrong.
        """
        if self._factory is not None:
            return self._factory()
        return self._real(load(self._settings) if settings is None else settings)

    @contextmanager
    def use(self, factory: Callable[[], T]) -> Iterator[None]:
        """Inside the block ``open`` returns ``factory()``, in every thread. Blocks may be nested."""
        before, self._factory = self._factory, factory
        try:
            yield
        finally:
            self._factory = before
