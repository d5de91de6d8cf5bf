"""postgresql-audit, as its documentation shows it: ``versioning_manager.init(Base)``, ``__versioned__`` in each model.

No actor is set, as ours has no context here: what is compared is the capture. Its package is imported by name: it
stands in the benchmark's environment only.
"""

from __future__ import annotations

from importlib import import_module

from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.orm import DeclarativeBase, configure_mappers

from benchmarks.subjects.interfaces import Orm
from benchmarks.subjects.models import ProductColumns, WideColumns


class Base(DeclarativeBase):
    """Registry of this subject's models."""


_manager = import_module("postgresql_audit").versioning_manager
_manager.init(Base)


class Product(ProductColumns, Base):
    """Eight columns."""

    __tablename__ = "product"
    __versioned__: dict[str, object] = {}  # noqa: RUF012 - as its documentation has it


class Wide(WideColumns, Base):  # type: ignore[misc]
    """Thirty columns."""

    __tablename__ = "wide"
    __versioned__: dict[str, object] = {}  # noqa: RUF012 - as its documentation has it


def open_orm(url: URL, *, create: bool) -> Orm:
    """Make the tables and return the models."""
    configure_mappers()
    engine = create_engine(url)
    if create:
        # Its own two first: with them come the functions that make the other tables' triggers.
        Base.metadata.create_all(engine, tables=[_manager.transaction_cls.__table__, _manager.activity_cls.__table__])
        Base.metadata.create_all(engine)
    return Orm(engine=engine, product=Product, wide=Wide, recorded=_recorded)


def _recorded(connection: Connection) -> int:
    found: int = connection.execute(text("SELECT count(*) FROM activity")).scalar_one()
    return found
