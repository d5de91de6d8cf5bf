"""Asking the models and the log: searches that use the indexes of the options, builders that show their SQL."""

from __future__ import annotations

from lithair_sqla.codec.point import Point
from lithair_sqla.query.aggregates import Aggregate, Avg, Count, First, Last, Max, Min, Percentile, Sum
from lithair_sqla.query.builder import ModelQuery
from lithair_sqla.query.projection import Projection
from lithair_sqla.query.search import distance_km, matches, near
from lithair_sqla.query.start import Query, query

__all__ = [
    "Aggregate",
    "Avg",
    "Count",
    "First",
    "Last",
    "Max",
    "Min",
    "ModelQuery",
    "Percentile",
    "Point",
    "Projection",
    "Query",
    "Sum",
    "distance_km",
    "matches",
    "near",
    "query",
]
