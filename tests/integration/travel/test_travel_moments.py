"""Which position a moment is, who straddles it, and when its answers are final."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import Event, EventSourced, EventStore, Persistence, as_of, before, create_all
from lithair_sqla.errors import MomentError


@pytest.fixture
def till(engine: Engine) -> SimpleNamespace:
    """One event-sourced class, and a count of its rows at a moment."""

    class Base(DeclarativeBase):
        pass

    class Sale(EventSourced, Base):
        __tablename__ = "sale"
        id: Mapped[int] = mapped_column(primary_key=True)
        amount: Mapped[Decimal]

    create_all(engine, Base)

    def amounts(session: Session, moment: Any) -> dict[int, int]:
        with as_of(session, moment) as past:
            return {sale.id: int(sale.amount) for sale in past.query(Sale)}

    return SimpleNamespace(Sale=Sale, amounts=amounts)


def sell(engine: Engine, till: SimpleNamespace, *numbers: int, amount: int = 1) -> None:
    with Session(engine) as session:
        session.add_all([till.Sale(id=number, amount=amount) for number in numbers])
        session.commit()


def now(engine: Engine) -> datetime:
    with engine.connect() as connection:
        found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return found


def events(engine: Engine) -> list[Event]:
    with engine.connect() as connection:
        return EventStore(connection).read_all()


def test_a_time_is_what_had_been_recorded_by_then(engine: Engine, till: SimpleNamespace) -> None:
    times = [now(engine)]
    for number in range(1, 6):
        sell(engine, till, number)
        times.append(now(engine))
    with Session(engine) as session:
        for number, time in enumerate(times):
            assert list(till.amounts(session, time)) == list(range(1, number + 1))


def test_an_events_own_time_includes_it(engine: Engine, till: SimpleNamespace) -> None:
    for number in range(1, 4):
        sell(engine, till, number)
    with Session(engine) as session:
        for number, event in enumerate(events(engine), 1):
            assert list(till.amounts(session, event.recorded_at)) == list(range(1, number + 1))
            assert list(till.amounts(session, event.recorded_at - timedelta(microseconds=1))) == list(range(1, number))


def test_a_time_in_any_zone(engine: Engine, till: SimpleNamespace) -> None:
    sell(engine, till, 1)
    there = now(engine).astimezone(tz=None)
    sell(engine, till, 2)
    with Session(engine) as session:
        assert list(till.amounts(session, there)) == [1]


def test_a_timedelta_is_as_long_ago_by_the_databases_clock(engine: Engine, till: SimpleNamespace) -> None:
    sell(engine, till, 1)
    with Session(engine) as session:
        assert till.amounts(session, timedelta(0)) == {1: 1}
        assert till.amounts(session, timedelta(hours=1)) == {}
        assert till.amounts(session, timedelta.max) == {}


def test_right_after_an_event_is_after_its_transaction(engine: Engine, till: SimpleNamespace) -> None:
    sell(engine, till, 1)
    sell(engine, till, 2, 3, 4)
    sell(engine, till, 5)
    first, second, third, fourth, fifth = events(engine)
    with Session(engine) as session:
        assert list(till.amounts(session, first)) == [1]
        for event in (second, third, fourth):
            assert list(till.amounts(session, event)) == [1, 2, 3, 4]
            assert list(till.amounts(session, before(event))) == [1]
        assert list(till.amounts(session, before(first))) == []
        assert list(till.amounts(session, fifth)) == [1, 2, 3, 4, 5]


def test_a_position_inside_a_transaction_leaves_it_out_whole(engine: Engine, till: SimpleNamespace) -> None:
    sell(engine, till, 1)
    sell(engine, till, 2, 3, 4)
    positions = [event.position for event in events(engine)]
    with Session(engine) as session:
        seen = [list(till.amounts(session, position)) for position in positions]
        assert seen == [[1], [1], [1], [1, 2, 3, 4]]
        with as_of(session, positions[2]) as past:
            assert past.moment.left_out == (positions[1],)


def test_interleaved_transactions_are_each_in_or_out(engine: Engine, till: SimpleNamespace) -> None:
    with Session(engine) as slow, Session(engine) as other:
        slow.add(till.Sale(id=1, amount=1))
        slow.flush()
        for number in (2, 3):
            other.add(till.Sale(id=number, amount=1))
            other.commit()
        slow.add(till.Sale(id=4, amount=1))
        slow.commit()
        other.add(till.Sale(id=5, amount=1))
        other.commit()
    one, two, three, four, five = events(engine)
    assert [e.transaction_id for e in (one, two, three, four, five)] == [
        1,
        two.position,
        three.position,
        1,
        five.position,
    ]
    with Session(engine) as session:
        seen = [sorted(till.amounts(session, event.position)) for event in (one, two, three, four, five)]
        assert seen == [[], [2], [2, 3], [1, 2, 3, 4], [1, 2, 3, 4, 5]]
        assert sorted(till.amounts(session, one)) == [1, 2, 3, 4]
        assert sorted(till.amounts(session, before(four))) == [2, 3]


@pytest.mark.parametrize("road", ["fold", "hybrid", "key"])
def test_a_straddler_is_left_out_on_every_road(
    engine: Engine, till: SimpleNamespace, road: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that the straddler changed only before the moment shows its older value; so does one deleted by it."""
    monkeypatch.setattr("lithair_sqla.model.travel.roads._EVENTS_A_ROW", 0 if road == "fold" else 10**9)
    sell(engine, till, 1, 2, 3)
    with Session(engine) as slow:
        slow.get_one(till.Sale, 1).amount = Decimal(10)
        slow.delete(slow.get_one(till.Sale, 2))
        slow.flush()
        sell(engine, till, 9)
        slow.get_one(till.Sale, 3).amount = Decimal(30)
        slow.commit()
    moment = next(event.position for event in events(engine) if event.stream.key == "9")
    with Session(engine) as session, as_of(session, moment, explain=True) as past:
        if road == "key":
            found = [past.get(till.Sale, number) for number in (1, 2, 3, 9)]
        else:
            found = past.query(till.Sale).order_by(till.Sale.id).all()
        assert [(sale.id, int(sale.amount)) for sale in found if sale] == [(1, 1), (2, 1), (3, 1), (9, 1)]
        assert {road.way for explained in past.explained for road in explained.roads} == {road}


def test_a_straddlers_snapshot_is_not_taken_for_the_past(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Counter(EventSourced, Base):
        __tablename__ = "counter"
        __persistence__ = Persistence(snapshot_frequency=2)
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[int]

    create_all(engine, Base)
    with Session(engine) as session:
        session.add_all([Counter(id=1, value=1), Counter(id=2, value=1)])
        session.commit()
    with Session(engine) as slow:
        slow.get_one(Counter, 1).value = 2
        slow.flush()
        with Session(engine) as other:
            other.add(Counter(id=3, value=1))
            other.commit()
        slow.get_one(Counter, 2).value = 2
        slow.commit()
    moment = events(engine)[3].position
    with Session(engine) as session, as_of(session, moment) as past:
        assert past.get_one(Counter, 1).value == 1
        assert past.query(Counter.value).order_by(Counter.id).all() == [(1,), (1,), (1,)]


# ------------------------------------------------------------------------------------------------ final or not


def test_a_moment_under_a_running_transaction_is_not_settled(engine: Engine, till: SimpleNamespace) -> None:
    sell(engine, till, 1)
    early = now(engine)
    with Session(engine) as slow:
        slow.add(till.Sale(id=2, amount=1))
        slow.flush()
        sell(engine, till, 3)
        with Session(engine) as session:
            cases: list[tuple[Any, bool]] = [(1, True), (3, False), (timedelta(0), False)]
            for moment, settled in cases:
                with as_of(session, moment) as past:
                    assert past.settled is settled
                    assert sorted(sale.id for sale in past.query(till.Sale)) == ([1] if settled else [1, 3])
            with as_of(session, early) as past:
                # It cannot be ruled out that the running transaction drew its position before.
                assert past.settled is False
        slow.commit()
    with Session(engine) as session:
        moments: list[Any] = [1, 3, early, timedelta(0)]
        for moment in moments:
            with as_of(session, moment) as past:
                assert past.settled is True


def test_a_settled_answer_never_changes(engine: Engine, till: SimpleNamespace) -> None:
    seen: dict[int, Any] = {}
    for number in range(1, 12):
        sell(engine, till, number)
        if number % 3 == 0:
            with Session(engine) as session:
                session.get_one(till.Sale, number - 1).amount = Decimal(number)
                session.delete(session.get_one(till.Sale, number - 2))
                session.commit()
        with Session(engine) as session:
            for position in range(events(engine)[-1].position + 1):
                with as_of(session, position) as past:
                    assert past.settled
                found = till.amounts(session, position)
                assert seen.setdefault(position, found) == found


def test_other_isolation_levels_read_the_past_and_claim_nothing(engine: Engine, till: SimpleNamespace) -> None:
    sell(engine, till, 1)
    repeatable = engine.execution_options(isolation_level="REPEATABLE READ")
    with Session(repeatable) as session:
        assert till.amounts(session, timedelta(0)) == {1: 1}
        sell(engine, till, 2)
        assert till.amounts(session, timedelta(0)) == {1: 1}
        with as_of(session, 1) as past:
            assert past.settled is False


def test_a_sessions_own_flushed_changes_are_part_of_the_present(engine: Engine, till: SimpleNamespace) -> None:
    sell(engine, till, 1)
    with Session(engine) as session:
        session.add(till.Sale(id=2, amount=1))
        session.flush()
        with as_of(session, timedelta(0)) as past:
            assert sorted(sale.id for sale in past.query(till.Sale)) == [1, 2]
            assert past.settled is False
        session.rollback()
        assert till.amounts(session, timedelta(0)) == {1: 1}


# ------------------------------------------------------------------------------------------------ no moment


def test_before_the_first_event_there_is_nothing(engine: Engine, till: SimpleNamespace) -> None:
    with Session(engine) as session:
        assert till.amounts(session, 0) == {}
        assert till.amounts(session, timedelta(0)) == {}
    sell(engine, till, 1)
    with Session(engine) as session:
        assert till.amounts(session, 0) == {}
        assert till.amounts(session, datetime(1, 1, 1, tzinfo=UTC)) == {}
        assert till.amounts(session, timedelta(days=400_000)) == {}


@pytest.mark.parametrize(
    ("moment", "says"),
    [
        (datetime(2024, 5, 1), "no time zone"),  # noqa: DTZ001 - that is the point
        (-1, "from 0"),
        (2**63, "2\\*\\*63"),
        (True, "names no moment"),
        (1.5, "names no moment"),
        ("2024-05-01", "names no moment"),
        (None, "names no moment"),
        (datetime(2024, 5, 1, tzinfo=UTC).date(), "names no moment"),
        (timedelta(seconds=-5), "in the future"),
    ],
)
def test_what_names_no_moment_is_refused_at_once(engine: Engine, moment: Any, says: str) -> None:
    with Session(engine) as session, pytest.raises(MomentError, match=says):
        as_of(session, moment)


@pytest.mark.parametrize("moment", [datetime(2999, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC), 7, 2**63 - 1])
def test_the_future_is_refused_on_entering(engine: Engine, till: SimpleNamespace, moment: Any) -> None:
    sell(engine, till, 1)
    with Session(engine) as session:
        with pytest.raises(MomentError, match="in the future"), as_of(session, moment):
            pass
        with pytest.raises(MomentError, match="in the future"):
            as_of(session, moment).get(till.Sale, 1)
        assert session.get(till.Sale, 1) is not None


def test_a_clock_that_is_a_little_ahead_is_forgiven(engine: Engine, till: SimpleNamespace) -> None:
    sell(engine, till, 1)
    with Session(engine) as session, as_of(session, now(engine) + timedelta(milliseconds=400)) as past:
        assert past.get(till.Sale, 1) is not None
        assert past.settled is False


def test_an_event_of_another_store_is_refused(engine: Engine, till: SimpleNamespace) -> None:
    sell(engine, till, 1, 2)
    event = events(engine)[0]
    with engine.begin() as connection:
        connection.execute(text("SELECT nextval('lithair_position')"))
    foreign = Event(**{**{name: getattr(event, name) for name in event.__struct_fields__}, "position": 3})
    with Session(engine) as session, pytest.raises(MomentError, match="not in this store"):
        as_of(session, foreign).get(till.Sale, 1)


def test_before_takes_an_event() -> None:
    with pytest.raises(MomentError, match="takes an Event"):
        before(7)  # type: ignore[arg-type]
