"""The library's functions: read from ``sql/``, rendered for one database, marked with the hash of what made them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from lithair_sqla.schema.names import Names, literal, quote

__all__ = ["COMMENT_PREFIX", "FUNCTIONS", "LibraryFunction", "library_functions"]

COMMENT_PREFIX: Final = "lithair function "

FUNCTIONS: Final[tuple[tuple[str, str, bool], ...]] = (
    # name, kind of object, whether applications call it
    ("merge", "AGGREGATE", True),
    ("event_id", "FUNCTION", True),
    ("changed_columns", "FUNCTION", False),
    ("add_leaf", "FUNCTION", False),
    ("extend_log", "FUNCTION", True),
    ("advertise", "FUNCTION", False),
    ("draw", "FUNCTION", False),
    ("horizon", "FUNCTION", True),
    ("claim", "FUNCTION", False),
    ("reserve", "FUNCTION", False),
    ("append", "FUNCTION", True),
    ("log_event", "FUNCTION", False),
    ("capture_delete", "FUNCTION", False),
    ("is_own", "FUNCTION", False),
    ("lock_rows", "FUNCTION", False),
    ("append_notes", "FUNCTION", False),
    ("after_flush", "FUNCTION", True),
    ("claim_command", "FUNCTION", True),
    ("take_snapshot", "FUNCTION", False),
    ("save_snapshot", "FUNCTION", True),
    ("begin_replay", "FUNCTION", False),
    ("end_replay", "FUNCTION", False),
    ("begin_batch", "FUNCTION", False),
    ("refuse_truncate", "FUNCTION", False),
    ("position_at", "FUNCTION", True),
    ("moment", "FUNCTION", True),
    ("state_at", "FUNCTION", True),
    ("event_log", "VIEW", True),
)
"""Every function, in an order in which they can be made."""


@dataclass(frozen=True, slots=True)
class LibraryFunction:
    """One function, aggregate or view of the library, rendered for a database.

    Attributes:
        name: without schema and prefix.
        kind: ``FUNCTION``, ``AGGREGATE`` or ``VIEW``.
        statement: the CREATE OR REPLACE statement.
        signature: what COMMENT, GRANT and DROP call it.
        digest: sixteen hexadecimal digits of its text.
        is_public: whether applications may call it.
    """

    name: str
    kind: str
    statement: str
    signature: str
    digest: str
    is_public: bool

    @property
    def comment(self) -> str:
        """The comment that marks it as ours and as of this version."""
        return COMMENT_PREFIX + self.digest

    @property
    def statements(self) -> tuple[str, ...]:
        """Everything to run to make it, mark it and take it away from PUBLIC."""
        marked = f"COMMENT ON {self.kind} {self.signature} IS {literal(self.comment)}"
        if self.kind == "VIEW" or self.name in {"merge", "event_id", "horizon"}:
            return self.statement, marked
        return self.statement, marked, f"REVOKE ALL ON FUNCTION {self.signature} FROM PUBLIC"


@cache
def _template(name: str) -> str:
    return (files("lithair_sqla.schema") / "sql" / f"{name}.sql").read_text(encoding="utf-8").strip()


def library_functions(names: Names) -> tuple[LibraryFunction, ...]:
    """Render every function of the library for one database."""
    made = []
    for name, kind, is_public in FUNCTIONS:
        statement = names.template(_template(name))
        signature = names.object(name) + ("(jsonb)" if kind == "AGGREGATE" else "")
        digest = sha256(statement.encode()).hexdigest()[:16]
        made.append(LibraryFunction(name, kind, statement, signature, digest, is_public))
    return tuple(made)


def sequence_statement(names: Names) -> str:
    """Write the statement that makes the sequence of positions."""
    return f"CREATE SEQUENCE IF NOT EXISTS {names.object('position')} AS bigint CACHE 1"


def parts_schema_statement(names: Names) -> str:
    """Write the statement that makes the schema of the log's partitions."""
    return f"CREATE SCHEMA IF NOT EXISTS {quote(names.parts_schema)}"
