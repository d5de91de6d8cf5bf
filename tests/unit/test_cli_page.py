"""docs/reference/cli.md lists exactly the commands and options that there are, with the words of their help."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest

from lithair_sqla.cli import settings
from lithair_sqla.cli.app import cli

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()


def section(heading: str) -> str:
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^##+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def documented(text: str) -> dict[str, list[str]]:
    cells = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `-")]
    return {option.strip(" `"): [cell.strip() for cell in rest] for option, *rest in cells}


def expected(command: click.Command) -> dict[str, list[Any]]:
    return {
        option.opts[0]: [_takes(option), _default(option), option.help]
        for option in command.params
        if isinstance(option, click.Option)
    }


def _takes(option: click.Option) -> str:
    if option.is_flag:
        return ""
    return f"a whole number from {option.type.min}" if isinstance(option.type, click.IntRange) else "a text"


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    return f"`{option.default}`" if option.show_default else ""


def test_every_command_has_its_section_and_no_other() -> None:
    assert re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE) == sorted(cli.commands)


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_a_command_is_described_as_it_is(name: str) -> None:
    command = cli.commands[name]
    text = section(f"### `{name}`")

    assert command.help is not None
    assert text.strip().startswith(command.help.strip())
    assert documented(text) == expected(command)


def test_options_before_the_command_are_described_as_they_are() -> None:
    assert documented(section("## Options before the command")) == expected(cli)


def test_every_exit_code_is_explained() -> None:
    codes = {value for name, value in vars(settings).items() if name.isupper() and isinstance(value, int)} | {0, 2}

    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section("## Exit codes"), re.MULTILINE)} == codes
    assert all(f"{code} " in (cli.help or "") for code in codes)
