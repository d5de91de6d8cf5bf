"""SQLAlchemy-Continuum, as its README shows it: ``make_versioned`` before the models, ``__versioned__`` in each.

Its package is imported by name: it stands in the benchmark's environment only.
"""

from __future__ import annotations

from importlib import import_module

from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.orm import DeclarativeBase, configure_mappers

from benchmarks.subjects.interfaces import Orm
from benchmarks.subjects.models import ProductColumns, WideColumns

import_module("sqlalchemy_continuum").make_versioned(user_cls=None)


class Base(DeclarativeBase):
    """Registry of this subject's models."""


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
        Base.metadata.create_all(engine)
    return Orm(engine=engine, product=Product, wide=Wide, recorded=_recorded)


def _recorded(connection: Connection) -> int:
    found: int = connection.execute(
        text("SELECT (SELECT count(*) FROM product_version) + (SELECT count(*) FROM wide_version)")
    ).scalar_one()
    return found
