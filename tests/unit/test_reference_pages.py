"""The reference pages say what the code says: every option and every error code, and no other."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from lithair_sqla import errors
from lithair_sqla.errors import LithairError
from lithair_sqla.options import Caching, Migration, Persistence, Storage, StorageConfig
from lithair_sqla.options.built import BUILT
from lithair_sqla.options.columns import COLUMN_WORDS

PAGES = Path(__file__).parents[2] / "docs" / "reference"
RECORDS = {
    **{record.word(): record for record in (Persistence, Migration, Caching, Storage, StorageConfig)},
    **COLUMN_WORDS,
}


def sections(page: str, heading: str) -> dict[str, str]:
    """Split a page at the headings of one level: title → text, up to the next heading of that level or above."""
    text = (PAGES / page).read_text()
    above = "|".join("#" * level for level in range(1, len(heading) + 1))
    parts = re.split(rf"^({above}) (.+)$", text, flags=re.MULTILINE)
    return {
        title: body
        for level, title, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
        if level == heading
    }


def rows(section: str) -> dict[str, list[str]]:
    """Read a section's table: option → default, takes, what it does, built."""
    cells = [re.split(r" \| ", line.strip("| \n")) for line in section.splitlines() if line.startswith("| `")]
    return {option.strip("`"): rest for option, *rest in cells}


def test_every_word_has_its_section() -> None:
    assert {title.strip("`") for title in sections("options.md", "###")} == set(RECORDS)


@pytest.mark.parametrize("word", RECORDS)
def test_every_option_is_described_as_it_is(word: str) -> None:
    record = RECORDS[word]
    expected = {
        field.name: [
            "required" if field.default is MISSING else f"`{field.default!r}`",
            record.rules()[field.name].expects,
            f"with {status.comes_with}" if (status := BUILT[f"{word}.{field.name}"]).comes_with else "yes",
        ]
        for field in fields(record)
    }
    documented = rows(sections("options.md", "###")[f"`{word}`"])

    assert {option: [default, takes, built] for option, (default, takes, _, built) in documented.items()} == expected
    assert list(documented) == list(expected)
    assert all(re.fullmatch(r"[A-Z].*\.", what) for _, _, what, _ in documented.values())


def test_every_error_has_its_section() -> None:
    real = [f"{value.code} {name}" for name, value in vars(errors).items() if name in errors.__all__]

    assert list(sections("errors.md", "##")) == sorted(real)


@pytest.mark.parametrize("title", sections("errors.md", "##"))
def test_every_error_says_what_it_means_and_what_to_do(title: str) -> None:
    body = sections("errors.md", "##")[title]

    assert re.search(r"\*\*What it means\.\*\* \S.{30,}\n\n\*\*What to do\.\*\* \S.{30,}", body, re.DOTALL)


@pytest.mark.parametrize("title", sections("errors.md", "##"))
def test_what_an_error_also_is_stands_on_its_page(title: str) -> None:
    cls: type[LithairError] = getattr(errors, title.split()[1])
    builtin = [base.__name__ for base in cls.__bases__ if not issubclass(base, LithairError) and base is not Exception]
    body = sections("errors.md", "##")[title]

    assert re.findall(r"It is also a `(\w+)`", body) == builtin


@pytest.mark.parametrize("page", ["options.md", "errors.md"])
def test_links_between_the_pages_lead_somewhere(page: str) -> None:
    text = (PAGES / page).read_text()
    for target, anchor in re.findall(r"\]\(([\w.]*)(?:#([\w-]+))?\)", text):
        headings = re.findall(r"^#+ (.+)$", (PAGES / (target or page)).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, f"{page} links to {target}#{anchor}"
