"""Settings that a table's text forms depend on, pinned around a statement as the guard has them pinned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from lithair_sqla.codec.values import ColumnValue

__all__ = ["pinned"]


@contextmanager
def pinned(connection: Connection, columns: Iterable[ColumnValue]) -> Iterator[None]:
    """Read some columns' values as the guard wrote them, whatever the caller's session says of dates, floats or money.

    Sends nothing where no column depends on a setting; the caller's settings are put back at the end.

    Args:
        connection: on the database; in a transaction the settings are local to it.
        columns: those whose text is going to be made or read.
    """
    wanted = dict(sorted({setting for column in columns for setting in column.settings}))
    if not wanted:
        yield
        return
    names = tuple(wanted)
    current = connection.exec_driver_sql(f"SELECT {', '.join(['current_setting(%s)'] * len(names))}", names).one()
    previous = {name: value for name, value in zip(names, current, strict=True) if value != wanted[name]}
    autocommit = bool(getattr(connection.connection.driver_connection, "autocommit", False))
    _set(connection, {name: wanted[name] for name in previous}, local=not autocommit)
    try:
        yield
    except BaseException:
        # A failed transaction takes its settings with it.
        if autocommit:
            _set(connection, previous, local=False)
        raise
    _set(connection, previous, local=not autocommit)


def _set(connection: Connection, settings: dict[str, str], *, local: bool) -> None:
    if settings:
        calls = ", ".join([f"set_config(%s, %s, {str(local).lower()})"] * len(settings))
        connection.exec_driver_sql(f"SELECT {calls}", tuple(part for pair in settings.items() for part in pair))
