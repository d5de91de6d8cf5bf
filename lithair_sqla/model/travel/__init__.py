"""Time travel: any query, as of any moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

from sqlalchemy import Table
from sqlalchemy.orm import Session, scoped_session

from lithair_sqla.errors import OptionError
from lithair_sqla.model.travel.journey import Explanation
from lithair_sqla.model.travel.moment import Before, Moment, MomentLike, before
from lithair_sqla.model.travel.session import PastSession
from lithair_sqla.model.travel.shadows import Road, Way

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session

    from lithair_sqla.model.travel.aio import AsyncPastSession

__all__ = ["Before", "Explanation", "Moment", "MomentLike", "PastSession", "Road", "Way", "as_of", "before"]


@overload
def as_of(
    session: Session | scoped_session[Any],
    moment: MomentLike,
    *,
    live: Iterable[type | Table] = (),
    explain: bool = False,
) -> PastSession: ...


@overload
def as_of(
    session: AsyncSession | async_scoped_session[Any],
    moment: MomentLike,
    *,
    live: Iterable[type | Table] = (),
    explain: bool = False,
) -> AsyncPastSession: ...


def as_of(
    session: Any, moment: MomentLike, *, live: Iterable[type | Table] = (), explain: bool = False
) -> PastSession | AsyncPastSession:
    """Return a read-only session on which every ORM query sees the database as it was at a moment.

    ::

        with as_of(session, timedelta(days=7)) as past:
            past.scalars(select(Product).join(Product.orders).where(Product.price > 10)).all()

    It reads inside the session's own transaction, by its connection, and sends one statement more for each moment. What
    the session has not flushed is not seen; of what it has flushed, and of what others commit, only what the log has up
    to the moment. A row that has no stream (its table was never adopted) has no past.

    Args:
        session: the live session; of ``asyncio``, for ``async with``.
        moment: a position of the log; an aware datetime; a timedelta, for as long ago; an event, for right after the
            transaction that wrote it; ``before(event)``, for right before that transaction.
        live: classes and tables without events that may be read as they are now.
        explain: keep in ``past.explained`` which way each table's rows were come by, and why.

    Returns:
        A session, and a context manager that closes it; ``past.settled`` tells whether its answers are final.

    Raises:
        MomentError: a naive datetime or something else that names no moment; on entering, a moment in the future.
    """
    if isinstance(session, scoped_session):
        session = session()
    if isinstance(session, PastSession):
        session = session.live
    if isinstance(session, Session):
        return PastSession(session, moment, live_tables=live, explain=explain)
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session  # noqa: PLC0415 - asyncio is an extra

    from lithair_sqla.model.travel.aio import AsyncPastSession  # noqa: PLC0415 - asyncio is an extra

    if isinstance(session, async_scoped_session):
        session = session()
    if isinstance(session, AsyncPastSession):
        session = session.live
    if isinstance(session, AsyncSession):
        return AsyncPastSession(session, moment, live_tables=live, explain=explain)
    raise OptionError(f"as_of() takes a session, not {session!r:.80}")
