"""Progress with rate and time left: a bar on a terminal, a line every tenth elsewhere; always on the error output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

__all__ = ["meter"]


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s", style="progress.data.speed")


@contextmanager
def meter(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far a task is.

    Args:
        title: of the task.
        total: what it has to do.

    Yields:
        A function to call with how much is done by now.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(title, total)
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, refresh_per_second=5) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)


def _lines(title: str, total: int) -> Callable[[int], None]:
    started = perf_counter()
    printed = 0

    def report(done: int) -> None:
        nonlocal printed
        tenth = 10 * done // max(total, 1)
        if tenth > printed:
            printed = tenth
            rate = done / (perf_counter() - started)
            left = (total - done) / rate
            sys.stderr.write(f"{title}: {done:,} of {total:,}, {rate:,.0f}/s, {left:.0f} s left\n")
            sys.stderr.flush()

    return report
