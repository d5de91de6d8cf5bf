"""Options read back from classes and columns: checked again, with the names of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lithair_sqla.errors import NotSupportedYet, OptionError
from lithair_sqla.options import (
    ColumnOptions,
    ColumnRecord,
    Migration,
    ModelOptions,
    Persistence,
    class_options,
    column_options,
    index,
    merge_column_options,
    persistence,
)

if TYPE_CHECKING:
    pass

EVENT = "lithair.persistence.event"


# ------------------------------------------------------------------------------------------ classes


def test_a_class_without_options_has_the_defaults() -> None:
    class Product:
        pass

    assert class_options(Product) == ModelOptions()
    assert class_options(Product).schema_version == 1


def test_options_are_inherited_as_any_attribute_is() -> None:
    class Animal:
        __persistence__ = Persistence(snapshot_frequency=10)

    class Dog(Animal):
        pass

    class Cat(Animal):
        __persistence__ = Animal.__persistence__.replace(foreign_writes="refuse")

    assert class_options(Dog).persistence is Animal.__persistence__
    assert class_options(Cat).persistence == Persistence(snapshot_frequency=10, foreign_writes="refuse")


@pytest.mark.usefixtures("everything_built")
def test_the_schema_version_is_the_migrations() -> None:

    class Product:
        __migration__ = Migration(version="2.0")

    assert class_options(Product).schema_version == 2


@pytest.mark.parametrize(
    ("attribute", "wrong"),
    [
        ("__persistence__", {"snapshot_frequency": 10}),
        ("__persistence__", persistence(event="A")),
        ("__persistence__", Persistence),
        ("__persistence__", Migration()),
        ("__migration__", 2),
        ("__caching__", Persistence()),
        ("__storage__", "hot"),
    ],
)
def test_something_else_in_an_options_place_is_refused(attribute: str, wrong: object) -> None:
    product = type("Product", (), {attribute: wrong})

    with pytest.raises(OptionError, match=rf"Product\.{attribute} must be \w+\(…\), not "):
        class_options(product)


@pytest.mark.parametrize("misspelt", ["__persistance__", "__options__", "__migration__s__"])
def test_options_under_a_name_that_nothing_reads_are_refused(misspelt: str) -> None:
    product = type("Product", (type("Base", (), {misspelt: Persistence()}),), {})

    with pytest.raises(OptionError, match=rf"Base\.{misspelt} is read by nothing; did you mean '__persistence__'\?"):
        class_options(product)


def test_options_may_be_kept_under_an_ordinary_name() -> None:
    class Product:
        SHARED = Persistence(name="item")
        __persistence__ = SHARED

    assert class_options(Product).persistence.name == "item"


# ------------------------------------------------------------------------------------------ columns


@pytest.mark.parametrize("info", [None, {}, {"title": "Price"}, persistence()], ids=repr)
def test_a_column_without_options_has_the_defaults(info: Any) -> None:
    assert column_options(info, owner="Product", column="price") == ColumnRecord()


def test_a_plain_dict_reads_as_what_it_was_made_of() -> None:
    info = dict(persistence(event="PriceUpdated") | {"title": "Price"})

    assert column_options(info, owner="Product", column="price").persistence.event == "PriceUpdated"


@pytest.mark.usefixtures("everything_built")
@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"lithair.persistence.encryptd": True}, r"encryptd=…\) is not an option; did you mean 'encrypted'\?"),
        ({"lithair.persistnce.event": "A"}, r"did you mean 'lithair\.persistence\.event'\?"),
        ({"lithair.nonsense": 1}, "is not an option"),
        ({EVENT: 5}, r"persistence\(event=…\) must be"),
        ({"lithair.persistence.searchable": True}, "needs encrypted=True"),
        ({"lithair.caching.refresh_interval": 300}, "needs computed_field=True"),
        ({"lithair.migration.hide_after": "2026-12-31"}, "needs deprecated=True"),
        ({"lithair.index.unique": True}, r"index\(type=…\) is missing"),
        ({"lithair.index.type": "hash", "lithair.index.unique": True}, "unique is for 'btree'"),
    ],
)
def test_what_is_wrong_is_named_with_class_and_column(info: dict[str, object], reason: str) -> None:
    with pytest.raises(OptionError, match=rf"\[LTH100\] Product\.name: .*{reason}"):
        column_options(info, owner="Product", column="name")


def test_what_is_not_built_is_named_with_class_and_column() -> None:
    with pytest.raises(NotSupportedYet, match=r"\[LTH101\] Product\.name: persistence\(compressed=True\) is designed"):
        column_options({"lithair.persistence.compressed": True}, owner="Product", column="name")


@pytest.mark.usefixtures("everything_built")
def test_the_words_of_a_column_are_read_apart() -> None:
    options = column_options(
        persistence(encrypted=True, searchable=True) | index("btree", unique=True), owner="Product", column="name"
    )

    assert options.persistence.searchable
    assert options.index is not None
    assert options.index.unique
    assert not options.lifecycle.audited


@pytest.mark.usefixtures("everything_built")
def test_an_option_that_needs_another_may_be_composed_later() -> None:
    assert (persistence(searchable=True) | persistence(encrypted=True)).keys() == {
        "lithair.persistence.searchable",
        "lithair.persistence.encrypted",
    }


# ------------------------------------------------------------------------------------------ __lithair_columns__


@pytest.mark.parametrize("info", [None, {}, {"title": "Price"}, persistence(event="A")], ids=repr)
def test_a_class_may_add_to_its_columns(info: Any) -> None:
    merged = merge_column_options(info, persistence(event="A"))

    assert type(merged) is ColumnOptions
    assert merged == {**(info or {}), EVENT: "A"}


def test_a_class_may_not_contradict_its_columns() -> None:
    with pytest.raises(OptionError, match=r"\] Product\.price: persistence\(event=…\) is said twice and differently"):
        merge_column_options({EVENT: "A"}, persistence(event="B"), owner="Product", column="price")


def test_an_override_is_made_of_column_options() -> None:
    with pytest.raises(OptionError, match=r"\] Product\.price: __lithair_columns__ takes column options such as"):
        merge_column_options({}, Persistence(), owner="Product", column="price")  # type: ignore[arg-type]


def test_without_names_a_message_begins_with_the_option() -> None:
    with pytest.raises(OptionError, match=r"\[LTH100\] persistence\(event=…\) is said twice"):
        merge_column_options({EVENT: "A"}, persistence(event="B"))
