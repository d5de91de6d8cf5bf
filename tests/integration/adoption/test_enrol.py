"""``enrol``: a class or a table that one cannot edit becomes what the mixin would have made of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, MetaData, String, Table, insert, select, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    declarative_base,
    mapped_column,
    registry,
    relationship,
)

from lithair_sqla import (
    EventSourced,
    Persistence,
    adopt,
    audit,
    context,
    create_all,
    enrol,
    expect,
    history,
    persistence,
    record,
)
from lithair_sqla.errors import MappingError, OptionError


class Forum:
    """An application of somebody else's: inheritance of all kinds, an association table, a table without a class."""

    def __init__(self) -> None:
        base: Any = declarative_base()

        class Person(base):  # type: ignore[misc]
            __tablename__ = "person"
            __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012
            id = Column(Integer, primary_key=True)
            kind = Column(String, nullable=False)
            name = Column(String)

        class Guest(Person):
            __mapper_args__ = {"polymorphic_identity": "guest"}  # noqa: RUF012
            nick = Column(String)

        class Member(Person):
            __tablename__ = "member"
            __mapper_args__ = {"polymorphic_identity": "member"}  # noqa: RUF012
            id: Any = Column(ForeignKey("person.id"), primary_key=True)
            points = Column(Integer, default=0)
            topics = relationship("Topic", secondary=lambda: self.follows, backref="followers")

        class Topic(base):  # type: ignore[misc]
            __tablename__ = "topic"
            id = Column(Integer, primary_key=True)
            title = Column(String)

        self.base = base
        self.person: Any = Person
        self.guest: Any = Guest
        self.member: Any = Member
        self.topic: Any = Topic
        self.follows = Table(
            "follows",
            base.metadata,
            Column("member_id", ForeignKey("member.id"), primary_key=True),
            Column("topic_id", ForeignKey("topic.id"), primary_key=True),
        )
        self.setting = Table(
            "setting", base.metadata, Column("key", String, primary_key=True), Column("value", Integer)
        )


@pytest.fixture
def forum() -> Forum:
    """The application, before anything of it is enrolled."""
    return Forum()


def test_a_class_comes_with_its_subclasses_and_their_association_tables(engine: Engine, forum: Forum, log: Any) -> None:
    enrol(forum.person, columns={"name": persistence(event="PersonRenamed")})
    create_all(engine, forum.base)
    with Session(engine) as session:
        member = forum.member(name="ana", topics=[forum.topic(title="a")])
        session.add_all([member, forum.guest(name="ben", nick="b")])
        session.commit()
        member.name = "anna"
        member.points = 5
        member.topics.clear()
        session.commit()
        assert audit(session, forum.member)
        key = member.id

    assert log.types("Person", str(key)) == ["PersonCreated", "PersonRenamed"]
    assert log.types("Member", str(key)) == ["MemberCreated", "MemberUpdated"]
    assert log.kinds("follows") == "cd"
    assert log.kinds("Topic") == ""


def test_what_is_enrolled_takes_notes_expectations_and_contexts(engine: Engine, forum: Forum, log: Any) -> None:
    enrol(forum.person)
    create_all(engine, forum.base)
    with Session(engine) as session, context(user_id="ana"):
        guest = forum.guest(name="ben")
        session.add(guest)
        session.commit()
        expect(session, guest, version=1)
        guest.nick = "b"
        record(guest, "GuestGreeted", how="loud")
        session.commit()
        assert [event.type for event in history(session, guest)] == ["PersonCreated", "PersonUpdated", "GuestGreeted"]

    assert {event.actor for event in log()} == {"ana"}


def test_a_subclass_alone(engine: Engine, forum: Forum, log: Any) -> None:
    enrol(forum.member, Persistence(name="ForumMember"))
    create_all(engine, forum.base)
    with Session(engine) as session:
        session.add(forum.member(name="ana", points=1))
        session.commit()
        assert audit(session, forum.member)

    assert log.types() == ["ForumMemberCreated"]


def test_subclasses_that_are_mapped_later_come_along(engine: Engine, forum: Forum, log: Any) -> None:
    enrol(forum.person)

    class Admin(forum.person):  # type: ignore[misc, name-defined]
        __tablename__ = "admin"
        __mapper_args__ = {"polymorphic_identity": "admin"}  # noqa: RUF012
        id: Any = Column(ForeignKey("person.id"), primary_key=True)
        level = Column(Integer)

    class Ghost(forum.guest):  # type: ignore[misc, name-defined]
        __mapper_args__ = {"polymorphic_identity": "ghost"}  # noqa: RUF012

    create_all(engine, forum.base)
    with Session(engine) as session:
        admin, ghost = Admin(name="ana", level=1), Ghost(name="ben")
        session.add_all([admin, ghost])
        session.commit()
        record(ghost, "GhostSeen")
        session.commit()
        assert audit(session, Admin)

    assert sorted(log.types()) == ["AdminCreated", "GhostSeen", "PersonCreated", "PersonCreated"]


def test_names_of_the_class_are_not_its_subclasses(engine: Engine, forum: Forum, log: Any) -> None:
    enrol(forum.person, Persistence(created_event="PersonJoined", events={"PersonRenamed": ["name"]}))
    create_all(engine, forum.base)
    with Session(engine) as session:
        member = forum.member(name="ana")
        session.add(member)
        session.commit()
        member.name = "anna"
        session.commit()

    assert log.types("Person") == ["PersonJoined", "PersonRenamed"]
    assert log.types("Member") == ["MemberCreated"]


def test_a_table_without_a_class(engine: Engine, forum: Forum, log: Any) -> None:
    enrol(forum.setting, Persistence(foreign_writes="refuse"), columns={"value": persistence(event="SettingChanged")})
    create_all(engine, forum.base)
    with Session(engine) as session, context(user_id="ana"):
        session.execute(insert(forum.setting).values(key="limit", value=1))
        session.execute(update(forum.setting).values(value=2))
        session.commit()
        assert audit(session, forum.setting)
    with engine.connect() as connection, pytest.raises(Exception, match="refused"):
        connection.exec_driver_sql("DELETE FROM setting")

    assert [(event.type, event.actor) for event in log("setting", "limit")] == [
        ("settingCreated", "ana"),
        ("SettingChanged", "ana"),
    ]


def test_a_table_without_a_primary_key(engine: Engine) -> None:
    metadata = MetaData()
    pairs = Table("pairs", metadata, Column("left", Integer), Column("right", Integer))
    enrol(pairs)
    create_all(engine, metadata)
    with engine.begin() as connection:
        connection.execute(insert(pairs), [{"left": 1, "right": None}, {"left": None, "right": 2}])
        connection.execute(update(pairs).values(left=3).where(pairs.c.right == 2))
        assert audit(connection, pairs)


def test_an_imperative_mapping(engine: Engine, log: Any) -> None:
    mapping = registry()
    table = Table("thing", mapping.metadata, Column("id", Integer, primary_key=True), Column("n", Integer))

    class Thing:
        id: int
        n: int

    mapping.map_imperatively(Thing, table)
    enrol(Thing)
    create_all(engine, mapping.metadata)
    with Session(engine) as session:
        thing = Thing()
        thing.n = 1
        session.add(thing)
        session.commit()
        thing.n = 2
        session.expire(thing)
        record(thing, "ThingSeen")
        session.commit()

    assert log.types("Thing") == ["ThingCreated", "ThingSeen"]


def test_everything_of_a_running_application(engine: Engine, forum: Forum) -> None:
    """Rows first, then enrolment, guards and baselines: what one does to an application that is there already."""
    forum.base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([forum.member(name=str(n), topics=[forum.topic(title=str(n))]) for n in range(20)])
        session.commit()

    for class_ in (forum.person, forum.topic):
        enrol(class_)
    enrol(forum.setting)
    create_all(engine, forum.base)
    reports = {report.table: report.baselines for report in adopt(engine, forum.base)}

    assert reports == {"person": 20, "member": 20, "topic": 20, "follows": 20, "setting": 0}
    with Session(engine) as session:
        for member in session.scalars(select(forum.member)):
            member.topics[0].title += "!"
            member.points = 7
        session.commit()
    assert audit(engine, forum.base)


def test_what_it_refuses(forum: Forum) -> None:
    class Mine(DeclarativeBase):
        pass

    class Ours(EventSourced, Mine):
        __tablename__ = "ours"
        id: Mapped[int] = mapped_column(primary_key=True)

    wrong: Any
    for wrong in (object, int, "person", None):
        with pytest.raises(MappingError, match="only mapped classes and tables can be enrolled"):
            enrol(wrong)
    with pytest.raises(OptionError, match="shares the table of Person: enrol that class"):
        enrol(forum.guest)
    with pytest.raises(MappingError, match="Ours is event-sourced already"):
        enrol(Ours)
    with pytest.raises(OptionError, match="'nome'"):
        enrol(forum.topic, columns={"nome": persistence(event="X")})
    with pytest.raises(OptionError, match="has no column 'nome'"):
        enrol(forum.setting, columns={"nome": persistence(event="X")})


def test_enrolling_twice_is_refused(forum: Forum) -> None:
    enrol(forum.person)
    for class_ in (forum.person, forum.member):
        with pytest.raises(MappingError, match="is event-sourced already"):
            enrol(class_)


def test_it_leaves_the_rest_of_the_application_alone(engine: Engine, forum: Forum, log: Any) -> None:
    enrol(forum.person)
    create_all(engine, forum.base)
    with Session(engine) as session:
        session.add(forum.topic(title="a"))
        session.commit()
    with engine.begin() as connection:
        connection.execute(insert(forum.setting).values(key="a", value=1))
        with pytest.raises(DatabaseError):
            connection.execute(insert(forum.setting).values(key="a", value=1))

    assert log() == []
