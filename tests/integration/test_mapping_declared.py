"""Every way of telling SQLAlchemy about a class: each is event-sourced by the mixin alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, MetaData, String, Table, Text, text
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.ext.declarative import DeferredReflection
from sqlalchemy.orm import (
    DeclarativeBase,
    DeclarativeBaseNoMeta,
    Mapped,
    MappedAsDataclass,
    Session,
    declarative_base,
    declared_attr,
    mapped_column,
    registry,
    relationship,
)
from sqlalchemy.types import NullType

from lithair_sqla import EventSourced, Persistence, StorageConfig, audit, create_all, history, persistence, rebuild
from lithair_sqla.errors import ColumnTypeError, MappingError, OptionError
from lithair_sqla.schema.create import library_of

if TYPE_CHECKING:
    from tests.integration.conftest import Log

Run = Callable[..., Any]


def exercise(engine: Engine, class_: Any, log: Log, *, stream: str | None = None, **values: Any) -> None:
    """Make, change and delete an object of a class with an ``id`` and a ``name``; rebuild it in between."""
    stream = stream or class_.__name__
    with Session(engine) as session:
        item = class_(name="a", **values)
        session.add(item)
        session.commit()
        item.name = "b"
        session.commit()
        assert class_.rebuild_from_events(session, item.id).name == "b"
        assert [event.data["name"] for event in history(session, item)] == ["a", "b"]
        session.delete(item)
        session.commit()
    assert log.kinds(stream) == "cud"


def test_declarative_base_as_a_function(engine: Engine, log: Log) -> None:
    base: Any = declarative_base()

    class Thing(EventSourced, base):  # type: ignore[misc]
        __tablename__ = "thing"
        id = Column(Integer, primary_key=True)
        name = Column(String)

    create_all(engine, base)
    exercise(engine, Thing, log)


def test_a_base_without_a_metaclass(engine: Engine, log: Log) -> None:
    class Base(DeclarativeBaseNoMeta):
        pass

    class Thing(EventSourced, Base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    create_all(engine, Base)
    exercise(engine, Thing, log)


def test_a_base_of_which_every_class_is_event_sourced(engine: Engine, log: Log) -> None:
    class Base(EventSourced, DeclarativeBase):
        __persistence__ = Persistence(snapshot_frequency=2)

    class Named:
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(info=persistence(event="NameSet"))

        @declared_attr.directive
        def __tablename__(cls) -> str:  # noqa: N805 - SQLAlchemy hands it the class
            return cls.__name__.lower()  # type: ignore[attr-defined, no-any-return]

    class Thing(Named, Base):
        pass

    class Other(Named, Base):
        __persistence__ = Persistence(name="Else")

    create_all(engine, Base)
    exercise(engine, Thing, log)
    exercise(engine, Other, log, stream="Else")
    assert log.types("Else") == ["ElseCreated", "NameSet", "ElseDeleted"]


def test_classes_that_are_dataclasses(engine: Engine, log: Log) -> None:
    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Thing(EventSourced, Base, kw_only=True):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        name: Mapped[str] = mapped_column(default="x")
        parts: Mapped[list[Part]] = relationship(default_factory=list)

    class Part(EventSourced, Base, kw_only=True):
        __tablename__ = "part"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        name: Mapped[str]
        thing_id: Mapped[int | None] = mapped_column(ForeignKey("thing.id"), default=None)

    Thing.__annotations__["parts"] = Mapped[list[Part]]
    create_all(engine, Base)
    exercise(engine, Part, log)


Key = Annotated[int, mapped_column(primary_key=True)]
Name = Annotated[str, mapped_column(Text, info=persistence(event="Renamed"))]


def test_annotated_columns(engine: Engine, log: Log) -> None:
    class Base(DeclarativeBase):
        pass

    class Thing(EventSourced, Base):
        __tablename__ = "thing"
        id: Mapped[Key]
        name: Mapped[Name]

    create_all(engine, Base)
    exercise(engine, Thing, log)
    assert log.types() == ["ThingCreated", "Renamed", "ThingDeleted"]


def test_an_imperative_mapping(engine: Engine, log: Log) -> None:
    mapping = registry()

    class Thing(EventSourced):
        __lithair_columns__ = {"name": persistence(event="Renamed")}  # noqa: RUF012

        def __init__(self, name: str) -> None:
            self.name = name

    table = Table("thing", mapping.metadata, Column("id", Integer, primary_key=True), Column("label", String))
    mapping.map_imperatively(Thing, table, properties={"name": table.c.label})
    create_all(engine, mapping.metadata)
    with Session(engine) as session:
        session.add(Thing("a"))
        session.commit()
        session.query(Thing).one().name = "b"
        session.commit()
    assert log.types() == ["ThingCreated", "Renamed"] or log.types() == ["ThingCreated", "ThingUpdated"]
    assert log.data()[-1] == {"label": "b"}


def test_reflected_tables(engine: Engine, log: Log, run: Run) -> None:
    run("CREATE TABLE thing (id serial PRIMARY KEY, name text, tags text[] DEFAULT '{}', doc jsonb)")

    class Base(DeclarativeBase):
        pass

    class Reflected(DeferredReflection):
        __abstract__ = True

    class Thing(EventSourced, Reflected, Base):
        __tablename__ = "thing"
        __lithair_columns__ = {"name": persistence(event="Renamed")}  # noqa: RUF012

    Reflected.prepare(engine)
    create_all(engine, Base)
    exercise(engine, Thing, log)
    assert log.types() == ["ThingCreated", "Renamed", "ThingDeleted"]


def test_automap(engine: Engine, log: Log, run: Run) -> None:
    run("CREATE TABLE owner (id serial PRIMARY KEY, name text)")
    run("CREATE TABLE thing (id serial PRIMARY KEY, name text)")
    run(
        "CREATE TABLE owner_thing (owner_id int REFERENCES owner, "
        "thing_id int REFERENCES thing, PRIMARY KEY (owner_id, thing_id))"
    )
    base: Any = automap_base()

    class Thing(EventSourced, base):  # type: ignore[misc]
        __tablename__ = "thing"

    base.prepare(autoload_with=engine)
    create_all(engine, base)
    exercise(engine, Thing, log)
    owner = base.classes.owner(name="o", thing_collection=[Thing(name="t")])
    assert Thing.owner_collection.property.secondary is base.metadata.tables["owner_thing"]
    with Session(engine) as session:
        session.add(owner)
        session.commit()
    assert log.kinds("owner_thing") == "c"


def test_a_table_in_a_schema_of_its_own(engine: Engine, log: Log, run: Run) -> None:
    run('CREATE SCHEMA "Shop 1"')
    run("CREATE SCHEMA shop")

    class Base(DeclarativeBase):
        pass

    class Thing(EventSourced, Base):
        __tablename__ = "b"
        __table_args__ = {"schema": "Shop 1"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Other(EventSourced, Base):
        __tablename__ = "b"
        __table_args__ = {"schema": "shop"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Third(EventSourced, Base):
        __tablename__ = "shop_b"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    create_all(engine, Base)
    for class_ in (Thing, Other, Third):
        exercise(engine, class_, log)
        with Session(engine) as session:
            session.add(class_(name="stays"))
            session.commit()
        rebuild(engine, class_)


def test_the_librarys_objects_in_a_schema_of_their_own(engine: Engine, run: Run) -> None:
    run("CREATE SCHEMA tenant")

    class Base(DeclarativeBase):
        pass

    class Thing(EventSourced, Base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    create_all(engine, Base, config=StorageConfig(schema="Log's", prefix="es_"))
    with Session(engine) as session:
        session.add(Thing(name="a"))
        session.commit()
        session.scalars(text("SELECT 1"))
        assert Thing.rebuild_from_events(session, 1).name == "a"
    assert run('SELECT type FROM "Log\'s".es_events') == [("ThingCreated",)]
    assert run("SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'thing'") == [("public",)]


def test_a_schema_translate_map_gives_each_tenant_a_log_of_its_own(engine: Engine, run: Run) -> None:
    class Base(DeclarativeBase):
        pass

    class Thing(EventSourced, Base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    tenants = {}
    for tenant in ("ana", "bob"):
        run(f"CREATE SCHEMA {tenant}")
        tenants[tenant] = engine.execution_options(schema_translate_map={None: tenant})
        create_all(tenants[tenant], Base)
    for tenant, other in tenants.items():
        with Session(other) as session:
            thing = Thing(name=tenant)
            session.add(thing)
            session.commit()
            thing.name += "!"
            session.commit()
            assert Thing.rebuild_from_events(session, 1).name == f"{tenant}!"
            assert audit(session, Thing)
            assert len(history(session, thing)) == 2
        assert run(f"SELECT type FROM {tenant}.lithair_events") == [("ThingCreated",), ("ThingUpdated",)]
    with Session(engine.execution_options(schema_translate_map={None: "ana"})) as session:
        session.execute(text("UPDATE ana.thing SET name = 'sql'"))
        session.commit()
        assert Thing.rebuild_from_events(session, 1).name == "sql"
    rebuild(tenants["bob"], Thing)


def test_two_tables_of_one_database_may_not_share_a_stream_name(engine: Engine) -> None:
    bases = []
    for name in ("thing", "other"):

        class Base(DeclarativeBase):
            pass

        class Thing(EventSourced, Base):
            __tablename__ = name
            id: Mapped[int] = mapped_column(primary_key=True)

        bases.append(Base)
    create_all(engine, bases[0])
    with pytest.raises(MappingError, match=r"public.*other.* streams named 'Thing'.*Persistence\(name"):
        create_all(engine, bases[1])


def test_two_classes_of_one_metadata_may_not_share_a_stream_name() -> None:
    class Base(DeclarativeBase):
        pass

    class Thing(EventSourced, Base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)

    with pytest.raises(MappingError, match="streams named 'Thing'"):

        class Other(EventSourced, Base):
            __tablename__ = "other"
            __persistence__ = Persistence(name="Thing")
            id: Mapped[int] = mapped_column(primary_key=True)


def test_the_mixin_behind_the_base_is_refused() -> None:
    class Base(DeclarativeBase):
        pass

    with pytest.raises(MappingError, match=r"class Thing\(EventSourced, Base\)"):

        class Thing(Base, EventSourced):
            __tablename__ = "thing"
            id: Mapped[int] = mapped_column(primary_key=True)


def test_a_class_without_a_primary_key_in_its_table_is_refused() -> None:
    class Base(DeclarativeBase):
        pass

    with pytest.raises(MappingError, match="table thing has no primary key"):

        class Thing(EventSourced, Base):
            __tablename__ = "thing"
            number: Mapped[int] = mapped_column()
            __mapper_args__ = {"primary_key": [number]}  # noqa: RUF012


def test_a_column_of_no_known_type_is_refused() -> None:
    class Base(DeclarativeBase):
        pass

    with pytest.raises(ColumnTypeError, match=r"Thing\.odd has no known type"):

        class Thing(EventSourced, Base):
            __table__ = Table("thing", Base.metadata, Column("id", Integer, primary_key=True), Column("odd", NullType))


def test_options_of_a_column_that_is_not_there_are_refused() -> None:
    class Base(DeclarativeBase):
        pass

    with pytest.raises(OptionError, match="'nmae'"):

        class Thing(EventSourced, Base):
            __tablename__ = "thing"
            __lithair_columns__ = {"nmae": persistence(event="Renamed")}  # noqa: RUF012
            id: Mapped[int] = mapped_column(primary_key=True)


def test_library_of_something_else_is_an_error_that_says_so() -> None:
    with pytest.raises(OptionError, match="MetaData or a declarative base"):
        library_of(object())
    assert library_of(MetaData()).all
