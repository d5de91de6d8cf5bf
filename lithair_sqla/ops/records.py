"""What an inspection and a health check answer with: frozen records that print well and turn into JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from lithair_sqla.types import Event, StreamId

__all__ = [
    "AggregateReport",
    "MaintenanceRecommendation",
    "PerformanceMetrics",
    "SnapshotInfo",
    "StorageHealthReport",
]


class SnapshotInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot, without its state.

    Attributes:
        version: of the last event in it.
        position: of that event.
        size_bytes: of the state as the database keeps it.
        created_at: when it was taken.
    """

    version: int
    position: int
    size_bytes: int
    created_at: datetime


class AggregateReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one stream holds.

    Attributes:
        stream: which.
        status: ``open``, ``deleted`` or ``forgotten``.
        events: how many.
        size_bytes: of the events as the database keeps them, indexes left out.
        version: of the newest event.
        snapshots: newest first.
        last_event: the newest event.
        integrity: what is wrong with it, one sentence each; ``None`` where nobody asked.
    """

    stream: StreamId
    status: str
    events: int
    size_bytes: int
    version: int
    snapshots: tuple[SnapshotInfo, ...]
    last_event: Event | None
    integrity: tuple[str, ...] | None = None


class PerformanceMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How fast the store answers, and how far its readers in order can see.

    Attributes:
        avg_write_latency_ms: of a few probe appends, rolled back; ``None`` where none is possible: for a role that only
            reads, on a standby, or until what the recommendations say is mended.
        avg_read_latency_ms: of reading the newest events.
        horizon_lag_positions: positions drawn that readers in order cannot pass yet.
        events_per_second: lately, by the newest thousand events; ``None`` where there are fewer than two.
    """

    avg_write_latency_ms: float | None
    avg_read_latency_ms: float
    horizon_lag_positions: int
    events_per_second: float | None


class MaintenanceRecommendation(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do, and how.

    Attributes:
        code: stable, such as ``partition-headroom``.
        severity: ``error``, ``warning`` or ``advice``.
        message: what was found.
        action: the statement or command that mends it.
    """

    code: str
    severity: str
    message: str
    action: str


class StorageHealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a store does.

    Attributes:
        total_events: by the database's statistics; counted in deep mode.
        total_size_bytes: of all the library's tables with their indexes.
        corruption_detected: something in the log contradicts something else.
        index_consistency: every index of the log is there and valid.
        snapshot_validity: every snapshot looked at is of an event that is there (deep: and equals the fold).
        performance_metrics: how fast it answers.
        recommendations: what to do, most urgent first.
        deep: whether everything was looked at, or what is cheap to look at.
    """

    total_events: int
    total_size_bytes: int
    corruption_detected: bool
    index_consistency: bool
    snapshot_validity: bool
    performance_metrics: PerformanceMetrics
    recommendations: tuple[MaintenanceRecommendation, ...]
    deep: bool

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken and nothing of the recommendations is an error."""
        return (
            not self.corruption_detected
            and self.index_consistency
            and self.snapshot_validity
            and all(item.severity != "error" for item in self.recommendations)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain | {"healthy": self.healthy}
