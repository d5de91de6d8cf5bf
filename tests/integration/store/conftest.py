"""What the tests of the store share: a database with the library in it, processes of their own, and what must hold."""

from __future__ import annotations

import multiprocessing
import random
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import NullPool, create_engine, text

from lithair_sqla.schema.create import create_all
from lithair_sqla.store import EventStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection as Pipe
    from multiprocessing.process import BaseProcess

    from sqlalchemy import URL, Connection, Engine

    from lithair_sqla import embedded

# Processes of a test's own must see its functions without importing them: they are forked.
_FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="session")
def library_template(server: embedded.PostgresServer) -> Iterator[str]:
    """A database with the library's objects, to be copied: that takes half the time of making them."""
    name = f"lithair_template_{uuid4().hex[:12]}"
    engine = create_engine(server.create_database(name), poolclass=NullPool)
    create_all(engine)
    yield name
    server.drop_database(name)


@pytest.fixture
def template(request: pytest.FixtureRequest) -> str | None:
    """What the test's database is a copy of: one with the library where the test asks for it, else an empty one."""
    found: str | None = request.getfixturevalue("library_template") if "library" in request.fixturenames else None
    return found


@pytest.fixture
def database_url(server: embedded.PostgresServer, template: str | None) -> Iterator[URL]:
    """A database of the test's own, gone after it."""
    name = f"lithair_test_{uuid4().hex[:12]}"
    yield server.create_database(name, template=template, strategy="file_copy" if server.version >= (15, 0) else None)
    server.drop_database(name)


@pytest.fixture
def library(engine: Engine) -> Engine:
    """An engine on a database that has the library's objects, and nothing else."""
    return engine


@pytest.fixture
def connection(library: Engine) -> Iterator[Connection]:
    """A connection on that database; what is not committed is rolled back."""
    with library.connect() as made:
        yield made


@pytest.fixture
def store(connection: Connection) -> EventStore:
    """A store on that connection."""
    return EventStore(connection)


@pytest.fixture(scope="session")
def shared_engine(server: embedded.PostgresServer, library_template: str) -> Iterator[Engine]:
    """An engine on a database that many tests share, since none of them commits."""
    name = f"lithair_shared_{uuid4().hex[:12]}"
    made = create_engine(server.create_database(name, template=library_template))
    yield made
    made.dispose()
    server.drop_database(name)


@pytest.fixture
def scratch(shared_engine: Engine) -> Iterator[EventStore]:
    """A store whose every event is rolled back with the test: made in a moment, blind to the horizon."""
    with shared_engine.connect() as connection:
        yield EventStore(connection)


@dataclass
class Running:
    """A process at work, and the pipe by which it answers."""

    process: BaseProcess
    pipe: Pipe

    def result(self, timeout: float = 60) -> Any:
        """Wait for what the function returns; an exception in it fails the test."""
        assert self.pipe.poll(timeout), f"{self.process.name} gave no answer in {timeout} s"
        outcome, value = self.pipe.recv()
        self.process.join(timeout)
        assert outcome == "returned", value
        return value


class Processes:
    """Starts functions in processes of their own; each is given an engine of its own, then the arguments."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.started: list[Running] = []

    def start(self, function: Callable[..., Any], *arguments: Any) -> Running:
        """Start one."""
        here, there = _FORK.Pipe()
        number = len(self.started)
        process = _FORK.Process(
            target=_work, args=(self.url, there, number, function, arguments), name=f"{function.__name__}-{number}"
        )
        process.start()
        running = Running(process, here)
        self.started.append(running)
        return running

    def run(self, count: int, function: Callable[..., Any], *arguments: Any, timeout: float = 60) -> list[Any]:
        """Run ``count`` of the same, let them begin at the same moment, and return what they return."""
        barrier = _FORK.Barrier(count)
        started = [self.start(_together, barrier, function, number, *arguments) for number in range(count)]
        return [running.result(timeout) for running in started]

    def event(self) -> Any:
        """Make an event that processes share."""
        return _FORK.Event()

    def close(self) -> None:
        """End what still runs."""
        for running in self.started:
            if running.process.is_alive():
                running.process.kill()
            running.process.join()
            running.pipe.close()


def _work(url: URL, pipe: Pipe, number: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    random.seed(number)
    try:
        pipe.send(("returned", function(create_engine(url, poolclass=NullPool), *arguments)))
    except BaseException:  # noqa: BLE001 - the test shows it
        pipe.send(("raised", traceback.format_exc()))


def _together(engine: Engine, barrier: Any, function: Callable[..., Any], number: int, *arguments: Any) -> Any:
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        barrier.wait(60)
    return function(engine, number, *arguments)


@pytest.fixture
def processes(database_url: URL) -> Iterator[Processes]:
    """Processes on the test's database, all ended with the test."""
    made = Processes(database_url)
    yield made
    made.close()


_PROBLEMS = {
    "an event without a stream": "SELECT e.position FROM lithair_events e WHERE NOT EXISTS "
    "(SELECT FROM lithair_streams s WHERE s.id = e.stream_id)",
    "a stream whose version is not the number of its events": "SELECT s.name, s.key, s.version, count(e.position) "
    "FROM lithair_streams s LEFT JOIN lithair_events e ON e.stream_id = s.id GROUP BY s.id "
    "HAVING s.version <> count(e.position)",
    "a stream whose versions have gaps": "SELECT stream_id FROM lithair_events GROUP BY stream_id "
    "HAVING min(version) <> 1 OR max(version) <> count(*)",
    "a stream whose positions do not follow its versions": "SELECT stream_id, version FROM (SELECT stream_id, version, "
    "position - lag(position) OVER (PARTITION BY stream_id ORDER BY version) AS step FROM lithair_events) s "
    "WHERE step <= 0",
    "a stream that begins below its first position": "SELECT s.id FROM lithair_streams s JOIN lithair_events e "
    "ON e.stream_id = s.id AND e.position < s.first_position",
    "a transaction that is not called after its first event": "SELECT transaction_id FROM lithair_events "
    "GROUP BY transaction_id HAVING min(position) < transaction_id",
    "a sequence below the log": "SELECT last_value FROM lithair_position WHERE last_value < "
    "(SELECT max(position) FROM lithair_events)",
}


def problems_of(connection: Connection) -> dict[str, list[Any]]:
    """Look for everything that must never be in a log."""
    found = {name: connection.execute(text(query)).all() for name, query in _PROBLEMS.items()}
    return {name: list(rows[:10]) for name, rows in found.items() if rows}


@pytest.fixture
def problems() -> Callable[[Connection], dict[str, list[Any]]]:
    """A look for everything that must never be in a log: an empty dict is a sound log."""
    return problems_of


@pytest.fixture
def sound(library: Engine) -> Iterator[None]:
    """At the test's end, its log is sound."""
    yield
    with library.connect() as connection:
        assert problems_of(connection) == {}
