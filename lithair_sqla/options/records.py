"""The base of every options class: checked where it is made, short when shown, refused where it is not built.

A class of options is an ordinary frozen dataclass under one decorator more::

    @option_record
    @dataclass(frozen=True, slots=True, kw_only=True, repr=False)
    class Caching(OptionRecord):
        _word = "Caching"
        ttl_seconds: Seconds | None = None

Its annotations are its rules (see ``values``), ``built.BUILT`` says which of its options work today, and a keyword it
does not have is an ``OptionError`` that suggests the nearest one.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from functools import partial, wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, get_type_hints

from lithair_sqla.errors import NotSupportedYet, OptionError
from lithair_sqla.options.built import BUILT, is_built, require_built
from lithair_sqla.options.values import Rule, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OptionRecord", "option_record"]


class OptionRecord:
    """Options that belong together.

    A subclass sets ``_word``, and ``_asks_by_itself`` where writing it without any option already asks for something.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    _word: ClassVar[str]
    _rules: ClassVar[dict[str, Rule]]
    _asks_by_itself: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check every value, then what they say together, then whether it is built."""
        for name, rule in self._rules.items():
            try:
                value = rule.check(getattr(self, name))
            except ValueError as error:
                raise OptionError(f"{self._word}({name}=…) must be {error}") from None
            object.__setattr__(self, name, value)
        self._check()
        if self._asks_by_itself and not is_built(self._word):
            status = next(status for option, status in BUILT.items() if option.startswith(f"{self._word}."))
            raise NotSupportedYet(
                f"{self!r} is designed but not built yet: it comes with {status.comes_with}; leave it out until then"
            )
        for name, value in self.changed().items():
            require_built(self._word, name, value)

    def _check(self) -> None:
        """Refuse values that contradict each other, whatever may still be added to them."""

    def check_complete(self) -> None:
        """Refuse an option that needs another one, once nothing more can be added."""

    def changed(self) -> dict[str, Any]:
        """Return the options that are not at their default."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }

    def replace(self, **options: Any) -> Self:
        """Return a copy with other values: ``Base.__persistence__.replace(name="dog")``."""
        return type(self)(**{**self.changed(), **options})

    def __repr__(self) -> str:
        """Show what is not at its default."""
        shown = ", ".join(
            f"{name}={dict(value) if isinstance(value, MappingProxyType) else value!r}"
            for name, value in self.changed().items()
        )
        return f"{self._word}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by making it anew: a read-only mapping can do neither by itself."""
        plain = {
            name: dict(value) if isinstance(value, MappingProxyType) else value
            for name, value in self.changed().items()
        }
        return partial(type(self), **plain), ()

    @classmethod
    def word(cls) -> str:
        """Return how the user writes them: ``"Persistence"`` for the class, ``"persistence"`` for the column."""
        return cls._word

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        """Return what each option accepts, by name, in the order they are declared."""
        return cls._rules

    @classmethod
    def _read_rules(cls) -> None:
        hints = get_type_hints(cls, include_extras=True)
        cls._rules = {field.name: Rule.of(hints[field.name]) for field in fields(cls)}

    @classmethod
    def _refuse_wrong_call(cls, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        word = cls._word
        for name in options:
            if name not in cls._rules:
                suggestion = nearest(name, cls._rules) or f"; it has {', '.join(cls._rules)}"
                raise OptionError(f"{word}({name}=…) is not an option{suggestion}")
        by_place = [field.name for field in fields(cls) if not field.kw_only]
        if len(arguments) > len(by_place):
            by_name = next(name for name in cls._rules if name not in by_place)
            raise OptionError(f"{word}(…) takes its options by name, such as {word}({by_name}=…)")
        given = by_place[: len(arguments)]
        for name in given:
            if name in options:
                raise OptionError(f"{word}({name}=…) is given twice")
        for field in fields(cls):
            if field.default is MISSING and field.name not in {*options, *given}:
                raise OptionError(f"{word}({field.name}=…) is missing: it must be {cls._rules[field.name].expects}")


_Record = TypeVar("_Record", bound=OptionRecord)


def option_record(record: type[_Record]) -> type[_Record]:
    """Give a dataclass of options the rules its annotations state, and errors that help those who misspell one."""
    record._read_rules()  # noqa: SLF001 - the other half of this class
    initialise: Callable[..., None] = record.__init__

    @wraps(initialise)
    def checked(self: _Record, *arguments: Any, **options: Any) -> None:
        record._refuse_wrong_call(arguments, options)  # noqa: SLF001 - the other half of this class
        initialise(self, *arguments, **options)

    record.__init__ = checked  # type: ignore[assignment, method-assign]
    return record
