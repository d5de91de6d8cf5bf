"""Values as bytes, before they are sealed and after they are opened: exact, and read back as the column's own type."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Dialect
from sqlalchemy import types as sqltypes
from sqlalchemy.types import TypeDecorator, TypeEngine

from lithair_sqla.errors import ColumnTypeError, SealedValueError

__all__ = ["PlainForm"]

_ENCODER: Final = msgspec.json.Encoder(decimal_format="string", order="deterministic")


class PlainForm:
    """How one column's values become bytes and come back.

    Equal values have equal bytes, so that blind indexes can find them; a ``Decimal`` is brought to the column's scale.

    Args:
        type_: the column's own type.
        owner: column, for messages.

    Raises:
        ColumnTypeError: a type whose values are not known here.
    """

    __slots__ = ("_decoder", "_decorator", "_scale", "_type")

    def __init__(self, type_: TypeEngine[Any], owner: str) -> None:
        self._decorator = type_ if isinstance(type_, TypeDecorator) else None
        self._type = type_
        inner = type_
        while isinstance(inner, TypeDecorator):
            inner = inner.impl_instance
        self._scale = inner.scale if isinstance(inner, sqltypes.Numeric) and inner.asdecimal else None
        try:
            python = Any if isinstance(inner, sqltypes.JSON) else inner.python_type
        except NotImplementedError:
            raise ColumnTypeError(f"{owner}: values of type {type_!r} cannot be encrypted") from None
        self._decoder = msgspec.json.Decoder(python)

    def write(self, value: Any, dialect: Dialect) -> bytes:
        """Turn a value into bytes."""
        if self._decorator is not None:
            value = self._decorator.process_bind_param(value, dialect)
        if self._scale is not None and value is not None:
            value = round(value, self._scale)
        return _ENCODER.encode(value)

    def read(self, plain: bytes, dialect: Dialect) -> Any:
        """Turn bytes back into a value.

        Raises:
            SealedValueError: they are none of the column's.
        """
        try:
            value = self._decoder.decode(plain)
        except msgspec.MsgspecError:
            raise SealedValueError("a sealed value opened, and holds no value of the column's type") from None
        if self._decorator is not None:
            return self._decorator.process_result_value(value, dialect)
        return value
