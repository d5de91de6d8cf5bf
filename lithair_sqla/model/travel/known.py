"""What is worth keeping between statements, kept with the engine it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Final, Generic, TypeVar, cast

from cachetools import LRUCache
from sqlalchemy.engine import Dialect

__all__ = ["Known"]

T = TypeVar("T")
_ATTRIBUTE: Final = "_lithair_known"


class Known(Generic[T]):
    """The most recently used things of one kind, for one engine; safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._things: LRUCache[Any, T] = LRUCache(size)
        self._lock = Lock()

    @classmethod
    def of(cls, dialect: Dialect, kind: str, size: int) -> Known[T]:
        """Return an engine's things of a kind.

        They are an attribute of its dialect and not in a weak dictionary, since much of what is kept refers to the
        dialect, which would then never go.
        """
        kinds = dialect.__dict__.setdefault(_ATTRIBUTE, {})
        found = kinds.get(kind)
        return cast("Known[T]", kinds.setdefault(kind, cls(size)) if found is None else found)

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """Return what is kept under a key, making it where it is not there."""
        with self._lock:
            found = self._things.get(key)
        if found is None:
            found = make()
            with self._lock:
                self._things[key] = found
        return found
