"""Runs ``async def`` bodies: a thousand of them on one event loop, beside the worker's threads.

Why and how: docs/explanation/async.md. ::

    WorkQueue.put --> Lane --Beginners--> guards, STARTED --> event loop: the body
                                                                  |
                  outcome <--commit-- hooks after it <--Settlers--' it has ended, or was ended

``body`` is one coroutine with its limits, driven by ``steering``, which raises in it what its own code shall meet.
``here`` runs one in the calling thread: in tests, and in a process of its own. ``loop`` is the thread that all others
share, and ``watchdog`` looks whether somebody blocks it. ``lane`` is where they wait beside the work of the threads,
``halves`` are the two halves of Dramatiq's ``process_message`` that surround them.
"""
