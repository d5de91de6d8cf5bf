"""``adopt``: rows that were there before their guard get a baseline each, whatever happens meanwhile."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    CHAR,
    Column,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    create_engine,
    insert,
    select,
    text,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from lithair_sqla import Persistence, StorageConfig, adopt, audit, context, create_all, enrol
from lithair_sqla.errors import MappingError, SchemaMissingError
from lithair_sqla.schema.tables import LibraryTables

if TYPE_CHECKING:
    from sqlalchemy import URL


def shop() -> Any:
    """A class that is not event-sourced, on a table of the test's own."""

    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int] = mapped_column(default=0)
        text: Mapped[str | None]

    return Item


@pytest.fixture
def item(engine: Engine) -> Any:
    """The class, its table with a thousand rows, enrolled since; the library's tables are there, no guard is."""
    class_ = shop()
    LibraryTables.of(class_.metadata)
    create_all(engine, class_)
    fill(engine, 1_000)
    enrol(class_)
    return class_


def fill(engine: Engine, rows: int, first: int = 1) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO item (id, n, text) "
            f"SELECT i, i, 'row ' || i FROM generate_series({first}, {first + rows - 1}) i"
        )
        connection.exec_driver_sql("SELECT setval('item_id_seq', (SELECT max(id) FROM item))")


def baselines(engine: Engine) -> tuple[int, int]:
    """How many baselines there are, and how many streams."""
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM lithair_events WHERE kind = 'b'), (SELECT count(*) FROM lithair_streams)"
        ).one()
    return found[0], found[1]


def test_every_row_gets_one_baseline_and_the_audit_is_clean(engine: Engine, item: Any) -> None:
    seen: list[tuple[int, int]] = []

    (report,) = adopt(engine, item, batch_rows=300, progress=lambda done, total: seen.append((done, total)))

    assert (report.table, report.rows, report.baselines) == ("item", 1_000, 1_000)
    assert seen == [(300, 1_000), (600, 1_000), (900, 1_000), (1_000, 1_000)]
    assert audit(engine, item)
    assert baselines(engine) == (1_000, 1_000)


def test_adopting_again_does_nothing(engine: Engine, item: Any) -> None:
    adopt(engine, item)

    (report,) = adopt(engine, item)

    assert report.baselines == 0
    assert baselines(engine) == (1_000, 1_000)


def test_rows_that_were_written_since_have_their_stream_already(engine: Engine, item: Any) -> None:
    create_all(engine, item)
    with Session(engine) as session:
        session.add(item(text="new"))
        session.get_one(item, 7).n = 99
        session.delete(session.get_one(item, 8))
        session.commit()

    (report,) = adopt(engine, item)

    assert report.baselines == 998
    assert audit(engine, item)


def test_whoever_adopts_is_the_actor(engine: Engine, item: Any, log: Any) -> None:
    request = uuid4()
    with context(user_id="ana", correlation_id=request):
        adopt(engine, item)

    found = log("Item", "1")[0]
    assert (found.kind, found.type, found.actor, found.correlation_id) == ("b", "ItemBaseline", "ana", request)


def test_it_works_through_a_session_a_connection_or_an_autocommit_engine(engine: Engine, item: Any) -> None:
    with Session(engine) as session:
        assert adopt(session, item)[0].baselines == 1_000
    with engine.connect() as connection:
        assert adopt(connection, item)[0].baselines == 0
    fill_past_the_guard(engine, 2_000)
    assert adopt(engine.execution_options(isolation_level="AUTOCOMMIT"), item)[0].baselines == 1
    fill_past_the_guard(engine, 2_001)
    assert adopt(engine.execution_options(isolation_level="SERIALIZABLE"), item.__table__)[0].baselines == 1
    assert audit(engine, item)


def fill_past_the_guard(engine: Engine, key: int) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql('ALTER TABLE item DISABLE TRIGGER "!lithair_guard"')
        connection.exec_driver_sql(f"INSERT INTO item (id, n) VALUES ({key}, 1)")
        connection.exec_driver_sql('ALTER TABLE item ENABLE ALWAYS TRIGGER "!lithair_guard"')


def test_a_row_that_somebody_holds_is_passed_over_and_waited_for(engine: Engine, item: Any) -> None:
    with engine.connect() as holder:
        create_all(engine, item)
        holder.exec_driver_sql("SELECT FROM item WHERE id IN (5, 700) FOR UPDATE")
        seen: list[int] = []
        adopting = Thread(target=lambda: adopt(engine, item, batch_rows=400, progress=lambda n, _: seen.append(n)))
        adopting.start()
        wait_until(lambda: baselines(engine)[0] == 998)
        assert adopting.is_alive()
        holder.exec_driver_sql("UPDATE item SET n = -1 WHERE id = 5")
        holder.commit()
    adopting.join(30)

    assert not adopting.is_alive()
    assert audit(engine, item)
    assert baselines(engine) == (1_000, 1_000)


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it never came to that")


def test_a_writer_with_many_rows_never_waits_in_a_circle(engine: Engine, item: Any) -> None:
    """A writer holds the last row and goes on to the first: an adoption that waited for it would deadlock."""
    create_all(engine, item)
    with engine.connect() as writer:
        writer.exec_driver_sql("UPDATE item SET n = -1 WHERE id = 1000")
        adopting = Thread(target=lambda: adopt(engine, item))
        adopting.start()
        wait_until(lambda: baselines(engine)[0] == 999)
        writer.exec_driver_sql("UPDATE item SET n = -1 WHERE id < 1000")
        writer.commit()
    adopting.join(30)

    assert audit(engine, item)


def test_a_table_that_is_in_use_gets_its_guard_in_time(engine: Engine, item: Any) -> None:
    """A long transaction holds the table: the adoption waits for it in pieces, so that other writers go on."""
    with engine.connect() as long, engine.connect() as other:
        long.exec_driver_sql("UPDATE item SET n = -1 WHERE id = 1")
        adopting = Thread(target=lambda: adopt(engine, item))
        adopting.start()
        time.sleep(0.5)
        other.exec_driver_sql("SET lock_timeout = '5s'")
        other.exec_driver_sql("UPDATE item SET n = -1 WHERE id = 2")
        other.commit()
        assert adopting.is_alive()
        long.commit()
    adopting.join(30)

    assert not adopting.is_alive()
    assert audit(engine, item)


def test_one_that_stays_in_use_is_an_error(engine: Engine, item: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lithair_sqla.model.adopt._LOCK_TRIES", 2)
    monkeypatch.setattr("lithair_sqla.model.adopt._LOCK_TIMEOUT", "50ms")
    with engine.connect() as long:
        long.exec_driver_sql("UPDATE item SET n = -1 WHERE id = 1")
        with pytest.raises(OperationalError, match="lock timeout"):
            adopt(engine, item)
    adopt(engine, item)


def test_a_log_of_narrow_partitions_has_room_for_a_batch(engine: Engine) -> None:
    class_ = shop()
    create_all(engine, class_, config=StorageConfig(partition_width=1_000))
    fill(engine, 5_500)
    enrol(class_)

    (report,) = adopt(engine, class_, batch_rows=2_500)

    assert report.baselines == 5_500
    assert audit(engine, class_)


def test_keys_and_types_of_every_kind(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Natural(Base):
        __tablename__ = "natural"
        id: Mapped[str] = mapped_column(String, primary_key=True)

    class Composite(Base):
        __tablename__ = "composite"
        name: Mapped[str] = mapped_column(CHAR(6), primary_key=True)
        at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
        number: Mapped[Decimal] = mapped_column(Numeric(8, 2), primary_key=True)
        blob: Mapped[bytes] = mapped_column(LargeBinary)

    class ByUuid(Base):
        __tablename__ = 'by "uuid" %(size)s'
        id: Mapped[UUID] = mapped_column("the %id", primary_key=True)
        tags: Mapped[list[Tag]] = relationship(secondary=lambda: pairs)

    class Tag(Base):
        __tablename__ = "tag"
        id: Mapped[int] = mapped_column(primary_key=True)

    pairs = Table(
        "pairs",
        Base.metadata,
        Column("left", ForeignKey(ByUuid.id), nullable=True),
        Column("right", Integer, ForeignKey(Tag.id), nullable=True),
    )

    LibraryTables.of(Base.metadata)
    create_all(engine, Base)
    start = dt.datetime(2024, 3, 31, tzinfo=dt.UTC)
    ids = [uuid4() for _ in range(50)]
    with engine.begin() as connection:
        connection.execute(insert(Natural), [{"id": f'{"é✓" * (i % 3)}"\\{i}'} for i in range(500)])
        connection.execute(
            insert(Composite),
            [
                {"name": f"n{i % 7}", "at": start + dt.timedelta(hours=i), "number": i % 3, "blob": bytes([i % 256])}
                for i in range(500)
            ],
        )
        connection.execute(insert(ByUuid), [{"the %id": id_} for id_ in ids])
        connection.execute(insert(Tag), [{"id": i} for i in range(50)])
        connection.execute(insert(pairs), [{"left": id_, "right": i} for i, id_ in enumerate(ids)])
        connection.execute(insert(pairs), [{"left": None, "right": 1}, {"left": ids[0], "right": None}])
    for class_ in (Natural, Composite, ByUuid):
        enrol(class_)
    engine.dispose()
    other = create_engine(engine.url, connect_args={"options": "-c TimeZone=America/New_York -c bytea_output=escape"})

    reports = {report.table: report.baselines for report in adopt(other, Base, batch_rows=97)}
    other.dispose()

    assert reports == {"natural": 500, "composite": 500, ByUuid.__tablename__: 50, "pairs": 52}
    assert audit(engine, Base)


def test_a_partition_that_is_attached_is_adopted(engine: Engine, run: Callable[..., Any]) -> None:
    class Base(DeclarativeBase):
        pass

    class Reading(Base):
        __tablename__ = "reading"
        __table_args__ = {"postgresql_partition_by": "RANGE (id)"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        n: Mapped[int]

    enrol(Reading)
    create_all(engine, Base)
    run("CREATE TABLE reading_1 PARTITION OF reading FOR VALUES FROM (0) TO (100)")
    run("INSERT INTO reading SELECT i, i FROM generate_series(0, 99) i")
    run("CREATE TABLE reading_2 (LIKE reading INCLUDING ALL)")
    run("INSERT INTO reading_2 SELECT i, i FROM generate_series(100, 199) i")
    run("ALTER TABLE reading ATTACH PARTITION reading_2 FOR VALUES FROM (100) TO (200)")
    assert not audit(engine, Reading)

    (report,) = adopt(engine, Reading)

    assert report.baselines == 100
    assert audit(engine, Reading)


def test_a_row_whose_stream_was_closed_is_opened_again(engine: Engine, item: Any, run: Callable[..., Any]) -> None:
    adopt(engine, item)
    run("DELETE FROM item WHERE id = 5")
    fill_past_the_guard(engine, 5)

    assert adopt(engine, item)[0].baselines == 1
    assert audit(engine, item)


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - the marker reads so
def test_what_it_refuses(engine: Engine) -> None:
    class_ = shop()
    with pytest.raises(MappingError, match="Item is not event-sourced"):
        adopt(engine, class_)
    class_.metadata.create_all(engine)
    enrol(class_)
    with pytest.raises(SchemaMissingError, match="the library's tables are not in this database"):
        adopt(engine, class_)


ADOPTER = """
import sys
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from lithair_sqla import adopt, enrol

class Base(DeclarativeBase):
    pass

class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)
    text: Mapped[str | None]

enrol(Item)
engine = create_engine(sys.argv[1])
adopt(engine, Item, batch_rows=int(sys.argv[2]), progress=lambda done, total: print(done, flush=True))
engine.dispose()
print("done", flush=True)
"""

WRITER = """
import random, sys
from sqlalchemy import create_engine, text
engine, chance = create_engine(sys.argv[1]), random.Random(int(sys.argv[2]))
with engine.connect() as connection:
    print("ready", flush=True)
    sys.stdin.readline()
    made = 0
    for turn in range(int(sys.argv[3])):
        with connection.begin() as transaction:
            for key in sorted(chance.sample(range(1, 6001), 5)):
                connection.execute(text("UPDATE item SET n = n + 1 WHERE id = :key"), {"key": key})
            connection.execute(text("DELETE FROM item WHERE id = :key"), {"key": chance.randint(1, 6000)})
            connection.execute(text("INSERT INTO item (n) VALUES (:turn)"), {"turn": turn})
            if chance.random() < 0.2:
                transaction.rollback()
engine.dispose()
print("done", flush=True)
"""


@contextmanager
def running(code: str, url: URL, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Code in another process, which does not outlive the block."""
    started = subprocess.Popen(
        [sys.executable, "-c", code, url.render_as_string(hide_password=False), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


def test_killed_at_any_moment_it_goes_on_where_it_was(engine: Engine, database_url: URL, item: Any) -> None:
    fill(engine, 2_000, first=1_001)
    chance = random.Random(4)
    kills = done = 0
    while True:
        with running(ADOPTER, database_url, 50) as adopter:
            assert adopter.stdout is not None
            for lines, line in enumerate(adopter.stdout):
                if line == "done\n":
                    break
                # Between two batches, or in the middle of one.
                if lines > 10:
                    time.sleep(chance.random() / 100)
                    os.kill(adopter.pid, signal.SIGKILL)
                    kills += 1
                    break
            if line == "done\n":
                break
        found = baselines(engine)
        assert found[0] == found[1] > done
        done = found[0]

    assert kills >= 3
    assert baselines(engine) == (3_000, 3_000)
    assert audit(engine, item)


def test_while_others_write(engine: Engine, database_url: URL, item: Any) -> None:
    fill(engine, 5_000, first=1_001)
    with running(WRITER, database_url, 1, 80) as first, running(WRITER, database_url, 2, 80) as second:
        writers = [first, second]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        with running(ADOPTER, database_url, 500) as one, running(ADOPTER, database_url, 300) as other:
            ends = [process.communicate(timeout=60)[0].split()[-1] for process in (one, other, *writers)]

    assert ends == ["done"] * 4
    assert audit(engine, item)
    with engine.connect() as connection:
        twice = connection.exec_driver_sql(
            "SELECT count(*) FROM (SELECT FROM lithair_events WHERE kind = 'b' GROUP BY stream_id"
            " HAVING count(*) > 1) t"
        ).scalar_one()
    assert twice == 0


@pytest.mark.slow
def test_a_hundred_thousand_rows(engine: Engine, item: Any, record_property: Callable[[str, object], None]) -> None:
    fill(engine, 99_000, first=1_001)
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE item")
    seen: list[tuple[int, int]] = []

    start = time.perf_counter()
    (report,) = adopt(engine, item, progress=lambda *counts: seen.append(counts))
    rate = report.rows / (time.perf_counter() - start)

    record_property("rows_per_second", round(rate))
    print(f"adopted {report.rows:,} rows at {rate:,.0f} rows/s")  # noqa: T201 - for whoever runs it with -s
    assert report.baselines == 100_000
    assert seen[-1] == (100_000, 100_000)
    with Session(engine) as session:
        assert session.scalar(select(text("count(*)")).select_from(text("lithair_streams"))) == 100_000
    assert rate > 2_000


def test_options_of_the_class_hold_for_its_baselines(engine: Engine, log: Any) -> None:
    class_ = shop()
    LibraryTables.of(class_.metadata)
    create_all(engine, class_)
    fill(engine, 3)
    enrol(class_, Persistence(name="Thing", updated_event="ThingChanged"))
    adopt(engine, class_)
    with Session(engine) as session:
        session.get_one(class_, 1).n = 7
        session.commit()

    assert log.types("Thing", "1") == ["ThingBaseline", "ThingChanged"]
