"""What the tests of the guard share: reading the log, a second role, an extension where the server has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, Row, create_engine, text

from lithair_sqla import create_all

if TYPE_CHECKING:
    from sqlalchemy import URL

EVENTS = """\
SELECT s.name AS stream, s.key, e.version, e.kind, e.type, e.data, e.payload, e.meta, e.actor, e.correlation_id,
    e.causation_id, e.schema_version, e.transaction_id, e.position
  FROM lithair_events e JOIN lithair_streams s ON s.id = e.stream_id
 WHERE s.name = coalesce(:stream, s.name) AND s.key = coalesce(:key, s.key) ORDER BY e.position"""


class Log:
    """The log of the test's database, read as the test wants to compare it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __call__(self, stream: str | None = None, key: str | None = None) -> list[Row[Any]]:
        """All events in order, of one stream name or one stream where named."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(EVENTS), {"stream": stream, "key": key}).all())

    def kinds(self, stream: str | None = None, key: str | None = None) -> str:
        """The kinds of the events in order, one letter an event."""
        return "".join(event.kind for event in self(stream, key))

    def types(self, stream: str | None = None, key: str | None = None) -> list[str]:
        """The types of the events in order."""
        return [event.type for event in self(stream, key)]

    def data(self, stream: str | None = None, key: str | None = None) -> list[Any]:
        """What the events set, in order."""
        return [event.data for event in self(stream, key)]


@pytest.fixture
def log(engine: Engine) -> Log:
    """The log of the test's database."""
    return Log(engine)


@pytest.fixture
def run(engine: Engine) -> Callable[..., Any]:
    """Run SQL text in a transaction of its own; answers the rows, or the number of rows changed."""

    def running(statement: str, **parameters: Any) -> Any:
        with engine.begin() as connection:
            result = connection.execute(text(statement), parameters)
            return result.all() if result.returns_rows else result.rowcount

    return running


@pytest.fixture
def extension(engine: Engine) -> Callable[[str], None]:
    """Make an extension in the test's database; a test that needs one is skipped where the server lacks it."""

    def make(name: str) -> None:
        with engine.begin() as connection:
            if not _available(connection, name):
                pytest.skip(f"this PostgreSQL has no extension {name}")
            connection.execute(text(f'CREATE EXTENSION "{name}"'))

    return make


def _available(connection: Connection, name: str) -> bool:
    found = connection.execute(text("SELECT count(*) FROM pg_available_extensions WHERE name = :name"), {"name": name})
    return bool(found.scalar_one())


@pytest.fixture
def server_version(engine: Engine) -> int:
    """The server's major version."""
    with engine.connect() as connection:
        return int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10_000


@pytest.fixture
def two_phases(engine: Engine) -> None:
    """Skip a test where the server takes no prepared transactions (the tests' own does)."""
    with engine.connect() as connection:
        if connection.exec_driver_sql("SHOW max_prepared_transactions").scalar_one() == "0":
            pytest.skip("this PostgreSQL takes no prepared transactions")


@pytest.fixture
def role(engine: Engine, database_url: URL) -> Iterator[Callable[..., Engine]]:
    """Make a role without any rights and an engine that connects as it."""
    made: list[tuple[str, Engine]] = []

    def make(*grants: str, options: str = "") -> Engine:
        name = f"lithair_role_{uuid4().hex[:12]}"
        with engine.begin() as connection:
            connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'x' NOSUPERUSER"))
            for grant in grants:
                connection.execute(text(grant.format(role=name)))
        url = database_url.set(username=name, password="x")  # noqa: S106 - a role of the test's own
        other = create_engine(url, connect_args={"options": options} if options else {})
        made.append((name, other))
        return other

    yield make
    for name, other in made:
        other.dispose()
        with engine.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {name}"))
            connection.execute(text(f"DROP ROLE {name}"))


@pytest.fixture
def created(engine: Engine) -> Callable[[Any], Engine]:
    """Make a declarative base's tables and the library's; answers the engine."""

    def make(base: Any) -> Engine:
        create_all(engine, base)
        return engine

    return make
