"""Runs bodies in processes of their own, so that a time limit can end them (P5).

Why and how: docs/explanation/isolation.md. ::

    worker process                                          child process
    --------------                                          -------------
    worker thread: Runner --- job ------------------------> Bodies: the actor's function
                     ^                                         |
                     `--- question: script, command, send <----'   each, progress, send ...
                     `--- done: result or exception <----------'

``runner`` stands in for the body in the worker; ``pool`` keeps one ``process`` per worker thread. ``child`` is what
runs there: ``body`` runs one body, ``standing`` is what it meets in place of the worker's broker. Both sides share
``wire`` (frames), ``jobs`` (what is in them), ``parcels`` (exceptions), ``page`` (progress) and ``stacks`` (where a
body was). ``memory`` looks how much a child takes.
"""
