"""The sequence of positions against the log: it must stand at or above the highest position that was written.

A logical upgrade, or a restore table by table, does not carry sequences: positions would then be given twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lithair_sqla.errors import SchemaError
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.names import literal
from lithair_sqla.store.execution import Channel

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["check_sequence"]


def check_sequence(connection: Connection, *, config: StorageConfig | None = None) -> None:
    """Check that no position can be drawn a second time; cheap, meant for the start of a program.

    Args:
        connection: on the store's database.
        config: which store.

    Raises:
        SchemaError: the sequence stands below the log; the message has the statement that mends it.
    """
    channel = Channel(connection, config or StorageConfig())
    last, is_called, highest = channel.row(channel.statements.sequence)
    drawn = last if is_called else last - 1
    if highest is not None and drawn < highest:
        sequence = channel.names.object("position")
        raise SchemaError(
            f"the sequence {sequence} stands at {drawn:,}, below the log's highest position {highest:,}, so that "
            "positions would be given twice (a restore that did not carry sequences?): run "
            f"SELECT setval({literal(sequence)}, {highest}) before anything is written"
        )
