"""``Encrypted``: the column type behind ``persistence(encrypted=True)``.

The row holds ciphertext, and so do the log, snapshots and archives, which keep what stands in the row: nothing needs a
second path. A searchable column can be compared for equality, through an ordinary index on the first sixteen bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Dialect, LargeBinary, bindparam, func, literal_column, not_
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.types import TypeDecorator, TypeEngine

from lithair_sqla.codec.sealing.keys import KeySlot
from lithair_sqla.codec.sealing.plain import PlainForm
from lithair_sqla.codec.sealing.sealed import INDEX_BYTES, blind_index, open_sealed, seal
from lithair_sqla.errors import SealedQueryError

if TYPE_CHECKING:
    from sqlalchemy.sql.operators import OperatorType

__all__ = ["Encrypted"]

_EQUALITIES: Final = (operators.eq, operators.ne, operators.in_op, operators.not_in_op)
_REFUSED: Final = {
    operators.lt: "<",
    operators.le: "<=",
    operators.gt: ">",
    operators.ge: ">=",
    operators.like_op: "LIKE",
    operators.not_like_op: "NOT LIKE",
    operators.ilike_op: "ILIKE",
    operators.not_ilike_op: "NOT ILIKE",
    operators.between_op: "BETWEEN",
    operators.not_between_op: "NOT BETWEEN",
    operators.startswith_op: "starting with",
    operators.endswith_op: "ending with",
    operators.contains_op: "containing",
    operators.regexp_match_op: "a regular expression",
    operators.desc_op: "ORDER BY",
    operators.asc_op: "ORDER BY",
    operators.distinct_op: "DISTINCT",
    operators.concat_op: "||",
}


class _BlindIndexes(TypeDecorator[Any]):
    """A plain value (or several) bound as the blind indexes it may have, one for each key of the ring."""

    impl = ARRAY(BYTEA)
    cache_ok = True

    def __init__(self, sealed: Encrypted) -> None:
        super().__init__()
        self.sealed = sealed

    def process_bind_param(self, value: Any, dialect: Dialect) -> list[bytes]:
        values = value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
        return [index for single in values if single is not None for index in self.sealed.indexes(single, dialect)]


class Encrypted(TypeDecorator[Any]):
    """A column whose values stand encrypted in the database.

    Args:
        original: the type that its values have in Python.
        place: table and column.
        searchable: equal values can be found.
        slot: where the ring is.
    """

    impl = LargeBinary
    cache_ok = True

    def __init__(self, original: TypeEngine[Any], place: str, slot: KeySlot, *, searchable: bool = False) -> None:
        super().__init__()
        self.original = original
        self.place = place
        self.searchable = searchable
        self.slot = slot
        self._plain = PlainForm(original, place)

    @property
    def python_type(self) -> type[Any]:
        """The type that values have in Python."""
        return self.original.python_type

    def process_bind_param(self, value: Any, dialect: Dialect) -> bytes | None:
        """Seal a value on its way in."""
        if value is None:
            return None
        ring = self.slot.get(self.place)
        return seal(self._plain.write(value, dialect), ring.current(), self.place, searchable=self.searchable)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Open a value on its way out."""
        if value is None:
            return None
        ring = self.slot.get(self.place)
        return self._plain.read(open_sealed(bytes(value), ring, self.place, searchable=self.searchable), dialect)

    def process_literal_param(self, value: Any, dialect: Dialect) -> str:  # noqa: ARG002 - SQLAlchemy's signature
        """Refuse to write a plain value into a statement's text.

        Raises:
            SealedQueryError: always.
        """
        raise SealedQueryError(f"a value of {self.place} is not written into a statement as a literal: bind it")

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:  # noqa: ARG002
        """Bind what a column is compared with as a value of the column."""
        return self

    def indexes(self, value: Any, dialect: Dialect) -> list[bytes]:
        """Return the blind indexes that a value has under the keys of the ring."""
        ring = self.slot.get(self.place)
        plain = self._plain.write(value, dialect)
        return [blind_index(plain, ring.key(id_), self.place) for id_ in ring.ids()]

    class comparator_factory(TypeDecorator.Comparator[Any]):  # noqa: N801 - SQLAlchemy's name for it  # pyright: ignore[reportIncompatibleVariableOverride]
        """Equality by the blind index; everything else on ciphertext is refused."""

        def operate(self, op: OperatorType, *other: Any, **keywords: Any) -> ColumnElement[Any]:
            """Rewrite an operation on the column.

            Raises:
                SealedQueryError: it has no meaning on ciphertext.
            """
            sealed: Encrypted = self.type  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
            if op in _REFUSED:
                raise SealedQueryError(
                    f"{sealed.place} is encrypted: {_REFUSED[op]} on ciphertext has no meaning. Read the rows, and do "
                    "it in Python"
                )
            if op not in _EQUALITIES or not _is_value(other[0]):
                return super().operate(op, *other, **keywords)
            if not sealed.searchable:
                raise SealedQueryError(
                    f"{sealed.place} is encrypted and not searchable: persistence(encrypted=True, searchable=True) "
                    "lets equal values be found"
                )
            # Constants, not parameters: a generic plan could not match the index's expression with those.
            found = func.substr(self.expr, literal_column("1"), literal_column(str(INDEX_BYTES)), type_=LargeBinary).op(
                "=", is_comparison=True
            )(func.any(_bound(sealed, other[0])))
            return not_(found) if op in {operators.ne, operators.not_in_op} else found


def _is_value(other: Any) -> bool:
    """Tell a value from NULL and from an expression, which ciphertext is compared with as it stands."""
    return other is not None and (not isinstance(other, ColumnElement) or isinstance(other, BindParameter))


def _bound(sealed: Encrypted, value: Any) -> BindParameter[Any]:
    type_ = _BlindIndexes(sealed)
    if isinstance(value, BindParameter):
        return bindparam(value.key, value.value, type_=type_, required=value.required, unique=value.unique)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        value = list(value)
    return bindparam(None, value, type_=type_, unique=True)
