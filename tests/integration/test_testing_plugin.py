"""The plugin for users: it audits what a test did, and fails the test with the report's text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sqlalchemy import URL

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.lithair_audit(enabled=False)

MODEL = """
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from lithair_sqla import EventSourced, create_all

class Base(DeclarativeBase):
    pass

class Thing(EventSourced, Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]

@pytest.fixture
def engine():
    made = create_engine({url!r})
    create_all(made, Base)
    yield made
    made.dispose()

def write(engine, damage):
    with Session(engine) as session:
        session.add(Thing(name="a"))
        session.commit()
        if damage:
            session.execute(text('ALTER TABLE thing DISABLE TRIGGER "!lithair_guard"'))
            session.execute(text("UPDATE thing SET name = 'b'"))
            session.execute(text('ALTER TABLE thing ENABLE ALWAYS TRIGGER "!lithair_guard"'))
            session.commit()
"""


@pytest.fixture
def outcome(pytester: pytest.Pytester, database_url: URL) -> object:
    """Run one test against the test's database; answers its result."""

    def run(test: str, ini: str = "") -> pytest.RunResult:
        url = database_url.render_as_string(hide_password=False)
        pytester.makepyfile(MODEL.replace("{url!r}", repr(url)) + test)
        pytester.makeini(f"[pytest]\n{ini}\n")
        return pytester.runpytest_subprocess("-p", "no:cacheprovider")

    return run


@pytest.mark.parametrize(
    ("test", "ini", "passes"),
    [
        ("def test_it(engine, lithair_audit): write(engine, damage=False)", "", True),
        ("def test_it(engine, lithair_audit): write(engine, damage=True)", "", False),
        ("@pytest.mark.lithair_audit\ndef test_it(engine): write(engine, damage=True)", "", False),
        ("def test_it(engine): write(engine, damage=True)", "lithair_audit = true", False),
        ("def test_it(engine): write(engine, damage=True)", "", True),
        (
            "@pytest.mark.lithair_audit(enabled=False)\ndef test_it(engine): write(engine, damage=True)",
            "lithair_audit = true",
            True,
        ),
        (
            "def test_it(engine, lithair_audit):\n    lithair_audit(engine, Base)\n    write(engine, damage=True)",
            "",
            False,
        ),
    ],
)
def test_a_test_is_audited_where_it_asks_for_it(outcome: object, test: str, ini: str, passes: bool) -> None:  # noqa: FBT001
    result = outcome("\n" + test, ini)  # type: ignore[operator]
    result.assert_outcomes(passed=int(passes), failed=int(not passes))
    if not passes:
        result.stdout.fnmatch_lines(["*the log does not give the rows back*", "*thing 1: different*"])


def test_the_plugin_stands_in_the_package() -> None:
    assert "pytest11" in (Path(__file__).parents[2] / "pyproject.toml").read_text()
