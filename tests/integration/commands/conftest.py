"""One database for each module here, with the tables of the module's ``Base``: tests use objects of their own in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.orm import Session

from lithair_sqla import create_all

if TYPE_CHECKING:
    from lithair_sqla import embedded


@pytest.fixture(scope="module")
def database_url(server: embedded.PostgresServer) -> Iterator[URL]:
    """A database of the module's own, gone after it."""
    name = f"lithair_test_{uuid4().hex[:12]}"
    yield server.create_database(name, strategy="file_copy" if server.version >= (15, 0) else None)
    server.drop_database(name)


@pytest.fixture(scope="module")
def engine(database_url: URL, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine on the module's database, which has the tables of the module's ``Base``."""
    made = create_engine(database_url)
    create_all(made, request.module.Base)
    yield made
    made.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on the module's database."""
    with Session(engine) as opened:
        yield opened


class Process:
    """Another process, talked to line by line."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, line: str = "go") -> None:
        """Send a line."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def hear(self) -> str:
        """Wait for a line."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, f"the process ended with {self.popen.wait()}"
        return line.rstrip("\n")

    def end(self) -> str:
        """Wait for the end; answers what was printed since."""
        out, _ = self.popen.communicate(timeout=60)
        assert self.popen.returncode == 0, out
        return out.strip()


@pytest.fixture
def process(database_url: URL) -> Iterator[Callable[..., Process]]:
    """Start Python code in another process, whose first argument is the database's URL."""
    started: list[Process] = []

    def start(code: str, *arguments: str) -> Process:
        started.append(Process(code, database_url.render_as_string(hide_password=False), *arguments))
        return started[-1]

    yield start
    for running in started:
        if running.popen.poll() is None:
            running.popen.kill()
            running.popen.wait()
        for stream in (running.popen.stdin, running.popen.stdout):
            if stream is not None:
                stream.close()
