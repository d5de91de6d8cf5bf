"""``Lithair``: the one object for what is not said model by model; who needs none of it never makes one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.orm import Session

from lithair_sqla.codec.sealing import KeyRing
from lithair_sqla.errors import NotSupportedYet
from lithair_sqla.model.audit import AuditReport, audit
from lithair_sqla.model.encryption import use_keys
from lithair_sqla.model.places import Place
from lithair_sqla.ops.health import health_check
from lithair_sqla.ops.records import StorageHealthReport
from lithair_sqla.options import StorageConfig
from lithair_sqla.query import Query
from lithair_sqla.schema.create import create_all, library_of
from lithair_sqla.schema.tables import LibraryTables
from lithair_sqla.store import EventStore

__all__ = ["Lithair"]


class Lithair:
    """A store and the models that write it.

    ::

        lithair = Lithair(Base, StorageConfig(schema="lithair"), keys=EnvironmentKeyRing())
        lithair.create_all(engine)

    Args:
        target: a declarative base or a ``MetaData``.
        config: names and bounds of the store; ``None`` keeps what the models have, else the defaults.
        keys: what encrypted columns are sealed with; ``None`` takes ``LITHAIR_KEYS`` of the environment when needed.
        cache: not built yet.
        observers: not built yet.

    Raises:
        OptionError: the target has no metadata, or the keys are no key ring.
        NotSupportedYet: a cache or observers.
    """

    def __init__(
        self,
        target: Any,
        config: StorageConfig | None = None,
        *,
        keys: KeyRing | None = None,
        cache: None = None,
        observers: None = None,
    ) -> None:
        for name, value in (("cache", cache), ("observers", observers)):
            if value is not None:
                raise NotSupportedYet(f"Lithair({name}=…) is designed but not built yet; leave it out until then")
        self.metadata: MetaData = library_of(target).metadata
        self.library = LibraryTables.of(self.metadata, config)
        if keys is not None:
            use_keys(self.metadata, keys)

    def __repr__(self) -> str:
        """Show the configuration; never a key."""
        return f"Lithair({self.library.config!r})"

    @property
    def config(self) -> StorageConfig:
        """Names and bounds of the store."""
        return self.library.config

    def create_all(self, engine: Engine) -> None:
        """Make what is missing in a database; see ``lithair_sqla.create_all``."""
        create_all(engine, self.metadata)

    def store(self, connection: Connection) -> EventStore:
        """Return the log by way of a connection."""
        return EventStore(connection, library=self.library)

    def query(self, where: Session | Connection) -> Query:
        """Begin a question to the models or to the log."""
        return Query(where, self.config, self.metadata)

    def audit(self, where: Place) -> AuditReport:
        """Replay every event-sourced table and compare it with its rows."""
        return audit(where, self.metadata)

    def health_check(self, where: Place, *, deep: bool = False) -> StorageHealthReport:
        """Say how the store does and what to do about it."""
        return health_check(where, deep=deep, metadata=self.metadata)
