"""What an object was before a method of it ran, to be put back if the method raises.

SQLAlchemy keeps the committed value of every attribute that was changed since the last flush: for an object that is
clean when the method begins, those are what it was, and nothing is copied. A flush in the middle makes them forgotten,
so they are noted before it. An object that was never flushed has its attributes copied.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.orm import InstanceState, LoaderCallableStatus, Session, attributes
from sqlalchemy.orm.collections import collection_adapter

__all__ = ["Memory"]

_ABSENT: Final = object()


class Memory:
    """The attributes of one object, as they are when it is made."""

    def __init__(self, state: InstanceState[Any], session: Session | None) -> None:
        self._state = state
        self._session = session
        self._columns = {attribute.key for attribute in state.mapper.column_attrs}
        self._relations = {attribute.key: attribute for attribute in state.mapper.relationships}
        self._is_clean = state.persistent and not state.committed_state
        self._before: dict[str, Any] = {} if self._is_clean else self._copies()
        self._flushed: set[str] = set()
        self._pending = 0 if session is None else len(session._new)  # noqa: SLF001 - session.new copies them all
        self._born: set[InstanceState[Any]] = set()
        self._was_deleted = session is not None and self._is_deleted(session)

    def flushing(self) -> None:
        """Note what a flush in the middle is going to forget."""
        if self._is_clean:
            for key, value in self._state.committed_state.items():
                self._before.setdefault(key, value)
        self._flushed.update(self._state.committed_state)
        self._born.update(self._new())
        self._pending = 0

    def restore(self) -> None:
        """Put the object's attributes back, collections and the other ends of relationships too."""
        item = self._state.obj()
        if item is None or (self._is_clean and not self._state.persistent):
            return  # a rollback inside the method has taken care of it
        before = dict(self._before)
        if self._is_clean:
            before = {**self._state.committed_state, **before}
        else:
            before.update((key, _ABSENT) for key in self._mapped() if key not in before)
        for key, value in before.items():
            if key in self._relations:
                self._restore_relation(item, key, value)
            elif key in self._columns:
                self._restore_column(item, key, value)
        for composite in self._state.mapper.composites:
            self._state.dict.pop(composite.key, None)  # made again of its columns when it is asked for
        if self._session is not None and not self._was_deleted and self._is_deleted(self._session):
            self._keep(self._session, item)

    def _keep(self, session: Session, item: Any) -> None:
        """Take back a delete, and what came along with it."""
        along = [member for member, *_ in self._state.mapper.cascade_iterator("delete", self._state)]
        for member in (item, *along):
            if attributes.instance_state(member) in session._deleted:  # noqa: SLF001
                session.add(member)

    def _is_deleted(self, session: Session) -> bool:
        return self._state in session._deleted  # noqa: SLF001 - session.deleted copies them all

    def _mapped(self) -> dict[str, Any]:
        keys = self._columns | set(self._relations)
        return {key: value for key, value in self._state.dict.items() if key in keys}

    def _copies(self) -> dict[str, Any]:
        return {
            key: list(collection_adapter(value)) if self._is_collection(key) else _copy(value)
            for key, value in self._mapped().items()
        }

    def _is_collection(self, key: str) -> bool:
        return key in self._relations and bool(self._relations[key].uselist) and key in self._state.dict

    def _restore_column(self, item: Any, key: str, value: Any) -> None:
        if value is _ABSENT or isinstance(value, LoaderCallableStatus) or (self._is_clean and _is_container(value)):
            self._unload(item, key)
        elif _is_container(value):
            setattr(item, key, value)  # tells sqlalchemy.ext.mutable whose it is
        else:
            # Without events: a validator has no say in what was there before.
            attributes.set_committed_value(item, key, value)
            if key in self._flushed:
                attributes.flag_modified(item, key)

    def _restore_relation(self, item: Any, key: str, value: Any) -> None:
        if self._relations[key].lazy in {"write_only", "dynamic"}:
            for member in getattr(value, "added_items", ()):
                self._send_away(member)
            self._unload(item, key)
        elif self._is_collection(key) and isinstance(value, list):
            self._restore_collection(key, value)
        elif key not in self._state.dict or self._relations[key].uselist:
            self._unload(item, key)
        else:
            self._restore_reference(item, key, value)

    def _restore_reference(self, item: Any, key: str, value: Any) -> None:
        absent = value is _ABSENT or isinstance(value, LoaderCallableStatus)
        replaced = self._state.dict[key]
        if replaced is not value:
            setattr(item, key, None if absent else value)  # the other end hears of it
            if replaced is not None:
                self._send_away(replaced)
        if absent:
            self._unload(item, key)

    def _restore_collection(self, key: str, before: list[Any]) -> None:
        collection = self._state.dict[key]
        adapter = collection_adapter(collection)
        assert adapter is not None  # noqa: S101 - a loaded collection has one
        now = list(adapter)
        kept = {id(member) for member in before}
        for member in now:
            if id(member) not in kept:
                adapter.remove_with_event(member)
                self._send_away(member)
        there = {id(member) for member in now}
        for member in before:
            # What a flush in the middle has deleted cannot come back.
            if id(member) not in there and not attributes.instance_state(member).deleted:
                adapter.append_with_event(member)
        if isinstance(collection, list):
            place = {id(member): index for index, member in enumerate(before)}
            list.sort(
                collection, key=lambda member: place.get(id(member), 0)
            )  # its order, of which there are no events

    def _send_away(self, member: Any) -> None:
        """Take out of the session what came into it by way of a relationship, though a flush in the middle wrote it."""
        if self._session is None:
            return
        state = attributes.instance_state(member)
        if state in self._born and state.persistent:
            self._session.delete(member)
        elif state in self._new():
            self._session.expunge(member)

    def _new(self) -> list[InstanceState[Any]]:
        """Return what has come into the session since the call began, or since its last flush."""
        return [] if self._session is None else list(self._session._new)[self._pending :]  # noqa: SLF001

    def _unload(self, item: Any, key: str) -> None:
        if self._session is not None and self._state.persistent:
            self._session.expire(item, [key])
        elif key in self._state.dict:
            delattr(item, key)


def _is_container(value: Any) -> bool:
    return isinstance(value, (dict, list, set))


def _copy(value: Any) -> Any:
    """Copy what can be changed in place."""
    match value:
        case dict():
            return {key: _copy(item) for key, item in value.items()}
        case list():
            return [_copy(item) for item in value]
        case set():
            return set(value)
        case _:
            return value
