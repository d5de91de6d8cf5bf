"""Reading: one stream by version, all streams by position up to the horizon, streams by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lithair_sqla.errors import OptionError
from lithair_sqla.store.rows import EventRows, stream_info

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lithair_sqla.store.execution import Channel
    from lithair_sqla.types import Event, StreamId, StreamInfo

__all__ = [
    "PAGE",
    "all_events",
    "all_pages",
    "horizon",
    "stream_events",
    "stream_pages",
    "streams_named",
    "streams_pages",
]

PAGE: Final = 1_000
"""Events or streams that an iterator holds at a time."""

_LAST: Final = 2**63 - 1


def _count(name: str, value: Any, *, least: int) -> int:
    if type(value) is not int or not least <= value <= _LAST:
        raise OptionError(f"{name} must be a whole number from {least}, not {value!r}")
    return value


def stream_events(
    channel: Channel,
    stream: StreamId,
    *,
    first: int,
    last: int | None,
    limit: int | None,
    backwards: bool,
    exact_numbers: bool,
) -> list[Event]:
    """Read a range of one stream's versions."""
    if limit is not None and _count("limit", limit, least=0) == 0:
        return []
    pages = stream_pages(
        channel, stream, first=first, last=last, page=limit, backwards=backwards, exact_numbers=exact_numbers
    )
    return next(pages, [])


def stream_pages(
    channel: Channel,
    stream: StreamId,
    *,
    first: int,
    last: int | None,
    page: int | None,
    backwards: bool,
    exact_numbers: bool,
) -> Iterator[list[Event]]:
    """Read a range of one stream's versions, ``page`` of them at a time; ``None`` reads all at once.

    What is appended while the pages are read is not among them: the stream's version at the start is the end.
    """
    if page is not None:
        _count("page", page, least=1)
    _count("from_version", first, least=1)
    last = _LAST if last is None else _count("to_version", last, least=1)
    found = channel.row(channel.statements.stream_id, (stream.tenant, stream.name, stream.key))
    if found is None:
        return
    stream_number, low, version = found
    last = min(last, version)
    statement = channel.statements.backwards if backwards else channel.statements.forwards
    rows = EventRows(channel.names, exact_numbers=exact_numbers)
    while first <= last:
        result = channel.execute(statement, (stream_number, low, first, last, page))
        events = rows.of_stream(stream, result)
        if not events:
            return
        yield events
        if page is None or len(events) < page:
            return
        if backwards:
            last = events[-1].version - 1
        else:
            first, low = events[-1].version + 1, events[-1].position


def horizon(channel: Channel) -> int:
    """Return the highest position below which nothing can still appear."""
    found: int = channel.execute(channel.statements.horizon).scalar_one()
    return found


def all_events(
    channel: Channel,
    *,
    after: int,
    limit: int,
    names: Collection[str] | None,
    types: Collection[str] | None,
    exact_numbers: bool,
    up_to: int | None = None,
) -> list[Event]:
    """Read events in order of position, up to the horizon.

    The horizon is a statement of its own, before the one that reads: within one statement it could pass a row that the
    statement's snapshot does not see.
    """
    _count("after", after, least=0)
    _count("limit", limit, least=0)
    last = horizon(channel) if up_to is None else up_to
    if last <= after:
        return []
    parameters: list[Any] = [after, last, channel.config.tenant_id]
    statements = channel.statements
    if names is not None:
        parameters.append(_list("names", names))
    if types is not None:
        parameters.append(_list("types", types))
    statement = {
        (False, False): statements.all,
        (True, False): statements.all_by_name,
        (False, True): statements.all_by_type,
        (True, True): statements.all_by_name_and_type,
    }[names is not None, types is not None]
    result = channel.execute(statement, (*parameters, limit))
    return EventRows(channel.names, exact_numbers=exact_numbers).of_all(result.all())


def _list(name: str, texts: Collection[Any]) -> list[str]:
    if isinstance(texts, str) or not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise OptionError(f"{name} must be a list of strings without NUL, not {texts!r:.60}")
    return list(texts)


def all_pages(
    channel: Channel,
    *,
    after: int,
    page: int,
    names: Collection[str] | None,
    types: Collection[str] | None,
    exact_numbers: bool,
) -> Iterator[list[Event]]:
    """Read all events up to the horizon as it is at the start, ``page`` of them at a time."""
    _count("page", page, least=1)
    last = horizon(channel)
    while True:
        events = all_events(
            channel, after=after, limit=page, names=names, types=types, exact_numbers=exact_numbers, up_to=last
        )
        if events:
            yield events
        if len(events) < page:
            return
        after = events[-1].position


def streams_named(channel: Channel, name: str, *, after_key: str | None, limit: int) -> list[StreamInfo]:
    """Read the streams of a name in order of their keys."""
    _count("limit", limit, least=0)
    # Every text is greater than the empty one, which is a key too: then the first page starts at it.
    statement = channel.statements.streams if after_key is not None else channel.statements.streams_from_start
    tenant = channel.config.tenant_id
    key = () if after_key is None else (after_key,)
    return [stream_info(tenant, name, row) for row in channel.execute(statement, (tenant, name, *key, limit))]


def streams_pages(channel: Channel, name: str, *, page: int) -> Iterator[list[StreamInfo]]:
    """Read the streams of a name in order of their keys, ``page`` of them at a time."""
    _count("page", page, least=1)
    after: str | None = None
    while found := streams_named(channel, name, after_key=after, limit=page):
        yield found
        if len(found) < page:
            return
        after = found[-1].stream.key
