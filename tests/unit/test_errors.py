"""The tree of errors: what its docstring draws is what the classes are."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest
from sqlalchemy.orm.exc import StaleDataError

from lithair_sqla import errors
from lithair_sqla.errors import (
    ConcurrencyError,
    DuplicateCommand,
    GuardError,
    InvalidEventError,
    LithairError,
    MappingError,
    MomentError,
    OptionError,
    StreamNotFoundError,
)
from lithair_sqla.types import Conflict, StreamId

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, LithairError) and value.__module__ == errors.__name__
}
ARGUMENTS: dict[str, dict[str, str]] = {
    "GuardError": {"table": "t", "reason": "missing"},
    "DuplicateCommand": {"key": "k"},
}


def tree_in_the_docstring() -> dict[str, tuple[str, str | None]]:
    """Read the drawing: class → its code and the class it hangs from."""
    drawn: dict[str, tuple[str, str | None]] = {}
    branch: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^([ │├└─]*)(\w+)\s+(LTH\d{3})\b", line)
        if found is None:
            continue
        depth, name, code = len(found[1]), found[2], found[3]
        branch = [(column, above) for column, above in branch if column < depth]
        drawn[name] = (code, branch[-1][1] if branch else None)
        branch.append((depth, name))
    return drawn


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    real = {
        name: (cls.code, next((base.__name__ for base in cls.__bases__ if issubclass(base, LithairError)), None))
        for name, cls in CLASSES.items()
    }

    assert tree_in_the_docstring() == real


def test_the_public_names_are_the_classes() -> None:
    assert sorted(errors.__all__) == sorted(CLASSES)


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [cls.__dict__.get("code") for cls in CLASSES.values()]

    assert all(re.fullmatch(r"LTH\d{3}", str(code)) for code in codes)
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("name", CLASSES)
def test_a_message_shows_its_code(name: str) -> None:
    error = CLASSES[name]("what happened", **ARGUMENTS.get(name, {}))

    assert str(error) == f"[{CLASSES[name].code}] what happened"
    assert error.args[0] == "what happened"


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_says_what_it_is(name: str) -> None:
    assert (CLASSES[name].__doc__ or "").partition("\n")[0].endswith((".", ":"))


@pytest.mark.parametrize(
    ("cls", "also"),
    [
        (OptionError, ValueError),
        (MappingError, TypeError),
        (ConcurrencyError, StaleDataError),
        (StreamNotFoundError, LookupError),
        (InvalidEventError, ValueError),
        (MomentError, ValueError),
    ],
)
def test_an_error_is_also_what_such_errors_usually_are(cls: type[LithairError], also: type[Exception]) -> None:
    assert issubclass(cls, also)


def test_a_conflict_names_every_stream() -> None:
    conflicts = [Conflict(StreamId("Product", "1"), 3, 5), Conflict(StreamId("Product", "2"), 0, 1)]
    error = ConcurrencyError("two streams moved on", conflicts=conflicts)

    assert error.conflicts == tuple(conflicts)
    assert [str(conflict) for conflict in error.conflicts] == [
        "Product(1): expected version 3, is at version 5",
        "Product(2): expected no stream, is at version 1",
    ]


def test_an_error_keeps_the_facts_it_was_given() -> None:
    guard = GuardError("the guard is disabled", table="shop.product", reason="disabled")
    duplicate = DuplicateCommand("used before", key="order-7", positions=[4, 5])

    assert (guard.table, guard.reason) == ("shop.product", "disabled")
    assert (duplicate.key, duplicate.positions) == ("order-7", (4, 5))


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_crosses_to_another_process_with_its_facts(name: str) -> None:
    error = CLASSES[name]("what happened", **ARGUMENTS.get(name, {}))

    for made in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own pickle
        assert type(made) is CLASSES[name]
        assert str(made) == str(error)
        assert vars(made) == vars(error)
