"""Every code block of README and docs/ is run, page by page: what a page shows is what a reader gets.

The blocks of a page share one namespace and one empty database, whose address stands in ``LITHAIR_DSN``. A ``text``
block is what the ``python`` or ``sql`` block before it prints; ``…`` in it stands for anything in its line. The
commands of a ``bash`` block are checked rather than run: the target, module, file or extra must exist. But
``lithair-storage`` is run, and what it prints compared; a comment behind it may name its exit code, and a page's
classes stand in a module ``shop``.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner
from sqlalchemy import URL, Engine

from lithair_sqla.cli.app import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(found["language"], found["code"], text[: found.start("code")].count("\n") + 1)
        for found in FENCE.finditer(text)
    ]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def namespace(database_url: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What a page's blocks share. A module of its own, for SQLAlchemy looks annotations up in a class's module."""
    monkeypatch.setenv("LITHAIR_DSN", database_url.render_as_string(hide_password=False))
    module = ModuleType("a_page_of_the_docs")
    for name in (module.__name__, "shop"):
        monkeypatch.setitem(sys.modules, name, module)
    yield vars(module)
    for value in vars(module).values():
        if isinstance(value, Engine):
            value.dispose()


def run_python(block: Block, page: Path, namespace: dict[str, Any]) -> str:
    # Padded, so that a traceback names the line of the page.
    code = compile("\n" * (block.line - 1) + block.code, name_of(page), "exec", dont_inherit=True)
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(code, namespace)  # noqa: S102 - the point of the test
    return printed.getvalue()


def run_sql(block: Block, url: URL) -> str:
    """Send each statement by itself, as psql does; answers with the rows of the last one."""
    rows: list[tuple[Any, ...]] = []
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in re.split(r";$", block.code, flags=re.MULTILINE):
            if statement.strip():
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
    return "".join(" | ".join(str(value) for value in row) + "\n" for row in rows)


def assert_prints(expected: str, printed: str, where: str) -> None:
    pattern = re.escape(expected).replace(re.escape("…"), "[^\n]*")
    assert re.fullmatch(pattern, printed), f"{where} shows\n{expected}\nand the block before it prints\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_does_what_it_says(page: Path, namespace: dict[str, Any], database_url: URL) -> None:
    printed: str | None = None
    for block in blocks_of(page):
        where = f"{name_of(page)}:{block.line}"
        if block.language == "text":
            assert printed is not None, f"{where} is the output of nothing"
            # Elsewhere than on a server of our own, the database's user has another name.
            assert_prints(re.sub(r"\bpostgres\b", database_url.username or "", block.code), printed, where)
            printed = None
            continue
        assert not printed, f"{name_of(page)}: the block before line {block.line} prints what the page does not show"
        match block.language:
            case "python":
                printed = run_python(block, page, namespace)
            case "sql":
                printed = run_sql(block, database_url)
            case "bash":
                printed = "".join(run_command(command, where) for command in block.code.splitlines()) or None
            case _:
                pytest.fail(f"{where}: a block is python, sql, bash or text, not {block.language!r}")
    assert not printed, f"{name_of(page)}: its last block prints what the page does not show"


def run_command(command: str, where: str) -> str:
    """Run ``lithair-storage`` and answer what it prints; only check any other command."""
    words = shlex.split(command, comments=True)
    match words:
        case ["lithair-storage", *given]:
            expected = re.search(r"# exit code (\d+)$", command)
            ran = CliRunner(env={"COLUMNS": "100"}).invoke(cli, given, prog_name="lithair-storage")
            assert ran.exit_code == int(expected[1] if expected else 0), f"{where}: {ran.output}"
            return ran.stdout
        case ["eval", source] if found := re.fullmatch(
            r"\$\((_LITHAIR_STORAGE_COMPLETE=\S+) lithair-storage\)", source
        ):
            check_completion(found[1], where)
        case [assignment, "lithair-storage", "|", "source"]:
            check_completion(assignment, where)
        case _:
            check_command(words, where)
    return ""


def check_command(words: list[str], where: str) -> None:
    match words:
        case []:
            return
        case ["make", target, *_]:
            assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE), where
        case ["pip", "install", *requirements]:
            for requirement in requirements:
                check_requirement(requirement, where)
        case ["python", "-m", module, *_]:
            assert find_spec(module) is not None, where
            subprocess.run([sys.executable, "-m", module, "--help"], check=True, capture_output=True, timeout=60)
        case ["python", script, *options]:
            assert (ROOT / script).is_file(), where
            if options:
                helped = subprocess.run(
                    [sys.executable, ROOT / script, "--help"], check=True, capture_output=True, text=True, timeout=60
                ).stdout
                assert all(option in helped for option in options if option.startswith("-")), where
        case ["export", assignment]:
            assert assignment.startswith("LITHAIR_DSN="), where
        case _:
            pytest.fail(f"{where}: nothing checks the command {shlex.join(words)!r}")


def check_completion(assignment: str, where: str) -> None:
    name, _, instruction = assignment.partition("=")
    shell, _, what = instruction.partition("_")
    made = get_completion_class(shell)
    assert made is not None, where
    assert what == "source", where
    assert "lithair-storage" in made(cli, {}, "lithair-storage", name).source(), where


def check_requirement(requirement: str, where: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = re.fullmatch(r"([a-z-]+)(?:\[([a-z,]+)\])?", requirement)
    assert found is not None, f"{where}: {requirement} is no requirement"
    assert found[1] == project["name"], f"{where}: the package is called {project['name']}"
    extras = set(found[2].split(",")) if found[2] else set()
    assert extras <= project["optional-dependencies"].keys(), f"{where}: there is no such extra in {requirement}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_links_to_what_is_there(page: Path) -> None:
    targets = [found["target"] for found in LINK.finditer(page.read_text())]
    local = [target for target in targets if "://" not in target]

    assert [target for target in local if not (page.parent / target).exists()] == []


def test_every_page_can_be_reached_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / found["target"]).resolve() for found in LINK.finditer(index.read_text())}
    pages = {page.resolve() for page in PAGES} - {index.resolve(), (ROOT / "README.md").resolve()}

    assert pages - linked == set()
