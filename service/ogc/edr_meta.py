"""The documents by which OGC API-EDR clients discover data: landing page, conformance, collections, instances."""

from collections.abc import Mapping, Sequence
from typing import Final

from pyproj import CRS

from core.grid import Grid
from core.times import iso
from service.api.negotiate import CSV, JSON, NETCDF
from service.forecasts.nowcast import StoredForecast
from service.ogc.coverages import CRS84, Json
from service.queries.longitudes import bounds_of
from service.queries.quantities import Quantity, quantities_of

COLLECTION: Final = "nowcast"
COVERAGE_JSON: Final = "application/prs.coverage+json"
FORMATS: Final[Mapping[str, str]] = {"CoverageJSON": COVERAGE_JSON, "NetCDF": NETCDF, "CSV": CSV}
NATIVE: Final = "native"
QUERIES: Final = ("position", "area", "cube")
OPENAPI_30: Final = "application/vnd.oai.openapi+json;version=3.0"
OPENAPI_31: Final = "application/vnd.oai.openapi+json;version=3.1"
CONFORMANCE: Final = tuple(
    f"http://www.opengis.net/spec/{part}"
    for part in (
        "ogcapi-common-1/1.0/conf/core",
        "ogcapi-common-2/1.0/conf/collections",
        "ogcapi-common-1/1.0/conf/landing-page",
        "ogcapi-common-1/1.0/conf/json",
        "ogcapi-common-1/1.0/conf/oas30",
        *(
            f"ogcapi-edr-1/{version}/{kind}"
            for version, openapi in (("1.1", "oas30"), ("1.2", "oas31"))
            for kind in (
                *("conf/core", "conf/collections", "conf/json", "conf/covjson", "conf/queries"),
                *(f"conf/{openapi}", f"req/{openapi}"),
            )
        ),
    )
)
TIMES: Final = 'TIMECRS["DateTime",TDATUM["Gregorian Calendar"],CS[TemporalDateTime,1],AXIS["Time (T)",unspecified]]'
TITLE: Final = "Precipitation nowcast"
DESCRIPTION: Final = (
    "Precipitation forecasts for the next two and a half hours from radar scans; an instance is a run of the model."
)


def landing(base: str) -> Json:
    """Return the landing page with the links of `/`."""
    return {
        "title": TITLE,
        "description": DESCRIPTION,
        "links": [
            _link(f"{base}?f=json", "self", title="this document"),
            _link(f"{base}", "alternate", "text/html", "the page"),
            _link(f"{base}openapi-3.0.json", "service-desc", OPENAPI_30, "OpenAPI 3.0 document"),
            _link(f"{base}openapi.json", "service-desc", OPENAPI_31, "OpenAPI 3.1 document"),
            _link(f"{base}docs", "service-doc", "text/html", "API documentation"),
            _link(f"{base}conformance", "conformance", title="conformance classes"),
            _link(f"{base}collections", "data", title="the collections"),
        ],
    }


def collections(base: str, newest: StoredForecast | None) -> Json:
    """Return the list of collections: one, or none before the first forecast."""
    found = [] if newest is None else [collection(base, newest)]
    return {"links": [_link(f"{base}collections", "self")], "collections": found}


def collection(base: str, newest: StoredForecast) -> Json:
    """Return the collection of the scheduled model's forecasts; its own queries use the newest run."""
    here = f"{base}collections/{COLLECTION}"
    queries = {**_queries(here, newest.grid), "instances": {"link": _runs_link(f"{here}/instances")}}
    links = [_link(here, "self"), _link(here, "data"), _link(f"{here}/instances", "instances", title="the runs")]
    links += [_link(f"{here}/{query}", "data", COVERAGE_JSON, query) for query in QUERIES]
    return {"id": COLLECTION, "title": TITLE, "description": DESCRIPTION, **_described(newest, links, queries)}


def instances(base: str, runs: Sequence[StoredForecast]) -> Json:
    """Return the runs, newest first."""
    here = f"{base}collections/{COLLECTION}/instances"
    return {"links": [_link(here, "self")], "instances": [instance(base, run) for run in runs]}


def instance(base: str, run: StoredForecast) -> Json:
    """Return one run; its id is that of the forecast."""
    here = f"{base}collections/{COLLECTION}/instances/{run.id}"
    links = [
        _link(here, "self"),
        _link(f"{base}collections/{COLLECTION}", "collection"),
        _link(f"{base}nowcast/{run.id}", "alternate", title="the whole forecast"),
        _link(f"{base}nowcast/{run.id}/file.nc", "enclosure", NETCDF, "its file"),
    ]
    title = f"Run of {iso(run.reference_time)} by {run.model} {run.version} ({run.status})"
    return {"id": run.id, "title": title, **_described(run, links, _queries(here, run.grid))}


def _described(run: StoredForecast, links: list[Json], queries: Json) -> Json:
    times = [iso(time) for time in run.valid_times]
    return {
        "links": links,
        "extent": {
            "spatial": {"bbox": [[round(edge, 4) for edge in bounds_of(run.grid)]], "crs": CRS84},
            "temporal": {
                "interval": [[times[0], times[-1]]],
                "values": times,
                "trs": TIMES,
            },
        },
        "data_queries": queries,
        "crs": ["CRS84", NATIVE],
        "output_formats": list(FORMATS),
        "parameter_names": {name: _parameter(name, quantity) for name, quantity in quantities_of(run).items()},
    }


def _parameter(name: str, quantity: Quantity) -> Json:
    known = {"id": quantity.standard_name} if quantity.standard_name else {}
    return {
        "type": "Parameter",
        "id": name,
        "description": quantity.description,
        "data-type": "float",
        "unit": {
            "label": quantity.unit,
            "symbol": {"value": quantity.unit, "type": "http://www.opengis.net/def/uom/UCUM/"},
        },
        "observedProperty": {**known, "label": quantity.label},
    }


def _queries(here: str, grid: Grid) -> Json:
    details = [{"crs": "CRS84", "wkt": CRS.from_user_input("OGC:CRS84").to_wkt()}]
    native = {"crs": NATIVE, "wkt": grid.projection.to_wkt()}
    return {
        query: {"link": _query_link(f"{here}/{query}", query, details if query == "position" else [*details, native])}
        for query in QUERIES
    }


def _query_link(href: str, query: str, crs_details: list[Json]) -> Json:
    formats = {"output_formats": list(FORMATS), "default_output_format": "CoverageJSON"}
    variables: Json = {"query_type": query, "title": f"{query} query", **formats, "crs_details": crs_details}
    if query == "cube":
        variables["height_units"] = []
    return {"href": href, "rel": "data", "type": COVERAGE_JSON, "variables": variables}


def _runs_link(href: str) -> Json:
    return {"href": href, "rel": "data", "type": JSON, "variables": {"query_type": "instances", "title": "the runs"}}


def _link(href: str, rel: str, kind: str = JSON, title: str | None = None) -> Json:
    return {"href": href, "rel": rel, "type": kind, **({"title": title} if title else {})}
