"""The testing kit: actors proven in milliseconds, without threads, sleeps or a server.

``pytest`` loads it as a plugin (``understudy.testing.plugin``). The fixtures: ``broker`` (a fresh one for every
test, on the stub and on a real server), ``drain`` (the worker's step in the test's own thread, where time limits are
only measured; ``drain(isolation="process")`` runs bodies with a limit as a worker does), ``freezer`` (frozen time that
drives the server too), ``faults`` (the nth exchange with the server fails, or the worker dies there), ``enqueued``
(what was sent).
"""

from __future__ import annotations
