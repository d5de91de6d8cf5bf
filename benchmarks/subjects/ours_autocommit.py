"""lithair_sqla once more, its single appends on AUTOCOMMIT connections: one round trip each in place of three."""

from __future__ import annotations

from sqlalchemy import URL

from benchmarks.subjects import ours


def open_log(url: URL, *, create: bool, connections: int) -> ours.OurLog:
    """Make the tables and open the pool."""
    return ours.open_log(url, create=create, connections=connections, autocommit=True)
