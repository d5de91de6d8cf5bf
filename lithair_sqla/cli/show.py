"""How answers look to a person: aligned, coloured where it helps, no wider than the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

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
    "shapes",
    "streams",
]

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_COLOURS: Final = {"error": "red", "warning": "yellow", "advice": "cyan"}
_SECONDS = "%Y-%m-%d %H:%M:%S %Z"


def bytes_text(size: float) -> str:
    """Write a size as a person does: ``85.3MB``."""
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004 - SI
            return f"{size:.0f}{unit}" if unit == "B" else f"{size:.1f}{unit}"
        size /= 1000
    raise AssertionError


def aggregate(console: Console, report: AggregateReport, *, with_snapshots: bool) -> None:
    """Show an aggregate in the inspector's lines."""
    short = report.stream.key if len(report.stream.key) <= 12 else f"{report.stream.key[:8]}..."  # noqa: PLR2004
    console.print(f"Aggregate: [bold]{report.stream.name}({short})[/bold]" + _status(report.status))
    console.print(f"Events: {report.events:,} ({bytes_text(report.size_bytes)})")
    sizes = ", ".join(bytes_text(snapshot.size_bytes) for snapshot in report.snapshots)
    console.print(f"Snapshots: {len(report.snapshots)}" + (f" ({sizes})" if sizes else ""))
    if report.integrity is not None:
        if report.integrity:
            console.print(f"Integrity: [red]✗ {len(report.integrity)} problems[/red]")
            for problem in report.integrity:
                console.print(f"  [red]{problem}[/red]")
        else:
            console.print("Integrity: [green]✓ All versions, positions and snapshots valid[/green]")
    if report.last_event is not None:
        console.print(f"Last Event: {report.last_event.recorded_at:{_SECONDS}}")
    if with_snapshots and report.snapshots:
        table = _table("version", "position", "size", "taken")
        for snapshot in report.snapshots:
            table.add_row(
                f"{snapshot.version:,}",
                f"{snapshot.position:,}",
                bytes_text(snapshot.size_bytes),
                f"{snapshot.created_at:{_SECONDS}}",
            )
        console.print(table)


def _status(status: str) -> str:
    return "" if status == "open" else f" [yellow]{status}[/yellow]"


def events(console: Console, found: Sequence[Event], *, last: int) -> None:
    """Show events, one a line, and how to see more."""
    table = _table("version", "position", "time", "type", "by", "data")
    for event in found:
        content = dict(event.data)
        if event.payload is not None:
            content = {"payload": dict(event.payload), **content}
        table.add_row(
            str(event.version),
            f"{event.position:,}",
            f"{event.recorded_at:%Y-%m-%d %H:%M:%S}",
            event.type,
            event.actor or "",
            msgspec.json.encode(content, enc_hook=str).decode(),
        )
    console.print(table)
    if found and found[-1].version < last and found[0].version <= found[-1].version:
        console.print(f"[dim]… {last - found[-1].version:,} more: --after-version {found[-1].version}[/dim]")


def health(console: Console, report: StorageHealthReport) -> None:
    """Show a health report: the verdict, the figures, what to do."""
    verdict = "[green]✓ healthy[/green]" if report.healthy else "[red]✗ needs attention[/red]"
    console.print(f"Store: {verdict}" + (" [dim](deep)[/dim]" if report.deep else ""))
    console.print(f"Events: {report.total_events:,} ({bytes_text(report.total_size_bytes)} with indexes)")
    for label, good in (
        ("Log", not report.corruption_detected),
        ("Indexes", report.index_consistency),
        ("Snapshots", report.snapshot_validity),
    ):
        console.print(f"{label}: " + ("[green]✓ consistent[/green]" if good else "[red]✗ inconsistent[/red]"))
    metrics = report.performance_metrics
    write = "not allowed" if metrics.avg_write_latency_ms is None else f"{metrics.avg_write_latency_ms:.2f} ms"
    console.print(f"Latency: write {write}, read {metrics.avg_read_latency_ms:.2f} ms")
    console.print(f"Readers in order are {metrics.horizon_lag_positions:,} positions behind the last drawn")
    for item in report.recommendations:
        console.print(f"[{_COLOURS[item.severity]}]{item.severity}[/] {item.code}: {item.message}")
        console.print(f"  [dim]→[/dim] {item.action}", markup=True, highlight=False)


def streams(console: Console, found: Sequence[StreamSummary]) -> None:
    """Show the names of streams."""
    table = _table("name", "streams", "open", "events", "table")
    for row in found:
        table.add_row(row.name, f"{row.streams:,}", f"{row.open:,}", f"{row.events:,}", row.relation or "")
    console.print(table)


def partitions(console: Console, found: Sequence[PartitionInfo]) -> None:
    """Show the log's partitions."""
    table = _table("partition", "from position", "to", "events", "size", "from time")
    for row in found:
        since = "" if row.first_recorded_at is None else f"{row.first_recorded_at:{_SECONDS}}"
        table.add_row(
            row.name, f"{row.low:,}", f"{row.high - 1:,}", f"{row.events:,}", bytes_text(row.size_bytes), since
        )
    console.print(table)


def shapes(console: Console, found: Sequence[ShapeInfo]) -> None:
    """Show the recorded shapes."""
    table = _table("name", "version", "table", "columns", "since recorded")
    for row in found:
        changes = [f"+{name}" for name in row.unrecorded] + [f"-{name}" for name in row.vanished]
        newest = " ".join(changes) if row.is_newest else ""
        table.add_row(row.name, str(row.schema_version), row.relation or "", str(row.columns), newest)
    console.print(table)


def audit(console: Console, found: AuditReport) -> None:
    """Show an audit's verdict and its differences."""
    mark = "[green]✓[/green]" if found.clean else "[red]✗[/red]"
    first, *rest = str(found).split("\n")
    console.print(f"{mark} {first}", markup=True)
    for line in rest:
        console.print(line, markup=False)


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
    table = values.pop("table")
    console.print(f"{table}: " + ", ".join(f"{value:,} {name}" for name, value in values.items()))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold dim")
    for name in columns:
        right = name in {"version", "position", "streams", "open", "events", "size", "from position", "to", "columns"}
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    return table
