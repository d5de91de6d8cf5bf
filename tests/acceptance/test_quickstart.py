"""README's twenty lines are ``examples/quickstart.py``, and print what README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import URL

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart.py"


def first_block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def run() -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, QUICKSTART], check=False, capture_output=True, text=True, timeout=60)


def test_the_readme_shows_the_file_as_it_is() -> None:
    assert first_block("python") == QUICKSTART.read_text()


def test_the_file_prints_what_the_readme_says(database_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITHAIR_DSN", database_url.render_as_string(hide_password=False))

    ran = run()

    assert ran.stderr == ""
    assert ran.stdout == first_block("text").replace("postgres", database_url.username or "")


def test_the_file_needs_no_server_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITHAIR_DSN", raising=False)

    ran = run()

    assert ran.stderr == ""
    assert ran.stdout.endswith(first_block("text").splitlines()[-1] + "\n")
