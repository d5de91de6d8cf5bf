"""``python -m lithair_sqla.embedded``: start a PostgreSQL, say where it is, and keep it until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING

from lithair_sqla import embedded
from lithair_sqla.embedded.request import ORDER
from lithair_sqla.errors import LithairError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m lithair_sqla.embedded", description="Start a PostgreSQL and keep it until Ctrl-C."
    )
    parser.add_argument("--source", choices=ORDER, help="use this source only (default: all, in this order)")
    parser.add_argument("--tcp", action="store_true", help="listen on a free port of 127.0.0.1, with a password")
    parser.add_argument("--durable", action="store_true", help="keep fsync on")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", type=_setting, dest="settings")
    options = parser.parse_args(arguments)

    # SIGTERM ends the program like Ctrl-C, so that the block below is left in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with embedded.postgres(
            source=options.source, durable=options.durable, settings=dict(options.settings), tcp=options.tcp
        ) as server:
            _say(f"PostgreSQL {'.'.join(map(str, server.version))} ({server.source}), until Ctrl-C")
            _say(f"  SQLAlchemy  {server.dsn}")
            _say(f"  psql        psql '{server.conninfo}'")
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except LithairError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
