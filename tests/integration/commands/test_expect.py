"""``expect``: a change goes through only if its object's stream is where the application read it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from lithair_sqla import ConcurrencyError, EventSourced, StreamId, emits, expect, record
from lithair_sqla.errors import CommandError


class Base(DeclarativeBase):
    pass


class Account(EventSourced, Base):
    __tablename__ = "account"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "account"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    balance: Mapped[int] = mapped_column(default=0)

    @emits("Deposited")
    def deposit(self, amount: int) -> None:
        self.balance += amount


class Savings(Account):
    __tablename__ = "savings"
    __mapper_args__ = {"polymorphic_identity": "savings"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
    rate: Mapped[int] = mapped_column(default=1)


@pytest.fixture
def account(session: Session) -> Account:
    """An account that is committed, at version 1."""
    made = Account(balance=0)
    session.add(made)
    session.commit()
    return made


def balance(engine: Engine, account: Account) -> int:
    with engine.connect() as connection:
        return connection.execute(select(Account.balance).where(Account.id == account.id)).scalar_one()


def elsewhere(engine: Engine, account: Account, value: int) -> None:
    """Change the account in another transaction."""
    with Session(engine) as other:
        other.get_one(Account, account.id).balance = value
        other.commit()


def test_a_change_at_the_expected_version_goes_through(session: Session, account: Account, log: Any) -> None:
    expect(session, account, version=1)
    account.balance = 5
    session.commit()
    expect(session, account, version=2)
    account.deposit(5)
    session.commit()

    assert log.kinds("Account", str(account.id)) == "cuu"


def test_a_change_at_another_version_is_a_conflict_that_says_which(
    engine: Engine, session: Session, account: Account
) -> None:
    elsewhere(engine, account, 7)
    key = str(account.id)
    session.refresh(account)
    expect(session, account, version=1)
    account.balance = 5
    other = Account()
    session.add(other)

    with pytest.raises(ConcurrencyError, match=rf"Account\({key}\): expected version 1, is at version 2") as raised:
        session.commit()

    (conflict,) = raised.value.conflicts
    assert (conflict.stream, conflict.expected, conflict.actual) == (StreamId("Account", key), 1, 2)
    assert isinstance(raised.value, StaleDataError)
    session.rollback()
    assert balance(engine, account) == 7
    assert session.scalar(select(Account).where(Account.balance == 5)) is None


def test_every_conflict_is_named(engine: Engine, session: Session) -> None:
    accounts = [Account() for _ in range(12)]
    session.add_all(accounts)
    session.commit()
    for number, account in enumerate(accounts):
        expect(session, account, version=1 if number % 2 else 9)
        account.balance = 1

    with pytest.raises(ConcurrencyError) as raised:
        session.commit()

    assert [conflict.actual for conflict in raised.value.conflicts] == [1] * 6
    session.rollback()


def test_a_conflict_that_came_between_reading_and_writing(engine: Engine, session: Session, account: Account) -> None:
    assert account.balance == 0
    session.commit()
    session.refresh(account)
    expect(session, account, version=1)
    account.balance = 5
    elsewhere(engine, account, 7)

    with pytest.raises(ConcurrencyError, match="expected version 1, is at version 2"):
        session.commit()
    session.rollback()


def test_without_a_change_the_commit_checks(engine: Engine, session: Session, account: Account) -> None:
    expect(session, account, version=1)
    session.commit()
    expect(session, account, version=2)
    with pytest.raises(ConcurrencyError, match="expected version 2, is at version 1"):
        session.commit()
    session.rollback()


def test_a_new_object_is_expected_at_zero(session: Session, account: Account, log: Any) -> None:
    new = Account()
    session.add(new)
    expect(session, new, version=0)
    session.commit()
    assert log.kinds("Account", str(new.id)) == "c"

    expect(session, account, version=0)
    account.balance = 1
    with pytest.raises(ConcurrencyError, match="expected no stream, is at version 1"):
        session.commit()
    session.rollback()


def test_a_key_that_was_used_before_is_not_new(session: Session, account: Account) -> None:
    key = account.id
    session.delete(account)
    session.commit()

    again = Account(id=key)
    session.add(again)
    expect(session, again, version=0)
    with pytest.raises(ConcurrencyError, match="expected no stream, is at version 2"):
        session.commit()
    session.rollback()


def test_a_delete_can_be_expected(session: Session, account: Account, log: Any) -> None:
    key = account.id
    expect(session, account, version=2)
    session.delete(account)
    with pytest.raises(ConcurrencyError):
        session.commit()
    session.rollback()

    expect(session, account, version=1)
    session.delete(account)
    session.commit()
    assert log.kinds("Account", str(key)) == "cd"


def test_what_was_flushed_before_does_not_count(session: Session, account: Account, log: Any) -> None:
    account.balance = 1
    session.flush()
    expect(session, account, version=2)
    account.balance = 2
    session.commit()
    assert log.kinds("Account", str(account.id)) == "cuu"

    account.balance = 3
    session.flush()
    expect(session, account, version=3)
    account.balance = 4
    with pytest.raises(ConcurrencyError, match="expected version 3, is at version 4"):
        session.commit()
    session.rollback()


@pytest.mark.parametrize("how", ["orm", "text"])
def test_what_a_bulk_statement_wrote_before_does_not_count(session: Session, account: Account, how: str) -> None:
    statement = update(Account).values(balance=9).where(Account.id == account.id)
    session.execute(statement if how == "orm" else text(f"UPDATE account SET balance = 9 WHERE id = {account.id}"))
    expect(session, account, version=2)
    session.execute(update(Account).values(balance=10).where(Account.id == account.id))
    session.commit()


def test_a_bulk_statement_is_held_to_it(session: Session, account: Account) -> None:
    expect(session, account, version=5)
    session.execute(update(Account).values(balance=9).where(Account.id == account.id))
    with pytest.raises(ConcurrencyError, match="expected version 5, is at version 1"):
        session.commit()
    session.rollback()


def test_several_changes_after_it_are_one_to_it(session: Session, account: Account, log: Any) -> None:
    expect(session, account, version=1)
    account.deposit(1)
    account.deposit(2)
    record(account, "Seen")
    account.balance = 7
    session.commit()

    assert log.kinds("Account", str(account.id)) == "cuun"


def test_it_outlives_the_rollback_of_a_savepoint(engine: Engine, session: Session, account: Account) -> None:
    session.refresh(account)
    expect(session, account, version=1)
    savepoint = session.begin_nested()
    account.balance = 1
    session.flush()
    savepoint.rollback()
    elsewhere(engine, account, 7)
    session.refresh(account)
    account.balance = 2

    with pytest.raises(ConcurrencyError, match="expected version 1, is at version 2"):
        session.commit()
    session.rollback()
    assert balance(engine, account) == 7


def test_one_stated_in_a_savepoint_outlives_it_too(engine: Engine, session: Session, account: Account) -> None:
    savepoint = session.begin_nested()
    expect(session, account, version=4)
    savepoint.rollback()

    with pytest.raises(ConcurrencyError):
        session.commit()
    session.rollback()


def test_a_conflict_in_a_savepoint_rolls_it_back_and_comes_again(session: Session, account: Account) -> None:
    expect(session, account, version=4)
    savepoint = session.begin_nested()
    account.balance = 5
    with pytest.raises(ConcurrencyError):
        session.flush()
    savepoint.rollback()
    with pytest.raises(ConcurrencyError):
        session.commit()
    session.rollback()


def test_joined_inheritance_expects_the_version_of_the_base_table(session: Session, log: Any) -> None:
    savings = Savings(balance=1)
    session.add(savings)
    session.commit()
    savings.rate = 2
    session.commit()

    expect(session, savings, version=1)
    savings.balance = 2
    session.commit()

    assert log.kinds("Account", str(savings.id)) == "cu"


def test_it_costs_one_statement_and_no_change_one_more_than_nothing(
    engine: Engine, session: Session, account: Account, count_statements: Callable[..., AbstractContextManager[Any]]
) -> None:
    session.refresh(account)
    with count_statements(engine) as counted:
        expect(session, account, version=1)
        account.balance = 5
        session.commit()
    assert len(counted) == 2, counted

    session.refresh(account)
    with count_statements(engine) as counted:
        expect(session, account, version=2)
        session.commit()
    assert len(counted) == 1, counted


def test_what_expect_refuses(engine: Engine, session: Session, account: Account) -> None:
    with Session(engine) as other:
        found = other.get_one(Account, account.id)
        with pytest.raises(CommandError, match="belongs to another session"):
            expect(session, found, version=1)
    with pytest.raises(CommandError, match="is in no session"):
        expect(session, Account(), version=0)
    with pytest.raises(CommandError, match="not an object of an event-sourced class"):
        expect(session, "account", version=1)
    wrong: Any
    for wrong in (-1, 1.5, "1", True, None):
        with pytest.raises(CommandError, match="must be an integer from 0"):
            expect(session, account, version=wrong)


def test_at_repeatable_read_a_conflict_may_be_postgresqls_own(engine: Engine, account: Account) -> None:
    with Session(engine.execution_options(isolation_level="REPEATABLE READ")) as session:
        found = session.get_one(Account, account.id)
        elsewhere(engine, account, 7)
        expect(session, found, version=1)
        found.balance = 5
        with pytest.raises(OperationalError, match="could not serialize access"):
            session.commit()


OTHER = """
import sys
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from lithair_sqla import ConcurrencyError, EventSourced, expect

class Base(DeclarativeBase):
    pass

class Account(EventSourced, Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    balance: Mapped[int] = mapped_column(default=0)

url, key = sys.argv[1:]
engine = create_engine(url)
won = 0
with Session(engine) as session:
    print("ready", flush=True)
    for line in sys.stdin:
        version = int(line)
        account = session.get(Account, int(key), populate_existing=True)
        account.balance += 1
        expect(session, account, version=version)
        try:
            session.commit()
            print("won", flush=True)
        except ConcurrencyError as error:
            session.rollback()
            print("lost", error.conflicts[0].actual, flush=True)
engine.dispose()
"""


def test_of_two_processes_that_expect_the_same_version_one_wins(
    engine: Engine, account: Account, process: Callable[..., Any]
) -> None:
    both = [process(OTHER, str(account.id)) for _ in range(2)]
    assert [one.hear() for one in both] == ["ready"] * 2

    for version in range(1, 13):
        for one in both:
            one.tell(str(version))
        assert sorted(one.hear() for one in both) == [f"lost {version + 1}", "won"]

    assert [one.end() for one in both] == ["", ""]
    assert balance(engine, account) == 12
