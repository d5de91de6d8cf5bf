"""Who runs the server: PostgreSQL refuses to run as root, and initdb refuses a user without a name.

As an ordinary user there is nothing to decide. As root, three ways are tried until one works, none of which adds a
user or changes the mode of a folder that is not ours:

1. as another user that exists (postgres, nobody), where that user can reach the binaries;
2. in a user namespace where root bears another user's number, which needs no path to be open to anyone else;
3. as another user, with the binaries copied into the server's own folder.

Whether a way works is found out by walking it: the binary is run that way, and asked for its version.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from lithair_sqla.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS = ("postgres", "nobody")
"""Users that a server may run as when root starts it."""

# Can this account write to the folder, and run the program?
_PROBE = 'test -w "$1" || { echo "cannot write to $1" >&2; exit 1; }; exec "$2" --version'


class PopenOptions(TypedDict, total=False):
    """The arguments of `subprocess.Popen` that say who runs a program."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A way to run a program as somebody PostgreSQL accepts.

    Attributes:
        name: the way in words, for messages.
        user: numbers of the user and the group to run as; None keeps the current ones.
        prefix: a command that runs the program.
    """

    name: str
    user: tuple[int, int] | None = None
    prefix: tuple[str, ...] = ()

    def own(self, path: Path) -> None:
        """Give a file or folder of ours to this account."""
        os.chown(path, *(self.user or (os.geteuid(), os.getegid())))

    def popen_options(self) -> PopenOptions:
        """Arguments that make `subprocess.Popen` run a program as this account."""
        if self.user is None:
            return {}
        uid, gid = self.user
        return {"user": uid, "group": gid, "extra_groups": []}

    def refusal(self, program: Path, folder: Path) -> str | None:
        """Say why this account cannot run a program on a folder, or None when it can."""
        command = [*self.prefix, "/bin/sh", "-c", _PROBE, "probe", str(folder), str(program)]
        try:
            answer = subprocess.run(  # noqa: S603 - a command of our own
                command, capture_output=True, text=True, check=False, timeout=10, cwd="/", **self.popen_options()
            )
        except (OSError, subprocess.SubprocessError) as error:
            return f"{self.name}: {error}"
        if answer.returncode != 0:
            return f"{self.name}: {(answer.stderr or answer.stdout).strip() or f'exit code {answer.returncode}'}"
        return None


def accounts() -> Iterator[Account]:
    """The ways open to the current user, best first."""
    if os.geteuid() == 0:
        yield from _other_users()
        yield from _namespaces()
    elif _has_name(os.geteuid()):
        yield Account(name="as the current user")
    else:  # `docker run --user 12345`: nobody in the user database, and initdb insists on a name
        yield from _namespaces()


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _other_users() -> Iterator[Account]:
    for name in USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        yield Account(name=f"as user {name}", user=(entry.pw_uid, entry.pw_gid))


def _namespaces() -> Iterator[Account]:
    unshare = shutil.which("unshare")
    named = next((entry for entry in pwd.getpwall() if entry.pw_uid != 0), None)
    if unshare is not None and named is not None:
        yield Account(
            name=f"in a user namespace as {named.pw_name}", prefix=(unshare, "--user", f"--map-user={named.pw_uid}")
        )


def choose(binaries: Path, *, tree: tuple[Path, ...], data: Path, copies: Path) -> tuple[Account, Path]:
    """Find an account that can run the server's binaries on a data folder, which then belongs to it.

    Args:
        binaries: the folder with ``postgres`` and ``initdb``.
        tree: what has to be copied along to make the binaries work elsewhere; empty where they cannot be moved.
        data: the folder that the server must be able to write to.
        copies: where the binaries may be copied to.

    Returns:
        The account, and the folder of the binaries that it can run.

    Raises:
        EmbeddedPostgresError: no account can; every reason is given.
    """
    refusals = []
    for account in accounts():
        account.own(data)
        if (refusal := account.refusal(binaries / "postgres", data)) is None:
            return account, binaries
        refusals.append(refusal)
    if os.geteuid() == 0 and tree:
        copied = _copy(binaries, tree=tree, to=copies)
        for account in _other_users():
            account.own(data)
            if (refusal := account.refusal(copied / "postgres", data)) is None:
                return account, copied
            refusals.append(f"{refusal} (copied)")
    raise EmbeddedPostgresError("no account can run it: " + ("; ".join(refusals) or "no user but root is known"))


def _copy(binaries: Path, *, tree: tuple[Path, ...], to: Path) -> Path:
    """Copy a relocatable installation, readable for everybody, and return where its binaries are now."""
    common = Path(os.path.commonpath(tree))
    for part in tree:
        shutil.copytree(part, to / part.relative_to(common))
    for path in (to, *to.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if mode & 0o100 else 0o444))
    return to / binaries.relative_to(common)
