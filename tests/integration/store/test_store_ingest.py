"""Bulk ingest: by COPY for the log's owner, by the append for everybody else, under one set of rules."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import MetaData, text
from sqlalchemy.exc import IntegrityError

from lithair_sqla import context
from lithair_sqla.errors import ConcurrencyError, InvalidEventError, OptionError, StoreError, WriteRefusedError
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.create import grant
from lithair_sqla.store import EventStore, IngestSummary, batch, ingest
from lithair_sqla.store.copy_rows import CopyRows, Origin, Reservation
from lithair_sqla.types import Event, ExpectedVersion, Kind, NewEvent, StreamAppend, StreamId, StreamStatus

if TYPE_CHECKING:
    from sqlalchemy import Engine

pytestmark = pytest.mark.usefixtures("sound")


@pytest.fixture(params=["copy", "append"])
def writer(request: pytest.FixtureRequest, library: Engine, role: Callable[..., Engine]) -> Engine:
    """An engine of the log's owner, whose road is COPY; and one of an application's role, whose road is the append."""
    if request.param == "copy":
        return library
    application = role()
    with library.begin() as connection:
        grant(connection, MetaData(), application.url.username or "")
    return application


@pytest.fixture
def bulk(writer: Engine) -> Iterator[EventStore]:
    with writer.connect() as connection:
        yield EventStore(connection)


def of(key: str, *numbers: int, expected: int = ExpectedVersion.ANY) -> StreamAppend:
    return StreamAppend(StreamId("Meter", key), [NewEvent("Read", {"n": number}) for number in numbers], expected)


def read(store: EventStore) -> list[tuple[int, str, int, Any]]:
    """Commit, and read what stands in the log."""
    store._channel.connection.commit()
    return [(event.position, event.stream.key, event.version, event.data.get("n")) for event in store.read_all()]


def test_the_road_is_copy_where_the_role_may_write_to_the_log(
    bulk: EventStore, writer: Engine, library: Engine
) -> None:
    assert type(ingest._road(bulk._channel)).__name__ == ("_CopyRoad" if writer is library else "_AppendRoad")


def test_events_stand_in_the_order_given_across_batches(bulk: EventStore) -> None:
    appends = [
        of(key, *numbers) for key, numbers in (("b", (1, 2)), ("a", (3,)), ("b", (4,)), ("c", (5, 6, 7)), ("a", (8,)))
    ]
    progress: list[int] = []
    assert bulk.append_many(iter(appends), batch_size=3, progress=progress.append) == IngestSummary(8, 4, 1, 8)
    assert progress == [3, 4, 7, 8]
    assert read(bulk) == [
        (1, "b", 1, 1),
        (2, "b", 2, 2),
        (3, "a", 1, 3),
        (4, "b", 3, 4),
        (5, "c", 1, 5),
        (6, "c", 2, 6),
        (7, "c", 3, 7),
        (8, "a", 2, 8),
    ]


def test_everything_an_event_carries_comes_back(bulk: EventStore) -> None:
    own, correlation, causation = (UUID(int=number) for number in (1, 2, 3))
    config = StorageConfig(node_id=9)
    full = NewEvent(
        "Moved",
        {"x": Decimal("1.50")},
        {"by": "é"},
        schema_version=7,
        event_id=own,
        meta={"host": "a", "shared": "event"},
    )
    events = [full, NewEvent("Seen", kind=Kind.NOTE, meta={}), NewEvent("Closed", kind=Kind.DELETE)]
    with context(user_id="ana", correlation_id=correlation, causation_id=causation, meta={"app": "x", "shared": "ctx"}):
        store = EventStore(bulk._channel.connection, config=config, exact_numbers=True)
        store.append_many([StreamAppend(StreamId("Meter", "1"), events)])
        store.append(("Meter", "2"), events[0])
    moved, seen, closed = store.read_stream(("Meter", "1"))
    assert (moved.type, moved.kind, moved.schema_version, moved.event_id) == ("Moved", Kind.UPDATE, 7, own)
    assert (str(moved.data["x"]), moved.payload, moved.node_id) == ("1.50", {"by": "é"}, 9)
    assert (moved.actor, moved.correlation_id, moved.causation_id) == ("ana", correlation, causation)
    assert (moved.meta, seen.meta) == ({"app": "x", "host": "a", "shared": "event"}, {"app": "x", "shared": "ctx"})
    assert (seen.data, seen.payload, seen.kind, closed.kind) == ({}, None, Kind.NOTE, Kind.DELETE)
    assert moved.transaction_id == moved.position == 1

    def without_place(event: Event) -> tuple[Any, ...]:
        return event.type, event.data, event.payload, event.meta, event.actor, event.schema_version, event.event_id

    [appended] = store.read_stream(("Meter", "2"))
    assert without_place(appended) == without_place(moved)
    info = store.stream(("Meter", "1"))
    assert info is not None
    assert info.status is StreamStatus.DELETED


def test_without_a_context_the_actor_is_the_session_user(bulk: EventStore) -> None:
    bulk.append_many([of("1", 1)])
    [event] = bulk.read_stream(("Meter", "1"))
    assert event.actor == bulk._channel.connection.exec_driver_sql("SELECT session_user").scalar()
    assert event.recorded_at.tzinfo is not None


def test_a_deleted_stream_is_opened_again(bulk: EventStore) -> None:
    closed = NewEvent("Closed", kind=Kind.DELETE)
    bulk.append_many([StreamAppend(StreamId("Meter", key), [closed]) for key in "ab"])
    bulk.append_many([of("a", 1), StreamAppend(StreamId("Meter", "b"), [NewEvent("Seen", kind=Kind.NOTE)])])
    assert [info.status for info in bulk.streams("Meter")] == [StreamStatus.OPEN, StreamStatus.DELETED]


@pytest.mark.parametrize(
    ("expected", "fits"),
    [
        ((0, 2), True),
        ((0, ExpectedVersion.EXISTS), True),
        ((ExpectedVersion.ANY, 2), True),
        ((ExpectedVersion.NO_STREAM, ExpectedVersion.ANY), True),
        ((0, 3), False),
        ((0, 0), False),
        ((1, 2), False),
        ((ExpectedVersion.EXISTS, 2), False),
        ((ExpectedVersion.ANY, 1), False),
    ],
)
def test_a_stream_that_comes_again_is_where_its_first_events_left_it(
    bulk: EventStore,
    expected: tuple[int, int],
    fits: bool,  # noqa: FBT001 - a parameter
) -> None:
    for batch_size in (1, 3, 100):
        one, two = (f"{batch_size}-{number}" for number in (1, 2))
        appends = [of(one, 1, 2, expected=expected[0]), of(two, 3), of(one, 4, expected=expected[1])]
        if fits:
            bulk.append_many(appends, batch_size=batch_size)
            assert [event.data["n"] for event in bulk.read_stream(("Meter", one))] == [1, 2, 4]
        else:
            with pytest.raises(ConcurrencyError):
                bulk.append_many(appends, batch_size=batch_size)
            assert bulk.streams("Meter") == []
    bulk._channel.connection.commit()


def test_conflicts_are_found_before_a_position_is_drawn(bulk: EventStore) -> None:
    bulk.append_many([of("1", 1), of("2", 2)])
    for appends in (
        [of("3", 1, expected=0), of("2", 1, expected=0), of("1", 1, expected=0)],
        [of("3", 1), of("2", 1, expected=5), of("1", 1, expected=0)],
    ):
        with pytest.raises(ConcurrencyError) as caught:
            bulk.append_many(appends)
        assert [(conflict.stream.key, conflict.actual) for conflict in caught.value.conflicts] == [("2", 1), ("1", 1)]
    assert bulk.append(("Meter", "3"), NewEvent("Read")).positions == (3,)


def test_an_error_late_in_the_ingest_leaves_nothing_of_it_and_the_transaction_usable(bulk: EventStore) -> None:
    bulk.append(("Meter", "0"), NewEvent("Read"))

    def appends() -> Iterator[StreamAppend]:
        for number in range(20):
            yield of(str(number), number, number)
        yield StreamAppend(StreamId("Meter", "x"), [NewEvent("Read"), NewEvent("Read", {"n": float("nan")})])

    with pytest.raises(InvalidEventError, match=r"event 1 \(Read\) for Meter\(x\) cannot be stored: data.n: nan"):
        bulk.append_many(appends(), batch_size=8)
    with pytest.raises(ZeroDivisionError):
        bulk.append_many((of(str(number), 1 // (9 - number)) for number in range(20)), batch_size=3)
    bulk.append(("Meter", "0"), NewEvent("Read"))
    assert [(key, version) for _, key, version, _ in read(bulk)] == [("0", 1), ("0", 2)]


def test_the_index_of_a_bad_event_is_the_callers(bulk: EventStore) -> None:
    events = [NewEvent("Read", {"n": number}) for number in range(10)]
    events[7] = NewEvent("Read", {"n": {1: 1}})
    with pytest.raises(InvalidEventError, match=r"event 7 \(Read\) for Meter\(1\)"):
        bulk.append_many([StreamAppend(StreamId("Meter", "1"), events)], batch_size=3)


@pytest.mark.parametrize("event", ["text", None, {"type": "Read"}])
def test_something_that_is_no_event_is_refused(bulk: EventStore, event: Any) -> None:
    with pytest.raises(InvalidEventError, match=r"event 0 for Meter\(1\) cannot be stored: a NewEvent is needed"):
        bulk.append_many([StreamAppend(StreamId("Meter", "1"), [event])])
    with pytest.raises(InvalidEventError, match="no events to append"):
        bulk.append_many([StreamAppend(StreamId("Meter", "1"), [])])


def test_nothing_to_ingest_is_nothing_done(bulk: EventStore) -> None:
    assert bulk.append_many([]) == IngestSummary(0, 0, None, None)


@pytest.mark.parametrize("batch_size", [0, -1, "1", True])
def test_a_wrong_batch_size_is_refused(bulk: EventStore, batch_size: Any) -> None:
    with pytest.raises(OptionError, match="batch_size"):
        bulk.append_many([], batch_size=batch_size)


def test_the_source_may_read_from_the_same_connection(bulk: EventStore) -> None:
    bulk.append_many([of(str(number), number) for number in range(50)])
    bulk._channel.connection.commit()
    copied = (
        StreamAppend(StreamId("Copy", event.stream.key), [NewEvent(event.type, event.data)])
        for event in bulk.iter_all(page=7)
    )
    assert bulk.append_many(copied, batch_size=9).events == 50


def test_autocommit_is_refused(writer: Engine) -> None:
    with (
        writer.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(StoreError, match="AUTOCOMMIT"),
    ):
        EventStore(connection).append_many([of("1", 1)])


def test_streams_of_a_table_take_notes_only(bulk: EventStore, library: Engine) -> None:
    with library.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO lithair_schemas (name, schema_version, relation, fingerprint, columns) "
                "VALUES ('Meter', 1, 'public.meter', 'x', '[]')"
            )
        )
    for expected in (0, ExpectedVersion.ANY):
        with pytest.raises(WriteRefusedError, match="the streams of Meter belong to a table"):
            bulk.append_many([of("1", 1, expected=expected)])
    note = StreamAppend(StreamId("Meter", "1"), [NewEvent("Seen", kind=Kind.NOTE)])
    assert bulk.append_many([note, StreamAppend(StreamId("Other", "1"), [NewEvent("Read")])]).events == 2


def test_large_events_make_small_batches(bulk: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_MAX_BATCH_BYTES", 1_000_000)
    large = NewEvent("Read", {"text": "x" * 100_000})
    sizes: list[int] = []
    bulk.append_many(
        (StreamAppend(StreamId("Meter", str(number)), [large]) for number in range(60)), progress=sizes.append
    )
    batches = [after - before for before, after in zip([0, *sizes], sizes, strict=False)]
    assert max(batches) <= 16
    assert sum(batches) == 60


def test_memory_does_not_grow_with_the_number_of_events(library: Engine) -> None:
    def peak(count: int) -> int:
        tracemalloc.reset_peak()
        with library.connect() as connection:
            EventStore(connection).append_many((of(str(number), number) for number in range(count)), batch_size=500)
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        peak(1_000)
        assert peak(10_000) < 2 * peak(2_000)
    finally:
        tracemalloc.stop()


def test_positions_drawn_by_others_in_between_leave_gaps_that_copy_follows(library: Engine) -> None:
    with library.connect() as connection:
        store = EventStore(connection)
        store.horizon()
        found = batch.Batch()
        for number in range(4):
            found.add(StreamId("Meter", str(number)), -2, [NewEvent("Read", {"n": number})])
        row = store._channel.row(store._channel.statements.reserve, (0, found.streams_json(with_status=True), 4, False))
        gapped = Reservation(*row)._replace(positions=[1, 3, 7, 8])
        rows = CopyRows(found, gapped, Origin(0, "ana", None, None, None, None))
        connection.exec_driver_sql("SELECT setval('lithair_position', 8)")
        names = ", ".join(f'"{name}"' for name in rows.columns)
        ingest._copy(store._channel.driver, f"COPY lithair_events ({names}) FROM STDIN (FORMAT BINARY)", rows)
        assert read(store) == [(1, "0", 1, 0), (3, "1", 1, 1), (7, "2", 1, 2), (8, "3", 1, 3)]


def _interleaving(engine: Engine, number: int) -> int:
    with engine.begin() as connection:
        appends = (of(f"{number}-{index % 50}", index) for index in range(4_000))
        return EventStore(connection).append_many(appends, batch_size=1_000).events


def test_ingests_side_by_side_interleave_their_positions(library: Engine, processes: Any) -> None:
    assert processes.run(4, _interleaving) == [4_000] * 4
    with library.connect() as connection:
        events = list(EventStore(connection).iter_all(page=5_000))
    assert len(events) == 16_000
    for number in range(4):
        numbers = [event.data["n"] for event in events if event.stream.key.startswith(f"{number}-")]
        assert numbers == list(range(4_000))


def test_an_ingest_role_needs_no_more_than_insert_and_reserve(library: Engine, role: Callable[..., Engine]) -> None:
    loader = role()
    with library.begin() as connection:
        grant(connection, MetaData(), loader.url.username or "")
        connection.execute(text(f"GRANT INSERT ON lithair_events TO {loader.url.username}"))
        connection.execute(
            text(f"GRANT EXECUTE ON FUNCTION lithair_reserve(int, json, int, boolean) TO {loader.url.username}")
        )
    with loader.begin() as connection:
        store = EventStore(connection)
        assert type(ingest._road(store._channel)).__name__ == "_CopyRoad"
        assert store.append_many([of("1", 1, 2)]).events == 2


def test_an_error_of_copy_is_raised_as_sqlalchemy_raises_it(library: Engine) -> None:
    with library.connect() as connection:
        store = EventStore(connection)
        store.append_many([of("1", 1)])
        connection.exec_driver_sql("UPDATE lithair_streams SET version = 0")
        with pytest.raises(IntegrityError, match="lithair_events"):
            store.append_many([of("1", 1)])
