"""The fold, without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from lithair_sqla.store import fold
from lithair_sqla.types import Event, Kind, StreamId


def events(*changes: tuple[Kind, dict[str, Any]]) -> list[Event]:
    return [
        Event(
            number, StreamId("A", "1"), number, kind, "T", data, None, datetime.now(UTC), 1, None, 1, UUID(int=number)
        )
        for number, (kind, data) in enumerate(changes, 1)
    ]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from([Kind.UPDATE, Kind.CREATE, Kind.BASELINE]),
        st.dictionaries(st.sampled_from("abc"), st.integers()),
    )
    | st.tuples(st.sampled_from([Kind.DELETE, Kind.NOTE]), st.just({}))
)


def test_nothing_folds_to_nothing() -> None:
    assert fold([]) is None
    assert fold([], {"a": 1}) == {"a": 1}
    assert fold(events((Kind.NOTE, {}))) is None
    assert fold(events((Kind.UPDATE, {}))) == {}


@given(CHANGES, st.integers(0, 20))
def test_a_fold_may_be_cut_anywhere(changes: list[tuple[Kind, dict[str, Any]]], cut: int) -> None:
    found = events(*changes)
    assert fold(found[cut:], fold(found[:cut])) == fold(found)


def test_what_is_folded_upon_is_left_as_it_was() -> None:
    state, found = {"a": 1}, events((Kind.CREATE, {"b": 1}), (Kind.UPDATE, {"b": 2}))
    assert fold(found, state) == {"b": 2}
    assert state == {"a": 1}
    assert found[0].data == {"b": 1}


def test_a_fold_of_ones_own_sees_all_but_deletes() -> None:
    seen = fold(
        events((Kind.CREATE, {}), (Kind.NOTE, {}), (Kind.DELETE, {}), (Kind.UPDATE, {})),
        apply=lambda state, event: {**state, str(event.version): event.kind.value},
    )
    assert seen == {"4": "u"}
