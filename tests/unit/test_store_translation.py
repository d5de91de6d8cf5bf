"""From SQLSTATE to the tree of errors, without a database."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from lithair_sqla.errors import (
    ConcurrencyError,
    ConnectionLostError,
    DuplicateCommand,
    InvalidEventError,
    LithairError,
    OrderedReadError,
    PartitionGapError,
    SchemaError,
    SchemaMissingError,
    StreamNotFoundError,
    WriteRefusedError,
)
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.names import Names
from lithair_sqla.store.translation import translate, translate_own

NAMES = Names("public", StorageConfig())


@dataclass
class DriverError(Exception):
    """What psycopg raises, as far as it is looked at."""

    sqlstate: str | None
    message: str = "it went wrong"
    detail: str | None = None
    hint: str | None = None
    table: str | None = None
    constraint: str | None = None
    context: str | None = None

    @property
    def diag(self) -> Any:
        return SimpleNamespace(
            message_primary=self.message,
            message_detail=self.detail,
            message_hint=self.hint,
            table_name=self.table,
            schema_name="public",
            constraint_name=self.constraint,
            context=self.context,
        )


@pytest.mark.parametrize(
    ("sqlstate", "class_"),
    [
        ("LT210", SchemaError),
        ("LT301", ConcurrencyError),
        ("LT302", DuplicateCommand),
        ("LT303", StreamNotFoundError),
        ("LT305", OrderedReadError),
        ("LT400", WriteRefusedError),
    ],
)
def test_each_sqlstate_of_ours_has_its_class_even_where_its_detail_is_missing(
    sqlstate: str, class_: type[LithairError]
) -> None:
    assert type(translate(DriverError(sqlstate))) is class_


def test_a_hint_belongs_to_the_message() -> None:
    assert str(translate(DriverError("LT400", "no", hint="Do this."))).endswith("no. Do this.")


@pytest.mark.parametrize("sqlstate", [None, "40001", "40P01", "23505", "23503", "42501", "LT999"])
def test_what_is_not_ours_is_left_alone(sqlstate: str | None) -> None:
    assert translate(DriverError(sqlstate)) is None
    assert translate_own(DriverError(sqlstate), NAMES, lost=False) is None
    assert translate(ValueError("x")) is None


@pytest.mark.parametrize(
    ("error", "is_ours"),
    [
        (DriverError("23514", table="lithair_events", context="PL/pgSQL function lithair_append(integer)"), True),
        (DriverError("23514", table="lithair_events", context="COPY lithair_events, line 1500"), True),
        (DriverError("23514", table="es_events", context="PL/pgSQL function es_guard_product() line 3"), True),
        (DriverError("23514", table="es_events", context="PL/pgSQL function lithair_append(integer)"), False),
        (
            DriverError("23514", table="lithair_events", constraint="own", context="function lithair_append(integer)"),
            False,
        ),
        (DriverError("23514", table="product", context="PL/pgSQL function lithair_append(integer)"), False),
        (DriverError("23514", table="user_events"), False),
        (DriverError("23514"), False),
    ],
)
def test_a_gap_is_told_from_a_check_of_the_users_own(error: DriverError, is_ours: bool) -> None:  # noqa: FBT001
    assert (type(translate(error)) is PartitionGapError) is is_ours


@pytest.mark.parametrize("sqlstate", ["22P05", "22P02", "22003", "54000", "54001"])
def test_a_value_that_does_not_fit_is_explained_in_the_stores_own_calls_only(sqlstate: str) -> None:
    assert isinstance(translate_own(DriverError(sqlstate), NAMES, lost=False), InvalidEventError)
    assert translate(DriverError(sqlstate)) is None


@pytest.mark.parametrize("sqlstate", ["42P01", "42883", "3F000"])
def test_a_missing_object_is_ours_where_it_is_called_like_ours(sqlstate: str) -> None:
    ours = translate_own(DriverError(sqlstate, 'relation "public.lithair_streams" does not exist'), NAMES, lost=False)
    assert isinstance(ours, SchemaMissingError)
    elsewhere = Names("elsewhere", StorageConfig())
    assert translate_own(DriverError(sqlstate, 'relation "product" does not exist'), elsewhere, lost=False) is None
    assert translate_own(DriverError(sqlstate), None, lost=False) is None


@pytest.mark.parametrize(("sqlstate", "lost"), [(None, True), ("57P01", False), ("57P02", False), ("08006", False)])
def test_a_lost_connection(sqlstate: str | None, lost: bool) -> None:  # noqa: FBT001
    assert isinstance(translate_own(DriverError(sqlstate), NAMES, lost=lost), ConnectionLostError)
