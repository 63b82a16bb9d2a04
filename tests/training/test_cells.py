"""The cells of a trained model: from the data and the resize into its card, and from the card into the served grid."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from core import cf
from core.cells import CellEdges, edges_of_card, mean_edge_m
from core.errors import ConfigError, InputError
from core.frame import RadarFrame
from core.grid import DE1200, RADOLAN_900, RADOLAN_1100
from ingest.readers import read_frames
from ingest.windows.regrid import model_grid
from ingest.windows.window import build_window
from ingest.worker.served import served_models
from models.checkpoint import read_card
from models.load import load_forecaster
from models.predict import predict
from service.inference.inputs import model_input
from training import run
from training.datasets import build_dataset
from training.datasets.series import find_series, join_in_time

START = datetime(2020, 6, 1, tzinfo=UTC)
SMALL = ["hidden_channels=2", "num_layers=3", "batch_size=2", "input_steps=2", "lead_steps=2", "validate_every=2"]


def _write(path, grid, *, wet=(10, 30), fields=24):
    """Fields of 1 mm/h with 40 mm/h in the 2 x 2 cells from row and column `wet`."""
    rate_mmh_THW = np.ones((fields, *grid.shape), np.float32)
    rate_mmh_THW[:, wet[0] : wet[0] + 2, wet[1] : wet[1] + 2] = 40.0
    times = [START + timedelta(minutes=30 * k) for k in range(fields)]
    cf.write_dataset(cf.rate_dataset(rate_mmh_THW, times, grid), path)
    return path


def _germany(data, split="train", **options):
    return build_dataset("germany", data, split, options, input_steps=2, lead_steps=2, seed=0)


@pytest.mark.parametrize(
    ("grid", "shape", "edges_m"),
    [
        (RADOLAN_1100.resized(44, 36), (124, 124), (1_100_000 / 124, 900_000 / 124)),  # RADKLIM: 8.87 x 7.26 km
        (RADOLAN_900.resized(36, 36), (124, 124), (900_000 / 124, 900_000 / 124)),
        (RADOLAN_900.resized(36, 36), (24, 24), (37_500.0, 37_500.0)),
    ],
)
def test_cells_are_those_of_the_data_after_the_resize(tmp_path, grid, shape, edges_m):
    data = _germany(_write(tmp_path / "event.nc", grid), height=shape[0], width=shape[1])
    assert data.edges_m == pytest.approx(edges_m, rel=1e-6)
    assert data.pixel_m == pytest.approx(mean_edge_m(*edges_m), rel=1e-6)
    assert _germany(tmp_path, crop=16, pixel_m=15_000.0).pixel_m == 15_000.0  # crops have the cells of the option


def test_files_of_two_cell_sizes_are_refused_by_size_unless_on_crops(tmp_path, caplog):
    for name, grid in (("a", RADOLAN_900), ("b", RADOLAN_900), ("radklim", RADOLAN_1100)):
        _write(tmp_path / f"{name}.nc", grid.resized(36, 36))
    with pytest.raises(ConfigError, match=r"75000 x 75000 m in a\.nc and 1 more; 91667 x 75000 m in radklim\.nc"):
        _germany(tmp_path, height=12, width=12)
    assert _germany(tmp_path, height=12, width=12, exclude=("radklim",)).edges_m == pytest.approx((75_000.0, 75_000.0))
    assert len(_germany(tmp_path, "test", height=12, width=12, crop=8))
    assert "cells of the test split are taken as" in caplog.text


def test_crops_of_flat_cells_are_square_in_metres(tmp_path):
    grid = RADOLAN_900.resized(90, 45)  # 10 x 20 km
    rate_mmh_THW = np.ones((24, *grid.shape), np.float32) * np.arange(45, dtype=np.float32)
    times = [START + timedelta(minutes=30 * k) for k in range(24)]
    cf.write_dataset(cf.rate_dataset(rate_mmh_THW.astype(np.float32), times, grid), tmp_path / "event.nc")
    crop = _germany(tmp_path, crop=20, pixel_m=40_000.0, scale_jitter=0.0)[0].past_TCHW[0, 0].numpy()
    seen = crop[np.isfinite(crop)]
    steps = [abs(np.nanmedian(np.diff(crop, axis=axis))) for axis in (0, 1)]
    assert max(steps) == pytest.approx(2.0)  # columns of 20 km become cells of 40 km, whatever the orientation
    assert seen.size


def test_a_trained_model_is_served_on_the_cells_of_its_data(tmp_path):
    grid = RADOLAN_1100.resized(44, 48)  # 25 x 18.75 km
    event = _write(tmp_path / "event.nc", grid)
    sets = [part for one in (*SMALL, "height=22", "width=24") for part in ("--set", one)]
    given = ["--dataset", "germany", "--data", str(event), "--out", str(tmp_path / "run"), "--max-steps", "2", *sets]
    result = CliRunner().invoke(run.app, given)
    assert result.exit_code == 0, result.output
    checkpoint = tmp_path / "run" / "checkpoint"
    card = read_card(checkpoint)
    assert (card["pixel_y_m"], card["pixel_x_m"]) == pytest.approx((50_000.0, 37_500.0), rel=1e-6)
    assert card["pixel_m"] == pytest.approx(np.sqrt(50_000.0 * 37_500.0), rel=1e-6)
    forecaster = load_forecaster(str(checkpoint))
    assert forecaster.cell_edges == CellEdges(card["pixel_y_m"], card["pixel_x_m"], 22)
    assert served_models(tmp_path / "run")[0].pixel_m == forecaster.cell_edges

    window = build_window(read_frames(event), steps=2, cadence_minutes=30)
    served = model_input(window, forecaster.cell_edges, (30, 60))
    assert served.grid.shape == (22, 24)
    assert served.grid.same_place(grid.resized(22, 24))
    lon_HW, lat_HW = grid.lon_lat_HW()
    cell = served.grid.cell_of(float(lat_HW[10, 30]), float(lon_HW[10, 30]))
    assert cell == (5, 15)
    assert np.nanargmax(served.rate_mmh_THW[-1]) == 5 * 24 + 15

    predict(event, tmp_path / "forecast.nc", forecaster, lead_steps=2)
    with xr.open_dataset(tmp_path / "forecast.nc") as dataset:
        assert (dataset.sizes["y"], dataset.sizes["x"]) == (22, 24)


def test_a_model_of_few_cells_runs_on_a_full_composite_with_its_own():
    assert model_grid(RADOLAN_900, CellEdges(37_500.0, 37_500.0, 24)).shape == (24, 24)
    assert model_grid(RADOLAN_1100, CellEdges(1_100_000 / 124, 900_000 / 124)).shape == (124, 124)
    assert model_grid(DE1200, CellEdges(1_100_000 / 124, 900_000 / 124)).shape == (135, 152)
    frame = RadarFrame(START, RADOLAN_900, np.zeros((900, 900), np.float32), "RY")
    assert model_input(build_window([frame], steps=1), 7258.0, (30,)).grid.shape == (124, 124)


def test_cards_state_both_edges_or_the_one_of_square_cells():
    assert edges_of_card({"pixel_m": 7258.0}) is None
    assert edges_of_card({"pixel_m": 0.0, "pixel_y_m": 0.0, "pixel_x_m": 0.0}) is None  # images
    both = {"pixel_y_m": 2000.0, "pixel_x_m": 1000.0, "grid": {"height": 24, "width": None}}
    assert edges_of_card(both) == CellEdges(2000.0, 1000.0, 24)
    with pytest.raises(InputError, match="expected both pixel_y_m and pixel_x_m, got only pixel_y_m"):
        edges_of_card({"pixel_y_m": 2000.0})
    with pytest.raises(InputError, match="pixel_x_m: expected a positive size in metres, got -1"):
        edges_of_card(json.loads('{"pixel_y_m": 1.0, "pixel_x_m": -1.0}'))


@pytest.mark.parametrize("truncated", [0, 1])
def test_windows_run_over_midnight_and_over_files_with_times_cut_by_a_second(tmp_path, truncated):
    grid = RADOLAN_900.resized(24, 24)
    for day in range(2):  # 22:00 to 23:30, and 00:00 to 01:30 of the next day
        times = [datetime(2020, 6, 1, 22, tzinfo=UTC) + timedelta(minutes=30 * (4 * day + k)) for k in range(4)]
        cut = [time - timedelta(seconds=truncated * (k % 2)) for k, time in enumerate(times)]
        rate_mmh_THW = (
            np.ones((4, 24, 24), np.float32) * np.arange(4 * day, 4 * day + 4, dtype=np.float32)[:, None, None]
        )
        cf.write_dataset(cf.rate_dataset(rate_mmh_THW, cut, grid), tmp_path / f"day{day}.nc")
    data = _germany(tmp_path, "test", height=12, width=12)
    assert len(data) == 5
    assert [float(x) for x in data[2].past_TCHW[:, 0, 0, 0]] == [2.0, 3.0]
    assert [float(x) for x in data[2].future_TCHW[:, 0, 0, 0]] == [4.0, 5.0]
    assert [one["file"] for one in data.fingerprint["files"]] == ["day0.nc", "day1.nc"]
    frames = [frame for day in range(2) for frame in read_frames(tmp_path / f"day{day}.nc")]
    window = build_window(frames, steps=6, cadence_minutes=30, tolerance_minutes=0, strict=True)
    assert (window.status, window.notes) == ("ok", ())
    assert [float(x) for x in window.rate_mmh_THW[:, 0, 0]] == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


def test_files_of_other_grids_or_far_apart_are_not_joined(tmp_path):
    for name, grid, hours in (("a", RADOLAN_900, 0), ("b", RADOLAN_1100, 12), ("c", RADOLAN_900, 30)):
        times = [START + timedelta(hours=hours, minutes=30 * k) for k in range(24)]
        rate_mmh_THW = np.ones((24, 36, 36), np.float32)
        cf.write_dataset(cf.rate_dataset(rate_mmh_THW, times, grid.resized(36, 36)), tmp_path / f"{name}.nc")
    assert [one.path.name for one in join_in_time(find_series(tmp_path))] == ["a.nc", "b.nc", "c.nc"]


def test_a_field_that_two_files_share_is_taken_once(tmp_path):
    for day, first in enumerate((0, 3)):  # the last field of a day is the first one of the next
        times = [START + timedelta(minutes=30 * (first + k)) for k in range(4)]
        rate_mmh_THW = np.ones((4, 24, 24), np.float32) * (10 * day + np.arange(4, dtype=np.float32))[:, None, None]
        cf.write_dataset(cf.rate_dataset(rate_mmh_THW, times, RADOLAN_900.resized(24, 24)), tmp_path / f"{day}.nc")
    (series,) = join_in_time(find_series(tmp_path))
    assert np.diff(series.minutes).tolist() == [30] * 6
    expected = [0.0, 1.0, 2.0, 3.0, 11.0, 12.0, 13.0]
    for first, end in ((0, 7), (3, 5), (4, 5), (2, 4)):
        assert series.fields_mmh(slice(first, end))[:, 0, 0].tolist() == expected[first:end]
