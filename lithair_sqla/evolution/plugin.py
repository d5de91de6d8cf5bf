"""The entry point that Alembic loads while it is itself being imported.

So this module imports nothing of Alembic's beyond ``alembic.util``, and nothing of ours: everything comes with the
first comparison or operation. The plugin's name, ``alembic.autogenerate.lithair``, matches Alembic's default wildcard:
an existing project needs no line in its env.py, and ``autogenerate_plugins=["alembic.autogenerate.*",
"~alembic.autogenerate.lithair"]`` leaves it out.
"""

from __future__ import annotations

from typing import Any

from alembic.util import DispatchPriority, PriorityDispatchResult

__all__ = ["setup"]


def setup(plugin: Any) -> None:
    """Register the comparison, the operation that the scripts it writes call, and the lock that migrators take.

    Args:
        plugin: Alembic's ``Plugin``.
    """
    from alembic.ddl.impl import DefaultImpl  # noqa: PLC0415 - loaded before plugins are
    from alembic.operations import Operations  # noqa: PLC0415 - loaded before plugins are

    _register_operation(Operations)
    _lock_migrations(DefaultImpl)
    plugin.add_autogenerate_comparator(_hide, "autogenerate", qualifier="postgresql", priority=DispatchPriority.FIRST)
    plugin.add_autogenerate_comparator(_compare, "autogenerate", qualifier="postgresql", priority=DispatchPriority.LAST)


def _register_operation(operations: Any) -> None:
    from lithair_sqla.evolution.operations import LithairRunOp, run  # noqa: PLC0415

    operations.register_operation("lithair_run")(LithairRunOp)
    operations.implementation_for(LithairRunOp)(run)


def _lock_migrations(implementation: Any) -> None:
    """Take a lock when a run of migrations starts.

    Alembic calls the implementation's ``start_migrations`` for this, right after the transaction began and before it
    looks which revision the database is at. No plugin can register for it; set on the base class (PostgreSQL's is not
    there yet), it reaches the subclasses that an env.py may have too.
    """
    original = implementation.start_migrations

    def start_migrations(self: Any) -> None:
        from lithair_sqla.evolution.locking import lock_migrations  # noqa: PLC0415

        original(self)
        lock_migrations(self)

    implementation.start_migrations = start_migrations


def _hide(autogen_context: Any, _: Any) -> PriorityDispatchResult:
    from lithair_sqla.evolution.hiding import hide  # noqa: PLC0415
    from lithair_sqla.evolution.render import import_types  # noqa: PLC0415

    hide(autogen_context)
    import_types(autogen_context)
    return PriorityDispatchResult.CONTINUE


def _compare(autogen_context: Any, upgrade_ops: Any) -> PriorityDispatchResult:
    from lithair_sqla.evolution.compare import compare  # noqa: PLC0415

    compare(autogen_context, upgrade_ops)
    return PriorityDispatchResult.CONTINUE
