"""The proof that a subject wrote the history that it was measured at."""

from __future__ import annotations

from benchmarks.subjects.interfaces import Orm

__all__ = ["check_history"]


def check_history(orm: Orm, expected: int) -> None:
    """Count what a subject recorded.

    Args:
        orm: the subject's models.
        expected: changes that were committed.

    Raises:
        AssertionError: another number stands in its history.
    """
    if orm.recorded is None:
        return
    with orm.engine.connect() as connection:
        found = orm.recorded(connection)
    if found != expected:
        raise AssertionError(f"{found:,} changes recorded of {expected:,}")
