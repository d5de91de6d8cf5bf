"""Do for a class or a table that one cannot edit what the mixin does for one that one can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Table, event, inspect
from sqlalchemy.orm import Mapper

from lithair_sqla.errors import MappingError, OptionError
from lithair_sqla.model.after_flush import watch_reloads
from lithair_sqla.model.declarative import declare, declare_association_tables, declare_table, is_event_sourced
from lithair_sqla.options import ModelOptions, Persistence

__all__ = ["enrol"]

_enrolled: WeakKeyDictionary[type, Persistence] = WeakKeyDictionary()


def enrol(
    target: Any,
    persistence: Persistence | None = None,
    *,
    columns: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Make a class or table event-sourced from outside.

    Args:
        target: a mapped class (its subclasses come along, those that are mapped later too) or a table without a class.
            Association tables of its relationships come along as well.
        persistence: the class-level options; names of streams and events are of the class alone, a subclass with a
            table of its own has its own.
        columns: column options by name, such as ``{"price": persistence(event="PriceUpdated")}``.

    Raises:
        MappingError: the class is not mapped, or is event-sourced already.
        OptionError: an option is wrong, or names a column that is not there.
    """
    options = ModelOptions(persistence=persistence or Persistence())
    if isinstance(target, Table):
        declare_table(target, options.persistence, columns=columns or {})
        return
    mapper = _mapper_to_enrol(target)
    declare(mapper, options, columns=columns or {})
    _watch(mapper)
    _enrolled[target] = options.persistence
    for descendant in mapper.self_and_descendants:
        if not is_event_sourced(descendant.class_):
            _enrol_descendant(descendant, options.persistence)
    event.listen(target, "after_mapper_constructed", _mapped_later, propagate=True)
    declare_association_tables()  # of mappers that are not configured yet, they are when they are


def _mapper_to_enrol(target: Any) -> Mapper[Any]:
    name = getattr(target, "__name__", target)
    mapper = inspect(target, raiseerr=False)
    if not isinstance(mapper, Mapper) or mapper.class_ is not target:
        raise MappingError(f"{name} is not a mapped class: only mapped classes and tables can be enrolled")
    if mapper.inherits is not None and mapper.inherits.local_table is mapper.local_table:
        raise OptionError(
            f"{name} shares the table of {mapper.inherits.class_.__name__}: enrol that class, and its subclasses come "
            "along"
        )
    if is_event_sourced(target):
        raise MappingError(f"{name} is event-sourced already, by the mixin or because it was enrolled before")
    return mapper


def _enrol_descendant(mapper: Mapper[Any], persistence: Persistence) -> None:
    own = persistence.replace(name=None, events=None, created_event=None, updated_event=None, deleted_event=None)
    declare(mapper, ModelOptions(persistence=own), columns={})


def _watch(mapper: Mapper[Any]) -> None:
    """Hear of objects that are expired or refreshed, as of those of classes with the mixin."""
    watch_reloads(mapper.class_)


def _mapped_later(mapper: Mapper[Any], class_: type) -> None:
    enrolled = next((_enrolled[base] for base in class_.__mro__ if base in _enrolled), None)
    if enrolled is not None and not is_event_sourced(class_):
        _enrol_descendant(mapper, enrolled)
