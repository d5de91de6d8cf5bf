"""What an update's event is called where rules name it: by the narrowest rule that all changed columns are in."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, Persistence, persistence


class Base(DeclarativeBase):
    pass


class Product(EventSourced, Base):
    __tablename__ = "product"
    __persistence__ = Persistence(
        events={
            "Priced": ["price"],
            "Repriced": ["price", "currency"],
            "Described": ["name", "text", "price", "currency"],
            "Renamed": ["name", "text"],
        }
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int] = mapped_column(default=1)
    currency: Mapped[str] = mapped_column(default="EUR")
    name: Mapped[str] = mapped_column(default="chair")
    text: Mapped[str | None]
    stock: Mapped[int] = mapped_column(default=0, info=persistence(event="Counted"))


@pytest.mark.parametrize(
    ("changes", "type_"),
    [
        ({"price": 2}, "Priced"),
        ({"currency": "USD"}, "Repriced"),
        ({"price": 2, "currency": "USD"}, "Repriced"),
        ({"name": "table"}, "Renamed"),
        ({"name": "table", "price": 2}, "Described"),
        ({"stock": 2}, "Counted"),
        ({"stock": 2, "price": 2}, "ProductUpdated"),
    ],
)
def test_the_narrowest_rule_that_fits_names_the_event(
    session: Session, changes: dict[str, Any], type_: str, log: Any
) -> None:
    product = Product()
    session.add(product)
    session.commit()
    for name, value in changes.items():
        setattr(product, name, value)
    session.commit()

    assert log.types("Product", str(product.id)) == ["ProductCreated", type_]
