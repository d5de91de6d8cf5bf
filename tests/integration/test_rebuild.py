"""A table comes back from its log, whatever had become of it, and nothing is logged again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, ForeignKey
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from lithair_sqla import EventSourced, create_all, rebuild
from lithair_sqla.errors import ReplayError

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]


class Base(DeclarativeBase):
    pass


class Person(EventSourced, Base):
    __tablename__ = "person"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    boss_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    boss: Mapped[Person | None] = relationship(remote_side="Person.id")


class Badge(EventSourced, Base):
    __tablename__ = "badge"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)


class Loan(EventSourced, Base):
    __tablename__ = "loan"

    id: Mapped[int] = mapped_column(primary_key=True)
    badge_id: Mapped[int] = mapped_column(ForeignKey("badge.id"))


@pytest.fixture(autouse=True)
def _tables(engine: Engine) -> None:
    create_all(engine, Base)


@pytest.fixture
def damage(run: Run) -> Callable[..., None]:
    """Change a table past its guard."""

    def do(table: str, *statements: str) -> None:
        for trigger in ("!lithair_guard", "!lithair_truncate"):
            run(f'ALTER TABLE {table} DISABLE TRIGGER "{trigger}"')
        for statement in statements:
            run(statement)
        for trigger in ("!lithair_guard", "!lithair_truncate"):
            run(f'ALTER TABLE {table} ENABLE ALWAYS TRIGGER "{trigger}"')

    return do


Damage = Callable[..., None]
BADGES = "INSERT INTO badge (code) SELECT 'b' || i FROM generate_series(1, 10) i"


@pytest.mark.parametrize("batch", [3, 20_000])
def test_a_truncated_table(engine: Engine, run: Run, log: Log, damage: Damage, batch: int) -> None:
    run(BADGES)
    run("DELETE FROM badge WHERE id = 4")
    run("ALTER TABLE loan DROP CONSTRAINT loan_badge_id_fkey")
    before, events = run("SELECT * FROM badge ORDER BY id"), len(log())
    damage("badge", "TRUNCATE badge RESTART IDENTITY")
    seen: list[tuple[int, int]] = []
    report = rebuild(engine, Badge, batch_streams=batch, progress=lambda done, total: seen.append((done, total)))[0]
    assert (report.streams, report.written, report.removed) == (10, 9, 0)
    assert seen[-1] == (10, 10)
    assert len(seen) == (4 if batch == 3 else 1)
    assert run("SELECT * FROM badge ORDER BY id") == before
    assert len(log()) == events
    assert run("SELECT count(*) FROM lithair_checkpoints WHERE name LIKE 'replay:%'") == [(0,)]


def test_a_table_with_missing_extra_and_wrong_rows(engine: Engine, run: Run, log: Log, damage: Damage) -> None:
    run(BADGES)
    before, events = run("SELECT * FROM badge ORDER BY id"), len(log())
    damage(
        "badge",
        "DELETE FROM badge WHERE id = 1",
        "UPDATE badge SET code = 'wrong' WHERE id = 2",
        "INSERT INTO badge VALUES (99, 'b1')",
    )
    report = rebuild(engine, Badge)[0]
    assert (report.written, report.removed) == (2, 1)
    assert run("SELECT * FROM badge ORDER BY id") == before
    assert len(log()) == events
    assert rebuild(engine, Badge)[0].written == 0


def test_rows_that_have_exchanged_unique_values(engine: Engine, run: Run, damage: Damage) -> None:
    run(BADGES)
    run("ALTER TABLE loan DROP CONSTRAINT loan_badge_id_fkey")
    before = run("SELECT * FROM badge ORDER BY id")
    damage(
        "badge",
        "UPDATE badge SET code = 'x' WHERE id = 1",
        "UPDATE badge SET code = 'b1' WHERE id = 9",
        "UPDATE badge SET code = 'b9' WHERE id = 1",
    )
    rebuild(engine, Badge, batch_streams=2)
    assert run("SELECT * FROM badge ORDER BY id") == before


@pytest.mark.lithair_audit(enabled=False)
def test_exchanged_unique_values_that_others_refer_to_are_an_error_that_says_what_to_do(
    engine: Engine, run: Run, damage: Damage
) -> None:
    run(BADGES)
    damage(
        "badge",
        "UPDATE badge SET code = 'x' WHERE id = 1",
        "UPDATE badge SET code = 'b1' WHERE id = 2",
        "UPDATE badge SET code = 'b2' WHERE id = 1",
    )
    with pytest.raises(ReplayError, match=r"rows of loan refer to them"):
        rebuild(engine, Badge)


def test_rows_that_refer_to_rows_of_their_own_table(engine: Engine, run: Run, damage: Damage) -> None:
    with Session(engine) as session:
        session.add_all([Person(id=number) for number in range(1, 8)])
        session.flush()
        for number in range(1, 7):
            session.get_one(Person, number).boss_id = number + 1
        session.commit()
    before = run("SELECT * FROM person ORDER BY id")
    damage("person", "DELETE FROM person")
    rebuild(engine, Person, batch_streams=2)
    assert run("SELECT * FROM person ORDER BY id") == before


def test_triggers_of_the_user_stay_silent_and_are_as_they_were(engine: Engine, run: Run, damage: Damage) -> None:
    run(BADGES)
    run(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS "
        "$f$ BEGIN new.code := 'spoilt' || new.id; RETURN new; END $f$"
    )
    for name in ("plain", "always", "replica", "off"):
        run(f"CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON badge FOR EACH ROW EXECUTE FUNCTION spoil()")
    run("ALTER TABLE badge ENABLE ALWAYS TRIGGER always")
    run("ALTER TABLE badge ENABLE REPLICA TRIGGER replica")
    run("ALTER TABLE badge DISABLE TRIGGER off")
    states = "SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgrelid = 'badge'::regclass ORDER BY 1"
    before = run("SELECT * FROM badge ORDER BY id"), run(states)
    damage("badge", "DELETE FROM badge WHERE id > 3")
    rebuild(engine, Badge)
    assert (run("SELECT * FROM badge ORDER BY id"), run(states)) == before


def test_ids_go_on_behind_the_rows(engine: Engine, run: Run, damage: Damage) -> None:
    run(BADGES)
    damage("badge", "DELETE FROM badge", "ALTER SEQUENCE badge_id_seq RESTART")
    rebuild(engine, Badge)
    run("INSERT INTO badge (code) VALUES ('new')")
    assert run("SELECT max(id) FROM badge") == [(11,)]


@pytest.mark.lithair_audit(enabled=False)
def test_only_the_owner_can_rebuild(engine: Engine, run: Run, role: Callable[..., Engine], damage: Damage) -> None:
    run(BADGES)
    damage("badge", "DELETE FROM badge WHERE id = 1")
    other = role("GRANT ALL ON badge TO {role}", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    with pytest.raises(ProgrammingError, match="permission denied"):
        rebuild(other, Badge)
    assert run("SELECT count(*) FROM badge") == [(9,)]
