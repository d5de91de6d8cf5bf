"""What a health check looks for: one function a condition, each answering with the recommendations that it finds due.

All read the catalogs and the newest rows only, so that a check is cheap on a log of any size; conditions that cost a
scan belong to deep mode (see ``health``).
"""

from __future__ import annotations

from typing import Final

from lithair_sqla.ops.findings.capture import functions_current, guards_standing, shapes_recorded
from lithair_sqla.ops.findings.log import horizon_held, indexes_present, partition_headroom, sequence_ahead
from lithair_sqla.ops.findings.looking import Finding, Looking
from lithair_sqla.ops.findings.upkeep import keys_expired, little_bloat, snapshots_fresh, snapshots_sound

__all__ = ["FINDINGS", "Looking"]

FINDINGS: Final[tuple[Finding, ...]] = (
    functions_current,
    sequence_ahead,
    partition_headroom,
    guards_standing,
    indexes_present,
    horizon_held,
    shapes_recorded,
    little_bloat,
    snapshots_fresh,
    snapshots_sound,
    keys_expired,
)
"""Every condition, most urgent first."""
