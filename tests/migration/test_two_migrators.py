"""Two replicas of an application start together, and both run `alembic upgrade head`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from lithair_sqla import EventSourced

MIGRATOR = Path(__file__).with_name("migrator.py")


class Replica:
    """A process that migrates databases."""

    def __init__(self, ini: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, MIGRATOR, ini], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.answer() == "ready"

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def migrate(self, url: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(url + "\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        self.process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [10, pytest.param(50, marks=pytest.mark.soak)])
@pytest.mark.parametrize("options", ["", "transaction_per_migration=True"], ids=["one transaction", "one a migration"])
def test_two_at_once(
    rounds: int,
    options: str,
    project: Callable[..., Any],
    engine: Engine,
    database_url: URL,
    server: Any,
    tmp_path: Path,
) -> None:
    def models(*names: str) -> Any:
        class Base(DeclarativeBase):
            pass

        for name in names:
            type(
                name,
                (EventSourced, Base),
                {
                    "__tablename__": name.lower(),
                    "__annotations__": {"id": Mapped[int]},
                    "id": mapped_column(primary_key=True),
                },
            )
        return Base

    alembic = project(options=options)
    alembic.migrate(models("Product"))
    alembic.migrate(models("Product", "Order"))
    (tmp_path / "alembic.ini").write_text(f"[alembic]\nscript_location = {tmp_path / 'migrations'}\n")
    replicas = [Replica(tmp_path / "alembic.ini") for _ in range(2)]
    answers = []
    for _ in range(rounds):
        name = f"lithair_test_{uuid4().hex[:12]}"
        url = server.create_database(name, strategy="file_copy").render_as_string(hide_password=False)
        for replica in replicas:
            replica.migrate(url)
        answers += [replica.answer() for replica in replicas]
        server.drop_database(name)
    for replica in replicas:
        replica.stop()

    assert set(answers) == {"done"}
