"""Streams, expectations and events on their way to the database."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from lithair_sqla.errors import InvalidEventError
from lithair_sqla.store.batch import Batch
from lithair_sqla.store.copy_rows import CopyRows, Origin, Reservation
from lithair_sqla.store.encoding import encode_events, stream_of
from lithair_sqla.types import Kind, NewEvent, StreamId

ONE, TWO = StreamId("Account", "1"), StreamId("Account", "2")
RESERVED = Reservation([7, 8], [10, 0], 100, 100, None, 1_700_000_000_000_000)
NOBODY = Origin(0, "ana", None, None, None, None)


def test_a_pair_is_a_stream_of_the_stores_tenant() -> None:
    assert stream_of(("Account", "1"), tenant=3) == StreamId("Account", "1", 3)
    assert stream_of(ONE, tenant=0) is ONE


def test_an_event_is_encoded_once_and_knows_its_size() -> None:
    [event] = encode_events(ONE, [NewEvent("Set", {"a": Decimal("1.50")}, {"b": [1]}, meta={"c": None})])
    assert (event.data, event.payload, event.meta) == (b'{"a":1.50}', b'{"b":[1]}', b'{"c":null}')
    assert event.size_bytes == 10 + 9 + 10


def test_an_event_without_data_stores_none() -> None:
    [event] = encode_events(ONE, [NewEvent("Set")])
    assert (event.data, event.payload, event.meta, event.size_bytes) == (None, None, None, 0)


# ------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize(
    ("first", "again", "joins"),
    [
        (0, 2, True),
        (3, 5, True),
        (3, -1, True),
        (3, -2, True),
        (-1, -2, True),
        (3, 4, False),
        (3, 0, False),
        (-2, 2, False),
    ],
)
def test_a_stream_joins_a_batch_again_where_its_first_events_leave_it(first: int, again: int, joins: bool) -> None:  # noqa: FBT001
    batch = Batch()
    assert batch.takes(ONE, first)
    batch.add(ONE, first, [NewEvent("Set")] * 2)
    assert batch.takes(ONE, again) is joins
    assert batch.takes(TWO, again)


def test_a_batch_tells_each_streams_last_status() -> None:
    batch = Batch()
    note, end = NewEvent("Seen", kind=Kind.NOTE), NewEvent("Closed", kind=Kind.DELETE)
    batch.add(ONE, -2, [NewEvent("Set"), end, note])
    batch.add(TWO, 0, [note])
    assert msgspec.json.decode(batch.streams_json(with_status=True)) == [
        {"n": "Account", "k": "1", "c": 3, "e": -2, "l": 1},
        {"n": "Account", "k": "2", "c": 1, "e": 0},
    ]
    assert "l" not in msgspec.json.decode(batch.streams_json(with_status=False))[0]
    batch.add(ONE, -2, [NewEvent("Set")])
    assert msgspec.json.decode(batch.streams_json(with_status=True))[0] == {
        "n": "Account",
        "k": "1",
        "c": 4,
        "e": -2,
        "l": 0,
    }


def test_the_events_of_a_batch_keep_the_order_given() -> None:
    batch = Batch()
    batch.add(ONE, -2, [NewEvent("A"), NewEvent("B", {"n": 1})])
    batch.add(TWO, -2, [NewEvent("C", event_id=UUID(int=1), schema_version=2)])
    batch.add(ONE, -2, [NewEvent("D", kind=Kind.NOTE)])
    assert msgspec.json.decode(batch.events_json()) == [
        {"s": 1, "o": 1, "k": "u", "t": "A", "v": 1},
        {"s": 1, "o": 2, "k": "u", "t": "B", "v": 1, "d": {"n": 1}},
        {"s": 2, "o": 1, "k": "u", "t": "C", "v": 2, "i": "00000000-0000-0000-0000-000000000001"},
        {"s": 1, "o": 3, "k": "n", "t": "D", "v": 1},
    ]


# ------------------------------------------------------------------------------------------------- COPY


def fields_of(rows: CopyRows) -> list[list[bytes | None]]:
    """Take PostgreSQL's binary format apart again."""
    data = b"".join(rows)
    assert data.startswith(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    assert data.endswith(b"\xff\xff")
    place, found = 19, []
    while data[place : place + 2] != b"\xff\xff":
        count, place, row = int.from_bytes(data[place : place + 2]), place + 2, list[bytes | None]()
        for _ in range(count):
            size, place = int.from_bytes(data[place : place + 4], signed=True), place + 4
            row.append(None if size < 0 else data[place : place + size])
            place += max(size, 0)
        found.append(row)
    assert place == len(data) - 2
    return found


def test_rows_hold_only_the_columns_that_are_used() -> None:
    batch = Batch()
    batch.add(ONE, -2, [NewEvent("Set", {"n": 1})])
    rows = CopyRows(batch, RESERVED, NOBODY)
    shared = ["transaction_id", "recorded_at", "tenant_id", "actor"]
    assert rows.columns == ["position", "stream_id", "version", "kind", "schema_version", "type", "data", *shared]
    [row] = fields_of(rows)
    assert len(row) == len(rows.columns)
    assert [int.from_bytes(field or b"") for field in row[:3]] == [100, 7, 11]
    assert row[3:7] == [b"u", b"\0\1", b"Set", b'\1{"n":1}']
    full = CopyRows(batch, RESERVED, Origin(0, "ana", 9, UUID(int=1), UUID(int=2), b'{"a":1}'))
    assert full.columns == [*rows.columns[:7], "meta", *shared, "node_id", "correlation_id", "causation_id"]
    assert fields_of(full)[0][7] == b'\1{"a":1}'


def test_positions_follow_the_reservation_and_versions_the_stream() -> None:
    batch = Batch()
    batch.add(ONE, -2, [NewEvent("A"), NewEvent("B", payload={})])
    batch.add(TWO, -2, [NewEvent("C", event_id=UUID(int=5))])
    batch.add(ONE, -2, [NewEvent("D")])

    def places(reservation: Reservation) -> list[list[int]]:
        return [
            [int.from_bytes(field or b"") for field in row[:3]]
            for row in fields_of(CopyRows(batch, reservation, NOBODY))
        ]

    assert places(RESERVED) == [[100, 7, 11], [101, 7, 12], [102, 8, 1], [103, 7, 13]]
    gapped = RESERVED._replace(positions=[100, 105, 106, 200])
    assert [row[0] for row in places(gapped)] == [100, 105, 106, 200]
    rows = CopyRows(batch, RESERVED, NOBODY)
    payload, event_id = rows.columns.index("payload"), rows.columns.index("event_id")
    assert [row[payload] for row in fields_of(rows)] == [None, b"\1{}", None, None]
    assert [row[event_id] for row in fields_of(rows)] == [None, None, UUID(int=5).bytes, None]


@pytest.mark.parametrize("event", [None, 3, NewEvent("Set", {"a": float("inf")})])
def test_a_bad_event_is_named_while_it_is_packed(event: Any) -> None:
    batch = Batch()
    batch.add(TWO, -2, [NewEvent("Set"), event], first_index=20)
    with pytest.raises(InvalidEventError, match=r"event 21 .*for Account\(2\)|event 21 for Account\(2\)"):
        list(CopyRows(batch, RESERVED, NOBODY))
