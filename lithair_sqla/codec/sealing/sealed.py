"""The form of a sealed value, and the two operations on it.

::

    blind index (16, only if searchable) | version (1) | key id (4, big-endian) | nonce (12) | ciphertext and tag

The cipher is AES-256-GCM (NIST SP 800-38D) with a random nonce; table, column, version and key id are authenticated
with it, so a value cannot be moved to another column. The blind index is HMAC-SHA-256 (RFC 2104) of the plain value
under a key of its own, derived by HKDF (RFC 5869) for the column, cut to 16 bytes: equal values have equal indexes.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from os import urandom
from typing import TYPE_CHECKING, Final

from lithair_sqla.errors import EncryptionError, SealedValueError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from lithair_sqla.codec.sealing.keys import DataKey, KeyRing

__all__ = ["INDEX_BYTES", "VERSION", "blind_index", "key_id_of", "open_sealed", "seal"]

VERSION: Final = 1
INDEX_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_HEADER_BYTES: Final = 1 + 4 + _NONCE_BYTES


@lru_cache(maxsize=256)
def _cipher(secret: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise EncryptionError("encrypted columns need cryptography: pip install 'lithair-sqla[encryption]'") from error
    return AESGCM(secret)


@lru_cache(maxsize=1024)
def _index_key(secret: bytes, place: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(SHA256(), 32, salt=None, info=f"lithair blind index\0{place}".encode()).derive(secret)


def blind_index(plain: bytes, key: DataKey, place: str) -> bytes:
    """Return the sixteen bytes by which equal values of one column can be found.

    Args:
        plain: the value.
        key: any key of the ring.
        place: table and column, as ``seal`` is given them.
    """
    return hmac.digest(_index_key(key.secret, place), plain, "sha256")[:INDEX_BYTES]


def seal(plain: bytes, key: DataKey, place: str, *, searchable: bool = False) -> bytes:
    """Seal a value.

    Args:
        plain: the value.
        key: to seal with.
        place: table and column: authenticated, so that the value opens nowhere else.
        searchable: put the blind index before it.
    """
    header = bytes((VERSION,)) + key.id.to_bytes(4, "big")
    nonce = urandom(_NONCE_BYTES)
    sealed = header + nonce + _cipher(key.secret).encrypt(nonce, plain, header + place.encode())
    return blind_index(plain, key, place) + sealed if searchable else sealed


def key_id_of(sealed: bytes, *, searchable: bool = False) -> int:
    """Return the id of the key that a value is sealed with.

    Raises:
        SealedValueError: it is no sealed value.
    """
    body = sealed[INDEX_BYTES:] if searchable else sealed
    if len(body) < _HEADER_BYTES + _TAG_BYTES:
        raise SealedValueError(f"a sealed value of {len(sealed)} bytes is cut off")
    if body[0] != VERSION:
        raise SealedValueError(
            f"a sealed value of form {body[0]} is not known to this version, which writes form {VERSION}"
        )
    return int.from_bytes(body[1:5], "big")


def open_sealed(sealed: bytes, ring: KeyRing, place: str, *, searchable: bool = False) -> bytes:
    """Open a sealed value.

    Raises:
        UnknownKeyError: the ring has not the key it is sealed with.
        SealedValueError: it is damaged, cut off, of another column, or of an unknown form.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

    key = ring.key(key_id_of(sealed, searchable=searchable))
    body = sealed[INDEX_BYTES:] if searchable else sealed
    try:
        plain = _cipher(key.secret).decrypt(body[5:_HEADER_BYTES], body[_HEADER_BYTES:], body[:5] + place.encode())
    except InvalidTag:
        raise SealedValueError(
            f"a value of {place} sealed with key {key.id} does not open: it is damaged, was moved from another column, "
            "or the key under that id is another one"
        ) from None
    if searchable and not hmac.compare_digest(sealed[:INDEX_BYTES], blind_index(plain, key, place)):
        raise SealedValueError(f"the index of a value of {place} is not that of the value: one of them was changed")
    return plain
