"""What every command shares: where the store is, whose models, how to answer; and errors in one line."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Connection, Engine, MetaData, Table, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from lithair_sqla.errors import (
    LithairError,
    OptionError,
    SchemaMissingError,
    StreamNotFoundError,
    UnsupportedDatabaseError,
)
from lithair_sqla.ops.presence import found_config
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.create import library_of
from lithair_sqla.schema.guards import guard_of
from lithair_sqla.schema.tables import METADATA_KEY, LibraryTables

__all__ = ["FAILED", "FOUND_PROBLEMS", "NOT_FOUND", "STOPPED", "UNREACHABLE", "Settings", "command", "nearest"]

FOUND_PROBLEMS: Final = 1
UNREACHABLE: Final = 3
NOT_FOUND: Final = 4
FAILED: Final = 5
STOPPED: Final = 130

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True)
class Settings:
    """The options given before the command.

    Attributes:
        dsn: an SQLAlchemy URL or a libpq one.
        app: ``module:Base`` or ``module:metadata``, for the commands that need the models.
        schema: of the library's tables.
        prefix: of their names.
        as_json: answer with JSON.
        console: where people read.
    """

    dsn: str | None = None
    app: str | None = None
    schema: str | None = None
    prefix: str = "lithair_"
    as_json: bool = False
    console: Console = field(default_factory=Console)
    _engine: Engine | None = None

    def config(self, connection: Connection) -> StorageConfig:
        """Say which store: as the models have it where they are named, else as the database shows it."""
        if self.app is not None and self.schema is None and self.prefix == "lithair_":
            found = self.metadata().info.get(METADATA_KEY)
            if isinstance(found, LibraryTables):
                return found.config
        return found_config(connection, StorageConfig(schema=self.schema, prefix=self.prefix))

    def engine(self) -> Engine:
        """Return the engine, made at the first call.

        Raises:
            click.UsageError: there is no DSN, or it cannot be read.
        """
        if self._engine is None:
            if not self.dsn:
                raise click.UsageError("where is the store? Give --dsn postgresql://… or set LITHAIR_DSN")
            try:
                url = make_url(self.dsn)
            except ArgumentError as error:
                raise click.UsageError("--dsn is no database URL: postgresql://user@host/name is wanted") from error
            if url.get_backend_name() not in {"postgresql", "postgres"}:
                raise click.UsageError(f"--dsn names {url.get_backend_name()}: an event store stands in a PostgreSQL")
            url = url.set(drivername="postgresql+psycopg")
            self._engine = create_engine(url, connect_args={"application_name": "lithair-storage"})
        return self._engine

    def close(self) -> None:
        """Let go of the database."""
        if self._engine is not None:
            self._engine.dispose()

    def metadata(self) -> MetaData:
        """Return the models' metadata.

        Raises:
            click.UsageError: no models are named, or they cannot be imported.
        """
        if not self.app:
            raise click.UsageError("this command needs your models: give --app module:Base or set LITHAIR_APP")
        module, _, attribute = self.app.partition(":")
        sys.path.insert(0, "")
        try:
            target = getattr(importlib.import_module(module), attribute or "Base")
        except (ImportError, AttributeError) as error:
            raise click.UsageError(f"--app {self.app} cannot be imported: {error}") from error
        finally:
            sys.path.remove("")
        return library_of(target).metadata

    def tables(self, names: tuple[str, ...]) -> list[Table]:
        """Return the event-sourced tables of the models: those named, or all.

        Raises:
            click.UsageError: a name that none of them has.
        """
        found = {table.fullname: table for table in self.metadata().sorted_tables if guard_of(table) is not None}
        unknown = [name for name in names if name not in found]
        if unknown:
            raise click.UsageError(f"no event-sourced table {unknown[0]!r}{nearest(unknown[0], found)}")
        return [table for name, table in found.items() if not names or name in names]

    def answer(self, value: Any) -> None:
        """Print a value as JSON."""
        plain = msgspec.to_builtins(value, enc_hook=str)
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[int, int], None]]:
        """Show how far long work has got, with what it takes to the end; on standard error, and only to a person."""
        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.speed}"),
            TimeRemainingColumn(),
            console=Console(stderr=True, no_color=self.console.no_color),
            disable=self.as_json or not sys.stderr.isatty(),
        )
        with bars:
            task = bars.add_task(label, total=None)

            def advance(done: int, total: int) -> None:
                bars.update(task, completed=done, total=total)

            yield advance


def nearest(word: str, known: Any) -> str:
    """Suggest what was perhaps meant."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

    found = get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else (f" (there are {', '.join(known)})" if known else "")


def command(function: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Hand a command its settings, and turn every error that a person can mend into one line and an exit code."""

    @click.pass_obj
    @wraps(function)
    def run(settings: Settings, /, *args: P.args, **keywords: P.kwargs) -> R:
        try:
            return function(settings, *args, **keywords)
        except StreamNotFoundError as error:
            raise _exit(str(error), NOT_FOUND) from error
        except OptionError as error:
            raise click.UsageError(str(error)) from error
        except (SchemaMissingError, UnsupportedDatabaseError) as error:
            raise _exit(str(error), UNREACHABLE) from error
        except LithairError as error:
            raise _exit(str(error), FAILED) from error
        except OperationalError as error:
            raise _exit(_first_line(error), UNREACHABLE) from error
        except DBAPIError as error:
            raise _exit(_first_line(error), FAILED) from error
        except KeyboardInterrupt:
            raise _exit("stopped; what was done is kept, run it again to go on", STOPPED) from None

    return run


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().split("\n", 1)[0]


def _exit(message: str, code: int) -> SystemExit:
    click.echo(f"lithair-storage: {message}", err=True)
    return SystemExit(code)
