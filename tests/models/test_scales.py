"""The policy of scales (decision 0073): the shipped native model on every cadence, cell and size."""

import resource

import numpy as np
import pytest

from models.forecaster import Forecaster
from models.load import load_forecaster

CADENCES = (5, 10, 15, 30)
CELLS_KM = (0.25, 0.5, 1.0, 2.0, 4.0, 7.0, 10.0)


@pytest.fixture(scope="module")
def native() -> Forecaster:
    return load_forecaster("default", device="cpu")


def _rain(frames=5, rows=64, cols=72, *, east=1.0, south=0.0, seed=0, heavy=1.0):
    """Showers that move by whole or half cells, away from the edges, 0 elsewhere."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    field = np.zeros((frames, rows, cols), np.float32)
    for _ in range(6):
        row, col = random.uniform(0.35, 0.65) * rows, random.uniform(0.3, 0.6) * cols
        size, peak = random.uniform(2.0, 4.0), random.uniform(3, 25) * heavy
        for t in range(frames):
            field[t] += peak * np.exp(-((x - col - east * t) ** 2 + (y - row - south * t) ** 2) / (2 * size**2))
    return np.where(field < 0.1, 0, field).astype(np.float32)


def check(result, fields, thresholds):
    """Check what holds for every forecast: finite in the coverage, ordered by threshold, rate and probability agree."""
    covered = np.isfinite(fields[-1])
    rate, probability = result.rate_mmh_LHW, result.exceedance_probability_KLHW
    assert rate.shape[1:] == fields.shape[1:]
    assert np.isfinite(rate[:, covered]).all()
    assert np.isfinite(probability[:, :, covered]).all()
    assert np.isnan(rate[:, ~covered]).all()
    assert np.isnan(probability[:, :, ~covered]).all()
    assert not result.known_LHW[:, ~covered].any()
    shown = probability[:, :, covered]
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert (np.diff(shown, axis=0) <= 0).all()
    for number, mmh in enumerate(thresholds):
        reached = rate >= np.float32(mmh)
        assert probability[number][reached].min(initial=1.0) >= np.float32(0.2 if mmh < 5 else 0.1)


@pytest.mark.parametrize("pixel_km", CELLS_KM)
@pytest.mark.parametrize("cadence", CADENCES)
def test_every_cadence_and_cell(native, cadence, pixel_km):
    fields = _rain()
    fields[:, :5] = fields[:, :, -3:] = np.nan
    result = native.forecast(fields, 5, cadence_minutes=cadence, pixel_m=1000 * pixel_km)
    check(result, fields, native.thresholds_mmh)
    assert np.nanmax(result.exceedance_probability_KLHW[0, 0]) > 0.5, "what is there now is there at the first lead"


@pytest.mark.parametrize("pixel_km", [0.02, 0.1])
def test_cells_below_a_quarter_of_a_kilometre_have_forecasts_too(native, pixel_km):
    """Coarse grids stay 2, 4, ... 64 cells wide, and the motion's cells fit the same padding."""
    fields = _rain(rows=70, cols=130)
    result = native.forecast(fields, 3, cadence_minutes=5, pixel_m=1000 * pixel_km, members=2)
    check(result, fields, native.thresholds_mmh)
    assert result.motion is not None
    assert result.motion.factor == 64
    assert result.motion.eastward_ms_HW.shape == (2, 3)


@pytest.mark.parametrize(("cadence", "pixel_km"), [(5, 0.5), (5, 1.0), (10, 2.0), (15, 4.0), (30, 7.0)])
def test_a_shifted_window_has_a_shifted_forecast(native, cadence, pixel_km):
    """By a whole number of the coarsest cells; coarse means see the edge, hence the tolerance."""
    fields = _rain(rows=160, cols=192)
    step = 32 if pixel_km < 1 else 16
    moved = np.roll(fields, (step, -step), (1, 2))
    one, other = (
        native.forecast(each, 3, cadence_minutes=cadence, pixel_m=1000 * pixel_km) for each in (fields, moved)
    )
    back = np.roll(other.exceedance_probability_KLHW, (-step, step), (2, 3))
    inner = (slice(None), slice(None), slice(step, -step), slice(step, -step))
    assert np.abs(back - one.exceedance_probability_KLHW)[inner].max() < 0.08
    rates = np.roll(other.rate_mmh_LHW, (-step, step), (1, 2))
    assert ((rates >= 1) != (one.rate_mmh_LHW >= 1))[inner[1:]].mean() < 0.002


def test_cells_that_are_not_square_move_in_cells(native):
    """East by 2 cells and south by 1: on cells of 1.0 x 1.6 km the motion in kilometres has another direction."""
    fields = _rain(9, 96, 112, east=2.0, south=1.0)
    result = native.forecast(fields[:6], 3, cadence_minutes=5, pixel_m=1300.0)
    check(result, fields[:6], native.thresholds_mmh)
    shown, seen = result.rate_mmh_LHW[2] >= 1, fields[8] >= 1
    assert (shown & seen).sum() > 0.7 * (shown | seen).sum()


@pytest.mark.parametrize("cadence", CADENCES)
def test_two_frames_are_enough(native, cadence):
    fields = _rain(2, east=2.0)
    result = native.forecast(fields, 3, cadence_minutes=cadence, pixel_m=2000.0)
    check(result, fields, native.thresholds_mmh)
    shown, seen = result.rate_mmh_LHW[0] >= 1, _rain(3, east=2.0)[2] >= 1
    assert (shown & seen).sum() > 0.6 * (shown | seen).sum()


@pytest.mark.parametrize(("cadence", "pixel_km"), [(5, 0.25), (5, 1.0), (30, 10.0)])
def test_nothing_comes_of_dry_fields(native, cadence, pixel_km):
    fields = np.zeros((5, 64, 72), np.float32)
    result = native.forecast(fields, 3, cadence_minutes=cadence, pixel_m=1000 * pixel_km)
    check(result, fields, native.thresholds_mmh)
    assert result.rate_mmh_LHW.max() == 0
    assert result.exceedance_probability_KLHW.max() < 0.1


@pytest.mark.parametrize("rate_mmh", [0.0, 3.0])
def test_a_single_observed_cell(native, rate_mmh):
    fields = np.full((3, 40, 44), np.nan, np.float32)
    fields[:, 17, 23] = rate_mmh
    result = native.forecast(fields, 3, cadence_minutes=5, pixel_m=1000.0)
    check(result, fields, native.thresholds_mmh)


@pytest.mark.parametrize(("cadence", "pixel_km"), [(5, 0.25), (5, 1.0), (30, 10.0)])
def test_heavy_rain_everywhere(native, cadence, pixel_km):
    fields = np.full((5, 64, 72), 60.0, np.float32) + _rain(heavy=8.0)
    result = native.forecast(fields, 3, cadence_minutes=cadence, pixel_m=1000 * pixel_km)
    check(result, fields, native.thresholds_mmh)
    assert result.rate_mmh_LHW[0].min() >= 5
    assert result.rate_mmh_LHW.max() < 200


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 40), (3, 3), (17, 5)])
@pytest.mark.parametrize("pixel_km", [0.25, 1.0, 10.0])
def test_few_rows_and_columns(native, rows, cols, pixel_km):
    fields = np.random.default_rng(0).gamma(0.5, 4.0, (4, rows, cols)).astype(np.float32)
    result = native.forecast(fields, 2, cadence_minutes=5, pixel_m=1000 * pixel_km)
    check(result, fields, native.thresholds_mmh)


@pytest.mark.parametrize("frames", [5, 25])
def test_leads_beyond_those_of_the_training(native, frames):
    fields = _rain(frames)
    result = native.forecast(fields, 8, cadence_minutes=30, pixel_m=2000.0)
    check(result, fields, native.thresholds_mmh)
    assert len(result.rate_mmh_LHW) == 8


@pytest.mark.parametrize(
    ("rows", "cols", "leads"),
    [
        (100, 100, 3),
        pytest.param(900, 900, 30, marks=pytest.mark.long),
        pytest.param(1900, 2200, 30, marks=pytest.mark.long),
    ],
)
def test_every_size(native, rows, cols, leads):
    """Lead by lead: the whole forecast of the largest grid is 4.5 GB."""
    fields = _rain(13, rows, cols, east=1.5)
    fields[:, : rows // 8] = np.nan
    steps = []
    for lead in native.leads(fields, leads, cadence_minutes=5, pixel_m=1000.0):
        steps.append(lead.step)
        covered = np.isfinite(fields[-1])
        assert np.isfinite(lead.rate_mmh_HW[covered]).all()
        assert np.isnan(lead.rate_mmh_HW[~covered]).all()
        assert (np.diff(lead.exceedance_probability_KHW[:, covered], axis=0) <= 0).all()
    assert steps == list(range(1, leads + 1))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4.3e6, (
        "kB: a worker's limit of 4 GB, and this test's own"
    )
