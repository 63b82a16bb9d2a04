"""One forecast from a file, by the command."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from core import cf
from core.grid import DE1200
from models import predict

START = datetime(2024, 6, 1, tzinfo=UTC)


def _frames(path, minutes, size=(80, 70)):
    grid = DE1200.resized(*size)
    rate = np.zeros((len(minutes), *size), np.float32)
    rate[:, 20:40, 20:40] = 3.0
    rate[:, :10] = np.nan
    cf.write_dataset(cf.rate_dataset(rate, [START + timedelta(minutes=m) for m in minutes], grid), path)
    return path


def _run(source, out, *more):
    return CliRunner().invoke(predict.app, ["--input", str(source), "--out", str(out), *more])


@pytest.mark.parametrize("checkpoint", ["default", "persistence"])
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
    result = _run(_frames(tmp_path / "frames.nc", minutes), tmp_path / "forecast.nc")
    assert result.exit_code == 2
    assert expected in result.output
    assert not (tmp_path / "forecast.nc").exists()
