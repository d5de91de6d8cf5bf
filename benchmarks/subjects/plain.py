"""Plain SQLAlchemy: the same models without any history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import URL, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Session

from benchmarks.subjects.interfaces import Orm, Reader
from benchmarks.subjects.models import ProductColumns, WideColumns


class Base(DeclarativeBase):
    """Registry of this subject's models."""


class Product(ProductColumns, Base):
    """Eight columns."""

    __tablename__ = "product"


class Wide(WideColumns, Base):  # type: ignore[misc]
    """Thirty columns."""

    __tablename__ = "wide"


@contextmanager
def _live(session: Session, _: datetime) -> Iterator[Reader]:
    yield lambda key: session.scalars(select(Product).where(Product.id == key)).one()


def open_orm(url: URL, *, create: bool) -> Orm:
    """Make the tables and return the models."""
    engine = create_engine(url)
    if create:
        Base.metadata.create_all(engine)
    return Orm(engine=engine, product=Product, wide=Wide, recorded=None, past=_live)
