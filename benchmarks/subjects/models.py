"""The columns that every subject's models have, and the objects that are written with them.

Two classes: a product of eight columns of the usual types, and a wide one of thirty. Keys are UUIDs made by the
application, so that no subject has to ask the database for one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.orm import Mapped, mapped_column

__all__ = ["ProductColumns", "WideColumns", "change", "new_product", "new_wide"]

WIDE_TEXTS = 26


class ProductColumns:
    """Eight columns: key, three texts, a numeric, an integer, a boolean, a time."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    sku: Mapped[str]
    description: Mapped[str]
    price: Mapped[Decimal]
    stock: Mapped[int]
    active: Mapped[bool]
    created_at: Mapped[datetime]


def _wide_columns() -> dict[str, Any]:
    texts = {f"text_{number:02}": mapped_column(default="") for number in range(WIDE_TEXTS)}
    annotations = dict.fromkeys(texts, Mapped[str])
    return {"__annotations__": annotations, **texts}


class _WideKey:
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    price: Mapped[Decimal]
    stock: Mapped[int]
    active: Mapped[bool]


WideColumns: type[Any] = type("WideColumns", (_WideKey,), _wide_columns())
"""Thirty columns: key, a numeric, an integer, a boolean, twenty-six texts."""


def new_product(kind: type[Any], number: int) -> Any:
    """Make a product, its key included."""
    return kind(
        id=uuid4(),
        name=f"Product {number}",
        sku=f"SKU-{number:08}",
        description="Sixty characters of prose that say nothing about the thing.",
        price=Decimal(number % 100_000).scaleb(-2),
        stock=number % 1_000,
        active=True,
        created_at=datetime(2024, 1, 1, 12, tzinfo=UTC),
    )


def new_wide(kind: type[Any], number: int) -> Any:
    """Make an object of thirty columns, its key included."""
    texts = {f"text_{place:02}": f"value {number} of {place}" for place in range(WIDE_TEXTS)}
    return kind(id=uuid4(), price=Decimal(number % 100_000).scaleb(-2), stock=number % 1_000, active=True, **texts)


def change(found: Any) -> None:
    """Change two of an object's columns to values they never had."""
    found.stock += 1
    found.price += Decimal("0.01")
