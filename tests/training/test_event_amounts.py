"""Amounts of the next hour on radar events: from rates at every lead, from members, on both masks."""

from datetime import UTC, datetime

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.training.test_event_skill import write_event
from training import evaluate, skill
from training.evaluation.event_amounts import AMOUNTS_MM, as_amounts
from training.evaluation.event_windows import HOUR, EventWindow, count_windows, event_windows
from training.evaluation.skill_sums import compared_window, rows_of_leads
from training.evaluation.window_forecasts import LeadFields
from verification.counts import Counts

LEADS = (15, 30, 45, 60)


def window(future_LHW, **more) -> EventWindow:
    past_THW = np.zeros((5, *np.shape(future_LHW)[1:]), np.float32)
    given = {"cadence_minutes": 15, "pixel_m": 1000.0, "file": "x.nc", "spell": "x", "lead_minutes": LEADS}
    future_LHW = np.asarray(future_LHW, np.float32)
    return EventWindow(past_THW, future_LHW, reference_time=datetime(2020, 1, 1, tzinfo=UTC), **{**given, **more})


def cells(*by_lead) -> np.ndarray:
    """Fields of one row from values by lead and cell."""
    return np.array(by_lead, np.float32)[:, None]


def test_an_amount_is_the_mean_of_the_rates_of_the_period():
    observed = window(cells([0, 4], [8, 4], [8, np.nan], [0, 4], [99, 99]), lead_minutes=(*LEADS, 75))
    model = LeadFields(LEADS, cells([1, 2], [2, 2], [3, 2], [6, 2]))
    amounts, hour = as_amounts({"model": model}, observed, 60)
    assert hour.lead_minutes == amounts["model"].lead_minutes == (60,)
    np.testing.assert_array_equal(hour.future_LHW, [[[4.0, np.nan]]], "not observed at one lead is not observed")
    np.testing.assert_array_equal(amounts["model"].rate_mmh_LHW, [[[3.0, 2.0]]])


def test_half_an_hour_has_half_of_the_rate():
    model = LeadFields(LEADS, cells([4], [8], [99], [99]))
    amounts, hour = as_amounts({"model": model}, window(cells([2], [2], [99], [99])), 30)
    assert (float(amounts["model"].rate_mmh_LHW[0, 0, 0]), float(hour.future_LHW[0, 0, 0])) == (3.0, 1.0)


def test_a_model_of_half_hours_takes_its_own_leads_and_one_without_the_hour_is_left_out():
    fields = {
        "half-hourly": LeadFields((30, 60), cells([2], [4])),
        "late": LeadFields((60,), cells([2])),
        "gap": LeadFields((15, 30, 60), cells([2], [2], [2])),
    }
    amounts, _ = as_amounts(fields, window(cells([0], [0], [0], [0])), 60)
    assert {name: float(one.rate_mmh_LHW[0, 0, 0]) for name, one in amounts.items()} == {
        "half-hourly": 3.0,
        "late": 2.0,
    }


def test_a_missing_rate_of_a_baseline_is_dry_and_the_hour_is_known_only_where_all_of_it_is():
    nan = np.nan
    known = np.array([[[True, True]], [[True, True]], [[True, True]], [[False, True]]])
    fields = {
        "extrapolation": LeadFields(LEADS, cells([8, 8], [8, 8], [8, 8], [nan, 8]), known),
        "model": LeadFields(LEADS, cells([8, 8], [8, 8], [8, 8], [nan, 8])),
    }
    amounts, hour = as_amounts(fields, window(cells([5, 5], [5, 5], [5, 5], [5, 5])), 60)
    np.testing.assert_array_equal(amounts["extrapolation"].rate_mmh_LHW, [[[6.0, 8.0]]])
    np.testing.assert_array_equal(amounts["model"].rate_mmh_LHW, [[[np.nan, 8.0]]])
    del amounts["model"]
    rows = rows_of_leads(compared_window(amounts, hour), AMOUNTS_MM, window_thresholds_mmh=())
    found = {row.mask: row.sums for row in rows if (row.family, row.threshold_mmh) == ("counts", 5.0)}
    assert found == {"all": Counts(hits=2), "known": Counts(hits=1)}


def test_probabilities_are_shares_of_the_members_amounts():
    members = np.stack([cells([4], [4], [4], [4]), cells([20], [0], [0], [0]), cells([0], [0], [0], [0])])
    one = LeadFields(LEADS, members.mean(axis=0), members_MLHW=members)
    amounts, _ = as_amounts({"steps": one}, window(cells([0], [0], [0], [0])), 60, (1.0, 5.0))
    assert amounts["steps"].thresholds_mmh == (1.0, 5.0)
    assert amounts["steps"].probability_KLHW is not None
    assert amounts["steps"].members_MLHW is not None
    np.testing.assert_allclose(amounts["steps"].probability_KLHW[:, 0, 0, 0], [2 / 3, 1 / 3])
    np.testing.assert_array_equal(amounts["steps"].members_MLHW[:, 0, 0, 0], [4.0, 5.0, 0.0])


@pytest.mark.parametrize(("minutes", "leads"), [(5, 12), (10, 6), (15, 4)])
def test_the_windows_have_every_scan_of_the_next_hour(tmp_path, minutes, leads):
    path = write_event(tmp_path / "event.nc", 1, fields=4 * 60 // minutes + 1, minutes=minutes)
    (first, *_) = event_windows(path, HOUR)
    assert first.lead_minutes == tuple(range(minutes, 61, minutes))
    assert first.future_LHW.shape[0] == leads
    assert count_windows(path, HOUR).windows == 2, "two hours before and one after"


def test_the_command_has_amounts_in_mm(tmp_path):
    path = write_event(tmp_path / "event.nc", 1, fields=13, minutes=15)
    arguments = ["--protocol", "hour", "--checkpoint", "persistence", "--data", str(path), "--baseline", "steps"]
    found = CliRunner().invoke(skill.app, [*arguments, "--csv", str(tmp_path / "rows.csv")])
    assert found.exit_code == 0, found.output
    assert "CSI, 5 mm " in found.output
    assert "mm/h" not in found.output
    assert max(map(len, found.output.splitlines())) <= 120
    rows = (tmp_path / "rows.csv").read_text().splitlines()
    assert any(",steps,brier,5," in row for row in rows)


def test_the_evaluation_takes_the_protocol(tmp_path):
    path = write_event(tmp_path / "event.nc", 1, fields=5, minutes=15)
    found = CliRunner().invoke(evaluate.app, ["--protocol", "hour", "--checkpoint", "persistence", "--data", str(path)])
    assert found.exit_code != 0
    assert "for protocol hour, got none in event.nc: 5 fields" in found.output
