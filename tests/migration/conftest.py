"""What the tests of migrations share: an Alembic project, made by `alembic init` in a folder of the test's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import URL

TARGET = "target_metadata = None"


class Project:
    """An Alembic project on the test's database, its models exchanged at will between two commands."""

    def __init__(self, folder: Path, url: URL, *, template: str = "generic", options: str = "") -> None:
        self.folder = folder
        self.output = StringIO()
        self.config = Config(str(folder / "alembic.ini"), stdout=self.output, output_buffer=self.output)
        command.init(self.config, str(folder / "migrations"), template=template)
        self.config = Config(str(folder / "alembic.ini"), stdout=self.output, output_buffer=self.output)
        self.config.set_main_option("sqlalchemy.url", url.render_as_string(hide_password=False).replace("%", "%%"))
        env = folder / "migrations" / "env.py"
        text = env.read_text()
        assert text.count(TARGET) == 1
        text = text.replace(TARGET, 'target_metadata = config.attributes["target_metadata"]')
        # fileConfig would switch off the loggers of the test run.
        text = re.sub(r"if config.config_file_name is not None:\n    fileConfig\(.*\)\n", "", text)
        if options:
            text = text.replace("target_metadata=target_metadata", f"target_metadata=target_metadata, {options}")
        env.write_text(text)

    def models(self, *bases: Any) -> None:
        """Let the project's models be those of some declarative bases or metadata."""
        found = [getattr(base, "metadata", base) for base in bases]
        self.config.attributes["target_metadata"] = found[0] if len(found) == 1 else found

    def revise(self, message: str = "change") -> str:
        """Autogenerate a revision; answers the script."""
        script: Any = command.revision(self.config, message, autogenerate=True)
        return Path(script.path).read_text()

    def upgrade(self, revision: str = "head") -> None:
        command.upgrade(self.config, revision)

    def downgrade(self, revision: str) -> None:
        command.downgrade(self.config, revision)

    def check(self) -> None:
        """Raise when autogenerate would find anything."""
        command.check(self.config)

    def sql(self, revisions: str) -> str:
        """Write an upgrade down instead of running it."""
        self.output.seek(0)
        self.output.truncate()
        command.upgrade(self.config, revisions, sql=True)
        return self.output.getvalue()

    def migrate(self, *bases: Any, message: str = "change") -> str:
        """Autogenerate a revision for some models, run it, check that nothing is left to find; answers the script."""
        self.models(*bases)
        script = self.revise(message)
        self.upgrade()
        self.check()
        return script


@pytest.fixture
def project(tmp_path: Path, database_url: URL) -> Callable[..., Project]:
    """Make an Alembic project on the test's database."""

    def make(template: str = "generic", options: str = "") -> Project:
        return Project(tmp_path, database_url, template=template, options=options)

    return make
