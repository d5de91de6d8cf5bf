"""The subjects: one file each, which opens what its subject offers.

A subject that has models offers ``open_orm`` (an `Orm`: an engine and mapped classes with the same columns as everyone
else's); one that has a log of its own offers ``open_log`` (a `Log`: append, read, rebuild). Both take the database's
URL and whether the tables are to be made.
"""

from __future__ import annotations

from importlib import import_module

from benchmarks.subjects.interfaces import Log, Orm
from benchmarks.workload import NotPossible, Place

__all__ = ["open_log", "open_orm"]


def open_orm(place: Place) -> Orm:
    """Open a subject's models in its database.

    Raises:
        NotPossible: its package is not installed.
    """
    opened: Orm = _module(place.subject).open_orm(place.url, create=place.first)
    return opened


def open_log(place: Place, *, connections: int = 1) -> Log:
    """Open a subject's log in its database.

    Args:
        place: whose, and where.
        connections: how many the pool may hold.

    Raises:
        NotPossible: its package is not installed.
    """
    opened: Log = _module(place.subject).open_log(place.url, create=place.first, connections=connections)
    return opened


def _module(subject: str):  # type: ignore[no-untyped-def] # noqa: ANN202 - a module, whose functions are called above
    try:
        return import_module(f"benchmarks.subjects.{subject}")
    except ModuleNotFoundError as error:
        raise NotPossible(f"{error.name} is not installed") from error
