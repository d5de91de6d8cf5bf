"""Plain SQLAlchemy: the same models without any history."""

from __future__ import annotations

from sqlalchemy import URL, create_engine
from sqlalchemy.orm import DeclarativeBase

from benchmarks.subjects.interfaces import Orm
from benchmarks.subjects.models import ProductColumns, WideColumns


class Base(DeclarativeBase):
    """Registry of this subject's models."""


class Product(ProductColumns, Base):
    """Eight columns."""

    __tablename__ = "product"


class Wide(WideColumns, Base):  # type: ignore[misc]
    """Thirty columns."""

    __tablename__ = "wide"


def open_orm(url: URL, *, create: bool) -> Orm:
    """Make the tables and return the models."""
    engine = create_engine(url)
    if create:
        Base.metadata.create_all(engine)
    return Orm(engine=engine, product=Product, wide=Wide, recorded=None)
