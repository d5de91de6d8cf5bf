"""Every shape of query that the ORM has, at many moments, against copies of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session

from lithair_sqla import as_of
from lithair_sqla.model.travel import roads

from .shapes import SHAPES

if TYPE_CHECKING:
    from .conftest import Life


@pytest.mark.parametrize("events_a_row", [0, 10**9], ids=["fold", "hybrid"])
def test_every_shape_of_query_sees_each_commit_as_it_was(
    long_life: Life, events_a_row: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roads, "_EVENTS_A_ROW", events_a_row)
    assert len(SHAPES) >= 25
    wrong = []
    with Session(long_life.engine) as live:
        for commit in long_life.commits[::3]:
            for shape in SHAPES:
                with long_life.oracle(commit) as oracle, as_of(live, commit.position) as past:
                    if shape(past, long_life.shop) != shape(oracle, long_life.shop):
                        wrong.append((shape.__name__, commit))
    assert wrong == []


def test_the_present_is_a_moment_too(long_life: Life) -> None:
    with Session(long_life.engine) as live, as_of(live, long_life.commits[-1].position) as past:
        for shape in SHAPES:
            with Session(long_life.engine) as other:
                assert shape(past, long_life.shop) == shape(other, long_life.shop), shape.__name__
            past.expunge_all()
