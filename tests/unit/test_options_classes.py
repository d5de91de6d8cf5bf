"""Options of a class: checked where they are made, short when shown, refused where they are not built."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithair_sqla.errors import NotSupportedYet, OptionError
from lithair_sqla.options import Caching, Migration, Persistence, Storage

if TYPE_CHECKING:
    pass


def test_an_option_set_to_its_default_is_no_change() -> None:
    assert Persistence(strategy="event_sourced", capture="guard", serialization="json") == Persistence()
    assert Persistence().changed() == {}


def test_a_repr_shows_only_what_was_set() -> None:
    assert repr(Persistence()) == "Persistence()"
    assert repr(Persistence(name="item", snapshot_frequency=0)) == "Persistence(name='item', snapshot_frequency=0)"
    assert repr(Persistence(events={"Sold": ["stock"]})) == "Persistence(events={'Sold': ('stock',)})"


def test_options_cannot_be_changed_afterwards() -> None:
    columns = ["stock"]
    rules = {"StockChanged": columns}
    options = Persistence(events=rules)
    columns.append("price")
    rules["Other"] = ["name"]

    assert options.events == {"StockChanged": ("stock",)}
    with pytest.raises(FrozenInstanceError):
        options.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        options.events["Other"] = ()  # type: ignore[index]


@pytest.mark.parametrize(
    "options", [Persistence(), Persistence(name="a", events={"A": ["x", "y"], "B": ["x"]})], ids=repr
)
def test_options_survive_copy_and_pickle(options: Persistence) -> None:
    for twin in (copy.copy(options), copy.deepcopy(options), pickle.loads(pickle.dumps(options))):  # noqa: S301 - our own
        assert twin == options
        assert hash(twin) == hash(options)
        assert repr(twin) == repr(options)


def test_replace_keeps_the_other_options() -> None:
    base = Persistence(snapshot_frequency=10, events={"A": ["x"]})

    assert base.replace(name="dog") == Persistence(name="dog", snapshot_frequency=10, events={"A": ["x"]})
    assert base.replace(snapshot_frequency=None).snapshot_frequency is None
    with pytest.raises(OptionError, match="did you mean 'snapshot_frequency'"):
        base.replace(snapshot_frequencies=1)


def test_an_unknown_option_suggests_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"Persistence\(snapshot_freqency=…\).*did you mean 'snapshot_frequency'\?"):
        Persistence(snapshot_freqency=1000)  # type: ignore[call-arg]


def test_an_unknown_option_without_a_near_one_lists_them_all() -> None:
    with pytest.raises(OptionError, match=r"zzz=….*it has strategy, ttl_seconds, max_size_mb, eviction"):
        Caching(zzz=1)  # type: ignore[call-arg]


def test_options_are_given_by_name() -> None:
    with pytest.raises(OptionError, match=r"takes its options by name, such as Persistence\(strategy=…\)"):
        Persistence("event_sourced")  # type: ignore[call-arg]


@pytest.mark.usefixtures("everything_built")
@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("strategy", "crud"),
        ("name", ""),
        ("name", "a\nb"),
        ("name", "a\0"),
        ("name", "x" * 201),
        ("name", 5),
        ("snapshot_frequency", -1),
        ("snapshot_frequency", 1.0),
        ("snapshot_frequency", True),
        ("snapshot_frequency", "1000"),
        ("snapshot_frequency", 1_000_000_001),
        ("max_snapshots_per_aggregate", 0),
        ("created_event", ""),
        ("updated_event", b"Updated"),
        ("deleted_event", "\ud800"),
        ("events", {}),
        ("events", {"Sold": []}),
        ("events", {"Sold": "stock"}),
        ("events", {"": ["stock"]}),
        ("events", {"Sold": [""]}),
        ("events", {"Sold": ["s" * 64]}),
        ("events", ["Sold"]),
        ("foreign_writes", "ignore"),
        ("truncate", None),
        ("capture", "trigger"),
        ("write_strategy", "later"),
        ("read_preference", "cache"),
        ("serialization", "xml"),
        ("compression", "gzip"),
        ("compression_threshold", -1),
        ("retention_days", 0),
        ("subject", "é" * 32),
    ],
)
def test_a_wrong_value_names_the_option_and_what_it_takes(option: str, wrong: Any) -> None:
    with pytest.raises(OptionError) as caught:
        Persistence(**{option: wrong})

    assert not isinstance(caught.value, NotSupportedYet)
    assert f"Persistence({option}=…) must be {Persistence.rules()[option].expects}, not " in str(caught.value)


def test_a_long_wrong_value_is_cut_in_the_message() -> None:
    with pytest.raises(OptionError) as caught:
        Persistence(name="x" * 10_000)

    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["item", "Bestellung für Ümläute", "шт", "a.b-c d", "x" * 200, "'; DROP TABLE x; --"])
def test_any_printable_name_will_do(name: str) -> None:
    assert Persistence(name=name).name == name


@given(st.text(max_size=210))
def test_a_name_is_taken_whole_or_refused(name: str) -> None:
    fits = 1 <= len(name) <= 200 and not any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF for c in name)
    if fits:
        assert Persistence(name=name).name == name
    else:
        with pytest.raises(OptionError):
            Persistence(name=name)


@pytest.mark.usefixtures("everything_built")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"capture": "session", "foreign_writes": "refuse"}, "nothing sees a foreign write"),
        ({"capture": "session", "truncate": "capture"}, "nothing sees a TRUNCATE"),
        ({"compression_threshold": 100}, "needs compression or serialization"),
        ({"events": {"A": ["price", "name"], "B": ["name", "price"]}}, "'A' can never be used"),
    ],
)
def test_contradictory_options_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        Persistence(**options)


@pytest.mark.parametrize("order", [["Changed", "Priced"], ["Priced", "Changed"]])
def test_rules_may_stand_in_any_order(order: list[str]) -> None:
    rules = {"Changed": ["price", "name"], "Priced": ["price"]}

    assert list(Persistence(events={event: rules[event] for event in order}).events or ()) == order


@pytest.mark.usefixtures("everything_built")
def test_a_threshold_with_something_to_pack_is_no_contradiction() -> None:
    assert Persistence(compression="zstd", compression_threshold=100).compression_threshold == 100
    assert Persistence(serialization="msgpack", compression_threshold=100).compression_threshold == 100


@pytest.mark.parametrize(
    "options", [{}, {"strategy": "write_through", "ttl_seconds": 3600, "max_size_mb": 1024, "eviction": "lru"}]
)
def test_a_cache_is_asked_for_by_naming_it(options: dict[str, Any]) -> None:
    with pytest.raises(NotSupportedYet, match=r"Caching\(.*comes with the cache"):
        Caching(**options)


@pytest.mark.parametrize("options", [{}, {"primary": "local_ssd", "read_replicas": ["redis_cache", "postgresql_read"]}])
def test_tiers_are_asked_for_by_naming_them(options: dict[str, Any]) -> None:
    with pytest.raises(NotSupportedYet, match=r"Storage\(.*comes with storage tiers"):
        Storage(**options)


@pytest.mark.usefixtures("everything_built")
def test_the_seeds_classes_are_taken_once_they_are_built() -> None:
    assert Caching(strategy="write_through", ttl_seconds=3600, max_size_mb=1024, eviction="lru").max_size_mb == 1024
    assert Storage(primary="ssd", read_replicas=["redis", "standby"]).read_replicas == ("redis", "standby")
    assert Migration(version="2.0", from_version="1.0", strategy="lazy").changed() == {
        "version": 2,
        "from_version": 1,
    }


@pytest.mark.parametrize("version", [1, "1", "1.0"])
def test_the_first_version_is_the_default(version: int | str) -> None:
    assert Migration(version=version) == Migration()


@pytest.mark.usefixtures("everything_built")
@pytest.mark.parametrize("version", [0, -1, 32_768, True, 1.0, "", "2.1", "2.00", "v2", " 2", "٢", "999999", None])
def test_a_version_is_a_whole_number(version: Any) -> None:
    with pytest.raises(OptionError, match=r"Migration\(version=…\) must be a whole number"):
        Migration(version=version)


@pytest.mark.usefixtures("everything_built")
def test_a_version_comes_from_a_lower_one() -> None:
    with pytest.raises(OptionError, match=r"from_version=2\) must be below version, which is 2"):
        Migration(version="2.0", from_version=2)
