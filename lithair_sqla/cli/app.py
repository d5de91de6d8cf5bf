"""The commands of ``lithair-storage``, each a thin door to a function of the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console

from lithair_sqla.cli import show
from lithair_sqla.cli.settings import FOUND_PROBLEMS, Settings, command, nearest
from lithair_sqla.errors import StreamNotFoundError
from lithair_sqla.model.adopt import adopt as adopt_tables
from lithair_sqla.model.audit import audit as audit_table
from lithair_sqla.model.rebuild import rebuild as rebuild_table
from lithair_sqla.ops.catalog import list_partitions, list_shapes, list_streams
from lithair_sqla.ops.health import health_check
from lithair_sqla.ops.inspect import find_streams, inspect_stream
from lithair_sqla.ops.snapshots import take_snapshots
from lithair_sqla.store import EventStore
from lithair_sqla.types import StreamId

__all__ = ["cli"]

_Row = TypeVar("_Row")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--dsn", envvar="LITHAIR_DSN", help="Database URL (or LITHAIR_DSN).")
@click.option("--app", envvar="LITHAIR_APP", help="Your models, as module:Base (or LITHAIR_APP).")
@click.option("--schema", envvar="LITHAIR_SCHEMA", help="Schema of the library's tables (or LITHAIR_SCHEMA).")
@click.option(
    "--prefix",
    envvar="LITHAIR_PREFIX",
    default="lithair_",
    show_default=True,
    help="Prefix of their names (or LITHAIR_PREFIX).",
)
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")
@click.option("--no-color", is_flag=True, help="No colours.")
@click.version_option(package_name="lithair-sqla", prog_name="lithair-storage")
@click.pass_context
def cli(
    context: click.Context,
    dsn: str | None,
    app: str | None,
    schema: str | None,
    prefix: str,
    *,
    as_json: bool,
    no_color: bool,
) -> None:
    """Look into an event store and look after it.

    Exit codes: 0 all is well, 1 something is wrong with the data, 2 wrong usage, 3 no store can be reached,
    4 no such stream, 5 any other error, 130 stopped by Ctrl-C.
    """
    console = Console(no_color=no_color, highlight=False)
    context.obj = Settings(dsn=dsn, app=app, schema=schema, prefix=prefix, as_json=as_json, console=console)
    context.call_on_close(context.obj.close)


_TABLES = click.option("--table", "tables", multiple=True, help="Only this table (may come several times).")


@cli.command()
@click.option("--aggregate-id", required=True, help="The key, as the database writes it.")
@click.option("--stream", "name", help="The stream's name; needed where several have that key.")
@click.option("--show-events", is_flag=True, help="List the events.")
@click.option("--show-snapshots", is_flag=True, help="List the snapshots.")
@click.option("--verify-integrity", is_flag=True, help="Check versions, order and snapshots.")
@click.option(
    "--after-version", type=click.IntRange(min=0), default=0, show_default=True, help="List events after this version."
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="List at most so many events.")
@command
def inspect(
    settings: Settings,
    aggregate_id: str,
    name: str | None,
    *,
    show_events: bool,
    show_snapshots: bool,
    verify_integrity: bool,
    after_version: int,
    limit: int,
) -> None:
    """Show what one aggregate holds."""
    with settings.engine().connect() as connection:
        config = settings.config(connection)
        found = find_streams(connection, aggregate_id, name=name, config=config)
        if not found:
            what = f"{name}({aggregate_id})" if name else f"with key {aggregate_id!r}"
            known = [row.name for row in list_streams(connection, config=config)]
            hint = nearest(name, known) if name and name not in known else ""
            raise StreamNotFoundError(f"no stream {what}{hint}")
        if len(found) > 1:
            raise click.UsageError(
                f"{len(found)} streams have key {aggregate_id!r}: name one with --stream "
                f"({', '.join(stream.name for stream in found)})"
            )
        report = inspect_stream(connection, found[0], verify=verify_integrity, config=config)
        events = []
        if show_events:
            store = EventStore(connection, config=config)
            events = store.read_stream(found[0], from_version=after_version + 1, limit=limit)
    if settings.as_json:
        settings.answer({"aggregate": report, "events": events} if show_events else report)
    else:
        show.aggregate(settings.console, report, with_snapshots=show_snapshots)
        if show_events:
            show.events(settings.console, events, last=report.version)
    if report.integrity:
        raise SystemExit(FOUND_PROBLEMS)


@cli.command()
@click.option("--deep", is_flag=True, help="Count and fold everything; with --app also audit the tables.")
@command
def health(settings: Settings, *, deep: bool) -> None:
    """Say how the store does and what to do about it."""
    metadata = settings.metadata() if settings.app and deep else None
    with settings.engine().connect() as connection:
        report = health_check(connection, deep=deep, metadata=metadata, config=settings.config(connection))
    if settings.as_json:
        settings.answer(report.as_dict())
    else:
        show.health(settings.console, report)
    if not report.healthy:
        raise SystemExit(FOUND_PROBLEMS)


@cli.command()
@click.argument("stream")
@click.argument("key")
@click.option("--reverse", is_flag=True, help="Newest first.")
@click.option(
    "--after-version", type=click.IntRange(min=0), default=0, show_default=True, help="Only events after this version."
)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many events.")
@command
def history(settings: Settings, stream: str, key: str, *, reverse: bool, after_version: int, limit: int) -> None:
    """List the events of one stream: history Product 42."""
    with settings.engine().connect() as connection:
        config = settings.config(connection)
        store = EventStore(connection, config=config)
        wanted = StreamId(stream, key, config.tenant_id)
        info = store.stream(wanted)
        if info is None:
            known = [row.name for row in list_streams(connection, config=config)]
            raise StreamNotFoundError(f"no stream {wanted}{nearest(stream, known) if stream not in known else ''}")
        events = store.read_stream(wanted, from_version=after_version + 1, limit=limit, backwards=reverse)
    if settings.as_json:
        settings.answer(events)
    else:
        show.events(settings.console, events, last=info.version)


def _list(
    settings: Settings,
    read: Callable[..., list[_Row]],
    shown: Callable[[Console, list[_Row]], None],
) -> list[_Row]:
    """Read a list of what the store holds and show it, to a person or as JSON."""
    with settings.engine().connect() as connection:
        found = read(connection, config=settings.config(connection))
    if settings.as_json:
        settings.answer(found)
    else:
        shown(settings.console, found)
    return found


@cli.command()
@command
def streams(settings: Settings) -> None:
    """List the names of streams, with their number, their events and the table that writes them."""
    _list(settings, list_streams, show.streams)


@cli.command()
@command
def partitions(settings: Settings) -> None:
    """List the log's partitions, with their positions, times and sizes."""
    _list(settings, list_partitions, show.partitions)


@cli.command()
@command
def schema(settings: Settings) -> None:
    """List the recorded shapes of events, and where tables have moved on."""
    found = _list(settings, list_shapes, show.shapes)
    if any(shape.unrecorded or shape.vanished for shape in found if shape.is_newest):
        raise SystemExit(FOUND_PROBLEMS)


@cli.command()
@_TABLES
@command
def audit(settings: Settings, tables: tuple[str, ...]) -> None:
    """Prove that the log, replayed, equals the rows (needs --app)."""
    reports = []
    with settings.engine().connect() as connection:
        for table in settings.tables(tables):
            report = audit_table(connection, table)
            reports.append(report)
            if not settings.as_json:
                show.audit(settings.console, report)
    if settings.as_json:
        settings.answer([show.audit_json(report) for report in reports])
    if not all(report.clean for report in reports):
        raise SystemExit(FOUND_PROBLEMS)


@cli.command()
@_TABLES
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def rebuild(settings: Settings, tables: tuple[str, ...], *, yes: bool) -> None:
    """Make tables equal to what their log says (needs --app and the owner's rights)."""
    chosen = settings.tables(tables)
    if not yes and settings.as_json:
        raise click.UsageError("with --json nobody is asked: say --yes")
    if not yes:
        names = ", ".join(table.fullname for table in chosen)
        click.confirm(f"Rows of {names} that differ from the log will be changed or removed. Go on?", abort=True)
    _run(settings, chosen, rebuild_table, "rebuilding")


@cli.command()
@_TABLES
@command
def adopt(settings: Settings, tables: tuple[str, ...]) -> None:
    """Write a baseline for every row that has no stream yet (needs --app and the owner's rights)."""
    _run(settings, settings.tables(tables), adopt_tables, "adopting")


@cli.command()
@click.option("--stream", "name", required=True, help="The name of the streams.")
@click.option("--behind", type=click.IntRange(min=1), help="Events after the newest snapshot from which on one is due.")
@command
def snapshot(settings: Settings, name: str, *, behind: int | None) -> None:
    """Snapshot the long streams of a table (needs the owner's rights)."""
    engine = settings.engine()
    with engine.connect() as connection:
        config = settings.config(connection)
    with settings.progress(f"snapshots of {name}") as advance:
        report = take_snapshots(engine, name, behind=behind, config=config, progress=advance)
    if settings.as_json:
        settings.answer(report)
    else:
        settings.console.print(f"{report.snapshots:,} snapshots of {show.safe(report.stream)}", markup=False)


def _run(settings: Settings, tables: list[Any], work: Any, verb: str) -> None:
    reports = []
    for table in tables:
        with settings.progress(f"{verb} {table.fullname}") as advance:
            reports.extend(work(settings.engine(), table, progress=advance))
    if settings.as_json:
        settings.answer([show.plain(report) for report in reports])
    else:
        for report in reports:
            show.report(settings.console, report)
