"""How the library's operations and column types are written into a migration script."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import renderers

from lithair_sqla.evolution.operations import LithairRunOp

__all__ = ["import_types"]


def import_types(context: Any) -> None:
    """Let scripts import what a column type of the library's is written with.

    Args:
        context: Alembic's ``AutogenContext``, before anything is rendered; env.py's own ``render_item`` goes first.
    """
    before = context.opts.get("render_item")
    if getattr(before, "lithair", False):
        return

    def render_item(kind: str, item: Any, rendering: AutogenContext) -> Any:
        rendered = before(kind, item, rendering) if before is not None else False
        module = type(item).__module__
        if rendered is False and kind == "type" and module.startswith("lithair_sqla."):
            rendering.imports.add(f"import {module}")
        return rendered

    render_item.lithair = True  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    context.opts["render_item"] = render_item


@renderers.dispatch_for(LithairRunOp)
def _render(context: AutogenContext, operation: LithairRunOp) -> list[str]:
    if not operation.statements:
        return []
    lines = [f"{context.opts['alembic_module_prefix'] or ''}lithair_run(", f"    {operation.label!r},"]
    lines.extend(_argument(statement) for statement in operation.statements)
    return ["\n".join([*lines, ")"])]


def _argument(statement: str) -> str:
    """Write a statement as string literals, one a line, so that a changed body is a readable difference."""
    lines = statement.split("\n")
    if len(lines) == 1:
        return f"    {statement!r},"
    literals = [repr(f"{line}\n") for line in lines[:-1]] + [repr(lines[-1])]
    return "\n".join(["    (", *(f"        {literal}" for literal in literals), "    ),"])
