"""A pytest plugin that proves, at each test's end, that the log replayed equals the rows.

It comes with the library. One line of configuration audits every test that touches an event-sourced table::

    [tool.pytest.ini_options]
    lithair_audit = true

Without it, a test that asks for the fixture (or bears ``@pytest.mark.lithair_audit``) is audited::

    def test_a_sale(engine, lithair_audit): ...

Which tables that concerns is found out from what the test does: metadata that it creates, classes that its sessions
flush. What goes another way (a table written by Core alone, made by a migration) is named by calling the fixture,
``lithair_audit(engine, Base)``, which takes an engine, connection or session.
``@pytest.mark.lithair_audit(enabled=False)`` leaves a test out that does damage on purpose.

A test that fails by itself is not audited, what it did not commit is not seen, and an async engine's database is
audited through a synchronous one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, Engine, MetaData, NullPool, Table, create_engine, event, text
from sqlalchemy.orm import Session

from lithair_sqla.errors import MappingError
from lithair_sqla.model.audit import audit
from lithair_sqla.model.declarative import is_event_sourced, tables_of
from lithair_sqla.schema.create import exists, library_of, names_in
from lithair_sqla.schema.guards import guard_of
from lithair_sqla.schema.tables import METADATA_KEY

if TYPE_CHECKING:
    from sqlalchemy.orm import UOWTransaction

__all__ = ["Auditor", "lithair_audit"]

_OPTION = "lithair_audit"
_LOCK_TIMEOUT = "10s"


class Auditor:
    """What one test is audited for: places, and the event-sourced tables in each."""

    def __init__(self) -> None:
        self._places: dict[Engine | Connection, dict[Table, None]] = {}

    def __call__(self, where: Engine | Connection | Session, target: Any) -> None:
        """Audit a target when the test has passed.

        Args:
            where: an engine (what is committed counts), or a connection or session (what its transaction sees counts).
            target: a declarative base, a ``MetaData``, a class or a table.

        Raises:
            MappingError: nothing of it is event-sourced.
        """
        tables = _event_sourced(target)
        if not tables:
            raise MappingError(f"nothing of {target!r} is event-sourced, so there is nothing to audit")
        self.watch(where.connection() if isinstance(where, Session) else where, tables)

    def watch(self, where: Engine | Connection, tables: list[Table]) -> None:
        """Add tables to those that are audited."""
        self._places.setdefault(where, {}).update(dict.fromkeys(tables))

    def problems(self) -> list[str]:
        """Audit everything that was watched; answers the text of each report that is not clean."""
        found = []
        for where, tables in self._places.items():
            with _connected(where) as connection:
                for table in tables:
                    # A test may have dropped what it made.
                    if exists(connection, table, names_in(connection, library_of(table.metadata).config)):
                        report = audit(connection, table)
                        if not report:
                            found.append(str(report))
        return found


def _event_sourced(target: Any) -> list[Table]:
    if isinstance(target, Table):
        candidates = [target]
    elif isinstance(target, type) and is_event_sourced(target):
        candidates = tables_of(target.__mapper__)  # type: ignore[attr-defined]
    else:
        candidates = list(library_of(target).metadata.sorted_tables)
    return [table for table in candidates if guard_of(table) is not None]


@contextmanager
def _connected(where: Engine | Connection) -> Iterator[Connection]:
    """Connect to what a test has committed; a connection of the test's own is taken as it is."""
    if isinstance(where, Connection):
        yield where
        return
    if where.dialect.is_async:
        # The test's event loop is gone by now.
        where = create_engine(where.url, poolclass=NullPool).execution_options(**where.get_execution_options())
    with where.connect() as connection, connection.begin():
        # A lock that a session of the test still holds must not hang the run.
        connection.execute(text("SELECT set_config('lock_timeout', :value, true)"), {"value": _LOCK_TIMEOUT})
        yield connection


class AuditPlugin:
    """The hooks: listen while a test runs, audit when it has passed."""

    def __init__(self, config: pytest.Config) -> None:
        self._always = bool(config.getini(_OPTION))
        self._key = pytest.StashKey[Auditor]()
        self._current: Auditor | None = None
        event.listen(MetaData, "after_create", self._created)
        event.listen(Session, "after_flush", self._flushed)

    def pytest_unconfigure(self) -> None:
        """Leave no listener behind."""
        event.remove(MetaData, "after_create", self._created)
        event.remove(Session, "after_flush", self._flushed)

    def auditor_of(self, item: pytest.Item) -> Auditor:
        """Return a test's auditor."""
        return item.stash.setdefault(self._key, Auditor())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Listen from here on: fixtures make tables."""
        self._current = self.auditor_of(item)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Audit what the test has done, before its fixtures take the database away."""
        outcome = yield
        if self._wanted(item):
            problems = self.auditor_of(item).problems()
            if problems:
                pytest.fail("the log does not give the rows back:\n" + "\n".join(problems), pytrace=False)
        return outcome

    def pytest_runtest_teardown(self) -> None:
        """Stop listening."""
        self._current = None

    def _wanted(self, item: pytest.Item) -> bool:
        marker = item.get_closest_marker(_OPTION)
        if marker is not None:
            return bool(marker.kwargs.get("enabled", marker.args[0] if marker.args else True))
        return self._always or _OPTION in getattr(item, "fixturenames", ())

    def _created(self, metadata: MetaData, connection: Connection, **_: Any) -> None:
        if self._current is not None and METADATA_KEY in metadata.info:
            self._current.watch(connection.engine, _event_sourced(metadata))

    def _flushed(self, session: Session, flush: UOWTransaction) -> None:
        if self._current is None:
            return
        for mapper in {state.mapper for state in flush.states if is_event_sourced(state.class_)}:
            # A session on a connection of the test's own may never commit.
            bind = session.get_bind(mapper)
            self._current.watch(bind.engine, [table for table in tables_of(mapper) if guard_of(table) is not None])


@pytest.fixture
def lithair_audit(request: pytest.FixtureRequest) -> Auditor:
    """Audit the test's event-sourced tables when it has passed; call it to name more of them."""
    plugin: AuditPlugin = request.config.pluginmanager.get_plugin("lithair_sqla.audit")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    return plugin.auditor_of(request.node)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that audits every test."""
    parser.addini(_OPTION, "audit the event-sourced tables of every test at its end", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker and start listening."""
    config.addinivalue_line(
        "markers", f"{_OPTION}(enabled=True): audit (or not) the test's event-sourced tables at its end"
    )
    config.pluginmanager.register(AuditPlugin(config), "lithair_sqla.audit")
