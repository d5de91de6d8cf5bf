"""The check that no position can be given twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lithair_sqla.errors import SchemaError
from lithair_sqla.store import EventStore, check_sequence
from lithair_sqla.types import NewEvent

if TYPE_CHECKING:
    from sqlalchemy import Connection


def test_a_fresh_log_and_a_log_in_use_are_in_order(store: EventStore, connection: Connection) -> None:
    check_sequence(connection)
    store.append(("A", "1"), [NewEvent("Set")] * 3)
    check_sequence(connection)


@pytest.mark.parametrize("reset", ["SELECT setval('lithair_position', 2)", "ALTER SEQUENCE lithair_position RESTART"])
def test_a_sequence_below_the_log_is_found_and_the_statement_given_mends_it(
    store: EventStore, connection: Connection, reset: str
) -> None:
    store.append(("A", "1"), [NewEvent("Set")] * 3)
    connection.exec_driver_sql(reset)
    with pytest.raises(SchemaError, match="below the log's highest position 3") as caught:
        check_sequence(connection)
    found = re.search(r"run (SELECT setval\(.*?\)) before", str(caught.value))
    assert found is not None
    connection.exec_driver_sql(found[1])
    check_sequence(connection)
    assert store.append(("A", "1"), NewEvent("Set")).positions == (4,)
