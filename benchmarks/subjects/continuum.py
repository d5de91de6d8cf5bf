"""SQLAlchemy-Continuum, as its README shows it: ``make_versioned`` before the models, ``__versioned__`` in each.

Its package is imported by name: it stands in the benchmark's environment only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from uuid import UUID

from sqlalchemy import URL, Connection, create_engine, func, or_, select, text
from sqlalchemy.orm import DeclarativeBase, Session, configure_mappers

from benchmarks.subjects.interfaces import Orm, Reader
from benchmarks.subjects.models import ProductColumns, WideColumns

_continuum = import_module("sqlalchemy_continuum")
_continuum.make_versioned(user_cls=None)


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
    return Orm(engine=engine, product=Product, wide=Wide, recorded=_recorded, sees_sql=False, past=_past)


@contextmanager
def _past(session: Session, moment: datetime) -> Iterator[Reader]:
    """Read versions as its “validity” strategy means them: begun by then, and not ended by then."""
    version: Any = _continuum.version_class(Product)
    transaction: Any = _continuum.transaction_class(Product)
    issued = moment.astimezone(UTC).replace(tzinfo=None)
    last = session.scalars(select(func.max(transaction.id)).where(transaction.issued_at <= issued)).one()

    def read(key: UUID) -> Any:
        begun = version.transaction_id <= last
        lasting = or_(version.end_transaction_id.is_(None), version.end_transaction_id > last)
        return session.scalars(select(version).where(version.id == key, begun, lasting)).one()

    yield read


def _recorded(connection: Connection) -> int:
    found: int = connection.execute(
        text("SELECT (SELECT count(*) FROM product_version) + (SELECT count(*) FROM wide_version)")
    ).scalar_one()
    return found
