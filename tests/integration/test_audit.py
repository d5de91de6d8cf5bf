"""The audit finds every way in which rows and log can come apart, and says where."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, Persistence, audit, create_all
from lithair_sqla.errors import MappingError
from lithair_sqla.model.audit import AuditReport

Run = Callable[..., Any]
pytestmark = pytest.mark.lithair_audit(enabled=False)


class Base(DeclarativeBase):
    pass


class Coin(EventSourced, Base):
    __tablename__ = "coin"
    __persistence__ = Persistence(snapshot_frequency=2)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    worth: Mapped[Decimal]


class Plain(Base):
    __tablename__ = "plain"

    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def damage(engine: Engine, run: Run) -> Callable[..., AuditReport]:
    """Three coins, each changed once; damage them past the guard and audit."""
    create_all(engine, Base)
    run("INSERT INTO coin VALUES (1, 1.0), (2, 2), (3, 3)")
    run("UPDATE coin SET worth = worth * 10")

    def do(*statements: str) -> AuditReport:
        run('ALTER TABLE coin DISABLE TRIGGER "!lithair_guard"')
        for statement in statements:
            run(statement)
        run('ALTER TABLE coin ENABLE ALWAYS TRIGGER "!lithair_guard"')
        return audit(engine, Coin)

    return do


Damage = Callable[..., AuditReport]


def problems(report: AuditReport) -> list[tuple[str, str]]:
    return sorted((found.problem, found.key) for found in report.differences)


TAMPERED = """\
UPDATE lithair_events SET data = '{"worth": 99}' WHERE position = (SELECT max(position) FROM lithair_events)"""
FORGOTTEN = "DELETE FROM lithair_events e USING lithair_streams s WHERE s.id = e.stream_id AND s.key = '1'"
WRONG_SNAPSHOT = """\
UPDATE lithair_snapshots n SET state = '{"id": 2, "worth": 1}' FROM lithair_streams s
 WHERE s.id = n.stream_id AND s.key = '2'"""
HOLLOW_GUARD = """\
CREATE OR REPLACE FUNCTION lithair_guard_coin() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"""


def test_a_clean_table(damage: Damage) -> None:
    report = damage()
    assert report
    assert report.clean
    assert (report.rows, report.streams, report.events, report.snapshots, report.found) == (3, 3, 6, 3, 0)
    assert str(report) == "audit of coin: clean (3 rows, 3 live streams, 6 events, 3 snapshots)"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM coin WHERE id = 1", [("missing", "1")]),
        ("INSERT INTO coin VALUES (9, 9)", [("extra", "9")]),
        ("UPDATE coin SET worth = 7 WHERE id = 2", [("different", "2")]),
        ("UPDATE coin SET worth = 10 WHERE id = 1", [("different", "1")]),
        ("UPDATE coin SET id = 8 WHERE id = 3", [("extra", "8"), ("missing", "3")]),
        (
            TAMPERED,
            [("different", "3"), ("snapshot", "3")],
        ),
        (
            f"{FORGOTTEN} AND e.version = 2",
            [("different", "1"), ("snapshot", "1"), ("versions", "1")],
        ),
        (
            "DELETE FROM lithair_events e USING lithair_streams s WHERE s.id = e.stream_id AND s.key = '1'",
            [("extra", "1"), ("snapshot", "1"), ("versions", "1")],
        ),
        ("UPDATE lithair_streams SET version = version + 1 WHERE key = '2'", [("versions", "2")]),
        ("UPDATE lithair_streams SET status = 1 WHERE key = '2'", [("versions", "2")]),
        (
            WRONG_SNAPSHOT,
            [("snapshot", "2")],
        ),
        (
            "INSERT INTO lithair_streams (name, key, version, first_position) VALUES ('Coin', '77', 1, 1)",
            [("versions", "77")],
        ),
    ],
)
def test_each_kind_of_damage_is_found_and_named(
    damage: Damage, statement: str, expected: list[tuple[str, str]]
) -> None:
    report = damage(statement)
    assert not report
    assert problems(report) == expected
    assert report.found == len(expected)


def test_a_forged_event_is_found(damage: Damage) -> None:
    report = damage(
        "INSERT INTO lithair_events (position, stream_id, version, transaction_id, kind, type, data) "
        "SELECT nextval('lithair_position'), id, 9, 1, 'u', 'Forged', '{\"worth\": 1000}' "
        "FROM lithair_streams WHERE key = '3'"
    )
    assert problems(report) == [("different", "3"), ("versions", "3")]


def test_a_difference_shows_the_columns_and_both_values(damage: Damage) -> None:
    report = damage("UPDATE coin SET worth = 10.00 WHERE id = 1", "DELETE FROM coin WHERE id = 2")
    shown = {found.key: found.columns for found in report.differences}
    assert shown["1"] == {"worth": (Decimal("10.00"), Decimal("10.0"))}
    assert shown["2"] == {"id": (None, 2), "worth": (None, 20)}
    assert "coin 1: different (worth: row Decimal('10.00'), log Decimal('10.0'))" in str(report)


def test_the_first_hundred_differences_are_shown_and_all_are_counted(damage: Damage) -> None:
    report = damage("INSERT INTO coin SELECT i, i FROM generate_series(1000, 1249) i")
    assert (report.found, len(report.differences)) == (250, 100)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ('DROP TRIGGER "!lithair_guard" ON coin', "missing"),
        ('DROP TRIGGER "!lithair_truncate" ON coin', "missing"),
        ('ALTER TABLE coin DISABLE TRIGGER "!lithair_guard"', "disabled"),
        ('ALTER TABLE coin ENABLE TRIGGER "!lithair_guard"', "disabled"),
        ('COMMENT ON TRIGGER "!lithair_guard" ON coin IS NULL', "outdated"),
        (
            HOLLOW_GUARD,
            "outdated",
        ),
    ],
)
def test_a_guard_that_is_not_as_it_should_be_makes_the_audit_unclean(
    damage: Damage, engine: Engine, run: Run, statement: str, reason: str
) -> None:
    assert damage()
    run(statement)
    report = audit(engine, Coin)
    assert not report
    assert [(problem.subject, problem.reason) for problem in report.guards] == [("coin", reason)]
    assert "create_all" in str(report)
    create_all(engine, Base)
    assert audit(engine, Coin)


def test_a_session_sees_its_own_transaction(damage: Damage, engine: Engine) -> None:
    assert damage()
    with Session(engine) as session:
        session.add(Coin(id=5, worth=Decimal(5)))
        assert audit(session, Coin).rows == 3
        session.flush()
        assert audit(session, Coin).rows == 4
        session.rollback()


def test_what_has_no_events_is_refused(engine: Engine) -> None:
    create_all(engine, Base)
    with pytest.raises(MappingError, match="not event-sourced"):
        audit(engine, Plain)
