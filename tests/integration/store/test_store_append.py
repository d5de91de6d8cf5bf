"""Appending: positions and versions, what is expected of a stream, idempotency keys, who and why, transactions."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import text

from lithair_sqla import context
from lithair_sqla.errors import CommandError, ConcurrencyError, DuplicateCommand, InvalidEventError
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.create import create_all
from lithair_sqla.store import EventStore
from lithair_sqla.types import (
    AppendResult,
    ExpectedVersion,
    Kind,
    NewEvent,
    StreamAppend,
    StreamId,
    StreamStatus,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

pytestmark = pytest.mark.usefixtures("sound")

ACCOUNT = StreamId("Account", "42")
DEPOSITED = NewEvent("Deposited", {"balance": 100})
WITHDRAWN = NewEvent("Withdrawn", {"balance": 70})


def test_the_first_event_of_a_fresh_log_is_at_position_1_version_1(store: EventStore) -> None:
    assert store.append(ACCOUNT, DEPOSITED) == AppendResult((1,), (1,))


def test_events_get_positions_and_versions_in_the_order_given(store: EventStore) -> None:
    store.append(ACCOUNT, DEPOSITED)
    assert store.append(ACCOUNT, [WITHDRAWN, DEPOSITED, WITHDRAWN]) == AppendResult((2, 3, 4), (2, 3, 4))


def test_a_stream_may_be_written_as_a_pair(store: EventStore) -> None:
    store.append(("Account", "42"), DEPOSITED)
    assert store.read_stream(ACCOUNT)[0].stream == ACCOUNT


def test_everything_an_event_carries_comes_back(store: EventStore) -> None:
    own = UUID("11111111-2222-3333-4444-555555555555")
    correlation, causation = UUID(int=1), UUID(int=2)
    event = NewEvent(
        "Moved",
        {"x": 1, "y": {"z": [1, 2.5, None, True, "ü"]}},
        payload={"by": "hand"},
        kind=Kind.UPDATE,
        schema_version=7,
        event_id=own,
        meta={"host": "a", "shared": "event"},
    )
    with context(user_id="ana", correlation_id=correlation, causation_id=causation, meta={"app": "x", "shared": "ctx"}):
        EventStore(store._channel.connection, config=StorageConfig(node_id=9)).append(ACCOUNT, event)
    [found] = store.read_stream(ACCOUNT)
    assert (found.type, found.kind, found.schema_version) == ("Moved", Kind.UPDATE, 7)
    assert found.data == event.data
    assert found.payload == event.payload
    assert found.event_id == own
    assert (found.actor, found.correlation_id, found.causation_id, found.node_id) == ("ana", correlation, causation, 9)
    assert found.meta == {"app": "x", "host": "a", "shared": "event"}
    assert found.transaction_id == found.position
    assert found.recorded_at.tzinfo is not None


def test_without_a_context_the_actor_is_the_session_user(store: EventStore, connection: Connection) -> None:
    store.append(ACCOUNT, DEPOSITED)
    assert store.read_stream(ACCOUNT)[0].actor == connection.exec_driver_sql("SELECT session_user").scalar()


def test_an_event_without_an_id_has_the_one_that_the_database_derives(
    store: EventStore, connection: Connection
) -> None:
    store.append(ACCOUNT, [DEPOSITED, WITHDRAWN])
    in_database = connection.exec_driver_sql("SELECT event_id FROM lithair_event_log ORDER BY position").scalars().all()
    assert [event.event_id for event in store.read_stream(ACCOUNT)] == in_database


def test_many_streams_go_in_one_statement_and_answer_in_the_order_given(
    library: Engine, count_statements: Callable[..., Any]
) -> None:
    appends = [
        StreamAppend(StreamId("Account", key), [DEPOSITED, WITHDRAWN][: 1 + index % 2])
        for index, key in enumerate(("z", "a", "m"))
    ]
    with library.connect() as connection:
        store = EventStore(connection)
        store.append(ACCOUNT, DEPOSITED)  # so that the store's names are known
        with count_statements(library) as counted:
            result = store.append_streams(appends)
        assert len(counted) == 1
        assert result == AppendResult((2, 3, 4, 5), (1, 1, 2, 1))
        assert [event.stream.key for key in ("z", "a", "m") for event in store.read_stream(("Account", key))] == [
            "z",
            "a",
            "a",
            "m",
        ]
        connection.commit()


def test_one_append_is_one_statement(library: Engine, count_statements: Callable[..., Any]) -> None:
    with library.connect() as connection:
        EventStore(connection).horizon()
    with library.begin() as connection, count_statements(library) as counted:
        EventStore(connection).append(ACCOUNT, DEPOSITED, expected=ExpectedVersion.NO_STREAM, idempotency_key="k")
    assert len(counted) == 1


def test_no_streams_are_nothing_to_do(store: EventStore) -> None:
    assert store.append_streams([]) == AppendResult((), ())
    assert store.horizon() == 0


# ------------------------------------------------------------------------------------------------- what is expected


def test_a_conflict_names_every_stream_and_says_what_to_do(store: EventStore, connection: Connection) -> None:
    streams = [StreamId("Account", str(number)) for number in range(8)]
    store.append_streams([StreamAppend(stream, [DEPOSITED]) for stream in streams])
    with pytest.raises(ConcurrencyError) as caught, connection.begin_nested():
        store.append_streams([StreamAppend(stream, [WITHDRAWN], expected=3) for stream in reversed(streams)])
    assert [conflict.stream for conflict in caught.value.conflicts] == streams[::-1]
    message = str(caught.value)
    assert message.startswith("[LTH301] Account(7): expected version 3, is at version 1; ")
    assert "3 more" in message
    assert caught.value.__cause__ is not None
    assert pickle.loads(pickle.dumps(caught.value)).conflicts == caught.value.conflicts  # noqa: S301 - our own


def test_a_refused_append_writes_nothing_and_uses_up_no_position(store: EventStore, connection: Connection) -> None:
    store.append(ACCOUNT, DEPOSITED)
    for _ in range(3):
        with pytest.raises(ConcurrencyError), connection.begin_nested():
            store.append_streams(
                [StreamAppend(StreamId("Account", "new"), [DEPOSITED]), StreamAppend(ACCOUNT, [WITHDRAWN], expected=9)]
            )
    assert store.stream(("Account", "new")) is None
    assert store.append(ACCOUNT, WITHDRAWN).positions == (2,)


def test_one_stream_twice_in_an_append_is_refused_before_anything_is_sent(
    store: EventStore, library: Engine, count_statements: Callable[..., Any]
) -> None:
    with count_statements(library) as counted, pytest.raises(InvalidEventError, match=r"Account\(42\) stands twice"):
        store.append_streams([StreamAppend(ACCOUNT, [DEPOSITED]), StreamAppend(ACCOUNT, [WITHDRAWN])])
    assert len(counted) == 0


# ------------------------------------------------------------------------------------------------- the stream's status


def test_a_delete_ends_a_stream_and_a_later_event_opens_it_again(store: EventStore) -> None:
    def status() -> StreamStatus:
        found = store.stream(ACCOUNT)
        assert found is not None
        return found.status

    store.append(ACCOUNT, [DEPOSITED, NewEvent("Closed", kind=Kind.DELETE)])
    assert status() is StreamStatus.DELETED
    store.append(ACCOUNT, NewEvent("Seen", payload={"by": "ana"}, kind=Kind.NOTE))
    assert status() is StreamStatus.DELETED
    store.append(ACCOUNT, [NewEvent("Closed", kind=Kind.DELETE), DEPOSITED])
    assert status() is StreamStatus.OPEN
    store.append_streams(
        [StreamAppend(ACCOUNT, [NewEvent("Closed", kind=Kind.DELETE), NewEvent("Seen", kind=Kind.NOTE)])]
    )
    assert status() is StreamStatus.DELETED


# ------------------------------------------------------------------------------------------------- idempotency


def test_a_second_append_under_a_key_answers_with_the_first_ones_events(store: EventStore) -> None:
    store.append(("Account", "1"), DEPOSITED)
    first = store.append(ACCOUNT, [DEPOSITED, WITHDRAWN], idempotency_key="command-1")
    store.append(("Account", "1"), DEPOSITED)
    again = store.append(ACCOUNT, [DEPOSITED, WITHDRAWN], idempotency_key="command-1")
    assert not first.duplicate
    assert again == AppendResult(first.positions, first.versions, duplicate=True)
    assert len(store.read_stream(ACCOUNT)) == 2


def test_a_repeated_command_may_expect_what_its_first_run_left(store: EventStore) -> None:
    store.append(ACCOUNT, DEPOSITED, expected=0, idempotency_key="k")
    assert store.append(ACCOUNT, DEPOSITED, expected=1, idempotency_key="k").duplicate
    assert store.append(ACCOUNT, DEPOSITED, expected=0, idempotency_key="k").duplicate


def test_the_order_of_fields_does_not_make_it_another_command(store: EventStore) -> None:
    store.append(ACCOUNT, NewEvent("Set", {"a": 1, "b": {"c": 2, "d": 3}}), idempotency_key="k")
    assert store.append(ACCOUNT, NewEvent("Set", {"b": {"d": 3, "c": 2}, "a": 1}), idempotency_key="k").duplicate


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        (ACCOUNT, WITHDRAWN),
        (StreamId("Account", "43"), DEPOSITED),
        (ACCOUNT, NewEvent("Deposited", {"balance": 100}, payload={"x": 1})),
    ],
)
def test_a_key_used_for_another_command_is_refused(
    store: EventStore, connection: Connection, stream: StreamId, event: NewEvent
) -> None:
    store.append(ACCOUNT, DEPOSITED, idempotency_key="k")
    with pytest.raises(DuplicateCommand, match="its events stand at 1") as caught, connection.begin_nested():
        store.append(stream, event, idempotency_key="k")
    assert (caught.value.key, caught.value.positions) == ("k", (1,))


def test_a_key_whose_append_was_rolled_back_is_free(store: EventStore, connection: Connection) -> None:
    savepoint = connection.begin_nested()
    store.append(ACCOUNT, DEPOSITED, idempotency_key="k")
    savepoint.rollback()
    assert not store.append(ACCOUNT, WITHDRAWN, idempotency_key="k").duplicate


def test_an_expired_key_is_free(store: EventStore, connection: Connection) -> None:
    store.append(ACCOUNT, DEPOSITED, idempotency_key="k", idempotency_ttl=timedelta(microseconds=1))
    connection.exec_driver_sql("SELECT pg_sleep(0.01)")
    assert not store.append(ACCOUNT, DEPOSITED, idempotency_key="k").duplicate
    assert store.append(ACCOUNT, DEPOSITED, idempotency_key="k").duplicate


def test_a_key_of_the_context_covers_its_block_and_is_refused_afterwards(
    store: EventStore, connection: Connection
) -> None:
    with context(idempotency_key="k"):
        store.append(ACCOUNT, DEPOSITED)
        store.append(ACCOUNT, WITHDRAWN)
        store.append_many([StreamAppend(ACCOUNT, [DEPOSITED])])
    assert len(store.read_stream(ACCOUNT)) == 3
    with context(idempotency_key="k"):
        with pytest.raises(DuplicateCommand), connection.begin_nested():
            store.append(ACCOUNT, DEPOSITED)
        with pytest.raises(DuplicateCommand):
            store.append_many([StreamAppend(ACCOUNT, [DEPOSITED])])
        assert not store.append(ACCOUNT, DEPOSITED, idempotency_key="own").duplicate
    assert len(store.read_stream(ACCOUNT)) == 4


def test_a_key_of_the_context_is_not_taken_in_a_transaction_of_its_own(library: Engine) -> None:
    with (
        library.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        context(idempotency_key="k"),
        pytest.raises(CommandError, match="AUTOCOMMIT"),
    ):
        EventStore(connection).append(ACCOUNT, DEPOSITED)


# ------------------------------------------------------------------------------------------------- transactions


def test_the_store_never_commits(library: Engine) -> None:
    with library.connect() as connection:
        EventStore(connection).append(ACCOUNT, DEPOSITED)
    with library.connect() as connection:
        assert EventStore(connection).read_stream(ACCOUNT) == []


def test_a_rolled_back_savepoint_leaves_no_event(store: EventStore, connection: Connection) -> None:
    store.append(ACCOUNT, DEPOSITED)
    savepoint = connection.begin_nested()
    store.append(ACCOUNT, WITHDRAWN)
    savepoint.rollback()
    assert store.append(ACCOUNT, WITHDRAWN).versions == (2,)
    connection.commit()
    assert [event.version for event in store.read_all()] == [1, 2]


def test_events_of_a_transaction_share_its_first_position(store: EventStore, connection: Connection) -> None:
    store.append(ACCOUNT, [DEPOSITED, WITHDRAWN])
    store.append(("Account", "1"), DEPOSITED)
    connection.commit()
    store.append(ACCOUNT, DEPOSITED)
    connection.commit()
    assert [event.transaction_id for event in store.read_all()] == [1, 1, 1, 4]


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"])
def test_appends_work_at_every_isolation_level(library: Engine, level: Any) -> None:
    with library.connect().execution_options(isolation_level=level) as connection:
        store = EventStore(connection)
        store.append(ACCOUNT, DEPOSITED, expected=0)
        store.append(ACCOUNT, WITHDRAWN, expected=1, idempotency_key="k")
        if level != "AUTOCOMMIT":
            connection.commit()
    with library.connect() as connection:
        assert [event.version for event in EventStore(connection).read_all()] == [1, 2]


def test_a_two_phase_transaction_holds_the_horizon_until_it_is_decided(library: Engine) -> None:
    with library.connect() as connection:
        twophase = connection.begin_twophase()
        EventStore(connection).append(ACCOUNT, DEPOSITED)
        twophase.prepare()
        with library.connect() as other:
            store = EventStore(other)
            store.append(("Account", "1"), DEPOSITED)
            other.commit()
            assert store.horizon() == 0
            twophase.commit()
            assert [event.position for event in store.read_all()] == [1, 2]


def test_a_store_with_names_of_its_own_stands_beside_another(engine: Engine) -> None:
    other = StorageConfig(schema='we"ird %s', prefix="es_")
    create_all(engine)
    create_all(engine, config=other)
    with engine.begin() as connection:
        EventStore(connection).append(ACCOUNT, [DEPOSITED, WITHDRAWN])
        assert EventStore(connection, config=other).append(ACCOUNT, DEPOSITED) == AppendResult((1,), (1,))
        assert EventStore(connection, config=other).append_many([StreamAppend(ACCOUNT, [DEPOSITED])]).events == 1
        assert [event.version for event in EventStore(connection, config=other).read_stream(ACCOUNT)] == [1, 2]
        assert connection.execute(text('SELECT count(*) FROM "we""ird %s".es_events')).scalar() == 2


def test_tenants_do_not_see_each_other(library: Engine) -> None:
    with library.begin() as connection:
        one, two = (EventStore(connection, config=StorageConfig(tenant_id=tenant)) for tenant in (1, 2))
        one.append(("Account", "42"), DEPOSITED, idempotency_key="k")
        two.append(("Account", "42"), [WITHDRAWN, WITHDRAWN], idempotency_key="k")
        with pytest.raises(InvalidEventError, match="belongs to tenant 1"):
            two.append(StreamId("Account", "42", 1), DEPOSITED)
    with library.connect() as connection:
        one, two = (EventStore(connection, config=StorageConfig(tenant_id=tenant)) for tenant in (1, 2))
        assert [event.stream.tenant for event in one.read_all()] == [1]
        assert [event.type for event in two.read_all()] == ["Withdrawn", "Withdrawn"]
        assert [info.version for info in two.streams("Account")] == [2]
