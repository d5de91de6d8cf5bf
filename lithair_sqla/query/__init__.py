"""Asking the models and the log: searches that use the indexes of the options, builders that show their SQL."""

from __future__ import annotations

from lithair_sqla.codec.point import Point
from lithair_sqla.query.search import distance_km, matches, near

__all__ = ["Point", "distance_km", "matches", "near"]
