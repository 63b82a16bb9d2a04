"""Checks of forecast fields: each finds the fault that it is for, and nothing in sound fields."""

import numpy as np
import pytest
from typer.testing import CliRunner

from models import load_forecaster
from models.checkpoint import SHIPPED, read_card
from models.ensembles import StepsEnsemble
from tests.training.test_event_skill import write_event
from training import native_steps
from training.evaluation.field_checks import beyond, contradictions, ghost, low_bins, texture
from training.evaluation.skill_sums import SkillSums
from training.native_checks import app, checked
from training.native_skill import SpellRun
from verification.scores.brier import BrierSums
from verification.scores.crps_members import EnsembleSums
from verification.scores.power_spectrum import PowerBands
from verification.sums import MeanSums
from verification.table import SumRow

NATIVE = next(one.parent.name for one in SHIPPED.glob("*/model.json") if read_card(one.parent)["kind"] == "native")
THRESHOLDS = (0.5, 5.0)


def fields(*rows):
    return np.array(rows, np.float32)


def test_a_rate_with_too_low_a_probability_is_counted():
    rate = fields([0.5, 4.9, 5.0, np.nan, 0.0])
    sound = fields([[0.2, 0.3, 0.2, np.nan, 0.9]], [[0.0, 0.9, 0.1, np.nan, 0.0]])
    assert contradictions(rate, sound, THRESHOLDS) == {0.5: 0, 5.0: 0}
    low = fields([[0.19, 0.3, 0.2, np.nan, 0.0]], [[0.0, 0.0, 0.09, np.nan, 0.0]])
    assert contradictions(rate, low, THRESHOLDS) == {0.5: 1, 5.0: 1}
    missing = np.where(np.isfinite(low), np.float32(np.nan), low)
    assert contradictions(rate, missing, THRESHOLDS)[0.5] == 3, "a rate without a probability contradicts it"


def test_rain_that_has_left_and_is_forecast_to_be_back_is_a_ghost():
    newest, truth = np.zeros((2, 40, 40), np.float32)
    newest[5:15, 5:15], truth[25:35, 25:35] = 5, 5
    newest[0, 0] = np.nan
    assert ghost(newest, newest, truth) == pytest.approx(1.07, abs=0.05)
    assert ghost(truth, newest, truth) == pytest.approx(-1.07, abs=0.05)
    assert ghost(truth, newest, np.zeros_like(truth)) is None


def test_low_probabilities_are_counted_in_narrow_bins():
    probability = fields([0.004, 0.004, 0.03, 0.03, 0.07, 0.1, np.nan])
    observed = fields([0.0, 0.1, 0.0, np.nan, 0.2, 1.0, 1.0])
    points = low_bins(probability, observed, 0.1).points()
    assert [probability for probability, _, _ in points] == pytest.approx([0.004, 0.03, 0.07])
    assert [point[1:] for point in points] == [(0.5, 2), (0.0, 1), (1.0, 1)]


def test_smooth_members_lack_power():
    observed = np.random.default_rng(0).gamma(0.5, 2.0, (96, 96)).astype(np.float32)
    known = np.ones(observed.shape, bool)
    assert not beyond(texture(observed[None], observed, known, 2000.0))
    halved = beyond(texture(observed[None] * np.float32(0.5), observed, known, 2000.0))
    assert halved
    assert all(ratio == pytest.approx(0.25, rel=1e-3) for _, ratio, _ in halved)


def test_all_windows_of_a_spell_are_checked(tmp_path):
    path = write_event(tmp_path / "bom_20201031.nc", 1)
    run = SpellRun("au-2020-10-31", True, (path,), load_forecaster(NATIVE, "cpu"))
    found = checked(run, 2)
    assert found.windows == 2
    assert len(found.ghosts) == 1, "the last windows of an event have no last lead"
    assert sum(cells for _, _, cells in found.low[0.1].points()) > 1000
    assert not any(found.contradictions.values())
    found.contradictions[0.5] = 1
    found.power[30] = PowerBands(*((1,) * 20, (4,) * 20, (1,) * 20))
    assert [fault.split()[-1] for fault in found.faults if "ghost" not in fault] == ["contradictions", "texture"]


def test_the_command_fails_on_a_ghost(tmp_path, monkeypatch):
    path = write_event(tmp_path / "bom_20201031.nc", 1)
    result = CliRunner().invoke(app, ["--data", str(path), "--checkpoint", NATIVE, "--windows", "2"])
    assert "contradictions, cells: 0.1 mm/h 0" in result.output
    monkeypatch.setattr("training.native_checks.MOST_GHOST", -3.0)
    result = CliRunner().invoke(app, ["--data", str(path), "--checkpoint", NATIVE, "--windows", "2"])
    assert "faults: 1 ghosts" in result.output
    assert result.exit_code == 1


def rows_of(model: str, squares: int, crps: int) -> list[SumRow]:
    """Return the sums of one window of a model at +15 minutes on 100 cells."""
    brier = [SumRow(model, 15, "brier", BrierSums(squares, 10, 100), mmh) for mmh in (0.1, 0.5, 1.0, 2.0, 5.0)]
    return [*brier, SumRow(model, 15, "crps", MeanSums(crps, 100))]


def test_where_steps_is_better_is_named():
    sums = SkillSums()
    steps = [
        *rows_of("steps", 2 * 10**9, 9 * 10**9),
        SumRow("steps", 15, "crps-members", EnsembleSums(3 * 10**9, 0, 0, 100)),
    ]
    sums.add("ensemble", "x.nc", "x", [*rows_of("mine", 10**9, 4 * 10**9), *steps])
    by_row = sums.of_files("ensemble", ["x.nc"])
    lines = list(native_steps.table(by_row, "mine", "all"))
    assert lines[2] == "| Brier, 0.1 mm/h | 0.0100 / 0.0200 |"
    assert lines[-1] == "Not better from +15: CRPS, mm/h +15.", "the members of STEPS have the lower CRPS"
    assert list(native_steps.reliability(by_row, "mine"))[1] == "- 0.1 mm/h: no bin with enough cells"


def test_the_comparison_with_steps_runs(tmp_path, monkeypatch):
    path = write_event(tmp_path / "bom_20201031.nc", 1)
    few = {"steps": lambda: StepsEnsemble(2)}
    monkeypatch.setattr(native_steps, "load_forecaster", lambda name: few.get(name, lambda: load_forecaster(name))())
    options = ["--data", str(path), "--checkpoint", NATIVE, "--windows", "1", "--most-cells", "64"]
    result = CliRunner().invoke(native_steps.app, options)
    assert result.exit_code == 0, result.output
    assert f"| known: {NATIVE} / steps | +15 |" not in result.output
    assert f"| known: {NATIVE} / steps | +30 | +60 | +90 | +120 | +150 |" in result.output
    assert "1 windows of 1 spells" in result.output
