"""Tables filled by SQL, for workloads that need many rows and are not about how they came."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text

from benchmarks.subjects.interfaces import Orm

__all__ = ["fill_products", "tidy", "update_products"]

_FILL = text("""\
INSERT INTO product (id, name, sku, description, price, stock, active, created_at)
SELECT gen_random_uuid(), 'Product ' || i, 'SKU-' || lpad(i::text, 8, '0'),
    'Sixty characters of prose that say nothing about the thing.', (i % 100000) / 100.0, i % 1000, true,
    '2024-01-01 12:00+00'
  FROM generate_series(1, :rows) i""")
_UPDATE = text("UPDATE product SET stock = stock + 1, price = price + 0.01")


def fill_products(orm: Orm, rows: int, *, updates: int = 0) -> None:
    """Insert products, then change two columns of each so many times, a transaction each."""
    with orm.engine.begin() as connection:
        connection.execute(_FILL, {"rows": rows})
    for _ in range(updates):
        with orm.engine.begin() as connection:
            update_products(connection)


def update_products(connection: Connection) -> int:
    """Change two columns of every product by one statement, and return how many there are."""
    return connection.execute(_UPDATE).rowcount


def tidy(engine: Engine) -> None:
    """Do what autovacuum would have done by now."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
