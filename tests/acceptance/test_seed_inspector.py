"""The seed's inspector session and its health test, word for word in meaning, on a server of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, Lithair, Persistence, create_all, embedded

AGGREGATE = UUID("123e4567-e89b-12d3-a456-426614174000")
EVENTS = 1_247


class Base(DeclarativeBase):
    pass


class Product(EventSourced, Base):
    __tablename__ = "product"
    __persistence__ = Persistence(snapshot_frequency=600)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    stock: Mapped[int]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with embedded.postgres() as server:
        made = create_engine(server.url)
        create_all(made, Base)
        with Session(made) as session:
            product = Product(id=AGGREGATE, name="tea", stock=0)
            session.add(product)
            session.commit()
            for stock in range(1, EVENTS):
                product.stock = stock
                session.flush()
            session.commit()
        yield made
        made.dispose()


def test_the_inspector(engine: Engine) -> None:
    """``lithair-storage inspect`` on a Product with 1,247 events and two snapshots, as a shell runs it."""
    words = ["inspect", "--aggregate-id", str(AGGREGATE), "--show-events", "--show-snapshots", "--verify-integrity"]
    ran = subprocess.run(
        [sys.executable, "-c", "from lithair_sqla.cli import main; main()", *words, "--limit", "2"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "LITHAIR_DSN": engine.url.render_as_string(hide_password=False), "COLUMNS": "80"},
    )

    assert ran.stderr == ""
    assert ran.returncode == 0
    lines = ran.stdout.splitlines()
    assert lines[0] == "Aggregate: Product(123e4567...)"
    assert re.fullmatch(r"Events: 1,247 \(\d+\.\d[kM]B\)", lines[1])
    assert re.fullmatch(r"Snapshots: 2 \(\d+B, \d+B\)", lines[2])
    assert lines[3] == "Integrity: ✓ versions, order and snapshots agree"
    assert re.fullmatch(r"Last Event: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", lines[4])
    assert lines[-1] == "… 1,245 more: --after-version 2"


def test_storage_health(engine: Engine) -> None:
    health = Lithair(Base).health_check(engine)

    assert not health.corruption_detected
    assert health.index_consistency
    assert health.performance_metrics.avg_write_latency_ms is not None
    assert health.performance_metrics.avg_write_latency_ms < 5.0


def test_the_report_has_the_seeds_fields(engine: Engine) -> None:
    health = Lithair(Base).health_check(engine, deep=True)

    assert health.total_events == EVENTS
    assert health.total_size_bytes > 0
    assert health.snapshot_validity
    assert health.recommendations == ()
