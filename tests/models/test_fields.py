"""One field from probabilities, and the correction of probabilities."""

import numpy as np
import pytest

from models.guided.calibration import Calibration, CalibrationByCell, fitted_knots
from models.guided.fields import ProbabilityMatching

RATES = (0.1, 0.5, 2.0)


def _chances(seed=0, size=40):
    """Probabilities of three rates that fall with the rate, smooth and without ties."""
    y, x = np.mgrid[:size, :size]
    hill = np.exp(-((x - 20) ** 2 + (y - 18) ** 2) / 90.0) + np.random.default_rng(seed).random((size, size)) * 1e-3
    return np.stack([0.9 * hill, 0.7 * hill, 0.3 * hill])[None].astype(np.float32)


def test_each_rate_covers_the_area_that_was_guessed():
    chance = _chances()
    rate = ProbabilityMatching(area=1.2, newest=0.0).rate_mmh_LHW(chance, np.zeros((40, 40), np.float32), RATES)
    for number, mmh in enumerate(RATES):
        assert np.count_nonzero(rate >= mmh) == pytest.approx(1.2 * chance[0, number].sum(), abs=1)
    assert rate.min() == 0


def test_the_newest_field_may_decide_the_area():
    newest = np.zeros((40, 40), np.float32)
    newest[:5, :20] = 1.0
    rate = ProbabilityMatching(area=1.0, newest=1.0).rate_mmh_LHW(_chances(), newest, RATES)
    assert [np.count_nonzero(rate >= mmh) for mmh in RATES] == [
        100,
        100,
        pytest.approx(_chances()[0, 2].sum() / 4, abs=1),
    ]


def test_rain_is_where_it_is_likeliest_and_is_heaviest_there():
    chance = _chances()
    rate = ProbabilityMatching().rate_mmh_LHW(chance, np.ones((40, 40), np.float32), RATES)[0]
    wet = rate >= 0.5
    assert chance[0, 1][wet].min() > chance[0, 1][~wet].max()
    assert np.unravel_index(rate.argmax(), rate.shape) == np.unravel_index(chance[0, 2].argmax(), rate.shape)


def test_a_plateau_of_faint_probabilities_is_dry():
    flat = np.full((1, 3, 40, 40), 0.004, np.float32)
    assert ProbabilityMatching().rate_mmh_LHW(flat, np.zeros((40, 40), np.float32), RATES).max() == 0


def test_what_is_not_observed_does_not_count_for_the_area():
    newest = np.zeros((40, 40), np.float32)
    newest[20:] = np.nan
    chance = _chances()
    rate = ProbabilityMatching(area=1.0, newest=0.0).rate_mmh_LHW(chance, newest, RATES)[0]
    assert np.count_nonzero(rate[:20] >= 0.5) == pytest.approx(chance[0, 1, :20].sum(), abs=1)


def test_calibration_corrects_probabilities_that_are_too_high(tmp_path):
    random = np.random.default_rng(1)
    truth = random.random(200_000) ** 3
    message, event = np.sqrt(truth), random.random(truth.shape) < truth
    calibration = Calibration(((fitted_knots(message, event, np.ones_like(message)),),))
    mended = calibration(message.astype(np.float32).reshape(1, 1, 400, 500)).ravel()
    for low in np.arange(0, 1, 0.1):
        chosen = (mended >= low) & (mended < low + 0.1)
        assert abs(mended[chosen].mean() - event[chosen].mean()) < 0.02
    assert Calibration.from_dict(calibration.to_dict()) == calibration
    assert (np.diff(calibration.knots[0][0][1]) >= 0).all()


def test_calibration_is_between_those_of_two_cell_sizes():
    halved, kept = (Calibration(((((0.0, 1.0), (0.0, top)),),)) for top in (0.5, 1.0))
    by_cell = CalibrationByCell((2000.0, 8000.0), (halved, kept))
    message = np.full((1, 1, 2, 3), 0.6, np.float32)
    for pixel_m, expected in ((500.0, 0.3), (2000.0, 0.3), (4000.0, 0.45), (8000.0, 0.6), (30_000.0, 0.6)):
        np.testing.assert_allclose(by_cell(message, pixel_m), expected, rtol=1e-6)
    raised = CalibrationByCell((2000.0, 8000.0), (kept, halved))
    np.testing.assert_allclose(raised(message, 2000.0), 0.3, rtol=1e-6)  # small cells make nothing surer
    assert CalibrationByCell.from_dict(by_cell.to_dict()) == by_cell


def test_a_card_with_one_calibration_is_still_read():
    one = Calibration(((((0.0, 1.0), (0.0, 0.5)),),))
    message = np.full((1, 1, 1, 1), 0.6, np.float32)
    for pixel_m in (1000.0, 9000.0):
        np.testing.assert_allclose(CalibrationByCell.from_dict(one.to_dict())(message, pixel_m), 0.3, rtol=1e-6)


def test_later_leads_and_extremes_are_defined():
    knots = fitted_knots(np.array([0.2, 0.2, 0.4, 0.4]), np.array([False, True, True, True]), np.ones(4))
    calibration = Calibration(((knots,),))
    result = calibration(np.array([0.0, 0.3, 1.0], np.float32).reshape(1, 1, 1, 3).repeat(4, axis=0))
    assert result.shape == (4, 1, 1, 3)
    assert np.isfinite(result).all()
    assert (np.diff(result[3, 0, 0]) >= 0).all()
