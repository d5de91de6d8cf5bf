"""``as_of`` on an ``AsyncSession``: the same session on the past, over SQLAlchemy's greenlet bridge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.util import greenlet_spawn

from lithair_sqla.model.travel.journey import Explanation
from lithair_sqla.model.travel.moment import Moment
from lithair_sqla.model.travel.session import PastSession

__all__ = ["AsyncPastSession"]


class AsyncPastSession(AsyncSession):
    """A read-only session on a past moment for ``async with``; made by ``as_of``.

    What a ``PastSession`` refuses is refused here; so is what an ``AsyncSession`` needs a connection of its own for.
    """

    sync_session: PastSession  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self, live: AsyncSession, asked: Any, *, live_tables: Iterable[type | Table] = (), explain: bool = False
    ) -> None:
        def past(**_: Any) -> PastSession:
            return PastSession(live.sync_session, asked, live_tables=live_tables, explain=explain)

        self.live = live
        super().__init__(sync_session_class=past)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    async def __aenter__(self) -> Self:
        """Look the moment up, where there is one store to look in."""
        await greenlet_spawn(self.sync_session.open)
        return self

    @property
    def explained(self) -> list[Explanation]:
        """With ``explain=True``, how each statement was answered."""
        return self.sync_session.explained

    @property
    def moment(self) -> Moment:
        """The moment as the log knows it; inside ``async with`` it has been looked up."""
        return self.sync_session.moment

    @property
    def position(self) -> int:
        """The position up to which events are in."""
        return self.sync_session.position

    @property
    def settled(self) -> bool:
        """Whether the answers are final: nothing can still be committed before the moment."""
        return self.sync_session.settled
