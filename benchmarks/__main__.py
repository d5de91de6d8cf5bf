"""``python -m benchmarks``: run the benchmark, print a report of a result, compare two results."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks import compare, report
from benchmarks.records import load, save
from benchmarks.registry import SUBJECTS, WORKLOADS
from benchmarks.runner import run

DEFAULT_FOLDER = Path("benchmarks/results")
"""Not part of the repository; the published figures stand in docs/reference/benchmarks."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    chosen: int = options.command(options)
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True)

    running = commands.add_parser("run", help="measure, and write results.json, results.md and results.svg")
    running.add_argument("--full", action="store_true", help="all sizes (within an hour) and not only the short ones")
    running.add_argument("--only", type=_names(WORKLOADS), default=list(WORKLOADS), metavar="NAME,…")
    running.add_argument("--subjects", type=_names(SUBJECTS), default=list(SUBJECTS), metavar="NAME,…")
    running.add_argument("--rounds", type=int, help="at most so many for every case: to try the program")
    running.add_argument("--into", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER", help="default: %(default)s")
    running.set_defaults(command=_run)

    reporting = commands.add_parser("report", help="write results.md and results.svg beside a results.json")
    reporting.add_argument("result", type=Path)
    reporting.set_defaults(command=_report)

    comparing = commands.add_parser("compare", help="two results: what got better, what got worse")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument(
        "--fail-above", type=float, metavar="PERCENT", help="exit with 1 where a figure of ours got worse by more"
    )
    comparing.set_defaults(command=_compare)

    listing = commands.add_parser("list", help="the workloads and the subjects")
    listing.set_defaults(command=_list)
    return parser


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        asked = {name.strip() for name in text.split(",") if name.strip()}
        if unknown := asked.difference(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}")
        return [name for name in known if name in asked]

    return names


def _run(options: argparse.Namespace) -> int:
    # SIGTERM ends the run like Ctrl-C, so that server and workers are ended in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    result = run(
        options.only, scale="full" if options.full else "short", subjects=options.subjects, rounds=options.rounds
    )
    path = options.into / "results.json"
    save(result, path)
    _say(report.write(result, options.into))
    _say(f"\nWritten: {path}, results.md and results.svg beside it, in {result.seconds:,.0f} seconds")
    if result.interrupted:
        _say("Interrupted: only the workloads that were done are reported")
    for what, error in result.failures.items():
        _say(f"FAILED: {what}: {error.strip().splitlines()[-1]}")
    return 1 if result.failures or result.interrupted else 0


def _report(options: argparse.Namespace) -> int:
    _say(report.write(load(options.result), options.result.parent))
    return 0


def _compare(options: argparse.Namespace) -> int:
    changes = compare.changes(load(options.before), load(options.after))
    _say(compare.table(changes))
    if options.fail_above is None:
        return 0
    worse = [change for change in changes if change.subject == "ours" and change.worse_percent > options.fail_above]
    return 1 if worse else 0


def _list(_: argparse.Namespace) -> int:
    _say("workloads: " + ", ".join(WORKLOADS))
    for name, what in SUBJECTS.items():
        _say(f"{name:<24} {what}")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
