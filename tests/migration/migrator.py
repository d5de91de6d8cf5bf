"""A migrator for the tests of two at once: upgrades databases when it is told to, in a process of its own.

It reads a line ``<database url>`` from its input, upgrades that database to head, and answers ``done`` or the error.
"""

from __future__ import annotations

import sys

from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData

from lithair_sqla.schema.tables import LibraryTables


def main() -> None:
    config = Config(sys.argv[1])
    metadata = MetaData()
    LibraryTables.of(metadata)
    config.attributes["target_metadata"] = metadata
    print("ready", flush=True)  # noqa: T201 - what the test reads
    for line in sys.stdin:
        config.set_main_option("sqlalchemy.url", line.strip().replace("%", "%%"))
        try:
            command.upgrade(config, "head")
        except Exception as error:  # noqa: BLE001 - the test wants to see whatever it is
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)  # noqa: T201
        else:
            print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
