"""Random programs: savepoints, rollbacks, bulk statements, raw SQL, two writers at once; then every commit again.

A small number of programs runs with the other tests; ``make soak`` runs many. Each compares the past of its commits,
through shapes of query drawn at random and on every road, with copies that were taken at the time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from lithair_sqla import as_of, audit, context, create_all, embedded
from lithair_sqla.model.travel import roads

from .conftest import WORK, Commit, Life, make_shop
from .shapes import SHAPES

# Each program audits its own database, and drops it.
pytestmark = pytest.mark.lithair_audit(False)  # noqa: FBT003 - the marker's own way

RAW = [
    "UPDATE product SET price = price + 0.01, stock = stock + 1 WHERE id % 2 = 0",
    "UPDATE product SET weight = -weight, facts = facts || '{\"raw\": null}' WHERE jsonb_typeof(facts) = 'object'",
    "DELETE FROM product_tag WHERE tag_name > 'tag 3'",
    "INSERT INTO tag SELECT 'r' || i, 'r' FROM generate_series(1, 3) i ON CONFLICT (name) DO UPDATE SET colour = 'x'",
    "UPDATE tag SET name = name || '''' WHERE length(name) < 30",
    "WITH gone AS (DELETE FROM parcel RETURNING id) SELECT count(*) FROM gone",
    'UPDATE depot."Shelf" SET id = id + 100000 WHERE id % 3 = 1 AND id < 100000',
    "DELETE FROM customer WHERE id % 5 = 0",
]


class Machine(RuleBasedStateMachine):
    """One program."""

    template: str
    server: embedded.PostgresServer
    thorough: bool

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        self.database = f"lithair_random_{uuid4().hex[:12]}"
        strategy: Any = "file_copy" if self.server.version >= (15, 0) else None
        self.engine = create_engine(
            self.server.create_database(self.database, template=self.template, strategy=strategy)
        )
        self.shop = make_shop(snapshot_frequency=1 + seed % 5)
        create_all(self.engine, self.shop.metadata)
        self.life = Life(self.engine, self.shop, random.Random(seed))
        self.life.remember()
        self.session = Session(self.engine)
        self.other: Session | None = None
        self.open_at: dict[int, set[str]] = {}
        self.writers = 0

    # ------------------------------------------------------------------------------------------------ one writer

    @rule(work=st.sampled_from(WORK), times=st.integers(1, 4))
    def write(self, work: Callable[[Life, Session], None], times: int) -> None:
        for _ in range(times):
            work(self.life, self.session)
            self.session.flush()

    @rule(work=st.sampled_from(WORK), kept=st.booleans())
    def write_in_a_savepoint(self, work: Callable[[Life, Session], None], kept: bool) -> None:  # noqa: FBT001
        savepoint = self.session.begin_nested()
        work(self.life, self.session)
        self.session.flush()
        if kept:
            savepoint.commit()
        else:
            savepoint.rollback()

    @rule(statement=st.sampled_from(RAW))
    def write_raw(self, statement: str) -> None:
        self.session.flush()
        with self.session.begin_nested():
            self.session.execute(text(statement.replace(":", "\\:")))
        self.session.expire_all()

    @rule()
    def fail_a_flush(self) -> None:
        self.session.flush()
        savepoint = self.session.begin_nested()
        self.session.execute(text("INSERT INTO category (id, name) VALUES (:id, 'twice')"), {"id": self.life.next()})
        with pytest.raises(Exception, match="duplicate key"):
            self.session.execute(text("INSERT INTO category (id, name) SELECT id, name FROM category"))
        savepoint.rollback()
        self.session.expire_all()

    @rule()
    def commit(self) -> None:
        self.session.commit()
        self.remember()

    @rule()
    def roll_back(self) -> None:
        self.session.rollback()

    # ------------------------------------------------------------------------------------------------ another at once

    @rule(number=st.integers(1, 3))
    def write_as_another(self, number: int) -> None:
        """It has rows of its own, so that it waits for nobody."""
        if self.other is None:
            self.writers += 1
            self.other = Session(self.engine)
        with context(user_id=f"writer {self.writers}"):
            for _ in range(number):
                key = -self.life.next()
                self.other.add(self.shop.Customer(id=key, name=f"other {key}", credit=None))
                self.other.add(self.shop.Category(id=key, name=f"other {key}"))
            self.other.flush()

    @precondition(lambda self: self.other is not None)
    @rule(kept=st.booleans())
    def finish_the_other(self, kept: bool) -> None:  # noqa: FBT001
        assert self.other is not None
        if kept:
            self.other.commit()
        else:
            self.other.rollback()
        self.other.close()
        self.other = None
        self.remember()

    def remember(self) -> None:
        commit = self.life.remember()
        self.open_at[commit.number] = set() if self.other is None else {f"writer {self.writers}"}

    # ------------------------------------------------------------------------------------------------ the proof

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        try:
            self.session.commit()
            self.session.close()
            if self.other is not None:
                self.other.rollback()
                self.other.close()
            with Session(self.engine) as live:
                assert audit(live, self.shop.Base)
                for commit in self._commits():
                    self._compare(live, commit)
        finally:
            self.engine.dispose()
            self.server.drop_database(self.database)

    def _commits(self) -> list[Commit]:
        commits = self.life.commits
        return commits if self.thorough else self.life.random.sample(commits, min(3, len(commits)))

    def _compare(self, live: Session, commit: Commit) -> None:
        shapes = SHAPES if self.thorough else self.life.random.sample(SHAPES, 8)
        for shape in shapes:
            roads._EVENTS_A_ROW = self.life.random.choice([0, 10**9])  # type: ignore[misc] # either road is taken
            live.commit()
            with self.life.oracle(commit) as oracle, as_of(live, commit.position) as past:
                if self._is_comparable(live, commit, past.moment.left_out):
                    assert shape(past, self.shop) == shape(oracle, self.shop), (shape.__name__, commit, past.moment)

    def _is_comparable(self, live: Session, commit: Commit, left_out: tuple[int, ...]) -> bool:
        """Whoever wrote when the copy was taken must not count at its position: rolled back, later, or left out."""
        rows = live.execute(
            text("SELECT DISTINCT transaction_id FROM lithair_events WHERE actor = ANY (:actors)"),
            {"actors": list(self.open_at.get(commit.number, ()))},
        )
        return all(first in left_out or first > commit.position for first in rows.scalars())


@pytest.fixture
def template(server: embedded.PostgresServer, database_url: Any, engine: Engine) -> str:
    """A database with the shop's tables, for others to be copied from."""
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA depot"))
    create_all(engine, make_shop().metadata)
    engine.dispose()
    name: str = database_url.database
    return name


def _run(server: embedded.PostgresServer, template: str, *, examples: int, steps: int, thorough: bool) -> None:
    machine = type("Program", (Machine,), {"server": server, "template": template, "thorough": thorough})
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=checks,
            print_blob=True,
        ),
    )


@pytest.fixture(autouse=True)
def _roads_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roads, "_EVENTS_A_ROW", roads._EVENTS_A_ROW)


def test_every_commit_of_a_random_program_can_be_seen_again(server: embedded.PostgresServer, template: str) -> None:
    _run(server, template, examples=4, steps=15, thorough=False)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_commit_of_many_random_programs(server: embedded.PostgresServer, template: str) -> None:
    _run(server, template, examples=150, steps=30, thorough=True)
