"""The payload of a named event or a note: written as JSON when the call is made, not when it is sent.

What JSON has a form for stands as the store writes it, a dataclass as an object, an object of a mapped class as its
primary key. One that has no key yet is asked for it after the flush that gives it one.
"""

from __future__ import annotations

import inspect as python_inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState

from lithair_sqla.errors import CommandError
from lithair_sqla.model.keys import has_key
from lithair_sqla.store.payload import UnfitError, encode_object

__all__ = ["Arguments", "Payload", "check_type"]

_MAX_TYPE: Final = 200
_PLAIN: Final = frozenset({str, int, bool, float, type(None)})


class Payload:
    """What an event carries beside its change.

    Args:
        type_: the event's, to be named in an error.
        values: by name.

    Raises:
        CommandError: a value has no form in an event.
    """

    __slots__ = ("_pending", "_text", "_type", "_values")

    def __init__(self, type_: str, values: dict[str, Any]) -> None:
        self._type = type_
        self._pending = False
        self._values = {name: self._plain(value) for name, value in values.items()}
        self._text = b"" if self._pending else self._encoded(self._values)

    def json(self) -> msgspec.Raw:
        """Return it as JSON; to be called once the objects in it have their keys."""
        return msgspec.Raw(self._encoded(_resolved(self._values)) if self._pending else self._text)

    def _plain(self, value: Any) -> Any:
        """Replace objects by their keys, or by themselves where they have none yet, in a copy of what holds them."""
        if type(value) in _PLAIN:
            return value
        match value:
            case Mapping():
                return {name: self._plain(item) for name, item in value.items()}
            case list() | tuple():
                return [self._plain(item) for item in value]
        state = inspect(value, raiseerr=False)
        if isinstance(state, InstanceState):
            found = _key(state)
            self._pending = self._pending or found is None
            return state if found is None else found
        if is_dataclass(value) and not isinstance(value, type):
            return {field.name: self._plain(getattr(value, field.name)) for field in fields(value)}
        return value

    def _encoded(self, values: dict[str, Any]) -> bytes:
        try:
            return encode_object(values)
        except UnfitError as error:
            place = ".".join(map(str, error.path)) or "its arguments"
            raise CommandError(f"{self._type}: {place} cannot stand in an event: {error.reason}") from error


def _key(state: InstanceState[Any]) -> Any:
    """Return an object's primary key, a list where it has several columns; ``None`` where it has none yet."""
    if not has_key(state):
        return None
    key = list(state.key[1] if state.key is not None else state.mapper.primary_key_from_instance(state.obj()))
    return key[0] if len(key) == 1 else key


def _resolved(value: Any) -> Any:
    match value:
        case dict():
            return {name: _resolved(item) for name, item in value.items()}
        case list():
            return [_resolved(item) for item in value]
        case InstanceState():
            return _key(value)
        case _:
            return value


class Arguments:
    """Binds a call's arguments by name, as ``inspect.Signature`` does, ten times faster where there is nothing special.

    Args:
        method: whose they are.
    """

    __slots__ = ("_defaults", "_is_simple", "_method", "_names", "_signature")

    def __init__(self, method: Any) -> None:
        self._method = method
        self._signature = python_inspect.signature(method)
        _, *parameters = self._signature.parameters.values()
        self._names = [parameter.name for parameter in parameters]
        self._defaults = {
            parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty
        }
        self._is_simple = all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)

    def bind(self, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, Any]:
        """Return a call's arguments by name, defaults and all, without ``self``.

        Args:
            args: ``self`` and the positional ones.
            keywords: the others.

        Raises:
            TypeError: they do not fit, in Python's own words.
        """
        if self._is_simple and len(args) <= len(self._names) + 1:
            given = dict(zip(self._names, args[1:], strict=False))
            if given.keys().isdisjoint(keywords):
                found = {**self._defaults, **given, **keywords}
                if found.keys() == set(self._names):
                    return found
        return self._bind_any(args, keywords)

    def _bind_any(self, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, Any]:
        try:
            bound = self._signature.bind(*args, **keywords)
        except TypeError:
            self._method(*args, **keywords)  # says what is wrong, and with which method
            raise
        bound.apply_defaults()
        _, *rest = bound.arguments.items()
        arguments = dict(rest)
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL and not arguments[name]:
                del arguments[name]
            elif parameter.kind is parameter.VAR_KEYWORD and not arguments.keys() & arguments[name]:
                arguments.update(arguments.pop(name))
        return arguments


def check_type(type_: object) -> None:
    """Refuse what cannot be an event's type.

    Raises:
        CommandError: it is no string of 1 to 200 characters that PostgreSQL can store.
    """
    fits = isinstance(type_, str) and 0 < len(type_) <= _MAX_TYPE and "\0" not in type_
    if not fits or any("\ud800" <= character <= "\udfff" for character in str(type_)):
        raise CommandError(f"an event's type is a name of 1 to {_MAX_TYPE} characters, not {type_!r}")
