"""Every actor and every flow on real data of real size: how long it took, and how much memory it needed.

The matrix asks what an actor does, the main actors whether a worker keeps up with them. This asks what becomes of them
when there is as much to do as there is in production. ::

    runs       a house, a new worker for each piece of work, and what is measured of it
    scenes     what a scene is, and which there are: subjects/, one file per kind of work
    figures    what was measured, as a page: ``python -m tests.matrix.sizes --page FILE``
"""
