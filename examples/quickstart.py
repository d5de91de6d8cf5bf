from __future__ import annotations

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, audit, context, create_all, embedded, history


class Base(DeclarativeBase): ...


class Product(EventSourced, Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    stock: Mapped[int]


with embedded.postgres() as server:  # a PostgreSQL to play with; any other will do
    engine = create_engine(server.url)
    create_all(engine, Base)
    with Session(engine) as session, context(user_id="ana"):
        tea = Product(name="tea", stock=12)
        session.add(tea)
        session.commit()
        tea.stock -= 5
        session.commit()
    with engine.begin() as connection:  # somebody else, past the ORM
        connection.exec_driver_sql("UPDATE product SET stock = 0")

    with Session(engine) as session:
        for event in history(session, Product, key=1):
            print(event.version, event.type, event.data, event.actor)
        print(audit(session, Product))
