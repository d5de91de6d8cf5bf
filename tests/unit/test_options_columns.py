"""Options of a column: functions that return an info dict, composed by users and by SQLAlchemy."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from lithair_sqla import options
from lithair_sqla.errors import NotSupportedYet, OptionError
from lithair_sqla.options import (
    ColumnOptions,
    column_options,
    index,
    lifecycle,
    migration,
    persistence,
    storage,
)
from lithair_sqla.options.columns import COLUMN_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

EVENT = "lithair.persistence.event"


def test_options_are_an_info_dict_with_flat_keys() -> None:
    options = persistence(event="PriceUpdated")

    assert isinstance(options, dict)
    assert options == {EVENT: "PriceUpdated"}


def test_no_option_is_the_neutral_element() -> None:
    assert persistence() == {}
    assert persistence() | persistence(event="A") == persistence(event="A")


@pytest.mark.parametrize(
    ("composed", "expected"),
    [
        (lambda: persistence(event="A") | {"title": "Price"}, {EVENT: "A", "title": "Price"}),
        (lambda: {"title": "Price"} | persistence(event="A"), {EVENT: "A", "title": "Price"}),
        (lambda: persistence(event="A") | persistence(event="A"), {EVENT: "A"}),
        (lambda: persistence(event="A") | {EVENT: "A", 7: "seven"}, {EVENT: "A", 7: "seven"}),
    ],
)
def test_the_users_keys_live_beside_ours(composed: Callable[[], ColumnOptions], expected: dict[Any, Any]) -> None:
    assert composed() == expected
    assert type(composed()) is ColumnOptions


def test_of_the_users_own_keys_the_last_wins_as_in_any_dict() -> None:
    assert (persistence() | {"title": 1} | {"title": 2})["title"] == 2
    assert ({"title": 1} | (persistence() | {"title": 2}))["title"] == 2


@pytest.mark.parametrize(
    "compose",
    [
        lambda: persistence(event="A") | persistence(event="B"),
        lambda: {EVENT: "A"} | persistence(event="B"),
        lambda: persistence(event="A").update({EVENT: "B"}),
        lambda: persistence(event="A").__ior__({EVENT: "B"}),
    ],
    ids=["|", "dict |", "update", "|="],
)
def test_an_option_is_not_said_twice_and_differently(compose: Callable[[], object]) -> None:
    with pytest.raises(OptionError, match=r"persistence\(event=…\) is said twice and differently: 'A' and 'B'"):
        compose()


def test_composition_in_place_keeps_class_and_object() -> None:
    options = same = persistence(event="A")
    options |= {"title": "Price"}

    assert options is same
    assert type(options) is ColumnOptions
    assert options == {EVENT: "A", "title": "Price"}


@pytest.mark.parametrize("other", [None, 5, [("a", 1)]], ids=repr)
def test_only_dicts_compose(other: object) -> None:
    with pytest.raises(TypeError):
        persistence(event="A") | other
    with pytest.raises(TypeError):
        other | persistence(event="A")


def test_copies_keep_class_and_content() -> None:
    options = persistence(event="A") | {"title": "Price"}

    for twin in (options.copy(), copy.copy(options), copy.deepcopy(options), pickle.loads(pickle.dumps(options))):  # noqa: S301 - our own
        assert type(twin) is ColumnOptions
        assert twin == options
        assert twin is not options


# ------------------------------------------------------------------------------------------ any composition

user_keys = st.dictionaries(st.sampled_from(["title", "unit", "lithairs", 1, None]), st.integers(0, 3), max_size=3)
column_words = st.one_of(
    st.builds(persistence, event=st.sampled_from([None, "A", "B"]), encrypted=st.booleans(), searchable=st.booleans()),
    st.builds(lifecycle, audited=st.booleans()),
    st.builds(storage, tier=st.sampled_from([None, "hot", "cold"]), replicas=st.sampled_from([None, 1, 2])),
    st.builds(migration, default_value=st.sampled_from([None, "x", "y"])),
    st.builds(migration, computed_from=st.just("price * 1.2")),
    st.builds(index, st.sampled_from(["btree", "hash"]), fields=st.sampled_from([None, ["a"], ("a", "b")])),
)


def outcome(compose: Callable[[], ColumnOptions]) -> dict[Any, Any] | type[OptionError]:
    try:
        made = compose()
    except OptionError as error:
        return type(error)
    assert type(made) is ColumnOptions
    return dict(made)


@pytest.mark.usefixtures("everything_built")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the same for every example
@given(st.data())
def test_composition_is_associative(data: st.DataObject) -> None:
    a, b, c = (data.draw(st.one_of(column_words, user_keys.map(ColumnOptions))) for _ in range(3))

    assert outcome(lambda: (a | b) | c) == outcome(lambda: a | (b | c))


@pytest.mark.usefixtures("everything_built")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the same for every example
@given(st.data())
def test_composition_does_not_depend_on_order_for_our_keys(data: st.DataObject) -> None:
    a, b = data.draw(column_words), data.draw(column_words)

    assert outcome(lambda: a | b) == outcome(lambda: b | a)


@pytest.mark.usefixtures("everything_built")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the same for every example
@given(st.data())
def test_no_composition_loses_a_key(data: st.DataObject) -> None:
    ours, theirs = data.draw(column_words), data.draw(user_keys)

    for composed in (ours | theirs, theirs | ours, (ours | theirs).copy()):
        assert type(composed) is ColumnOptions
        assert {key: composed[key] for key in theirs} == theirs
        assert {key: composed[key] for key in ours} == ours


# ------------------------------------------------------------------------------------------ what is refused

said: Any = options
"""The functions as a program without a type checker calls them."""


@pytest.mark.usefixtures("everything_built")
@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (
            lambda: said.persistence(encryptd=True),
            r"persistence\(encryptd=…\) is not an option; did you mean 'encrypted'\?",
        ),
        (lambda: said.lifecycle(audit=True), r"lifecycle\(audit=…\) is not an option; did you mean 'audited'\?"),
        (
            lambda: said.persistence("indexed"),
            r"persistence\(…\) takes its options by name, such as persistence\(event=…\)",
        ),
        (lambda: said.persistence(event=""), r"persistence\(event=…\) must be a name of 1 to 200 characters"),
        (lambda: said.persistence(event="A\0"), r"persistence\(event=…\) must be a name"),
        (lambda: said.persistence(encrypted=1), r"persistence\(encrypted=…\) must be True or False, not 1"),
        (lambda: said.persistence(encrypted=None), r"persistence\(encrypted=…\) must be True or False, not None"),
        (lambda: said.caching(refresh_interval=0), r"caching\(refresh_interval=…\) must be a whole number, 1 to"),
        (lambda: said.storage(tier="lukewarm"), r"storage\(tier=…\) must be 'hot', 'warm' or 'cold', not 'lukewarm'"),
        (lambda: said.storage(tier="hott"), r"did you mean 'hot'\?"),
        (
            lambda: said.migration(hide_after="2026-02-30"),
            r"migration\(hide_after=…\) must be a date such as '2026-12-31'",
        ),
        (lambda: said.migration(hide_after="31.12.2026"), r"must be a date such as"),
        (
            lambda: said.migration(default_value=float("nan")),
            r"must be a text, a finite number, True or False, not nan",
        ),
        (lambda: said.migration(default_value=[1]), r"must be a text, a finite number"),
        (said.index, r"index\(type=…\) is missing: it must be 'btree', 'hash', 'range'"),
        (lambda: said.index("gin"), r"index\(type=…\) must be 'btree'"),
        (lambda: said.index("hash", type="hash"), r"index\(type=…\) is given twice"),
        (lambda: said.index("btree", ["a"]), r"index\(…\) takes its options by name, such as index\(unique=…\)"),
        (lambda: said.index("btree", fields="name"), r"index\(fields=…\) must be a list of column names"),
        (lambda: said.index("btree", fields=[]), r"index\(fields=…\) must be a list of column names"),
        (lambda: said.index("btree", language="fr"), r"language is for 'full_text'"),
        (lambda: said.index("hash", unique=True), r"unique is for 'btree'"),
        (lambda: said.index("btree", optimize_for="time_series"), r"optimize_for is for 'range'"),
        (lambda: said.index("range", precision="high"), r"precision is for 'geo_spatial'"),
        (lambda: said.index("full_text", language="fr'); --"), r"index\(language=…\) must be a language"),
        (
            lambda: said.migration(computed_from="a", default_value=1),
            r"contradict each other: a value comes from one place",
        ),
        (lambda: said.migration(computed_from="a") | said.migration(renamed_from="b"), r"contradict each other"),
        (
            lambda: said.index("btree") | said.index("hash"),
            r"index\(type=…\) is said twice and differently: 'btree' and 'hash'",
        ),
        (lambda: said.ColumnOptions({"lithair.persistence.evnt": "A"}), r"did you mean 'event'\?"),
        (lambda: said.ColumnOptions({"lithair.persistnce.event": "A"}), r"did you mean 'lithair.persistence.event'\?"),
        (lambda: said.ColumnOptions({"lithair.": 1}), r"info key 'lithair.' is not an option"),
        (lambda: said.ColumnOptions({EVENT: 5}), r"persistence\(event=…\) must be a name"),
    ],
)
def test_what_is_wrong_is_refused_where_it_is_written(write: Callable[[], object], reason: str) -> None:
    with pytest.raises(OptionError, match=reason) as caught:
        write()

    assert not isinstance(caught.value, NotSupportedYet)


@pytest.mark.usefixtures("everything_built")
def test_what_the_seed_writes_composes_once_it_is_built() -> None:
    name = persistence(encrypted=True, searchable=True) | lifecycle(audited=True)
    description = persistence(compressed=True) | index("full_text", language="fr")

    assert name == {
        "lithair.persistence.encrypted": True,
        "lithair.persistence.searchable": True,
        "lithair.lifecycle.audited": True,
    }
    assert description == {
        "lithair.persistence.compressed": True,
        "lithair.index.type": "full_text",
        "lithair.index.language": "fr",
    }
    assert index("hash", fields=["name", "category"])["lithair.index.fields"] == ("name", "category")


@pytest.mark.parametrize("word", COLUMN_WORDS)
def test_a_functions_signature_and_help_are_its_records(word: str) -> None:
    function = getattr(said, word)

    assert function.__name__ == word
    assert list(inspect.signature(function).parameters) == list(COLUMN_WORDS[word].rules())
    assert function.__doc__ == COLUMN_WORDS[word].__doc__


# ------------------------------------------------------------------------------------------ through SQLAlchemy


class Base(DeclarativeBase):
    pass


Money = Annotated[int, mapped_column(info=persistence(event="Priced"))]


def test_sqlalchemys_copies_of_a_column_keep_the_class() -> None:
    column = Column("price", Integer, info=persistence(event="PriceUpdated") | {"title": "Price"})
    table = Table("product", MetaData(), Column("id", Integer, primary_key=True), column)

    info = table.to_metadata(MetaData()).c.price.info

    assert type(info) is ColumnOptions
    assert info == {EVENT: "PriceUpdated", "title": "Price"}


def test_options_of_an_annotated_type_reach_the_column() -> None:
    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        price: Mapped[Money]
        cost: Mapped[Money] = mapped_column(info={"title": "Cost"})
        fee: Mapped[Money] = mapped_column(info=persistence(event="Priced") | {"title": "Fee"})

    infos = {column.name: column.info for column in Item.__table__.c}

    for name in ("price", "cost", "fee"):
        assert column_options(infos[name], owner="Item", column=name).persistence.event == "Priced"
    assert (infos["cost"]["title"], infos["fee"]["title"]) == ("Cost", "Fee")


def test_an_annotated_type_does_not_silently_beat_the_column() -> None:
    with pytest.raises(OptionError, match="said twice and differently"):

        class Offer(Base):
            __tablename__ = "offer"
            id: Mapped[int] = mapped_column(primary_key=True)
            price: Mapped[Money] = mapped_column(info=persistence(event="Other"))
