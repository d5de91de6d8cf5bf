"""The server as its user sees it, and the one function that finds or starts it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from psycopg import sql

from lithair_sqla.embedded import backend
from lithair_sqla.embedded.request import Request
from lithair_sqla.embedded.sources import find

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import URL

    from lithair_sqla.embedded.request import SettingValue, SourceName


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A running PostgreSQL.

    Attributes:
        url: where it is, as a SQLAlchemy URL of its database ``postgres``.
        version: major and minor number, such as ``(18, 6)``.
        source: ``"dsn"``, ``"docker"``, ``"system"`` or ``"wheel"``.
    """

    url: URL
    version: tuple[int, int]
    source: SourceName
    _backend: backend.Backend = field(repr=False, compare=False)

    @property
    def dsn(self) -> str:
        """The URL as text, password included: what `sqlalchemy.create_engine` takes."""
        return self.url.render_as_string(hide_password=False)

    @property
    def conninfo(self) -> str:
        """The same server for libpq: what `psycopg.connect` and psql take."""
        return backend.conninfo(self.url)

    def create_database(
        self, name: str, *, template: str | None = None, strategy: Literal["wal_log", "file_copy"] | None = None
    ) -> URL:
        """Create a database and return its URL.

        Args:
            name: of the new database; any name is quoted as it is.
            template: a database to copy, which nobody may be connected to; PostgreSQL's own when None.
            strategy: how PostgreSQL 15 and newer copy it; ``"file_copy"`` makes a database that is dropped much
                faster, at the price of a checkpoint, which is nothing without fsync.

        Raises:
            psycopg.errors.DuplicateDatabase: a database of that name is there.
        """
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        if strategy is not None:
            statement += sql.SQL(" STRATEGY {}").format(sql.Identifier(strategy))
        with backend.connect(self.url) as connection:
            connection.execute(statement)
        return self.url.set(database=name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it is there, and end the sessions that are connected to it."""
        with backend.connect(self.url) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def restart(self) -> None:
        """Shut down in order and start again on the same data.

        Raises:
            EmbeddedPostgresError: the server is not ours to stop, or does not come back.
        """
        self._backend.stop()
        self._backend.start()

    def stop(self) -> None:
        """Shut down in order and keep the data for `start`; sessions are ended, transactions rolled back.

        Raises:
            EmbeddedPostgresError: the server is not ours to stop.
        """
        self._backend.stop()

    def kill(self) -> None:
        """End every process of the server with SIGKILL, as a loss of power would, and keep the data for `start`.

        Raises:
            EmbeddedPostgresError: the server is not ours to stop.
        """
        self._backend.kill()

    def start(self) -> None:
        """Start again, on the same data and under the same URL, what `stop` or `kill` ended.

        Raises:
            EmbeddedPostgresError: the server is not ours to start, is running, or does not come up.
        """
        self._backend.start()


@contextmanager
def postgres(
    *,
    source: SourceName | None = None,
    durable: bool = False,
    settings: Mapping[str, SettingValue] | None = None,
    tcp: bool = False,
    dsn_variable: str = "LITHAIR_DSN",
) -> Iterator[PostgresServer]:
    """Find or start a PostgreSQL, and stop and forget it at the end of the block.

    Args:
        source: the only source to use; None tries all in order, or only the DSN where the environment has one.
        durable: keep fsync and full-page writes, so that what was acknowledged survives even the machine.
        settings: of postgresql.conf, such as ``{"shared_buffers": "256MB", "max_connections": 200}``.
        tcp: listen on a free port of the loopback address as well, with a random password, and give that URL;
            otherwise the server is reached by a socket in a folder that only its user (and root) can enter.
        dsn_variable: the environment variable that may name a server.

    Yields:
        The running server.

    Raises:
        OptionError: an argument that has no meaning.
        EmbeddedPostgresError: no server could be found or started; the message lists what was tried.
    """
    request = Request(source=source, durable=durable, settings=settings or {}, tcp=tcp, dsn_variable=dsn_variable)
    name, found = find(request)
    owner = os.getpid()
    try:
        yield PostgresServer(url=found.url, version=backend.server_version(found.url), source=name, _backend=found)
    finally:
        if os.getpid() == owner:  # a forked child that leaves the block leaves the server to its parent
            found.close()
