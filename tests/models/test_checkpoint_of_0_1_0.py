"""A checkpoint that release 0.1.0 wrote is loaded, and forecasts what it forecast then."""

from pathlib import Path

import numpy as np

from models.checkpoint import load_model, read_card
from models.load import load_forecaster

GOLDEN = Path(__file__).parents[1] / "golden" / "checkpoint-0.1.0"


def test_its_card_and_weights_are_read():
    assert read_card(GOLDEN)["version"] == "golden"
    assert sum(parameter.numel() for parameter in load_model(GOLDEN).parameters()) > 1000


def test_it_forecasts_what_it_forecast_then():
    then = np.load(GOLDEN / "forecast.npz")
    forecaster = load_forecaster(GOLDEN, "cpu", "float32")
    fields = forecaster.forecast(then["rate_mmh_THW"], 5, cadence_minutes=30, pixel_m=7000.0)
    there = np.isfinite(then["rate_mmh_LHW"]) & np.isfinite(fields.rate_mmh_LHW)
    assert there.mean() > 0.9
    assert then["rate_mmh_LHW"][there].std() > 1e-4, "a constant field would prove nothing"
    np.testing.assert_allclose(fields.rate_mmh_LHW[there], then["rate_mmh_LHW"][there], rtol=2e-4, atol=2e-5)
