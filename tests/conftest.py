"""What every test can ask for: a PostgreSQL, a database of its own, an engine on it, a counter of SQL statements.

``LITHAIR_TEST_POSTGRES`` says on which kinds of server the tests run: ``wheel``, ``system``, ``docker``, several of
them with commas between (every test then runs on each), or nothing for the first kind that works. Where
``LITHAIR_TEST_DSN`` names a server, it is used instead; its user must be allowed to create databases.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast, get_args
from uuid import uuid4

import hypothesis
import pytest
from sqlalchemy import URL, Engine, create_engine, event

from lithair_sqla import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

# Examples must not depend on how busy the machine is, and a failure in CI must come back at home.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("LITHAIR_TEST_HYPOTHESIS", "tests"))

DSN_VARIABLE = "LITHAIR_TEST_DSN"
SETTINGS: dict[str, embedded.SettingValue] = {
    "max_connections": 200,  # writers and readers of the concurrency tests
    "max_prepared_transactions": 10,  # two-phase commit is one of the routes that are tested
}


def _kinds_of_server() -> list[embedded.SourceName | None]:
    """The servers that the environment asks for; None stands for the first that works."""
    if os.environ.get(DSN_VARIABLE):
        return ["dsn"]
    named = [name.strip() for name in os.environ.get("LITHAIR_TEST_POSTGRES", "").split(",") if name.strip()]
    if unknown := set(named) - set(get_args(embedded.SourceName)):
        raise pytest.UsageError(f"LITHAIR_TEST_POSTGRES: {', '.join(sorted(unknown))} is no source of a PostgreSQL")
    return cast("list[embedded.SourceName | None]", named) or [None]


@pytest.fixture(scope="session", params=_kinds_of_server(), ids=lambda kind: kind or "postgres")
def server(request: pytest.FixtureRequest) -> Iterator[embedded.PostgresServer]:
    """A PostgreSQL for the whole session (and for each worker of pytest-xdist), without fsync."""
    kind: embedded.SourceName | None = request.param
    settings = {} if kind == "dsn" else SETTINGS
    with embedded.postgres(source=kind, settings=settings, dsn_variable=DSN_VARIABLE) as running:
        yield running


@pytest.fixture
def database_url(server: embedded.PostgresServer) -> Iterator[URL]:
    """An empty database of the test's own, gone after it."""
    name = f"lithair_test_{uuid4().hex[:12]}"
    # Copying files and dropping them again takes half the time of copying through the log (measured on 15 and 18).
    yield server.create_database(name, strategy="file_copy" if server.version >= (15, 0) else None)
    server.drop_database(name)


@pytest.fixture
def engine(database_url: URL) -> Iterator[Engine]:
    """An engine on the test's database."""
    made = create_engine(database_url)
    yield made
    made.dispose()


class StatementCount:
    """The SQL statements that went to the database while it was counting, `COMMIT` and `ROLLBACK` not among them."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def __len__(self) -> int:
        return len(self.statements)

    def __repr__(self) -> str:
        return "\n".join((f"{len(self)} statements:", *self.statements))

    def note(self, _connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        """Take down one statement; one `executemany` is one statement."""
        self.statements.append(statement)


@pytest.fixture
def count_statements() -> Callable[[Engine], AbstractContextManager[StatementCount]]:
    """A context manager that counts the statements of an engine: ORM, Core, ``text()`` and ``exec_driver_sql()``.

    ::

        with count_statements(engine) as counted:
            session.flush()
        assert len(counted) == 1
    """

    @contextmanager
    def counting(engine: Engine) -> Iterator[StatementCount]:
        counted = StatementCount()
        event.listen(engine, "before_cursor_execute", counted.note)
        try:
            yield counted
        finally:
            event.remove(engine, "before_cursor_execute", counted.note)

    return counting
