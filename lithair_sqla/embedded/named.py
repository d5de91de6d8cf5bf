"""A server that the environment names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from lithair_sqla.embedded import backend
from lithair_sqla.embedded.backend import DRIVER
from lithair_sqla.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from lithair_sqla.embedded.request import Request

_SCHEMES = {"postgres", "postgresql", DRIVER}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedServer:
    """Somebody else's server: we use it, and neither start nor stop it."""

    url: URL
    variable: str

    def start(self) -> None:
        """Refuse."""
        self._refuse("started")

    def stop(self) -> None:
        """Refuse."""
        self._refuse("stopped")

    def kill(self) -> None:
        """Refuse."""
        self._refuse("killed")

    def close(self) -> None:
        """Leave the server as it is."""

    def _refuse(self, verb: str) -> NoReturn:
        raise EmbeddedPostgresError(
            f"the server named by {self.variable} is not ours to be {verb}: use source='system' or source='wheel'"
        )


def open_named(request: Request) -> NamedServer:
    """Check that the named server answers and is of the kind that was asked for.

    Raises:
        EmbeddedPostgresError: no server is named, it does not answer, or it is not what was asked for.
    """
    variable = request.dsn_variable
    if request.dsn is None:
        raise EmbeddedPostgresError(f"{variable} is not set")
    if request.settings:
        raise EmbeddedPostgresError(f"settings cannot be given to the server named by {variable}, which runs already")
    url = read_dsn(request.dsn, variable=variable)
    if request.tcp and (url.host or str(url.query.get("host", "/"))).startswith("/"):
        raise EmbeddedPostgresError(f"tcp=True, but {variable} names a server by its socket")
    with backend.connect(url) as connection:
        if request.durable:
            for setting in ("fsync", "full_page_writes"):
                row = connection.execute(f"SHOW {setting}").fetchone()
                if row != ("on",):
                    raise EmbeddedPostgresError(f"durable=True, but the server named by {variable} has {setting} off")
    return NamedServer(url=url, variable=variable)


def read_dsn(dsn: str, *, variable: str) -> URL:
    """Understand a SQLAlchemy URL, a libpq URL or a libpq connection string.

    Raises:
        EmbeddedPostgresError: it is none of these, or names another database or driver.
    """
    if "://" not in dsn:
        try:
            parts = conninfo_to_dict(dsn)
        except psycopg.ProgrammingError as error:
            raise EmbeddedPostgresError(f"{variable} is not a connection string: {str(error).strip()}") from error
        return _url_of({name: str(value) for name, value in parts.items() if value is not None})
    try:
        url = make_url(dsn)
    except (ArgumentError, ValueError) as error:  # SQLAlchemy leaves a bad port to int()
        raise EmbeddedPostgresError(f"{variable} is not a URL: {error}") from error
    if url.drivername not in _SCHEMES:
        raise EmbeddedPostgresError(f"{variable} names {url.drivername}://, not {DRIVER}://")
    return url.set(drivername=DRIVER)


def _url_of(parts: dict[str, str]) -> URL:
    """Make a URL of libpq's parameters; sockets and lists of hosts have their place in its query."""
    one_host = parts.get("host", "") and not parts["host"].startswith("/") and "," not in parts["host"]
    return URL.create(
        DRIVER,
        username=parts.pop("user", None),
        password=parts.pop("password", None),
        host=parts.pop("host") if one_host else None,
        port=int(parts.pop("port")) if one_host and "port" in parts else None,
        database=parts.pop("dbname", None),
        query=parts,
    )
