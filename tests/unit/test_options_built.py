"""The table of what is built: complete, and obeyed."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest

from lithair_sqla.errors import NotSupportedYet
from lithair_sqla.options import (
    Caching,
    CompactionSchedule,
    CompressionAlg,
    EvictionPolicy,
    Migration,
    Persistence,
    RetentionPolicy,
    Storage,
    StorageConfig,
    SyncMode,
    WriteStrategy,
    built,
)
from lithair_sqla.options.columns import COLUMN_WORDS
from lithair_sqla.options.records import OptionRecord

RECORDS: dict[str, type[OptionRecord]] = {
    **{record.word(): record for record in (Persistence, Migration, Caching, Storage, StorageConfig)},
    **COLUMN_WORDS,
}
OPTIONS = [f"{word}.{option}" for word, record in RECORDS.items() for option in record.rules()]
VALUES: dict[str, object] = {
    "a whole number": 7,
    "a name of": "name",
    "a column's name": "stock",
    "a mapping of": {"Sold": ["stock"]},
    "a list of": ["stock"],
    "1 to 1,000 characters": "price * 1.2",
    "1 to 20 characters": "shop_",
    "a schema's name": "shop",
    "a date": "2026-12-31",
    "a language": "fr",
    "the name of a storage": "ssd",
    "a text": "Unknown",
    "True or False": True,
    "of type CompressionAlg": CompressionAlg.ZSTD,
    "of type SyncMode": SyncMode.Periodic(timedelta(seconds=1)),
    "of type EvictionPolicy": EvictionPolicy.LFU,
    "of type WriteStrategy": WriteStrategy.WRITE_BACK,
    "of type RetentionPolicy": RetentionPolicy.TimeBasedDays(7),
    "of type CompactionSchedule": CompactionSchedule.DAILY,
}
NEEDED: dict[str, dict[str, Any]] = {
    "Persistence.compression_threshold": {"compression": "zstd"},
    "Migration.from_version": {"version": 9},
    "StorageConfig.partition_width": {"partition_width": 5_000},
    "index.unique": {"type": "btree"},
    "index.fields": {"type": "hash"},
    "index.optimize_for": {"type": "range"},
    "index.language": {"type": "full_text"},
    "index.precision": {"type": "geo_spatial"},
    "index.events": {"type": "btree"},
}


def some_value(record: type[OptionRecord], option: str) -> object:
    """A value that the option takes and that is not its default."""
    rule = record.rules()[option]
    default = next(field.default for field in fields(record) if field.name == option)
    if rule.choices:
        return next(choice for choice in reversed(rule.choices) if choice != default or len(rule.choices) == 1)
    return next(value for start, value in VALUES.items() if rule.expects.startswith(start))


def make(name: str) -> OptionRecord:
    word, option = name.split(".")
    record = RECORDS[word]
    return record(**{option: some_value(record, option), **NEEDED.get(name, {})})


def test_the_table_has_every_option_and_no_other() -> None:
    assert sorted(built.BUILT) == sorted(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_taken_or_refused_as_the_table_says(name: str) -> None:
    word, option = name.split(".")
    if built.BUILT[name].comes_with:
        with pytest.raises(NotSupportedYet, match="is designed but not built yet: it comes with ") as caught:
            make(name)
        assert word in str(caught.value)
    else:
        assert option in make(name).changed() or len(RECORDS[word].rules()[option].choices) == 1


@pytest.mark.parametrize("name", OPTIONS)
def test_building_an_option_is_one_line_in_the_table(name: str) -> None:
    word, _ = name.split(".")
    needs = [f"{word}.{other}" for other in NEEDED.get(name, {})]
    with patch.object(built, "BUILT", {**built.BUILT, **dict.fromkeys([name, *needs], built.YES)}):
        assert make(name).word() == word


def test_some_values_of_an_option_may_be_built_before_the_others() -> None:
    row = {"Persistence.write_strategy": built.later("group commit", "async")}
    with patch.object(built, "BUILT", {**built.BUILT, **row}):
        assert Persistence(write_strategy="async").write_strategy == "async"
        with pytest.raises(NotSupportedYet, match=r"write_strategy='async_batch'\).*comes with group commit"):
            Persistence(write_strategy="async_batch")


def test_an_option_that_the_table_forgot_is_refused() -> None:
    rest = {name: status for name, status in built.BUILT.items() if name != "Persistence.name"}
    with patch.object(built, "BUILT", rest), pytest.raises(NotSupportedYet, match=r"Persistence\(name='x'\)"):
        Persistence(name="x")
