"""The indexes that a class's options ask for, as ordinary ``Index`` objects on its table.

``metadata.create_all()`` and Alembic then treat them as they treat the user's own. Alembic compares an index's name,
columns and uniqueness, but neither its method nor its parameters: the name ends in a hash of the whole statement, so
that an option that changes makes another index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Enum, Index, MetaData, String, Table, cast, func, text
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.dialects.postgresql.ranges import AbstractRange
from sqlalchemy.schema import CreateIndex, conv
from sqlalchemy.types import Text

from lithair_sqla.codec.families import DIALECT, underlying_type
from lithair_sqla.codec.point import Point
from lithair_sqla.codec.sealing import Encrypted
from lithair_sqla.errors import OptionError
from lithair_sqla.options import ColumnRecord
from lithair_sqla.options.columns import IndexColumn

__all__ = ["INDEXES_KEY", "configuration_of", "declare_indexes", "enable_full_text", "text_columns", "text_vector"]

INDEXES_KEY: Final = "lithair.indexes"
"""Where a ``Table`` keeps the ``index(…)`` options of its columns, by column name."""

_FULL_TEXT_KEY: Final = "lithair.full_text"
_MOST_NAME_BYTES: Final = 63
_WEIGHTS: Final = "ABCD"

_LANGUAGES: Final[Mapping[str, str]] = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian",
    "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil",
    "tr": "turkish", "yi": "yiddish",
}  # fmt: skip


def configuration_of(language: str | None) -> str:
    """Return the text search configuration of a language: ``fr`` is ``french``, ``None`` is ``simple``.

    Raises:
        OptionError: two letters that no configuration of PostgreSQL's is for.
    """
    if language is None:
        return "simple"
    # Checked again, for it is written into statements.
    IndexColumn("full_text", language=language)
    if len(language) > 2:  # noqa: PLR2004 - it is a configuration's name
        return language
    try:
        return _LANGUAGES[language]
    except KeyError:
        raise OptionError(
            f"PostgreSQL has no text search configuration for language {language!r} (it has {', '.join(_LANGUAGES)}); "
            "leave it out, or name a configuration of yours"
        ) from None


def text_vector(columns: list[ColumnElement[Any]], language: str | None) -> ColumnElement[Any]:
    """Write the words of some columns as one tsvector, the first columns weighing more.

    A constant names the configuration: a bound one would not be the index's expression once a plan is generic.
    """
    # text(), not literal_column(), which an index would take for a column of its table.
    configuration = text(f"'{configuration_of(language)}'::regconfig")
    texts = [cast(column, Text) if isinstance(column.type, CITEXT) else column for column in columns]
    if len(texts) == 1:
        return func.to_tsvector(configuration, texts[0])
    empty = text("''")
    vectors = [
        func.setweight(
            func.to_tsvector(configuration, func.coalesce(words, empty)),
            text(f"'{_WEIGHTS[min(place, 3)]}'::\"char\""),
        )
        for place, words in enumerate(texts)
    ]
    combined: ColumnElement[Any] = vectors[0]
    for vector in vectors[1:]:
        combined = combined.op("||")(vector)
    return combined


def text_columns(table: Any, column: str, option: IndexColumn) -> list[ColumnElement[Any]]:
    """Return the columns that a full text index spans, of a table or an alias of it."""
    return [_column(table, name) for name in (option.fields or (column,))]


def declare_indexes(table: Table, columns: Mapping[str, ColumnRecord], *, owner: str, full_text: bool = True) -> None:
    """Put the indexes that some columns ask for on their table; those that are there already are left alone.

    Args:
        table: theirs.
        columns: the options by column key.
        owner: the class's name, for messages.
        full_text: whether indexes of words are made at all.

    Raises:
        OptionError: an index that cannot be: on an encrypted column, of a type it is not for, over unknown columns.
    """
    for name, record in columns.items():
        column = table.columns[name]
        option = record.index
        if option is None and not record.persistence.indexed:
            continue
        place = f"{owner}.{name}"
        if isinstance(column.type, Encrypted):
            raise OptionError(
                f"{place} is encrypted, and an index on ciphertext finds nothing: "
                "persistence(encrypted=True, searchable=True) makes the index that equality needs"
            )
        if option is None:
            option = IndexColumn("btree")
        table.info.setdefault(INDEXES_KEY, {})[name] = option
        if option.type in {"btree", "hash"} and not option.fields and _has_its_own(column):
            continue  # the primary key's index, or one of the user's, serves
        index = _index(table, column, option, place)
        if option.type == "full_text":
            table.info.setdefault(_FULL_TEXT_KEY, {})[index.name] = index
            if not full_text:
                table.indexes.discard(index)


def enable_full_text(metadata: MetaData, *, enabled: bool) -> None:
    """Put the indexes of words on their tables, or take them off, as the store's configuration says."""
    for table in metadata.tables.values():
        for index in table.info.get(_FULL_TEXT_KEY, {}).values():
            (table.indexes.add if enabled else table.indexes.discard)(index)


def _has_its_own(column: Column[Any]) -> bool:
    table = column.table
    return (
        bool(column.index or column.unique)
        or _is_only(table.primary_key.columns, column)
        or any(_is_only(index.expressions, column) for index in table.indexes if "lithair" not in index.info)
    )


def _is_only(found: Iterable[Any], column: Column[Any]) -> bool:
    """Tell whether a column stands alone; by identity, for columns compared make SQL."""
    columns = list(found)
    return len(columns) == 1 and columns[0] is column


def _column(table: Any, name: str) -> Any:
    if name in table.columns:
        return table.columns[name]
    return next((column for column in table.columns if column.name == name), None)


def _index(table: Table, column: Column[Any], option: IndexColumn, place: str) -> Index:
    expressions = _spanned(table, column, option, place)
    keywords: dict[str, Any] = {"unique": option.unique}
    match option.type:
        case "hash" if len(expressions) == 1:
            keywords["postgresql_using"] = "hash"
        case "range" if option.optimize_for == "time_series":
            keywords |= {"postgresql_using": "brin", "postgresql_with": {"autosummarize": "on"}}
        case "range" if len(expressions) == 1 and isinstance(underlying_type(column.type), AbstractRange):
            keywords["postgresql_using"] = "gist"
        case "full_text":
            _check_texts(expressions, place)
            expressions = [text_vector(expressions, option.language)]
            keywords["postgresql_using"] = "gin"
        case "geo_spatial":
            if len(expressions) > 1 or not isinstance(column.type, Point):
                raise OptionError(
                    f"{place}: index('geo_spatial') stands on one column of type Point (lithair_sqla.query.Point)"
                )
            keywords["postgresql_using"] = "gist"
    return _named(table, column, expressions, keywords)


def _spanned(table: Table, column: Column[Any], option: IndexColumn, place: str) -> list[Any]:
    """Return the columns that an index spans."""
    if not option.fields:
        return [column]
    found = {name: _column(table, name) for name in option.fields}
    unknown = [name for name, field in found.items() if field is None]
    if unknown:
        raise OptionError(f"{place}: index(fields=…) names {unknown[0]!r}, which is not a column of {table.fullname}")
    if all(field is not column for field in found.values()):
        raise OptionError(f"{place}: index(fields=…) leaves out {column.name!r}, the column that it stands on")
    sealed = [name for name, field in found.items() if isinstance(field.type, Encrypted)]
    if sealed:
        raise OptionError(f"{place}: index(fields=…) names {sealed[0]!r}, which is encrypted")
    return list(found.values())


def _check_texts(columns: list[Any], place: str) -> None:
    for column in columns:
        type_ = underlying_type(column.type)
        if not isinstance(type_, String) or isinstance(type_, Enum):
            raise OptionError(f"{place}: index('full_text') is for texts, and {column.name} is {column.type!r}")


def _named(table: Table, column: Column[Any], expressions: list[Any], keywords: dict[str, Any]) -> Index:
    index = Index("lithair", *expressions, info={"lithair": True}, **keywords)
    begins, _, rest = str(CreateIndex(index).compile(dialect=DIALECT)).partition(" ON ")
    # The same in every schema, so the table's name is left out.
    what = begins + rest.removeprefix(DIALECT.identifier_preparer.format_table(table))
    digest = sha256(what.encode()).hexdigest()[:6]
    start = f"ix_{table.name}_{column.name}".encode()[: _MOST_NAME_BYTES - 7].decode(errors="ignore")
    name = conv(f"{start}_{digest}")
    for known in list(table.indexes):
        if known is not index and known.name == name:
            table.indexes.discard(index)
            return known
    index.name = name
    return index
