from __future__ import annotations

import pytest

from lithair_sqla import embedded
from lithair_sqla.embedded.named import read_dsn
from lithair_sqla.embedded.request import ORDER, Request
from lithair_sqla.errors import EmbeddedPostgresError, OptionError


def test_a_request_for_anything_tries_every_source_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITHAIR_DSN", raising=False)

    assert Request().sources == ("dsn", "docker", "system", "wheel") == ORDER


def test_a_server_that_is_named_is_the_only_one_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITHAIR_DSN", "postgresql://somewhere/shop")

    assert Request().sources == ("dsn",)
    assert Request(source="wheel").sources == ("wheel",)


def test_the_variable_that_names_a_server_can_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITHAIR_DSN", "postgresql://production/shop")
    monkeypatch.delenv("LITHAIR_TEST_DSN", raising=False)

    assert Request(dsn_variable="LITHAIR_TEST_DSN").sources == ORDER


def test_an_unknown_source_is_refused_with_the_ones_to_choose_from() -> None:
    with pytest.raises(OptionError, match="'oracle' is not known: choose from dsn, docker, system, wheel"):
        Request(source="oracle")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["fsync", "FSYNC", "port", "listen_addresses", "unix_socket_directories"])
def test_a_setting_that_belongs_to_an_argument_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        Request(settings={name: "x"})


@pytest.mark.parametrize("name", ["", "a b", "work_mem=1", "-c", "a;b"])
def test_what_is_no_name_of_a_setting_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="is not the name of a PostgreSQL setting"):
        Request(settings={name: 1})


def test_arguments_are_checked_before_anything_is_started() -> None:
    with (
        pytest.raises(OptionError, match="choose from"),
        embedded.postgres(source="sqlite"),  # type: ignore[arg-type]
    ):
        pytest.fail("a server was started")


def test_settings_become_arguments_of_the_server() -> None:
    request = Request(durable=True, settings={"jit": False, "work_mem": "8MB", "max_connections": 7})

    assert request.server_arguments() == ["-c", "jit=off", "-c", "work_mem=8MB", "-c", "max_connections=7"]


def test_a_server_that_need_not_be_durable_syncs_nothing_unless_told_to() -> None:
    arguments = Request(settings={"synchronous_commit": "on"}).server_arguments()

    assert arguments == ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=on"]


@pytest.mark.parametrize(
    ("dsn", "url"),
    [
        ("postgresql://ana@db:5433/shop", "postgresql+psycopg://ana@db:5433/shop"),
        ("postgres://db/shop?sslmode=require", "postgresql+psycopg://db/shop?sslmode=require"),
        ("postgresql+psycopg:///shop?host=/run/pg", "postgresql+psycopg:///shop?host=%2Frun%2Fpg"),
        ("host=db port=5433 user=ana dbname=shop", "postgresql+psycopg://ana@db:5433/shop"),
        ("host=/run/pg port=5433 dbname=shop", "postgresql+psycopg:///shop?host=%2Frun%2Fpg&port=5433"),
        ("host=a,b port=1,2 dbname=shop", "postgresql+psycopg:///shop?host=a%2Cb&port=1%2C2"),
        ("dbname=shop sslmode=require", "postgresql+psycopg:///shop?sslmode=require"),
    ],
)
def test_a_dsn_is_understood_in_every_form(dsn: str, url: str) -> None:
    assert read_dsn(dsn, variable="LITHAIR_DSN").render_as_string() == url


def test_a_password_of_a_dsn_is_not_shown() -> None:
    url = read_dsn("host=db user=ana password=secret", variable="LITHAIR_DSN")

    assert url.password == "secret"  # noqa: S105 - the one we just made up
    assert "secret" not in repr(url)


@pytest.mark.parametrize(
    ("dsn", "reason"),
    [
        ("mysql://db/shop", "names mysql://"),
        ("postgresql+asyncpg://db/shop", "names postgresql\\+asyncpg://"),
        ("postgresql://db:port/shop", "is not a URL"),
        ("what is this", "is not a connection string"),
    ],
)
def test_a_dsn_that_cannot_be_used_is_refused_by_its_variable(dsn: str, reason: str) -> None:
    with pytest.raises(EmbeddedPostgresError, match=f"LITHAIR_DSN {reason}"):
        read_dsn(dsn, variable="LITHAIR_DSN")
