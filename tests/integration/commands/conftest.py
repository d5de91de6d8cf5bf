"""One database for each module here, with the tables of the module's ``Base``: tests use objects of their own in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.orm import Session

from lithair_sqla import create_all

if TYPE_CHECKING:
    from lithair_sqla import embedded


@pytest.fixture(scope="module")
def database_url(server: embedded.PostgresServer) -> Iterator[URL]:
    """A database of the module's own, gone after it."""
    name = f"lithair_test_{uuid4().hex[:12]}"
    yield server.create_database(name, strategy="file_copy" if server.version >= (15, 0) else None)
    server.drop_database(name)


@pytest.fixture(scope="module")
def engine(database_url: URL, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine on the module's database, which has the tables of the module's ``Base``."""
    made = create_engine(database_url)
    create_all(made, request.module.Base)
    yield made
    made.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on the module's database."""
    with Session(engine) as opened:
        yield opened
