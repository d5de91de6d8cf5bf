"""SIGKILL under load, of the server and of its clients: what was acknowledged is there, and the log is sound.

Every writer notes down in a file what was acknowledged to it, in one write that no kill can tear, so that a killed
writer's notes count too. What was on its way when the connection broke may be there or not, but never in part.
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from lithair_sqla import embedded
from lithair_sqla.errors import ConnectionLostError
from lithair_sqla.schema.create import create_all
from lithair_sqla.store import EventStore, check_sequence
from lithair_sqla.types import NewEvent, StreamAppend, StreamId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

CLIENTS = 4


@pytest.fixture
def durable(server: embedded.PostgresServer) -> Iterator[embedded.PostgresServer]:
    """A server of the test's own that keeps what it acknowledges, of the kind that the session runs on."""
    if server.source not in {"system", "wheel"}:
        pytest.skip("only a server of our own can be killed")
    with embedded.postgres(source=server.source, durable=True, settings={"max_connections": 50}) as running:
        yield running


def _write(engine: Engine, number: int, notes: Path) -> None:
    """Append until killed, through every loss of the server."""
    file = os.open(notes, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    turn = 0
    while True:
        try:
            with engine.connect() as connection:
                while True:
                    turn += 1
                    os.write(file, _turn(connection, number, turn).encode())
        except (ConnectionLostError, OperationalError):
            time.sleep(0.02)


def _turn(connection: Any, number: int, turn: int) -> str:
    """One transaction; returns the line to note down once it is acknowledged."""
    store = EventStore(connection)
    mark = f"{number}-{os.getpid()}-{turn}"
    streams = [StreamId("Own", f"{number}-{random.randint(0, 5)}"), StreamId("Shared", str(random.randint(0, 3)))]
    events = [NewEvent("Written", {"mark": mark, "n": n}) for n in range(random.choice((1, 1, 3, 20)))]
    if random.random() < 0.3:
        store.append_many([StreamAppend(stream, events) for stream in streams])
    else:
        store.append_streams([StreamAppend(stream, events) for stream in streams], idempotency_key=mark)
    if random.random() < 0.1:
        connection.rollback()
        return ""
    connection.commit()
    return f"{mark} {len(events) * len(streams)}\n"


def _follow(engine: Engine, done: Any) -> list[int]:
    """Tail the log through every loss of the server; the place is the last event that was read."""
    read: list[int] = []
    while True:
        try:
            with engine.connect() as connection:
                store = EventStore(connection)
                while True:
                    is_last = done.is_set()
                    events = store.read_all(after=read[-1] if read else 0)
                    read += [event.position for event in events]
                    if is_last and not events:
                        return read
                    if not events:
                        time.sleep(0.005)
        except (ConnectionLostError, OperationalError):
            time.sleep(0.02)


def _prove(
    durable: embedded.PostgresServer, processes: Any, problems: Callable[..., Any], notes: Path, *, kills: int
) -> None:
    processes.url = durable.url
    engine = create_engine(durable.url, poolclass=NullPool)
    create_all(engine)
    done = processes.event()
    reader = processes.start(_follow, done)
    clients = [processes.start(_write, number, notes / str(number)) for number in range(CLIENTS)]
    for kill in range(kills):
        time.sleep(0.2 + random.random() * 0.4)
        victim = kill % CLIENTS
        if kill % 2:
            os.kill(clients[victim].process.pid, signal.SIGKILL)
            clients[victim].process.join()
        durable.kill()
        durable.start()
        with engine.connect() as connection:
            check_sequence(connection)
            assert problems(connection) == {}
        if kill % 2:
            clients[victim] = processes.start(_write, victim, notes / str(victim))
    time.sleep(0.3)
    for client in clients:
        client.process.kill()
        client.process.join()
    done.set()
    read = reader.result(60)

    acknowledged = dict(line.rsplit(" ", 1) for file in notes.iterdir() for line in file.read_text().splitlines())
    with engine.connect() as connection:
        assert problems(connection) == {}
        rows = connection.execute(
            text("SELECT data->>'mark' AS mark, count(*) AS events FROM lithair_events GROUP BY 1")
        )
        written = {row.mark: row.events for row in rows}
        positions = connection.execute(text("SELECT position FROM lithair_events ORDER BY position")).scalars().all()
    assert {mark: written.get(mark) for mark in acknowledged} == {mark: int(n) for mark, n in acknowledged.items()}
    assert read == list(positions), "the reader missed an event, or read one that a crash took back"
    # Beyond what was acknowledged there is at most what each client had on its way at each of its losses.
    assert len(written) - len(acknowledged) <= CLIENTS * (kills + 1)
    assert len(acknowledged) > kills


@pytest.mark.slow
def test_what_was_acknowledged_survives_kills_of_server_and_clients(
    durable: embedded.PostgresServer, processes: Any, problems: Callable[..., Any], tmp_path: Path
) -> None:
    _prove(durable, processes, problems, tmp_path, kills=20)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_nor_do_hundreds_of_kills_lose_anything(
    durable: embedded.PostgresServer, processes: Any, problems: Callable[..., Any], tmp_path: Path
) -> None:
    _prove(durable, processes, problems, tmp_path, kills=200)
