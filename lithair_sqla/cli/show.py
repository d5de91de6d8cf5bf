"""How answers look to a person: aligned, coloured where it helps, no wider than the terminal.

What comes from the database is never read as markup nor sent to the terminal raw: see ``safe``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lithair_sqla.model.audit import AuditReport
from lithair_sqla.ops.catalog import PartitionInfo, ShapeInfo, StreamSummary
from lithair_sqla.ops.records import AggregateReport, StorageHealthReport
from lithair_sqla.types import Event

__all__ = [
    "aggregate",
    "audit",
    "audit_json",
    "bytes_text",
    "events",
    "health",
    "partitions",
    "plain",
    "report",
    "safe",
    "shapes",
    "streams",
]

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_COLOURS: Final = {"error": "red", "warning": "yellow", "advice": "cyan"}
_KEY_SHOWN: Final = 12


def safe(text: str) -> str:
    r"""Write what a terminal would obey, such as an escape sequence in a stream's key, as ``\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def bytes_text(size: float) -> str:
    """Write a size as a person does: ``85.3MB``."""
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004 - SI
            return f"{size:.0f}{unit}" if unit == "B" else f"{size:.1f}{unit}"
        size /= 1000
    raise AssertionError


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _verdict(*, good: bool, text: str) -> Text:
    return Text(("✓ " if good else "✗ ") + text, style="green" if good else "red")


def aggregate(console: Console, report: AggregateReport, *, with_snapshots: bool) -> None:
    """Show an aggregate in the inspector's lines."""
    key = safe(report.stream.key)
    short = key if len(key) <= _KEY_SHOWN else f"{key[:8]}..."
    status = "" if report.status == "open" else report.status
    name = Text(f"{safe(report.stream.name)}({short})", style="bold")
    console.print(Text.assemble("Aggregate: ", name, " " * bool(status), (status, "yellow")))
    console.print(f"Events: {report.events:,} ({bytes_text(report.size_bytes)})")
    sizes = ", ".join(bytes_text(snapshot.size_bytes) for snapshot in report.snapshots)
    console.print(f"Snapshots: {len(report.snapshots)}" + (f" ({sizes})" if sizes else ""))
    if report.integrity is not None:
        wrong = len(report.integrity)
        said = f"{wrong} problem{'s' * (wrong != 1)}" if wrong else "versions, order and snapshots agree"
        console.print(Text.assemble("Integrity: ", _verdict(good=not wrong, text=said)))
        for problem in report.integrity:
            console.print(Text(f"  {problem}", style="red"))
    if report.last_event is not None:
        console.print(f"Last Event: {_time(report.last_event.recorded_at)}")
    if with_snapshots and report.snapshots:
        console.print()
        table = _table("version", "position", "size", "taken")
        for snapshot in report.snapshots:
            _row(
                table, snapshot.version, snapshot.position, bytes_text(snapshot.size_bytes), _time(snapshot.created_at)
            )
        console.print(table)


def events(console: Console, found: Sequence[Event], *, last: int) -> None:
    """Show events: a line about each, what it holds below, and how to see more."""
    width = len(f"{max((event.version for event in found), default=0):,}")
    for event in found:
        console.print(
            Text.assemble(
                (f"{event.version:>{width},}", "bold"),
                "  ",
                (_time(event.recorded_at), "dim"),
                "  ",
                (safe(event.type), "cyan"),
                f"  {safe(event.actor or '')}",
            )
        )
        for label, content in (("", event.data), ("called with ", event.payload)):
            if content:
                written = msgspec.json.encode(content, enc_hook=str).decode()
                console.print(Padding(Text.assemble((label, "dim"), safe(written)), (0, 0, 0, width + 2), expand=False))
    if found and found[-1].version < last and found[0].version <= found[-1].version:
        more = last - found[-1].version
        console.print(Text(f"… {more:,} more: --after-version {found[-1].version}", style="dim"))


def health(console: Console, report: StorageHealthReport) -> None:
    """Show a health report: the verdict, the figures, what to do."""
    verdict = _verdict(good=report.healthy, text="healthy" if report.healthy else "needs attention")
    console.print(Text.assemble("Store: ", verdict, " (deep)" if report.deep else ""))
    console.print(f"Events: {report.total_events:,} ({bytes_text(report.total_size_bytes)} with indexes)")
    for label, good in (
        ("Log", not report.corruption_detected),
        ("Indexes", report.index_consistency),
        ("Snapshots", report.snapshot_validity),
    ):
        console.print(Text.assemble(f"{label}: ", _verdict(good=good, text="consistent" if good else "inconsistent")))
    metrics = report.performance_metrics
    write = "not allowed" if metrics.avg_write_latency_ms is None else f"{metrics.avg_write_latency_ms:.2f} ms"
    console.print(f"Latency: write {write}, read {metrics.avg_read_latency_ms:.2f} ms")
    console.print(f"Readers in order are {metrics.horizon_lag_positions:,} positions behind the last drawn")
    for item in report.recommendations:
        console.print(
            Text.assemble((f"\n{item.severity}", _COLOURS[item.severity]), f" {item.code}: {safe(item.message)}")
        )
        # A command is to be copied in one piece: the terminal may break it, we do not.
        console.print(Text(f"  → {safe(item.action)}"), soft_wrap=True)


def streams(console: Console, found: Sequence[StreamSummary]) -> None:
    """Show the names of streams."""
    table = _table("name", "streams", "open", "events", "table")
    for row in found:
        _row(table, row.name, row.streams, row.open, row.events, _relation(row.relation))
    console.print(table)


def partitions(console: Console, found: Sequence[PartitionInfo]) -> None:
    """Show the log's partitions."""
    table = _table("partition", "positions", "events", "size", "since")
    places = []
    for row in found:
        # Their names differ in the last word only.
        stem, _, number = row.name.rpartition("_")
        places.append(f"{row.schema}.{stem}_…")
        since = "" if row.first_recorded_at is None else f"{row.first_recorded_at.astimezone(UTC):%Y-%m-%d %H:%M}"
        _row(table, number, f"{row.low:,} … {row.high - 1:,}", row.events, bytes_text(row.size_bytes), since)
    console.print(table)
    where = safe(", ".join(dict.fromkeys(places)))
    console.print(Text(f"{where}, events as the statistics have them, times in UTC", style="dim"))


def shapes(console: Console, found: Sequence[ShapeInfo]) -> None:
    """Show the recorded shapes."""
    table = _table("name", "version", "table", "columns", "since recorded")
    for row in found:
        changes = [f"+{name}" for name in row.unrecorded] + [f"-{name}" for name in row.vanished]
        newest = " ".join(changes) if row.is_newest else ""
        _row(table, row.name, row.schema_version, _relation(row.relation), row.columns, newest)
    console.print(table)


def audit(console: Console, found: AuditReport) -> None:
    """Show an audit's verdict and its differences."""
    first, *rest = str(found).split("\n")
    console.print(_verdict(good=found.clean, text=safe(first)))
    for line in rest:
        console.print(Text(safe(line)))


def audit_json(found: AuditReport) -> dict[str, Any]:
    """Return an audit as plain values."""
    return {
        "tables": found.tables,
        "clean": found.clean,
        "rows": found.rows,
        "streams": found.streams,
        "events": found.events,
        "snapshots": found.snapshots,
        "found": found.found,
        "differences": [asdict(item) for item in found.differences],
        "guards": [{"table": item.subject, "reason": item.reason} for item in found.guards],
    }


def plain(found: Any) -> dict[str, Any]:
    """Return a report of long work as plain values."""
    return asdict(found)


def report(console: Console, found: Any) -> None:
    """Show a report of long work in a line."""
    values = asdict(found)
    table = safe(values.pop("table"))
    console.print(Text(f"{table}: " + ", ".join(f"{value:,} {name}" for name, value in values.items())))


def _relation(recorded: str | None) -> str:
    """Shorten ``"public"."product"``, as it is recorded, to what a person writes."""
    return "" if recorded is None else recorded.replace('"', "").removeprefix("public.")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold dim", padding=(0, 2, 0, 0))
    numbers = {"version", "position", "positions", "streams", "open", "events", "size", "columns"}
    for name in columns:
        # A number, a time or a name of ours stays in one piece; names of the user's fold where they must.
        table.add_column(
            name,
            justify="right" if name in numbers else "left",
            no_wrap=name not in {"name", "table", "since recorded"},
            overflow="fold",
        )
    return table


def _row(table: Table, *cells: str | int) -> None:
    table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else safe(cell)) for cell in cells))
