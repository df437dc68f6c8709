"""A periodic job for tests of the command line."""

from middleware.stack import stack
from understudy import actor, periodic
from understudy.runtime import install
from understudy.settings import Settings, load

settings = load(Settings)
install(settings, middleware=stack(settings))


@periodic(every=0.5)
@actor
def beat() -> None:
    """Twice a second."""
