"""A server of our own: a temporary folder, initdb, and a postmaster that ends when we do.

The postmaster runs in a session of its own: the Ctrl-C
of a terminal goes to our process, which then decides, and never to the server behind our back.
"""

from __future__ import annotations

import atexit
import os
import secrets
import signal
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sqlalchemy import URL

from lithair_sqla.embedded import accounts, watchdog
from lithair_sqla.embedded.backend import DRIVER
from lithair_sqla.embedded.folder import Folder
from lithair_sqla.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from pathlib import Path

    from lithair_sqla.embedded.accounts import Account
    from lithair_sqla.embedded.request import Request

SUPERUSER = "postgres"
"""The server's first user, and the name of its first database."""

PORT = 5432
"""The port in the socket's name. Every server has a socket folder of its own, so all can have the same."""

START_SECONDS = 30
_LOG_LINES = 8


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A PostgreSQL cluster in a temporary folder, and the postmaster that serves it."""

    folder: Folder
    binaries: Path
    account: Account
    arguments: list[str]
    url: URL
    _postmaster: subprocess.Popen[bytes] | None = None
    _closed: bool = False

    @classmethod
    def create(cls, binaries: Path, *, tree: tuple[Path, ...], request: Request) -> Self:
        """Make a cluster with these binaries and start it.

        Raises:
            EmbeddedPostgresError: nobody can run them, initdb fails, or the server does not come up.
        """
        folder = Folder()
        try:
            account, binaries = accounts.choose(binaries, tree=tree, data=folder.data, copies=folder.path / "install")
            account.own(folder.socket)
            url = _address(folder, tcp=request.tcp)
            arguments = [
                *("-D", str(folder.data)),
                *("-k", str(folder.socket)),
                *("-c", f"listen_addresses={url.host or ''}"),
                *("-c", f"port={url.port or PORT}"),
                *request.server_arguments(),
            ]
            cluster = cls(folder=folder, binaries=binaries, account=account, arguments=arguments, url=url)
            cluster._initialise(durable=request.durable)
            cluster.start()
        except BaseException:
            folder.close()
            raise
        atexit.register(cluster._close_at_exit, os.getpid())
        return cluster

    def _initialise(self, *, durable: bool) -> None:
        """Run initdb; data that need not outlive the machine are not waited for."""
        command = [
            *self.account.prefix,
            str(self.binaries / "initdb"),
            *("-D", str(self.folder.data)),
            *("-U", SUPERUSER),
            *("--encoding=UTF8", "--locale=C", "--auth-local=trust", "--no-instructions"),
            *(() if durable else ("--no-sync",)),
        ]
        if (password := self.url.password) is not None:
            secret = self.folder.path / "password"
            secret.touch(mode=0o600)
            secret.write_text(f"{password}\n")
            self.account.own(secret)
            command += ["--auth-host=scram-sha-256", f"--pwfile={secret}"]
        else:
            command += ["--auth-host=reject"]
        initdb = self._run(command)
        if initdb.wait() != 0:
            raise EmbeddedPostgresError(f"initdb failed with exit code {initdb.returncode}: {self._last_words()}")
        (self.folder.path / "password").unlink(missing_ok=True)

    def _run(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a program of the server's as its account, with an environment of its own."""
        # PGDATA, PGPORT, LANG and the like must not reach the server; TZ spares initdb a search through all zones.
        environment = {name: value for name in ("PATH", "LD_LIBRARY_PATH") if (value := os.environ.get(name))}
        environment |= {"HOME": str(self.folder.data), "LC_ALL": "C", "TZ": "UTC"}
        with self.folder.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - PostgreSQL's programs, with arguments that were checked
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self.folder.path,
                start_new_session=True,
                **self.account.popen_options(),
            )

    def start(self) -> None:
        """Start the postmaster and wait until it answers.

        Raises:
            EmbeddedPostgresError: it runs already, or does not come up; the end of its log is given.
        """
        if self._closed:
            raise EmbeddedPostgresError("the server's block has ended, and its data are gone")
        if self._postmaster is not None:
            raise EmbeddedPostgresError("the server is running: stop() or kill() it first")
        command = [*self.account.prefix, str(self.binaries / "postgres"), *self.arguments]
        self._postmaster = postmaster = self._run(command)
        ready = watchdog.wait_until(
            lambda: postmaster.poll() is not None or self._is_ready(postmaster.pid), seconds=START_SECONDS
        )
        if not ready or postmaster.poll() is not None:
            outcome = f"ended with exit code {postmaster.poll()}" if ready else f"was not ready in {START_SECONDS} s"
            self.kill()
            raise EmbeddedPostgresError(f"postgres {outcome}: {self._last_words()}")

    def _is_ready(self, pid: int) -> bool:
        """Read what the postmaster writes for pg_ctl: its pid in the first line, its state in the eighth."""
        try:
            lines = (self.folder.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(pid)] and lines[7:8] == ["ready   "]

    def stop(self) -> None:
        """Shut down in order; a server that does not manage in time is killed, and recovers when it starts again.

        Raises:
            EmbeddedPostgresError: the server does not run.
        """
        postmaster = self._running()
        postmaster.send_signal(signal.SIGINT)
        try:
            postmaster.wait(watchdog.FAST_SHUTDOWN_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        else:
            self._postmaster = None

    def kill(self) -> None:
        """End the postmaster and all its children with SIGKILL.

        Raises:
            EmbeddedPostgresError: the server does not run.
        """
        postmaster = self._running()
        postmaster.send_signal(signal.SIGSTOP)  # so that it has no more children than those we see
        children = {process.pid for process in watchdog.processes() if process.parent_pid == postmaster.pid}
        for pid in (postmaster.pid, *children):
            watchdog.send(pid, signal.SIGKILL)
        postmaster.wait()
        self._postmaster = None
        # A child that still dies holds the shared memory that the next postmaster must find free.
        watchdog.wait_until(
            lambda: children.isdisjoint(process.pid for process in watchdog.processes()), seconds=START_SECONDS
        )

    def close(self) -> None:
        """Stop the server and remove its folder; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self._close_at_exit)
        try:
            if self._postmaster is not None:
                self.stop()
        finally:
            self.folder.close()

    def _close_at_exit(self, owner: int) -> None:
        """Close when the program ends without having left the block; a forked child's end means nothing."""
        if os.getpid() == owner:
            self.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._postmaster is None:
            raise EmbeddedPostgresError("the server is not running: start() it first")
        return self._postmaster

    def _last_words(self) -> str:
        lines = [line for line in self.folder.log.read_text(errors="replace").splitlines() if line.strip()]
        return " | ".join(lines[-_LOG_LINES:]) or "it said nothing"


def _address(folder: Folder, *, tcp: bool) -> URL:
    """Decide where a server will be: at its socket, or at a free port with a password of its own."""
    if not tcp:
        socket_of_ours = {"host": str(folder.socket), "port": str(PORT)}
        return URL.create(DRIVER, username=SUPERUSER, database=SUPERUSER, query=socket_of_ours)
    password = secrets.token_urlsafe(16)
    return URL.create(
        DRIVER, username=SUPERUSER, password=password, host="127.0.0.1", port=_free_port(), database=SUPERUSER
    )


def _free_port() -> int:
    """Ask the system for a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
