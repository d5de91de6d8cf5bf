"""The yardstick: what the library costs, beside its rivals, on your machine, with one command.

``make bench`` makes an environment of its own, starts a PostgreSQL with fsync on, and runs every *workload* for every
*subject* that can do it: ours, plain SQLAlchemy, SQLAlchemy-Continuum, postgresql-audit, eventsourcing, raw psycopg.
Each subject works in a process and a database of its own on the same server, and their rounds are interleaved
(A B C, B C A, …), so that a machine that gets slower for a while is slower for everyone.

::

    python -m benchmarks run --only flush_insert,bulk_append
    python -m benchmarks report results.json
    python -m benchmarks compare before.json after.json

Read ``workload`` first, then one file of ``workloads/`` and one of ``subjects/``: all others have the same shape.
"""
