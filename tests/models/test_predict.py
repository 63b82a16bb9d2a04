"""One forecast from a file, by the command."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from typer.testing import CliRunner

from core import cf
from core.colours import RAIN_COLOURS
from core.exceedance import PROBABILITY_ERROR
from core.grid import DE1200
from models import predict
from models.load import load_forecaster

START = datetime(2024, 6, 1, tzinfo=UTC)


def _frames(path, minutes, size=(80, 70)):
    grid = DE1200.resized(*size)
    rate = np.zeros((len(minutes), *size), np.float32)
    rate[:, 20:40, 20:40] = 3.0
    rate[:, :10] = np.nan
    cf.write_dataset(cf.rate_dataset(rate, [START + timedelta(minutes=m) for m in minutes], grid), path)
    return path


def _leads(dataset):
    """Leads of a forecast's file in minutes."""
    return ((dataset.time - dataset.forecast_reference_time).values / np.timedelta64(60, "s")).tolist()


def _with_blanks(path, minutes, blank):
    """Frames of 60 x 50 cells, some of them without an observed cell."""
    rate = np.ones((len(minutes), 60, 50), np.float32)
    rate[[n for n, m in enumerate(minutes) if m in blank]] = np.nan
    times = [START + timedelta(minutes=m) for m in minutes]
    cf.write_dataset(cf.rate_dataset(rate, times, DE1200.resized(60, 50)), path)
    return path


def _run(source, out, *more):
    return CliRunner().invoke(predict.app, ["--input", str(source), "--out", str(out), *more])


def test_the_picture_shows_the_forecast_in_the_colours_of_the_map(tmp_path):
    source = _frames(tmp_path / "frames.nc", [0, 30, 60, 90, 120])
    more = ("--checkpoint", "persistence", "--lead-steps", "2", "--plot", str(tmp_path / "rain.png"))
    result = _run(source, tmp_path / "forecast.nc", *more)
    assert result.exit_code == 0, result.output
    picture = np.asarray(Image.open(tmp_path / "rain.png").convert("RGB"))
    colour = [colour for edge, colour in RAIN_COLOURS if edge <= 3.0][-1][:3]
    assert 0.01 < (picture == np.array(colour)).all(axis=-1).mean() < 0.2
    assert picture.shape[1] > 1.5 * picture.shape[0]


def test_a_picture_of_an_unknown_format_is_refused_before_the_forecast(tmp_path):
    source = _frames(tmp_path / "frames.nc", [0, 30, 60, 90, 120])
    more = ("--checkpoint", "persistence", "--lead-steps", "1")
    result = _run(source, tmp_path / "forecast.nc", *more, "--plot", str(tmp_path / "rain.bmpp"))
    assert result.exit_code == 2
    assert "plot: expected" in result.output
    assert not (tmp_path / "forecast.nc").exists()
    assert _run(source, tmp_path / "forecast.nc", *more, "--plot", str(tmp_path / "new" / "rain.png")).exit_code == 0
    assert (tmp_path / "new" / "rain.png").is_file()


@pytest.mark.parametrize("checkpoint", ["guided", "persistence"])
def test_a_file_in_and_a_file_out(tmp_path, checkpoint):
    source = _frames(tmp_path / "frames.nc", [0, 30, 60, 90, 120])
    result = _run(source, tmp_path / "forecast.nc", "--checkpoint", checkpoint, "--lead-steps", "3")
    assert result.exit_code == 0, result.output
    with xr.open_dataset(tmp_path / "forecast.nc") as dataset:
        assert dataset.rainfall_rate.shape == (3, 80, 70)
        assert str(dataset.forecast_reference_time.values)[:16] == "2024-06-01T02:00"
        assert np.isnan(dataset.rainfall_rate.values[:, :9]).all()
        assert np.isfinite(dataset.rainfall_rate.values[:, 11:]).all()
        assert dataset.attrs["model"] == checkpoint
        assert dataset.coverage.values[0, 50, 50] == 1
        assert dataset.known.shape == (3, 80, 70)
        assert not dataset.known.values[:, :9].any()
        assert dataset.known.values[:, 30:50, 30:50].all()


@pytest.mark.parametrize(
    ("minutes", "expected"), [([0, 10, 20, 30, 40], "30 minutes"), ([0, 30], "5"), ([0, 30, 60, 95, 125], "30 minutes")]
)
def test_frames_that_form_no_window_are_one_clear_line(tmp_path, minutes, expected):
    result = _run(_frames(tmp_path / "frames.nc", minutes), tmp_path / "forecast.nc", "--checkpoint", "guided")
    assert result.exit_code == 2
    assert expected in result.output
    assert not (tmp_path / "forecast.nc").exists()


def test_a_model_of_any_scale_takes_grid_and_cadence_of_the_file(tmp_path):
    source = _frames(tmp_path / "frames.nc", range(0, 61, 5), size=(60, 50))
    for more, leads in (
        ([], range(5, 151, 5)),
        (["--lead-minutes", "32"], range(5, 31, 5)),
        (["--lead-steps", "2"], (5, 10)),
    ):
        result = _run(source, tmp_path / "forecast.nc", "--checkpoint", "default", *more)
        assert result.exit_code == 0, result.output
        with xr.open_dataset(tmp_path / "forecast.nc") as dataset:
            assert dataset.rainfall_rate.shape == (len(leads), 60, 50)
            assert _leads(dataset) == list(leads)
            assert not dataset.known.values[:, :10].any()


def test_probabilities_are_written_packed_and_agree_with_the_rate(tmp_path):
    source, out = _frames(tmp_path / "frames.nc", range(0, 61, 5), size=(60, 50)), tmp_path / "forecast.nc"
    assert _run(source, out, "--checkpoint", "default", "--lead-steps", "2").exit_code == 0
    forecaster = load_forecaster("default")
    with xr.open_dataset(source) as dataset:
        pixel_m = DE1200.resized(60, 50).pixel_m
        fields = forecaster.forecast(dataset.rainfall_rate.values, 2, cadence_minutes=5, pixel_m=pixel_m)
    probability_KLHW = fields.exceedance_probability_KLHW
    assert probability_KLHW is not None
    with xr.open_dataset(out, mask_and_scale=False) as dataset:
        assert dataset["exceedance_probability_0p5"].dtype == np.uint8
    with xr.open_dataset(out) as dataset:
        for number, mmh in enumerate(forecaster.thresholds_mmh):
            found = dataset[f"exceedance_probability_{mmh:g}".replace(".", "p")].values
            np.testing.assert_allclose(found, probability_KLHW[number], atol=PROBABILITY_ERROR)
            shown = dataset.rainfall_rate.values >= mmh
            assert (found[shown] >= (0.2 if mmh < 5 else 0.1) - 1e-6).all()
        assert (found[:, :9] != found[:, :9]).all()
        assert (dataset.exceedance_probability_2.values[:, 25:35, 25:35] > 0.5).all()


def test_a_forecaster_without_probabilities_writes_none(tmp_path):
    source, out = _frames(tmp_path / "frames.nc", range(0, 61, 5), size=(60, 50)), tmp_path / "forecast.nc"
    assert _run(source, out, "--checkpoint", "persistence", "--cadence-minutes", "15").exit_code == 0
    with xr.open_dataset(out) as dataset:
        assert not [name for name in dataset if str(name).startswith("exceedance")]


def test_a_coarser_cadence_of_a_file_is_a_choice(tmp_path):
    source = _frames(tmp_path / "frames.nc", range(0, 121, 10), size=(60, 50))
    result = _run(source, tmp_path / "forecast.nc", "--checkpoint", "default", "--cadence-minutes", "30")
    assert result.exit_code == 0, result.output
    with xr.open_dataset(tmp_path / "forecast.nc") as dataset:
        assert _leads(dataset) == [30, 60, 90, 120, 150]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--lead-minutes", "4"], "--lead-minutes: expected at least the cadence of 5 minutes, got 4"),
        (["--lead-minutes", "30", "--lead-steps", "6"], "got both"),
        (["--cadence-minutes", "45"], "at least 5 frames"),
    ],
)
def test_leads_and_cadences_that_a_file_cannot_have_are_one_clear_line(tmp_path, more, words):
    source = _frames(tmp_path / "frames.nc", range(0, 61, 5), size=(60, 50))
    result = _run(source, tmp_path / "forecast.nc", "--checkpoint", "default", *more)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("minutes", "blank", "note"),
    [
        ([*range(0, 30, 5), *range(35, 61, 5)], (), "no scan for 2024-06-01T00:30:00Z: bridged linearly in time"),
        (range(0, 61, 5), (60,), "no observed cell in the newest scan, 2024-06-01T01:00:00Z: the forecast is empty"),
        (range(0, 61, 5), range(5, 60), "no scan for 2024-06-01T00:05:00Z to 2024-06-01T00:55:00Z"),
    ],
)
def test_notes_of_the_window_are_on_the_console_and_in_the_file(tmp_path, minutes, blank, note):
    source, out = _with_blanks(tmp_path / "frames.nc", minutes, blank), tmp_path / "forecast.nc"
    result = _run(source, out, "--checkpoint", "persistence", "--lead-steps", "2")
    assert result.exit_code == 0, result.output
    assert f"note: {note}" in result.output
    with xr.open_dataset(out) as dataset:
        assert note in dataset.attrs["comment"]


def test_a_window_that_only_a_baseline_can_take_is_refused_for_a_model(tmp_path):
    source, out = _with_blanks(tmp_path / "frames.nc", range(0, 61, 5), range(5, 60)), tmp_path / "forecast.nc"
    result = _run(source, out, "--checkpoint", "default", "--lead-steps", "2")
    assert result.exit_code == 2
    words = "expected at least 2 fields with observed cells in the last 30 minutes up to 2024-06-01T01:00:00Z, got 1"
    assert words in " ".join(result.output.split())
    assert not out.exists()
