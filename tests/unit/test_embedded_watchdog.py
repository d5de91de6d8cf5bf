from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lithair_sqla.embedded import accounts, watchdog
from lithair_sqla.errors import EmbeddedPostgresError

AN_HOUR_AGO = time.time() - 3600


def left_behind(base: Path, name: str = "lithair-postgres-left") -> Path:
    """A server's folder of an hour ago."""
    folder = base / name
    (folder / "data").mkdir(parents=True)
    (folder / "lock").touch()
    os.utime(folder, (AN_HOUR_AGO, AN_HOUR_AGO))
    return folder


@pytest.mark.parametrize("way", [watchdog._processes_of_proc, watchdog._processes_of_ps])
def test_processes_are_seen_with_parent_and_command(way: object) -> None:
    assert callable(way)
    child = subprocess.Popen([sys.executable, "-c", "input()", "find me"], stdin=subprocess.PIPE)
    try:
        # Between fork and exec the child still bears our command line.
        assert watchdog.wait_until(lambda: any("find me" in seen.command for seen in way()), seconds=5)
        found = [seen for seen in way() if seen.pid == child.pid]
    finally:
        child.communicate()

    assert [(seen.parent_pid, seen.command.endswith("-c input() find me")) for seen in found] == [(os.getpid(), True)]


@pytest.mark.parametrize("way", [watchdog._processes_of_proc, watchdog._processes_of_ps])
def test_a_zombie_is_not_a_process(way: object) -> None:
    assert callable(way)
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        assert watchdog.wait_until(lambda: all(seen.pid != child.pid for seen in way()), seconds=5)
    finally:
        child.wait()


def test_only_a_program_of_postgresql_on_the_very_folder_is_its_server(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    script = "import sys; sys.stdin.read()"
    names = {"postgres": str(folder / "data"), "other": str(folder / "data"), "initdb": str(folder / "data2")}
    started = {
        name: subprocess.Popen([name, "-c", script, "-D", data], executable=sys.executable, stdin=subprocess.PIPE)
        for name, data in names.items()
    }
    try:
        found = watchdog.wait_until(lambda: bool(watchdog.servers_in(folder)), seconds=5)
        servers = watchdog.servers_in(folder)
    finally:
        for process in started.values():
            process.communicate()

    assert found
    assert servers == [started["postgres"].pid]


def test_a_folder_that_nobody_holds_is_swept(tmp_path: Path) -> None:
    folder = left_behind(tmp_path)

    assert watchdog.sweep(tmp_path) == [folder]
    assert not folder.exists()


def test_a_socket_folder_that_stood_elsewhere_is_swept_along(tmp_path: Path) -> None:
    folder, elsewhere, foreign = left_behind(tmp_path / "base"), tmp_path / "lithair-socket", tmp_path / "foreign"
    elsewhere.mkdir()
    foreign.mkdir()
    (folder / "socket").symlink_to(elsewhere)
    other = left_behind(tmp_path / "base", "lithair-postgres-other")
    (other / "socket").symlink_to(foreign)
    for each in (folder, other):
        os.utime(each, (AN_HOUR_AGO, AN_HOUR_AGO))

    watchdog.sweep(tmp_path / "base")

    assert not elsewhere.exists()
    assert foreign.exists()


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    folder = left_behind(tmp_path)
    with (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert watchdog.sweep(tmp_path) == []

    assert folder.exists()


def test_a_folder_that_was_just_made_is_left_alone(tmp_path: Path) -> None:
    folder = left_behind(tmp_path)
    os.utime(folder)

    assert watchdog.sweep(tmp_path) == []
    assert folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    folder = left_behind(tmp_path)
    os.chown(folder, 65534, 65534)
    os.utime(folder, (AN_HOUR_AGO, AN_HOUR_AGO))

    assert watchdog.sweep(tmp_path) == []


def test_a_user_without_a_name_is_given_one_in_a_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 2**30)

    assert [account.name.startswith("in a user namespace as ") for account in accounts.accounts()] == [True]


def test_every_account_that_cannot_run_a_server_says_why(tmp_path: Path) -> None:
    program = tmp_path / "postgres"
    program.write_text("#!/bin/sh\necho 'libmissing.so: no such library' >&2; exit 127\n")
    program.chmod(0o755)
    (tmp_path / "data").mkdir()

    with pytest.raises(EmbeddedPostgresError, match="no account can run it: ") as caught:
        accounts.choose(tmp_path, tree=(), data=tmp_path / "data", copies=tmp_path / "copies")

    tried = [account.name for account in accounts.accounts()]
    assert tried
    assert all(f"{name}: " in str(caught.value) for name in tried)
