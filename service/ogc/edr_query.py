"""The parameters that OGC API-EDR's queries share: quantities, times, reference system and format."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Depends, Query, Request

from core.errors import InputError, NoDataError, NotAcceptableError
from core.frame import iso, utc
from service.api.negotiate import JSON, NETCDF, chosen_type
from service.forecasts.nowcast import Forecast
from service.ogc.coverages import CRS84
from service.ogc.edr_meta import COVERAGE_JSON, FORMATS, NATIVE
from service.queries.quantities import QUANTITIES, quantities_of

GEOGRAPHIC: Final = frozenset({"CRS84", "OGC:CRS84", CRS84, "EPSG:4326"})
OPEN: Final = ("..", "")
MOST_SHOWN: Final = 80


@dataclass(frozen=True)
class Asked:
    """What a query wants beside its geometry.

    Attributes:
        names: of the quantities, as they came; none is all that the run has.
        times: as it came; None is every lead.
        native: on the grid's own projection.
        kind: media type of the answer.
        text: all of it, to tell one answer from another.
    """

    names: Sequence[str]
    times: str | None
    native: bool
    kind: str
    text: str


async def asked(
    request: Request,
    parameter_name: Annotated[
        str | None,
        Query(
            alias="parameter-name",
            description=f"{', '.join(QUANTITIES)}, probability_of_exceedance_0.5, ... (`parameter_names` of the "
            "collection has all), with commas; none is all",
            max_length=1000,
            examples=["rainfall_rate"],
        ),
    ] = None,
    datetime_text: Annotated[
        str | None,
        Query(
            alias="datetime",
            description="a time, or an interval such as 2024-06-01T12:00Z/.. ; none is every lead",
            max_length=100,
            examples=["../.."],
        ),
    ] = None,
    crs: Annotated[
        str | None,
        Query(description=f"of the answer: CRS84 (places), or {NATIVE} (the grid)", max_length=100, examples=["CRS84"]),
    ] = None,
    f: Annotated[
        str | None, Query(description=f"{' or '.join(FORMATS)}", max_length=100, examples=["CoverageJSON"])
    ] = None,
) -> Asked:
    """The parameters.

    Raises:
        InputError: no such reference system.
        NotAcceptableError: no such format.
    """
    names = [name.strip() for name in parameter_name.split(",")] if parameter_name else []
    if crs is not None and crs not in GEOGRAPHIC and crs != NATIVE:
        raise InputError(f"crs {crs[:MOST_SHOWN]!r} came; CRS84 or {NATIVE} was due")
    kind = _format(f, request.headers.get("accept"))
    text = f"{names} {datetime_text} {crs} {kind}"
    return Asked(list(dict.fromkeys(names)), datetime_text, crs not in GEOGRAPHIC, kind, text)


AskedDep = Annotated[Asked, Depends(asked)]


def chosen_names(forecast: Forecast, names: Sequence[str]) -> Sequence[str]:
    """Names of quantities that the forecast has; none is all of them.

    Raises:
        InputError: no such quantity.
    """
    known = quantities_of(forecast)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"parameter-name {unknown[0][:MOST_SHOWN]!r} came; {', '.join(known)} was due")
    return names or list(known)


def chosen_leads(forecast: Forecast, text: str | None) -> list[int]:
    """Indices of the leads that a `datetime` names.

    Raises:
        InputError: no time and no interval.
        NoDataError: it holds no lead.
    """
    times = forecast.valid_times
    start, end = (times[0], times[-1]) if text is None else _interval(text)
    found = [index for index, time in enumerate(times) if start <= time <= end]
    if not found:
        due = ", ".join(iso(time) for time in times)
        raise NoDataError(
            f"datetime {text!r} holds none of the leads {due} of the run of {iso(forecast.reference_time)}"
        )
    return found


def _interval(text: str) -> tuple[datetime, datetime]:
    parts = text.replace(" ", "+").split("/")  # a plus sign in an address is read as a space
    try:
        if len(parts) == 1:
            return utc(parts[0]), utc(parts[0])
        first, last = parts
        start = datetime.min.replace(tzinfo=UTC) if first in OPEN else utc(first)
        return start, datetime.max.replace(tzinfo=UTC) if last in OPEN else utc(last)
    except (ValueError, OverflowError) as err:
        raise InputError(f"datetime {text[:MOST_SHOWN]!r} came; a time or START/END was due: {err}") from err


def _format(name: str | None, accept: str | None) -> str:
    if name is None:
        kind = chosen_type(accept, (COVERAGE_JSON, JSON, NETCDF))
        return COVERAGE_JSON if kind == JSON else kind
    by_name = {**{known.lower(): kind for known, kind in FORMATS.items()}, COVERAGE_JSON: COVERAGE_JSON, NETCDF: NETCDF}
    by_name["covjson"] = COVERAGE_JSON
    if name.lower() not in by_name:
        raise NotAcceptableError(f"f {name[:MOST_SHOWN]!r} came; {' or '.join(FORMATS)} was due")
    return by_name[name.lower()]
