"""The screen: one page from which a newcomer sees what the product does."""

from __future__ import annotations

import io
import sys
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lithair_sqla import Event
from nycflights.data import new_york
from nycflights.outcome import Outcome, Rate

__all__ = ["show"]

_MOST_WIDTH = 96


def show(outcome: Outcome) -> None:
    """Print what a run found out."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without arrows shall not lose the rest
    console = Console(width=min(Console().width, _MOST_WIDTH), highlight=False)
    console.print(_head(outcome))
    for title, body in (
        ("The same writes, without the mixin and with it", _rates(outcome)),
        ("What happened to a flight", _stories(outcome)),
        (f"The fleet at {new_york(outcome.fleet.moment):%H:%M on %d %B %Y} in New York", _fleet(outcome)),
        ("A table is lost, and comes back", _recovery(outcome)),
        ("What it costs", _footprint(outcome)),
    ):
        console.print(Text(f"\n{title}", style="bold cyan"))
        console.print(Padding(body, (0, 0, 0, 2)))
    for problem in outcome.problems:
        console.print(Text(f"\n✗ {problem}", style="bold red"))


def _head(outcome: Outcome) -> RenderableType:
    return Panel(
        Text.assemble(
            (f"{outcome.flights:,} real flights", "bold"),
            f" out of New York in 2013, {outcome.never_left:,} of which never left: ",
            (f"{outcome.changes:,} changes, {outcome.events:,} events", "bold"),
            ". Row and event are one transaction; the models are ordinary SQLAlchemy.",
        ),
        title="lithair_sqla",
        subtitle=f"{outcome.server}, {outcome.seconds:.0f} seconds",
        box=box.ROUNDED,
        padding=(0, 1),
    )


def _rates(outcome: Outcome) -> Table:
    table = _table("", ">rows", ">rows/s", ">with the mixin", ">× as long")
    whole = Rate(
        step="all",
        rows=sum(rate.rows for rate in outcome.rates),
        seconds=sum(rate.seconds for rate in outcome.rates),
        plain_seconds=sum(rate.plain_seconds for rate in outcome.rates),
    )
    for rate in (*outcome.rates, whole):
        table.add_row(
            rate.step,
            f"{rate.rows:,}",
            f"{rate.rows / rate.plain_seconds:,.0f}",
            f"{rate.rows / rate.seconds:,.0f}",
            f"{rate.ratio:.2f}",
            style="bold" if rate is whole else "",
        )
    return table


def _stories(outcome: Outcome) -> Group:
    parts: list[RenderableType] = []
    for story in outcome.stories:
        parts.append(Text.assemble((f"{story.flight}, {story.route}", "bold"), f": {story.remark}"))
        table = _table(">v", "event", "columns", "by", ">position", header=not parts[1:])
        table.expand = True
        for column, width in zip(table.columns, (2, 15, None, 8, 8), strict=True):
            column.width, column.ratio = width, None if width else 1
        for event in story.events:
            table.add_row(f"{event.version}", event.type, _changes(event), event.actor or "", f"{event.position:,}")
        parts.append(table)
    return Group(*parts)


def _changes(event: Event) -> str:
    if len(event.data) > 4:
        return f"all {len(event.data)}"
    return ", ".join(f"{name} {_value(value)}" for name, value in event.data.items())


def _value(value: Any) -> str:
    text = str(value)
    return f"{new_york(datetime.fromisoformat(text)):%d %b %H:%M}" if text[10:11] == "T" else text


def _fleet(outcome: Outcome) -> Group:
    fleet = outcome.fleet
    counts = " · ".join(f"{count:,} {phase}" for phase, count in fleet.phases.most_common())
    leaders = " · ".join(f"{_short(airline)} {count}" for airline, count in fleet.airborne.most_common(4))
    lines = [
        Text(counts, style="bold"),
        Text(f"in the air for {leaders} …"),
        *(
            Text(
                f"  {plane.flight} {plane.route}, left {new_york(plane.departed_at or fleet.moment):%H:%M} "
                f"({plane.departure_delay or 0:+} min), {plane.plane}"
            )
            for plane in fleet.planes
        ),
        Text(
            f"as_of(session, {fleet.position}), {fleet.events:,} events: two ORM queries in {fleet.seconds:.2f} s; "
            "no row remembers it",
            style="dim",
        ),
    ]
    return Group(*lines)


def _short(airline: str) -> str:
    return airline.removesuffix(" Inc.").removesuffix(" Co.").removesuffix(" Lines").removesuffix(" Air")


def _recovery(outcome: Outcome) -> Table:
    recovery, verdict = outcome.recovery, outcome.verdict
    table = _table("", "", header=False)
    table.add_row("TRUNCATE flight", Text(recovery.refusal.partition(". ")[0]))
    table.add_row("the same, guard off", f"audit: {recovery.lost:,} rows missing")
    table.add_row(
        "rebuild(engine, Flight)",
        f"{recovery.rebuilt:,} rows in {recovery.seconds:.1f} s ({recovery.rebuilt / recovery.seconds:,.0f} rows/s)",
    )
    table.add_row("compared with the plain table", f"{recovery.differences:,} rows differ")
    table.add_row(
        Text("audit of every table", style="bold"),
        Text(
            f"{'clean' if verdict.clean else 'NOT CLEAN'}: {verdict.events:,} events, replayed, make the "
            f"{verdict.rows:,} rows, value for value ({verdict.seconds:.1f} s)",
            style="bold green" if verdict.clean else "bold red",
        ),
    )
    return table


def _footprint(outcome: Outcome) -> Text:
    size = outcome.footprint
    return Text.assemble(
        (f"{size.log_bytes / size.events:,.0f} bytes an event", "bold"),
        f" ({size.events:,} events, {size.log_bytes / 1e6:,.1f} MB) and ",
        (f"{size.stream_bytes / size.streams:,.0f} a stream", "bold"),
        f" ({size.streams:,} streams, {size.stream_bytes / 1e6:,.1f} MB), indexes included.\n"
        f"The flights' own table takes {size.table_bytes / 1e6:,.1f} MB. This program took "
        f"{outcome.peak_memory_mb:.0f} MB at most, however many flights.",
    )


def _table(*columns: str, header: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, show_header=header, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left")
    return table
