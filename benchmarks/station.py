"""The other end of a worker: a subject's processes and its database, for the length of one case."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

from benchmarks.workload import Case, NotPossible, Sample, Workload
from lithair_sqla.embedded import PostgresServer

__all__ = ["Station", "WorkerFailed"]

ANSWER_SECONDS = 900
"""Longer than any step of any workload takes: a worker that is silent for so long hangs."""

END_SECONDS = 10


class WorkerFailed(Exception):  # noqa: N818 - named after what happened, not after its base
    """A worker raised, died or hangs; the text is its traceback."""


class Worker:
    """One process, asked and answered in lines of JSON."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def send(self, do: str, **more: Any) -> None:
        """Ask for a step; the answer is fetched by `receive`, so several workers can be at it together.

        Raises:
            WorkerFailed: the process is gone.
        """
        if self._process.stdin is None:
            raise WorkerFailed("the worker's input is closed")
        try:
            self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerFailed(f"the worker ended with code {self._process.wait()}") from error

    def receive(self) -> Any:
        """Wait for the answer.

        Raises:
            NotPossible: the subject cannot do what was asked.
            WorkerFailed: it raised, died or hangs.
        """
        output = self._process.stdout
        if output is None or not select.select([output], [], [], ANSWER_SECONDS)[0]:
            raise WorkerFailed(f"no answer within {ANSWER_SECONDS} seconds")
        line = output.readline()
        if not line:
            raise WorkerFailed(f"the worker ended with code {self._process.wait()}")
        answer = json.loads(line)
        if "skipped" in answer:
            raise NotPossible(answer["skipped"])
        if "failed" in answer:
            raise WorkerFailed(answer["failed"])
        return answer["done"]

    def end(self) -> None:
        """Let the process end, and end it where it does not."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Station:
    """A subject at one case: a database of its own and as many processes as the workload wants.

    Args:
        server: where the database is made.
        kind: the workload.
        case: its case.
        subject: who works.
    """

    def __init__(self, server: PostgresServer, kind: type[Workload], case: Case, subject: str) -> None:
        self.subject = subject
        self._kind = kind
        self._case = case
        self._members = kind.members(case)
        self._workers: list[Worker] = []
        self._leaving = ExitStack()
        name = f"lithair_bench_{uuid4().hex[:12]}"
        url = server.create_database(name)
        self._leaving.callback(server.drop_database, name)
        self._url = url.render_as_string(hide_password=False)

    def open(self) -> None:
        """Start the processes; `prepare` waits for them."""
        for member in range(self._members):
            worker = Worker()
            self._leaving.callback(worker.end)
            self._workers.append(worker)
            worker.send(
                "open",
                workload=self._kind.name,
                case=self._case.label,
                subject=self.subject,
                url=self._url,
                member=member,
                members=self._members,
            )

    def prepare(self) -> None:
        """Let the first process make the tables, then the others join.

        Raises:
            NotPossible: the subject cannot do this.
            WorkerFailed: a worker failed.
        """
        for worker in self._workers:
            worker.receive()
        for worker in self._workers:
            worker.send("prepare")
            worker.receive()

    def round(self) -> dict[str, float]:
        """Let all processes do one round at once, and make one sample of theirs.

        Raises:
            NotPossible: the subject cannot do this.
            WorkerFailed: a worker failed.
        """
        for worker in self._workers:
            worker.send("round")
        samples: list[Sample] = [worker.receive() for worker in self._workers]
        return self._kind.combine(samples)

    def check(self) -> None:
        """Let the first process prove that the work was done.

        Raises:
            WorkerFailed: it was not, or a worker failed.
        """
        self._workers[0].send("check")
        self._workers[0].receive()

    def close(self) -> None:
        """End the processes and drop the database."""
        self._leaving.close()
