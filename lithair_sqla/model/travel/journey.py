"""One statement's journey to the past: read it, choose a way for each of its tables, give it their shadows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import CTE, Connection, FunctionElement, Table, TextClause
from sqlalchemy.orm import FromStatement, ORMExecuteState
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.lambdas import StatementLambdaElement
from sqlalchemy.sql.selectable import CompoundSelect, Select, TextualSelect

from lithair_sqla.errors import PastSessionError
from lithair_sqla.model.fold import Folding
from lithair_sqla.model.travel.known import Known
from lithair_sqla.model.travel.moment import Moments
from lithair_sqla.model.travel.narrowing import Narrowing
from lithair_sqla.model.travel.reading import Reading, read
from lithair_sqla.model.travel.roads import Surveys, choose
from lithair_sqla.model.travel.shadows import Road, Way, changed_streams, key_parameters, moment_parameters, shadow
from lithair_sqla.model.travel.translation import Translation
from lithair_sqla.schema.guards import guard_of, shape_of
from lithair_sqla.schema.tables import LibraryTables
from lithair_sqla.store.execution import Channel

__all__ = ["Explanation", "Journeys", "for_reading"]

_TABLES_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How one statement was answered.

    Attributes:
        statement: as the user wrote it.
        roads: one a table.
    """

    statement: str
    roads: tuple[Road, ...]

    def __str__(self) -> str:
        """Show the statement's first line and a line a table."""
        return "\n  ".join((self.statement.split("\n", 1)[0], *map(str, self.roads)))


@dataclass(slots=True)
class _Luggage:
    """What a statement takes with it."""

    shadows: list[CTE] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    roads: list[Road] = field(default_factory=list)


class Journeys:
    """Takes the statements of one session on the past to their moment.

    Attributes:
        moments: the moment.
        explained: how each statement was answered, where that is kept.
    """

    def __init__(self, moments: Moments, live: frozenset[Table], *, explain: bool) -> None:
        self.moments = moments
        self.explained: list[Explanation] = []
        self._live = live
        self._explains = explain
        self._surveys = Surveys()

    def take(self, connection: Connection, state: ORMExecuteState) -> Any:
        """Execute a statement as of the moment; ``None`` where it reads nothing that has a past.

        Args:
            connection: that it is to go by.
            state: the statement, as the session's event gives it.

        Raises:
            PastSessionError: it is not a read, or reads what has no past.
        """
        statement: Any = for_reading(state.statement)
        core: Any = statement.element if isinstance(statement, FromStatement) else statement
        parameters = state.parameters if isinstance(state.parameters, dict) else {}
        reading, values = read(statement, connection.dialect, parameters)
        past = self._past(reading)
        # What another listener has changed stands in the local options alone.
        translation = Translation.of(connection, state.execution_options.union(state.local_execution_options))
        names = {table: name for table, name in translation.shadow_names(reading.tables).items() if table in past}
        luggage = _Luggage()
        for table, name in names.items():
            fold = self._folding(connection, table, translation)
            self._pack(luggage, connection, fold, name, reading.narrowings.get(table), values)
        if self._explains:
            luggage.roads += [
                Road(table=table.fullname, way=Way.LIVE, reason="named in live")
                for table in reading.tables
                if table in self._live
            ]
            self.explained.append(Explanation(statement=str(state.statement), roads=tuple(luggage.roads)))
        if not luggage.shadows:
            return None
        state.parameters = {**parameters, **luggage.parameters}
        travelled = core.add_cte(*luggage.shadows)
        if isinstance(statement, FromStatement):
            outer = statement._clone()  # noqa: SLF001 - it has no generative way to another element
            outer.element = travelled
            travelled = outer
        return state.invoke_statement(
            statement=travelled, execution_options=translation.execution_options(connection, names)
        )

    def _past(self, reading: Reading) -> list[Table]:
        """Return the tables that are to be read as of the moment."""
        if reading.objections:
            raise PastSessionError(f"in a session on the past, {'; '.join(reading.objections)}")
        past = [table for table in reading.tables if table not in self._live]
        for table in past:
            if guard_of(table) is None:
                raise PastSessionError(
                    f"table {table.fullname} has no events, so its past is not known: name it in as_of(…, live=[…]) to "
                    "read it as it is now"
                )
        return past

    def _pack(
        self,
        luggage: _Luggage,
        connection: Connection,
        fold: Folding,
        name: str,
        narrowing: Narrowing | None,
        values: Mapping[str, Any],
    ) -> None:
        moment = self.moments.of(connection, fold.names.config)
        road, keys = choose(connection, self._surveys, fold, moment, narrowing, values)
        luggage.roads.append(road)
        luggage.parameters |= moment_parameters(fold, moment)
        if keys is not None:
            luggage.parameters |= key_parameters(fold, name, road.way, keys)
        elif road.way is Way.HYBRID:
            changed = changed_streams(connection.dialect, fold)
            if changed not in luggage.shadows:
                luggage.shadows.insert(0, changed)
        luggage.shadows.append(shadow(connection.dialect, fold, name, road.way))

    def _folding(self, connection: Connection, table: Table, translation: Translation) -> Folding:
        config = LibraryTables.of(table.metadata).config
        names = Channel(connection, config).names
        target = translation.target(table, names)
        foldings: Known[Folding] = Known.of(connection.dialect, "foldings", _TABLES_KEPT)
        return foldings.get((table, target, names), lambda: Folding(table, target, names, shape_of(table, config)))


def for_reading(statement: Any) -> Any:
    """Return a statement in a form that shadows can be added to, or refuse it.

    It is asked before any listener of another's hears of the statement: some prepare what they take for a write.

    Raises:
        PastSessionError: it writes, or is not a select.
    """
    if isinstance(statement, StatementLambdaElement):
        statement = statement._resolved  # noqa: SLF001 - no public way
    if isinstance(statement, FunctionElement):
        return statement.select()
    inner = statement.element if isinstance(statement, FromStatement) else statement
    if isinstance(inner, (Select, CompoundSelect)):
        return statement
    if isinstance(inner, UpdateBase):
        raise PastSessionError(
            f"a session on the past is read-only: {type(inner).__name__.upper()} has no place in it; "
            "write with the live session"
        )
    if isinstance(inner, (TextClause, TextualSelect)):
        raise PastSessionError("in a session on the past, what text() reads cannot be told: write it as select()")
    raise PastSessionError(f"a session on the past reads select() and nothing else, not {type(inner).__name__}")
