"""The document of `/tiles`: every layer with its times, its colours and the template of its tiles."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from core.cf import RATE
from core.colours import HATCH, NO_DATA, RAIN_COLOURS, Classes, css
from ingest.store.live import Scan, Store
from service.api.proxies import public_prefix
from service.forecasts.members import member_count
from service.forecasts.nowcast import StoredForecast
from service.ogc.tile_layers import HOUR_AHEAD, HOUR_BEFORE, MEMBER
from service.queries.observed import PERIOD
from service.queries.quantities import Quantity, quantities_of
from service.queries.sums import HOUR, HOUR_MINUTES, scans_of_hour, start_minutes
from service.schemas.tiles import TileColourOut, TileLayerOut, TileLayersOut

MM: Final = "mm"


def layers_out(store: Store, forecast: StoredForecast) -> TileLayersOut:
    """Return the layers of a forecast and of the scans of the two hours before it."""
    end, start = forecast.reference_time, forecast.reference_time - PERIOD
    scans = store.scans(product=forecast.product, start=start - HOUR, end=end)
    shown = [scan for scan in scans if scan.valid_time >= start]
    leads = list(forecast.valid_times)
    quantities = quantities_of(forecast)
    layers = [_layer(forecast, RATE, "rate", quantities[RATE], [scan.valid_time for scan in shown], leads)]
    for name, quantity in quantities.items():
        if quantity.threshold_mmh is not None:
            layers.append(_layer(forecast, name, "probability", quantity, [], leads))
    layers += [_hour_ahead(forecast), _hour_before(forecast, scans, shown)]
    members = list(range(1, member_count(forecast) + 1))
    times = leads if members else []
    layers.append(_layer(forecast, f"{MEMBER}{{member}}", "member", quantities[RATE], [], times, members=members))
    return TileLayersOut.of(
        forecast, forecast_id=forecast.id, layers=layers, no_data_colour=css(NO_DATA), unknown_colour=css(HATCH)
    )


def _hour_ahead(forecast: StoredForecast) -> TileLayerOut:
    times = [forecast.reference_time + timedelta(minutes=minutes) for minutes in start_minutes(forecast)]
    return _sum(forecast, HOUR_AHEAD, [], times, (0, HOUR_MINUTES))


def _hour_before(forecast: StoredForecast, scans: Sequence[Scan], shown: Sequence[Scan]) -> TileLayerOut:
    times = [scan.valid_time for scan in shown if scans_of_hour(scans, scan) is not None]
    return _sum(forecast, HOUR_BEFORE, times, [], (-HOUR_MINUTES, 0))


def _sum(
    forecast: StoredForecast,
    name: str,
    observed: Sequence[datetime],
    forecast_times: Sequence[datetime],
    period: tuple[int, int],
) -> TileLayerOut:
    return TileLayerOut(
        name=name,
        kind="sum",
        unit=MM,
        period_minutes=period,
        observed_times=list(observed),
        forecast_times=list(forecast_times),
        tiles=_template(forecast, name),
        legend=_legend(RAIN_COLOURS),
    )


def _layer(
    forecast: StoredForecast,
    name: str,
    kind: Any,
    quantity: Quantity,
    observed: Sequence[datetime],
    leads: Sequence[datetime],
    *,
    members: Sequence[int] = (),
) -> TileLayerOut:
    return TileLayerOut(
        name=name,
        kind=kind,
        unit=quantity.unit,
        threshold_mmh=quantity.threshold_mmh,
        members=list(members),
        observed_times=list(observed),
        forecast_times=list(leads),
        tiles=_template(forecast, name),
        legend=_legend(quantity.classes),
    )


def _template(forecast: StoredForecast, name: str) -> str:
    return f"{public_prefix()}/tiles/{name}/{{time}}/{{z}}/{{x}}/{{y}}.png?run={forecast.id}"


def _legend(classes: Classes) -> list[TileColourOut]:
    return [TileColourOut(from_value=edge, colour=css(colour)) for edge, colour in classes]
