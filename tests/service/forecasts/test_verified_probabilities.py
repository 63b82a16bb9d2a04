"""The shipped default through the whole service: its probabilities are in its files and its scores in the answers."""

import netCDF4
import numpy as np
import pytest

import service.tasks.forecasts
from core.exceedance import variable_name
from core.settings import Settings
from ingest.store.live import Store
from models import load_forecaster
from service.forecasts.catalogue import Catalogue
from service.forecasts.nowcast import NowcastService
from service.forecasts.packing import rounded_rate
from service.inference.predictor import Predictor
from service.inference.registry import ModelRegistry
from service.tasks.forecasts import Patience
from tests.service.api_support import (
    GRID,
    MISSING_CORNER,
    NOW,
    STEP,
    as_stored,
    fill,
    frames_at,
    lead_times,
    rain_THW,
    running,
)

LEADS = (30, 60, 90, 120, 150)


@pytest.fixture(scope="module")
def clock():
    return [NOW]


@pytest.fixture(scope="module")
def service_of_default(tmp_path_factory, clock):
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, device="cpu", precision="float32", model="guided")
    made = NowcastService(
        settings,
        Store(home, clock=lambda: clock[0]),
        Catalogue(home),
        Predictor.on_device("cpu", precision="float32", registry=ModelRegistry(home)),
        lambda: clock[0],
    )
    fill(made)
    return made


@pytest.fixture(scope="module")
def default():
    return load_forecaster("guided", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def verified(service_of_default, clock):
    """Forecast by the worker's own task, what followed, and the scheduled verification."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.tasks.forecasts, "service", lambda: service_of_default)
        forecast_id = service.tasks.forecasts.make_forecast_task.run(None, "guided", True)
        clock[0] = lead_times()[-1]
        for frame in frames_at(lead_times()):
            service_of_default.store.put(frame)
        patch.setattr(service.tasks.forecasts, "scores_patience", Patience(0.0))  # the last scan has no forecast
        service.tasks.forecasts.verify_task.run()
    return service_of_default.get(forecast_id)


def test_the_file_of_the_default_holds_the_result_of_the_model(verified, default):
    with netCDF4.Dataset(verified.path) as file:
        names = [variable_name(mmh) for mmh in default.thresholds_mmh]
        found = np.stack([np.ma.filled(file[name][:].astype(np.float32), np.nan) for name in names])
    assert (verified.method, verified.notes, verified.thresholds_mmh) == ("guided", (), default.thresholds_mmh)
    window_THW = rain_THW([verified.reference_time - STEP * steps for steps in range(4, -1, -1)])
    fields = default.forecast(window_THW)
    np.testing.assert_allclose(found, as_stored(fields.exceedance_probability_KLHW), atol=1e-6)
    np.testing.assert_array_equal(verified.rate_mmh_THW, rounded_rate(fields.rate_mmh_LHW))


def test_reliability_and_brier_of_the_default_are_in_the_answer(service_of_default, verified, default):
    with running(service_of_default) as client:
        answer = client.get("/verification?model=guided").json()
    rows = answer["reliability"]
    assert {row["model"] for row in rows} == {row["model"] for row in answer["brier"]} == {"guided"}
    keys = {(row["lead_minutes"], row["threshold_mmh"]) for row in rows}
    assert keys == {(lead, rate_mmh) for lead in LEADS for rate_mmh in default.thresholds_mmh}
    assert {(row["lead_minutes"], row["threshold_mmh"]) for row in answer["brier"]} == keys
    seen = GRID.height * GRID.width - int(np.isnan(rain_THW(lead_times(count=1))[MISSING_CORNER]).sum())
    with netCDF4.Dataset(verified.path) as file:
        names = [variable_name(mmh) for mmh in default.thresholds_mmh]
        chance_NTHW = np.stack([np.ma.filled(file[name][:].astype(np.float64), np.nan) for name in names])
    observed_THW = rain_THW(lead_times())
    for one in answer["brier"]:
        lead, number = LEADS.index(one["lead_minutes"]), default.thresholds_mmh.index(one["threshold_mmh"])
        event_HW = observed_THW[lead] >= np.float32(one["threshold_mmh"])
        squares_HW = (chance_NTHW[number, lead] - event_HW) ** 2
        assert one["cells"] == seen
        assert one["brier"] == pytest.approx(np.nanmean(squares_HW), abs=3e-3), "but for the spread within a tenth"
        parts = one["reliability"] - one["resolution"] + one["uncertainty"]
        assert one["brier"] == pytest.approx(parts, abs=1e-12)
        mine = [
            row for row in rows if (row["lead_minutes"], row["threshold_mmh"]) == (LEADS[lead], one["threshold_mmh"])
        ]
        assert sum(row["cells"] for row in mine) == seen
        assert sum(row["events"] for row in mine) == one["events"]
    first = next(one for one in answer["brier"] if (one["lead_minutes"], one["threshold_mmh"]) == (30, 0.5))
    assert first["skill"] > 0, "a steady shower is foreseen"
