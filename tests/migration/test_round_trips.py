"""`alembic init` and our models: autogenerate, upgrade, nothing left to find, back to nothing, and up again."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from lithair_sqla import EventSourced, Persistence, StorageConfig, audit, create_all
from lithair_sqla.schema.tables import LibraryTables
from lithair_sqla.testing import Auditor

MakeProject = Callable[..., Any]

OBJECTS = """\
SELECT 'relation ' || c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relname !~ '^alembic_version'
UNION ALL SELECT 'function ' || p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL SELECT 'trigger ' || tgname || tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal
ORDER BY 1"""


def objects(engine: Engine) -> list[str]:
    """Everything that stands in the database, by name."""
    with engine.connect() as connection:
        return list(connection.scalars(text(OBJECTS)))


def shop(schema: str | None = None, metadata: MetaData | None = None, config: StorageConfig | None = None) -> Any:
    """Models with what real ones have: relations of every kind, indexes, constraints, comments."""

    class Base(DeclarativeBase):
        pass

    Base.metadata = metadata if metadata is not None else MetaData()
    if config is not None:
        LibraryTables.of(Base.metadata, config)
    arguments: dict[str, Any] = {"schema": schema} if schema else {}
    prefix = f"{schema}." if schema else ""

    order_tag = Table(
        "order_tag",
        Base.metadata,
        Column("order_id", ForeignKey(f"{prefix}order.id"), primary_key=True),
        Column("tag_id", ForeignKey(f"{prefix}tag.id"), primary_key=True),
        **arguments,
    )

    class Tag(EventSourced, Base):
        __tablename__ = "tag"
        __table_args__ = (UniqueConstraint("name", name="tag_name_key"), arguments)
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(40), comment="what it says: 100 % of it")

    class Order(EventSourced, Base):
        __tablename__ = "order"
        __persistence__ = Persistence(truncate="capture")
        __table_args__ = (
            Index("order_total", "total"),
            CheckConstraint("total >= 0", name="order_total_check"),
            arguments,
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        total: Mapped[Decimal]
        note: Mapped[str | None] = mapped_column(server_default="new")
        tags: Mapped[list[Tag]] = relationship(secondary=order_tag)

    class Setting(Base):  # not event-sourced
        __tablename__ = "setting"
        __table_args__ = (arguments,)
        name: Mapped[str] = mapped_column(primary_key=True)

    Base.Order, Base.Tag, Base.Setting = Order, Tag, Setting
    return Base


def use(engine: Engine, base: Any) -> None:
    """Write through every event-sourced table of the shop, and prove that the log has it."""
    with Session(engine) as session:
        order = base.Order(total=Decimal(10), tags=[base.Tag(name="new")])
        session.add(order)
        session.commit()
        order.total += 1
        order.tags.clear()
        session.commit()
        assert audit(session, base.Order)
        assert audit(session, base.metadata.tables[next(key for key in base.metadata.tables if "order_tag" in key)])


@pytest.mark.parametrize("template", ["generic", "async"])
def test_up_and_down_and_up(template: str, project: MakeProject, engine: Engine) -> None:
    base = shop()
    alembic = project(template)
    before = objects(engine)

    script = alembic.migrate(base)
    made = objects(engine)
    use(engine, base)
    alembic.downgrade("base")
    assert objects(engine) == before
    alembic.upgrade()
    alembic.check()

    assert objects(engine) == made
    assert "lithair.library" not in script
    assert "Guard(" not in script
    use(engine, base)


def test_nothing_is_made_twice(project: MakeProject, engine: Engine) -> None:
    alembic = project()
    alembic.migrate(shop())

    script = alembic.revise()

    assert "op." not in script.split("def upgrade")[1]


def test_what_create_all_made_is_what_alembic_wants(project: MakeProject, engine: Engine) -> None:
    base = shop()
    create_all(engine, base)
    alembic = project()
    alembic.models(base)

    alembic.check()


def test_offline_sql_does_the_same(project: MakeProject, engine: Engine, server: Any) -> None:
    base = shop()
    alembic = project()
    alembic.migrate(base)
    made = objects(engine)
    alembic.downgrade("base")

    script = alembic.sql("head").replace("CREATE TABLE alembic_version", "CREATE TABLE IF NOT EXISTS alembic_version")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
        cursor: Any = connection.connection.cursor()
        cursor.execute(script)  # as psql would: many statements, no parameters

    assert objects(engine) == made
    alembic.check()
    use(engine, base)


def test_forty_partitions_are_never_seen(project: MakeProject, engine: Engine) -> None:
    base = shop(config=StorageConfig(partition_width=1_000))
    alembic = project(options="include_schemas=True")
    alembic.migrate(base)
    with engine.begin() as connection:
        connection.execute(text("SELECT setval('lithair_position', 36000)"))
        for number in range(40):
            connection.execute(text("SELECT lithair_add_leaf(:number)"), {"number": number})
        leaves = connection.execute(
            text("SELECT count(*) FROM pg_inherits WHERE inhparent = 'lithair_events'::regclass")
        )
        assert leaves.scalar_one() >= 40

    alembic.check()
    use(engine, base)
    alembic.downgrade("base")
    alembic.upgrade()
    alembic.check()


def test_what_is_the_users_own_stays(project: MakeProject, engine: Engine) -> None:
    base = shop()
    alembic = project()
    alembic.migrate(base)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION lithair_of_my_own(n int) RETURNS int LANGUAGE sql AS 'SELECT n'; "
            "CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.note := upper(new.note); "
            "RETURN new; END $$; "
            'CREATE TRIGGER touched BEFORE UPDATE ON "order" FOR EACH ROW EXECUTE FUNCTION touched(); '
            'CREATE TRIGGER aa_after AFTER UPDATE ON "tag" FOR EACH ROW EXECUTE FUNCTION touched(); '
            'CREATE VIEW totals AS SELECT sum(total) FROM "order"'
        )
    mine = [
        name for name in objects(engine) if any(word in name for word in ("of_my_own", "touched", "totals", "aa_after"))
    ]

    alembic.check()
    use(engine, base)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW totals")
    alembic.downgrade("base")

    assert len(mine) == 5
    assert "function lithair_of_my_own(integer)" in objects(engine)
    assert "function touched()" in objects(engine)


@pytest.mark.parametrize("prefix", ["lithair_", "shop_log_"])
def test_a_schema_of_its_own(prefix: str, project: MakeProject, engine: Engine) -> None:
    config = StorageConfig(schema="Event Log", prefix=prefix)
    base = shop(config=config)
    alembic = project()  # include_schemas is off: the library's tables are compared all the same
    before = objects(engine)

    alembic.migrate(base)
    use(engine, base)
    made = objects(engine)
    alembic.downgrade("base")
    assert objects(engine) == before
    alembic.upgrade()
    alembic.check()

    assert objects(engine) == made
    assert f'relation "Event Log".{prefix}streams' in made


def test_models_in_several_schemas(project: MakeProject, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA sales; CREATE SCHEMA audit")
    base = shop(schema="sales")

    class Remark(EventSourced, base):  # type: ignore[misc,valid-type]
        __tablename__ = "order"  # the same name in another schema
        __table_args__ = ({"schema": "audit"},)
        id: Mapped[int] = mapped_column(primary_key=True)

    alembic = project(options="include_schemas=True")
    alembic.migrate(base)
    use(engine, base)
    with Session(engine) as session:
        session.add(Remark())
        session.commit()
        assert audit(session, Remark)

    alembic.downgrade("base")
    alembic.upgrade()
    alembic.check()


def test_a_default_schema_of_the_metadata(project: MakeProject, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA app")
    base = shop(metadata=MetaData(schema="app"))
    alembic = project(options='include_schemas=True, version_table_schema="app"')

    alembic.migrate(base)
    use(engine, base)

    assert "relation app.lithair_streams" in objects(engine)
    alembic.downgrade("base")
    alembic.upgrade()
    alembic.check()


def test_a_naming_convention(project: MakeProject, engine: Engine) -> None:
    convention = {
        "ix": "ix__%(table_name)s__%(all_column_names)s",
        "uq": "uq__%(constraint_name)s",
        "ck": "ck__%(table_name)s__%(constraint_name)s",
        "fk": "fk__%(table_name)s__%(column_0_name)s",
        "pk": "pk__%(table_name)s",
        "all_column_names": lambda constraint, _: "_".join(column.name for column in constraint.columns),
    }
    base = shop(metadata=MetaData(naming_convention=convention))  # type: ignore[arg-type]
    alembic = project()

    alembic.migrate(base)
    use(engine, base)
    alembic.downgrade("base")
    alembic.upgrade()
    alembic.check()


def test_defaults_are_compared_without_false_alarm(project: MakeProject, engine: Engine) -> None:
    alembic = project(options="compare_server_default=True")
    alembic.migrate(shop())

    alembic.check()


def test_a_projects_own_filters_do_not_hide_the_log(project: MakeProject, engine: Engine) -> None:
    only = "include_object=lambda item, name, kind, *_: kind != 'table' or not name.startswith('lithair')"
    alembic = project(options=only)

    script = alembic.migrate(shop())

    assert "lithair_streams" in script


def test_a_project_may_leave_the_plugin_out(project: MakeProject, engine: Engine) -> None:
    alembic = project(options='autogenerate_plugins=["alembic.autogenerate.*", "~alembic.autogenerate.lithair"]')
    alembic.models(shop())

    script = alembic.revise()

    assert "lithair_run" not in script


def test_several_metadata_share_one_log(project: MakeProject, engine: Engine) -> None:
    class Other(DeclarativeBase):
        pass

    class Note(EventSourced, Other):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)

    base = shop()
    alembic = project()
    alembic.migrate(base, Other)
    use(engine, base)
    with Session(engine) as session:
        session.add(Note())
        session.commit()
        assert audit(session, Note)
    alembic.downgrade("base")


def test_a_table_that_is_event_sourced_no_longer(project: MakeProject, engine: Engine) -> None:
    alembic = project()
    alembic.migrate(shop())
    rest = shop()
    for table in ("order", "order_tag"):
        rest.metadata.tables[table].info.clear()
    made = objects(engine)

    # The class is still mapped: only what its table is declared to have counts.
    rest.metadata.tables["order_tag"].info["lithair.library"] = True
    script = alembic.migrate(rest)

    assert "drop guard of order" in script
    assert not [name for name in objects(engine) if "guard_order" in name]
    alembic.downgrade("-1")
    assert objects(engine) == made


def test_a_dropped_table_takes_its_guard_along(project: MakeProject, engine: Engine) -> None:
    base = shop()

    class Remark(EventSourced, base):  # type: ignore[misc,valid-type]
        __tablename__ = "remark"
        id: Mapped[int] = mapped_column(primary_key=True)

    alembic = project()
    alembic.migrate(base)
    made = objects(engine)

    alembic.migrate(shop())
    assert not [name for name in objects(engine) if "remark" in name]

    alembic.downgrade("-1")
    assert objects(engine) == made
    with Session(engine) as session:
        session.add(Remark())
        session.commit()
        assert audit(session, Remark)


def test_a_partitioned_table(project: MakeProject, engine: Engine, lithair_audit: Auditor) -> None:
    class Base(DeclarativeBase):
        pass

    class Reading(EventSourced, Base):
        __tablename__ = "reading"
        __table_args__ = ({"postgresql_partition_by": "RANGE (id)"},)
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[int]

    alembic = project(
        options="include_name=lambda name, kind, _: kind != 'table' or not str(name).startswith('reading_')"
    )
    alembic.migrate(Base)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE reading_1 PARTITION OF reading FOR VALUES FROM (1) TO (100)")

    class Renewed(DeclarativeBase):
        pass

    class Reading2(EventSourced, Renewed):
        __tablename__ = "reading"
        __persistence__ = Persistence(name="Reading", snapshot_frequency=2)
        __table_args__ = ({"postgresql_partition_by": "RANGE (id)"},)
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[int]

    alembic.migrate(Renewed)
    with Session(engine) as session:
        session.add(Reading2(value=1))
        session.commit()
    lithair_audit(engine, Renewed)
    with engine.begin() as connection:
        refused = "SELECT count(*) FROM pg_trigger WHERE tgname = '!lithair_truncate'"
        assert connection.execute(text(refused)).scalar_one() == 2
    alembic.downgrade("base")
    alembic.upgrade()


def test_a_guard_that_changed_is_put_back_by_a_downgrade(project: MakeProject, engine: Engine) -> None:
    def models(frequency: int) -> Any:
        class Base(DeclarativeBase):
            pass

        class Product(EventSourced, Base):
            __tablename__ = "product"
            __persistence__ = Persistence(
                snapshot_frequency=frequency, truncate="capture" if frequency == 7 else "refuse"
            )
            id: Mapped[int] = mapped_column(primary_key=True)

        return Base

    def body(connection: Connection) -> Any:
        guard = (
            "SELECT prosrc, obj_description(t.oid) FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid "
            "WHERE tgname LIKE '!%' ORDER BY tgname"
        )
        return connection.execute(text(guard)).all()

    alembic = project()
    alembic.migrate(models(5))
    with engine.connect() as connection:
        before, made = body(connection), objects(engine)
    alembic.migrate(models(7))
    with engine.connect() as connection:
        assert body(connection) != before

    alembic.downgrade("-1")

    with engine.connect() as connection:
        assert body(connection) == before
    assert objects(engine) == made
    alembic.upgrade()
    alembic.check()


def test_text_of_every_kind_survives_the_script(project: MakeProject, engine: Engine, lithair_audit: Auditor) -> None:
    class Base(DeclarativeBase):
        pass

    class Odd(EventSourced, Base):
        __tablename__ = "odd 'table' \\ 100% :x \"q\" {{schema}} $lithair$"
        __persistence__ = Persistence(name="O'dd\\ %(x)s :y é", events={"It's \\ 50% :z": ["value %s: \"'\\"]})
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        value: Mapped[int] = mapped_column("value %s: \"'\\", default=0)

    alembic = project()
    alembic.migrate(Base)
    with Session(engine) as session:
        odd = Odd(id=1)
        session.add(odd)
        session.commit()
        odd.value = 1
        session.commit()
    lithair_audit(engine, Base)
    alembic.downgrade("base")
    alembic.upgrade()
