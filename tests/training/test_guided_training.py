"""A guided model from cuts of events to a calibrated checkpoint, and the skill protocol on it."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core import cf
from core.errors import ConfigError
from core.grid import RADOLAN_900
from models import load_forecaster
from models.checkpoint import load_model, read_card
from models.guided.calibration import CalibrationByCell
from models.guided.forecaster import GuidedForecaster
from training import calibrate, skill, skill_page
from training.config import resolve
from training.datasets import build_dataset
from training.evaluation.skill_windows import skill_windows, tile_windows
from training.run import train
from training.trainer.guided_items import GuidedItems

STEPS = {"input_steps": 3, "lead_steps": 2, "seed": 4}


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Two events of eight hours on cells of 15 km: showers that drift east; one has a hole."""
    folder = tmp_path_factory.mktemp("events")
    y, x = np.mgrid[:60, :60]
    for day in (1, 2):
        rate = np.stack([9 * np.exp(-((x - 5 - k / 2) ** 2 + (y - 20 * day) ** 2) / 60) for k in range(49)])
        if day == 2:
            rate[:, :5, :5] = np.nan
        times = [datetime(2020, 1, day, tzinfo=UTC) + timedelta(minutes=10 * k) for k in range(49)]
        cf.write_dataset(
            cf.rate_dataset(rate.astype(np.float32), times, RADOLAN_900.resized(60, 60)), folder / f"event_{day}.nc"
        )
    return folder


def guided(checkpoint) -> GuidedForecaster:
    forecaster = load_forecaster(checkpoint, device="cpu", precision="float32")
    assert isinstance(forecaster, GuidedForecaster)
    return forecaster


SMALL = [
    *("held_out=[event_2]", "crop=24", "samples=6", "cadences=[10, 30]", "cadence_weights=[0.5, 0.5]"),
    *("smallest_pixel_m=15000", "largest_pixel_m=20000", "height=24", "width=24"),
    *("objective=exceedance", "hidden_channels=4", "num_layers=3", "max_steps=3", "batch_size=2", "guided_crop=16"),
    *("guided_visits=2", "validate_every=2", "validation_clips=2", "weight_decay=0.01"),
]


@pytest.fixture(scope="module")
def checkpoint(events, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "guided"
    config = resolve("events", file=None, sets=[*SMALL, f"guided_cache={folder.parent}"], data=events)
    return train(config, folder)


def test_a_run_gives_a_checkpoint_that_forecasts(checkpoint):
    forecaster = guided(checkpoint)
    assert forecaster.card["rates_mmh"] == list(forecaster.thresholds_mmh)
    assert forecaster.card["kind"] == "exceedance"
    assert [one["file"] for one in forecaster.card["training"]["data"]["files"]] == ["event_1.nc"]
    assert {"loss", "loss_without_network"} <= {
        key.removeprefix("validation/") for key in forecaster.card["validation"]
    }
    assert forecaster.model.weight_LFK.abs().max() > 0


def test_options_of_a_guided_model_are_set_like_any_other(events):
    config = resolve("events", file=None, sets=["objective=exceedance", "prior=false", "patch=2"], data=events)
    assert config.model_options == {"prior": False, "patch": 2}
    with pytest.raises(ConfigError, match="unknown key 'memory_skip'"):
        resolve("events", file=None, sets=["objective=exceedance", "memory_skip=none"], data=events)


def test_a_resumed_run_keeps_its_statistical_part(events, tmp_path):
    sets = [*SMALL, f"guided_cache={tmp_path}", "keep=last"]
    first = train(resolve("events", file=None, sets=[*sets, "max_steps=2"], data=events), tmp_path / "run")
    before = load_model(first)
    config = resolve("events", file=None, sets=sets, data=events)
    after = load_model(train(config, tmp_path / "run", resume=tmp_path / "run" / "last.ckpt"))
    for name in ("mean_F", "spread_F", "weight_LFK", "bias_LK"):
        torch.testing.assert_close(getattr(before, name), getattr(after, name))
    name = "embed.weight"
    assert not torch.equal(before.get_parameter(name), after.get_parameter(name))


def test_items_are_the_same_from_the_cache_and_without_it(events, tmp_path):
    options = {"crop": 24, "samples": 4, "smallest_pixel_m": 15_000.0, "largest_pixel_m": 20_000.0}
    base = build_dataset("events", events, "train", {**options, "cadences": [10]}, **STEPS)
    one, two = (GuidedItems(base, tmp_path / name, crop=16, visits=3) for name in ("a", "b"))
    assert len(one) == 12
    first = one[5]
    for other in (one[5], two[5]):
        assert torch.equal(first.predictors_LFHW, other.predictors_LFHW)
        assert torch.equal(first.future_LHW.nan_to_num(), other.future_LHW.nan_to_num())
    assert first.predictors_LFHW.shape[-2:] == (16, 16)
    assert not torch.equal(one[5].future_LHW, one[1].future_LHW)
    with pytest.raises(IndexError):
        one[12]


def test_events_too_short_for_a_cadence_lack_the_ends_of_their_windows(events):
    options = {"crop": 24, "samples": 3, "smallest_pixel_m": 15_000.0, "largest_pixel_m": 20_000.0}
    base = build_dataset("events", events, "train", {**options, "cadences": [120]}, **{**STEPS, "lead_steps": 5})
    for past_TCHW, future_TCHW in (base[n] for n in range(3)):
        given = past_TCHW.isfinite().flatten(1).any(1)
        leads = future_TCHW.isfinite().flatten(1).any(1)
        assert given[-2:].all()
        assert leads[0]
        assert not leads[-1]


def test_skill_has_the_checkpoint_with_and_without_its_network(events, checkpoint, tmp_path):
    files = [word for day in (1, 2) for word in ("--data", str(events / f"event_{day}.nc"))]
    command = ["--checkpoint", str(checkpoint), *files, "--every-minutes", "240", "--baseline", "sprog"]
    run = CliRunner().invoke(skill.app, [*command, "--json", str(tmp_path / "s.json")])
    assert run.exit_code == 0, run.output
    name = guided(checkpoint).name
    table = json.loads((tmp_path / "s.json").read_text())["tables"][0]
    assert (table["group"], table["windows"]) == ("all spells", 2)
    rows = {row["model"]: row for row in table["scores"] if (row["score"], row["threshold_mmh"]) == ("csi", 0.5)}
    assert set(rows) == {"persistence", "extrapolation", "sprog", name, f"{name} without network"}
    assert {one["reference"] for one in rows[name]["comparisons"]} >= {f"{name} without network"}
    assert len({row["events"] for row in rows.values()}) == 1
    assert f"reliability of {name}" in run.output
    made = CliRunner().invoke(
        skill_page.app, ["--json", str(tmp_path / "s.json"), "--out", str(tmp_path / "page"), "--model", name]
    )
    assert made.exit_code == 0, made.output
    page = (tmp_path / "page" / "README.md").read_text()
    assert f"{rows[name]['pooled']['value']:.3f} to " in page
    assert str(events) not in page
    for figure in ("csi_by_lead.png", "reliability.png", "performance.png"):
        assert (tmp_path / "page" / figure).stat().st_size > 5000
    other = CliRunner().invoke(skill_page.app, ["--json", str(tmp_path / "s.json"), "--out", str(tmp_path / "page")])
    assert other.exit_code == 2
    assert "got default" in other.output


def test_calibration_is_by_cell_size_and_kept_in_the_card(events, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "TILE_M", 450_000.0)
    into = tmp_path / "into"
    shutil.copytree(checkpoint, into)
    arguments = ["--fold", f"{checkpoint}={events / 'event_2.nc'}", "--into", str(into), "--every", "11"]
    result = CliRunner().invoke(calibrate.app, arguments)
    assert result.exit_code == 0, result.output
    assert "calibration" not in read_card(checkpoint)
    calibration = guided(into).calibration
    assert calibration == CalibrationByCell.from_dict(read_card(into)["calibration"])
    whole = next(skill_windows(events / "event_2.nc")).pixel_m
    assert calibration.pixels_m == pytest.approx((whole / 2, whole), rel=0.05)
    assert len(calibration.calibrations[0].knots) == 5
    assert len(calibration.calibrations[0].knots[0]) == len(guided(into).thresholds_mmh)
    assert calibration.calibrations[0] != calibration.calibrations[1]


def test_squares_of_an_event_are_windows_where_it_rains(events):
    path, first = events / "event_2.nc", next(skill_windows(events / "event_2.nc"))
    (whole,) = tile_windows(path, 1e7, every=1000)
    np.testing.assert_array_equal(whole.past_THW, first.past_THW)
    np.testing.assert_array_equal(whole.future_LHW, first.future_LHW)
    squares = list(tile_windows(path, 450_000.0, every=1000))
    assert 1 <= len(squares) <= 4
    for one in squares:
        assert one.past_THW.shape == one.future_LHW.shape == (5, 124, 124)
        assert one.pixel_m == pytest.approx(first.pixel_m / 2, rel=0.05)
        assert (one.past_THW[-1] >= 0.5).mean() >= 0.02
