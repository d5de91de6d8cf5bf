"""Where an application takes listeners and mappers away, the log goes on, and so does what is said of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from sqlalchemy import URL

    from lithair_sqla import embedded

# The classes of these tests live in processes of their own: what they do cannot be undone.


CLASSES = """
import sys
from sqlalchemy import create_engine, text, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, clear_mappers, mapped_column, registry
from sqlalchemy.orm import events
from lithair_sqla import EventSourced, Persistence, audit, context, create_all, emits, enrol, expect, record
from lithair_sqla.errors import GuardError

class Base(DeclarativeBase):
    pass

class Item(EventSourced, Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)

    @emits("ItemBumped")
    def bump(self):
        self.n += 1

engine = create_engine(sys.argv[1])
create_all(engine, Base)

def types():
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT type FROM lithair_events ORDER BY position")).scalars())

with Session(engine) as session:
    session.add(Item(n=0))
    session.commit()
"""

LISTENERS_GONE = """
for family in (events.SessionEvents, events.MapperEvents, events.InstanceEvents):
    family._clear()
with Session(engine) as session, context(user_id="ana"):
    item = session.get(Item, 1)
    item.bump()
    record(item, "Noted")
    expect(session, item, version=1)
    session.commit()
    assert audit(session, Item)

class Later(EventSourced, Base):
    __tablename__ = "later"
    id: Mapped[int] = mapped_column(primary_key=True)

create_all(engine, Base)
with Session(engine) as session:
    session.add(Later())
    session.commit()
    assert audit(session, Later)
assert types() == ["ItemCreated", "ItemBumped", "Noted", "LaterCreated"], types()
with engine.connect() as connection:
    assert connection.execute(text("SELECT actor FROM lithair_events WHERE type = 'Noted'")).scalar() == "ana"
"""

MAPPERS_GONE = """
table = Item.__table__
clear_mappers()

class Plain:
    pass

registry(metadata=Base.metadata).map_imperatively(Plain, table)
enrol(Plain, Persistence(name="Item", updated_event="PlainUpdated"))
try:
    with Session(engine) as session:
        session.get(Plain, 1).n = 4
        session.commit()
except GuardError as error:
    assert error.reason == "outdated", error
else:
    raise AssertionError("the check of before still counted")
create_all(engine, Base)
with Session(engine) as session:
    item = session.get(Plain, 1)
    item.n = 5
    record(item, "Noted")
    session.commit()
    assert audit(session, table)
assert types() == ["ItemCreated", "PlainUpdated", "Noted"], types()
"""


def run(url: URL, code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLASSES + code, url.render_as_string(hide_password=False)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def fresh(server: embedded.PostgresServer) -> Iterator[URL]:
    """A database of the test's own."""
    name = f"lithair_test_{uuid4().hex[:12]}"
    yield server.create_database(name)
    server.drop_database(name)


def test_listeners_that_were_taken_away_come_back(fresh: URL) -> None:
    run(fresh, LISTENERS_GONE)


def test_mappers_that_were_taken_away_can_be_made_again(fresh: URL) -> None:
    run(fresh, MAPPERS_GONE)
