"""What must hold of stored forecasts and their scores, whatever happened while they were made."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import product

import numpy as np
import xarray as xr
from scores.categorical import BinaryContingencyManager
from sqlalchemy import func, select

from core.frame import RadarFrame
from core.settings import Settings
from ingest.store.database import reading
from ingest.store.live import Store
from ingest.windows.regrid import onto
from service.forecasts.catalogue import Catalogue
from service.forecasts.records import StoredForecast
from service.forecasts.tables import ScoredLeadRow, ScoreSumsRow

MADE = re.compile(r"forecast made by .*?\bforecast_id=([0-9a-f-]{36})")
MODELS = {"default", "persistence", "extrapolation"}
FOUR = ("tp_count", "fn_count", "fp_count", "tn_count")
Place = tuple[str, int, float]


def assert_each_forecast_once(store: Store, catalogue: Catalogue) -> list[StoredForecast]:
    """Every scan from the first forecast's to the last's has the model's forecast and the baselines', each once."""
    made = catalogue.select(origin="scans", limit=100_000)
    times = sorted({forecast.reference_time for forecast in made})
    scans = [scan.valid_time for scan in store.scans(start=times[0], end=times[-1])]
    assert len(scans) == len(set(scans))
    assert times == scans, f"no forecast of {sorted(set(scans) - set(times))}"
    each = Counter((forecast.reference_time, forecast.model) for forecast in made)
    assert set(each.values()) == {1}
    assert not set(product(times, MODELS)) - each.keys()
    for forecast in made:
        assert np.isfinite(forecast.rate_mmh_THW).any()
    return list(made)


def assert_counts_are_those_of_the_files(store: Store, catalogue: Catalogue, made: Sequence[StoredForecast]) -> int:
    """The stored sums of the four counts against the package `scores` on the stored files; the number of leads."""
    stored, entered = _stored_counts(catalogue)
    expected: dict[Place, np.ndarray] = {}
    scans = {scan.valid_time: scan for scan in store.scans()}
    compared = set()
    for forecast in made:
        rate_mmh_THW = forecast.rate_mmh_THW
        for lead, minutes in enumerate(forecast.lead_minutes):
            if (forecast.reference_time, minutes) not in entered:
                continue
            compared.add((forecast.reference_time, minutes))
            frame = store.load(scans[forecast.reference_time + timedelta(minutes=minutes)])
            for threshold, four in _four_counts(forecast, rate_mmh_THW[lead], frame).items():
                place = forecast.model, minutes, threshold
                expected[place] = expected.get(place, np.zeros(4, int)) + four
    assert stored.keys() == expected.keys()
    for place, expected_sums in expected.items():
        np.testing.assert_array_equal(stored[place], expected_sums, err_msg=str(place))
    return len(compared)


def _stored_counts(catalogue: Catalogue) -> tuple[dict[Place, np.ndarray], set[tuple[object, int]]]:
    """The stored sums, and which leads of which reference times are in them."""
    with reading(catalogue.engine) as connection:
        leads = select(ScoredLeadRow.reference_time, ScoredLeadRow.lead_minutes).distinct()
        entered = {(row.reference_time, row.lead_minutes) for row in connection.execute(leads)}
        columns = [func.sum(getattr(ScoreSumsRow, f"value_{number}")) for number in range(4)]
        key = (ScoredLeadRow.model, ScoredLeadRow.lead_minutes, ScoreSumsRow.threshold_mmh)
        of_counts = (ScoreSumsRow.family == "counts") & (ScoreSumsRow.mask == "all")
        joined = select(*key, *columns).join_from(ScoredLeadRow, ScoreSumsRow).where(of_counts)
        sums = connection.execute(joined.group_by(*key))
        return {(row[0], row[1], row[2]): np.array(row[3:], int) for row in sums}, entered


def _four_counts(forecast: StoredForecast, rate_mmh_HW: np.ndarray, frame: RadarFrame) -> dict[float, np.ndarray]:
    """Hits, misses, false alarms and correct negatives of a lead at each threshold, by the package `scores`."""
    observed_HW = xr.DataArray(onto(frame.rate_mmh_HW[None], frame.grid, forecast.grid)[0])
    predicted_HW = xr.DataArray(rate_mmh_HW)
    seen_HW = observed_HW.notnull() & predicted_HW.notnull()
    thresholds = xr.DataArray(list(Settings().thresholds_mmh), dims="threshold")
    events = ((field_HW >= thresholds).where(seen_HW) for field_HW in (predicted_HW, observed_HW))
    counts = BinaryContingencyManager(*events).transform(preserve_dims=["threshold"]).get_counts()
    return {
        float(threshold): np.array([int(counts[name][index]) for name in FOUR])
        for index, threshold in enumerate(thresholds.values)
    }


def computed_twice(log: str) -> dict[str, int]:
    """How often a forecast was computed beyond the first time: a catalogue cannot show it, since it keeps one row."""
    made = Counter(match[1] for match in MADE.finditer(log))
    assert made, "the log has no line of a forecast that was made"
    return {name: count - 1 for name, count in made.items() if count > 1}
