"""The health report: what it says of a store that does well, and each recommendation brought about and followed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Column, Engine, String, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import lithair_sqla
from lithair_sqla import EventSourced, EventStore, Lithair, NewEvent, Persistence, StorageConfig, create_all
from lithair_sqla.cli.app import cli
from lithair_sqla.errors import SchemaMissingError
from lithair_sqla.ops.health import health_check
from lithair_sqla.ops.records import MaintenanceRecommendation, StorageHealthReport
from lithair_sqla.schema.create import grant
from lithair_sqla.schema.tables import LibraryTables

CONFIG = StorageConfig(partition_width=1000, partitions_ahead=2, snapshot_frequency=10)


class Base(DeclarativeBase):
    pass


class Product(EventSourced, Base):
    __tablename__ = "product"
    __persistence__ = Persistence(snapshot_frequency=10)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    stock: Mapped[int] = mapped_column(default=0)


class Note(EventSourced, Base):
    __tablename__ = "note"
    __persistence__ = Persistence(snapshot_frequency=0)

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]


@dataclass
class Patient:
    """A store, how to look at it, how to follow what the look advises."""

    engine: Engine

    def look(self, **options: Any) -> StorageHealthReport:
        return health_check(self.engine, metadata=Base.metadata, **options)

    def codes(self, **options: Any) -> list[str]:
        return [item.code for item in self.look(**options).recommendations]

    def find(self, code: str, **options: Any) -> MaintenanceRecommendation:
        found = [item for item in self.look(**options).recommendations if item.code == code]
        assert len(found) == 1, self.look(**options).recommendations
        return found[0]

    def run(self, *statements: str) -> None:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for statement in statements:
                connection.exec_driver_sql(statement.replace("%", "%%"))

    def follow(self, action: str) -> None:
        """Do what an action says, to the letter; of "this, then that", that."""
        action = action.rpartition("then ")[2]
        if action.startswith("lithair-storage "):
            url = self.engine.url.render_as_string(hide_password=False)
            words = shlex.split(action)[1:]
            given = ["--dsn", url, "--app", f"{__name__}:Base", *words] + ["--yes"] * (words[0] == "rebuild")
            done = CliRunner().invoke(cli, given)
            assert done.exit_code == 0, done.output
        elif action.startswith("lithair_sqla."):
            eval(action, {"lithair_sqla": lithair_sqla, "engine": self.engine, "Base": Base})  # noqa: S307
        else:
            self.run(action)


@pytest.fixture
def patient(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Patient:
    # The command line imports the models by this module's name.
    module = ModuleType(__name__)
    module.Base = Base  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, __name__, module)
    Lithair(Base, CONFIG).create_all(engine)
    with Session(engine) as session:
        session.add_all([Product(id=number, name=f"product {number}") for number in range(1, 6)])
        session.commit()
        for stock in range(1, 25):
            session.get_one(Product, 1).stock = stock
            session.commit()
    return Patient(engine)


def test_a_store_that_does_well_needs_nothing(patient: Patient) -> None:
    report = patient.look()

    assert report.recommendations == ()
    assert report.healthy
    assert not report.corruption_detected
    assert report.index_consistency
    assert report.snapshot_validity
    assert report.total_size_bytes > 100_000
    metrics = report.performance_metrics
    assert metrics.avg_write_latency_ms is not None
    assert 0 < metrics.avg_write_latency_ms < 1000
    assert 0 < metrics.avg_read_latency_ms < 1000
    assert metrics.horizon_lag_positions == 0
    assert metrics.events_per_second is not None


def test_deep_counts_and_audits(patient: Patient) -> None:
    report = patient.look(deep=True)

    assert report.deep
    assert report.total_events == 29
    assert report.healthy, report
    assert report.as_dict()["healthy"] is True


def test_an_empty_store_does_well(engine: Engine) -> None:
    create_all(engine)

    for deep in (False, True):
        report = health_check(engine, deep=deep)
        assert report.healthy, report
        assert report.recommendations == ()
        assert report.total_events == 0
        assert report.performance_metrics.events_per_second is None


def test_a_look_writes_nothing(patient: Patient, log: Any) -> None:
    before = len(log())
    with patient.engine.connect() as connection:
        streams = connection.execute(text("SELECT count(*) FROM lithair_streams")).scalar_one()

    patient.look(deep=True)

    assert len(log()) == before
    with patient.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM lithair_streams")).scalar_one() == streams


def test_it_takes_a_connection_or_a_session_and_leaves_its_transaction_usable(patient: Patient) -> None:
    with patient.engine.connect() as connection, connection.begin():
        assert health_check(connection, config=CONFIG).healthy
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    with Session(patient.engine) as session:
        assert health_check(session, config=CONFIG).healthy
        assert session.scalar(text("SELECT 1")) == 1


def test_a_database_without_a_store_is_told_apart(engine: Engine) -> None:
    with pytest.raises(SchemaMissingError, match=r"has no event store in schema 'public' under the prefix 'lithair_'"):
        health_check(engine)


@pytest.mark.parametrize("rights", ["granted", "select"])
def test_a_role_that_only_reads_is_enough(patient: Patient, role: Callable[..., Engine], rights: str) -> None:
    reader = role()
    if rights == "granted":
        with patient.engine.begin() as connection:
            grant(connection, Base, reader.url.username or "")
    else:
        _let_read(patient, reader)

    report = health_check(reader, config=CONFIG)

    assert report.recommendations == ()
    assert (report.performance_metrics.avg_write_latency_ms is not None) == (rights == "granted")


def _let_read(patient: Patient, reader: Engine) -> None:
    name = reader.url.username
    patient.run(f"GRANT USAGE ON SCHEMA lithair_parts TO {name}", f"GRANT SELECT ON lithair_position TO {name}")
    for table in LibraryTables.of(Base.metadata).all:
        patient.run(f"GRANT SELECT ON {table.name} TO {name}")


def test_a_read_only_transaction_is_enough(patient: Patient) -> None:
    with patient.engine.connect().execution_options(postgresql_readonly=True) as connection:
        report = health_check(connection, config=CONFIG)

    assert report.healthy
    assert report.performance_metrics.avg_write_latency_ms is None


# ------------------------------------------------------------------------------------------- recommendations


@pytest.mark.parametrize("name", ["horizon", "append", "extend_log"])
def test_a_function_of_another_version(patient: Patient, name: str) -> None:
    patient.run(f"COMMENT ON FUNCTION lithair_{name} IS 'lithair 0123456789abcdef'")

    found = patient.find("function-outdated")
    assert found.severity == "error"
    assert name in found.message
    patient.follow(found.action)
    assert patient.codes() == []


def test_a_function_that_is_missing(patient: Patient) -> None:
    patient.run("DROP FUNCTION lithair_moment")

    found = patient.find("function-missing")
    patient.follow(found.action)
    assert patient.codes() == []


def test_partitions_run_out(patient: Patient) -> None:
    patient.run("SELECT setval('lithair_position', 1500)")

    found = patient.find("partition-headroom")
    assert found.severity == "warning"
    assert found.message == "1 partitions stand ahead of position 1,501, 2 are wanted"
    patient.follow(found.action)
    assert patient.codes() == []


def test_no_partition_for_the_next_position(patient: Patient) -> None:
    patient.run("SELECT setval('lithair_position', 7777)")

    found = patient.find("partition-headroom")
    assert found.severity == "error"
    assert found.message == "no partition holds position 7,778, which comes next"
    patient.follow(found.action)
    assert patient.codes() == []


def test_a_transaction_that_holds_readers_back(patient: Patient) -> None:
    other = create_engine(patient.engine.url)
    with other.connect() as held:
        EventStore(held, config=CONFIG).append(("Account", "1"), NewEvent("Opened"))
        pid = held.execute(text("SELECT /* [the] culprit */ pg_backend_pid()")).scalar_one()

        report = patient.look(horizon_seconds=0)
        [found] = [item for item in report.recommendations if item.code == "horizon-held"]
        assert f"process {pid} (idle in transaction) has held readers" in found.message
        assert "[the] culprit" in found.message
        assert report.performance_metrics.horizon_lag_positions > 0
        assert patient.codes(horizon_seconds=3600) == []
        patient.follow(found.action)
        assert patient.codes(horizon_seconds=0) == []
        held.invalidate()
    other.dispose()


def test_a_prepared_transaction_that_holds_readers_back(patient: Patient) -> None:
    with patient.engine.connect() as connection:
        transaction = connection.begin_twophase("it's prepared")
        EventStore(connection, config=CONFIG).append(("Account", "1"), NewEvent("Opened"))
        transaction.prepare()
        connection.invalidate()
        connection.close()

    found = patient.find("horizon-held-prepared", horizon_seconds=0)
    assert "it's prepared" in found.message
    patient.follow(found.action)
    assert patient.codes(horizon_seconds=0) == []


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - the guard was off
def test_a_guard_that_is_switched_off(patient: Patient) -> None:
    patient.run('ALTER TABLE product DISABLE TRIGGER "!lithair_guard"')

    found = patient.find("guard-disabled")
    assert found.severity == "error"
    patient.follow(found.action)
    assert patient.codes() == []


def test_a_guard_that_is_missing(patient: Patient) -> None:
    patient.run('DROP TRIGGER "!lithair_guard" ON product')

    found = patient.find("guard-missing")
    assert '"public"."product"' in found.message
    patient.follow(found.action)
    assert patient.codes() == []


def test_a_table_that_was_dropped_needs_no_guard(patient: Patient) -> None:
    patient.run("DROP TABLE note CASCADE")

    assert patient.codes() == []


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - the model forgets the column again
def test_a_column_that_the_guard_does_not_know(patient: Patient) -> None:
    patient.run("ALTER TABLE note ADD COLUMN colour text")

    found = patient.find("shape-unrecorded")
    assert "Note" in found.message
    assert "colour" in found.message
    colour = Column("colour", String)
    Note.__table__.append_column(colour)  # type: ignore[attr-defined]
    try:
        patient.follow(found.action)
        assert patient.codes() == []
    finally:
        Note.__table__._columns.remove(colour)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("ALTER TABLE lithair_parts.lithair_events_p000000 DROP CONSTRAINT lithair_events_p000000_pk", "primary key"),
        (
            "ALTER TABLE lithair_parts.lithair_events_p000000 DROP CONSTRAINT lithair_events_p000000_version",
            "unique versions",
        ),
        ("DROP INDEX lithair_parts.lithair_events_p000000_time", "index of times"),
    ],
)
def test_an_index_of_the_log_is_missing(patient: Patient, damage: str, what: str) -> None:
    patient.run(damage)

    report = patient.look()
    assert not report.index_consistency
    assert not report.healthy
    found = patient.find("index-missing")
    assert what in found.message
    patient.follow(found.action)
    assert patient.look().index_consistency
    assert patient.codes() == []


def test_dead_rows_pile_up(patient: Patient, server_version: int) -> None:
    patient.run(
        "ALTER TABLE lithair_streams SET (autovacuum_enabled = off)",
        "INSERT INTO lithair_streams (name, key, version, first_position) "
        "SELECT 'Bloat', n::text, 1, 1 FROM generate_series(1, 12000) n",
        "DELETE FROM lithair_streams WHERE name = 'Bloat'",
    )
    _publish_statistics(patient, server_version)

    found = patient.find("bloat")
    assert "public.lithair_streams has 12,0" in found.message
    patient.follow(found.action)
    _publish_statistics(patient, server_version)
    assert patient.codes() == []


def _publish_statistics(patient: Patient, server_version: int) -> None:
    # Sessions report their counts with a delay: when they end at the latest.
    patient.engine.dispose()
    if server_version >= 15:
        patient.run("SELECT pg_stat_force_next_flush()")


def test_long_streams_without_snapshots(patient: Patient) -> None:
    with Session(patient.engine) as session:
        session.add(Note(id=1, body=""))
        session.commit()
        for number in range(25):
            session.get_one(Note, 1).body = f"{number}"
            session.commit()

    found = patient.find("snapshots-stale")
    assert found.message == "1 streams of Note have more than 20 events after their newest snapshot"
    assert found.action == "lithair-storage snapshot --stream Note"
    patient.follow(found.action)
    assert patient.codes(deep=True) == []
    with Session(patient.engine) as session:
        assert Note.rebuild_from_events(session, 1).body == "24"


def test_long_streams_that_only_the_application_can_fold(patient: Patient) -> None:
    with patient.engine.begin() as connection:
        store = EventStore(connection, config=CONFIG)
        for number in range(25):
            store.append(("Account", "1"), NewEvent("Deposited", {"balance": number}))

    found = patient.find("snapshots-stale")
    assert found.action == "EventStore.save_snapshot(…), by the application that folds them"
    with patient.engine.begin() as connection:
        store = EventStore(connection, config=CONFIG)
        state, version = store.load(("Account", "1"))
        assert state is not None
        store.save_snapshot(("Account", "1"), version, state)
    assert patient.codes() == []


def test_snapshots_that_are_very_large(patient: Patient) -> None:
    assert patient.codes(snapshot_bytes=1_000) == []

    found = patient.find("snapshots-oversized", snapshot_bytes=20)
    assert found.severity == "advice"
    assert "2 snapshots are over 20 bytes" in found.message
    patient.follow(found.action)
    assert "snapshots-oversized" not in patient.codes(snapshot_bytes=20)
    with Session(patient.engine) as session:
        assert Product.rebuild_from_events(session, 1).stock == 24


def test_idempotency_keys_that_have_expired(patient: Patient) -> None:
    patient.run(
        "INSERT INTO lithair_idempotency (key, positions, versions, expires_at) "
        "SELECT n::text, '{}', '{}', now() - interval '1 day' FROM generate_series(1, 1001) n"
    )

    found = patient.find("idempotency-expired")
    patient.follow(found.action)
    assert patient.codes() == []


def test_a_sequence_that_an_upgrade_left_behind(patient: Patient) -> None:
    patient.run("SELECT setval('lithair_position', 3)")

    report = patient.look()
    assert report.corruption_detected
    found = patient.find("sequence-behind")
    patient.follow(found.action)
    assert patient.codes() == []
    with patient.engine.begin() as connection:
        EventStore(connection, config=CONFIG).append(("Account", "1"), NewEvent("Opened"))


def test_rows_that_drifted_from_their_log(patient: Patient) -> None:
    patient.run(
        'ALTER TABLE product DISABLE TRIGGER "!lithair_guard"',
        "UPDATE product SET stock = 999 WHERE id < 3",
        'ALTER TABLE product ENABLE ALWAYS TRIGGER "!lithair_guard"',
    )

    assert patient.codes() == []  # only deep looks at rows
    found = patient.find("drift", deep=True)
    assert "2 or more rows of product" in found.message
    patient.follow(found.action)
    assert patient.codes(deep=True) == []


# ----------------------------------------------------------------------------------------------- corruption


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - damage on purpose
@pytest.mark.parametrize(
    ("damage", "found_by"),
    [
        ("DELETE FROM lithair_events WHERE version = 5", "deep"),
        ("DELETE FROM lithair_streams WHERE key = '2'", "both"),
        ("UPDATE lithair_streams SET version = version - 1 WHERE key = '1'", "both"),
        ("UPDATE lithair_streams SET version = version + 1 WHERE key = '1'", "deep"),
        ("UPDATE lithair_events SET transaction_id = position + 1 WHERE version = 1", "both"),
        (
            "UPDATE lithair_events SET position = 500 WHERE version = 5; SELECT setval('lithair_position', 800)",
            "deep",
        ),
    ],
)
def test_a_log_that_contradicts_itself(patient: Patient, damage: str, found_by: str) -> None:
    patient.run(damage)

    assert patient.look().corruption_detected == (found_by == "both")
    assert patient.look(deep=True).corruption_detected


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - damage on purpose
def test_a_snapshot_of_no_event(patient: Patient) -> None:
    patient.run("UPDATE lithair_snapshots SET position = position + 1 WHERE version = 20")

    assert not patient.look().snapshot_validity
    assert not patient.look().healthy


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - damage on purpose
def test_a_snapshot_that_is_not_what_its_events_make(patient: Patient) -> None:
    patient.run("UPDATE lithair_snapshots SET state = state || '{\"stock\": 5}' WHERE version = 20")

    assert patient.look().snapshot_validity  # only deep folds
    assert not patient.look(deep=True).snapshot_validity
