"""``lithair-storage`` as a person and as a script meet it: answers, JSON, exit codes, errors in one line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import URL, Engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from lithair_sqla import EventSourced, EventStore, Lithair, NewEvent, Persistence, StorageConfig, context, create_all
from lithair_sqla.cli.app import cli
from lithair_sqla.schema.create import grant
from lithair_sqla.schema.tables import LibraryTables

LONG = "a very long description of a thing " * 20


class Base(DeclarativeBase):
    pass


class Product(EventSourced, Base):
    __tablename__ = "product"
    __persistence__ = Persistence(snapshot_frequency=3)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    stock: Mapped[int] = mapped_column(default=0)


@pytest.fixture
def store(engine: Engine) -> Engine:
    create_all(engine, Base)
    with Session(engine) as session, context(user_id="ana"):
        session.add(Product(id=1, name="tea"))
        session.commit()
        for stock in range(1, 5):
            session.get_one(Product, 1).stock = stock
            session.commit()
    return engine


Run = Callable[..., Result]


@pytest.fixture
def run(database_url: URL, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on the test's database; ``app=True`` names the models too."""
    module = ModuleType("models_of_the_shop")
    module.Base = Base  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("LITHAIR_DSN", "LITHAIR_APP", "LITHAIR_SCHEMA", "LITHAIR_PREFIX"):
        monkeypatch.delenv(name, raising=False)

    def running(*words: str, app: bool = False, url: URL | str = database_url, **options: Any) -> Result:
        dsn = url if isinstance(url, str) else url.render_as_string(hide_password=False)
        given = ["--dsn", dsn, *(["--app", "models_of_the_shop:Base"] if app else []), *words]
        return CliRunner(env={"COLUMNS": "80"}).invoke(cli, given, prog_name="lithair-storage", **options)

    return running


def assert_one_line(result: Result, code: int, pattern: str) -> None:
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert re.fullmatch(f"lithair-storage: {pattern}\n", result.stderr), result.stderr


# --------------------------------------------------------------------------------------------------- inspect


def test_inspect_says_what_an_aggregate_holds(store: Engine, run: Run) -> None:
    result = run("inspect", "--aggregate-id", "1", "--show-events", "--show-snapshots", "--verify-integrity")

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "Aggregate: Product(1)"
    assert re.fullmatch(r"Events: 5 \([\d.]+k?B\)", lines[1])
    assert re.fullmatch(r"Snapshots: 1 \([\d.]+B\)", lines[2])
    assert lines[3] == "Integrity: ✓ versions, order and snapshots agree"
    assert re.fullmatch(r"Last Event: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", lines[4])
    assert re.search(r"^version +position +size +taken *$", result.stdout, re.MULTILINE)
    assert re.search(r"^1  [-\d: ]+ UTC  ProductCreated  ana$", result.stdout, re.MULTILINE)
    assert '   {"id":1,"name":"tea","stock":0}' in lines


def test_inspect_shows_no_more_than_is_asked_for(store: Engine, run: Run) -> None:
    result = run("inspect", "--aggregate-id", "1")

    assert len(result.stdout.splitlines()) == 4
    assert "Integrity" not in result.stdout


def test_inspect_answers_scripts_with_json(store: Engine, run: Run) -> None:
    result = run("--json", "inspect", "--aggregate-id", "1", "--show-events", "--verify-integrity")

    answer = json.loads(result.stdout)
    assert answer["aggregate"]["stream"] == {"name": "Product", "key": "1", "tenant": 0}
    assert answer["aggregate"]["integrity"] == []
    assert [event["data"].get("stock") for event in answer["events"]] == [0, 1, 2, 3, 4]
    assert answer["events"][0]["kind"] == "c"


def test_long_streams_are_read_in_pages(store: Engine, run: Run) -> None:
    first = run("inspect", "--aggregate-id", "1", "--show-events", "--limit", "2")
    assert "… 3 more: --after-version 2" in first.stdout

    last = run("inspect", "--aggregate-id", "1", "--show-events", "--limit", "3", "--after-version", "2")
    assert "more" not in last.stdout
    assert "ProductCreated" not in last.stdout


@pytest.mark.lithair_audit(False)  # noqa: FBT003 - damage on purpose
def test_a_stream_that_is_not_whole_is_exit_code_1(store: Engine, run: Run) -> None:
    with store.begin() as connection:
        connection.execute(text("DELETE FROM lithair_events WHERE version = 5"))

    result = run("inspect", "--aggregate-id", "1", "--verify-integrity")

    assert result.exit_code == 1
    assert "Integrity: ✗ 1 problem\n  the stream counts 5 events, its newest is version 4" in result.stdout


def test_a_key_that_several_streams_have_asks_for_a_name(store: Engine, run: Run) -> None:
    with store.begin() as connection:
        EventStore(connection).append(("Basket", "1"), NewEvent("Opened"))

    result = run("inspect", "--aggregate-id", "1")
    assert result.exit_code == 2
    assert "2 streams have key '1': name one with --stream (Basket, Product)" in result.stderr

    assert run("inspect", "--aggregate-id", "1", "--stream", "Basket").stdout.startswith("Aggregate: Basket(1)\n")


@pytest.mark.parametrize(
    "words", [["inspect", "--aggregate-id", "1", "--stream", "Prodcut"], ["history", "Prodcut", "1"]]
)
def test_a_name_that_is_nearly_right_is_suggested(store: Engine, run: Run, words: list[str]) -> None:
    assert_one_line(run(*words), 4, r"\[LTH303\] no stream Prodcut\(1\); did you mean 'Product'\?")


def test_a_key_that_is_not_there(store: Engine, run: Run) -> None:
    assert_one_line(run("inspect", "--aggregate-id", "x"), 4, r"\[LTH303\] no stream with key 'x'")
    assert_one_line(run("history", "Product", "x"), 4, r"\[LTH303\] no stream Product\(x\)")


# ---------------------------------------------------------------------------------------------------- history


def test_history_lists_events_either_way(store: Engine, run: Run) -> None:
    forwards = [event["version"] for event in json.loads(run("--json", "history", "Product", "1").stdout)]
    backwards = json.loads(run("--json", "history", "Product", "1", "--reverse", "--limit", "2").stdout)

    assert forwards == [1, 2, 3, 4, 5]
    assert [event["version"] for event in backwards] == [5, 4]


def test_a_page_of_history_says_how_to_see_the_next(store: Engine, run: Run) -> None:
    assert "… 3 more: --after-version 2" in run("history", "Product", "1", "--limit", "2").stdout
    assert "more" not in run("history", "Product", "1", "--after-version", "2").stdout


def test_arguments_of_a_call_are_shown_as_such(store: Engine, run: Run) -> None:
    with store.begin() as connection:
        EventStore(connection).append(("Basket", "1"), NewEvent("Filled", {"size": 3}, {"quantity": 3}))

    lines = run("history", "Basket", "1").stdout.splitlines()
    assert lines[1:] == ['   {"size":3}', '   called with {"quantity":3}']


def test_wide_content_stays_within_the_screen(store: Engine, run: Run) -> None:
    with Session(store) as session:
        session.add(Product(id=2, name=LONG))
        session.commit()

    lines = run("history", "Product", "2").stdout.splitlines()

    assert max(map(len, lines)) <= 80
    assert len(lines) > 5
    assert all(line.startswith("   ") for line in lines[1:])
    assert "".join(line.strip() for line in lines[1:]).count("thing") == 20


def test_nothing_of_the_database_is_obeyed_by_the_terminal(store: Engine, run: Run) -> None:
    nasty = "\x1b[31mred\x07 [bold]b[/bold] [/]"
    with store.begin() as connection, context(user_id=nasty):
        EventStore(connection).append((nasty, nasty), NewEvent(nasty, {nasty: nasty}))

    for words in (["history", nasty, nasty], ["inspect", "--aggregate-id", nasty, "--show-events"], ["streams"]):
        result = run(*words)
        assert result.exit_code == 0, result.output
        assert "\x1b" not in result.stdout
        assert "\\x1b[31m" in result.stdout


# ------------------------------------------------------------------------------------------------------ lists


def test_streams_partitions_and_shapes_fit_eighty_columns(store: Engine, run: Run) -> None:
    with store.begin() as connection:
        EventStore(connection).append((LONG[:60], "1"), NewEvent("Opened"))

    for words in (["streams"], ["partitions"], ["schema"]):
        result = run(*words)
        assert result.exit_code == 0, result.output
        assert max(map(len, result.stdout.splitlines())) <= 80

    first, *_, last = run("partitions").stdout.splitlines()[1:]
    assert re.fullmatch(r"p000000 +0 … 19,999,999 +\d+ +[\d.]+kB +\d{4}-\d\d-\d\d \d\d:\d\d *", first), first
    assert last == "lithair_parts.lithair_events_…, events as the statistics have them, times in UTC"


def test_lists_answer_with_json(store: Engine, run: Run) -> None:
    [stream] = json.loads(run("--json", "streams").stdout)
    assert stream == {"name": "Product", "streams": 1, "open": 1, "events": 5, "relation": '"public"."product"'}
    assert [leaf["low"] for leaf in json.loads(run("--json", "partitions").stdout)] == [0, 2e7, 4e7, 6e7]
    [shape] = json.loads(run("--json", "schema").stdout)
    assert (shape["name"], shape["columns"]) == ("Product", 3)


def test_a_table_that_has_moved_on_is_exit_code_1(store: Engine, run: Run) -> None:
    assert run("schema").exit_code == 0
    with store.begin() as connection:
        connection.execute(text("ALTER TABLE product ADD COLUMN colour text"))

    result = run("schema")

    assert result.exit_code == 1
    assert "+colour" in result.stdout


# ----------------------------------------------------------------------------------------------------- health


def test_health_says_how_the_store_does(store: Engine, run: Run) -> None:
    result = run("health")

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Store: ✓ healthy\nEvents: ")
    assert "Log: ✓ consistent\nIndexes: ✓ consistent\nSnapshots: ✓ consistent\nLatency: write " in result.stdout


def test_health_in_depth_with_the_models(store: Engine, run: Run) -> None:
    result = run("--json", "health", "--deep", app=True)

    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["deep"], answer["healthy"], answer["total_events"]) == (True, True, 5)


def test_a_store_made_with_other_bounds_does_well_without_its_models(engine: Engine, run: Run) -> None:
    create_all(engine, config=StorageConfig(schema="log", prefix="shop_", partition_width=1000, partitions_ahead=1))

    result = run("--schema", "log", "--prefix", "shop_", "--json", "health")

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["recommendations"] == []


def test_what_needs_attention_is_exit_code_1_and_says_what_to_do(store: Engine, run: Run) -> None:
    with store.begin() as connection:
        connection.execute(text("SELECT setval('lithair_position', 900000000)"))

    result = run("health")

    assert result.exit_code == 1
    assert result.stdout.startswith("Store: ✗ needs attention\n")
    # In one piece, to be copied.
    assert '\n  → SELECT "public"."lithair_extend_log"()\n' in result.stdout


# ----------------------------------------------------------------------------------- audit, rebuild, adopt, snapshot


def drift(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text('ALTER TABLE product DISABLE TRIGGER "!lithair_guard"'))
        connection.execute(text("UPDATE product SET stock = 1000"))
        connection.execute(text('ALTER TABLE product ENABLE ALWAYS TRIGGER "!lithair_guard"'))


def test_audit_and_rebuild(store: Engine, run: Run) -> None:
    assert run("audit", app=True).stdout.startswith("✓ audit of product: clean (1 rows, ")
    drift(store)

    found = run("audit", app=True)
    assert found.exit_code == 1
    assert "✗ audit of product: 1 differences" in found.stdout
    assert "stock: row 1000, log 4" in found.stdout
    [answer] = json.loads(run("--json", "audit", app=True).stdout)
    assert answer["differences"][0]["columns"] == {"stock": [1000, 4]}

    asked = run("rebuild", app=True, input="n\n")
    assert asked.exit_code == 1
    assert "Rows of product that differ from the log will be changed or removed. Go on?" in asked.stdout
    done = run("rebuild", "--yes", app=True)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("product: ")
    assert run("audit", app=True).exit_code == 0


def test_json_is_no_consent(store: Engine, run: Run) -> None:
    drift(store)

    result = run("--json", "rebuild", app=True)

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert run("audit", app=True).exit_code == 1
    assert run("--json", "rebuild", "--yes", app=True).exit_code == 0


def test_adopt_and_snapshot(engine: Engine, run: Run) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE product (id serial PRIMARY KEY, name text NOT NULL, stock int NOT NULL)"))
        connection.execute(text("INSERT INTO product (name, stock) SELECT 'p', n FROM generate_series(1, 5) n"))
    create_all(engine, Base)

    assert json.loads(run("--json", "adopt", app=True).stdout) == [{"table": "product", "rows": 5, "baselines": 5}]
    assert run("adopt", "--table", "product", app=True).stdout == "product: 5 rows, 0 baselines\n"
    for _ in range(2):
        with engine.begin() as connection:
            connection.execute(text("UPDATE product SET stock = stock + 1"))
            connection.execute(text("DELETE FROM lithair_snapshots"))
            connection.execute(text("UPDATE lithair_streams SET snapshot_version = NULL, snapshot_position = NULL"))
    assert run("snapshot", "--stream", "Product", "--behind", "2").stdout == "5 snapshots of Product\n"
    assert json.loads(run("--json", "snapshot", "--stream", "Product").stdout) == {"stream": "Product", "snapshots": 0}


def test_commands_that_need_models_say_so(store: Engine, run: Run) -> None:
    for words in (["audit"], ["rebuild", "--yes"], ["adopt"]):
        result = run(*words)
        assert result.exit_code == 2
        assert "this command needs your models: give --app module:Base or set LITHAIR_APP" in result.stderr


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("no_such_module:Base", "--app no_such_module:Base cannot be imported: No module named 'no_such_module'"),
        ("models_of_the_shop:Bass", "--app models_of_the_shop:Bass cannot be imported: "),
        ("json:dumps", "a MetaData or a declarative base is needed"),
    ],
)
def test_models_that_are_not_there(store: Engine, run: Run, app: str, said: str) -> None:
    result = run("--app", app, "audit")

    assert result.exit_code == 2
    assert said in result.stderr


def test_a_table_that_is_nearly_right_is_suggested(store: Engine, run: Run) -> None:
    result = run("audit", "--table", "prodcut", app=True)

    assert result.exit_code == 2
    assert "no event-sourced table 'prodcut'; did you mean 'product'?" in result.stderr


# ----------------------------------------------------------------------------------------------------- errors


def test_a_server_that_does_not_answer(run: Run) -> None:
    for words in (["streams"], ["health"], ["inspect", "--aggregate-id", "1"], ["history", "A", "1"]):
        result = run(*words, url="postgresql://nobody:secret@127.0.0.1:1/none")
        assert_one_line(result, 3, r"connection .*failed.*")
        assert "secret" not in result.output


def test_a_database_without_a_store(engine: Engine, run: Run) -> None:
    for words in (["streams"], ["health"], ["partitions"], ["schema"], ["history", "A", "1"]):
        assert_one_line(run(*words), 3, r"\[LTH211\] database '\w+' has no event store in schema 'public' .*")


def test_a_prefix_that_names_no_store(store: Engine, run: Run) -> None:
    assert_one_line(run("--prefix", "shop_", "streams"), 3, r".* has no event store .* under the prefix 'shop_'.*")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "where is the store? Give --dsn postgresql://… or set LITHAIR_DSN"),
        ("nonsense", "--dsn is no database URL"),
        ("sqlite:///x.db", "--dsn names sqlite: an event store stands in a PostgreSQL"),
        ("mysql://u@h/d", "--dsn names mysql"),
    ],
)
def test_an_address_that_is_none(run: Run, url: str, said: str) -> None:
    result = run("streams", url=url)

    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_an_option_out_of_bounds_is_wrong_usage(run: Run) -> None:
    result = run("--prefix", "robert'); --", "streams")

    assert result.exit_code == 2
    assert "[LTH100]" in result.stderr


@pytest.mark.parametrize("key", ["'; DROP TABLE product; --", "%s", ":key", '"', "\\"])
def test_what_is_typed_is_only_ever_a_value(store: Engine, run: Run, key: str) -> None:
    assert run("inspect", "--aggregate-id", key).exit_code == 4
    assert run("inspect", "--aggregate-id", "1", "--stream", key).exit_code == 4
    assert run("history", key, key).exit_code == 4
    assert run("snapshot", "--stream", key).exit_code == 4
    assert run("audit", app=True).exit_code == 0


def test_a_role_without_rights_is_one_line(store: Engine, run: Run, role: Callable[..., Engine]) -> None:
    assert_one_line(run("streams", url=role().url), 5, r"permission denied for table lithair_\w+")


@pytest.mark.parametrize("rights", ["granted", "select"])
def test_a_role_that_only_reads_is_enough(store: Engine, run: Run, role: Callable[..., Engine], rights: str) -> None:
    reader = role()
    with store.begin() as connection:
        if rights == "granted":
            grant(connection, Base, reader.url.username or "")
        else:
            connection.execute(text(f"GRANT USAGE ON SCHEMA lithair_parts TO {reader.url.username}"))
            tables = ", ".join(table.name for table in LibraryTables.of(Base.metadata).all)
            connection.execute(text(f"GRANT SELECT ON {tables}, lithair_position TO {reader.url.username}"))

    for words in (
        ["inspect", "--aggregate-id", "1", "--show-events", "--show-snapshots", "--verify-integrity"],
        ["history", "Product", "1"],
        ["streams"],
        ["partitions"],
        ["schema"],
        ["health"],
        ["health", "--deep"],
    ):
        result = run(*words, url=reader.url)
        assert result.exit_code == 0, result.output


def test_settings_come_from_the_environment_too(
    engine: Engine, database_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_all(engine, config=StorageConfig(schema="log", prefix="shop_"))
    monkeypatch.setenv("LITHAIR_DSN", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("LITHAIR_SCHEMA", "log")
    monkeypatch.setenv("LITHAIR_PREFIX", "shop_")

    assert CliRunner().invoke(cli, ["health"]).exit_code == 0


def test_the_models_know_where_their_store_is(engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(DeclarativeBase):
        pass

    class Thing(EventSourced, Own):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)

    Lithair(Own, StorageConfig(schema="elsewhere")).create_all(engine)
    sys.modules["models_of_the_shop"].Base = Own  # type: ignore[attr-defined]

    assert run("health", app=True).exit_code == 0
    assert run("health").exit_code == 3


def test_colours_can_be_left_out(store: Engine, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert "\x1b[32m" in run("health").stdout
    assert "\x1b[32m" not in run("--no-color", "health").stdout
