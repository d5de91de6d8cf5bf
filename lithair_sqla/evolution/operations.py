"""The one operation that migration scripts call: run statements that make, replace or take away something of ours.

The statements stand in the script as text, so an old migration goes on doing what it did, whatever the library has
become.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alembic.operations import MigrateOperation, Operations

from lithair_sqla.schema.create import execute

__all__ = ["LithairRunOp", "run"]


class LithairRunOp(MigrateOperation):
    """Run statements as they stand.

    Attributes:
        label: what they are about, for the reader of the script.
        statements: to run, in order; with none, the script has nothing of it.
        reverse_label: what taking them back is about.
        reverse_statements: what takes them back.
    """

    def __init__(
        self,
        label: str,
        statements: Sequence[str],
        *,
        reverse_label: str = "",
        reverse_statements: Sequence[str] = (),
    ) -> None:
        self.label = label
        self.statements = tuple(statements)
        self.reverse_label = reverse_label
        self.reverse_statements = tuple(reverse_statements)

    @classmethod
    def lithair_run(cls, operations: Operations, label: str, *statements: str) -> None:
        """Run statements of the library as they stand: no parameter, no escape.

        Args:
            operations: Alembic's.
            label: what they are about.
            statements: complete SQL statements.
        """
        operations.invoke(cls(label, statements))

    def reverse(self) -> LithairRunOp:
        """Return what takes this operation back."""
        return LithairRunOp(
            self.reverse_label,
            self.reverse_statements,
            reverse_label=self.label,
            reverse_statements=self.statements,
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Describe the operation for ``alembic check``."""
        return ("lithair_run", self.label or self.reverse_label)


def run(operations: Operations, operation: LithairRunOp) -> None:
    """Run an operation's statements, or write them down in offline mode."""
    context = operations.get_context()
    for statement in operation.statements:
        if context.as_sql:
            context.impl.static_output(statement + context.impl.command_terminator)
        else:
            assert context.connection is not None  # noqa: S101 - there is one whenever SQL is not only written down
            execute(context.connection, statement)
