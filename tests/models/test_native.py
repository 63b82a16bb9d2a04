"""The native model: trajectories, predictors by scale, cuts, and its forecaster."""

import gc
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.distribution import TAIL_EXPONENT, beyond_highest
from models.baselines import Extrapolation
from models.checkpoint import save_model
from models.guided.advection import warped
from models.guided.carry import CarriedUnits
from models.guided.cuts import ExpectedCuts, frequencies, lower_inflow, tail_exponent
from models.guided.levels import CARRIED, SCALES_KM, factor_of, padded, window_levels
from models.guided.members import coarse
from models.guided.native import NativeForecaster
from models.guided.network import RATES_MMH
from models.guided.pointwise import PREDICTORS, PointwiseModel
from models.guided.trajectories import Trajectories, traced_LCHW, trajectories
from models.load import load_forecaster
from training.native_samples import predictors_at


def _showers(frames=13, rows=96, cols=112, speed=1.5, seed=0):
    """Fields of several showers that drift east by `speed` cells a step."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :cols].astype(np.float32)
    field = np.zeros((frames, rows, cols), np.float32)
    for _ in range(12):
        row, col, size, peak = (
            random.uniform(0, rows),
            random.uniform(-20, cols),
            random.uniform(3, 7),
            random.uniform(2, 20),
        )
        for t in range(frames):
            field[t] += peak * np.exp(-((x - col - speed * t) ** 2 + (y - row) ** 2) / (2 * size**2))
    return np.where(field < 0.1, 0, field).astype(np.float32)


def _extrapolating():
    """A model whose logits follow the carried field: what it forecasts can be worked out."""
    torch.manual_seed(0)
    model = PointwiseModel(hidden=3)
    with torch.no_grad():
        model.weight_TPFU.zero_()
        model.bias_TPU.zero_()
        model.weight_TPFU[:, :, CARRIED.index("log_0"), 3:] = 4.0
        model.bias_TPU[:, :, 3:] = -4 * torch.log1p(torch.tensor(RATES_MMH) / 0.1)
    return model


def _uniform(rows, cols, back_rows, back_cols, steps=4):
    """Trajectories of one constant motion."""
    motion = np.stack([np.full((rows, cols), -back_cols), np.full((rows, cols), -back_rows)]).astype(np.float32)
    return Trajectories(1, motion, traced_LCHW(motion, steps))


@pytest.fixture
def forecaster():
    return NativeForecaster(_extrapolating(), "native", "1", device="cpu")


def test_a_whole_number_of_cells_is_an_exact_shift():
    field = np.random.default_rng(0).random((1, 40, 50)).astype(np.float32)
    paths = _uniform(40, 50, 1.0, -2.0)
    moved = warped(field[0], paths.back_CHW(3, (40, 50), 1))
    np.testing.assert_array_equal(moved[:-3, 6:], field[0, 3:, :-6])
    assert np.isnan(moved[:, :6]).all()
    assert np.isnan(moved[-3:]).all()


def test_trajectories_bend_with_a_rotation():
    y, x = np.mgrid[:81, :81].astype(np.float32) - 40
    angle = 0.05
    back = traced_LCHW(np.stack([-angle * y, angle * x]), 10)[-1]
    turned = 10 * angle
    expected_x, expected_y = np.cos(turned) * 20, -np.sin(turned) * 20
    assert back[0, 40, 60] + 20 == pytest.approx(expected_x, abs=0.05)
    assert back[1, 40, 60] == pytest.approx(expected_y, abs=0.05)


@pytest.mark.parametrize(("cadence", "pixel_km"), [(5, 1.0), (10, 2.0), (15, 1.0), (30, 4.0)])
def test_motion_is_found_at_any_cadence_and_cell(cadence, pixel_km):
    kmh = 36.0
    speed = kmh / 60 * cadence / pixel_km
    fields = padded(_showers(max(60 // cadence, 2) + 1, 128, 128, speed), pixel_km)
    paths = trajectories(fields, 1, cadence, pixel_km)
    wet = fields[-1, :: paths.factor, :: paths.factor] > 1
    size = paths.motion_CHW.shape[1:]
    assert np.median(paths.motion_CHW[0][wet[: size[0], : size[1]]]) * 60 * pixel_km == pytest.approx(kmh, rel=0.12)


def _crossing_rain(right_kmh, down_kmh):
    """Wide rain that crosses the whole of a grid of 1 km within the last hour, every 5 minutes."""
    random = np.random.default_rng(9)
    y, x = np.mgrid[:192, :192].astype(np.float32)
    field = np.zeros((13, 192, 192), np.float32)
    for _ in range(60):
        col, row, size, peak = *random.uniform(-58, 250, 2), random.uniform(5, 25), random.lognormal(np.log(10), 0.7)
        for hours, field_HW in zip(np.arange(-12, 1) / 12, field, strict=True):
            off_HW = (x - col - right_kmh * hours) ** 2 + (y - row - down_kmh * hours) ** 2
            field_HW += peak * np.exp(-off_HW / (2 * size**2))
    return np.where(field < 1, 0, field)


def _disc(y, x):
    return np.hypot(y - 96, x - 96) < 80


def _blocked_sector(y, x):
    return (np.abs(x - 96 - 0.3 * (y - 96)) >= 8) | (y >= 96)


def _slanting_border(y, x):
    return (y > 40) & (x < 144 + 0.2 * y)


@pytest.mark.parametrize("observed", [_disc, _blocked_sector, _slanting_border])
def test_the_edge_of_the_observed_area_does_not_slow_the_motion(observed):
    right_kmh, down_kmh = -30.0, -60.0
    seen = observed(*np.mgrid[:192, :192])
    fields = np.where(seen, _crossing_rain(right_kmh, down_kmh), np.float32(np.nan))
    paths = trajectories(fields, 1, 5, 1.0)
    found_CHW = paths.motion_CHW[:, seen[:: paths.factor, :: paths.factor]] * 60
    error = np.hypot(found_CHW[0] - right_kmh, found_CHW[1] - down_kmh)
    assert error.mean() < 4.5  # 19, 6 and 9 km/h with the edge in view


@pytest.mark.parametrize(("cadence", "pixel_km", "factor"), [(5, 1.0, 16), (10, 2.0, 8), (30, 4.0, 4), (5, 0.5, 32)])
def test_a_forecast_states_its_motion_in_metres_per_second(forecaster, cadence, pixel_km, factor):
    kmh = 36.0
    fields = _showers(max(60 // cadence, 2) + 1, 100, 120, kmh / 60 * cadence / pixel_km)
    tilted = np.ascontiguousarray(np.moveaxis(fields, 1, 2)[:, ::-1])  # now to the north
    for rain, component in ((fields, "eastward_ms_HW"), (tilted, "northward_ms_HW")):
        motion = forecaster.forecast(rain, 2, cadence_minutes=cadence, pixel_m=pixel_km * 1000).motion
        rows, cols = (-(-size // factor) for size in rain.shape[1:])
        assert motion.factor == factor
        assert motion.eastward_ms_HW.shape == motion.northward_ms_HW.shape == (rows, cols)
        assert np.median(getattr(motion, component)) == pytest.approx(10, rel=0.15)
        others = np.abs(motion.eastward_ms_HW + motion.northward_ms_HW - getattr(motion, component))
        assert np.median(others) < 1


def test_coarse_scales_stand_on_coarse_grids():
    fields = padded(_showers(), 1.0)
    levels = window_levels(fields, (96, 112), trajectories(fields, 1, 5, 1.0), 5, 1.0)
    assert [level.factor for level in levels.carried] == [1, 2, 4, 8, 16]
    assert [scale for level in levels.carried for scale in level.scales_km] == list(SCALES_KM)
    for level in levels.carried:
        assert level.fields_CHW.shape[1:] == (96 // level.factor, 112 // level.factor)
        assert np.isfinite(level.fields_CHW).all()
    assert [factor_of(16.0, pixel) for pixel in (0.25, 0.5, 2.0, 7.0, 20.0)] == [64, 32, 8, 2, 1]


def test_mean_of_a_blur_is_that_of_the_field():
    fields = padded(_showers(rows=128, cols=128), 1.0)
    fields[:, :32] = fields[:, -32:] = 0
    levels = window_levels(fields, (128, 128), trajectories(fields, 1, 5, 1.0), 5, 1.0)
    share = [level.fields_CHW[2 if level.factor > 1 else 9].mean() for level in levels.carried[:3]]
    np.testing.assert_allclose(share, (fields[-1] >= 0.5).mean(), rtol=0.1)


def test_fields_equal_the_predictors_of_single_cells():
    """The fit sees single cells, the forecast whole fields; both must be the same numbers."""
    fields = padded(_showers(), 1.0)
    fields[-1, :10] = np.nan
    paths = trajectories(fields, 6, 5, 1.0)
    levels = window_levels(fields, (96, 112), paths, 5, 1.0)
    model = PointwiseModel(hidden=4)
    with torch.no_grad():
        model.weight_TPFU.normal_(std=0.1)
        model.bias_TPU.normal_()
    units, seen = CarriedUnits(levels, paths, model, 1.0, torch.device("cpu")).at(6, 30)
    rows, cols = np.random.default_rng(1).integers(8, 88, (2, 300))
    x = predictors_at(levels, paths, 6, rows, cols)
    assert x.shape[1] == len(PREDICTORS)
    weight, bias = model.mixed(30, 1.0)
    expected = model.scaled(torch.from_numpy(x).T).T @ weight + bias
    found = units[:, rows, cols].T
    assert (found - expected).abs().mean() < 0.03 * expected.std()  # coarse fields are carried at half of their width
    np.testing.assert_allclose(seen.numpy()[rows, cols], x[:, PREDICTORS.index("origin_seen")], atol=1e-4)


def test_rain_that_has_left_never_comes_back(forecaster):
    fields = _showers(speed=4.0)
    result = forecaster.forecast(fields, 30, cadence_minutes=5, pixel_m=1000.0)
    assert result.rate_mmh_LHW[0].max() > 1
    assert result.rate_mmh_LHW[-1].max() == 0
    assert result.exceedance_probability_KLHW[2, -1].max() < 0.05


def test_only_what_flows_in_is_not_known(forecaster):
    fields = _showers(speed=2.0)
    known = forecaster.forecast(fields, 8, cadence_minutes=5, pixel_m=1000.0).known_LHW
    baseline = Extrapolation().forecast(fields, 8, cadence_minutes=5).known_LHW
    assert known[-1, :, 40:].all()
    assert not known[-1, :, :6].any()
    assert (known != baseline).mean() < 0.02


def test_one_scan_has_no_motion_and_what_rain_may_reach_is_not_known(forecaster):
    fields = _showers(13, 240, 240)
    fields[:-1] = np.nan
    fields[-1, :40] = np.nan
    result = forecaster.forecast(fields, 12, cadence_minutes=5, pixel_m=1000.0)
    rows, cols = np.mgrid[:240, :240]
    distance = np.minimum.reduce([rows - 39, 240 - rows, cols + 1, 240 - cols])
    for lead, known in enumerate(result.known_LHW, 1):
        np.testing.assert_array_equal(known, distance > 160 * lead / 12)
    assert result.known_LHW[6].any()
    assert not result.known_LHW[-1].any()


def test_two_scans_of_a_longer_window_are_enough_for_a_motion(forecaster):
    fields = _showers(13, 128, 128, speed=3.0)
    fields[:-2] = np.nan
    paths = trajectories(fields, 1, 5, 1.0)
    wet = fields[-1, :: paths.factor, :: paths.factor] > 1
    assert paths.estimated
    assert np.median(paths.motion_CHW[0][wet]) * 60 == pytest.approx(36, rel=0.25)
    assert forecaster.forecast(fields, 6, cadence_minutes=5, pixel_m=1000.0).known_LHW[-1, :, 40:120].all()


@pytest.mark.parametrize(
    ("cadence", "pixel_km", "size"),
    [(5, 0.25, (100, 130)), (5, 1.0, (101, 67)), (10, 2.0, (48, 37)), (30, 7.0, (124, 124))],
)
def test_any_cadence_cell_and_size(forecaster, cadence, pixel_km, size):
    fields = _showers(5, *size)
    fields[-1, :4] = np.nan
    fields[1] = np.nan
    result = forecaster.forecast(fields, 3, cadence_minutes=cadence, pixel_m=pixel_km * 1000)
    assert result.rate_mmh_LHW.shape == (3, *size)
    assert np.isnan(result.rate_mmh_LHW[:, :4]).all()
    assert np.isnan(result.exceedance_probability_KLHW[:, :, :4]).all()
    assert np.isfinite(result.exceedance_probability_KLHW[:, :, 4:]).all()


def test_rates_and_probabilities_never_contradict_each_other(forecaster):
    result = forecaster.forecast(_showers(), 6, cadence_minutes=5, pixel_m=1000.0)
    probability = result.exceedance_probability_KLHW
    assert (np.diff(probability, axis=0) <= 0).all()
    for number, mmh in enumerate(RATES_MMH):
        shown = result.rate_mmh_LHW >= np.float32(mmh)
        assert probability[number][shown].min(initial=1) >= (0.2 if mmh < 5 else 0.1)


@given(st.integers(0, 10_000), st.floats(0.2, 6))
def test_cuts_agree_with_any_probabilities(seed, spread):
    random = torch.Generator().manual_seed(seed)
    logit = torch.randn(300, generator=random) * spread - 2
    falls = torch.rand(len(RATES_MMH), 300, generator=random).cumsum(0) * spread
    probability = torch.sigmoid(logit - falls)
    cuts = ExpectedCuts()
    rate = cuts.rate_mmh(probability, RATES_MMH)
    stated = probability.clone()
    cuts.raise_stated(stated, rate, RATES_MMH)
    assert torch.isfinite(rate).all()
    assert (stated.diff(dim=0) <= 0).all()
    for number, mmh in enumerate(RATES_MMH):
        shown = rate >= np.float32(mmh)
        assert stated[number][shown].min() >= (0.2 if mmh < 5 else 0.1) if shown.any() else True
        assert probability[number][shown].min() >= (0.1 if mmh < 5 else 0.05) if shown.any() else True
        assert torch.equal(stated[number][~shown], probability[number][~shown])
        assert shown.sum() <= (1.25 if mmh < 5 else 1.5) * probability[number].sum() + 1


def test_the_cut_has_the_highest_expected_csi():
    probability = torch.rand(500, generator=torch.Generator().manual_seed(3)) ** 3
    cut = ExpectedCuts(smallest=0.0, largest=10.0, least=0.0).cut(probability, 0.5)

    def expected_csi(value):
        shown = probability >= value
        hits = probability[shown].sum()
        return float(hits / (shown.sum() + probability.sum() - hits))

    best = max(expected_csi(value) for value in np.arange(0, 1, 0.002))
    assert expected_csi(cut) == pytest.approx(best, abs=0.003)


def test_the_area_stays_near_the_expected_one():
    faint = torch.full((1000,), 0.21)
    assert ExpectedCuts().cut(faint, 0.5) > 1, "all cells alike: the area would be five times the expected one"


def test_more_of_heavy_rain_is_shown_than_of_light_rain():
    """Cells whose probability falls slowly: the best cut is at the bounds of the area."""
    probability = torch.linspace(0.4, 0.0, 2000)
    expected, cuts = float(probability.sum()), ExpectedCuts()
    assert (probability >= cuts.cut(probability, 2.0)).sum() == pytest.approx(1.25 * expected, rel=0.02)
    assert (probability >= cuts.cut(probability, 5.0)).sum() == pytest.approx(1.5 * expected, rel=0.02)
    peaked = torch.cat([torch.full((100,), 0.99), torch.linspace(0.3, 0.05, 300)])
    assert (peaked >= cuts.cut(peaked, 2.0)).sum() < 0.95 * peaked.sum()
    assert (peaked >= cuts.cut(peaked, 5.0)).sum() == pytest.approx(float(peaked.sum()), rel=0.05)


def test_beyond_the_highest_threshold_the_rate_is_that_of_the_distribution():
    probability = torch.linspace(0.999, 0.001, 400).sqrt()[None].repeat(2, 1)
    probability[1] *= 0.999
    cuts = ExpectedCuts()
    rate, cut = cuts.rate_mmh(probability, (10.0, 20.0)), cuts.cut(probability[1], 20.0)
    steeper, inner = cuts.rate_mmh(probability, (10.0, 20.0), 2 * TAIL_EXPONENT), (rate > 20) & (rate < 100)
    assert torch.equal(steeper > 20, rate > 20)
    torch.testing.assert_close(steeper[inner], 20 * (rate[inner] / 20).sqrt(), rtol=1e-3, atol=0)
    above = rate > 20
    expected = 20 * beyond_highest(probability[1][above].double().numpy(), cut)
    np.testing.assert_allclose(rate[above].numpy(), expected, rtol=1e-3)
    assert rate.max() > 100


def test_the_tail_is_that_of_the_newest_scan():
    """Rates whose share above r falls with r to the power of -2 from 20 mm/h on."""
    rates = (20 * np.linspace(1e-4, 1, 20_000) ** -0.5).astype(np.float32)
    assert tail_exponent(rates, 20.0) == pytest.approx(2.0, rel=0.02)
    for none in (rates[:0], np.full(9, 15, np.float32)):
        assert tail_exponent(none, 20.0) == pytest.approx(TAIL_EXPONENT)
    assert tail_exponent(np.full(5000, 150, np.float32), 20.0) == 1.0
    few = np.full(50, 20 * math.e, np.float32)  # as many as the cells of the general exponent
    assert tail_exponent(few, 20.0) == pytest.approx(100 / (50 + 50 / TAIL_EXPONENT), rel=1e-4)


def test_what_can_hardly_be_foreseen_is_shown_and_stated():
    """A tenth of the cells has 0.15, the others 0.005: showing none would miss every event."""
    probability = torch.full((2, 1000), 0.005)
    probability[:, :100] = torch.linspace(0.12, 0.18, 100)
    cuts = ExpectedCuts()
    rate = cuts.rate_mmh(probability, (1.0, 2.0))
    shown = rate >= 2
    assert 0.8 * probability[1].sum() <= shown.sum() <= 1.25 * probability[1].sum()
    stated = probability.clone()
    cuts.raise_stated(stated, rate, (1.0, 2.0))
    assert torch.equal(stated[:, shown], torch.full((2, int(shown.sum())), 0.2))
    assert torch.equal(stated[:, ~shown], probability[:, ~shown])


def test_memory_does_not_grow_with_leads(forecaster, monkeypatch):
    """No more fields are alive at the fourth lead than at the second."""
    alive, bands = [], CarriedUnits.bands

    def counted(self, step, minutes):
        alive.append(sum(each.numel() for each in gc.get_objects() if issubclass(type(each), torch.Tensor)))
        return bands(self, step, minutes)

    monkeypatch.setattr(CarriedUnits, "bands", counted)
    forecaster.forecast(_showers(rows=48, cols=48), 4, cadence_minutes=5, pixel_m=1000.0)
    assert alive[3] <= alive[1] * 1.01


def test_low_and_moderate_probabilities_are_calibrated():
    model = PointwiseModel()
    logits = torch.full((len(RATES_MMH), 4), -20.0)
    logits[:6] = torch.tensor([-5.5, -3.5, -3.4, 3.0])
    probability = torch.logit(model.calibrated_KN(logits.clone()).double())
    expected = torch.tensor([-6.5, -3.5, -3.4, 3.0], dtype=torch.float64)
    torch.testing.assert_close(probability[:4], expected.repeat(4, 1), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        probability[4:6, 3], torch.full((2,), 0.93 * 3.0, dtype=torch.float64), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(probability[4:6, 0], torch.full((2,), -6.5, dtype=torch.float64), atol=1e-4, rtol=0)
    assert (model.calibrated_KN(torch.randn(8, 500) * 4).diff(dim=0) <= 0).all()


def test_inflow_is_bounded_by_the_distance_from_the_known_area():
    known = np.zeros((20, 200), np.bool_)
    known[:, 150:] = True
    probability = torch.full((len(RATES_MMH), 20, 200), 0.95)
    probability[-1, :, :100] = 0.01
    probability[:, 3, 7] = torch.nan
    lower_inflow(probability, known, 2.0, RATES_MMH, (0.0,) * 8)
    assert (probability[:7, :, 150:] == 0.95).all()
    assert (probability[:7, :, 149] == 0.95)[:, 4:].all(), "the first cell beyond the known area is next to it"
    for number, factor in ((0, 0.65), (2, 0.65), (4, 0.5), (5, 0.35), (6, 0.35)):
        near = np.exp(-10 / 50) * (factor + (1 - factor) * np.exp(-10 / 5))
        assert float(probability[number, 10, 144]) == pytest.approx(near, rel=0.03)
        assert float(probability[number, 10, 100]) == pytest.approx(factor * np.exp(-98 / 50), rel=0.03)
    assert torch.isnan(probability[:, 3, 7]).all()
    assert (probability.nan_to_num().diff(dim=0) <= 0).all()
    nothing = torch.full((len(RATES_MMH), 20, 200), 0.95)
    lower_inflow(nothing, np.zeros((20, 200), np.bool_), 2.0, RATES_MMH, (0.0,) * 8)
    assert torch.isfinite(nothing).all()


def test_far_inflow_keeps_the_share_of_the_newest_scan():
    """Nothing is known there, so that the frequency of this window is the best statement; a dry edge stays dry."""
    shares = (0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.02, 0.0)
    probability = torch.full((len(RATES_MMH), 20, 200), 0.95)
    probability[:, 5] = 0.01
    lower_inflow(probability, np.zeros((20, 200), np.bool_), 2.0, RATES_MMH, shares)
    np.testing.assert_allclose(probability[:7, 10, 100].numpy(), shares[:7], atol=0.012)
    assert (probability[:, 5] <= 0.01).all()
    assert (probability.diff(dim=0) <= 0).all()


def test_the_frequency_of_a_small_area_has_no_part_in_far_inflow():
    half = np.tile(np.array([0, 3], np.float32), 32 * 96)
    assert frequencies(half, 1.0, (0.1, 5.0)) == (0.0, 0.0)  # 78 km
    assert frequencies(half, 8.0, (0.1, 5.0)) == (0.5, 0.0)
    assert frequencies(half, 320 / np.sqrt(half.size), (0.1,)) == pytest.approx((0.25,))
    assert frequencies(half[:0], 1.0, (0.1,)) == (0.0,)


def test_a_forecast_of_nothing_but_inflow_has_the_share_of_the_newest_scan(forecaster, monkeypatch):
    monkeypatch.setattr("models.guided.cuts.FREQUENCY_KM", (1.0, 2.0))
    fields = _showers(13, 64, 96, speed=4.0)
    fields[:, :, :10] = 30.0  # heavy rain at the edge that everything flows away from
    result = forecaster.forecast(fields, 30, cadence_minutes=5, pixel_m=1000.0)
    last = result.exceedance_probability_KLHW[:, -1]
    inner = ~result.known_LHW[-1]
    inner[:, 60:] = False  # more than 40 km from the known area, if there is any
    for number in (0, 4, 6):
        share = (fields[-1] >= RATES_MMH[number]).mean()
        assert share > 0.05
        assert last[number][inner].max() <= max(share, 0.65 * np.exp(-34 / 50)) + 1e-6
        assert last[number][inner].max() >= share - 1e-6


def test_a_forecast_of_inflow_is_bounded(forecaster):
    fields = _showers(13, 64, 160, speed=4.0)
    fields[:, :, :8] = 10.0  # heavy rain at the edge that everything flows away from
    result = forecaster.forecast(fields, 12, cadence_minutes=5, pixel_m=1000.0)
    inflow = ~result.known_LHW[-1]
    far = inflow & (np.arange(160) < np.flatnonzero(~inflow.all(axis=0))[0] - 15)
    assert far.any()
    assert result.exceedance_probability_KLHW[0, -1][far].max() <= 0.65


def test_weights_change_smoothly_with_lead_and_cell():
    model = PointwiseModel(hidden=2)
    with torch.no_grad():
        model.weight_TPFU.normal_()
    at = {minutes: model.mixed(minutes, 1.0)[0] for minutes in (5, 59.9, 60, 60.1, 150, 400)}
    torch.testing.assert_close(at[59.9], at[60.1], atol=0.02, rtol=0)
    torch.testing.assert_close(at[150], at[400])
    torch.testing.assert_close(at[60], model.weight_TPFU[3, 0])
    torch.testing.assert_close(model.mixed(60, 30.0)[0], model.weight_TPFU[3, -1])
    torch.testing.assert_close(model.mixed(60, 0.25)[0], model.weight_TPFU[3, 0])


def test_a_checkpoint_gives_the_same_forecast(tmp_path, forecaster):
    card = {
        "kind": "native",
        "architecture": {"name": "pointwise", "options": {"hidden": 3}},
        "transform": {"name": "log"},
        "input_steps": 25,
        "cadence_minutes": 5,
        "pixel_m": 1000.0,
        "version": "1",
    }
    save_model(tmp_path / "one", forecaster.model, card)
    loaded = load_forecaster(tmp_path / "one", device="cpu")
    one, other = (each.forecast(_showers(), 2).rate_mmh_LHW for each in (forecaster, loaded))
    np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def shipped():
    return load_forecaster("default", device="cpu")


def test_a_dry_country_has_no_drizzle(shipped):
    result = shipped.forecast(np.zeros((13, 96, 96), np.float32), 30, cadence_minutes=5, pixel_m=1000.0)
    assert result.rate_mmh_LHW.max() == 0
    assert result.exceedance_probability_KLHW.max() < 0.05


def test_the_shipped_weights_forecast_a_moving_shower(shipped):
    result = shipped.forecast(_showers(16)[:13], 3, cadence_minutes=5, pixel_m=1000.0)
    observed = _showers(16)[15]
    shown, seen = result.rate_mmh_LHW[2] >= 1, observed >= 1
    assert (shown & seen).sum() > 0.7 * (shown | seen).sum()
    lead_of_most = result.exceedance_probability_KLHW[3].max(axis=(1, 2))
    assert lead_of_most[0] > 0.8


def test_a_cloudburst_is_shown_above_the_highest_threshold(shipped):
    """Of 100 mm/h in the newest scan, and not of 25 mm/h."""
    fields = _showers(13)
    y, x = np.mgrid[:96, :112].astype(np.float32)
    for peak, more in ((100.0, True), (25.0, False)):
        storm = [peak * np.exp(-((x - 40 - 1.5 * t) ** 2 + (y - 48) ** 2) / (2 * 6.0**2)) for t in range(13)]
        result = shipped.forecast(np.maximum(fields, storm), 1, cadence_minutes=5, pixel_m=1000.0)
        assert (result.rate_mmh_LHW[0].max() > 40) == more
        assert result.rate_mmh_LHW[0].max() < 180


def test_each_lead_has_the_weights_of_its_own_minutes():
    model = PointwiseModel()
    with torch.no_grad():
        model.weight_TPFU.zero_()
        model.bias_TPU.zero_()
        model.bias_TPU[2:] = -3
    result = NativeForecaster(model, "native", "1", device="cpu").forecast(
        _showers(rows=48, cols=48), 3, cadence_minutes=15, pixel_m=1000.0
    )
    assert result.exceedance_probability_KLHW is not None
    expected = [0.5, 1 / (1 + np.exp(3)), 1 / (1 + np.exp(3))]
    np.testing.assert_allclose(result.exceedance_probability_KLHW[0, :, 20, 20], expected, rtol=1e-4)


def test_members_agree_with_the_probabilities(forecaster):
    rate = _showers(rows=48, cols=61)
    rate[-1, :, :5] = np.nan
    result = forecaster.forecast(rate, 13, cadence_minutes=5, pixel_m=1000.0, members=8)
    plain = forecaster.forecast(rate, 13, cadence_minutes=5, pixel_m=1000.0)
    np.testing.assert_array_equal(result.rate_mmh_LHW, plain.rate_mmh_LHW)
    assert result.members_MLHW is not None
    assert result.members_MLHW.shape == (8, 13, 24, 31)
    assert result.probability_grid_factor == 2
    assert plain.members_MLHW is None
    assert result.exceedance_probability_KLHW is not None
    for lead in (0, 12):
        for number, mmh in enumerate(result.thresholds_mmh):
            probability_HW = coarse(result.exceedance_probability_KLHW[number, lead], 2)
            share_HW = (result.members_MLHW[:, lead] >= np.float32(mmh)).mean(axis=0)
            assert np.nanmax(np.abs(share_HW - probability_HW)[:, 3:]) <= 1 / 8 + 1e-5
    assert np.isnan(result.members_MLHW[..., :2]).all()
    assert result.amounts is not None
    assert result.amounts.minutes == (60,)
