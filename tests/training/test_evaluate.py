"""The evaluation of a checkpoint: which frames and clips count, with which baselines, and what is refused."""

import csv
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from core import cf
from core.colours import RAIN_COLOURS
from core.errors import ConfigError, ForecastError
from core.grid import RADOLAN_900
from models import load_forecaster
from models.fields import ForecastFields
from models.forecaster import Forecaster
from models.guided.native import NativeForecaster
from tests.training.small_runs import make_run
from tests.training.test_event_skill import write_event
from training import evaluate, picture
from training.datasets import DATASETS, NowcastDataset, Sample, build_dataset
from training.evaluation.clips import chosen_clips, measures_of, predictions
from training.evaluation.engine import Evaluation
from training.evaluation.text import text_table
from training.frame_rows import clip_rows, wettest_clip
from verification.counts import Counts

NAN = np.nan


class Fixed(NowcastDataset):
    """Clips that a test names, (N, T, H, W)."""

    def __init__(self, frames_NTHW, *, rain, input_steps=3):
        lead_steps = frames_NTHW.shape[1] - input_steps
        super().__init__(None, "test", input_steps=input_steps, lead_steps=lead_steps)
        self.frames, self.is_rain = torch.as_tensor(frames_NTHW, dtype=torch.float32)[:, :, None], rain
        self.cadence_minutes, self.pixel_m = (30, 7258.0) if rain else (0, 0.0)

    @classmethod
    def miniature(cls, folder):
        return {}

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, index):
        return Sample(self.frames[index, : self.input_steps], self.frames[index, self.input_steps :])


class Constant(Forecaster):
    """The same value everywhere."""

    def __init__(self, value):
        super().__init__("constant", "1", input_steps=3, cadence_minutes=30, pixel_m=7258.0)
        self.value = value

    def _forecast_batch(self, rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m):
        shape = (lead_steps, *rate_mmh_BTHW.shape[2:])
        rates = [np.full(shape, self.value, np.float32) for _ in rate_mmh_BTHW]
        return [ForecastFields(rate_mmh_LHW, np.ones(shape, np.bool_)) for rate_mmh_LHW in rates]


def ramp(clips=3, steps=5, edge=12):
    """Clip i is flat: frame t is everywhere (t + 1) (i + 1) / 100."""
    levels = np.outer(np.arange(1, clips + 1), np.arange(1, steps + 1)) / 100
    return np.broadcast_to(levels[:, :, None, None], (clips, steps, edge, edge)).copy()


def persistence_of(frames_NTHW, *, rain, **more):
    return evaluate.evaluate([load_forecaster("persistence")], Fixed(frames_NTHW, rain=rain), **more)


def test_pictures_by_lead_and_overall_by_hand():
    table = persistence_of(ramp(), rain=False)
    assert set(table.measures) == {"mse", "mae", "ssim", "psnr", "gdl"}
    assert table.leads("persistence") == [1, 2]
    # lead n is n steps of (i + 1) / 100 off, on 144 pixels
    assert table.at("mae", "persistence", 1) == pytest.approx(144 * np.mean([1, 2, 3]) / 100)
    assert table.at("mse", "persistence", 2) == pytest.approx(144 * np.mean([2**2, 4**2, 6**2]) / 10000, rel=1e-5)
    assert table.overall("mae", "persistence") == pytest.approx(144 * np.mean([1, 2, 3, 2, 4, 6]) / 100)
    assert table.paper("mae", "persistence") is None


def test_the_paper_s_protocol_counts_one_step_forecasts_of_given_frames():
    table = persistence_of(ramp(), rain=False, one_step=True)
    assert table.leads("persistence") == [-1, 0, 1, 2]
    one, two = 144 * 2 / 100, 144 * 4 / 100
    assert [table.at("mae", "persistence", n) for n in (-1, 0, 1, 2)] == pytest.approx([one, one, one, two])
    assert table.paper("mae", "persistence") == pytest.approx((3 * one + two) / 4)
    assert table.overall("mae", "persistence") == pytest.approx((one + two) / 2)


def test_the_paper_s_mean_counts_undefined_as_0_and_the_headline_does_not():
    rain = np.zeros((1, 5, 4, 4))
    rain[0, 4], rain[0, 2] = 1.0, 1.0
    table = persistence_of(rain, rain=True, one_step=True)
    csi = [table.at("csi_0.5", "persistence", n) for n in (-1, 0, 1, 2)]
    np.testing.assert_array_equal(csi, [NAN, 0, 0, 1])
    assert table.paper("csi_0.5", "persistence") == pytest.approx(1 / 4)
    assert table.overall("csi_0.5", "persistence") == pytest.approx(16 / 32)
    assert table.pooled("counts_0.5", "persistence") == Counts(hits=16, false_alarms=16)


def test_rain_counts_only_where_all_inputs_and_the_observation_are_there():
    rain = np.ones((1, 5, 4, 4))
    rain[0, 0, 0, 0], rain[0, 4, 1, 1] = NAN, NAN
    table = persistence_of(rain, rain=True, one_step=True)
    totals = [table.pooled("counts_0.5", "persistence", [n]).total for n in (-1, 0, 1, 2)]
    assert totals == [15, 15, 15, 14]
    assert table.overall("b-mse", "persistence") == 0.0


def test_a_window_in_km_is_cells_of_the_data_set():
    labels = measures_of(Fixed(np.ones((1, 5, 4, 4)), rain=True))
    assert {"fss_0.5_3", "fss_0.5_7", "csi_30", "far_0.1", "b-mae"} <= set(labels)
    assert labels["csi_2"].totals_of == labels["bias_2"].totals_of


def test_each_channel_is_forecast_separately():
    past_BTCHW = torch.rand(2, 3, 2, 8, 8)
    frames = predictions(load_forecaster("persistence"), past_BTCHW, 4, one_step=True)
    assert frames.shape == (2, 6, 2, 8, 8)
    np.testing.assert_array_equal(frames[:, :2], past_BTCHW[:, :2])
    np.testing.assert_array_equal(frames[:, 5], past_BTCHW[:, 2])


def test_extrapolation_before_its_second_frame_is_the_newest_one():
    past_BTCHW = torch.rand(1, 3, 1, 16, 16)
    frames = predictions(load_forecaster("extrapolation"), past_BTCHW, 2, one_step=True)
    assert frames.shape == (1, 4, 1, 16, 16)
    np.testing.assert_array_equal(frames[:, 0], past_BTCHW[:, 0])


def test_a_forecast_that_is_not_finite_is_an_error():
    with pytest.raises(ForecastError, match="not finite"):
        evaluate.evaluate([Constant(NAN)], Fixed(ramp(), rain=False))


def test_a_model_of_any_scale_gets_the_scale_of_the_frames():
    seen: list[tuple[float, float]] = []

    class OfAnyScale(Constant):
        any_scale = True

        def _forecast_batch(self, rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m):
            seen.append((cadence_minutes, pixel_m))
            return super()._forecast_batch(rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m)

    model = OfAnyScale(1.0)
    model.cadence_minutes, model.pixel_m = 5, 1000.0
    evaluate.evaluate([model], Fixed(ramp(), rain=True))
    assert set(seen) == {(30.0, 7258.0)}
    seen.clear()
    evaluate.evaluate([model], Fixed(ramp(), rain=False))
    assert set(seen) == {(5.0, 1000.0)}, "pictures have none"


def test_the_default_is_scored_and_drawn_at_the_scale_of_the_data(tmp_path, monkeypatch):
    path = write_event(tmp_path / "event.nc", 1, fields=60)
    seen: list[tuple[int, float, int]] = []
    forecast = NativeForecaster._forecast_batch

    def spied(self, rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m):
        seen.append((rate_mmh_BTHW.shape[1], cadence_minutes, round(pixel_m)))
        return forecast(self, rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m)

    monkeypatch.setattr(NativeForecaster, "_forecast_batch", spied)
    result = _evaluate("--checkpoint", "default", "--dataset", "germany", "--data", path, "--clips", 1)
    assert result.exit_code == 0, result.output
    drawn = CliRunner().invoke(picture.app, ["--data", str(path), "--out", str(tmp_path / "picture.png")])
    assert drawn.exit_code == 0, drawn.output
    assert seen == [(5, 30.0, 7258)] * 2


def test_a_clip_is_drawn_in_the_style_of_all_maps(tmp_path):
    path, picture_path = write_event(tmp_path / "event.nc", 1, fields=60), tmp_path / "clip.png"
    arguments = ["--checkpoint", "extrapolation", "--dataset", "germany", "--data", path, "--clips", 1]
    result = _evaluate(*arguments, "--plot", picture_path)
    assert result.exit_code == 0, result.output
    assert f"wrote {picture_path}: clip " in result.output
    with Image.open(picture_path) as drawn:
        seen = {tuple(colour) for colour in np.unique(np.asarray(drawn.convert("RGB")).reshape(-1, 3), axis=0).tolist()}
    assert {colour[:3] for _, colour in RAIN_COLOURS} & seen
    refused = _evaluate(*arguments, "--plot", tmp_path / "clip.doc")
    assert refused.exit_code != 0
    assert "--plot: expected a name that ends with one of " in refused.output


def test_the_wettest_clip_is_drawn_and_no_value_is_invented():
    class Rain(Fixed):
        def __init__(self):
            frames = ramp(clips=4)
            frames[2] *= 100
            frames[:, 0, 0, 0] = np.nan
            super().__init__(frames, rain=True)

    test = Rain()
    assert wettest_clip(test) == 2
    drawn = clip_rows([load_forecaster("persistence")], test, 2)
    assert [label for label, _ in drawn] == ["given", "observed", "persistence"]
    assert np.isnan(drawn[2][1][:, 0, 0]).all()
    assert np.isfinite(drawn[2][1][:, 1:]).all()


def test_clips_are_spread_evenly():
    assert chosen_clips(10, None) == list(range(10))
    assert chosen_clips(10, 99) == list(range(10))
    assert chosen_clips(101, 3) == [0, 50, 100]
    assert len(set(chosen_clips(4500, 500))) == 500
    table = persistence_of(ramp(9), rain=False, clips=3)
    assert table.clips == 3
    assert table.at("mae", "persistence", 1) == pytest.approx(144 * np.mean([1, 5, 9]) / 100)


def test_a_batch_equals_its_single_clips(tmp_path):
    forecaster = load_forecaster(make_run(tmp_path / "run", "ms-convlstm") / "checkpoint")
    past_BTCHW = torch.rand(3, 3, 1, 16, 16)
    whole = predictions(forecaster, past_BTCHW, 2, one_step=True)
    alone = [predictions(forecaster, past_BTCHW[i : i + 1], 2, one_step=True)[0] for i in range(3)]
    np.testing.assert_allclose(whole, np.stack(alone), atol=1e-6)
    np.testing.assert_allclose(
        whole[0, -2:, 0], forecaster.forecast(past_BTCHW[0, :, 0].numpy(), 2).rate_mmh_LHW, atol=1e-6
    )


def _evaluate(*arguments):
    return CliRunner().invoke(evaluate.app, [str(a) for a in arguments])


def test_the_command_takes_the_frames_of_the_training(tmp_path):
    run = make_run(tmp_path / "own", "ms-convlstm")
    file = tmp_path / "new" / "table.json"
    arguments = ["--checkpoint", run / "checkpoint", "--dataset", "moving_mnist", "--json", file, "--clips", 4]
    result = _evaluate(*arguments, "--protocol", "paper")
    assert result.exit_code == 0, result.output
    assert "4 of 6 clips" in result.output
    assert all(name in result.output for name in ("own", "persistence", "extrapolation", "SSIM", "paper"))
    table = json.loads(file.read_text())
    assert table["frame_CHW"] == [1, 16, 16]
    assert table["model"] == "own"
    assert set(table["overall"]) == set(table["paper"]) == {"own", "persistence", "extrapolation"}
    leads = [row["lead"] for row in table["by_lead"] if row["model"] == "own"]
    assert leads == [-1, 0, 1, 2]
    assert table["overall"]["own"]["mse"] == pytest.approx(
        np.mean([row["mse"] for row in table["by_lead"] if row["model"] == "own" and row["lead"] > 0])
    )
    assert table["paper"]["own"]["mse"] == pytest.approx(
        np.mean([row["mse"] for row in table["by_lead"] if row["model"] == "own"])
    )
    assert json.loads(json.dumps(table, allow_nan=False)) == table


@pytest.mark.parametrize(
    ("protocol", "option", "takes_it"),
    [
        ("paper", "--journal", "skill, native, hour, catrare"),
        ("forecast", "--every-minutes", "skill, native, hour"),
        ("native", "--clips", "forecast, paper"),
        ("hour", "--set", "forecast, paper, catrare"),
        ("hour", "--plot", "forecast, paper"),
        ("catrare", "--cache", "skill, native, hour"),
    ],
)
def test_an_option_that_a_protocol_does_not_use_is_refused(protocol, option, takes_it):
    result = _evaluate("--protocol", protocol, "--checkpoint", "persistence", option, 4)
    assert result.exit_code != 0
    assert f"error: {option}: expected --protocol {takes_it}, got --protocol {protocol}" in result.output


def test_a_model_without_one_step_forecasts_has_no_mean_of_the_paper(tmp_path):
    run = make_run(tmp_path / "simvp", "simvp")
    result = _evaluate(
        "--checkpoint", run / "checkpoint", "--dataset", "moving_mnist", "--protocol", "paper", "--clips", 2
    )
    assert result.exit_code == 0, result.output
    line = next(line for line in result.output.splitlines() if line.strip().startswith("simvp"))
    assert line.split()[-1] == "-"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "germany"], "expected moving_mnist, on which own was trained, got germany"),
        (
            ["--dataset", "moving_mnist", "--set", "size=32"],
            "--set size: expected 16, with which own was trained, got 32",
        ),
        (["--dataset", "moving_mnist", "--set", "digits_per_clip=3"], "--set digits_per_clip: expected 2"),
        (["--dataset", "moving_mnst"], "did you mean moving_mnist"),
        (["--dataset", "moving_mnist", "--set", "nothing"], "expected KEY=VALUE"),
        (["--dataset", "moving_mnist", "--data", "nowhere"], "nowhere"),
        (["--dataset", "moving_mnist", "--json", "/dev/null/x.json"], "cannot be written"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(arguments, message, tmp_path):
    run = make_run(tmp_path / "own")
    result = _evaluate("--checkpoint", run / "checkpoint", "--clips", 1, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert "Traceback" not in result.output


def test_transfer_scores_frames_of_another_size(tmp_path):
    run = make_run(tmp_path / "own")
    options = ["--dataset", "moving_mnist", "--set", "size=20", "--clips", 1, "--transfer"]
    result = _evaluate("--checkpoint", run / "checkpoint", *options)
    assert result.exit_code == 0, result.output
    assert "--transfer: trained on moving_mnist (size=16, digit_size=7), scored on moving_mnist" in result.output


def test_a_rain_model_whose_card_names_no_data_set_needs_transfer_for_pictures():
    with pytest.raises(ConfigError, match="expected rain for default, whose card names no data set"):
        evaluate.scored_set(load_forecaster("default"), "moving_mnist", None, {})
    evaluate.scored_set(load_forecaster("persistence"), "moving_mnist", None, {"test_clips": 2})


def test_options_equal_to_those_of_the_training_are_accepted(tmp_path):
    forecaster = load_forecaster(make_run(tmp_path / "own") / "checkpoint")
    same = evaluate.scored_set(forecaster, "moving_mnist", None, {"size": 16, "digits_per_clip": 2, "test_clips": 3})
    assert len(same) == 3
    with pytest.raises(ConfigError, match="size: expected 16"):
        evaluate.scored_set(forecaster, "moving_mnist", None, {"size": 17})
    forecaster.card["training"]["config"]["dataset_options"]["test_set"] = "standard"
    with pytest.raises(ConfigError, match="test_set=standard"):
        evaluate.scored_set(forecaster, "moving_mnist", None, {})


def test_totals_of_two_halves_are_those_of_the_whole():
    data = Fixed(ramp(4), rain=False)
    halves = Evaluation(measures_of(data), 2)
    for part in (slice(0, 1), slice(1, 4)):
        frames = data.frames[part].numpy()
        halves.add("x", np.repeat(frames[:, 2:3], 2, axis=1), frames[:, 3:])
    whole = evaluate.evaluate([load_forecaster("persistence")], data)
    for label in whole.measures:
        assert halves.overall(label, "x") == pytest.approx(whole.overall(label, "persistence"))


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_data_set_has_a_table(name, tmp_path):
    options = DATASETS.get(name).miniature(tmp_path)
    test = build_dataset(name, tmp_path, "test", options, input_steps=3, lead_steps=2, seed=0)
    table = evaluate.evaluate_with_baselines(load_forecaster("persistence"), test, clips=2, one_step=True)
    assert table.clips == min(len(test), 2)
    assert table.models == ["persistence", "extrapolation"]
    assert ("b-mse" if test.is_rain else "ssim") in table.measures
    assert table.leads("extrapolation") == [-1, 0, 1, 2]


def test_the_data_set_is_the_card_s_and_all_values_are_in_the_csv(tmp_path):
    run = make_run(tmp_path / "own")
    result = _evaluate("--checkpoint", run / "checkpoint", "--clips", 2, "--csv", tmp_path / "new" / "x.csv")
    assert result.exit_code == 0, result.output
    assert "2 of 6 clips" in result.output
    rows = list(csv.DictReader((tmp_path / "new" / "x.csv").read_text().splitlines()))
    assert {row["lead"] for row in rows} == {"1", "2", "all"}
    assert {row["model"] for row in rows} == {"own", "persistence", "extrapolation"}
    assert {"mse", "ssim"} <= {row["score"] for row in rows}


@pytest.mark.parametrize("one_step", [False, True])
def test_what_is_printed_fits_120_columns(one_step):
    rain = np.random.default_rng(0).gamma(0.3, 8.0, (2, 15, 24, 24))
    test = Fixed(rain, rain=True)
    persistence = load_forecaster("persistence")
    table = evaluate.evaluate_with_baselines(persistence, test, one_step=one_step)
    assert table.lead_steps == 12
    text = text_table(table, test, persistence)
    assert max(map(len, text.splitlines())) <= 120
    assert "+360" in text  # the last lead always has a column
    assert "8 of 12 leads have a column" in text


def test_no_window_is_an_error_that_names_what_there_is(tmp_path):
    rate = np.random.default_rng(0).gamma(1.0, 2.0, (4, 30, 30)).astype(np.float32)
    times = [datetime(2021, 7, 1, tzinfo=UTC) + timedelta(minutes=30 * k) for k in range(4)]
    cf.write_dataset(cf.rate_dataset(rate, times, RADOLAN_900.resized(30, 30)), tmp_path / "short.nc")
    result = _evaluate("--checkpoint", "persistence", "--dataset", "germany", "--data", tmp_path / "short.nc")
    assert result.exit_code == 2
    assert "no window of 6 fields 30 minutes apart" in result.output
    assert "short.nc: 4 fields over 90 minutes, 30 apart" in result.output


def test_an_empty_test_set_is_an_error_that_names_the_fields_of_its_files(tmp_path):
    options = DATASETS.get("events").miniature(tmp_path)
    with pytest.raises(
        ConfigError, match=r"got 0 windows in .*: event_1.nc: 40 fields over 585 minutes, 15 apart; .*tested"
    ):
        evaluate.scored_set(load_forecaster("persistence"), "events", tmp_path, {**options, "tested": []})
