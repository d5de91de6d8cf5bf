"""Tables in schemas: their shadows have plain names, so the schema has to go from the statement's text.

A name with a schema never means a common table expression. SQLAlchemy's ``schema_translate_map`` can exchange a schema
but not take it away, so it is exchanged for a mark, and the mark is taken out of the text on its way to the cursor: of
a table with a shadow together with the schema, of another (one named in ``live``) alone. The user's map comes first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Table, event

from lithair_sqla.schema.guards import qualified
from lithair_sqla.schema.names import Names, quote

__all__ = ["Translation"]

_MARK: Final = "lithair past: "
_OPTION: Final = "lithair_shadows"
_MARKED: Final = re.compile(f'"{_MARK}((?:[^"]|"")*)"\\.("(?:[^"]|"")*"|[^\\s"().,;]+)')


@dataclass(frozen=True, slots=True)
class Translation:
    """Where a statement's tables stand, after the user's ``schema_translate_map``."""

    map: Mapping[str | None, str | None]

    @classmethod
    def of(cls, connection: Connection, options: Mapping[str, Any]) -> Translation:
        """Read the map that is in force for a statement: its own, else the connection's."""
        found = options.get("schema_translate_map") or connection.get_execution_options().get("schema_translate_map")
        # The loads that follow a statement inherit its options, and so a map with our marks in it.
        return cls({key: value and value.removeprefix(_MARK) for key, value in (found or {}).items() if key != "_none"})

    def schema(self, table: Table) -> str | None:
        """Return the schema that a statement would name for a table; ``None`` where it names none."""
        return self.map.get(table.schema, table.schema)

    def target(self, table: Table, names: Names) -> str:
        """Return the table's quoted name, with the schema it stands in."""
        if table.schema not in self.map:
            return qualified(table, names)
        return f"{quote(self.schema(table) or names.schema)}.{quote(table.name)}"

    def _is_named_with_schema(self, table: Table) -> bool:
        return table.schema is not None or None in self.map

    def shadow_names(self, tables: Collection[Table]) -> dict[Table, str]:
        """Name the shadows of a statement's tables: as the tables, save where two of them have the same name."""
        count = Counter(table.name for table in tables)
        return {
            table: table.name if count[table.name] == 1 else f"{self.schema(table) or ''}.{table.name}"
            for table in tables
        }

    def execution_options(self, connection: Connection, shadows: Mapping[Table, str]) -> dict[str, Any]:
        """Return the options under which a statement finds the shadows of some tables.

        Args:
            connection: that the statement is to go by.
            shadows: their names.
        """
        marked = {table: name for table, name in shadows.items() if table.schema is not None or None in self.map}
        if not marked:
            return {}
        if not event.contains(connection, "before_cursor_execute", _take_marks_out):
            event.listen(connection, "before_cursor_execute", _take_marks_out, retval=True)
        return {
            "schema_translate_map": {
                **self.map,
                **{table.schema: f"{_MARK}{self.schema(table) or ''}" for table in marked},
            },
            _OPTION: {(self.schema(table) or "", table.name): name for table, name in marked.items()},
        }


def _take_marks_out(
    _connection: Connection, _cursor: Any, statement: str, parameters: Any, context: Any, _many: Any
) -> tuple[str, Any]:
    shadows = context.execution_options.get(_OPTION) if context is not None else None
    if not shadows:
        return statement, parameters

    def unmarked(found: re.Match[str]) -> str:
        schema, name = found[1], found[2]
        bare = name[1:-1] if name.startswith('"') else name
        shadow = shadows.get((_unescaped(schema), _unescaped(bare)))
        if shadow is None:
            return f'"{schema}".{name}' if schema else name
        return name if shadow == _unescaped(bare) else f'"{schema}.{bare}"'

    return _MARKED.sub(unmarked, statement), parameters


def _unescaped(name: str) -> str:
    return name.replace('""', '"').replace("%%", "%")
