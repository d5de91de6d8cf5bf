"""Real processes at one log: creators of one key, conflicts, overlapping sets of streams, one command twice."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from lithair_sqla.errors import ConcurrencyError, DuplicateCommand
from lithair_sqla.store import EventStore
from lithair_sqla.types import ExpectedVersion, NewEvent, StreamAppend, StreamId

if TYPE_CHECKING:
    from sqlalchemy import Engine

pytestmark = pytest.mark.usefixtures("sound")


def _create(engine: Engine, number: int, rounds: int, bulk: bool) -> list[str]:  # noqa: FBT001 - a worker's argument
    outcomes = []
    for key in map(str, range(rounds)):
        try:
            with engine.begin() as connection:
                event = NewEvent("Created", {"by": number})
                if bulk:
                    appends = [StreamAppend(StreamId("Account", key), [event], ExpectedVersion.NO_STREAM)]
                    EventStore(connection).append_many(appends)
                else:
                    EventStore(connection).append(("Account", key), event, expected=ExpectedVersion.NO_STREAM)
        except ConcurrencyError as error:
            [conflict] = error.conflicts
            outcomes.append(f"{conflict.stream.key}: {conflict.actual}")
        else:
            outcomes.append("created")
    return outcomes


@pytest.mark.parametrize("bulk", [False, True], ids=["append", "append_many"])
def test_of_several_creators_of_one_key_exactly_one_wins(library: Engine, processes: Any, bulk: bool) -> None:  # noqa: FBT001
    outcomes = processes.run(4, _create, 40, bulk)
    for key, each in enumerate(zip(*outcomes, strict=True)):
        assert sorted(each) == [f"{key}: 1"] * 3 + ["created"]
    with library.connect() as connection:
        assert [info.version for info in EventStore(connection).streams("Account")] == [1] * 40


def _count_up(engine: Engine, number: int, times: int) -> int:
    conflicts = 0
    for _ in range(times):
        while True:
            try:
                with engine.begin() as connection:
                    store = EventStore(connection)
                    state, version = store.load(("Counter", "1"))
                    value = (state or {"n": 0})["n"] + 1
                    store.append(("Counter", "1"), NewEvent("Counted", {"n": value, "by": number}), expected=version)
                break
            except ConcurrencyError:
                conflicts += 1
    return conflicts


def test_optimistic_writers_lose_no_count(library: Engine, processes: Any) -> None:
    conflicts = processes.run(6, _count_up, 30)
    with library.connect() as connection:
        events = EventStore(connection).read_stream(("Counter", "1"))
    assert [event.data["n"] for event in events] == list(range(1, 181))
    assert sum(conflicts) > 0


def _append_overlapping(engine: Engine, number: int, times: int, bulk: bool) -> int:  # noqa: FBT001 - a worker's argument
    written = 0
    keys = [str(key) for key in range(12)]
    for _ in range(times):
        chosen = random.sample(keys, random.randint(2, 12))
        with engine.begin() as connection:
            appends = [StreamAppend(StreamId("Account", key), [NewEvent("Moved", {"by": number})]) for key in chosen]
            if bulk:
                written += EventStore(connection).append_many(appends).events
            else:
                written += len(EventStore(connection).append_streams(appends).positions)
            time.sleep(random.random() * 0.005)
    return written


@pytest.mark.parametrize("bulk", [False, True], ids=["append_streams", "append_many"])
def test_appends_to_overlapping_sets_of_streams_in_any_order_never_deadlock(
    library: Engine,
    processes: Any,
    bulk: bool,  # noqa: FBT001
) -> None:
    written = processes.run(8, _append_overlapping, 40, bulk)
    with library.connect() as connection:
        assert sum(info.version for info in EventStore(connection).streams("Account")) == sum(written)


def _use_key(engine: Engine, number: int, rounds: int) -> list[tuple[bool, tuple[int, ...]]]:
    outcomes = []
    for key in map(str, range(rounds)):
        with engine.begin() as connection:
            result = EventStore(connection).append(
                ("Account", key), [NewEvent("Paid", {"sum": 1}), NewEvent("Sent")], idempotency_key=f"command-{key}"
            )
            time.sleep(random.random() * 0.004)
        outcomes.append((result.duplicate, result.positions))
    return outcomes


def test_one_command_sent_by_several_processes_at_once_takes_effect_once(library: Engine, processes: Any) -> None:
    outcomes = processes.run(4, _use_key, 30)
    for each in zip(*outcomes, strict=True):
        assert sorted(duplicate for duplicate, _ in each) == [False, True, True, True]
        assert len({positions for _, positions in each}) == 1
    with library.connect() as connection:
        assert [info.version for info in EventStore(connection).streams("Account")] == [2] * 30


def _use_key_for_another(engine: Engine, number: int) -> str:
    try:
        with engine.begin() as connection:
            EventStore(connection).append(("Account", str(number)), NewEvent("Paid"), idempotency_key="one")
            time.sleep(0.1)
    except DuplicateCommand as error:
        return f"refused: {error.positions}"
    return "written"


def test_one_key_for_two_commands_at_once_is_refused_to_the_second(library: Engine, processes: Any) -> None:
    assert sorted(processes.run(2, _use_key_for_another)) == ["refused: (1,)", "written"]


def _take_turns(engine: Engine, number: int, times: int) -> int:
    """Roll back half of the time: whoever waits for the same key must then get it."""
    written = 0
    with engine.connect() as connection:
        store = EventStore(connection)
        for turn in range(times):
            result = store.append(("Account", "1"), NewEvent("Turn", {"n": turn}), idempotency_key=f"turn-{turn}")
            if random.random() < 0.5:
                connection.rollback()
            else:
                connection.commit()
                written += not result.duplicate
    return written


def test_a_key_of_a_writer_that_rolls_back_goes_to_the_one_that_waits(library: Engine, processes: Any) -> None:
    written = processes.run(4, _take_turns, 40)
    with library.connect() as connection:
        events = EventStore(connection).read_stream(("Account", "1"))
    assert len(events) == sum(written)
    turns = [event.data["n"] for event in events]
    assert len(turns) == len(set(turns))
