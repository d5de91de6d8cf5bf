"""What happened: to one object, or to all of a class; when, by whom and why."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState, Mapper, Session, scoped_session

from lithair_sqla.errors import MappingError, OptionError, StreamNotFoundError
from lithair_sqla.model.declarative import model_options
from lithair_sqla.model.history.changes import Change
from lithair_sqla.model.history.classes import ClassHistory
from lithair_sqla.model.history.events import History
from lithair_sqla.model.history.objects import ObjectHistory
from lithair_sqla.model.history.source import Source
from lithair_sqla.model.replay import identity_of

__all__ = ["Change", "ClassHistory", "History", "ObjectHistory", "history"]

T = TypeVar("T")


@overload
def history(  # type: ignore[overload-overlap] # a class is an object too, but not one that is mapped  # pyright: ignore[reportOverlappingOverload]
    session: Session | scoped_session[Any], target: type[T], key: None = None
) -> ClassHistory[T]: ...


@overload
def history(session: Session | scoped_session[Any], target: type[T], key: Any) -> ObjectHistory[T]: ...


@overload
def history(session: Session | scoped_session[Any], target: T, key: None = None) -> ObjectHistory[T]: ...


def history(session: Any, target: Any, key: Any = None) -> ObjectHistory[Any] | ClassHistory[Any]:
    """Return the history of an object, or of all objects of a class.

    ::

        for event in history(session, product):                     # oldest first, read as it is walked through
            print(event.version, event.recorded_at, event.type, event.actor)

        history(session, product).diff(3, 7)                        # {"price": (Decimal("9.90"), Decimal("12.00"))}
        history(session, product).of("price")                       # when, from what, to what, by whom
        history(session, product).at(version=3)                     # the object as it was, detached
        history(session, product).revert(3)                         # … and as it shall be again
        history(session, Product).where(actor="ana").newest().page(50)

    On a session on the past it ends at that session's moment. On an ``AsyncSession``, use it within ``run_sync``.

    Args:
        session: on the database that holds the log; nothing is flushed.
        target: an object of an event-sourced class, or the class.
        key: with a class, one object's primary key; a tuple where it has several columns.

    Raises:
        MappingError: the class is not event-sourced, or shares its table with its parent.
        OptionError: the key has another number of values than the primary key.
        StreamNotFoundError: the object has no key yet.
    """
    if isinstance(session, scoped_session):
        session = session()
    if not isinstance(session, Session):
        raise OptionError(
            f"history() takes a session, not {session!r:.80}; of an AsyncSession: "
            "await session.run_sync(lambda session: list(history(session, …)))"
        )
    if not isinstance(target, type):
        model_options(type(target))
        state: InstanceState[Any] = inspect(target)
        # From the state, not the attributes: reading the key of an expired object would flush.
        if state.identity is None:
            raise StreamNotFoundError(f"{target!r} has no key yet: flush it first")
        return ObjectHistory(Source(session, state.mapper), tuple(state.identity))
    model_options(target)
    mapper: Mapper[Any] = inspect(target)
    if key is not None:
        return ObjectHistory(Source(session, mapper), identity_of(mapper, key))
    if mapper.inherits is not None and mapper.local_table is mapper.inherits.local_table:
        raise MappingError(
            f"{target.__name__} shares the table of {mapper.inherits.class_.__name__}, and no event tells which of the "
            f"two its row is: ask for history(session, {mapper.base_mapper.class_.__name__}) or for one object's"
        )
    return ClassHistory(Source(session, mapper))
