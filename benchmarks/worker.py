"""One process that works for one subject: it reads requests from its standard input and answers on standard output.

A request is a line of JSON with ``do``: ``open`` (with the workload, the case and the place), ``prepare``, ``round``,
or ``check``. An answer is a line of JSON: ``{"done": …}``, ``{"skipped": reason}`` or ``{"failed": error}``.
A peer that needs another environment would be run by another Python: nothing but these lines passes between the two.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import IO, Any

from sqlalchemy import make_url

from benchmarks.registry import workload
from benchmarks.workload import NotPossible, Place, Workload


def main() -> int:
    """Serve requests until the standard input ends."""
    # Ctrl-C reaches every process of the terminal; the one that started this one decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not stand among the answers
    serve(sys.stdin, answers)
    return 0


def _end_with(parent: int) -> None:
    """End the process, whatever it does, once its parent is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer every request in turn."""
    at_work: Workload | None = None
    prepared = False
    for line in requests:
        request = json.loads(line)
        answer: dict[str, Any]
        try:
            if request["do"] == "open":
                at_work = _open(request)
                answer = {"done": None}
            else:
                answer = {"done": _step(at_work, request["do"])}
                prepared = True
        except NotPossible as reason:
            answer = {"skipped": str(reason)}
        except Exception:  # noqa: BLE001 - whatever a peer raises is its result, told in full to the other side
            answer = {"failed": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    if at_work is not None and prepared:
        at_work.close()


def _step(at_work: Workload | None, name: str) -> Any:
    if at_work is None:
        raise RuntimeError(f"{name!r} before 'open'")
    steps: dict[str, Callable[[], Any]] = {
        "prepare": at_work.prepare,
        "round": at_work.round,
        "check": at_work.check,
    }
    return steps[name]()


def _open(request: dict[str, Any]) -> Workload:
    kind = workload(request["workload"])
    (case,) = [case for case in kind.cases if case.label == request["case"]]
    place = Place(
        subject=request["subject"],
        url=make_url(request["url"]),
        member=request["member"],
        members=request["members"],
    )
    return kind(place, case)


if __name__ == "__main__":
    sys.exit(main())
