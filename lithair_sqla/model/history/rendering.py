"""How a history looks: as text, in a terminal through rich, in a notebook as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from lithair_sqla.types import Event

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["as_html", "as_rich", "as_text"]

_HEADS: Final = ("position", "when", "stream", "version", "event", "by", "what")
_WIDEST: Final = 60


def as_text(title: str, events: Sequence[Event], hidden: int) -> str:
    """Write events as lines of text.

    Args:
        title: the first line.
        events: to show.
        hidden: how many there are beside them.
    """
    rows = [_row(event) for event in events]
    widths = [max(map(len, cells)) for cells in zip(_HEADS, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (_HEADS, *rows)
    ]
    return "\n".join([title, *lines, *_more(hidden)])


def as_rich(title: str, events: Sequence[Event], hidden: int) -> Table:
    """Make a table of rich of events."""
    from rich.table import Table  # noqa: PLC0415 - rich is an extra
    from rich.text import Text  # noqa: PLC0415 - rich is an extra

    table = Table(title=Text(title), title_justify="left", caption="\n".join(_more(hidden)) or None)
    for head in _HEADS:
        table.add_column(head, justify="right" if head in {"position", "version"} else "left")
    for event in events:
        # As Text, so that brackets in a value are no markup.
        table.add_row(*map(Text, _row(event)))
    return table


def as_html(title: str, events: Sequence[Event], hidden: int) -> str:
    """Write events as an HTML table."""
    head = "".join(f"<th>{cell}</th>" for cell in _HEADS)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _row(event))}</tr>" for event in events)
    more = "".join(f"<p>{line}</p>" for line in _more(hidden))
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _more(hidden: int) -> Iterator[str]:
    if hidden > 0:
        yield f"… and {hidden:,} more"


def _row(event: Event) -> tuple[str, ...]:
    what = {**event.data, **({} if event.payload is None else event.payload)}
    shown = ", ".join(f"{name}={value!r}" for name, value in what.items())
    return (
        str(event.position),
        event.recorded_at.strftime("%Y-%m-%d %H:%M:%S.%f %Z").rstrip(),
        str(event.stream),
        str(event.version),
        event.type,
        event.actor or "",
        shown if len(shown) <= _WIDEST else shown[: _WIDEST - 1] + "…",
    )
