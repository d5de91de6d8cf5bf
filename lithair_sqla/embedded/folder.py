"""The temporary folder of one server, watched over from its first moment to its last.

It holds ``data`` and ``socket``, which only the server's user can enter, ``log``, and ``lock``, which tells others
that its owner lives (see `lithair_sqla.embedded.watchdog`).
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lithair_sqla.embedded import watchdog

SOCKET_PATH_BYTES = 103
"""The longest path of a socket that every system takes: 107 bytes on Linux, 103 elsewhere."""


class Folder:
    """The temporary folder of one server, watched over from its first moment."""

    def __init__(self) -> None:
        base = Path(tempfile.gettempdir())
        watchdog.sweep(base)
        self.path = Path(tempfile.mkdtemp(prefix=watchdog.FOLDER_PREFIX, dir=base))
        self._lock = (self.path / "lock").open("ab")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._watchdog = subprocess.Popen(  # noqa: S603 - a script of ours, on a folder of ours
            [sys.executable, "-I", "-S", watchdog.__file__, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[self._lock.fileno()],
            start_new_session=True,
            cwd="/",
        )
        self.path.chmod(0o711)  # the server's user passes through it
        self.data.mkdir(mode=0o700)
        self._make_socket_folder()

    @property
    def data(self) -> Path:
        """Where initdb puts the data."""
        return self.path / "data"

    @property
    def socket(self) -> Path:
        """Where the server puts its socket."""
        return (self.path / "socket").resolve()

    @property
    def log(self) -> Path:
        """What the server and initdb say."""
        return self.path / "log"

    def _make_socket_folder(self) -> None:
        place = self.path / "socket"
        name = f".s.PGSQL.{2**16 - 1}"
        if len(os.fsencode(place.resolve() / name)) <= SOCKET_PATH_BYTES:
            place.mkdir(mode=0o700)
            return
        # A long TMPDIR may be where the room is: the data stay there, and the socket alone moves.
        elsewhere = Path(tempfile.mkdtemp(prefix=watchdog.SOCKET_PREFIX, dir="/tmp"))
        place.symlink_to(elsewhere)

    def close(self) -> None:
        """End what still runs in the folder, remove it, and send the watchdog home."""
        watchdog.end(self.path)
        self._lock.close()
        self._watchdog.communicate()
