"""The events that logs are measured with: JSON objects of a stated size."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

from benchmarks.subjects.interfaces import Data

__all__ = ["batch", "event_data"]


def event_data(number: int, size_bytes: int = 256) -> Data:
    """Make an event's data: a few fields of an order, filled up so that its JSON has just ``size_bytes``.

    Raises:
        ValueError: so few bytes do not hold the fields.
    """
    found = {
        "order": f"2024-{number:010}",
        "customer": number % 9_973,
        "amount": (number % 100_000) / 100,
        "currency": "EUR",
        "paid": number % 2 == 0,
        "note": "",
    }
    missing = size_bytes - len(json.dumps(found))
    if missing < 0:
        raise ValueError(f"{size_bytes} bytes are fewer than the fields take")
    found["note"] = ("lorem ipsum dolor sit amet " * (missing // 27 + 1))[:missing]
    return found


def batch(events: int, events_a_stream: int, size_bytes: int = 256) -> list[tuple[UUID, list[Data]]]:
    """Make events for new streams, so many for each."""
    return [
        (uuid4(), [event_data(start + place, size_bytes) for place in range(events_a_stream)])
        for start in range(0, events, events_a_stream)
    ]
