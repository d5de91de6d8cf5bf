"""The history of a class: the events of all its objects, in the order of the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from lithair_sqla.model.history.changes import Change, changes_of_class
from lithair_sqla.model.history.events import History, render, rows_of, select_events
from lithair_sqla.model.travel.moment import SKEW
from lithair_sqla.types import Event

__all__ = ["ClassHistory"]

T = TypeVar("T")


class ClassHistory(History[T]):
    """The events of all objects of a class, subclasses included, in order of position."""

    def __repr__(self) -> str:
        """Show whose it is, without asking the database."""
        return f"<History of class {self._source.mapper.class_.__name__}>"

    def of(self, attribute: Any) -> list[Change]:
        """Tell every change of one attribute of any object: which, when, from what, to what, by whom.

        Args:
            attribute: its name, or ``Product.price``.

        Raises:
            MappingError: it is not a column of the class.
        """
        return changes_of_class(self._source, self._filter, attribute, backwards=self._is_backwards, limit=self._limit)

    def _walk(self, *, page: int, after: int | None) -> Iterator[Event]:
        source = self._source
        scope, parameters = self._scope()
        last = self._execute(render(source, "SELECT max(e.position) FROM lithair.events e"), {}).scalar_one()
        parameters |= {"last": last or 0, "page": page, "beyond": after}
        beyond, order = ("<", "DESC") if self._is_backwards else (">", "")
        rows = rows_of(source)
        while True:
            condition = f" AND e.position {beyond} %(beyond)s" if parameters["beyond"] is not None else ""
            statement = select_events(
                source,
                f"{scope} AND e.position <= %(last)s{condition} ORDER BY e.position {order} LIMIT %(page)s",
                with_stream=True,
            )
            events = rows.of_all(self._execute(statement, parameters).all())
            yield from events
            if len(events) < page:
                return
            parameters["beyond"] = events[-1].position

    def _count(self) -> int:
        scope, parameters = self._scope()
        statement = render(self._source, f"SELECT count(*) FROM lithair.events e {scope}")
        found: int = self._execute(statement, parameters).scalar_one()
        return found

    def _scope(self) -> tuple[str, dict[str, Any]]:
        """Write which events are the class's, with bounds on their positions where the time is bounded."""
        source = self._source
        conditions, parameters = self._conditions()
        for name, sign, skew, compared in (("since", "-", SKEW, ">"), ("until", "+", SKEW, "<=")):
            if name in parameters:
                bound = f"lithair.position_at(%({name})s {sign} %(skew)s)"
                conditions += f" AND e.position {compared} (SELECT {bound})"
                parameters["skew"] = skew
        foldings = source.foldings()
        own = [fold for fold in foldings if fold.table in set(source.mapper.tables)]
        names = [fold.shape.stream for fold in foldings]
        parameters |= {"names": names, "tenant": foldings[0].shape.tenant_id}
        scope = (
            "JOIN lithair.streams s ON s.id = e.stream_id WHERE s.tenant_id = %(tenant)s AND s.name = ANY (%(names)s)"
        )
        if len(own) > 1:
            # A row of a parent's table is this class's where the class's own table has, or had, one of its key.
            parameters |= {"own": own[-1].shape.stream, "parents": [fold.shape.stream for fold in own[:-1]]}
            scope += (
                " AND (s.name <> ALL (%(parents)s) OR EXISTS (SELECT FROM lithair.streams o "
                "WHERE o.tenant_id = s.tenant_id AND o.name = %(own)s AND o.key = s.key))"
            )
        return scope + conditions, parameters
