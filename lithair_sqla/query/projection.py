"""``projection(…)``: figures over the log, computed by PostgreSQL, whose SQL is shown by ``.statement``.

::

    query(session).projection("sales_analytics").where_event_types(["ProductSold", "ProductReturned"])
        .date_range(date(2024, 1, 1), date(2025, 1, 1)).group_by("product_id").aggregate(Sum("quantity"))
        .window("day").execute()

A field is looked for in an event's payload (what a named event was called with), then in its data (the columns that it
set); ``payload.x`` and ``data.x`` look into one of them. Beside those there are ``key``, ``stream``, ``type``,
``actor``, ``version``, ``correlation_id`` and ``causation_id``; and ``product_id`` is, where nothing of that name is in
the event, the key of a stream called ``Product``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Numeric,
    Row,
    Select,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DataError

from lithair_sqla.errors import QueryError
from lithair_sqla.model.declarative import model_options
from lithair_sqla.options import StorageConfig
from lithair_sqla.query.aggregates import Aggregate
from lithair_sqla.query.fields import check_count, nearest
from lithair_sqla.query.log import FACTS, LogTables
from lithair_sqla.query.windows import Window, window_of

__all__ = ["Having", "Projection"]

_MOST_NAME_BYTES: Final = 63
_SAMPLE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """Figures over some events of the log; each step answers with a new one.

    Attributes:
        connection: where it runs.
        config: which store.
        name: of the projection; what its source is called in the statement.
        types: event types; empty is all.
        names: stream names; empty is all.
        since: the first moment; ``None`` is the log's beginning.
        until: the moment before which it ends; ``None`` is now.
        equal: fields that must have a value.
        groups: fields that make a group together.
        aggregates: what is computed of each group.
        bucket: a span of time that each group is cut into.
        conditions: on the figures.
        orders: figures, groups or ``window`` to sort by, each with its direction.
        most: at most so many rows.
    """

    connection: Connection
    config: StorageConfig
    name: str
    types: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    equal: tuple[tuple[str, Any], ...] = ()
    groups: tuple[str, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()
    bucket: Window | None = None
    conditions: tuple[tuple[str, str, Any], ...] = ()
    orders: tuple[tuple[str, bool], ...] = ()
    most: int | None = None

    def __post_init__(self) -> None:
        """Refuse a name that PostgreSQL would cut."""
        name: Any = self.name
        if not isinstance(name, str) or not 0 < len(self.name.encode()) <= _MOST_NAME_BYTES or "\0" in self.name:
            raise QueryError(f"a projection's name has 1 to {_MOST_NAME_BYTES} bytes, and {self.name!r} has not")

    # ------------------------------------------------------------------------------------------- which events

    def where_event_types(self, types: Iterable[str]) -> Projection:
        """Take events of some types alone."""
        return replace(self, types=_texts("where_event_types", types))

    def where_streams(self, *streams: str | type) -> Projection:
        """Take events of streams of some names, or of some classes, alone."""
        names = [
            (model_options(item).persistence.name or item.__name__) if isinstance(item, type) else item
            for item in streams
        ]
        return replace(self, names=_texts("where_streams", names))

    def where(self, field: str, value: Any) -> Projection:
        """Take events alone in which a field has a value (as JSON: ``3``, ``"red"``, ``True``)."""
        _check_field(field)
        return replace(self, equal=(*self.equal, (field, value)))

    def date_range(self, start: datetime | date | None, end: datetime | date | None) -> Projection:
        """Take events recorded from a moment on and before another; a date is its midnight in UTC.

        Raises:
            QueryError: a moment without a time zone, or an end that is not after the start.
        """
        since, until = _moment(start), _moment(end)
        if since is not None and until is not None and until <= since:
            raise QueryError(f"date_range({start}, {end}): the end must be after the start (and is not included)")
        return replace(self, since=since, until=until)

    # ------------------------------------------------------------------------------------------- which figures

    def group_by(self, *fields: str) -> Projection:
        """Compute the figures for each value of some fields."""
        for field in fields:
            _check_field(field)
        return replace(self, groups=(*self.groups, *fields))

    def aggregate(self, *aggregates: Aggregate) -> Projection:
        """Compute figures: ``Sum("quantity")``, ``Count()`` and the like.

        Raises:
            QueryError: something else, or two of the same name.
        """
        for item in aggregates:
            if not isinstance(item, Aggregate):
                raise QueryError(f"aggregate(…) takes Sum(…), Count(), Avg(…) and the like, not {item!r}")
            if item.field:
                _check_field(item.field)
        made = replace(self, aggregates=(*self.aggregates, *aggregates))
        labels = made.columns
        twice = {label for label in labels if labels.count(label) > 1}
        if twice:
            raise QueryError(f"two columns of the answer are called {min(twice)!r}: give one a name=…")
        return made

    def window(self, span: str | timedelta, *, timezone: str = "UTC") -> Projection:
        """Cut each group into spans of time, a row each; ``row.window`` is where one begins.

        Args:
            span: ``minute``, ``hour``, ``day``, ``week``, ``month``, ``quarter``, ``year``, or a timedelta.
            timezone: whose days; for a named span.

        Raises:
            QueryError: no such span or time zone.
        """
        return replace(self, bucket=window_of(span, timezone))

    def having(self, column: str) -> Having:
        """Begin a condition on a figure; the next step says which."""
        self._check_column(column)
        return Having(self, column)

    def order_by(self, column: str, *, desc: bool = False) -> Projection:
        """Sort by a column of the answer; without it, by window and groups.

        Raises:
            QueryError: the answer has no such column.
        """
        self._check_column(column)
        return replace(self, orders=(*self.orders, (column, desc)))

    def limit(self, most: int) -> Projection:
        """Take at most so many rows."""
        return replace(self, most=check_count("limit", most, least=0))

    @property
    def columns(self) -> list[str]:
        """What the columns of the answer are called."""
        window = [] if self.bucket is None else ["window"]
        return [*window, *(_label(group) for group in self.groups), *(item.label for item in self.aggregates)]

    def _check_column(self, column: str) -> None:
        if column not in self.columns:
            raise QueryError(f"the answer has no column {column!r}: {nearest(str(column), self.columns)}")

    # ------------------------------------------------------------------------------------------- the statement

    @property
    def statement(self) -> Select[Any]:
        """The projection as one ``select()``.

        Raises:
            QueryError: it computes nothing.
        """
        if not self.aggregates and not self.groups:
            raise QueryError(f"projection {self.name!r} computes nothing yet: aggregate(…) says what")
        log = LogTables.of(self.connection, self.config)
        fields = dict.fromkeys([*self.groups, *(item.field for item in self.aggregates if item.field)])
        numbers = {field: f"field_{place}" for place, field in enumerate(fields)}
        made_of = [log.value(field).label(numbers[field]) for field in fields]
        if self.bucket is not None:
            made_of.append(self.bucket.of(log.events.c.recorded_at).label("window"))
        source = (
            select(log.events.c.position, *made_of).select_from(log.joined).where(*self._conditions(log)).cte(self.name)
        )
        columns: dict[str, ColumnElement[Any]] = {}
        if self.bucket is not None:
            columns["window"] = source.c.window
        for group in self.groups:
            columns[_label(group)] = source.c[numbers[group]]
        grouped = list(columns.values())
        for item in self.aggregates:
            json = source.c[numbers[item.field]] if item.field else literal(None)
            number = json.op("#>>")(text("'{}'")).cast(Numeric) if item.field else literal(None)
            columns[item.label] = item.of(number, json, source.c.position)
        made = (
            select(*(column.label(label) for label, column in columns.items())).select_from(source).group_by(*grouped)
        )
        for label, verb, wanted in self.conditions:
            made = made.having(_VERBS[verb](columns[label], wanted))
        for label, desc in self.orders or [(label, False) for label in list(columns)[: len(grouped)]]:
            made = made.order_by(columns[label].desc() if desc else columns[label].asc())
        return made if self.most is None else made.limit(self.most)

    def execute(self) -> list[Row[Any]]:
        """Return the rows, each with the answer's columns as attributes.

        Raises:
            QueryError: a field that no event has (suggests the nearest), or one that holds no numbers.
        """
        try:
            with self.connection.begin_nested():
                rows = list(self.connection.execute(self.statement))
        except DataError as error:
            raise QueryError(f"projection {self.name!r}: a field holds no numbers: {error.orig}") from error
        self._check_fields(rows)
        return rows

    def stream(self, *, page: int = 1_000) -> Iterator[Row[Any]]:
        """Yield the rows, ``page`` of them in memory at a time."""
        check_count("stream", page, least=1)
        yield from self.connection.execute(self.statement, execution_options={"yield_per": page})

    def _conditions(self, log: LogTables) -> Iterator[ColumnElement[bool]]:
        yield log.events.c.tenant_id == self.config.tenant_id
        if self.types:
            yield log.events.c.type.in_(self.types)
        if self.names:
            yield log.streams.c.name.in_(self.names)
        if self.since is not None:
            yield log.events.c.recorded_at >= self.since
        if self.until is not None:
            yield log.events.c.recorded_at < self.until
        for field, wanted in self.equal:
            yield log.value(field) == literal(wanted, JSONB)

    def _check_fields(self, rows: list[Row[Any]]) -> None:
        """Where a field gave nothing in any row, make sure that it is in some event at all."""
        for field in dict.fromkeys([*self.groups, *(item.field for item in self.aggregates)]):
            labels = [_label(field) if field in self.groups else ""]
            labels += [item.label for item in self.aggregates if item.field == field]
            if field and rows and field not in FACTS:
                seen = [row._mapping[label] for row in rows for label in labels if label]  # noqa: SLF001 - public
                if not any(seen):
                    self._check_field_is_known(field)

    def _check_field_is_known(self, field: str) -> None:
        log = LogTables.of(self.connection, self.config)
        found = select(log.events.c.payload, log.events.c.data).select_from(log.joined).where(*self._conditions(log))
        if self.connection.execute(found.where(log.value(field).is_not(None)).limit(1)).first() is not None:
            return
        newest = self.connection.execute(found.order_by(log.events.c.position.desc()).limit(_SAMPLE))
        known = {name for row in newest for part in row if part for name in part}
        raise QueryError(f"no event has a field {field!r}: {nearest(field, known | set(FACTS))}")


_VERBS: Final[dict[str, Any]] = {
    "equals": lambda column, value: column == value,
    "greater_than": lambda column, value: column > value,
    "at_least": lambda column, value: column >= value,
    "less_than": lambda column, value: column < value,
    "at_most": lambda column, value: column <= value,
}


@dataclass(frozen=True, slots=True)
class Having:
    """A condition on a figure that waits for its verb."""

    projection: Projection
    column: str

    def equals(self, value: Any) -> Projection:
        """Keep rows in which it is the value."""
        return self._with("equals", value)

    def greater_than(self, value: Any) -> Projection:
        """Keep rows in which it is above."""
        return self._with("greater_than", value)

    def at_least(self, value: Any) -> Projection:
        """Keep rows in which it is above or equal."""
        return self._with("at_least", value)

    def less_than(self, value: Any) -> Projection:
        """Keep rows in which it is below."""
        return self._with("less_than", value)

    def at_most(self, value: Any) -> Projection:
        """Keep rows in which it is below or equal."""
        return self._with("at_most", value)

    def _with(self, verb: str, value: Any) -> Projection:
        if value is None:
            raise QueryError(f"having({self.column!r}): nothing is equal to, below or above NULL")
        return replace(self.projection, conditions=(*self.projection.conditions, (self.column, verb, value)))


def _label(field: str) -> str:
    return field.rpartition(".")[2]


def _texts(word: str, values: Iterable[Any]) -> tuple[str, ...]:
    found = (values,) if isinstance(values, str) else tuple(values)
    if not found or not all(isinstance(value, str) for value in found):
        raise QueryError(f"{word}(…) takes one or more texts, not {values!r}")
    return found


def _check_field(field: Any) -> None:
    if not isinstance(field, str) or not field or "\0" in field:
        raise QueryError(f"a field is named by a text, such as 'quantity', not {field!r}")


def _moment(value: datetime | date | None) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise QueryError(f"date_range(…): {value} has no time zone: give it one, such as tzinfo=UTC")
        return value
    if isinstance(value, date):
        return datetime.combine(value, time(), tzinfo=UTC)
    raise QueryError(f"date_range(…) takes moments or dates, not {value!r}")
