"""The append's one call: streams and events as two JSON texts, positions and versions back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from lithair_sqla.context import IDEMPOTENCY_TTL, current_context
from lithair_sqla.errors import CommandError, InvalidEventError, OptionError
from lithair_sqla.store.batch import Batch
from lithair_sqla.store.encoding import check_expected, stream_of
from lithair_sqla.types import AppendResult, StreamAppend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lithair_sqla.store.execution import Channel

__all__ = ["MAX_APPEND_BYTES", "append_batch", "append_streams", "claim_command"]

MAX_APPEND_BYTES: Final = 40 * 1024 * 1024
"""Bytes of JSON that one append may carry: it travels as one ``jsonb`` value. ``append_many`` has no such bound."""

_MAX_KEY_CHARACTERS: Final = 1_000
_EXACT: Final = msgspec.json.Decoder(float_hook=Decimal)
_SORTED: Final = msgspec.json.Encoder(order="deterministic", decimal_format="number")


def append_streams(
    channel: Channel, appends: Sequence[StreamAppend], *, idempotency_key: str | None, idempotency_ttl: timedelta
) -> AppendResult:
    """Append to several streams in one statement.

    Raises:
        InvalidEventError: an event or a stream cannot be stored, or a stream stands there twice.
        ConcurrencyError: streams that are not where the caller expected them.
        DuplicateCommand: the key was used for other events.
    """
    if not appends:
        return AppendResult((), ())
    batch = Batch()
    for append in appends:
        stream = stream_of(append.stream, tenant=channel.config.tenant_id)
        if stream in batch:
            raise InvalidEventError(f"stream {stream} stands twice in one append: put its events into one StreamAppend")
        batch.add(stream, check_expected(append.expected, stream), append.events)
    if idempotency_key is None:
        claim_command(channel)
    return append_batch(channel, batch, idempotency_key=idempotency_key, idempotency_ttl=idempotency_ttl)


def claim_command(channel: Channel) -> None:
    """Take the idempotency key of the context, if it has one; what else is written inside its block goes with it.

    Raises:
        CommandError: the connection is in AUTOCOMMIT, so that key and events would be two transactions.
        DuplicateCommand: the key was used before.
    """
    context = current_context()
    if context.idempotency_key is None:
        return
    if channel.driver.autocommit:
        raise CommandError(
            "an idempotency key in the context needs a transaction, and this connection is in AUTOCOMMIT: give the key "
            "to append itself, or write in a transaction"
        )
    channel.execute(
        channel.statements.claim_command,
        (channel.config.tenant_id, context.idempotency_key, str(context.command_id), context.idempotency_ttl),
    )


def append_batch(
    channel: Channel, batch: Batch, *, idempotency_key: str | None = None, idempotency_ttl: timedelta = IDEMPOTENCY_TTL
) -> AppendResult:
    """Send a batch."""
    events = batch.events_json()
    if len(events) > MAX_APPEND_BYTES:
        raise InvalidEventError(
            f"{batch.count:,} events of {len(events):,} bytes are more than one append carries (MAX_APPEND_BYTES, "
            f"{MAX_APPEND_BYTES:,}): use append_many, or several appends in one transaction"
        )
    positions, versions, duplicate = channel.row(
        channel.statements.append,
        (
            channel.config.tenant_id,
            batch.streams_json(with_status=False),
            events,
            _context(channel.config.node_id),
            *_key(idempotency_key, idempotency_ttl, batch, events),
        ),
    )
    return AppendResult(tuple(positions), tuple(versions), duplicate)


def _key(key: str | None, ttl: timedelta, batch: Batch, events: str) -> tuple[str | None, str | None, timedelta]:
    """Return key, digest and time to live; the digest says whether a second use of the key is the same command.

    What the caller expected of the streams is left out: a repeated command finds them where its first run left them.
    """
    if not ttl > timedelta():
        raise OptionError(f"idempotency_ttl must be above zero, not {ttl!r}")
    if key is None:
        return None, None, ttl
    if not 0 < len(key) <= _MAX_KEY_CHARACTERS or "\0" in key:
        raise OptionError(
            f"idempotency_key must be 1 to {_MAX_KEY_CHARACTERS:,} characters without NUL, not {key!r:.60}"
        )
    names = msgspec.json.encode([(stream.n, stream.k) for stream in batch.streams])
    return key, sha256(names + _SORTED.encode(_EXACT.decode(events))).hexdigest(), ttl


def _context(node_id: int | None) -> str:
    """Write who appends and why, as the append takes it."""
    context = current_context()
    found = {
        "actor": context.user_id,
        "correlation_id": context.correlation_id,
        "causation_id": context.causation_id,
        "node_id": node_id,
        "meta": context.meta and dict(context.meta),
    }
    return msgspec.json.encode({name: value for name, value in found.items() if value is not None}).decode()
