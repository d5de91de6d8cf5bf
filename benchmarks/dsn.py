"""A database's URL as psycopg takes it.

``lithair_sqla.embedded`` has the same, but a peer's process must not import our library: its hooks would stand in the
peer's sessions.
"""

from __future__ import annotations

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL

__all__ = ["conninfo"]


def conninfo(url: URL) -> str:
    """Write a SQLAlchemy URL as a libpq connection string."""
    _, arguments = url.get_dialect()().create_connect_args(url)
    return make_conninfo("", **arguments)
