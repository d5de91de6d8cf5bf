"""Random programs against a model of the store, a few Python dicts: same answers, same refusals, same contents."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lithair_sqla.errors import ConcurrencyError, DuplicateCommand
from lithair_sqla.store import EventStore, fold
from lithair_sqla.types import Conflict, ExpectedVersion, Kind, NewEvent, StreamAppend, StreamId, StreamStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

pytestmark = pytest.mark.usefixtures("sound")

_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
_VALUES = st.none() | st.booleans() | st.integers() | _TEXT | st.floats(-1e9, 1e9) | st.lists(st.integers(), max_size=3)
_DATA = st.dictionaries(_TEXT, _VALUES, max_size=4)
_EVENTS = st.lists(
    st.one_of(
        st.builds(NewEvent, st.sampled_from(["Set", "Moved"]), _DATA, st.none() | _DATA),
        st.builds(NewEvent, st.just("Created"), _DATA, kind=st.just(Kind.CREATE)),
        st.builds(NewEvent, st.just("Closed"), kind=st.just(Kind.DELETE)),
        st.builds(NewEvent, st.just("Seen"), payload=_DATA, kind=st.just(Kind.NOTE)),
    ),
    min_size=1,
    max_size=4,
)
_KEYS = st.sampled_from(["a", "b", "c"])
_EXPECTED = st.sampled_from([-2, -2, -2, -1, 0, 1, 2, 3, 4])
_PARTS = st.tuples(_KEYS, _EVENTS, _EXPECTED)
_STEPS = st.one_of(
    st.tuples(
        st.just("append"),
        st.lists(_PARTS, min_size=1, max_size=3, unique_by=lambda part: part[0]),
        st.sampled_from([None, "k1", "k2"]),
    ),
    st.tuples(st.just("append_many"), st.lists(_PARTS, min_size=1, max_size=5), st.integers(1, 6)),
    st.tuples(st.just("snapshot"), _KEYS),
    st.tuples(st.sampled_from(["savepoint", "release", "rollback_to", "commit", "rollback"])),
)


@dataclass
class Model:
    """What a store is, without a database."""

    streams: dict[str, list[NewEvent]] = field(default_factory=dict)
    commands: dict[str, tuple[Any, tuple[int, ...]]] = field(default_factory=dict)

    def conflicts(self, parts: list[Any]) -> list[tuple[str, int, int]]:
        found = []
        for key, _, expected in parts:
            version = len(self.streams.get(key, []))
            if (expected >= 0 and version != expected) or (expected == ExpectedVersion.EXISTS and version == 0):
                found.append((key, expected, version))
        return found

    def append(self, parts: list[Any]) -> tuple[int, ...]:
        versions: list[int] = []
        for key, events, _ in parts:
            stream = self.streams.setdefault(key, [])
            versions += range(len(stream) + 1, len(stream) + len(events) + 1)
            stream += events
        return tuple(versions)


class Run:
    """One program, run on both."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.store = EventStore(connection)
        self.name = name
        self.model = Model()
        self.committed = Model()
        self.savepoints: list[tuple[Any, Model]] = []

    def stream(self, key: str) -> StreamId:
        return StreamId(self.name, key)

    def append(self, parts: list[Any], command: str | None) -> None:
        appends = [StreamAppend(self.stream(key), events, expected) for key, events, expected in parts]
        key = None if command is None else f"{self.name}-{command}"
        content = [(part[0], part[1]) for part in parts]
        known = None if command is None else self.model.commands.get(command)
        if known is not None:
            if known[0] == content:
                result = self.store.append_streams(appends, idempotency_key=key)
                assert (result.duplicate, result.versions) == (True, known[1])
            else:
                with pytest.raises(DuplicateCommand), self.connection.begin_nested():
                    self.store.append_streams(appends, idempotency_key=key)
            return
        conflicts = self.model.conflicts(parts)
        if conflicts:
            with pytest.raises(ConcurrencyError) as caught, self.connection.begin_nested():
                self.store.append_streams(appends, idempotency_key=key)
            assert caught.value.conflicts == tuple(Conflict(self.stream(key), *rest) for key, *rest in conflicts)
            return
        versions = self.model.append(parts)
        result = self.store.append_streams(appends, idempotency_key=key)
        assert (result.versions, result.duplicate) == (versions, False)
        assert list(result.positions) == sorted(result.positions)
        if command is not None:
            self.model.commands[command] = content, versions

    def append_many(self, parts: list[Any], batch_size: int) -> None:
        appends = [StreamAppend(self.stream(key), events, expected) for key, events, expected in parts]
        wanted = deepcopy(self.model)
        for part in parts:
            if wanted.conflicts([part]):
                with pytest.raises(ConcurrencyError):
                    self.store.append_many(appends, batch_size=batch_size)
                return
            wanted.append([part])
        assert self.store.append_many(appends, batch_size=batch_size).events == sum(
            len(events) for _, events, _ in parts
        )
        self.model = wanted

    def snapshot(self, key: str) -> None:
        state, version = self.store.load(self.stream(key))
        if state is not None:
            self.store.save_snapshot(self.stream(key), version, state)

    def savepoint(self) -> None:
        self.savepoints.append((self.connection.begin_nested(), deepcopy(self.model)))

    def release(self) -> None:
        if self.savepoints:
            self.savepoints.pop()[0].commit()

    def rollback_to(self) -> None:
        if self.savepoints:
            savepoint, self.model = self.savepoints.pop()
            savepoint.rollback()

    def commit(self) -> None:
        self.connection.commit()
        self.savepoints.clear()
        self.committed = deepcopy(self.model)
        events = self.store.read_all(names=[self.name])
        assert [event.position for event in events] == sorted({event.position for event in events})
        assert len(events) == sum(map(len, self.model.streams.values()))

    def rollback(self) -> None:
        self.connection.rollback()
        self.savepoints.clear()
        self.model = deepcopy(self.committed)

    def check(self) -> None:
        assert [info.stream.key for info in self.store.streams(self.name)] == sorted(self.model.streams)
        for key, events in self.model.streams.items():
            found = self.store.read_stream(self.stream(key))
            assert [(each.type, each.kind, each.data, each.payload) for each in found] == [
                (each.type, each.kind, each.data, each.payload) for each in events
            ]
            assert [each.version for each in found] == list(range(1, len(events) + 1))
            assert list(self.store.iter_stream(self.stream(key), backwards=True, page=2)) == found[::-1]
            changes = [each.kind for each in events if each.kind is not Kind.NOTE]
            ended = bool(changes) and changes[-1] is Kind.DELETE
            info = self.store.stream(self.stream(key))
            assert info is not None
            assert info.status is (StreamStatus.DELETED if ended else StreamStatus.OPEN)
            assert self.store.load(self.stream(key)) == (fold(found), len(events))
            assert (fold(found) is None) is (ended or not changes)


_numbers = count()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(_STEPS, max_size=12))
def test_the_store_does_what_its_model_does(library: Engine, program: list[Any]) -> None:
    with library.connect() as connection:
        run = Run(connection, f"Model{next(_numbers)}")
        for step, *arguments in program:
            getattr(run, step)(*arguments)
            run.check()
        run.commit()
        run.check()
