"""The seed's table of figures, row by row: what it promises, what this machine gave, and what bounds it here."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.figures import summarise
from benchmarks.numbers import figure
from benchmarks.records import Run

__all__ = ["ROWS", "Row", "table"]

Where = tuple[str, str, str, str]
"""Workload, case, subject, metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation of the seed's table.

    Attributes:
        operation: its name there.
        p50_ms: the seed's median.
        p99_ms: the seed's 99th percentile.
        per_second: the seed's throughput.
        p50: where ours is measured.
        p99: likewise.
        rate: likewise.
        limits: what the machine itself allows: (words, where it is measured).
        bound_by: what bounds ours.
    """

    operation: str
    p50_ms: float
    p99_ms: float
    per_second: int
    p50: Where | None
    p99: Where | None
    rate: Where | None
    limits: tuple[tuple[str, Where], ...]
    bound_by: str


ROWS: tuple[Row, ...] = (
    Row(
        operation="Event Write",
        p50_ms=0.5,
        p99_ms=2.1,
        per_second=50_000,
        p50=("writers", "1 writer, expected version", "ours", "p50"),
        p99=("writers", "1 writer, expected version", "ours", "p99"),
        rate=("bulk_append", "10 events a stream", "ours", "events_per_second"),
        limits=(
            ("commit, ms", ("limits", "commit", "raw", "p50")),
            ("COPY, events/s", ("bulk_append", "10 events a stream", "raw", "events_per_second")),
        ),
        bound_by="one event: round trips and the commit's fsync; many: the server's work for a row and its indexes",
    ),
    Row(
        operation="Event Read",
        p50_ms=0.2,
        p99_ms=0.8,
        per_second=100_000,
        p50=("read_stream", "10 events", "ours", "p50"),
        p99=("read_stream", "10 events", "ours", "p99"),
        rate=("read_stream", "1,000 events", "ours", "events_per_second"),
        limits=(("round trip, ms", ("limits", "round trip", "raw", "p50")),),
        bound_by="two round trips (the stream's id, then its events), and making records of rows in Python",
    ),
    Row(
        operation="State Reconstruction",
        p50_ms=5.2,
        p99_ms=15.8,
        per_second=5_000,
        p50=("rebuild_object", "1,000 events", "ours", "milliseconds"),
        p99=None,
        rate=None,
        limits=(("round trip, ms", ("limits", "round trip", "raw", "p50")),),
        bound_by="the number of events since the newest snapshot",
    ),
    Row(
        operation="Snapshot Creation",
        p50_ms=45,
        p99_ms=120,
        per_second=200,
        p50=("snapshot_tail", "take a snapshot", "ours", "milliseconds"),
        p99=None,
        rate=None,
        limits=(("commit, ms", ("limits", "commit", "raw", "p50")),),
        bound_by="one fold and one commit; automatic snapshots are copied from the row, within the write",
    ),
    Row(
        operation="Index Query",
        p50_ms=0.8,
        p99_ms=3.2,
        per_second=25_000,
        p50=None,
        p99=None,
        rate=None,
        limits=(("round trip, ms", ("limits", "round trip", "raw", "p50")),),
        bound_by="not measured yet: index() comes with a later issue",
    ),
)


def table(run: Run) -> str:
    """Write the table."""
    lines = [
        "| operation | seed p50 / p99 ms | seed ops/s | here p50 / p99 ms | here ops/s | machine's limit | bound by |",
        "| --- | ---: | ---: | ---: | ---: | --- | --- |",
    ]
    for row in ROWS:
        limits = ", ".join(f"{words} {_value(run, where)}" for words, where in row.limits)
        lines.append(
            f"| {row.operation} | {row.p50_ms:g} / {row.p99_ms:g} | {row.per_second:,} "
            f"| {_value(run, row.p50)} / {_value(run, row.p99)} | {_value(run, row.rate)} | {limits} | {row.bound_by} |"
        )
    return "\n".join(lines)


def _value(run: Run, where: Where | None) -> str:
    samples = run.samples(*where) if where is not None else None
    return figure(summarise(samples).median) if samples else "–"
