"""Encryption at rest: keys, the form a sealed value has, and the column type that seals and opens."""

from __future__ import annotations

from lithair_sqla.codec.sealing.keys import (
    DataKey,
    EnvironmentKeyRing,
    FileKeyRing,
    KeyRing,
    KeySlot,
    MemoryKeyRing,
)
from lithair_sqla.codec.sealing.sealed import INDEX_BYTES, blind_index, open_sealed, seal
from lithair_sqla.codec.sealing.types import Encrypted

__all__ = [
    "INDEX_BYTES",
    "DataKey",
    "Encrypted",
    "EnvironmentKeyRing",
    "FileKeyRing",
    "KeyRing",
    "KeySlot",
    "MemoryKeyRing",
    "blind_index",
    "open_sealed",
    "seal",
]
