"""Encrypted columns of models: the swap of a column's type when its class is mapped, and where the keys come from."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Index, MetaData, Table, UniqueConstraint, event, func
from sqlalchemy.orm import Mapper, ORMExecuteState, Session
from sqlalchemy.sql import visitors

from lithair_sqla.codec.sealing import INDEX_BYTES, Encrypted, KeyRing, KeySlot
from lithair_sqla.errors import OptionError, SealedQueryError
from lithair_sqla.model.declarative import EventSourced
from lithair_sqla.options import ColumnRecord, column_options, merge_column_options

__all__ = ["encrypt_columns", "key_slot", "use_keys"]

_SLOT: Final = "lithair.keys"
_CLAUSES: Final = (("_order_by_clauses", "ORDER BY"), ("_group_by_clauses", "GROUP BY"), ("_distinct_on", "DISTINCT"))


def key_slot(metadata: MetaData) -> KeySlot:
    """Return where a metadata's encrypted columns look for their ring."""
    slot: KeySlot = metadata.info.setdefault(_SLOT, KeySlot())
    return slot


def use_keys(metadata: MetaData, ring: Any) -> None:
    """Give a metadata's encrypted columns their keys; at any time before the first of them is read or written.

    Raises:
        OptionError: it is no key ring.
    """
    if not isinstance(ring, KeyRing):
        kind = type(ring).__name__
        raise OptionError(f"keys must be a KeyRing, such as MemoryKeyRing(DataKey.generate(1)), not {kind}")
    key_slot(metadata).ring = ring


@event.listens_for(EventSourced, "instrument_class", propagate=True)
def _instrumented(mapper: Mapper[Any], _: type) -> None:
    encrypt_columns(mapper)


def encrypt_columns(mapper: Mapper[Any]) -> None:
    """Swap the type of every column that asks to be encrypted, before the class's attributes copy it.

    Raises:
        OptionError: a key, a foreign key, a column with a default of the database's, or a unique one that cannot be
            searched.
    """
    table = mapper.local_table
    if not isinstance(table, Table):
        return
    for column in list(table.columns):
        options = _options(mapper.class_, column)
        if not options.persistence.encrypted or isinstance(column.type, Encrypted):
            continue
        owner = f"{mapper.class_.__name__}.{column.name}"
        _check(table, column, owner, searchable=options.persistence.searchable)
        place = f"{table.name}.{column.name}"
        searchable = options.persistence.searchable
        column.type = Encrypted(column.type, place, key_slot(table.metadata), searchable=searchable)
        if searchable:
            _index(table, column)


def _options(class_: type, column: Column[Any]) -> ColumnRecord:
    owner = class_.__name__
    override = getattr(class_, "__lithair_columns__", {}).get(column.name, {})
    info = merge_column_options(column.info, override, owner=owner, column=column.name)
    return column_options(info, owner=owner, column=column.name)


def _check(table: Table, column: Column[Any], owner: str, *, searchable: bool) -> None:
    wrong = None
    if column.primary_key:
        wrong = "a primary key names its stream, in plain text"
    elif column.foreign_keys:
        wrong = "a foreign key is compared by the database, which cannot open it"
    elif column.server_default is not None or column.computed is not None:
        wrong = "the database cannot seal a value that it makes itself: give it a default= in Python"
    elif _unique(table, column) and not searchable:
        wrong = "the same value is sealed otherwise each time: unique needs searchable=True as well"
    if wrong is not None:
        raise OptionError(f"{owner} cannot be encrypted: {wrong}")


def _unique(table: Table, column: Column[Any]) -> bool:
    return bool(column.unique) or any(
        isinstance(item, UniqueConstraint) and list(item.columns) == [column] for item in table.constraints
    )


def _index(table: Table, column: Column[Any]) -> None:
    """Index the blind index; a unique column is unique by it."""
    unique = _unique(table, column)
    for constraint in [item for item in table.constraints if isinstance(item, UniqueConstraint)]:
        if list(constraint.columns) == [column]:
            table.constraints.discard(constraint)
    name = f"ix_{table.name}_{column.name}_sealed"[:63]
    Index(name, func.substr(column, 1, INDEX_BYTES), unique=unique)


@event.listens_for(Session, "do_orm_execute")
def _refuse_order(state: ORMExecuteState) -> None:
    """Refuse to sort, group or tell apart by ciphertext: the answer would look right and mean nothing.

    Raises:
        SealedQueryError: names the column.
    """
    if not state.is_select:
        return
    statement: Any = state.statement
    for clause, what in _CLAUSES:
        for element in getattr(statement, clause, ()):
            for found in visitors.iterate(element):
                type_ = getattr(found, "type", None)
                if isinstance(type_, Encrypted):
                    raise SealedQueryError(
                        f"{type_.place} is encrypted: {what} on ciphertext has no meaning: do it in Python"
                    )
