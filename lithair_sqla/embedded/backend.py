"""The seam between a server as it is used and the ways to have one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import psycopg
from psycopg.conninfo import make_conninfo

from lithair_sqla.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from sqlalchemy import URL

DRIVER = "postgresql+psycopg"
CONNECT_TIMEOUT_SECONDS = 10


class Backend(Protocol):
    """A server from one of the sources: reachable when it is made, until it is closed."""

    @property
    def url(self) -> URL:
        """Where the server is, for SQLAlchemy."""
        ...

    def start(self) -> None:
        """Start the server again on the data it had."""

    def stop(self) -> None:
        """Shut the server down in order, and keep its data."""

    def kill(self) -> None:
        """End the server's processes as a loss of power would, and keep its data."""

    def close(self) -> None:
        """Stop the server and remove what was made for it; a second call does nothing."""


def conninfo(url: URL) -> str:
    """Write a SQLAlchemy URL as a libpq connection string."""
    _, arguments = url.get_dialect()().create_connect_args(url)
    return make_conninfo("", **arguments)


def connect(url: URL) -> psycopg.Connection:
    """Connect to a server, in autocommit mode, or say why that failed.

    Raises:
        EmbeddedPostgresError: nobody answers, or the server refuses.
    """
    try:
        return psycopg.connect(conninfo(url), autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS)
    except psycopg.Error as error:
        raise EmbeddedPostgresError(f"cannot connect to {url!r}: {str(error).strip()}") from error


def server_version(url: URL) -> tuple[int, int]:
    """Ask a server for its version: major and minor number."""
    with connect(url) as connection:
        return divmod(connection.info.server_version, 10_000)
