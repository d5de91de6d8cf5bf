"""Reading: a stream's versions either way, all events in order up to the horizon, streams by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from lithair_sqla.errors import OptionError, OrderedReadError
from lithair_sqla.store import EventStore
from lithair_sqla.types import Event, NewEvent, StreamAppend, StreamId, StreamInfo, StreamStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

ACCOUNT = ("Account", "42")


def numbered(count: int, *, start: int = 1) -> list[NewEvent]:
    return [NewEvent("Counted", {"number": number}) for number in range(start, start + count)]


def versions(events: list[Event]) -> list[int]:
    return [event.version for event in events]


def fill(store: EventStore) -> EventStore:
    """Write a stream of ten events, among others."""
    store.append(("Account", "41"), numbered(3))
    store.append(ACCOUNT, numbered(5))
    store.append(("Account", "43"), numbered(3))
    store.append(ACCOUNT, numbered(5, start=6))
    return store


@pytest.fixture
def ten(connection: Connection) -> EventStore:
    """A stream of ten events, among others, committed."""
    store = fill(EventStore(connection))
    connection.commit()
    return store


@pytest.fixture
def open_ten(scratch: EventStore) -> EventStore:
    """The same, not committed."""
    return fill(scratch)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, list(range(1, 11))),
        ({"from_version": 4}, [4, 5, 6, 7, 8, 9, 10]),
        ({"to_version": 3}, [1, 2, 3]),
        ({"from_version": 4, "to_version": 6}, [4, 5, 6]),
        ({"limit": 2}, [1, 2]),
        ({"from_version": 9, "limit": 5}, [9, 10]),
        ({"backwards": True}, list(range(10, 0, -1))),
        ({"backwards": True, "limit": 3}, [10, 9, 8]),
        ({"backwards": True, "to_version": 5, "limit": 2}, [5, 4]),
        ({"backwards": True, "from_version": 8}, [10, 9, 8]),
        ({"from_version": 11}, []),
        ({"from_version": 7, "to_version": 6}, []),
        ({"to_version": 99}, list(range(1, 11))),
        ({"limit": 0}, []),
    ],
)
def test_a_range_of_a_stream(open_ten: EventStore, options: dict[str, Any], expected: list[int]) -> None:
    assert versions(open_ten.read_stream(ACCOUNT, **options)) == expected
    if "limit" not in options:
        assert [event.version for event in open_ten.iter_stream(ACCOUNT, **options, page=3)] == expected


def test_a_stream_that_is_not_there_is_empty(open_ten: EventStore) -> None:
    assert open_ten.read_stream(("Account", "none")) == []
    assert list(open_ten.iter_stream(("Nothing", "42"))) == []
    assert open_ten.stream(("Account", "none")) is None


@pytest.mark.parametrize(
    "options", [{"from_version": 0}, {"to_version": 0}, {"limit": -1}, {"limit": True}, {"from_version": "1"}]
)
def test_a_range_that_is_none_is_refused(open_ten: EventStore, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        open_ten.read_stream(ACCOUNT, **options)


def test_a_walk_through_a_stream_ends_where_the_stream_was_at_its_start(ten: EventStore) -> None:
    walk = ten.iter_stream(ACCOUNT, page=4)
    first = next(walk)
    ten.append(ACCOUNT, numbered(5, start=11))
    assert [first.version, *(event.version for event in walk)] == list(range(1, 11))


def test_a_page_is_a_statement_and_a_stream_two(
    ten: EventStore, library: Engine, count_statements: Callable[..., Any]
) -> None:
    with count_statements(library) as counted:
        ten.read_stream(ACCOUNT)
    assert len(counted) == 2
    with count_statements(library) as counted:
        list(ten.iter_stream(ACCOUNT, page=4))
    assert len(counted) == 1 + 3


def test_what_an_event_holds_is_what_python_gave(ten: EventStore) -> None:
    now = datetime.now(UTC)
    ten.append(
        ("Value", "1"), NewEvent("Set", {"price": Decimal("12.500"), "tags": ["a", None], "at": now}, meta={"n": 1})
    )
    [event] = ten.read_stream(("Value", "1"))
    assert event.data == {"price": 12.5, "tags": ["a", None], "at": now.isoformat().replace("+00:00", "Z")}
    assert event.meta == {"n": 1}
    assert event.payload is None
    assert abs(event.recorded_at - now) < timedelta(minutes=5)


def test_numbers_are_exact_where_asked(ten: EventStore, connection: Connection) -> None:
    ten.append(("Value", "1"), NewEvent("Set", {"price": Decimal("12.500"), "big": 10**400, "count": 3}))
    exact = EventStore(connection, exact_numbers=True)
    [event] = exact.read_stream(("Value", "1"))
    assert (str(event.data["price"]), event.data["big"], event.data["count"]) == ("12.500", 10**400, 3)
    assert exact.load(("Value", "1")).state == event.data


def test_a_number_that_no_float_holds_is_read_all_the_same(ten: EventStore, connection: Connection) -> None:
    huge = "1" + "0" * 400 + ".5"
    connection.exec_driver_sql(
        'SELECT lithair_append(0, \'[{"n":"Value","k":"1","c":1,"e":-2}]\', '
        f'\'[{{"s":1,"o":1,"k":"u","t":"Set","v":1,"d":{{"x":{huge},"y":0.5,"z":{"9" * 5000}}}}}]\')'
    )
    [event] = ten.read_stream(("Value", "1"))
    assert event.data == {"x": Decimal(huge), "y": 0.5, "z": Decimal("9" * 5000)}


# ------------------------------------------------------------------------------------------------- all, in order


def test_all_events_come_in_the_order_of_their_positions(ten: EventStore) -> None:
    events = ten.read_all()
    assert [event.position for event in events] == list(range(1, 17))
    assert [event.stream.key for event in events] == ["41"] * 3 + ["42"] * 5 + ["43"] * 3 + ["42"] * 5
    assert list(ten.iter_all(page=5)) == events


def test_reading_goes_on_after_the_last_event_read(ten: EventStore) -> None:
    read: list[int] = []
    while events := ten.read_all(after=read[-1] if read else 0, limit=5):
        read += [event.position for event in events]
    assert read == list(range(1, 17))
    assert ten.read_all(after=100) == []
    assert ten.read_all(limit=0) == []


def test_only_some_names_or_types(ten: EventStore, connection: Connection) -> None:
    ten.append(("Other", "1"), [NewEvent("Seen"), NewEvent("Counted")])
    connection.commit()
    assert [event.position for event in ten.read_all(names=["Other"])] == [17, 18]
    assert [event.position for event in ten.read_all(types={"Seen"})] == [17]
    assert [event.position for event in ten.read_all(names=("Other",), types=["Counted"])] == [18]
    assert [event.position for event in ten.iter_all(types=["Seen", "Counted"], after=15, page=2)] == [16, 17, 18]
    assert ten.read_all(names=[]) == []


@pytest.mark.parametrize(
    "options", [{"after": -1}, {"limit": -1}, {"names": "Account"}, {"types": [1]}, {"names": ["a\0"]}, {"after": 1.5}]
)
def test_a_wrong_option_of_an_ordered_read_is_refused(open_ten: EventStore, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        open_ten.read_all(**options)


def test_the_horizon_of_an_empty_log_is_0(store: EventStore) -> None:
    assert store.horizon() == 0
    assert store.read_all() == []


def test_nothing_is_read_beyond_an_open_transaction(library: Engine, ten: EventStore) -> None:
    with library.connect() as slow, library.connect() as fast:
        EventStore(slow).append(("Account", "slow"), numbered(1))
        EventStore(fast).append(("Account", "fast"), numbered(1))
        fast.commit()
        assert ten.horizon() == 16
        assert ten.read_all(after=16) == []
        slow.commit()
        assert [event.stream.key for event in ten.read_all(after=16)] == ["slow", "fast"]


def test_a_rolled_back_transaction_holds_nobody_back(library: Engine, ten: EventStore) -> None:
    with library.connect() as slow, library.connect() as fast:
        EventStore(slow).append(("Account", "slow"), numbered(1))
        EventStore(fast).append(("Account", "fast"), numbered(1))
        fast.commit()
        slow.rollback()
        assert ten.horizon() == 18
        assert [event.position for event in ten.read_all(after=16)] == [18]


def test_a_rolled_back_savepoint_takes_back_what_it_held(library: Engine, ten: EventStore) -> None:
    with library.connect() as slow, library.connect() as fast:
        store = EventStore(slow)
        savepoint = slow.begin_nested()
        store.append(("Account", "slow"), numbered(1))
        savepoint.rollback()
        EventStore(fast).append(("Account", "fast"), numbered(1))
        fast.commit()
        assert ten.horizon() == 18
        store.append(("Account", "slow"), numbered(1))
        assert ten.horizon() == 18
        slow.commit()
        assert [event.position for event in ten.read_all(after=16)] == [18, 19]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_order_is_not_readable_from_an_old_snapshot(library: Engine, level: Any) -> None:
    with library.connect().execution_options(isolation_level=level) as connection:
        store = EventStore(connection)
        for read in (store.read_all, store.horizon, lambda: next(store.iter_all())):
            with pytest.raises(OrderedReadError, match="READ COMMITTED"), connection.begin_nested():
                read()
        assert store.read_stream(ACCOUNT) == []


def test_order_is_readable_in_autocommit(library: Engine, ten: EventStore) -> None:
    with library.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert len(EventStore(connection).read_all()) == 16


# ------------------------------------------------------------------------------------------------- streams


def test_what_is_known_of_a_stream(ten: EventStore) -> None:
    found = ten.stream(ACCOUNT)
    assert found is not None
    assert found == StreamInfo(StreamId("Account", "42"), 10, StreamStatus.OPEN, found.first_position, None)
    assert 0 < found.first_position <= 4


def test_streams_of_a_name_in_the_order_of_their_keys(open_ten: EventStore) -> None:
    open_ten.append_streams([StreamAppend(StreamId("Other", key), numbered(1)) for key in ("b", "é", "a", "", "B")])
    keys = ["", "B", "a", "b", "é"]
    assert [info.stream.key for info in open_ten.streams("Other")] == keys
    assert [info.stream.key for info in open_ten.streams("Other", limit=2)] == keys[:2]
    assert [info.stream.key for info in open_ten.streams("Other", after_key="B", limit=2)] == keys[2:4]
    assert [info.stream.key for info in open_ten.iter_streams("Other", page=2)] == keys
    assert open_ten.streams("None") == []


@pytest.mark.parametrize("page", [0, -1, "1"])
def test_a_page_that_holds_nothing_is_refused(open_ten: EventStore, page: Any) -> None:
    for walk in (
        open_ten.iter_stream(ACCOUNT, page=page),
        open_ten.iter_all(page=page),
        open_ten.iter_streams("Account", page=page),
    ):
        with pytest.raises(OptionError):
            next(walk)
