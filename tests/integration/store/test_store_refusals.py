"""What cannot be stored or read, each with an error of the tree, and nothing half written."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import MetaData, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from lithair_sqla.errors import (
    ConnectionLostError,
    InvalidEventError,
    OptionError,
    OrderedReadError,
    PartitionGapError,
    SchemaMissingError,
    UnsupportedDatabaseError,
    WriteRefusedError,
)
from lithair_sqla.options import StorageConfig
from lithair_sqla.schema.tables import LibraryTables
from lithair_sqla.store import MAX_APPEND_BYTES, MAX_EVENT_BYTES, EventStore
from lithair_sqla.types import Event, Kind, NewEvent, StreamAppend, StreamId

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

ACCOUNT = ("Account", "42")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (NewEvent("Set", {"a": float("nan")}), r"event 1 \(Set\) for Account\(42\) cannot be stored: data.a: nan"),
        (NewEvent("Set", payload={"a": {1: 2}}), "payload.a: the key 1 is not a string"),
        (NewEvent("Set", meta={"a": "\0"}), "meta: it holds a NUL character"),
        (NewEvent("Set", {"a": "\ud800"}), "surrogates"),
        (NewEvent("Set", {"a": {1, 2}}), "set has no form in an event"),
        (NewEvent("Set", "text"), "data: a mapping is needed, not str"),  # type: ignore[arg-type]
        (NewEvent("Set", None), "data: a mapping is needed, not NoneType"),  # type: ignore[arg-type]
        (NewEvent("Set", {"a": "x" * (MAX_EVENT_BYTES + 1)}), "MAX_EVENT_BYTES"),
        (NewEvent(""), "type must be 1 to 200 characters"),
        (NewEvent("x" * 201), "type must be 1 to 200 characters"),
        (NewEvent("a\0b"), "type must be 1 to 200 characters"),
        (NewEvent("\ud800"), "type must be 1 to 200 characters"),
        (NewEvent(None), "type must be 1 to 200 characters"),  # type: ignore[arg-type]
        (NewEvent("Set", kind="u"), "kind must be a Kind"),  # type: ignore[arg-type]
        (NewEvent("Set", {"a": 1}, kind=Kind.NOTE), "a note changes no columns"),
        (NewEvent("Set", {"a": 1}, kind=Kind.DELETE), "a delete changes no columns"),
        (NewEvent("Set", schema_version=0), "schema_version must be 1 to 32,767"),
        (NewEvent("Set", schema_version=40_000), "schema_version must be 1 to 32,767"),
        (NewEvent("Set", schema_version=True), "schema_version must be 1 to 32,767"),
        (NewEvent("Set", event_id="no"), "event_id must be a UUID"),  # type: ignore[arg-type]
        ("Set", "a NewEvent is needed, not str"),
    ],
)
def test_an_event_that_cannot_be_stored_is_refused_before_anything_is_sent(
    scratch: EventStore, shared_engine: Engine, count_statements: Callable[..., Any], event: Any, reason: str
) -> None:
    with count_statements(shared_engine) as counted, pytest.raises(InvalidEventError, match=reason):
        scratch.append(ACCOUNT, [NewEvent("Set"), event])
    assert len(counted) == 0


@pytest.mark.parametrize("events", [[], (), "", {}])
def test_no_events_are_refused(scratch: EventStore, events: Any) -> None:
    with pytest.raises(InvalidEventError, match=r"no events to append to Account\(42\)"):
        scratch.append(ACCOUNT, events)


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (("", "1"), "name must not be empty"),
        (("x" * 251, "1"), "name may have 250 bytes"),
        (("é" * 126, "1"), "name may have 250 bytes"),
        (("a\0", "1"), "no NUL"),
        (("A", "b\0"), "no NUL"),
        (("A", "\udfff"), "half of a surrogate pair"),
        (("A", "k" * 2301), "key may have 2,300 bytes"),
        (("A", 1), "key must be a string, not 1"),
        ((None, "1"), "name must be a string, not None"),
        ("Account", "a stream is a StreamId or"),
        (("A", "1", 0), "a stream is a StreamId or"),
        (StreamId("A", "1", 3), "belongs to tenant 3"),
    ],
)
def test_a_stream_that_cannot_be_is_refused(scratch: EventStore, stream: Any, reason: str) -> None:
    for call in (lambda: scratch.append(stream, NewEvent("Set")), lambda: scratch.read_stream(stream)):
        with pytest.raises(InvalidEventError, match=reason):
            call()


@pytest.mark.parametrize(
    "text_",
    [
        "'; DROP TABLE lithair_events; --",
        '"',
        "\\",
        "%s %(x)s %",
        "$$",
        "{{schema}}",
        "\n\t",
        "é 漢 \U0001f600",
        " ",
        "lithair.events",
    ],
)
def test_malicious_names_are_just_names(store: EventStore, connection: Connection, text_: str) -> None:
    stream = StreamId(text_, text_ * 2)
    event = NewEvent(text_, {text_: text_}, payload={text_: [text_]}, meta={text_: text_})
    store.append(stream, event, expected=0, idempotency_key=text_)
    assert store.append(stream, event, expected=0, idempotency_key=text_).duplicate
    store.append_many([StreamAppend(stream, [event], 1)])
    connection.commit()
    one, two = store.read_all(names=[text_], types=[text_])
    assert one.stream == two.stream == stream
    assert (one.type, one.data, one.payload, one.meta) == (text_, {text_: text_}, {text_: [text_]}, {text_: text_})
    assert (two.type, two.data, two.payload, two.meta) == (one.type, one.data, one.payload, one.meta)
    assert [info.stream for info in store.streams(text_)] == [stream]


def test_the_longest_name_and_key_fit_into_the_index(scratch: EventStore) -> None:
    incompressible = random.Random(1)
    name, key = ("".join(chr(incompressible.randint(33, 126)) for _ in range(size)) for size in (250, 2_300))
    scratch.append((name, key), NewEvent("Set"))
    assert len(scratch.read_stream((name, key))) == 1


def test_more_than_an_append_carries_is_refused_and_an_ingest_takes_it(store: EventStore) -> None:
    events = [NewEvent("Set", {"a": "x" * 15_000_000})] * 3
    assert MAX_APPEND_BYTES < 45_000_000
    with pytest.raises(InvalidEventError, match="MAX_APPEND_BYTES"):
        store.append(ACCOUNT, events)
    assert store.append_many([StreamAppend(StreamId(*ACCOUNT), events)]).events == 3


@pytest.mark.soak
def test_the_densest_json_that_an_append_carries_fits_into_jsonb(store: EventStore) -> None:
    """Six bytes of jsonb for one of text is the worst there is: an array of one-digit numbers."""
    dense = NewEvent("Set", {"a": [0] * (MAX_EVENT_BYTES // 2 - 10)})
    store.append_streams([StreamAppend(StreamId("Account", key), [dense]) for key in "ab"])
    assert store.stream(("Account", "b")) is not None


def test_what_only_the_database_finds_too_large_is_explained(store: EventStore, connection: Connection) -> None:
    key = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n)"
    stream = f"json_build_object('n', 'A', 'k', {key}, 'c', 1, 'e', -2)"
    long_key = f"SELECT lithair_append(0, json_build_array({stream}), '[{{}}]')"
    for statement, reason in (
        (long_key, "too large for a jsonb value, or its stream's name and key are too long"),
        ("SELECT repeat('[', 20000)::jsonb", "nested too deeply"),
        ("SELECT (1e100000::text || repeat('0', 40000))::numeric", "a number that PostgreSQL's numeric cannot carry"),
        (r"""SELECT '{"a": "\u0000"}'::jsonb""", "a character that the database cannot store"),
        ("SELECT '{'::jsonb", "not what the database takes for JSON"),
    ):
        with pytest.raises(InvalidEventError, match=reason), connection.begin_nested():
            store._channel.execute(statement)


def test_streams_of_a_table_take_notes_only(store: EventStore, connection: Connection) -> None:
    connection.execute(
        text(
            "INSERT INTO lithair_schemas (name, schema_version, relation, fingerprint, columns) "
            "VALUES ('Account', 1, 'public.account', 'x', '[]')"
        )
    )
    note = NewEvent("Seen", kind=Kind.NOTE)
    with (
        pytest.raises(WriteRefusedError, match=r"the streams of Account belong to a table.*append a note"),
        connection.begin_nested(),
    ):
        store.append_streams(
            [
                StreamAppend(StreamId("Other", "1"), [NewEvent("Set")]),
                StreamAppend(StreamId(*ACCOUNT), [note, NewEvent("Set")]),
            ]
        )
    with pytest.raises(WriteRefusedError, match="its guard takes their snapshots"), connection.begin_nested():
        store.save_snapshot(ACCOUNT, 1, {})
    assert store.append_streams(
        [StreamAppend(StreamId("Other", "1"), [NewEvent("Set")]), StreamAppend(StreamId(*ACCOUNT), [note])]
    ).versions == (1, 1)


# ------------------------------------------------------------------------------------------------- the database


CALLS: list[Callable[[EventStore], Any]] = [
    lambda store: store.append(ACCOUNT, NewEvent("Set")),
    lambda store: store.append_many([StreamAppend(StreamId(*ACCOUNT), [NewEvent("Set")])]),
    lambda store: store.read_stream(ACCOUNT),
    lambda store: store.read_all(),
    lambda store: store.load(ACCOUNT),
    lambda store: store.snapshot(ACCOUNT),
    lambda store: store.save_snapshot(ACCOUNT, 1, {}),
    lambda store: store.streams("Account"),
]


@pytest.mark.parametrize("config", [StorageConfig(), StorageConfig(schema="elsewhere", prefix="es_")])
def test_a_database_without_the_library_says_what_to_run(engine: Engine, config: StorageConfig) -> None:
    with engine.connect() as connection:
        for call in CALLS:
            with pytest.raises(SchemaMissingError, match="create_all"):
                call(EventStore(connection, config=config))
            connection.rollback()


def test_functions_of_another_version_say_what_to_run(library: Engine) -> None:
    with library.begin() as connection:
        connection.execute(text("DROP FUNCTION lithair_append"))
    with library.connect() as connection, pytest.raises(SchemaMissingError, match=r"lithair_append.*create_all"):
        EventStore(connection).append(ACCOUNT, NewEvent("Set"))


def test_another_database_is_refused() -> None:
    with create_engine("sqlite://").connect() as connection, pytest.raises(UnsupportedDatabaseError, match="sqlite"):
        EventStore(connection).append(ACCOUNT, NewEvent("Set"))


def test_a_configuration_and_tables_that_contradict_each_other_are_refused(connection: Connection) -> None:
    tables = LibraryTables.of(MetaData(), StorageConfig(prefix="es_"))
    with pytest.raises(OptionError, match="contradict each other"):
        EventStore(connection, config=StorageConfig(), library=tables)
    assert "prefix='es_'" in repr(EventStore(connection, library=tables))


def test_a_gap_in_the_log_says_what_to_run_and_running_it_mends_it(library: Engine) -> None:
    def far() -> None:
        connection.exec_driver_sql("SELECT setval('lithair_position', 999999999000)")

    # Nobody can make the leaf: its name is taken by something that is no leaf.
    with library.begin() as connection:
        far()
        connection.exec_driver_sql("CREATE TABLE lithair_parts.lithair_events_p049999 (n int)")
    with library.connect() as connection:
        store = EventStore(connection)
        for call in CALLS[:2]:
            with pytest.raises(PartitionGapError, match=r'SELECT "public"."lithair_extend_log"\(\)'):
                call(store)
            connection.rollback()
        assert store.read_stream(ACCOUNT) == []
    with library.begin() as connection:
        connection.exec_driver_sql("DROP TABLE lithair_parts.lithair_events_p049999")
        connection.exec_driver_sql('SELECT "public"."lithair_extend_log"()')
    with library.begin() as connection:
        assert EventStore(connection).append(ACCOUNT, NewEvent("Set")).positions[0] > 999_999_999_000


def test_a_check_violation_of_the_users_own_is_left_alone(library: Engine) -> None:
    with library.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE lithair_own_events (n int CHECK (n > 0))")
        connection.exec_driver_sql("CREATE TABLE other_events (n int) PARTITION BY RANGE (n)")
        for statement in ("INSERT INTO lithair_own_events VALUES (0)", "INSERT INTO other_events VALUES (0)"):
            with pytest.raises(DBAPIError) as caught, connection.begin_nested():
                connection.exec_driver_sql(statement)
            assert type(caught.value).__module__ == "sqlalchemy.exc"


@pytest.mark.parametrize("call", CALLS)
def test_a_connection_lost_in_the_middle_is_an_error_of_ours(
    library: Engine, call: Callable[[EventStore], Any]
) -> None:
    with library.connect() as connection:
        store = EventStore(connection)
        store.append(ACCOUNT, NewEvent("Set"))
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with library.connect() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)")
        with pytest.raises(ConnectionLostError, match="idempotency key") as caught:
            call(store)
        assert caught.value.__cause__ is not None
        assert connection.invalidated
    with library.connect() as connection:
        assert EventStore(connection).read_stream(ACCOUNT) == []


def test_a_connection_lost_in_the_middle_of_copy_leaves_nothing(library: Engine) -> None:
    def appends() -> Any:
        for number in range(20_000):
            if number == 15_000:
                with library.connect() as other:
                    other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)")
            yield StreamAppend(StreamId("Account", str(number)), [NewEvent("Set", {"n": number})])

    with library.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with pytest.raises(ConnectionLostError):
            EventStore(connection).append_many(appends())
    with library.connect() as connection:
        assert EventStore(connection).streams("Account") == []
        assert EventStore(connection).read_all() == []


def test_a_serialization_failure_stays_what_retry_decorators_know(library: Engine) -> None:
    with library.connect().execution_options(isolation_level="REPEATABLE READ") as late:
        late.exec_driver_sql("SELECT 1 FROM lithair_streams")
        with library.begin() as early:
            EventStore(early).append(ACCOUNT, NewEvent("Set"))
        for call in (
            lambda: EventStore(late).append(ACCOUNT, NewEvent("Set")),
            lambda: EventStore(late).append_many([StreamAppend(StreamId(*ACCOUNT), [NewEvent("Set")], 0)]),
        ):
            with pytest.raises(OperationalError) as caught, late.begin_nested():
                call()
            assert getattr(caught.value.orig, "sqlstate", "") == "40001"


def test_our_errors_come_through_plain_sql_too(library: Engine) -> None:
    with library.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        with pytest.raises(OrderedReadError) as caught:
            connection.execute(text("SELECT lithair_horizon()"))
        assert getattr(caught.value.__cause__, "sqlstate", "") == "LT305"


def test_an_error_of_the_users_own_in_a_callback_is_not_touched(scratch: EventStore) -> None:
    scratch.append(ACCOUNT, NewEvent("Set", {"a": 1}))

    def broken(_: dict[str, Any], event: Event) -> dict[str, Any]:
        raise ZeroDivisionError(event.type)

    with pytest.raises(ZeroDivisionError, match="Set"):
        scratch.load(ACCOUNT, fold=broken)
