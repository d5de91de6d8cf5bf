"""A stream's state: the fold, snapshots, and the two statements that load it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lithair_sqla.errors import InvalidEventError, OptionError, StreamNotFoundError
from lithair_sqla.options import StorageConfig
from lithair_sqla.store import EventStore, StreamState, fold
from lithair_sqla.types import Event, Kind, NewEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

CART = ("Cart", "1")


def set_(**data: Any) -> NewEvent:
    return NewEvent("Set", data)


def count_events(state: dict[str, Any], event: Event) -> dict[str, Any]:
    return {"events": state.get("events", 0) + 1, "last": event.type}


def test_a_stream_that_is_not_there_is_at_version_0(scratch: EventStore) -> None:
    assert scratch.load(CART) == (None, 0)


def test_later_values_stand_over_earlier_ones(scratch: EventStore) -> None:
    scratch.append(CART, [set_(a=1, b=1), set_(b=2), NewEvent("Seen", payload={"b": 3}, kind=Kind.NOTE)])
    assert scratch.load(CART) == StreamState({"a": 1, "b": 2}, 3)
    assert fold(scratch.read_stream(CART)) == {"a": 1, "b": 2}


def test_a_delete_ends_the_state_and_what_comes_after_begins_anew(scratch: EventStore) -> None:
    scratch.append(CART, [set_(a=1), NewEvent("Closed", kind=Kind.DELETE)])
    assert scratch.load(CART) == (None, 2)
    scratch.append(CART, [NewEvent("Seen", kind=Kind.NOTE)])
    assert scratch.load(CART) == (None, 3)
    scratch.append(CART, set_(b=1))
    assert scratch.load(CART) == ({"b": 1}, 4)


def test_a_create_stands_in_place_of_what_was_before(scratch: EventStore) -> None:
    scratch.append(CART, [set_(a=1), NewEvent("Created", {"b": 2}, kind=Kind.CREATE), set_(c=3)])
    assert scratch.load(CART).state == {"b": 2, "c": 3}


def test_a_stream_of_notes_has_no_state(scratch: EventStore) -> None:
    scratch.append(CART, NewEvent("Seen", kind=Kind.NOTE))
    assert scratch.load(CART) == (None, 1)


def test_a_fold_of_ones_own(scratch: EventStore) -> None:
    scratch.append(CART, [NewEvent("Opened"), NewEvent("Seen", kind=Kind.NOTE), NewEvent("Paid")])
    assert scratch.load(CART, fold=count_events) == ({"events": 3, "last": "Paid"}, 3)


def test_a_snapshot_and_what_came_after_it(scratch: EventStore) -> None:
    positions = scratch.append(CART, [set_(a=1), set_(b=2)]).positions
    position = scratch.save_snapshot(CART, 2, {"a": 1, "b": 2, "from": "snapshot"})
    assert position == positions[1]
    assert scratch.load(CART) == ({"a": 1, "b": 2, "from": "snapshot"}, 2)
    scratch.append(CART, set_(b=3))
    assert scratch.load(CART) == ({"a": 1, "b": 3, "from": "snapshot"}, 3)
    found = scratch.snapshot(CART)
    assert found is not None
    assert (found.version, found.position, found.state) == (2, position, {"a": 1, "b": 2, "from": "snapshot"})
    info = scratch.stream(CART)
    assert info is not None
    assert info.snapshot_version == 2


def test_the_state_of_a_snapshot_is_not_shared_by_two_loads(scratch: EventStore) -> None:
    scratch.append(CART, set_(a=1))
    scratch.save_snapshot(CART, 1, {"a": 1})
    first = scratch.load(CART).state
    assert first is not None
    first["a"] = 2
    assert scratch.load(CART).state == {"a": 1}


def test_loading_takes_two_statements_and_one_where_nothing_came_after_the_snapshot(
    store: EventStore, library: Engine, count_statements: Callable[..., Any]
) -> None:
    store.append(CART, [set_(a=number) for number in range(100)])
    store.save_snapshot(CART, 90, {"a": 89})
    with count_statements(library) as counted:
        assert store.load(CART) == ({"a": 99}, 100)
    assert len(counted) == 2
    store.save_snapshot(CART, 100, {"a": 99})
    with count_statements(library) as counted:
        assert store.load(CART) == ({"a": 99}, 100)
    assert len(counted) == 1


def test_only_snapshots_of_the_same_fold_are_trusted(scratch: EventStore) -> None:
    scratch.append(CART, [set_(a=1), set_(a=2), set_(a=3)])
    scratch.save_snapshot(CART, 1, {"v": "one"}, fingerprint="one")
    scratch.save_snapshot(CART, 2, {"v": "none"})
    scratch.save_snapshot(CART, 3, {"v": "two"}, fingerprint="two", schema_version=4)
    assert scratch.load(CART).state == {"v": "two"}
    assert scratch.load(CART, fingerprint="one").state == {"v": "one", "a": 3}
    assert scratch.load(CART, fingerprint="three").state == {"a": 3}
    newest, one = scratch.snapshot(CART), scratch.snapshot(CART, fingerprint="one")
    assert newest is not None
    assert one is not None
    assert (newest.version, newest.schema_version, newest.fingerprint) == (3, 4, "two")
    assert one.version == 1
    assert scratch.snapshot(CART, fingerprint="three") is None


def test_the_newest_snapshots_are_kept(store: EventStore, connection: Connection) -> None:
    kept = "SELECT array_agg(version ORDER BY version) FROM lithair_snapshots"
    store.append(CART, [set_(a=number) for number in range(10)])
    for version in range(1, 9):
        store.save_snapshot(CART, version, {"a": version - 1})
    assert connection.exec_driver_sql(kept).scalar() == [4, 5, 6, 7, 8]
    store.save_snapshot(CART, 9, {"a": 8}, keep=2)
    assert connection.exec_driver_sql(kept).scalar() == [8, 9]
    EventStore(connection, config=StorageConfig(max_snapshots_per_aggregate=1)).save_snapshot(CART, 10, {"a": 9})
    assert connection.exec_driver_sql(kept).scalar() == [10]


def test_a_snapshot_of_a_version_that_is_not_there_is_refused(store: EventStore, connection: Connection) -> None:
    store.append(CART, set_(a=1))
    for stream, version in ((CART, 2), (("Cart", "none"), 1)):
        with pytest.raises(StreamNotFoundError, match=f"has no version {version}"), connection.begin_nested():
            store.save_snapshot(stream, version, {})
    assert store.snapshot(CART) is None


@pytest.mark.parametrize(
    "options", [{"version": 0}, {"version": "1"}, {"keep": 0}, {"schema_version": 0}, {"schema_version": 40_000}]
)
def test_a_wrong_option_of_a_snapshot_is_refused(scratch: EventStore, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        scratch.save_snapshot(CART, options.pop("version", 1), {}, **options)


def test_a_state_that_is_not_json_is_refused(scratch: EventStore) -> None:
    scratch.append(CART, set_(a=1))
    with pytest.raises(InvalidEventError, match=r"a snapshot of Cart\(1\) at version 1 cannot be stored: a: nan"):
        scratch.save_snapshot(CART, 1, {"a": float("nan")})
