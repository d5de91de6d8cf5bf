"""Encrypted columns: ciphertext in row, log and snapshot; plain values in Python; equality by the blind index."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from sqlalchemy import Engine, ForeignKey, String, bindparam, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from lithair_sqla import EventSourced, Lithair, Persistence, as_of, audit, persistence
from lithair_sqla.codec.sealing import DataKey, MemoryKeyRing
from lithair_sqla.errors import EncryptionError, OptionError, SealedQueryError, SealedValueError, UnknownKeyError
from lithair_sqla.model.rebuild import rebuild

FIRST, SECOND = DataKey(1, b"a" * 32), DataKey(2, b"b" * 32)


class Base(DeclarativeBase):
    pass


class Person(EventSourced, Base):
    __tablename__ = "person"
    __persistence__ = Persistence(snapshot_frequency=2)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(info=persistence(encrypted=True, searchable=True))
    email: Mapped[str | None] = mapped_column(
        String(50), unique=True, info=persistence(encrypted=True, searchable=True)
    )
    salary: Mapped[Decimal | None] = mapped_column(info=persistence(encrypted=True))
    city: Mapped[str] = mapped_column(default="Lyon")


@pytest.fixture
def store(engine: Engine) -> Iterator[Engine]:
    Lithair(Base, keys=MemoryKeyRing(FIRST)).create_all(engine)
    yield engine
    Lithair(Base, keys=MemoryKeyRing(FIRST, SECOND, current=1))
    with engine.connect() as connection:
        report = audit(connection, Person)
    assert report, str(report)


@pytest.fixture
def people(store: Engine) -> Engine:
    with Session(store) as session:
        session.add_all(
            [
                Person(id=1, name="Ana Secret", email="ana@example.org", salary=Decimal("10.50")),
                Person(id=2, name="Bob Hidden", email=None, salary=None),
                Person(id=3, name="Ana Secret", email="other@example.org"),
            ]
        )
        session.commit()
    return store


def test_the_database_never_sees_a_plain_value(people: Engine) -> None:
    with Session(people) as session:
        person = session.get_one(Person, 1)
        person.name = "Ana Later"
        session.commit()
    with people.connect() as connection:
        tables = ["person", "lithair_events", "lithair_snapshots"]
        shown = "".join(str(connection.execute(text(f"SELECT t::text FROM {table} t")).all()) for table in tables)

    for plain in ("Ana", "Secret", "Hidden", "example.org", "10.50"):
        assert plain not in shown
        assert plain.encode().hex() not in shown


def test_values_come_back_in_their_own_types(people: Engine) -> None:
    with Session(people) as session:
        ana, bob = session.get_one(Person, 1), session.get_one(Person, 2)

        assert (ana.name, ana.email, ana.salary) == ("Ana Secret", "ana@example.org", Decimal("10.50"))
        assert (bob.email, bob.salary) == (None, None)
        assert session.scalars(select(Person.name).where(Person.id == 2)).one() == "Bob Hidden"


def test_equal_values_are_found(people: Engine) -> None:
    other = aliased(Person)
    with Session(people) as session:

        def ids(condition: object) -> list[int]:
            return list(session.scalars(select(Person.id).where(condition).order_by(Person.id)))  # type: ignore[arg-type]

        assert ids(Person.name == "Ana Secret") == [1, 3]
        assert ids(Person.name != "Ana Secret") == [2]
        assert ids(Person.name.in_(["Bob Hidden", "Nobody"])) == [2]
        assert ids(Person.name.not_in(["Bob Hidden", "Nobody"])) == [1, 3]
        assert ids(Person.name.in_([])) == []
        assert ids(Person.email.is_(None)) == [2]
        assert ids(Person.email == None) == [2]  # noqa: E711 - what it tests
        assert ids(Person.email.is_not(None)) == [1, 3]
        assert list(session.scalars(select(other.id).where(other.name == "Bob Hidden"))) == [2]
        assert session.query(Person).filter_by(name="Bob Hidden").one().id == 2
        named = select(Person.id).where(Person.name == bindparam("wanted"))
        assert list(session.scalars(named, {"wanted": "Bob Hidden"})) == [2]
        assert list(session.scalars(named, {"wanted": "Nobody"})) == []
        inner = select(Person.id).where(Person.name == "Ana Secret").subquery()
        assert session.scalar(select(func.count()).select_from(inner)) == 2
        assert Person.name in {Person.name: 1}


def test_the_blind_index_is_used(people: Engine) -> None:
    with Session(people) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        sql = str(select(Person.id).where(Person.name == "Bob Hidden").compile(people))
        plan = session.connection().exec_driver_sql(f"EXPLAIN {sql}", {"param_1": [b"x" * 16]})

        assert "ix_person_name_sealed" in "\n".join(row[0] for row in plan)


def test_a_unique_searchable_column_stays_unique(people: Engine) -> None:
    with Session(people) as session:
        session.add(Person(id=9, name="x", email="ana@example.org"))
        with pytest.raises(IntegrityError):
            session.commit()


def test_bulk_and_core_writes_are_sealed(people: Engine) -> None:
    with Session(people) as session:
        session.execute(insert(Person), [{"id": 10, "name": "Bulk", "city": "Paris"}])
        session.execute(update(Person).where(Person.name == "Bulk").values(name="Changed", salary=Decimal(7)))
        session.execute(update(Person), [{"id": 3, "name": "By key"}])
        session.commit()

        assert session.get_one(Person, 10).name == "Changed"
        assert session.get_one(Person, 10).salary == Decimal(7)
        assert session.get_one(Person, 3).name == "By key"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: Person.name < "x",
        lambda: Person.name.like("A%"),
        lambda: Person.name.startswith("A"),
        lambda: Person.name.between("a", "b"),
        Person.name.desc,
        lambda: Person.salary == Decimal(1),
        lambda: Person.salary.in_([Decimal(1)]),
    ],
)
def test_what_ciphertext_cannot_answer_is_refused(ask: object) -> None:
    with pytest.raises(SealedQueryError, match=r"person\.(name|salary) is encrypted"):
        ask()  # type: ignore[operator]


@pytest.mark.parametrize("clause", ["order_by", "group_by"])
def test_ordering_and_grouping_by_ciphertext_are_refused(people: Engine, clause: str) -> None:
    statement = getattr(select(Person.name), clause)(Person.name)
    with Session(people) as session, pytest.raises(SealedQueryError, match="has no meaning"):
        session.execute(statement)


def test_a_table_is_rebuilt_from_its_sealed_log_and_the_past_opens(people: Engine) -> None:
    with Session(people) as session:
        position = session.execute(text("SELECT max(position) FROM lithair_events")).scalar_one()
        session.get_one(Person, 1).name = "Later"
        session.commit()
    with people.begin() as connection:
        connection.execute(text('ALTER TABLE person DISABLE TRIGGER "!lithair_guard"'))
        connection.execute(text("DELETE FROM person"))
        connection.execute(text('ALTER TABLE person ENABLE ALWAYS TRIGGER "!lithair_guard"'))

    rebuild(people, Person)

    with Session(people) as session:
        assert session.get_one(Person, 1).name == "Later"
        assert Person.rebuild_from_events(session, 1).name == "Later"
        with as_of(session, position) as past:
            assert past.get_one(Person, 1).name == "Ana Secret"
            assert [person.id for person in past.scalars(select(Person).where(Person.name == "Bob Hidden"))] == [2]


def test_values_of_an_older_key_open_while_new_ones_take_the_current(people: Engine) -> None:
    Lithair(Base, keys=MemoryKeyRing(FIRST, SECOND))
    with Session(people) as session:
        session.add(Person(id=20, name="Ana Secret"))
        session.commit()

        assert session.get_one(Person, 1).name == "Ana Secret"
        assert list(session.scalars(select(Person.id).where(Person.name == "Ana Secret").order_by(Person.id))) == [
            1,
            3,
            20,
        ]


def test_a_missing_or_wrong_key_names_its_id_and_shows_nothing(people: Engine) -> None:
    Lithair(Base, keys=MemoryKeyRing(SECOND))
    with Session(people) as session, pytest.raises(UnknownKeyError, match="sealed with key 1"):
        session.get(Person, 1)
    Lithair(Base, keys=MemoryKeyRing(DataKey(1, b"z" * 32)))
    with Session(people) as session, pytest.raises(SealedValueError, match="key 1") as caught:
        session.get(Person, 1)
    assert "zzzz" not in str(caught.value)


def test_a_ciphertext_moved_to_another_column_is_found_when_read(people: Engine) -> None:
    with people.begin() as connection:
        connection.execute(text("UPDATE person SET email = name WHERE id = 1"))
    with Session(people) as session, pytest.raises(SealedValueError, match=r"person\.email"):
        session.get(Person, 1)


def test_options_that_cannot_work_are_refused() -> None:
    class Own(DeclarativeBase):
        pass

    with pytest.raises(OptionError, match=r"Key\.id cannot be encrypted: a primary key"):
        type(
            "Key",
            (EventSourced, Own),
            {
                "__tablename__": "key",
                "__annotations__": {"id": Mapped[int]},
                "id": mapped_column(primary_key=True, info=persistence(encrypted=True)),
            },
        )
    with pytest.raises(OptionError, match="foreign key"):
        type(
            "Child",
            (EventSourced, Own),
            {
                "__tablename__": "child",
                "__annotations__": {"id": Mapped[int], "parent": Mapped[int]},
                "id": mapped_column(primary_key=True),
                "parent": mapped_column(ForeignKey("child.id"), info=persistence(encrypted=True)),
            },
        )
    with pytest.raises(OptionError, match="unique needs searchable"):
        type(
            "Only",
            (EventSourced, Own),
            {
                "__tablename__": "only_one",
                "__annotations__": {"id": Mapped[int], "name": Mapped[str]},
                "id": mapped_column(primary_key=True),
                "name": mapped_column(unique=True, info=persistence(encrypted=True)),
            },
        )


def test_without_keys_the_error_says_how_to_give_them(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(DeclarativeBase):
        pass

    class Thing(EventSourced, Own):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(info=persistence(encrypted=True))

    monkeypatch.delenv("LITHAIR_KEYS", raising=False)
    Lithair(Own).create_all(engine)
    with Session(engine) as session:
        session.add(Thing(id=1, name="x"))
        with pytest.raises(StatementError, match=r"thing\.name is encrypted and there are no keys") as caught:
            session.commit()
    assert isinstance(caught.value.orig, EncryptionError)
