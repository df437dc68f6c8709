"""The main actor of every domain, put to work for real: a server, worker processes, sockets, files and tables.

The rows of the matrix ask every subject what it does, in the test's own process. These ask one actor per domain what a
worker makes of it: whether it keeps up, what a body costs that hangs, and what is left after a death. ::

    house      what they work with, and how all of it falls silent
    mains      what a main actor is, and which there are: domains/, one file per kind of effect
    trials     the rows: what is asked of each
    scenes     what is done to a house so that the trials can be judged; one scene serves all main actors
    figures    what was measured, as a page: ``python -m tests.matrix.mains --page FILE``
"""
