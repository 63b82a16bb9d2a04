"""CoverageJSON (OGC 21-069r2) of parts of a forecast: series at places, blocks on the grid, blocks as points."""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

import numpy as np

from core.arrays import Float32Field
from core.grid import Grid
from core.times import iso
from service.api.csv_tables import csv_text
from service.forecasts.records import StoredForecast
from service.queries.cells import OUTSIDE, swap_hint
from service.queries.quantities import Quantity, quantities_of, quantity_THW
from service.queries.regions import BoxField

Json = dict[str, Any]

TABLE_COLUMNS: Final = ("status", "reference_time", "valid_time")

CRS84: Final = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
VOCABULARY: Final = "http://vocab.nerc.ac.uk/standard_name"


def parameter(quantity: Quantity) -> Json:
    """Return the parameter object of a quantity."""
    known = {"id": f"{VOCABULARY}/{quantity.standard_name}/"} if quantity.standard_name else {}
    seen = {**known, "label": {"en": quantity.label}}
    unit = {"symbol": {"value": quantity.unit, "type": "http://www.opengis.net/def/uom/UCUM/"}}
    return {"type": "Parameter", "description": {"en": quantity.description}, "unit": unit, "observedProperty": seen}


def thinning(shape: tuple[int, int], resolution: tuple[int | None, int | None], most: int) -> tuple[int, int]:
    """Return every how many rows and columns a block is answered.

    Args:
        shape: rows and columns.
        resolution: requested numbers of them; None or 0 is all.
        most: limit of the cells of an answer, which thins both alike.
    """
    wanted = [max(1, size // number) if number else 1 for size, number in zip(shape, resolution, strict=True)]
    cells = math.prod(math.ceil(size / every) for size, every in zip(shape, wanted, strict=True))
    more = 1
    while cells > most:
        more += 1
        cells = math.prod(math.ceil(size / (every * more)) for size, every in zip(shape, wanted, strict=True))
    return wanted[0] * more, wanted[1] * more


def place_coverage(
    forecast: StoredForecast, lon: float, lat: float, box: BoxField | None, names: Sequence[str], leads: Sequence[int]
) -> Json:
    """Return the series at a place; `box` is its grid cell, None outside the grid, where all values are null."""
    axes = {"x": {"values": [lon]}, "y": {"values": [lat]}, **_times(forecast, leads)}
    domain = _domain("PointSeries", axes, _geographic())
    values = {name: None if box is None else quantity_THW(forecast, box, name)[leads, 0, 0] for name in names}
    ranges = {name: _array(found, ["t"], [len(leads)]) for name, found in values.items()}
    note = {} if box is not None else {"nowcast:note": OUTSIDE + swap_hint(forecast.grid, lat, lon)}
    return {**_coverage(forecast, domain, ranges, box), **note}


def grid_coverage(
    forecast: StoredForecast,
    box: BoxField,
    names: Sequence[str],
    leads: Sequence[int],
    every: tuple[int, int] = (1, 1),
) -> Json:
    """Return a block on the grid's own projection, rows from the north; see `thinning` for `every`."""
    rows, cols = (_middles(size, step) for size, step in zip(box.block.shape, every, strict=True))
    axes = {
        "x": {"values": box.grid.x_centres_m[cols].tolist()},
        "y": {"values": box.grid.y_centres_m[rows].tolist()},
        **_times(forecast, leads),
    }
    domain = _domain("Grid", axes, _projected(box.grid))
    shape = [len(leads), len(axes["y"]["values"]), len(axes["x"]["values"])]
    ranges = {
        name: _array(quantity_THW(forecast, box, name)[leads][:, rows, cols], ["t", "y", "x"], shape) for name in names
    }
    return _thinned(_coverage(forecast, domain, ranges, box), every)


def centres_coverage(
    forecast: StoredForecast,
    box: BoxField,
    names: Sequence[str],
    leads: Sequence[int],
    every: tuple[int, int] = (1, 1),
) -> Json:
    """Return a block as points, the centres of its grid cells; for a polygon, of those that it touches."""
    rows, cols = (_middles(size, step) for size, step in zip(box.block.shape, every, strict=True))
    some_HW = np.zeros_like(box.mask_HW)
    some_HW[rows, cols] = box.mask_HW[rows, cols]
    lon_HW, lat_HW = box.grid.lon_lat_HW()
    places = np.stack([lon_HW[some_HW], lat_HW[some_HW]], axis=1).round(6).tolist()
    composite = {"dataType": "tuple", "coordinates": ["x", "y"], "values": places}
    domain = _domain("MultiPointSeries", {"composite": composite, **_times(forecast, leads)}, _geographic())
    shape = [len(leads), len(places)]
    ranges = {
        name: _array(quantity_THW(forecast, box, name)[leads][:, some_HW], ["t", "composite"], shape) for name in names
    }
    return _thinned(_coverage(forecast, domain, ranges, box), every)


def _middles(size: int, every: int) -> slice:
    """Return the middle one of each `every` rows or columns; at least one of them."""
    return slice(min(every // 2, size - 1), None, every)


def _thinned(coverage: Json, every: tuple[int, int]) -> Json:
    return coverage if every == (1, 1) else {**coverage, "nowcast:every_cells": list(every)}


def collection_of(coverages: Sequence[Json]) -> Json:
    """Return several coverages of one run as a collection."""
    return {"type": "CoverageCollection", "coverages": list(coverages)}


def coverage_table(document: Json, credit: str) -> str:
    """Return a coverage, or a collection of them, as a table: a row for each time and place, quantities with units."""
    coverages = document.get("coverages", [document])
    parameters = coverages[0]["parameters"]
    place = coverages[0]["domain"]["referencing"][0]["system"]["type"]
    names = [f"{name} ({unit})" if (unit := _unit(one)) != "1" else name for name, one in parameters.items()]
    columns = [*(("lon", "lat") if place == "GeographicCRS" else ("x_m", "y_m")), *TABLE_COLUMNS, *names, "attribution"]
    return csv_text(columns, ([*row, credit] for one in coverages for row in _table_rows(one)))


def _table_rows(coverage: Json) -> Iterator[list[Any]]:
    """Yield the rows of a coverage; its values are in the order of times, then of places."""
    axes, ranges = coverage["domain"]["axes"], [one["values"] for one in coverage["ranges"].values()]
    if "composite" in axes:
        places = axes["composite"]["values"]
    else:
        places = [[x, y] for y in axes["y"]["values"] for x in axes["x"]["values"]]
    known = [coverage["nowcast:status"], coverage["nowcast:reference_time"]]
    for number, (time, (x, y)) in enumerate(product(axes["t"]["values"], places)):
        yield [x, y, *known, time, *(values[number] for values in ranges)]


def _unit(parameter_object: Json) -> str:
    return str(parameter_object["unit"]["symbol"]["value"])


def _coverage(forecast: StoredForecast, domain: Json, ranges: Json, box: BoxField | None) -> Json:
    known = quantities_of(forecast)
    return {
        "type": "Coverage",
        "id": forecast.id,
        "domain": domain,
        "parameters": {name: parameter(known[name]) for name in ranges},
        "ranges": ranges,
        "nowcast:reference_time": iso(forecast.reference_time),
        "nowcast:status": forecast.status,
        "nowcast:radar_coverage": "no coverage" if box is None else box.coverage,
    }


def _domain(kind: str, axes: Json, place: Json) -> Json:
    time = {"coordinates": ["t"], "system": {"type": "TemporalRS", "calendar": "Gregorian"}}
    return {"type": "Domain", "domainType": kind, "axes": axes, "referencing": [place, time]}


def _times(forecast: StoredForecast, leads: Sequence[int]) -> Json:
    return {"t": {"values": [iso(forecast.valid_times[index]) for index in leads]}}


def _geographic() -> Json:
    return {"coordinates": ["x", "y"], "system": {"type": "GeographicCRS", "id": CRS84}}


def _projected(grid: Grid) -> Json:
    kind = "GeographicCRS" if grid.projection.is_geographic else "ProjectedCRS"
    system = {
        "type": kind,
        "description": {"en": grid.name or "the grid's projection"},
        "wkt": grid.projection.to_wkt(),
    }
    return {"coordinates": ["x", "y"], "system": system}


def _array(values: Float32Field | None, axes: Sequence[str], shape: Sequence[int]) -> Json:
    """Return an NdArray, with null for NaN and for missing fields."""
    flat = np.full(int(np.prod(shape)), np.nan) if values is None else np.asarray(values, np.float64).ravel()
    numbers = [None if value != value else value for value in flat.round(4).tolist()]
    return {"type": "NdArray", "dataType": "float", "axisNames": list(axes), "shape": list(shape), "values": numbers}
