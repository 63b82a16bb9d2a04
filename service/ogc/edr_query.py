"""The query parameters that all OGC API-EDR queries share: quantities, times, reference system and format.

An invalid one is 400, as the standard requires, where it would be 422 elsewhere.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from core.errors import InputError, NoDataError, NotAcceptableError, shown
from core.times import iso, utc, with_plus
from service.api.errors import validation_text
from service.api.negotiate import CSV, JSON, NETCDF, chosen_type
from service.forecasts.nowcast import StoredForecast
from service.ogc.coverages import CRS84
from service.ogc.edr_meta import COVERAGE_JSON, FORMATS, NATIVE
from service.queries.quantities import QUANTITIES, quantities_of

GEOGRAPHIC: Final = frozenset({"CRS84", "OGC:CRS84", CRS84, "EPSG:4326"})
OPEN: Final = ("..", "")

ParameterNames = Annotated[
    str | None,
    Query(
        alias="parameter-name",
        description=f"names separated by commas: {', '.join(QUANTITIES)}, probability_of_exceedance_0.5, ... "
        "(all are listed in `parameter_names` of the collection); all if omitted",
        max_length=1000,
        examples=["rainfall_rate"],
    ),
]
DatetimeText = Annotated[
    str | None,
    Query(
        alias="datetime",
        description="a valid time, or an interval such as 2024-06-01T12:00Z/.. ; every lead if omitted",
        max_length=100,
        examples=["../.."],
    ),
]
CrsName = Annotated[
    str | None,
    Query(
        description=f"coordinates of the response: CRS84 (longitude and latitude of each cell) or {NATIVE} (the "
        "grid's own projection)",
        max_length=100,
        examples=["CRS84"],
    ),
]
FormatName = Annotated[
    str | None, Query(description=f"{', '.join(FORMATS)}", max_length=100, examples=["CoverageJSON"])
]


@dataclass(frozen=True)
class EdrQuery:
    """What a query asks for besides its geometry.

    Attributes:
        names: names of the quantities as requested; empty for all of the run.
        times: `datetime` as requested; None for every lead.
        native: whether coordinates are those of the grid's own projection.
        kind: media type of the response.
        text: all of these as text, which distinguishes responses in their ETag.
    """

    names: Sequence[str]
    times: str | None
    native: bool
    kind: str
    text: str


async def edr_query(
    request: Request,
    parameter_name: ParameterNames = None,
    datetime_text: DatetimeText = None,
    crs: CrsName = None,
    f: FormatName = None,
) -> EdrQuery:
    """Return the shared parameters of a request.

    Raises:
        InputError: unknown reference system.
        NotAcceptableError: unknown format.
    """
    names = [name.strip() for name in parameter_name.split(",")] if parameter_name else []
    if crs is not None and crs not in GEOGRAPHIC and crs != NATIVE:
        raise InputError(f"crs: expected CRS84 or {NATIVE}, got {shown(crs)}")
    kind = _format(f, request.headers.get("accept"))
    text = f"{names} {datetime_text} {crs} {kind}"
    is_native = crs not in GEOGRAPHIC and not (crs is None and kind == CSV)  # a table has longitudes
    return EdrQuery(list(dict.fromkeys(names)), datetime_text, is_native, kind, text)


QueryDep = Annotated[EdrQuery, Depends(edr_query)]


def chosen_names(forecast: StoredForecast, names: Sequence[str]) -> Sequence[str]:
    """Return the requested quantities of a forecast; all of them if none is requested.

    Raises:
        InputError: the forecast has no such quantity.
    """
    known = quantities_of(forecast)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"parameter-name: expected names from {', '.join(known)}, got {shown(unknown[0])}")
    return names or list(known)


def chosen_leads(forecast: StoredForecast, text: str | None) -> list[int]:
    """Return the indices of the leads within a `datetime`.

    Raises:
        InputError: neither a time nor an interval.
        NoDataError: no lead is within it.
    """
    times = forecast.valid_times
    start, end = (times[0], times[-1]) if text is None else _interval(text)
    found = [index for index, time in enumerate(times) if start <= time <= end]
    if not found:
        leads = ", ".join(iso(time) for time in times)
        raise NoDataError(
            f"datetime: expected at least one of the leads {leads} of the run {iso(forecast.reference_time)}, "
            f"got {shown(text)}"
        )
    return found


def _interval(text: str) -> tuple[datetime, datetime]:
    parts = with_plus(text).split("/")  # a plus sign in an address is read as a space
    try:
        if len(parts) == 1:
            return utc(parts[0]), utc(parts[0])
        first, last = parts
        start = datetime.min.replace(tzinfo=UTC) if first in OPEN else utc(first)
        return start, datetime.max.replace(tzinfo=UTC) if last in OPEN else utc(last)
    except (ValueError, OverflowError) as err:
        raise InputError(f"datetime: expected a time or START/END, got {shown(text)}: {err}") from err


def _format(name: str | None, accept: str | None) -> str:
    if name is None:
        kind = chosen_type(accept, (COVERAGE_JSON, JSON, NETCDF, CSV))
        return COVERAGE_JSON if kind == JSON else kind
    by_name = {known.lower(): kind for known, kind in FORMATS.items()} | {kind: kind for kind in FORMATS.values()}
    by_name["covjson"] = COVERAGE_JSON
    if name.lower() not in by_name:
        raise NotAcceptableError(f"f: expected one of {', '.join(FORMATS)}, got {shown(name)}")
    return by_name[name.lower()]


class BadQueryError(InputError):
    """A query parameter of EDR is missing or invalid."""

    status = 400


class EdrRoute(APIRoute):
    """A route whose invalid input is answered with the status of the standard."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as err:
                raise BadQueryError(validation_text(err)) from err
            except InputError as err:
                if err.status == InputError.status:
                    raise BadQueryError(str(err)) from err
                raise

        return handled
