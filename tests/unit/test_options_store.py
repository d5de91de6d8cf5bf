"""Options of a whole store."""

from __future__ import annotations

import pickle
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithair_sqla.errors import NotSupportedYet, OptionError
from lithair_sqla.options import (
    CompactionSchedule,
    CompressionAlg,
    EvictionPolicy,
    RetentionPolicy,
    StorageConfig,
    SyncMode,
    WriteStrategy,
    built,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SEED: dict[str, Any] = {
    "batch_size": 1000,
    "sync_mode": SyncMode.Periodic(timedelta(milliseconds=10)),
    "compression_threshold": 1024,
    "snapshot_frequency": 10_000,
    "snapshot_compression": CompressionAlg.ZSTD,
    "max_snapshots_per_aggregate": 5,
    "memory_cache_size_mb": 2048,
    "cache_eviction_policy": EvictionPolicy.LRU,
    "cache_write_strategy": WriteStrategy.WRITE_THROUGH,
    "index_bloom_filter_size": 1_000_000,
    "index_update_batch_size": 100,
    "full_text_index_enabled": True,
    "retention_policy": RetentionPolicy.TimeBasedDays(365),
    "compaction_schedule": CompactionSchedule.DAILY,
}


def test_the_defaults_are_the_seeds_where_something_is_built() -> None:
    config = StorageConfig()

    assert (config.snapshot_frequency, config.max_snapshots_per_aggregate) == (10_000, 5)
    assert (config.prefix, config.partition_width, config.partitions_ahead) == ("lithair_", 20_000_000, 3)
    assert (config.schema, config.parts_schema, config.tenant_id, config.node_id) == (None, None, 0, None)
    assert repr(config) == "StorageConfig()"


@pytest.mark.parametrize("option", SEED)
def test_the_seeds_fields_work_or_are_refused(option: str) -> None:
    if built.BUILT[f"StorageConfig.{option}"].comes_with:
        with pytest.raises(NotSupportedYet, match=rf"StorageConfig\({option}=.* is designed but not built yet"):
            StorageConfig(**{option: SEED[option]})
    else:
        assert getattr(StorageConfig(**{option: SEED[option]}), option) == SEED[option]


@pytest.mark.usefixtures("everything_built")
def test_the_seeds_whole_configuration_is_taken_once_it_is_built() -> None:
    config = StorageConfig(**SEED)

    assert {option: getattr(config, option) for option in SEED} == SEED
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 - our own


@given(st.text(max_size=70))
def test_a_schema_is_any_identifier_of_postgresql_but_its_own(schema: str) -> None:
    fits = (
        0 < len(schema.encode(errors="surrogatepass")) <= 63
        and not any(0xD800 <= ord(character) <= 0xDFFF for character in schema)
        and "\0" not in schema
        and not schema.startswith("pg_")
    )
    if fits:
        assert StorageConfig(schema=schema).schema == schema
    else:
        with pytest.raises(OptionError, match=r"StorageConfig\(schema=…\) must be a schema's name"):
            StorageConfig(schema=schema)


@given(st.from_regex(r"\A[a-z_][a-z0-9_]{0,19}\Z"))
def test_a_plain_prefix_is_taken(prefix: str) -> None:
    assert StorageConfig(prefix=prefix).prefix == prefix


@pytest.mark.parametrize("prefix", ["", "A", "1a", "a-b", "a b", 'a"b', "é", "a\n", "x" * 21, None, 5])
def test_a_prefix_that_would_need_quoting_is_refused(prefix: Any) -> None:
    with pytest.raises(OptionError, match=r"StorageConfig\(prefix=…\) must be 1 to 20 characters"):
        StorageConfig(prefix=prefix)


@pytest.mark.parametrize("schema", ["pg_catalog", "pg_x", "information_schema", "é" * 32, "a\0b", ""])
def test_a_schema_that_cannot_be_made_is_refused(schema: str) -> None:
    with pytest.raises(OptionError, match=r"StorageConfig\(parts_schema=…\)"):
        StorageConfig(parts_schema=schema)


@pytest.mark.parametrize(
    ("option", "least", "most"),
    [
        ("partition_width", 1_000, 1_000_000_000),
        ("partitions_ahead", 1, 100),
        ("tenant_id", 0, 2_147_483_647),
        ("node_id", 0, 2_147_483_647),
        ("snapshot_frequency", 0, 1_000_000_000),
        ("max_snapshots_per_aggregate", 1, 1_000_000),
    ],
)
def test_numbers_have_bounds(option: str, least: int, most: int) -> None:
    right: list[Any] = [least, most]
    for value in right:
        assert getattr(StorageConfig(**{option: value}), option) == value
    wrong: list[Any] = [least - 1, most + 1, 5.0, "5", True]
    for value in wrong:
        with pytest.raises(
            OptionError, match=rf"StorageConfig\({option}=…\) must be a whole number, {least:,} to {most:,}"
        ):
            StorageConfig(**{option: value})


def test_partitions_stand_in_a_schema_of_their_own() -> None:
    assert StorageConfig(schema="shop", parts_schema="shop_parts").parts_schema == "shop_parts"
    with pytest.raises(OptionError, match="contradict each other"):
        StorageConfig(schema="shop", parts_schema="shop")


def test_a_misspelt_field_suggests_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'partition_width'"):
        StorageConfig(partitions_width=5)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "make",
    [
        lambda: SyncMode.Periodic(timedelta(0)),
        lambda: SyncMode.Periodic(10),  # type: ignore[arg-type]
        lambda: RetentionPolicy.TimeBasedDays(0),
        lambda: RetentionPolicy.TimeBasedDays(True),  # noqa: FBT003 - the wrong value itself
        lambda: RetentionPolicy.TimeBasedDays("365"),  # type: ignore[arg-type]
    ],
)
def test_the_seeds_records_check_what_they_hold(make: Callable[[], object]) -> None:
    with pytest.raises(OptionError):
        make()
