"""Where keys come from: a ring hands out the key to seal with, and any key by the id that a sealed value carries.

A ring is a ``Protocol``, so that a key service fits: give ``current()``, ``key(id)`` and ``ids()``, and cache what you
fetch. Keys never appear in a ``repr``, a log or an error; ids do.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes
from typing import Final, Protocol, runtime_checkable

from lithair_sqla.errors import EncryptionError, UnknownKeyError

__all__ = ["KEY_BYTES", "DataKey", "EnvironmentKeyRing", "FileKeyRing", "KeyRing", "KeySlot", "MemoryKeyRing"]

KEY_BYTES: Final = 32
"""Bytes of a key: AES-256."""

_MAX_ID: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key and its id.

    Attributes:
        id: 1 to 2³² − 1; it stands in every value sealed with the key.
        secret: 32 bytes.
    """

    id: int
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse an id or a length that cannot be used.

        Raises:
            EncryptionError: says which, never the secret.
        """
        if type(self.id) is not int or not 0 < self.id <= _MAX_ID:
            raise EncryptionError(f"a key's id is a whole number from 1 to {_MAX_ID}, not {self.id!r}")
        if len(bytes(self.secret)) != KEY_BYTES:
            raise EncryptionError(f"key {self.id} must be {KEY_BYTES} bytes long")

    @classmethod
    def generate(cls, id: int) -> DataKey:  # noqa: A002 - the field's word
        """Make a new random key."""
        return cls(id, token_bytes(KEY_BYTES))

    def export(self) -> str:
        """Return the secret in base64, to be put into a safe place."""
        return b64encode(self.secret).decode()


@runtime_checkable
class KeyRing(Protocol):
    """What seals and opens columns asks for keys."""

    def current(self) -> DataKey:
        """Return the key that new values are sealed with."""
        ...

    def key(self, id: int, /) -> DataKey:  # noqa: A002 - the field's word
        """Return a key by its id.

        Raises:
            UnknownKeyError: the ring has no such key.
        """
        ...

    def ids(self) -> Sequence[int]:
        """Return the ids of all keys that values may still be sealed with."""
        ...


class MemoryKeyRing:
    """Keys given by the program; the last one seals."""

    __slots__ = ("_current", "_keys")

    def __init__(self, *keys: DataKey, current: int | None = None) -> None:
        if not keys:
            raise EncryptionError("a key ring needs at least one key: MemoryKeyRing(DataKey.generate(1))")
        self._keys = {key.id: key for key in keys}
        if len(self._keys) != len(keys):
            raise EncryptionError("two keys of a ring have the same id")
        self._current = keys[-1].id if current is None else current
        if self._current not in self._keys:
            raise EncryptionError(f"the ring has no key {self._current} to be the current one")

    def __repr__(self) -> str:
        """Show ids alone."""
        return f"{type(self).__name__}(ids={list(self._keys)}, current={self._current})"

    def current(self) -> DataKey:
        """Return the key that new values are sealed with."""
        return self._keys[self._current]

    def key(self, id: int, /) -> DataKey:  # noqa: A002 - the field's word
        """Return a key by its id.

        Raises:
            UnknownKeyError: the ring has no such key.
        """
        try:
            return self._keys[id]
        except KeyError:
            raise UnknownKeyError(
                f"a value is sealed with key {id}, and the key ring has only {sorted(self._keys)}: add that key back"
            ) from None

    def ids(self) -> Sequence[int]:
        """Return the ids of all keys."""
        return tuple(self._keys)


class EnvironmentKeyRing(MemoryKeyRing):
    """Keys from an environment variable: ``1:<base64>,2:<base64>``; the last one seals."""

    def __init__(self, variable: str = "LITHAIR_KEYS", environment: Mapping[str, str] | None = None) -> None:
        value = (os.environ if environment is None else environment).get(variable, "")
        if not value.strip():
            raise EncryptionError(f"{variable} holds no keys: set it to 1:<32 bytes in base64>, or several with commas")
        super().__init__(*_parse(value.split(","), variable))


class FileKeyRing(MemoryKeyRing):
    """Keys from a file, one ``id:base64`` a line, ``#`` for remarks; the last one seals. Nobody else may read it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        file = Path(path)
        try:
            mode = file.stat().st_mode
            lines = file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise EncryptionError(f"the key file {file} cannot be read: {error.strerror}") from error
        if mode & 0o077:
            raise EncryptionError(f"the key file {file} can be read by others: chmod 600 {file}")
        super().__init__(*_parse([line for line in lines if line.strip() and not line.startswith("#")], str(file)))


def _parse(parts: Sequence[str], where: str) -> list[DataKey]:
    keys = []
    for number, part in enumerate(parts, start=1):
        id_, _, secret = part.strip().partition(":")
        try:
            keys.append(DataKey(int(id_), b64decode(secret, validate=True)))
        except (ValueError, Base64Error):
            # Not chained: the original would show the secret.
            raise EncryptionError(f"key {number} of {where} is not <id>:<32 bytes in base64>") from None
    return keys


@dataclass(slots=True, eq=False)
class KeySlot:
    """Where the columns of one metadata look for their ring: set once the application has its keys."""

    ring: KeyRing | None = None

    def get(self, column: str) -> KeyRing:
        """Return the ring; without one that was set, the environment's.

        Raises:
            EncryptionError: there is none.
        """
        if self.ring is None:
            try:
                self.ring = EnvironmentKeyRing()
            except EncryptionError as error:
                raise EncryptionError(
                    f"{column} is encrypted and there are no keys: Lithair(Base, keys=MemoryKeyRing(…)), or set "
                    f"LITHAIR_KEYS ({error.args[0]})"
                ) from None
        return self.ring
