"""Who and why: a context nests, is restored, and refuses what the log could not hold."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lithair_sqla.context import Context, context, current_context
from lithair_sqla.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST = UUID("6b1f5f1c-0f4e-4f0a-9d1c-0a1b2c3d4e5f")


class Stopped(Exception):  # noqa: N818 - what it is
    """An application's own error."""


def test_without_a_context_nothing_is_known() -> None:
    assert current_context() == Context()


def test_a_context_is_in_force_inside_its_block_only() -> None:
    with context(user_id="ana", correlation_id=REQUEST) as entered:
        assert current_context() is entered
        assert (entered.user_id, entered.correlation_id) == ("ana", REQUEST)
    assert current_context() == Context()


def test_an_error_inside_restores_the_context_before() -> None:
    with context(user_id="ana") as outer:
        with pytest.raises(Stopped), context(user_id="ben"):
            raise Stopped
        assert current_context() is outer


def test_a_nested_block_inherits_what_it_does_not_name() -> None:
    cause = uuid4()
    with (
        context(user_id="ana", correlation_id=REQUEST, meta={"source": "web", "page": 1}),
        context(causation_id=cause, meta={"page": 2}) as inner,
    ):
        assert inner.user_id == "ana"
        assert inner.correlation_id == REQUEST
        assert inner.causation_id == cause
        assert inner.meta == {"source": "web", "page": 2}


def test_an_idempotency_key_names_one_command_and_is_not_inherited() -> None:
    with context(idempotency_key="order-7") as outer, context(user_id="ana") as inner:
        assert outer.idempotency_key == "order-7"
        assert inner.idempotency_key is None


@pytest.mark.parametrize(("given_id", "stored"), [("ana", "ana"), (42, "42"), (REQUEST, str(REQUEST))])
def test_an_actor_is_stored_as_text(given_id: Any, stored: str) -> None:
    with context(user_id=given_id) as entered:
        assert entered.user_id == stored


def test_a_uuid_may_be_given_as_its_text() -> None:
    with context(correlation_id=str(REQUEST), causation_id=REQUEST.hex) as entered:
        assert (entered.correlation_id, entered.causation_id) == (REQUEST, REQUEST)


@pytest.mark.parametrize(
    ("values", "option"),
    [
        ({"user_id": ""}, "user_id"),
        ({"user_id": "x" * 1001}, "user_id"),
        ({"user_id": "a\0b"}, "user_id"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "a\0"}, "idempotency_key"),
        ({"idempotency_key": "x" * 1001}, "idempotency_key"),
        ({"correlation_id": "not a uuid"}, "correlation_id"),
        ({"correlation_id": 7}, "correlation_id"),
        ({"causation_id": ""}, "causation_id"),
        ({"meta": {"when": object()}}, "meta"),
        ({"meta": {"text": "a\0b"}}, "meta"),
        ({"meta": {"a\0": 1}}, "meta"),
        ({"meta": {"text": "\ud800"}}, "meta"),
        ({"meta": {"text": "\\\0"}}, "meta"),
        ({"meta": {"number": float("nan")}}, "meta"),
        ({"meta": {"list": [1, {"number": float("-inf")}]}}, "meta"),
        ({"meta": {1: 2}}, "meta"),
        ({"meta": 5}, "meta"),
        ({"user_id": object()}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"user_id": "\ud800"}, "user_id"),
        ({"idempotency_key": 5}, "idempotency_key"),
        ({"idempotency_key": "\udfff"}, "idempotency_key"),
        ({"idempotency_ttl": timedelta()}, "idempotency_ttl"),
        ({"idempotency_ttl": 7}, "idempotency_ttl"),
    ],
)
def test_what_the_log_could_not_hold_is_refused(values: dict[str, Any], option: str) -> None:
    with pytest.raises(OptionError, match=rf"context\({option}=…\) must"), context(**values):
        pytest.fail("the block was entered")
    assert current_context() == Context()


def test_a_backslash_before_what_looks_like_an_escape_is_text() -> None:
    with context(meta={"path": r"C:\u0000"}) as entered:
        assert entered.meta == {"path": r"C:\u0000"}


def test_meta_is_what_it_was_when_the_block_was_entered() -> None:
    tags = ["a"]
    with context(meta={"tags": tags}) as entered:
        tags.append("b")
        assert entered.meta == {"tags": ["a"]}


def test_each_block_with_an_idempotency_key_is_a_command_of_its_own() -> None:
    with context(idempotency_key="order-7") as first:
        pass
    with context(idempotency_key="order-7") as second:
        pass

    assert first.command_id != second.command_id


def test_threads_do_not_share_a_context_unless_it_is_handed_to_them() -> None:
    seen: list[str | None] = []

    def look() -> None:
        seen.append(current_context().user_id)

    def in_a_thread(target: Callable[[], None]) -> None:
        thread = Thread(target=target)
        thread.start()
        thread.join()

    with context(user_id="ana"):
        in_a_thread(look)
        carried = copy_context()
        in_a_thread(lambda: carried.run(look))

    assert seen == [None, "ana"]


def test_tasks_keep_their_contexts_apart() -> None:
    async def write(user: str) -> tuple[str | None, str | None]:
        with context(user_id=user):
            await asyncio.sleep(0)
            inside = current_context().user_id
        return inside, current_context().user_id

    async def both() -> list[tuple[str | None, str | None]]:
        with context(user_id="main"):
            return list(await asyncio.gather(write("ana"), write("ben")))

    assert asyncio.run(both()) == [("ana", "main"), ("ben", "main")]


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), max_size=6))
def test_any_nesting_is_unwound(users: list[str]) -> None:
    def enter(rest: list[str]) -> None:
        if rest:
            before = current_context()
            with context(user_id=rest[0]):
                assert current_context().user_id == rest[0]
                enter(rest[1:])
                assert current_context().user_id == rest[0]
            assert current_context() is before

    enter(users)
    assert current_context() == Context()
