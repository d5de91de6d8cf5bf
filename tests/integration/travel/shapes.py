"""Every shape of query: each takes a session and the shop's classes, and answers plain values that can be compared."""

# ruff: noqa: N806, E741 - capital letters stand for classes

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import (
    Integer,
    String,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    distinct,
    except_,
    exists,
    func,
    intersect,
    lambda_stmt,
    lateral,
    literal,
    literal_column,
    not_,
    or_,
    select,
    text,
    true,
    tuple_,
    union,
    union_all,
    values,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import (
    Bundle,
    Session,
    aliased,
    contains_eager,
    defaultload,
    defer,
    immediateload,
    joinedload,
    lazyload,
    load_only,
    raiseload,
    selectin_polymorphic,
    selectinload,
    subqueryload,
    undefer,
    with_loader_criteria,
    with_polymorphic,
)

Shape = Callable[[Session, SimpleNamespace], Any]
SHAPES: Final[list[Shape]] = []


def shape(function: Shape) -> Shape:
    """Add a query to those that are compared."""
    SHAPES.append(function)
    return function


def plain(value: Any) -> Any:
    """Turn objects into the values of their columns, rows into tuples."""
    if isinstance(value, (list, set)):
        return [plain(item) for item in value]
    if hasattr(value, "_fields"):
        return tuple(plain(item) for item in value)
    if hasattr(value, "__mapper__"):
        mapper = value.__mapper__
        loaded = {key: item for key, item in value.__dict__.items() if key in mapper.column_attrs}
        return (type(value).__name__, *(sorted((key, repr(item)) for key, item in loaded.items())))
    return repr(value)


def sorted_plain(found: Any) -> list[Any]:
    """Compare without regard to order."""
    return sorted((plain(item) for item in found), key=repr)


# ------------------------------------------------------------------------------------------------ rows


@shape
def every_class(session: Session, shop: SimpleNamespace) -> Any:
    classes = (
        shop.Category,
        shop.Tag,
        shop.Product,
        shop.Book,
        shop.Customer,
        shop.Company,
        shop.Order,
        shop.Line,
        shop.Parcel,
        shop.Card,
        shop.Cash,
        shop.Depot,
        shop.Shelf,
    )
    return {class_.__name__: sorted_plain(session.scalars(select(class_))) for class_ in classes}


@shape
def every_table(session: Session, shop: SimpleNamespace) -> Any:
    tables = [t for t in shop.metadata.sorted_tables if not t.info.get("lithair.library") and t.name != "country"]
    return {table.fullname: sorted(map(repr, session.execute(select(table)))) for table in tables}


@shape
def get_by_key(session: Session, shop: SimpleNamespace) -> Any:
    found = [session.get(shop.Product, number) for number in range(1, 60)]
    keys = session.execute(select(shop.Line.order_id, shop.Line.number)).all()
    lines = [session.get(shop.Line, tuple(key)) for key in sorted(keys)]
    names = session.scalars(select(shop.Tag.name).order_by(shop.Tag.name)).all()
    return plain(found), plain(lines), [plain(session.get(shop.Tag, name)) for name in names]


@shape
def filters(session: Session, shop: SimpleNamespace) -> Any:
    P = shop.Product
    return [
        sorted_plain(session.scalars(select(P).where(condition)))
        for condition in (
            P.price > 300,
            P.name.ilike("b%"),
            P.name.in_(["anvil", "o'neil", "50%"]),
            P.weight.is_(None),
            P.state == shop.State.ON_SALE,
            any_(P.labels) == "new",
            P.labels.contains(["old"]),
            P.facts["a"].as_integer() == 1,
            P.facts.has_key("b"),
            P.facts.is_(None),
            P.with_tax.between(100, 900),
            or_(P.id < 10, and_(P.id > 20, P.stock < 50)),
            not_(P.id == 5),
            func.lower(P.name) == "ball",
            P.added_at >= dt.datetime(2024, 6, 1, tzinfo=dt.UTC),
        )
    ]


@shape
def by_key_in_every_way(session: Session, shop: SimpleNamespace) -> Any:
    P, L, T = shop.Product, shop.Line, shop.Tag
    keys = [tuple(key) for key in session.execute(select(L.order_id, L.number).order_by(L.order_id, L.number))]
    names = session.scalars(select(T.name).order_by(T.name)).all()
    return [
        sorted_plain(session.scalars(select(P).where(P.id == 7))),
        sorted_plain(session.scalars(select(P).where(literal(7) == P.id))),
        sorted_plain(session.scalars(select(P).where(P.id.in_([1, 2, 3, 17, 2])))),
        sorted_plain(session.scalars(select(P).where(P.id.in_([])))),
        sorted_plain(session.scalars(select(P).where(P.id.in_([None, 7])))),
        sorted_plain(session.scalars(select(P).where(P.id == None))),  # noqa: E711
        sorted_plain(session.scalars(select(P).where(P.id == bindparam("number")), {"number": 9})),
        sorted_plain(session.scalars(select(P).where(P.id.in_(bindparam("many", expanding=True))), {"many": [9, 12]})),
        sorted_plain(session.scalars(select(P).where(P.id == 7, P.stock > 3))),
        sorted_plain(session.scalars(select(P).where(or_(P.id == 7, P.id == 9)))),
        sorted_plain(session.scalars(select(P).where(P.id != 7))),
        sorted_plain(session.scalars(select(P).where(not_(and_(P.id == 7, P.stock > 0))))),
        sorted_plain(session.scalars(select(L).where(tuple_(L.order_id, L.number).in_(keys[:3])))),
        sorted_plain(session.scalars(select(L).where(tuple_(L.number, L.order_id).in_([k[::-1] for k in keys[1:4]])))),
        sorted_plain(session.scalars(select(L).where(L.order_id == keys[0][0]))) if keys else None,
        sorted_plain(session.scalars(select(L).where(L.order_id.in_([k[0] for k in keys[:2]]), L.number.in_([0, 1])))),
        sorted_plain(session.scalars(select(T).where(T.name.in_(names[:2])))),
        sorted_plain(session.scalars(select(T).where(T.name == cast(literal("tag 3"), String)))),
    ]


# ------------------------------------------------------------------------------------------------ joins


@shape
def joins(session: Session, shop: SimpleNamespace) -> Any:
    P, C, L, O = shop.Product, shop.Category, shop.Line, shop.Order
    return [
        sorted_plain(session.execute(select(P.id, C.name).join(P.category))),
        sorted_plain(session.execute(select(C.id, P.id).outerjoin(C.products))),
        sorted_plain(session.execute(select(C.id, P.id).join(P, P.category_id == C.id, full=True))),
        sorted_plain(session.execute(select(O.id, L.number, P.name).join(O.lines).join(L.product))),
        sorted_plain(session.execute(select(P.id, C.id).join_from(P, C, isouter=True).where(P.id == 3))),
        sorted_plain(session.execute(select(P.id, C.id).select_from(P).join(C, true()).where(P.id < 12))),
        sorted_plain(session.execute(select(P.id, P.name).where(P.category_id == C.id, C.id == 1))),
    ]


@shape
def joins_on_keys(session: Session, shop: SimpleNamespace) -> Any:
    """Keys carried over equalities, where that is sound and where it is not."""
    P, C, L, B = shop.Product, shop.Category, shop.Line, shop.Book.__table__
    T = P.__table__
    other = aliased(P)
    numbers = [1, 3, 5, 8, 13, 21]
    return [
        sorted_plain(session.execute(select(T.c.id, B.c.pages).join(B, T.c.id == B.c.id).where(T.c.id.in_(numbers)))),
        sorted_plain(session.execute(select(T.c.id, B.c.pages).outerjoin(B, T.c.id == B.c.id).where(T.c.id == 3))),
        sorted_plain(session.execute(select(T.c.id, B.c.pages).outerjoin(B, T.c.id == B.c.id).where(B.c.id == 3))),
        sorted_plain(session.execute(select(T.c.id, B.c.pages).outerjoin(B, and_(T.c.id == B.c.id, B.c.id == 3)))),
        sorted_plain(session.execute(select(T.c.id, B.c.pages).outerjoin(B, and_(T.c.id == B.c.id, T.c.id == 3)))),
        sorted_plain(
            session.execute(select(T.c.id, B.c.id).join(B, T.c.id == B.c.id, full=True).where(B.c.id.in_(numbers)))
        ),
        sorted_plain(session.execute(select(T.c.id, B.c.id).join(B, and_(T.c.id == B.c.id, T.c.id == 3), full=True))),
        sorted_plain(session.execute(select(P.id, other.id).join(other, P.id == other.id).where(P.id == 3))),
        sorted_plain(session.execute(select(P.id, other.id).join(other, P.id == other.stock).where(P.id == 3))),
        sorted_plain(session.execute(select(P.id, other.id).join(other, other.category_id == P.category_id))),
        sorted_plain(session.execute(select(P.id, C.id).outerjoin(C, C.id == P.category_id).where(C.id == 1))),
        sorted_plain(session.execute(select(P.id, C.id).outerjoin(C, C.id == P.category_id).where(P.category_id == 1))),
        sorted_plain(
            session.execute(
                select(C.id, P.id, L.number)
                .outerjoin(P, and_(P.category_id == C.id, P.id == 5))
                .outerjoin(L, L.product_id == P.id)
            )
        ),
        sorted_plain(
            session.execute(
                select(C.id, P.id, B.c.id).select_from(
                    C.__table__.outerjoin(T.join(B, T.c.id == B.c.id), C.id == P.category_id)
                )
            )
        ),
    ]


@shape
def aliases_and_self_joins(session: Session, shop: SimpleNamespace) -> Any:
    parent, grand = aliased(shop.Category), aliased(shop.Category, name="grand")
    C = shop.Category
    return sorted_plain(
        session.execute(
            select(C.name, parent.name, grand.name)
            .join(parent, C.parent_id == parent.id)
            .outerjoin(grand, parent.parent_id == grand.id)
        )
    )


@shape
def an_alias_with_the_name_of_another_table(session: Session, shop: SimpleNamespace) -> Any:
    odd = aliased(shop.Customer, name="product")
    return sorted_plain(session.execute(select(odd.id, odd.name).where(odd.id > 3)))


@shape
def same_name_in_two_schemas(session: Session, shop: SimpleNamespace) -> Any:
    D, C, S = shop.Depot, shop.Category, shop.Shelf
    return [
        sorted_plain(session.execute(select(D.place, C.name).join(D.category))),
        sorted_plain(session.execute(select(D.id, S.height).outerjoin(D.shelves))),
        sorted_plain(session.scalars(select(D).options(joinedload(D.shelves), joinedload(D.category))).unique()),
        [[plain(s) for s in d.shelves] for d in session.scalars(select(D).order_by(D.id))],
        sorted_plain(session.execute(select(D.__table__.c.place).where(D.__table__.c.id.in_(range(60))))),
    ]


# ------------------------------------------------------------------------------------------------ subqueries


@shape
def subqueries(session: Session, shop: SimpleNamespace) -> Any:
    P, C, L = shop.Product, shop.Category, shop.Line
    counted = select(P.category_id, func.count().label("products")).group_by(P.category_id).subquery()
    cheap = aliased(P, select(P).where(P.price < 500).subquery())
    average = select(func.avg(P.price)).scalar_subquery()
    last = (
        select(L.quantity)
        .where(L.product_id == P.id)
        .order_by(L.quantity.desc())
        .limit(1)
        .correlate(P)
        .scalar_subquery()
    )
    return [
        sorted_plain(
            session.execute(select(C.id, counted.c.products).outerjoin(counted, counted.c.category_id == C.id))
        ),
        sorted_plain(session.scalars(select(cheap).where(cheap.stock > 10))),
        sorted_plain(session.execute(select(P.id).where(P.price > average))),
        sorted_plain(session.execute(select(P.id, last))),
        sorted_plain(session.execute(select(P.id).where(P.category_id.in_(select(C.id).where(C.parent_id.is_(None)))))),
        sorted_plain(session.execute(select(P.id).where(P.id.in_(select(L.product_id).where(L.quantity > 3))))),
    ]


@shape
def exists_any_and_has(session: Session, shop: SimpleNamespace) -> Any:
    P, C, L, O = shop.Product, shop.Category, shop.Line, shop.Order
    return [
        sorted_plain(session.scalars(select(P.id).where(exists().where(L.product_id == P.id)))),
        sorted_plain(session.scalars(select(P.id).where(~P.lines.any(L.quantity > 2)))),
        sorted_plain(session.scalars(select(P.id).where(P.category.has(C.name == "category 1")))),
        sorted_plain(session.scalars(select(P.id).where(P.tags.any(shop.Tag.colour == "r")))),
        sorted_plain(session.scalars(select(O.id).where(O.customer.has(shop.Customer.credit > Decimal("1.5"))))),
        session.scalar(select(exists().where(P.id == 4))),
        session.scalar(exists().where(P.price > 1000).select()),
    ]


@shape
def common_table_expressions(session: Session, shop: SimpleNamespace) -> Any:
    P, C, L = shop.Product, shop.Category, shop.Line
    sold = select(L.product_id, func.sum(L.quantity).label("n")).group_by(L.product_id).cte("sold")
    twice = sold.alias("twice")
    nested = select(P.id).where(P.stock > 20).cte("inner_products", nesting=True)
    outer = select(nested.c.id).join(P, P.id == nested.c.id).cte("outer_products")
    return [
        sorted_plain(session.execute(select(P.name, sold.c.n).join(sold, sold.c.product_id == P.id))),
        sorted_plain(
            session.execute(
                select(P.id, twice.c.n)
                .select_from(P)
                .outerjoin(sold, sold.c.product_id == P.id)
                .outerjoin(twice, twice.c.n == sold.c.n)
            )
        ),
        sorted_plain(session.execute(select(outer))),
        sorted_plain(
            session.scalars(
                select(P).join(sold, sold.c.product_id == P.id).options(joinedload(P.category)).limit(9).order_by(P.id)
            )
        ),
        sorted_plain(session.execute(select(sold.c.n).add_cte(sold))),
        sorted_plain(session.execute(select(C.id).add_cte(sold).where(C.id.in_(select(sold.c.product_id))))),
        sorted_plain(session.execute(union_all(select(sold.c.n), select(P.id)).add_cte(sold))),
    ]


@shape
def recursive_expression(session: Session, shop: SimpleNamespace) -> Any:
    C = shop.Category
    tree = select(C.id, C.name, literal(0).label("depth")).where(C.parent_id.is_(None)).cte("tree", recursive=True)
    child = aliased(C)
    tree = tree.union_all(select(child.id, child.name, tree.c.depth + 1).join(tree, child.parent_id == tree.c.id))
    return sorted_plain(session.execute(select(tree.c.name, tree.c.depth)))


@shape
def sets(session: Session, shop: SimpleNamespace) -> Any:
    P, C, L = shop.Product, shop.Category, shop.Line
    cheap, many = select(P.id).where(P.price < 400), select(P.id).where(P.stock > 50)
    both = union_all(select(P.id, P.name).where(P.id < 15), select(C.id, C.name)).subquery()
    return [
        sorted_plain(session.execute(union(cheap, many))),
        sorted_plain(session.execute(union_all(cheap, many, select(L.product_id)))),
        sorted_plain(session.execute(intersect(cheap, many))),
        sorted_plain(session.execute(except_(cheap, many))),
        plain(session.execute(union(cheap, many).order_by("id").limit(5)).all()),
        sorted_plain(session.execute(select(both.c.name, func.count()).group_by(both.c.name))),
        sorted_plain(
            session.scalars(select(P).from_statement(union(select(P).where(P.id == 3), select(P).where(P.id == 5))))
        ),
        sorted_plain(session.execute(union(select(P.id).where(P.id == 3), select(P.id).where(P.id.in_([5, 6]))))),
        sorted_plain(session.execute(union(select(P.id).where(P.id == 3), select(P.id).where(P.stock == 7)))),
    ]


@shape
def lateral_and_values(session: Session, shop: SimpleNamespace) -> Any:
    P, C = shop.Product, shop.Category
    top = lateral(
        select(P.id, P.price).where(P.category_id == C.id).order_by(P.price.desc(), P.id).limit(2).correlate(C),
        name="top",
    )
    wanted = values(column("id", Integer), column("label", String), name="wanted").data([(1, "a"), (4, "b"), (9, "c")])
    labels = func.unnest(P.labels).table_valued("label", name="labels").render_derived()
    return [
        sorted_plain(session.execute(select(C.id, top.c.id, top.c.price).outerjoin(top, true()))),
        sorted_plain(session.execute(select(wanted.c.label, P.name).outerjoin(P, P.id == wanted.c.id))),
        sorted_plain(session.execute(select(P.id, labels.c.label).select_from(P).join(labels, true()))),
    ]


# ------------------------------------------------------------------------------------------------ aggregates, windows


@shape
def aggregates(session: Session, shop: SimpleNamespace) -> Any:
    P, L = shop.Product, shop.Line
    return [
        session.scalar(select(func.count()).select_from(P)),
        session.scalar(select(func.count(distinct(P.name)))),
        plain(session.execute(select(func.sum(P.price), func.min(P.stock), func.max(P.with_tax))).all()),
        sorted_plain(
            session.execute(select(P.name, func.count(), func.avg(P.price)).group_by(P.name).having(func.count() > 1))
        ),
        sorted_plain(session.execute(select(P.state, func.array_agg(P.id.distinct())).group_by(P.state))),
        sorted_plain(session.execute(select(P.kind, func.sum(case((P.stock > 10, 1), else_=0))).group_by(P.kind))),
        plain(session.execute(select(func.sum(L.quantity * L.price).filter(L.quantity > 1))).all()),
        sorted_plain(session.execute(select(P.kind, P.name, func.count()).group_by(func.rollup(P.kind, P.name)))),
    ]


@shape
def windows(session: Session, shop: SimpleNamespace) -> Any:
    P = shop.Product
    ranked = select(
        P.id,
        P.kind,
        func.row_number().over(partition_by=P.kind, order_by=(P.price, P.id)).label("place"),
        func.lag(P.id).over(order_by=P.id).label("before"),
        func.sum(P.stock).over(order_by=P.id, rows=(None, 0)).label("running"),
        (func.count().over()).label("all"),
    ).subquery()
    return [
        sorted_plain(session.execute(select(ranked))),
        sorted_plain(session.execute(select(ranked.c.id).where(ranked.c.place == 1))),
    ]


@shape
def order_limit_distinct(session: Session, shop: SimpleNamespace) -> Any:
    P = shop.Product
    return [
        plain(session.scalars(select(P.id).order_by(P.price.desc(), P.id).limit(4).offset(1)).all()),
        plain(session.execute(select(P.name).distinct().order_by(P.name)).all()),
        plain(session.execute(select(P.kind, P.id).ext(distinct_on(P.kind)).order_by(P.kind, P.price, P.id)).all()),
        plain(session.scalars(select(P.id).order_by(text("stock DESC NULLS LAST, id"))).all()),
        plain(session.scalars(select(P.id).order_by(P.name, P.id).fetch(3)).all()),
        plain(session.scalars(select(shop.Tag.name).order_by(shop.Tag.name)).all()),
        plain(session.execute(select(P.id, literal_column("42").label("answer")).order_by(P.id)).all()),
    ]


# ------------------------------------------------------------------------------------------------ eager and lazy


def _tree(session: Session, shop: SimpleNamespace, *options: Any) -> Any:
    """Walk customers → orders → lines → products → tags and categories."""
    C = shop.Customer
    customers = session.scalars(select(C).options(*options).order_by(C.id)).unique().all()
    return [
        (
            plain(c),
            [
                (
                    plain(o),
                    [(plain(line), line.product.name, [t.name for t in line.product.tags]) for line in o.lines],
                )
                for o in c.orders
            ],
        )
        for c in customers
    ]


@shape
def lazy_loads(session: Session, shop: SimpleNamespace) -> Any:
    products = session.scalars(select(shop.Product).order_by(shop.Product.id)).all()
    return (
        _tree(session, shop),
        [(p.category.name if p.category else None, [t.name for t in p.tags], len(p.lines)) for p in products],
        [
            ([child.id for child in c.children], c.parent.id if c.parent else None)
            for c in session.scalars(select(shop.Category).order_by(shop.Category.id))
        ],
        [
            [(p.id, p.line.number, p.line.order.customer.name)]
            for p in session.scalars(select(shop.Parcel).order_by(shop.Parcel.id))
        ],
    )


@shape
def joined_loads(session: Session, shop: SimpleNamespace) -> Any:
    C, O, L, P = shop.Customer, shop.Order, shop.Line, shop.Product
    return _tree(session, shop, joinedload(C.orders).joinedload(O.lines).joinedload(L.product).joinedload(P.tags))


@shape
def selectin_loads(session: Session, shop: SimpleNamespace) -> Any:
    C, O, L, P = shop.Customer, shop.Order, shop.Line, shop.Product
    return (
        _tree(session, shop, selectinload(C.orders).selectinload(O.lines).selectinload(L.product).selectinload(P.tags)),
        [
            [plain(p) for p in line.parcels]
            for line in session.scalars(
                select(L).options(selectinload(L.parcels), selectinload(L.order)).order_by(L.order_id, L.number)
            )
        ],
    )


@shape
def subquery_loads(session: Session, shop: SimpleNamespace) -> Any:
    C, O, L, P = shop.Customer, shop.Order, shop.Line, shop.Product
    return _tree(
        session, shop, subqueryload(C.orders).subqueryload(O.lines).subqueryload(L.product).subqueryload(P.tags)
    )


@shape
def mixed_loads(session: Session, shop: SimpleNamespace) -> Any:
    C, O, L = shop.Customer, shop.Order, shop.Line
    return (
        _tree(session, shop, joinedload(C.orders).selectinload(O.lines).joinedload(L.product, innerjoin=True)),
        _tree(session, shop, immediateload(C.orders).lazyload(O.lines)),
        _tree(session, shop, defaultload(C.orders).joinedload(O.lines)),
    )


@shape
def joined_load_with_limit(session: Session, shop: SimpleNamespace) -> Any:
    O, L = shop.Order, shop.Line
    found = session.scalars(
        select(O).options(joinedload(O.lines).joinedload(L.product)).order_by(O.id).limit(3)
    ).unique()
    return [(plain(o), [(plain(line), plain(line.product)) for line in o.lines]) for o in found]


@shape
def joined_load_by_key(session: Session, shop: SimpleNamespace) -> Any:
    O, L, P = shop.Order, shop.Line, shop.Product
    keys = session.scalars(select(O.id).order_by(O.id)).all()
    session.expunge_all()
    found = [
        session.scalars(
            select(O).options(joinedload(O.customer), joinedload(O.lines).joinedload(L.product)).where(O.id == key)
        )
        .unique()
        .one()
        for key in keys
    ]
    products = [session.get(P, n, options=[joinedload(P.category), joinedload(P.tags)]) for n in range(1, 40)]
    return (
        [(plain(o), plain(o.customer), [(plain(line), plain(line.product)) for line in o.lines]) for o in found],
        [(plain(p.category), plain(p.tags)) for p in products if p is not None],
    )


@shape
def contains_eager_loads(session: Session, shop: SimpleNamespace) -> Any:
    O, L = shop.Order, shop.Line
    query = select(O).join(O.lines).where(L.quantity > 2).options(contains_eager(O.lines)).order_by(O.id, L.number)
    found = session.scalars(query.execution_options(populate_existing=True)).unique()
    return [(plain(o), plain(list(o.lines))) for o in found]


@shape
def loader_criteria(session: Session, shop: SimpleNamespace) -> Any:
    O, L = shop.Order, shop.Line
    query = select(O).options(selectinload(O.lines), with_loader_criteria(L, L.quantity > 2)).order_by(O.id)
    return [(plain(o), plain(list(o.lines))) for o in session.scalars(query)]


@shape
def columns_deferred_and_chosen(session: Session, shop: SimpleNamespace) -> Any:
    P = shop.Product
    return (
        [
            (p.id, p.name, p.facts)
            for p in session.scalars(select(P).options(defer(P.facts), load_only(P.id)).order_by(P.id))
        ],
        [(p.id, p.sold) for p in session.scalars(select(P).options(undefer(P.sold)).order_by(P.id))],
        [(p.id, p.sold) for p in session.scalars(select(P).options(raiseload(P.lines)).order_by(P.id))],
    )


# ------------------------------------------------------------------------------------------------ inheritance


@shape
def joined_inheritance(session: Session, shop: SimpleNamespace) -> Any:
    P, B = shop.Product, shop.Book
    everything = with_polymorphic(P, "*")
    return [
        sorted_plain(session.scalars(select(everything))),
        sorted_plain(
            session.scalars(select(everything).where(or_(everything.Book.pages > 100, everything.stock > 60)))
        ),
        sorted_plain(session.scalars(select(P).options(selectin_polymorphic(P, [B])))),
        sorted_plain(session.scalars(select(B).where(B.pages > 100))),
        [plain(session.get(B, number)) for number in range(1, 60)],
        [(p.pages if isinstance(p, B) else None) for p in session.scalars(select(P).order_by(P.id))],
        sorted_plain(session.execute(select(B.id, B.name, B.isbn).where(B.name != "anvil"))),
        sorted_plain(session.scalars(select(shop.Line.number).join(shop.Line.product.of_type(B)).where(B.pages > 5))),
    ]


@shape
def single_inheritance(session: Session, shop: SimpleNamespace) -> Any:
    return [
        sorted_plain(session.scalars(select(shop.Company))),
        sorted_plain(session.scalars(select(shop.Customer).where(shop.Customer.kind == "company"))),
        [plain(session.get(shop.Company, number)) for number in range(1, 60)],
    ]


@shape
def concrete_inheritance(session: Session, shop: SimpleNamespace) -> Any:
    return [
        sorted_plain(session.scalars(select(shop.Payment))),
        sorted_plain(session.scalars(select(shop.Cash).where(shop.Cash.till == 1))),
    ]


@shape
def association_tables(session: Session, shop: SimpleNamespace) -> Any:
    T, P, link = shop.Tag, shop.Product, shop.product_tag
    return [
        sorted_plain(session.execute(select(link))),
        sorted_plain(session.execute(select(T.name, func.count()).join(T.products).group_by(T.name))),
        sorted_plain(
            session.execute(select(P.id).join(link, link.c.product_id == P.id).where(link.c.tag_name > "tag 2"))
        ),
        [[p.id for p in t.products] for t in session.scalars(select(T).order_by(T.name))],
    ]


# ------------------------------------------------------------------------------------------------ doors


@shape
def query_api(session: Session, shop: SimpleNamespace) -> Any:
    P = shop.Product
    query = session.query(P)
    first = query.order_by(P.id).first()
    return [
        sorted_plain(query.filter_by(name="anvil").all()),
        query.count(),
        plain(first),
        plain(query.filter(P.id == 5).one_or_none()),
        plain(session.query(P.id, P.name).order_by(P.id).limit(3).all()),
        session.query(query.filter(P.stock > 3).exists()).scalar(),
        sorted_plain(session.query(P).join(P.category).filter(shop.Category.id < 9)),
        plain(query.order_by(P.id)[1:3]),
        sorted_plain(query.with_entities(func.max(P.price)).all()),
        sorted_plain(query.filter(P.id < 9).union(query.filter(P.stock > 80))),
    ]


@shape
def bundles_and_columns(session: Session, shop: SimpleNamespace) -> Any:
    P = shop.Product
    return [
        sorted_plain(session.execute(select(Bundle("money", P.price, P.with_tax), P.id))),
        sorted_plain(session.execute(select(P, P.name, (P.price * 2).label("double")).where(P.id < 20))),
        sorted_plain(session.execute(select(P.__table__.c.id, P.__table__.c.facts))),
        sorted_plain(session.execute(select(func.to_jsonb(P.__table__.table_valued())))),
    ]


@shape
def lambda_statements(session: Session, shop: SimpleNamespace) -> Any:
    P = shop.Product

    def one(number: int) -> Any:
        statement = lambda_stmt(lambda: select(P.id, P.name))
        statement += lambda s: s.where(P.id == number)
        return plain(session.execute(statement).all())

    return [one(number) for number in (1, 3, 5, 8)]


@shape
def streams(session: Session, shop: SimpleNamespace) -> Any:
    P = shop.Product
    return [
        plain(list(session.scalars(select(P.id).order_by(P.id).execution_options(yield_per=2)))),
        plain([row for part in session.execute(select(P).order_by(P.id)).partitions(3) for row in part]),
    ]


@shape
def reloaded(session: Session, shop: SimpleNamespace) -> Any:
    P = shop.Product
    found = session.scalars(select(P).order_by(P.id)).all()
    for product in found[:3]:
        session.refresh(product)
    for product in found[3:6]:
        session.expire(product)
    for product in found[6:8]:
        session.refresh(product, ["name", "category"])
    session.expire_all()
    return [(p.id, p.name, p.price, p.state, p.facts, p.labels, p.weight) for p in found]


@shape
def functions(session: Session, shop: SimpleNamespace) -> Any:
    assert session.scalar(func.now()) is not None
    return session.scalar(select(1)), session.execute(select(literal("x"), true())).all()


@shape
def lazy_options(session: Session, shop: SimpleNamespace) -> Any:
    C = shop.Category
    found = session.scalars(select(C).options(selectinload(C.children, recursion_depth=3)).order_by(C.id)).all()
    return [(c.id, [(k.id, [g.id for g in k.children]) for k in c.children]) for c in found], [
        plain(c.products) for c in session.scalars(select(C).options(lazyload(C.products)).order_by(C.id))
    ]
