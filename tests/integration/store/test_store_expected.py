"""What may be expected of a stream, and keys and expectations that are none."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lithair_sqla.errors import ConcurrencyError, OptionError
from lithair_sqla.types import Conflict, ExpectedVersion, NewEvent, StreamId

if TYPE_CHECKING:
    from lithair_sqla.store import EventStore

ACCOUNT = StreamId("Account", "42")
DEPOSITED = NewEvent("Deposited", {"balance": 100})
WITHDRAWN = NewEvent("Withdrawn", {"balance": 70})


@pytest.mark.parametrize(
    ("expected", "before", "fits"),
    [
        (ExpectedVersion.ANY, 0, True),
        (ExpectedVersion.ANY, 2, True),
        (ExpectedVersion.NO_STREAM, 0, True),
        (ExpectedVersion.NO_STREAM, 1, False),
        (ExpectedVersion.EXISTS, 0, False),
        (ExpectedVersion.EXISTS, 1, True),
        (0, 0, True),
        (2, 2, True),
        (2, 0, False),
        (2, 1, False),
        (2, 3, False),
    ],
)
def test_what_is_expected_of_a_stream(
    scratch: EventStore,
    expected: int,
    before: int,
    fits: bool,  # noqa: FBT001 - a parameter
) -> None:
    if before:
        scratch.append(ACCOUNT, [DEPOSITED] * before)
    if fits:
        assert scratch.append(ACCOUNT, WITHDRAWN, expected=expected).versions == (before + 1,)
        return
    with pytest.raises(ConcurrencyError) as caught, scratch._channel.connection.begin_nested():
        scratch.append(ACCOUNT, WITHDRAWN, expected=expected)
    assert caught.value.conflicts == (Conflict(ACCOUNT, expected, before),)
    assert len(scratch.read_stream(ACCOUNT)) == before


@pytest.mark.parametrize("expected", [-3, True, "1", 1.0, None, 2**63])
def test_an_expectation_that_is_none_is_refused(scratch: EventStore, expected: Any) -> None:
    with pytest.raises(OptionError, match="expected="):
        scratch.append(ACCOUNT, DEPOSITED, expected=expected)


@pytest.mark.parametrize(
    "options", [{"idempotency_key": ""}, {"idempotency_key": "a\0b"}, {"idempotency_key": "x" * 1001}]
)
def test_a_key_that_is_none_is_refused(scratch: EventStore, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="idempotency_key must be 1 to 1,000 characters"):
        scratch.append(ACCOUNT, DEPOSITED, **options)
    with pytest.raises(OptionError, match="idempotency_ttl"):
        scratch.append(ACCOUNT, DEPOSITED, idempotency_ttl=timedelta(0))
