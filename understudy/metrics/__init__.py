"""Numbers for Prometheus, right with any number of processes, because none of them is kept in one.

::

    outcome --tally--> settle (the script adds up what it commits) --> counters on the server
                                                                          |
    queues, leases -------------------------------------------------> reading --> exposition --> GET /metrics

``reading`` looks; ``exposition`` writes it in Prometheus's words, and is the only part that imports its client.
"""
