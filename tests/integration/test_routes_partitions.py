"""Partitioned tables of the user's: rows that move, partitions written directly, truncated, attached."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, Persistence, audit, create_all, rebuild
from lithair_sqla.errors import GuardError, WriteRefusedError
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.check import check_guards
from lithair_sqla.schema.create import names_in

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]


class Base(DeclarativeBase):
    pass


class Reading(EventSourced, Base):
    __tablename__ = "reading"
    __table_args__ = {"postgresql_partition_by": "RANGE (day)"}  # noqa: RUF012
    __persistence__ = Persistence(snapshot_frequency=2)

    day: Mapped[date] = mapped_column(primary_key=True)
    sensor: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float | None]


class Emptied(EventSourced, Base):
    """TRUNCATE of it is captured."""

    __tablename__ = "emptied"
    __table_args__ = {"postgresql_partition_by": "LIST (id)"}  # noqa: RUF012
    __persistence__ = Persistence(truncate="capture")

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


@pytest.fixture(autouse=True)
def _tables(engine: Engine, run: Run) -> None:
    Base.metadata.create_all(engine, tables=[Reading.__table__, Emptied.__table__])  # type: ignore[list-item]
    run("CREATE TABLE reading_2024 PARTITION OF reading FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')")
    create_all(engine, Base)
    # One that comes after the guard, partitioned itself, and with its columns in another order.
    run(
        "CREATE TABLE reading_2025 PARTITION OF reading FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') "
        "PARTITION BY HASH (sensor)"
    )
    run("CREATE TABLE reading_2025_0 PARTITION OF reading_2025 FOR VALUES WITH (MODULUS 2, REMAINDER 0)")
    run("CREATE TABLE reading_2025_1 (value double precision, gone text, sensor int NOT NULL, day date NOT NULL)")
    run("ALTER TABLE reading_2025_1 DROP COLUMN gone")
    run("ALTER TABLE reading_2025 ATTACH PARTITION reading_2025_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)")
    run("CREATE TABLE reading_rest PARTITION OF reading DEFAULT")


def fill(run: Run) -> None:
    run(
        "INSERT INTO reading SELECT d, s, 1.5 FROM generate_series(date '2024-06-01', '2026-06-01', '6 months') d, "
        "generate_series(1, 4) s"
    )


def test_rows_in_every_partition_are_captured(engine: Engine, run: Run, log: Log) -> None:
    fill(run)
    run("UPDATE reading SET value = value + sensor")
    run("UPDATE reading_2025_1 SET value = 0")
    run("INSERT INTO reading_2024 VALUES ('2024-12-31', 9, 1)")
    run("DELETE FROM reading_rest")
    assert log.kinds("Reading", '["2024-12-31", "9"]') == "c"
    assert log.kinds("Reading", '["2026-06-01", "1"]') == "cud"
    with Session(engine) as session:
        item = session.get_one(Reading, (date(2024, 6, 1), 1))
        item.value = 77
        session.commit()
        assert Reading.rebuild_from_events(session, (date(2024, 6, 1), 1)).value == 77


def test_a_row_that_moves_to_another_partition(engine: Engine, run: Run, log: Log) -> None:
    fill(run)
    run("UPDATE reading SET day = day + 400 WHERE sensor = 1")
    run("UPDATE reading SET sensor = sensor + 10 WHERE day >= '2025-01-01' AND day < '2026-01-01'")
    run("INSERT INTO reading VALUES ('2024-06-01', 2, 9) ON CONFLICT (day, sensor) DO UPDATE SET value = 10")
    assert log.kinds("Reading", '["2024-06-01", "1"]') == "cd"
    with Session(engine) as session:
        session.get_one(Reading, (date(2024, 6, 1), 3)).day = date(2025, 6, 1)
        session.commit()
    assert log.kinds("Reading", '["2025-06-01", "3"]') in {"cdc", "c", "cdu"}


def test_triggers_that_write_rows_of_the_same_statement_in_a_partition_with_another_layout(run: Run) -> None:
    fill(run)
    run(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN IF pg_trigger_depth() < 2 THEN "
        "UPDATE reading SET value = coalesce(value, 0) + 100 WHERE sensor <> new.sensor; END IF; RETURN NULL; END $f$"
    )
    run("CREATE TRIGGER meddle AFTER INSERT OR UPDATE ON reading FOR EACH ROW EXECUTE FUNCTION meddle()")
    run("UPDATE reading SET value = 1")
    run("INSERT INTO reading VALUES ('2025-03-01', 1, NULL), ('2025-03-01', 2, NULL), ('2025-03-01', 3, NULL)")


def test_truncate_of_the_table_and_of_partitions_is_refused(engine: Engine, run: Run) -> None:
    fill(run)
    for table in ("reading", "reading_2024"):
        with pytest.raises(WriteRefusedError, match="TRUNCATE"):
            run(f"TRUNCATE {table}")
    # A partition made since is covered from the next create_all (or migration) on.
    create_all(engine, Base)
    for table in ("reading_2025", "reading_2025_0", "reading_2025_1", "reading_rest"):
        with pytest.raises(WriteRefusedError, match=f"TRUNCATE of public.{table}"):
            run(f"TRUNCATE {table}")


def test_truncate_that_is_captured_logs_each_row_once(engine: Engine, run: Run, log: Log) -> None:
    run("CREATE TABLE emptied_1 PARTITION OF emptied FOR VALUES IN (1, 2)")
    create_all(engine, Base)
    run("CREATE TABLE emptied_2 PARTITION OF emptied FOR VALUES IN (3, 4)")
    run("INSERT INTO emptied VALUES (1), (2), (3)")
    run("TRUNCATE emptied_1")
    assert log.kinds("Emptied") == "cccdd"
    run("INSERT INTO emptied VALUES (1), (4)")
    run("TRUNCATE emptied")
    assert log.kinds("Emptied") == "cccddccddd"


@pytest.mark.lithair_audit(enabled=False)
def test_what_is_detached_and_attached_passes_no_trigger_and_is_told_by_the_audit(engine: Engine, run: Run) -> None:
    fill(run)
    run("ALTER TABLE reading DETACH PARTITION reading_2024")
    with engine.connect() as connection:
        report = audit(connection, Reading)
    assert {found.problem for found in report.differences} == {"missing"}
    run("UPDATE reading_2024 SET value = 3")
    run("ALTER TABLE reading ATTACH PARTITION reading_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')")
    with engine.connect() as connection:
        report = audit(connection, Reading)
    assert {found.problem for found in report.differences} == {"different"}
    run("UPDATE reading SET value = 4 WHERE day < '2025-01-01'")
    with engine.connect() as connection:
        assert audit(connection, Reading)


@pytest.mark.lithair_audit(enabled=False)
def test_a_guard_that_is_off_on_one_partition_is_found(engine: Engine, run: Run) -> None:
    run('ALTER TABLE reading_2025_0 DISABLE TRIGGER "!lithair_guard"')
    with engine.connect() as connection:
        problems = check_guards(connection, [Reading.__table__], names_in(connection, StorageConfig()))  # type: ignore[list-item]
    assert [problem.reason for problem in problems] == ["disabled"]
    with Session(engine) as session:
        session.add(Reading(day=date(2024, 1, 1), sensor=1))
        with pytest.raises(GuardError, match="table reading is disabled"):
            session.flush()


def test_a_partitioned_table_is_rebuilt_and_nothing_is_logged_again(engine: Engine, run: Run, log: Log) -> None:
    fill(run)
    run("UPDATE reading SET value = sensor")
    before = run("SELECT * FROM reading ORDER BY 1, 2"), len(log())
    run("ALTER TABLE reading DISABLE TRIGGER ALL")
    for partition in ("reading_2024", "reading_2025_0", "reading_2025_1", "reading_rest"):
        run(f"ALTER TABLE {partition} DISABLE TRIGGER ALL")
    run("DELETE FROM reading WHERE sensor = 2")
    run("UPDATE reading SET value = -1 WHERE sensor = 3")
    run('ALTER TABLE reading ENABLE ALWAYS TRIGGER "!lithair_guard"')
    run('ALTER TABLE reading ENABLE ALWAYS TRIGGER "!lithair_truncate"')
    for partition in ("reading_2024", "reading_2025_0", "reading_2025_1", "reading_rest"):
        run(f'ALTER TABLE {partition} ENABLE ALWAYS TRIGGER "!lithair_guard"')
    run('ALTER TABLE reading_2024 ENABLE ALWAYS TRIGGER "!lithair_truncate"')
    rebuild(engine, Reading)
    assert (run("SELECT * FROM reading ORDER BY 1, 2"), len(log())) == before
