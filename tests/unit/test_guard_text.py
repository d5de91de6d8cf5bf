"""The guard's text, without a database: what is in it, and what a user's names can do to it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Column, Double, ForeignKey, Integer, MetaData, Numeric, Table, Text
from sqlalchemy.dialects.postgresql import CITEXT, DOMAIN, HSTORE, INT4RANGE, JSONB

from lithair_sqla.codec.values import column_value
from lithair_sqla.errors import MappingError
from lithair_sqla.options import Persistence, StorageConfig
from lithair_sqla.schema.guards import INFO_KEY, Guard, guard_sql
from lithair_sqla.schema.names import Names


def names(**fields: Any) -> Names:
    return Names("public", StorageConfig(), **fields)


def guarded(*columns: Column[Any], name: str = "thing", schema: str | None = None, **options: Any) -> Table:
    table = Table(name, MetaData(), *columns, schema=schema)
    table.info[INFO_KEY] = Guard(stream="Thing", persistence=Persistence(**options))
    return table


def key() -> Column[Any]:
    return Column("id", Integer, primary_key=True)


def test_the_function_is_pinned_and_runs_with_its_owners_rights() -> None:
    text = guard_sql(guarded(key()), names()).function
    assert "SECURITY DEFINER" in text
    assert "SET search_path = pg_catalog, pg_temp" in text


def test_only_the_settings_that_the_columns_need_are_pinned() -> None:
    assert "extra_float_digits" not in guard_sql(guarded(key(), Column("t", Text)), names()).function
    assert '"extra_float_digits"' in guard_sql(guarded(key(), Column("d", Double)), names()).function


def test_the_digest_changes_with_anything_that_matters_and_with_nothing_else() -> None:
    plain = guard_sql(guarded(key()), names()).digest
    assert guard_sql(guarded(key()), names()).digest == plain
    changed = [
        guarded(key(), Column("t", Text)),
        guarded(key(), snapshot_frequency=7),
        guarded(key(), foreign_writes="refuse"),
        guarded(key(), truncate="capture"),
        guarded(key(), created_event="Made"),
    ]
    assert len({plain, *(guard_sql(table, names()).digest for table in changed)}) == len(changed) + 1


def test_a_name_cannot_end_the_functions_quotes() -> None:
    table = guarded(key(), Column("$lithair$; DROP TABLE x; --", Text))
    sql = guard_sql(table, names())
    assert sql.function.endswith("$lithair_$")
    assert sql.source.count("$lithair_$") == 0


def test_a_users_names_are_not_taken_for_ours() -> None:
    sql = guard_sql(guarded(key(), Column("lithair.streams", Text), Column("{{width}}", Text)), names())
    assert '"lithair.streams"' in sql.source
    assert '"{{width}}"' in sql.source


@pytest.mark.parametrize("long", ["x" * 63, "é" * 31])
def test_function_names_fit_and_differ(long: str) -> None:
    made = {
        guard_sql(guarded(key(), name=name, schema=schema), names()).function.split("(")[0]
        for name, schema in ((long, None), (long, "other"), (long[:-1], None), ("b", "a"), ("a_b", None))
    }
    assert len(made) == 5
    assert all(len(text.split('"')[-2].encode()) <= 63 for text in made)


def test_a_citext_key_is_compared_by_the_extensions_own_operator() -> None:
    table = guarded(Column("id", CITEXT, primary_key=True))
    assert 'OPERATOR("apart".=)' in guard_sql(table, names(citext="apart")).source


def test_an_event_named_after_a_column_that_is_not_there_is_refused() -> None:
    table = guarded(key(), events={"Priced": ["prise"]})
    with pytest.raises(MappingError, match="'Priced' is named after column 'prise'"):
        guard_sql(table, names())


@pytest.mark.parametrize(
    ("type_", "family"),
    [
        (Integer, "plain"),
        (Numeric, "numeric"),
        (Double, "float"),
        (JSONB, "jsonb"),
        (HSTORE, "text"),
        (INT4RANGE, "text"),
        (CITEXT, "citext"),
        (DOMAIN("d", Double), "float"),
    ],
)
def test_types_fall_into_families(type_: Any, family: str) -> None:
    value = column_value(Column("c", type_), owner="Thing")
    assert value is not None
    assert value.family == family


def test_a_foreign_keys_column_may_get_its_type_later() -> None:
    metadata = MetaData()
    Table("target", metadata, key())
    table = Table("thing", metadata, Column("id", ForeignKey("target.id"), primary_key=True))
    table.info[INFO_KEY] = Guard(stream="Thing", persistence=Persistence())
    assert '"id"' in guard_sql(table, names()).source
