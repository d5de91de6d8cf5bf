"""What kind of server is asked for, validated where it is said."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from lithair_sqla.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

SourceName: TypeAlias = Literal["dsn", "docker", "system", "wheel"]
"""Where a server comes from."""

SettingValue: TypeAlias = str | int | float | bool

ORDER: tuple[SourceName, ...] = ("dsn", "docker", "system", "wheel")
"""The sources in the order in which they are tried."""

_RESERVED = {
    "data_directory": "the server's folder is temporary",
    "fsync": "say durable=True or durable=False",
    "full_page_writes": "say durable=True or durable=False",
    "listen_addresses": "say tcp=True or tcp=False",
    "port": "a free one is taken",
    "unix_socket_directories": "the socket stands in the server's temporary folder",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A server as it is asked for: the arguments of `lithair_sqla.embedded.postgres`.

    Raises:
        OptionError: a source that is not known, or a setting that has no name or belongs to another argument.
    """

    source: SourceName | None = None
    durable: bool = False
    settings: Mapping[str, SettingValue] = field(default_factory=dict)
    tcp: bool = False
    dsn_variable: str = "LITHAIR_DSN"

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.source is not None and self.source not in ORDER:
            raise OptionError(f"source={self.source!r} is not known: choose from {', '.join(ORDER)}, or None for any")
        for name in self.settings:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name):
                raise OptionError(f"settings: {name!r} is not the name of a PostgreSQL setting")
            if name.lower() in _RESERVED:
                raise OptionError(f"settings: {name} cannot be set here: {_RESERVED[name.lower()]}")

    @property
    def dsn(self) -> str | None:
        """The server that the environment names, if it names one."""
        return os.environ.get(self.dsn_variable) or None

    @property
    def sources(self) -> tuple[SourceName, ...]:
        """What to try. A server that is named is the one that is meant: no other is tried then."""
        if self.source is not None:
            return (self.source,)
        return ("dsn",) if self.dsn else ORDER

    def server_arguments(self) -> list[str]:
        """The settings as arguments of the program ``postgres``."""
        settings: dict[str, SettingValue] = {}
        if not self.durable:
            # What a crash of the machine would lose is a folder that is thrown away in any case.
            settings |= {"fsync": False, "full_page_writes": False, "synchronous_commit": False}
        settings |= self.settings
        return [part for name, value in settings.items() for part in ("-c", f"{name}={_text(value)}")]


def _text(value: SettingValue) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
