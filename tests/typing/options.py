"""What type checkers say of options: a wrong word is flagged before the program runs.

Nothing here is run. mypy checks it, and its strict mode fails where an ignored error does not occur.
"""

from __future__ import annotations

from typing import Any, assert_type

from lithair_sqla.options import (
    ColumnOptions,
    Persistence,
    StorageConfig,
    column_options,
    index,
    lifecycle,
    persistence,
)


def right() -> None:
    """What users write."""
    assert_type(persistence(encrypted=True, searchable=True) | lifecycle(audited=True), ColumnOptions)
    assert_type({"title": "Name"} | persistence(event="Renamed"), ColumnOptions)
    assert_type(index("full_text", language="fr"), ColumnOptions)
    assert_type(Persistence(events={"StockChanged": ["stock"]}).replace(name="item"), Persistence)
    assert_type(StorageConfig().snapshot_frequency, int)
    assert_type(column_options({}, owner="Product", column="price").persistence.event, str | None)
    info: dict[Any, Any] = persistence(event="Renamed")
    assert_type(info.copy(), dict[Any, Any])


def wrong() -> None:
    """What they mistype."""
    Persistence(snapshot_frequncy=1000)  # type: ignore[call-arg]
    Persistence(serialization="xml")  # type: ignore[arg-type]
    Persistence("event_sourced")  # type: ignore[call-arg]
    StorageConfig(partition_width="wide")  # type: ignore[arg-type]
    persistence(encryptd=True)  # type: ignore[call-arg]
    persistence(encrypted="yes")  # type: ignore[arg-type]
    persistence("indexed")  # type: ignore[call-arg]
    lifecycle(audit=True)  # type: ignore[call-arg]
    index("gin")  # type: ignore[arg-type]
    index()  # type: ignore[call-arg]
