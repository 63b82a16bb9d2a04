"""Boxes and polygons in requests: comma-separated numbers, WKT, GeoJSON."""

import json
from typing import Any

import shapely
from shapely.errors import ShapelyError
from shapely.geometry import shape

from core.errors import InputError, shown
from service.queries.areas import checked_polygon
from service.queries.cells import BBox, checked_bbox
from service.queries.longitudes import Polygon


def parsed_bbox(text: str) -> BBox:
    """Return the box of `west,south,east,north` in degrees.

    Raises:
        InputError: another form, or not a box on Earth.
    """
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as err:
        raise InputError(f"bbox: expected west,south,east,north in degrees, got {shown(text)}") from err
    return checked_bbox((west, south, east, north))


def parsed_polygon(text: str) -> Polygon:
    """Return the polygon of a WKT or GeoJSON text.

    Raises:
        InputError: not a polygon on Earth.
        TooLargeError: too many vertices.
    """
    if text.lstrip().startswith("{"):
        try:
            return polygon_of(json.loads(text))
        except (ValueError, RecursionError) as err:
            raise InputError(f"polygon: expected JSON, got {shown(text)}: {err}") from err
    return checked_polygon(parsed_wkt(text))


def parsed_wkt(text: str) -> shapely.Geometry:
    """Return a two-dimensional geometry.

    Raises:
        InputError: not WKT.
    """
    try:
        geometry = shapely.from_wkt(text)
    except (ShapelyError, NotImplementedError) as err:  # the latter of curves
        raise InputError(f"expected WKT such as POINT(13.4 52.5), got {shown(text)}: {err}") from err
    if geometry is None:
        raise InputError("expected WKT such as POINT(13.4 52.5), got an empty geometry")
    flat: shapely.Geometry = shapely.force_2d(geometry)
    return flat


def polygon_of(document: Any) -> Polygon:
    """Return the polygon of a GeoJSON Polygon, MultiPolygon, Feature of one, or FeatureCollection of one (RFC 7946).

    Raises:
        InputError: another document.
        TooLargeError: too many vertices.
    """
    feature = _only_feature(document)
    geometry = feature.get("geometry") if isinstance(feature, dict) and feature.get("type") == "Feature" else feature
    if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
        kind = geometry.get("type") if isinstance(geometry, dict) else type(geometry).__name__
        raise InputError(f"GeoJSON: expected a Polygon, a MultiPolygon or a Feature of one, got {shown(kind)}")
    try:
        made = shapely.force_2d(shape(geometry))
    except (ShapelyError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as err:
        raise InputError(f"GeoJSON: expected the coordinates of a {geometry['type']}, got others: {err}") from err
    return checked_polygon(made)


def _only_feature(document: Any) -> Any:
    """Return the one feature of a FeatureCollection; any other document unchanged."""
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        return document
    features = document.get("features")
    if not isinstance(features, list) or len(features) != 1:
        got = f"{len(features)} features" if isinstance(features, list) else shown(features)
        raise InputError(f"GeoJSON: expected a FeatureCollection of one polygon, got one of {got}")
    return features[0]
