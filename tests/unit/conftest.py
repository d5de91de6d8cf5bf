"""What unit tests can ask for beside the fixtures of all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lithair_sqla.options import built

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def everything_built() -> Iterator[None]:
    """Every option of the design, as if it were built: what is checked before ``NotSupportedYet`` can be seen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(built, "BUILT", dict.fromkeys(built.BUILT, built.YES))
        yield
