"""See to it that no server outlives the program that started it.

A program ends in many ways: by itself, by an exception, by Ctrl-C, by SIGTERM, by the kernel's hand. Only the first
three give Python the chance to clean up, so each server has a watchdog, a small process in a session of its own that
holds the reading end of a pipe. When the program is gone, however it went, the pipe closes, and the watchdog stops
the server and removes its folder. Children that the program forked hold the pipe too: the server lives as long as
anyone who may use it.

Where the watchdog was killed as well (a container that is torn down, a machine that is switched off), the folder
stays behind. Program and watchdog both hold a lock on a file in it, so whoever starts the next server knows by the
free lock that nobody is left, and clears it away (`sweep`).

This module is run by its path, by an interpreter without site-packages: it imports the standard library only.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER_PREFIX = "lithair-postgres-"
"""What the name of every server's folder starts with."""

SOCKET_PREFIX = "lithair-"
"""What the name of a socket folder that stands apart from its server's folder starts with."""

FAST_SHUTDOWN_SECONDS = 10
"""How long a server may take to shut down in order before it is killed."""

SWEEP_AGE_SECONDS = 60
"""A folder younger than this may belong to a program that has not come to lock it yet."""

_PROC = Path("/proc")
_SERVER_PROGRAMS = {"postgres", "initdb", "unshare"}


class Process(NamedTuple):
    """A living process: not a zombie, which has neither memory nor command line."""

    pid: int
    parent_pid: int
    command: str


def processes() -> Iterator[Process]:
    """Every living process of this machine, from /proc where there is one and from ps elsewhere."""
    return _processes_of_proc() if (_PROC / "self" / "stat").exists() else _processes_of_ps()


def _processes_of_proc() -> Iterator[Process]:
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            # The fields after the program's name, which stands in parentheses and may hold anything: state, parent …
            state, parent_pid = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if state != "Z":
            yield Process(int(entry.name), int(parent_pid), command)


def _processes_of_ps() -> Iterator[Process]:
    listing = subprocess.run(
        ["/bin/ps", "-A", "-o", "pid=,ppid=,stat=,command="], capture_output=True, text=True, check=True
    )
    for line in listing.stdout.splitlines():
        pid, parent_pid, state, command = (*line.split(maxsplit=3), "")[:4]
        if not state.startswith("Z"):
            yield Process(int(pid), int(parent_pid), command)


def servers_in(folder: Path) -> list[int]:
    """The ids of the processes that run on a server folder's data: a postmaster, or the initdb that makes the data."""
    needle = f"-D {folder / 'data'} "
    return [
        process.pid
        for process in processes()
        if needle in f"{process.command} " and Path(process.command.split()[0]).name in _SERVER_PROGRAMS
    ]


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Look every hundredth of a second whether a condition holds; say whether it came to hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def remove(folder: Path) -> None:
    """Remove a server's folder, and the folder of its socket where that had to stand elsewhere."""
    socket = folder / "socket"
    if socket.is_symlink():
        target = socket.readlink()
        if target.name.startswith(SOCKET_PREFIX):
            shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def end(folder: Path) -> None:
    """Stop whatever runs in a server's folder, in order if it can, by force if it must, and remove the folder."""
    for pid in servers_in(folder):
        send(pid, signal.SIGINT)  # PostgreSQL's fast shutdown
    if not wait_until(lambda: not servers_in(folder), seconds=FAST_SHUTDOWN_SECONDS):
        for pid in servers_in(folder):
            send(pid, signal.SIGKILL)
        wait_until(lambda: not servers_in(folder), seconds=1)
    remove(folder)


def sweep(base: Path) -> list[Path]:
    """Clear away the folders under ``base`` whose programs are gone, and say which they were.

    Only folders of the current user are looked at. One whose lock is held is in use and left alone.
    """
    swept = []
    for folder in base.glob(f"{FOLDER_PREFIX}*"):
        try:
            facts = folder.lstat()
            if facts.st_uid != os.geteuid() or time.time() - facts.st_mtime < SWEEP_AGE_SECONDS:
                continue
            with (folder / "lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                end(folder)
        except (FileNotFoundError, NotADirectoryError, BlockingIOError):
            continue  # somebody else swept it, or somebody uses it
        swept.append(folder)
    return swept


def main() -> None:
    """Wait until the program that holds the other end of standard input is gone, then end its server."""
    sys.stdin.buffer.read()
    end(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
