"""How the library's objects are called in one database, and how SQL templates come to speak those names.

The SQL in ``sql/`` and in the guards is written as if everything stood in a schema called ``lithair``:
``lithair.streams``, ``lithair.append(…)``. ``Names.render`` turns that into the real, quoted names, so that functions
can pin their search path to ``pg_catalog`` and nobody's temporary or public objects can stand in for ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from lithair_sqla.options import StorageConfig

__all__ = ["CHECK_EVERY_POSITIONS", "Names", "literal", "quote"]

CHECK_EVERY_POSITIONS: Final = 65_536
"""How often a writer looks whether the log's next partitions are there."""

_OURS = r"""
    (?: (?<=current_setting\() | (?<=set_config\() ) 'lithair\.(?P<flag>advertised|transaction|origin)'
  | 'lithair\.(?P<regclass>[a-z_]+)'::regclass
  | (?<!') \b lithair\.(?P<object>[a-z_]+)
  | \{\{(?P<placeholder>[a-z0-9_]+)\}\}
"""
_IN_TEMPLATES = re.compile(_OURS, re.VERBOSE)
# A quoted name or constant is taken in one piece, and left as it is.
_OUTSIDE_QUOTES = re.compile(_OURS.replace("| (?<!')", """| "(?:[^"]|"")*" | '(?:[^']|'')*' | (?<!')"""), re.VERBOSE)


def quote(identifier: str) -> str:
    """Quote an identifier, always, doubling what needs doubling."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(value: str | None) -> str:
    """Write a string constant for SQL text; backslashes stay what they are (standard_conforming_strings)."""
    if value is None:
        return "NULL"
    text = value.replace("'", "''")
    return f"E'{text.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{text}'"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one store's objects in one database.

    Attributes:
        schema: the schema they stand in, resolved (never ``None``).
        config: where prefix, widths and bounds come from.
        users: the schema of the user's tables that name none; ``None`` is the library's own.
        translated: the connection's ``schema_translate_map``.
        citext: the schema that the extension of this name stands in.
    """

    schema: str
    config: StorageConfig
    users: str | None = None
    translated: tuple[tuple[str | None, str | None], ...] = ()
    citext: str | None = None

    @property
    def quoted_schema(self) -> str:
        """The schema's quoted name."""
        return quote(self.schema)

    @property
    def parts_schema(self) -> str:
        """The schema of the log's partitions, out of sight of everything that lists the user's tables."""
        if self.config.parts_schema is not None:
            return self.config.parts_schema
        own = f"{self.config.prefix}parts"
        return own if self.schema == "public" else f"{self.schema[:40]}_{own}"

    @property
    def namespace(self) -> int:
        """Fifteen bits that keep this store's advisory locks and settings apart from another's in the same database."""
        return (crc32(f"{self.schema}.{self.config.prefix}".encode()) & 0x7FFF) or 1

    def object(self, name: str) -> str:
        """Return the quoted, qualified name of one of the library's objects."""
        return f"{quote(self.schema)}.{quote(self.config.prefix + name)}"

    def schema_of(self, declared: str | None) -> str:
        """Return the schema that a user's table really stands in.

        Args:
            declared: what the table's ``schema`` says.
        """
        return dict(self.translated).get(declared, declared) or self.users or self.schema

    def template(self, text: str) -> str:
        """Turn a file of ``sql/`` into SQL for this database, replacing names and placeholders wherever they stand."""
        return _IN_TEMPLATES.sub(self._own, text)

    def render(self, text: str) -> str:
        """Turn SQL that speaks of ``lithair.…`` and ``{{placeholders}}`` into SQL for this database.

        What is quoted is left as it is, save for our own constants: a user's table may well be called
        ``lithair.streams``, or a stream ``{{prefix}}``.
        """
        return _OUTSIDE_QUOTES.sub(self._own, text)

    def _own(self, found: re.Match[str]) -> str:
        match found.lastgroup:
            case "flag":
                return f"'lithair.{found['flag']}_{self.namespace}'"
            case "regclass":
                return f"{literal(self.object(found['regclass']))}::regclass"
            case "object":
                return self.object(found["object"])
            case "placeholder":
                return self._placeholder(found["placeholder"])
            case _:
                return found[0]

    def _placeholder(self, name: str) -> str:
        values = {
            "schema": self.schema,
            "citext": quote(self.citext or "public"),
            "streams_identity": quote(f"{self.config.prefix}streams_identity"),
            "parts": self.parts_schema.replace("'", "''"),
            "leaf": f"{self.config.prefix}events_p",
            "namespace": str(self.namespace),
            "namespace3": f"{self.namespace & 0xFFF:03x}",
            "width": str(self.config.partition_width),
            "ahead": str(self.config.partitions_ahead),
            "check_every": str(min(CHECK_EVERY_POSITIONS, max(1, self.config.partition_width // 16))),
        }
        return values[name]
