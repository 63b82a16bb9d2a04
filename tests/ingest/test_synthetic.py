"""Invented RADOLAN weather: the bytes are DWD's, the rain looks like rain, and a frame depends on seed and time."""

import bz2
import gzip
import io
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import wradlib
import xarray as xr
from typer import Typer
from typer.testing import CliRunner

from core.errors import FrameError, InputError
from core.grid import RADOLAN_900
from ingest.radar_sites import DWD_RADARS, coverage_HW
from ingest.readers import read_frames
from ingest.synthetic import main, weather, write_ry, write_weather
from ingest.windows.regrid import bilinear
from ingest.writers.radolan import ry_bytes, ry_file_name
from tests.waiting import PATIENCE_S

T0 = datetime(2026, 6, 1, 12, tzinfo=UTC)


def csi(forecast_HW, observed_HW, threshold_mmh):
    seen_HW = np.isfinite(forecast_HW) & np.isfinite(observed_HW)
    forecast, observed = forecast_HW[seen_HW] >= threshold_mmh, observed_HW[seen_HW] >= threshold_mmh
    return (forecast & observed).sum() / (forecast | observed).sum()


def real_ry_files(shared_data):
    folder = shared_data / "radolan"
    return [*folder.glob("raa01-ry_*"), *sorted(folder.glob("sequence_ry_20200101/*"))[:2]]


def test_a_real_file_is_written_again_byte_for_byte(shared_data):
    files = real_ry_files(shared_data)
    assert len(files) == 4
    for path in files:
        original = (bz2 if path.suffix == ".bz2" else gzip).decompress(path.read_bytes())
        depth_mm_HW, header = wradlib.io.read_radolan_composite(str(path), missing=np.nan)
        again = ry_bytes(
            (depth_mm_HW[::-1] * 12).astype(np.float32),
            header["datetime"].replace(tzinfo=UTC),
            radars=header["radarlocations"],
            software=header["radolanversion"].strip(),
        )
        assert again == original, path.name


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])
def test_wradlib_reads_back_what_was_written(tmp_path, suffix):
    rng = np.random.default_rng(1)
    counts_HW = rng.integers(0, 4096, RADOLAN_900.shape)
    rate_mmh_HW = np.where(rng.random(RADOLAN_900.shape) < 0.1, np.nan, counts_HW * 0.12).astype(np.float32)
    path = tmp_path / f"ry{suffix}"
    write_ry(path, rate_mmh_HW, T0 + timedelta(minutes=35), radars=("boo", "mem"))
    depth_mm_HW, header = wradlib.io.read_radolan_composite(str(path), missing=np.nan)
    np.testing.assert_array_equal(np.isnan(depth_mm_HW[::-1]), np.isnan(rate_mmh_HW))
    seen_HW = np.isfinite(rate_mmh_HW)
    np.testing.assert_array_equal(np.rint(depth_mm_HW[::-1][seen_HW] * 100), counts_HW[seen_HW])
    assert header["datetime"].replace(tzinfo=UTC) == T0 + timedelta(minutes=35)
    assert (header["producttype"], header["radarlocations"], header["intervalseconds"]) == ("RY", ["boo", "mem"], 300)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_an_open_file_gets_the_plain_bytes():
    dry_HW = np.zeros(RADOLAN_900.shape, np.float32)
    buffer = io.BytesIO()
    write_ry(buffer, dry_HW, T0)
    assert buffer.getvalue() == ry_bytes(dry_HW, T0)
    assert buffer.getvalue().startswith(
        b"RY011200100000626BY1620142VS 3SW   2.29.1PR E-02INT   5GP 900x 900MS 70<asb,boo,"
    )


def test_values_beyond_the_format_are_capped_or_refused():
    dry_HW = np.zeros(RADOLAN_900.shape, np.float32)
    extreme_HW = dry_HW.copy()
    extreme_HW[0, 0], extreme_HW[0, 1] = 1e5, np.inf
    north_west = np.frombuffer(ry_bytes(extreme_HW, T0)[-1800:], "<u2")
    assert north_west[:3].tolist() == [4095, 4095, 0]
    for field_HW, time, message in (
        (dry_HW - 1, T0, "0 mm/h or more"),
        (dry_HW[:10], T0, "900, 900"),
        (dry_HW, T0 + timedelta(seconds=1), "whole minute"),
        (dry_HW, T0.replace(tzinfo=None), "aware time"),
    ):
        with pytest.raises(FrameError, match=message):
            ry_bytes(field_HW, time)
    with pytest.raises(FrameError, match="at most 9"):
        ry_bytes(dry_HW, T0, software="10.100.1000")


def test_the_radar_table_is_dwds_and_covers_what_a_real_composite_covers(shared_data):
    from wradlib.io.radolan import dwdlocs

    assert {site: (place["lat"], place["lon"]) for site, place in dwdlocs.items()} == dict(DWD_RADARS)
    path = real_ry_files(shared_data)[-1]
    seen_HW = np.isfinite(wradlib.io.read_radolan_composite(str(path), missing=np.nan)[0][::-1])
    assert (coverage_HW(RADOLAN_900) == seen_HW).mean() > 0.999


@pytest.fixture(scope="module")
def days():
    """Three seeds, each with six frames 30 minutes apart."""
    return {seed: list(weather(T0 + timedelta(hours=5 * seed), 2.5, seed, 30)) for seed in (0, 1, 2)}


def test_frames_are_ry_frames_in_whole_counts(days):
    frames = days[1]
    assert [each.valid_time for each in frames] == [T0 + timedelta(minutes=300 + 30 * step) for step in range(6)]
    for each in frames:
        assert (each.grid, each.product, each.interval_minutes, each.lead_minutes) == (RADOLAN_900, "RY", 5.0, 0)
        np.testing.assert_array_equal(np.isfinite(each.rate_mmh_HW), coverage_HW(RADOLAN_900))
        counts = each.rate_mmh_HW[coverage_HW(RADOLAN_900)] / 0.12
        assert counts.min() == 0
        np.testing.assert_allclose(counts, np.rint(counts), rtol=1e-5)


def test_a_frame_depends_on_its_seed_and_time_alone(days):
    (alone,) = weather(days[0][3].valid_time, 0, 0)
    np.testing.assert_array_equal(alone.rate_mmh_HW, days[0][3].rate_mmh_HW)
    (other,) = weather(days[0][3].valid_time, 0, 7)
    assert csi(alone.rate_mmh_HW, other.rate_mmh_HW, 0.5) < 0.3


def test_five_minutes_change_little(days):
    before, after = weather(T0, 5 / 60, 0)
    assert csi(before.rate_mmh_HW, after.rate_mmh_HW, 0.5) > 0.7


def test_invented_rain_is_like_a_real_event(days, shared_data):
    with xr.open_dataset(shared_data / "events" / "opera_germany_20180824.nc") as event:
        real_mmh_THW = event["precipitation_rate"].values[::2, ::-1].astype(np.float32)
    real_wet = real_mmh_THW[real_mmh_THW > 0.1]
    real_fraction = real_wet.size / np.isfinite(real_mmh_THW).sum()
    real_csi = pooled_persistence(real_mmh_THW)
    assert 0.2 < real_csi < 0.7  # the yardstick itself
    for frames in days.values():
        rate_mmh_THW = np.stack([each.rate_mmh_HW for each in frames])
        wet = rate_mmh_THW[rate_mmh_THW > 0.1]
        fraction = wet.size / np.isfinite(rate_mmh_THW).sum()
        assert 0.1 < fraction < 0.3
        assert 0.5 < fraction / real_fraction < 1.5
        for percent in (50, 95, 99):  # of wet cells; RY of real storms has twice to five times OPERA's smooth values
            assert 1 / 3 < np.percentile(wet, percent) / np.percentile(real_wet, percent) < 5
        assert 15 < wet.max() < 200
        assert 0.2 < pooled_persistence(rate_mmh_THW) < 0.7


def pooled_persistence(rate_mmh_THW):
    """CSI at 0.5 mm/h of each frame for the one 30 minutes later, on the model's grid."""
    model_THW = bilinear(rate_mmh_THW, 124, 124)
    return csi(model_THW[:-1], model_THW[1:], 0.5)


def test_rain_drifts_with_the_wind(days):
    """Some shift of the field by up to 30 km forecasts the next half hour better than no shift."""
    for frames in days.values():
        before, after = bilinear(np.stack([frames[0].rate_mmh_HW, frames[1].rate_mmh_HW]), 225, 225)
        inner = slice(40, -40)
        skill = {
            (down, right): csi(np.roll(before, (down, right), (0, 1))[inner, inner], after[inner, inner], 0.5)
            for down in range(-8, 9, 2)
            for right in range(-8, 9, 2)
        }
        best = max(skill, key=lambda shift: skill[shift])
        assert 10 <= 4 * np.hypot(*best) <= 45
        assert skill[best] > 1.3 * skill[0, 0]


def test_a_radar_that_is_down_leaves_its_cells_unseen():
    (frame,) = weather(T0, 0, 0, radars=[site for site in DWD_RADARS if site != "asb"])
    assert frame.missing_radars == ("asb",)
    cell = RADOLAN_900.cell_of(53.8, 5.3)
    assert cell is not None
    assert coverage_HW(RADOLAN_900)[cell]
    assert np.isnan(frame.rate_mmh_HW[cell])
    assert frame.coverage < coverage_HW(RADOLAN_900).mean()


@pytest.mark.parametrize("bad", [{"hours": -1}, {"step_minutes": 0}, {"seed": -1}, {"radars": ["xyz"]}])
def test_impossible_weather_is_refused(bad):
    with pytest.raises(InputError, match="expected hours and seed"):
        list(weather(**{"start": T0, "hours": 0, **bad}))


def test_files_are_named_as_dwd_does_and_equal_each_time(tmp_path):
    paths = write_weather(tmp_path / "a", T0 - timedelta(minutes=5), 5 / 60, 3)
    assert [path.name for path in paths] == [ry_file_name(T0 - timedelta(minutes=5)), ry_file_name(T0)]
    assert paths[1].name == "raa01-ry_10000-2606011200-dwd---bin.gz"
    (again,) = write_weather(tmp_path / "b", T0, 0, 3)
    assert again.read_bytes() == paths[1].read_bytes()
    assert [frame.provider for frame in read_frames(again)] == [None]  # no one is credited with it
    depth_mm_HW, _ = wradlib.io.read_radolan_composite(str(again), missing=np.nan)
    (frame,) = weather(T0, 0, 3)
    np.testing.assert_allclose(depth_mm_HW[::-1] * 12, frame.rate_mmh_HW, rtol=1e-5)


def test_the_command_writes_files(tmp_path):
    command = [sys.executable, "-m", "ingest.synthetic", "--out", str(tmp_path), "--start", "2026-06-01T12:00Z"]
    done = subprocess.run([*command, "--hours", "0.1"], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert "2 files from 2026-06-01T12:00:00Z" in done.stdout
    assert len(list(tmp_path.glob("raa01-ry_10000-26060112*-dwd---bin.gz"))) == 2


@pytest.mark.parametrize(("start", "message"), [("noon", "a time like"), ("2026-06-01T12:00:30Z", "whole minute")])
def test_the_command_refuses_a_wrong_time(tmp_path, start, message):
    app = Typer(add_completion=False)
    app.command()(main)
    result = CliRunner().invoke(app, ["--out", str(tmp_path), "--start", start, "--hours", "0"])
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
    assert not list(tmp_path.iterdir())
