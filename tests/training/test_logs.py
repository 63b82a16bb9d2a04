"""What a run writes about itself: metrics, pictures, and ways of training that reach Lightning."""

import csv
import json

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import EarlyStopping, TQDMProgressBar
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from typer.testing import CliRunner

from models.checkpoint import read_card
from models.device import machine
from training import run
from training.config import resolve
from training.trainer.callbacks import GAP, Pace, mosaic
from training.trainer.fit import _callbacks
from training.trainer.metrics_file import MetricsFile, last_values

SMALL = ["--batch-size", "2", "--set", "hidden_channels=2", "--set", "num_layers=2", "--set", "log_every=1"]


def _germany(event, out, *more):
    arguments = ["--dataset", "germany", "--data", str(event), "--out", str(out), *SMALL]
    return CliRunner().invoke(run.app, [*arguments, "--set", "height=16", "--set", "width=12", *more])


def test_rows_of_steps_that_are_run_again_are_dropped(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.csv")
    for step in range(6):  # Lightning counts from 0
        metrics.log_metrics({"train/loss": step / 4, "epoch": 0}, step)
    metrics.log_metrics({"validation/loss": 7.0, "epoch": 0}, 2)
    metrics.log_metrics({"validation/loss": 8.0}, 3)
    with (tmp_path / "metrics.csv").open("a") as file, (tmp_path / "metrics.jsonl").open("a") as lines:
        file.write("7,train/lo")
        lines.write('{"step": 7, "tr')
    metrics.go_on_after(4)
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "step,name,value",
        *("1,train/loss,0.0", "2,train/loss,0.25", "3,train/loss,0.5", "4,train/loss,0.75", "3,validation/loss,7.0"),
    ]
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [
        *({"step": n + 1, "train/loss": n / 4} for n in range(4)),
        {"step": 3, "validation/loss": 7.0},
    ]
    assert last_values(tmp_path / "metrics.csv", "train/") == {"train/loss": 0.75}
    assert last_values(tmp_path / "none.csv", "train/") == {}
    metrics.go_on_after(0)
    assert (tmp_path / "metrics.csv").read_text() == "step,name,value\n"


def test_a_run_reports_its_speed_and_machine(event, tmp_path):
    result = _germany(event, tmp_path / "run", "--max-steps", "4", "--set", "validate_every=2")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "train/loss" in line]
    assert [line["step"] for line in steps] == [1, 2, 3, 4]
    assert all(line["train/samples_per_s"] > 0 and line["train/peak_memory_mib"] > 50 for line in steps)
    assert all(0 <= line["train/wait_share"] <= 1 for line in steps)
    seconds = [line["train/seconds"] for line in steps]
    assert seconds == sorted(seconds)
    assert [line["step"] for line in lines if "validation/loss" in line] == [2, 4]
    card = read_card(tmp_path / "run" / "checkpoint")
    assert card["validation"]["validation/loss"] == lines[-1]["validation/loss"]
    last = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["run"]
    assert last["config"]["dataset_options"]["width"] == 12
    assert last["data"]["train"]["files"] == card["training"]["data"]["files"]
    assert last["data"]["validation"]["files"][0]["file"] == "event.nc"
    assert last["revisions"] == [card["code_revision"]] == card["code_revisions"]
    assert last["machines"] == [machine("cpu")] == card["training"]["machines"]


def test_forecasts_are_drawn_for_tensorboard(event, tmp_path):
    result = _germany(
        event, tmp_path / "run", "--max-steps", "4", "--set", "validate_every=2", "--set", "tensorboard=true"
    )
    assert result.exit_code == 0, result.output
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert events.Tags()["images"] == ["forecast"]
    images = events.Images("forecast")
    assert [image.step for image in images] == [2, 4]
    assert (images[0].height, images[0].width) == (2 * (16 + GAP), 10 * (12 + GAP))
    assert {"train/loss", "validation/loss"} <= set(events.Tags()["scalars"])


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_lightning_s_bar_and_a_file_gets_lines(terminal, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    callbacks = _callbacks(resolve("germany", file=None, sets=["early_stopping=2"]), total_steps=4)
    assert any(isinstance(one, TQDMProgressBar) for one in callbacks) == terminal
    assert [one.lines for one in callbacks if isinstance(one, Pace)] == [not terminal]
    assert [one.patience for one in callbacks if isinstance(one, EarlyStopping)] == [2]


def test_a_missing_tensorboard_is_reported(event, tmp_path, monkeypatch):
    monkeypatch.setattr("training.loggers.base.find_spec", lambda _: None)
    result = _germany(event, tmp_path / "run", "--max-steps", "1", "--set", "tensorboard=true")
    assert result.exit_code == 2
    assert "the package tensorboard is not installed" in result.output
    assert not (tmp_path / "run").exists()


def test_the_picture_has_the_truth_above_and_the_forecast_below_its_frames():
    past, future, forecast = torch.zeros(2, 1, 3, 4), torch.ones(1, 1, 3, 4), torch.full((1, 1, 3, 4), 0.5)
    picture = mosaic(past, future, forecast, is_rain=False)
    assert picture.shape == (2 * (3 + GAP), 3 * (4 + GAP), 3)
    right = slice(2 * (4 + GAP), 2 * (4 + GAP) + 4)
    assert (picture[:3, :4] == 0).all()
    assert (picture[:3, right] == 255).all()
    assert (picture[3 + GAP : 6 + GAP, right] == 127).all()
    assert (picture[3 + GAP :, : 2 * (4 + GAP)] == 128).all()
    rain = mosaic(past, torch.full_like(future, float("nan")), 40 * torch.ones_like(forecast), is_rain=True)
    assert (rain[:3, :4] == 255).all()
    np.testing.assert_array_equal(rain[3 + GAP, right.start], [178, 10, 84])  # 30 mm/h and more
    assert 128 < rain[0, right.start, 0] < 255


@pytest.mark.parametrize(
    "options",
    [
        ["--precision", "bf16-mixed", "--recompute"],
        ["--set", "gradient_clip=0.001"],
        ["--set", "loss=b-mae+b-mse"],
        ["--set", "schedule=reverse"],
        ["--set", "workers=1"],
    ],
)
def test_options_change_the_weights_or_the_work_alone(event, tmp_path, options):
    for name, more in (("plain", []), ("other", options)):
        result = _germany(event, tmp_path / name, "--max-steps", "3", "--set", "validate_every=3", *more)
        assert result.exit_code == 0, result.output
    plain, other = (
        [
            float(row["value"])
            for row in csv.DictReader((tmp_path / name / "metrics.csv").read_text().splitlines())
            if row["name"] == "train/loss"
        ]
        for name in ("plain", "other")
    )
    assert np.isfinite(other).all()
    assert (plain == other) == ("workers=1" in options)
    if "bf16-mixed" in options:
        np.testing.assert_allclose(plain, other, rtol=0.02)


def test_gradients_are_clipped_to_the_norm(event, tmp_path):
    from training.trainer.module import NowcastModule

    norms = []
    original = NowcastModule.configure_gradient_clipping

    def seen(self, *arguments, **keywords):
        original(self, *arguments, **keywords)
        norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in self.parameters() if p.grad is not None])))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NowcastModule, "configure_gradient_clipping", seen)
        assert _germany(event, tmp_path / "run", "--max-steps", "2", "--set", "gradient_clip=0.5").exit_code == 0
    assert norms == pytest.approx([0.5, 0.5], rel=1e-4)
