"""The async façade: each method once, against the same log."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from lithair_sqla import context
from lithair_sqla.errors import ConcurrencyError, ConnectionLostError, InvalidEventError, StoreError
from lithair_sqla.store import AsyncEventStore, EventStore
from lithair_sqla.types import ExpectedVersion, NewEvent, StreamAppend, StreamId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy import URL, Engine

pytestmark = pytest.mark.usefixtures("sound")

ACCOUNT = ("Account", "42")


@pytest.fixture
def run(library: Engine, database_url: URL) -> Callable[[Callable[[AsyncConnection], Awaitable[None]]], None]:
    """Run a coroutine function with an async connection."""

    async def connected(function: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        engine = create_async_engine(database_url)
        try:
            async with engine.connect() as connection:
                await function(connection)
        finally:
            await engine.dispose()

    return lambda function: asyncio.run(connected(function))


def test_the_facade_has_the_stores_methods_with_the_stores_parameters() -> None:
    for name, method in inspect.getmembers(EventStore, inspect.isfunction):
        if not name.startswith("_"):
            ours = inspect.signature(getattr(AsyncEventStore, name)).parameters
            theirs = inspect.signature(method).parameters
            assert list(ours) == list(theirs), name
            assert [each.default for each in ours.values()] == [each.default for each in theirs.values()], name


def test_every_method(run: Callable[..., None]) -> None:
    async def collect(items: AsyncIterator[object]) -> int:
        return len([item async for item in items])

    async def scenario(connection: AsyncConnection) -> None:
        store = AsyncEventStore(connection)
        with context(user_id="ana"):
            result = await store.append(ACCOUNT, NewEvent("Set", {"a": 1}), expected=ExpectedVersion.NO_STREAM)
        assert result.positions == (1,)
        appends = [
            StreamAppend(StreamId("Meter", str(number)), [NewEvent("Read", {"n": number})]) for number in range(25)
        ]
        assert (await store.append_streams(appends[:2])).versions == (1, 1)
        assert (await store.append_many(appends, batch_size=10)).events == 25
        await store.save_snapshot(ACCOUNT, 1, {"a": 1})
        await connection.commit()
        [event] = await store.read_stream(ACCOUNT)
        assert (event.actor, event.data) == ("ana", {"a": 1})
        assert await collect(store.iter_stream(ACCOUNT)) == 1
        assert await store.horizon() == 28
        assert len(await store.read_all(after=5, limit=7)) == 7
        assert await collect(store.iter_all(names=["Meter"], page=10)) == 27
        assert await store.load(ACCOUNT) == ({"a": 1}, 1)
        assert (await store.snapshot(ACCOUNT)) is not None
        assert (await store.stream(("Meter", "0"))) is not None
        assert len(await store.streams("Meter", limit=5)) == 5
        assert await collect(store.iter_streams("Meter", page=10)) == 25

    run(scenario)


def test_errors_are_the_same(run: Callable[..., None], library: Engine) -> None:
    async def scenario(connection: AsyncConnection) -> None:
        store = AsyncEventStore(connection)
        with pytest.raises(ConcurrencyError):
            await store.append(ACCOUNT, NewEvent("Set"), expected=3)
        await connection.rollback()
        bad = [NewEvent("Set"), NewEvent("Set", {"a": float("nan")})]
        with pytest.raises(InvalidEventError, match="event 1"):
            await store.append_many([StreamAppend(StreamId(*ACCOUNT), bad)])
        assert await store.read_stream(ACCOUNT) == []
        pid = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()

        def appends() -> object:
            yield StreamAppend(StreamId("Meter", "0"), [NewEvent("Read")] * 600)
            with library.connect() as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)")
            yield StreamAppend(StreamId("Meter", "0"), [NewEvent("Read")] * 600)

        with pytest.raises(ConnectionLostError):
            await store.append_many(appends(), batch_size=600)  # type: ignore[arg-type]

    run(scenario)


def test_a_connection_that_is_not_open_is_refused(database_url: URL) -> None:
    engine = create_async_engine(database_url)
    with pytest.raises(StoreError, match="not open yet"):
        AsyncEventStore(engine.connect())
