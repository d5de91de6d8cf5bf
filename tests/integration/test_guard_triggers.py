"""The user's own triggers, and rows that change more than once in one statement: the log ends where the row does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, Persistence, audit, create_all
from lithair_sqla.errors import GuardError

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]


class Base(DeclarativeBase):
    pass


class Account(EventSourced, Base):
    __tablename__ = "account"
    __persistence__ = Persistence(snapshot_frequency=2)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance: Mapped[int] = mapped_column(default=0)
    note: Mapped[str | None]


@pytest.fixture
def trigger(engine: Engine, run: Run) -> Callable[[str, str, str], None]:
    """Make a row trigger of the user's, with a body in PL/pgSQL."""
    create_all(engine, Base)

    def make(name: str, when: str, body: str) -> None:
        run(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN {body} END $f$")
        run(f'CREATE TRIGGER "{name}" {when} ON account FOR EACH ROW EXECUTE FUNCTION {name}()')

    return make


Trigger = Callable[[str, str, str], None]
THREE = "INSERT INTO account VALUES (1, 10), (2, 20), (3, 30)"


def test_what_a_before_trigger_makes_of_a_row_is_what_is_logged(trigger: Trigger, engine: Engine, log: Log) -> None:
    trigger("doubled", "BEFORE INSERT OR UPDATE", "new.balance := new.balance * 2; new.note := tg_op; RETURN new;")
    with Session(engine) as session:
        account = Account(id=1, balance=5)
        session.add(account)
        session.commit()
        account.balance = 7
        session.commit()
    assert log.data() == [{"id": 1, "balance": 10, "note": "INSERT"}, {"balance": 14, "note": "UPDATE"}]


def test_what_a_before_trigger_forbids_is_not_logged(trigger: Trigger, run: Run, log: Log) -> None:
    trigger("closed", "BEFORE UPDATE OR DELETE", "RETURN NULL;")
    run(THREE)
    run("UPDATE account SET balance = 1")
    run("DELETE FROM account")
    assert log.kinds() == "ccc"


def test_a_before_trigger_that_moves_a_row_to_another_key(trigger: Trigger, run: Run, log: Log) -> None:
    trigger("moved", "BEFORE INSERT OR UPDATE", "new.id := new.id + 100; RETURN new;")
    run(THREE)
    run("UPDATE account SET balance = 0 WHERE id = 101")
    assert log.kinds(key="101") == "cd"
    assert log.kinds(key="201") == "c"


@pytest.mark.parametrize("deferred", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_an_after_trigger_that_writes_its_own_row(engine: Engine, run: Run, log: Log, deferred: str) -> None:
    create_all(engine, Base)
    run(
        "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN "
        "IF new.note IS NULL THEN UPDATE account SET note = 'stamped', balance = 1 WHERE id = new.id; END IF; "
        "RETURN NULL; END $f$"
    )
    kind = "CONSTRAINT TRIGGER" if deferred else "TRIGGER"
    run(f"CREATE {kind} stamp AFTER INSERT OR UPDATE ON account {deferred} FOR EACH ROW EXECUTE FUNCTION stamp()")
    run(THREE)
    run("UPDATE account SET note = NULL")
    assert len(log(key="1")) == 4


# What a trigger on one row does to others of the same statement, and the statements it does it in.
OTHERS = {
    "changes another row": "UPDATE account SET balance = balance + 1000 WHERE id <> {row}.id AND balance < 1000",
    "deletes another row": "DELETE FROM account WHERE id = {row}.id % 3 + 1",
    "moves another row": "UPDATE account SET id = (SELECT max(id) + 50 FROM account) WHERE id = {row}.id % 3 + 1",
    "replaces another row": (
        "DELETE FROM account WHERE id = {row}.id % 3 + 1; "
        "INSERT INTO account VALUES ({row}.id % 3 + 1, 7, 'replaced') ON CONFLICT DO NOTHING"
    ),
    "inserts a row": "INSERT INTO account VALUES ({row}.id + 10, 1) ON CONFLICT (id) DO UPDATE SET balance = 5",
    "brings its own row back": (
        "INSERT INTO account VALUES ({row}.id, 99, 'back') ON CONFLICT (id) DO UPDATE SET balance = account.balance + 1"
    ),
    "takes its own row away": "DELETE FROM account WHERE id = {row}.id",
}
STATEMENTS = {
    "insert": "INSERT INTO account VALUES (1, 10), (2, 20), (3, 30)",
    "upsert": "INSERT INTO account VALUES (1, 11), (2, 21), (3, 31) ON CONFLICT (id) DO UPDATE SET balance = 12",
    "update": "UPDATE account SET balance = balance + 1, note = 'outer'",
    "key change": "UPDATE account SET id = id + 3 WHERE id < 4",
    "delete": "DELETE FROM account WHERE id < 3",
}


@pytest.mark.parametrize("event", ["INSERT", "UPDATE", "DELETE"])
def test_a_trigger_that_writes_other_rows_of_the_same_statement(
    trigger: Trigger, engine: Engine, run: Run, event: str
) -> None:
    row = "old" if event == "DELETE" else "new"
    for what, body in OTHERS.items():
        trigger(
            "meddle",
            f"AFTER {event}",
            f"IF pg_trigger_depth() < 2 THEN {body.format(row=row)}; END IF; RETURN NULL;",
        )
        for name, statement in STATEMENTS.items():
            run(statement)
            with engine.connect() as connection:
                report = audit(connection, Account)
            assert report, f"{what}, by {name}: {report}"
        run("DROP FUNCTION meddle CASCADE")
        run("DELETE FROM account")


def test_a_function_in_set_that_writes_another_row_of_the_statement(engine: Engine, run: Run) -> None:
    create_all(engine, Base)
    run(THREE)
    run(
        "CREATE FUNCTION borrow(lender int) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN "
        "UPDATE account SET balance = balance - 5 WHERE id = lender; RETURN 5; END $f$"
    )
    run("UPDATE account SET balance = balance + borrow(3) WHERE id = 1")
    with Session(engine) as session:
        session.get_one(Account, 1).balance = Account.balance + func.borrow(2)
        session.commit()
        assert session.scalars(select(Account.balance).order_by(Account.id)).all() == [20, 15, 25]


def test_a_function_in_set_that_inserts_and_deletes_rows(engine: Engine, run: Run) -> None:
    create_all(engine, Base)
    run(THREE)
    run(
        "CREATE FUNCTION churn(n int) RETURNS int LANGUAGE plpgsql AS $f$ BEGIN "
        "DELETE FROM account WHERE id = n; INSERT INTO account VALUES (n, 1); "
        "UPDATE account SET balance = 2 WHERE id = n; RETURN n; END $f$"
    )
    run("UPDATE account SET balance = churn(3) WHERE id = 1")
    run("INSERT INTO account SELECT churn(3) + 10, churn(2)")


def test_a_statement_that_changes_nothing_writes_nothing(engine: Engine, run: Run, log: Log) -> None:
    create_all(engine, Base)
    run(THREE)
    assert run("UPDATE account SET balance = balance, note = note") == 3
    assert run("UPDATE account SET balance = 1 WHERE false") == 0
    assert log.kinds() == "ccc"


def test_the_guard_fires_where_replication_silences_other_triggers(engine: Engine, run: Run, log: Log) -> None:
    create_all(engine, Base)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(THREE)
        connection.exec_driver_sql("DELETE FROM account WHERE id = 2")
    assert log.kinds() == "cccd"


def test_a_column_that_the_guard_does_not_know_is_captured_all_the_same(engine: Engine, run: Run, log: Log) -> None:
    create_all(engine, Base)
    run(THREE)
    run("ALTER TABLE account ADD COLUMN extra numeric")
    run("UPDATE account SET extra = 1.0 WHERE id = 1")
    run("UPDATE account SET extra = 1.00 WHERE id = 1")
    run("UPDATE account SET extra = 1.00 WHERE id = 1")
    run("UPDATE account SET balance = 0, extra = 2 WHERE id = 1")
    run("INSERT INTO account VALUES (4, 40, 'x', 5)")
    texts = run(
        "SELECT e.data->>'extra', e.meta->>'guard' FROM lithair_events e JOIN lithair_streams s ON s.id = e.stream_id "
        "WHERE s.key = '1' ORDER BY e.version"
    )
    assert [tuple(row) for row in texts] == [(None, None), ("1.0", "generic"), ("1.00", "generic"), ("2", "generic")]
    assert log.data(key="4") == [{"id": 4, "balance": 40, "note": "x", "extra": 5}]


def test_a_column_that_was_dropped_under_its_guard_is_an_error_that_says_so(engine: Engine, run: Run) -> None:
    create_all(engine, Base)
    run(THREE)
    run("ALTER TABLE account RENAME COLUMN note TO remark")
    with pytest.raises(GuardError, match=r"table account no longer fits .*create_all") as caught:
        run("UPDATE account SET balance = 1")
    assert (caught.value.table, caught.value.reason) == ("account", "outdated")
    run("ALTER TABLE account RENAME COLUMN remark TO note")
