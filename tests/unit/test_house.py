"""Rules of the house that no linter knows; import-linter holds the layers themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lithair_sqla

ROOT = Path(lithair_sqla.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# Which rooms may know of a library; all others must do without.
ROOMS_THAT_KNOW = {
    "alembic": {"evolution"},
    "cachetools": {"cache", "model"},
    "click": {"cli"},
    "cryptography": {"codec"},
    "docker": {"embedded"},
    "pytest": {"testing"},
    "rich": {"cli", "model"},
    "testcontainers": {"embedded"},
    "sqlalchemy.ext.asyncio": {"store", "model", "query", "evolution", "ops", "runtime", "testing"},
    # errors: a conflict is also the ORM's StaleDataError, which retry decorators know.
    "sqlalchemy.orm": {"errors", "model", "query", "evolution", "ops", "runtime", "cli", "testing"},
}

LONGEST_MODULE = 400
"""At so many lines a module is two modules."""


def room_of(module: Path) -> str:
    return module.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(module: Path) -> set[str]:
    """Every module that a file names in an import, those for type checkers included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(("library", "rooms"), ROOMS_THAT_KNOW.items(), ids=ROOMS_THAT_KNOW)
def test_a_library_is_known_to_its_rooms_only(library: str, rooms: set[str]) -> None:
    knowing = {
        str(module.relative_to(ROOT))
        for module in MODULES
        if any(name == library or name.startswith(f"{library}.") for name in imports_of(module))
        and room_of(module) not in rooms
    }

    assert knowing == set()


def test_no_module_is_two_modules() -> None:
    lengths = {str(module.relative_to(ROOT)): len(module.read_text().splitlines()) for module in MODULES}

    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}
