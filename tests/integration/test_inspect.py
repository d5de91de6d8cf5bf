"""Looking at one stream, and at the lists of a store: what is there, and what contradicts something else."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, EventStore, NewEvent, Persistence, StorageConfig, StreamId, create_all
from lithair_sqla.errors import SchemaMissingError, StreamNotFoundError, WriteRefusedError
from lithair_sqla.ops.catalog import list_partitions, list_shapes, list_streams
from lithair_sqla.ops.inspect import find_streams, inspect_stream
from lithair_sqla.ops.presence import found_config
from lithair_sqla.ops.snapshots import take_snapshots


class Base(DeclarativeBase):
    pass


class Product(EventSourced, Base):
    __tablename__ = "product"
    __persistence__ = Persistence(snapshot_frequency=4)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    stock: Mapped[int] = mapped_column(default=0)


KEY = UUID("123e4567-e89b-12d3-a456-426614174000")
STREAM = StreamId("Product", str(KEY))


@pytest.fixture
def store(engine: Engine) -> Engine:
    create_all(engine, Base)
    with Session(engine) as session:
        session.add(Product(id=KEY, name="tea"))
        session.commit()
        for stock in range(1, 10):
            session.get_one(Product, KEY).stock = stock
            session.commit()
    return engine


def damage(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount > 0


# --------------------------------------------------------------------------------------------------- a stream


def test_a_stream_is_what_it_holds(store: Engine) -> None:
    with store.connect() as connection:
        report = inspect_stream(connection, STREAM)

    assert (report.stream, report.status, report.events, report.version) == (STREAM, "open", 10, 10)
    assert report.size_bytes > 500
    assert [snapshot.version for snapshot in report.snapshots] == [8, 4]
    assert all(snapshot.size_bytes > 0 for snapshot in report.snapshots)
    assert report.last_event is not None
    assert report.last_event.data == {"stock": 9}
    assert report.integrity is None


def test_a_whole_stream_has_nothing_wrong(store: Engine) -> None:
    with store.connect() as connection:
        assert inspect_stream(connection, STREAM, verify=True).integrity == ()


def test_a_deleted_stream_says_so(store: Engine) -> None:
    with Session(store) as session:
        session.delete(session.get_one(Product, KEY))
        session.commit()
    with store.connect() as connection:
        report = inspect_stream(connection, STREAM, verify=True)

    assert (report.status, report.events, report.integrity) == ("deleted", 11, ())


def test_an_unknown_stream_is_an_error(store: Engine) -> None:
    with store.connect() as connection, pytest.raises(StreamNotFoundError, match=r"stream Product\(nobody\)"):
        inspect_stream(connection, StreamId("Product", "nobody"))


def test_a_database_without_a_store_is_told_apart(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(SchemaMissingError, match="has no event store in schema"):
        inspect_stream(connection, STREAM)


def test_streams_of_every_name_are_found_by_their_key(store: Engine) -> None:
    with store.begin() as connection:
        EventStore(connection).append(("Basket", str(KEY)), NewEvent("Opened"))

    with store.connect() as connection:
        assert [stream.name for stream in find_streams(connection, str(KEY))] == ["Basket", "Product"]
        assert find_streams(connection, str(KEY), name="Product") == [STREAM]
        assert find_streams(connection, str(uuid4())) == []


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - damage on purpose
@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("DELETE FROM lithair_events WHERE version = 6", ["version 6 is missing"]),
        ("DELETE FROM lithair_events WHERE version = 10", ["the stream counts 10 events, its newest is version 9"]),
        (
            "UPDATE lithair_events SET position = position + 1000 WHERE version = 9",
            ["version 10 at position 10 comes before its predecessor at 1009"],
        ),
        (
            "UPDATE lithair_events SET transaction_id = 77 WHERE version = 9",
            ["version 9 at position 9 is of transaction 77, which began later"],
        ),
        (
            "UPDATE lithair_events SET data = '{\"stock\": 1000}' WHERE version = 8",
            ["the snapshot at version 8 is not what its events make"],
        ),
        (
            "UPDATE lithair_snapshots SET state = state || '{\"stock\": 1000}' WHERE version = 4",
            ["the snapshot at version 4 is not what its events make"],
        ),
    ],
)
def test_what_contradicts_something_else_is_named(store: Engine, statement: str, wrong: list[str]) -> None:
    damage(store, statement)

    with store.connect() as connection:
        found = inspect_stream(connection, STREAM, verify=True).integrity

    assert found is not None
    assert len(found) == len(wrong)
    assert all(said.startswith(expected) for said, expected in zip(found, wrong, strict=True)), found


# --------------------------------------------------------------------------------------------------- the lists


def test_names_of_streams_are_listed(store: Engine) -> None:
    with store.begin() as connection:
        EventStore(connection).append(("Basket", "1"), [NewEvent("Opened"), NewEvent("Filled")])
    with Session(store) as session:
        session.add(Product(id=uuid4(), name="coffee"))
        session.commit()
        session.delete(session.get_one(Product, KEY))
        session.commit()

    with store.connect() as connection:
        basket, product = list_streams(connection)

    assert (basket.name, basket.streams, basket.open, basket.events, basket.relation) == ("Basket", 1, 1, 2, None)
    assert (product.name, product.streams, product.open, product.events) == ("Product", 2, 1, 12)
    assert product.relation == '"public"."product"'


def test_partitions_are_listed_by_their_bounds(engine: Engine) -> None:
    create_all(engine, config=StorageConfig(partition_width=5000, partitions_ahead=2, schema="log"))
    with engine.begin() as connection:
        EventStore(connection, config=StorageConfig(schema="log")).append(("A", "1"), NewEvent("Opened"))

    with engine.connect() as connection:
        # Whoever asks need not know how wide they are.
        first, *rest = list_partitions(connection, config=StorageConfig(schema="log"))

    assert (first.schema, first.name) == ("log_lithair_parts", "lithair_events_p000000")
    assert [(leaf.low, leaf.high) for leaf in (first, *rest)] == [(0, 5000), (5000, 10000), (10000, 15000)]
    assert first.first_recorded_at is not None
    assert all(leaf.first_recorded_at is None for leaf in rest)
    assert all(leaf.size_bytes > 0 for leaf in rest)


def test_a_stores_configuration_is_found_in_the_database(engine: Engine) -> None:
    made = StorageConfig(partition_width=5000, partitions_ahead=2, schema="log", parts_schema="away")
    create_all(engine, config=made)

    with engine.connect() as connection:
        assert found_config(connection, StorageConfig(schema="log")) == made


def test_recorded_shapes_are_listed_beside_the_tables_of_today(store: Engine) -> None:
    with store.begin() as connection:
        [shape] = list_shapes(connection)
        assert (shape.name, shape.schema_version, shape.columns, shape.is_newest) == ("Product", 1, 3, True)
        assert (shape.unrecorded, shape.vanished) == ((), ())
        connection.execute(text("ALTER TABLE product ADD COLUMN colour text"))
        connection.execute(text("ALTER TABLE product DROP COLUMN stock"))
        [shape] = list_shapes(connection)
        assert (shape.unrecorded, shape.vanished) == (("colour",), ("stock",))
        connection.rollback()


# --------------------------------------------------------------------------------------------------- snapshots


def test_snapshots_are_taken_batch_by_batch(store: Engine) -> None:
    seen: list[tuple[int, int]] = []
    with Session(store) as session:
        session.add_all([Product(id=uuid4(), name=f"product {number}") for number in range(5)])
        session.commit()

    report = take_snapshots(store, "Product", behind=0, batch_streams=2, progress=lambda *done: seen.append(done))

    assert report.snapshots == 6
    assert seen == [(2, 6), (4, 6), (6, 6)]
    assert take_snapshots(store, "Product", behind=0).snapshots == 0
    with store.connect() as connection:
        report_of_one = inspect_stream(connection, STREAM, verify=True)
    assert [snapshot.version for snapshot in report_of_one.snapshots] == [10, 8, 4]
    assert report_of_one.integrity == ()


def test_the_newest_snapshots_stay(store: Engine) -> None:
    config = StorageConfig(max_snapshots_per_aggregate=1)
    take_snapshots(store, "Product", behind=1, config=config)

    with store.connect() as connection:
        assert [snapshot.version for snapshot in inspect_stream(connection, STREAM).snapshots] == [10]


def test_what_an_application_appends_only_it_can_fold(store: Engine) -> None:
    with store.begin() as connection:
        EventStore(connection).append(("Basket", "1"), NewEvent("Opened"))

    with pytest.raises(WriteRefusedError, match="the streams of Basket belong to no table"):
        take_snapshots(store, "Basket")
    with pytest.raises(StreamNotFoundError, match="no stream is called Baskets"):
        take_snapshots(store, "Baskets")
