"""What the past costs beside the present: ``python -m benchmarks.travel [--rows 20000]``.

Each figure is a median of rounds in which live and past take turns on one connection, so that a busy machine weighs on
both; the ratio is what counts. The server is the benchmark's own (``LITHAIR_BENCH_DSN`` names another).
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from statistics import median
from time import perf_counter
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, ForeignKey, create_engine, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

from benchmarks import cluster
from benchmarks.numbers import figure
from lithair_sqla import EventSourced, Persistence, as_of, audit, create_all, history

ROUNDS = 7
LONG_STREAM = 10_000


class Base(DeclarativeBase):
    """Of the benchmark's classes."""


class Customer(EventSourced, Base):
    """Changed ten times each; the last one ten thousand times."""

    __tablename__ = "customer"
    __persistence__ = Persistence(snapshot_frequency=500, max_snapshots_per_aggregate=20)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    city: Mapped[str]
    balance: Mapped[Decimal]
    orders: Mapped[list[Order]] = relationship(back_populates="customer")


class Order(EventSourced, Base):
    """One a customer, never changed."""

    __tablename__ = "purchase"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    total: Mapped[Decimal]
    customer: Mapped[Customer] = relationship(back_populates="orders")


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was done.
        live_ms: on the live session, median of the rounds' medians; ``None`` where that means nothing.
        past_ms: at the moment.
        goal: what the design asks for, in words.
    """

    name: str
    live_ms: float | None
    past_ms: float
    goal: str

    @property
    def ratio(self) -> float | None:
        """Past by live."""
        return None if self.live_ms is None else self.past_ms / self.live_ms


def prepare(engine: Engine, rows: int) -> dict[str, int]:
    """Write the history; answers the positions that are asked for later."""
    create_all(engine, Base)
    positions = {}
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO customer (id, name, city, balance) "
                "SELECT i, 'customer ' || i, 'city ' || i % 100, 0 FROM generate_series(1, :rows) i"
            ),
            {"rows": rows},
        )
        connection.execute(
            text("INSERT INTO purchase (id, customer_id, total) SELECT i, i, i FROM generate_series(1, :rows) i"),
            {"rows": rows},
        )
    for _ in range(9):
        with engine.begin() as connection:
            connection.execute(text("UPDATE customer SET balance = balance + 1"))
    for number in range(1, LONG_STREAM - 9):
        with engine.begin() as connection:
            connection.execute(text("UPDATE customer SET balance = balance + 1 WHERE id = :id"), {"id": rows})
        if number == LONG_STREAM - 700:
            positions["in the long stream"] = _last(engine)
    positions["recent"] = _last(engine)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE customer SET balance = balance + 1 WHERE id % 1000 = 0 AND id < :id"), {"id": rows}
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    return positions


def _last(engine: Engine) -> int:
    with engine.connect() as connection:
        found: int = connection.execute(text("SELECT max(position) FROM lithair_events")).scalar_one()
        return found


def timed(work: Callable[[Any], object], arguments: list[Any]) -> float:
    """Do something for each argument; the median in milliseconds."""
    times = []
    for argument in arguments:
        start = perf_counter()
        work(argument)
        times.append((perf_counter() - start) * 1_000)
    return median(times)


def beside(live: Callable[[Any], object], past: Callable[[Any], object], arguments: list[Any]) -> tuple[float, float]:
    """Take turns, round by round; the medians of both."""
    rounds = [(timed(live, arguments), timed(past, arguments)) for _ in range(ROUNDS + 1)][1:]
    return median(first for first, _ in rounds), median(second for _, second in rounds)


def measure(engine: Engine, rows: int, positions: dict[str, int]) -> list[Figure]:
    """Measure everything."""
    draw = random.Random(1)  # noqa: S311 - the same draws at each run
    keys = draw.sample(range(1, rows), 200)
    with Session(engine) as live, as_of(live, positions["recent"]) as past:

        def on(session: Session, statement: Callable[[Any], Any]) -> Callable[[Any], object]:
            def run(argument: Any) -> object:
                session.expunge_all()
                return session.scalars(statement(argument)).all()

            return run

        def get(session: Session) -> Callable[[Any], object]:
            def run(key: Any) -> object:
                session.expunge_all()
                return session.get_one(Customer, key)

            return run

        def both(name: str, statement: Callable[[Any], Any], arguments: list[Any], goal: str = "") -> Figure:
            return Figure(name, *beside(on(live, statement), on(past, statement), arguments), goal)

        figures = [
            both("select by key", lambda key: select(Customer).where(Customer.id == key), keys, "ratio ≤ 2.5"),
            Figure("get", *beside(get(live), get(past), keys), "ratio ≤ 2.5"),
            both(
                "select 50 keys", lambda key: select(Customer).where(Customer.id.in_(range(key, key + 50))), keys[:20]
            ),
            both(
                "joined load by key",
                lambda key: select(Order).options(joinedload(Order.customer)).where(Order.id == key),
                keys[:20],
            ),
            both("one-to-many load", lambda key: select(Order).where(Order.customer_id == key), keys[:20]),
            both(
                "filter, 0.1 % changed since",
                lambda city: select(Customer).where(Customer.city == city),
                ["city 7"] * 5,
            ),
            both("count", lambda _: select(func.count()).select_from(Customer), [None] * 5),
        ]
    with Session(engine) as live:
        long_ago = positions["in the long stream"]
        with as_of(live, long_ago) as past:
            figures.append(
                Figure(
                    f"a stream of {LONG_STREAM:,} events, by snapshots", None, timed(get(past), [rows] * 50), "≤ 5 ms"
                )
            )
        start = perf_counter()
        for _ in range(50):
            as_of(live, long_ago).open()
        figures.append(Figure("opening a moment, by position", None, (perf_counter() - start) * 20, ""))
        time = live.scalar(
            text("SELECT recorded_at FROM lithair_events WHERE position = :position"), {"position": long_ago}
        )
        start = perf_counter()
        for _ in range(50):
            as_of(live, time).open()
        figures.append(Figure("opening a moment, by time", None, (perf_counter() - start) * 20, ""))
        whole = history(live, Customer, rows)
        figures.append(
            Figure("every change of one of 10,000", None, timed(lambda _: whole.of("balance"), [None] * 5), "")
        )
    return figures


def show(figures: list[Figure], rows: int, described: dict[str, str]) -> None:
    """Print the table."""
    print(f"{rows:,} rows of ten events and one of {LONG_STREAM:,}; PostgreSQL {described['version']}")
    print(f"{'':42}{'live, ms':>10}{'past, ms':>10}{'ratio':>8}  goal")
    for each in figures:
        live = "" if each.live_ms is None else figure(each.live_ms)
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        print(f"{each.name:42}{live:>10}{figure(each.past_ms):>10}{ratio:>8}  {each.goal}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    asked = parser.parse_args()
    with cluster.server() as running:
        name = f"lithair_travel_{uuid4().hex[:8]}"
        engine = create_engine(running.create_database(name))
        try:
            positions = prepare(engine, asked.rows)
            figures = measure(engine, asked.rows, positions)
            with Session(engine) as session:
                if not (report := audit(session, Base)):
                    raise AssertionError(str(report))
        finally:
            engine.dispose()
            running.drop_database(name)
        if asked.json:
            print(json.dumps([asdict(each) | {"ratio": each.ratio} for each in figures], ensure_ascii=False))
        else:
            show(figures, asked.rows, cluster.describe(running))


if __name__ == "__main__":
    main()
