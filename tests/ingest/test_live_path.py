"""Every raw file of the DWD through the live path: each ends where its product says, and the windows are theirs."""

import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ingest.readers import read_frames
from ingest.sources.directory import DirectorySource
from ingest.store.live import Store
from ingest.store.ready import ServedModel
from ingest.windows.regrid import model_grid, onto
from ingest.windows.window import build_window
from ingest.worker.loop import IngestWorker

SEQUENCE = "sequence_ry_20200101"
REFUSED = {
    "raa01-pg_10000-1408102045-dwd---bin.gz": "got PG, which is seven levels of reflectivity",
    "RE2210180700_000.gz": "got RE, which is the solid fraction of precipitation",
    "RE2210180700_060.gz": "got RE, which is the solid fraction of precipitation",
    "RE2210180700_120.gz": "got RE, which is the solid fraction of precipitation",
}
NO_RADAR = {"README.md", "expected_values.json"}
MODELS = [ServedModel("germany", 7258.0, 30, 3), ServedModel("fine", 4000.0, 5, 5)]


@pytest.fixture(scope="module")
def radolan(shared_data) -> Path:
    folder: Path = shared_data / "radolan"
    return folder


@pytest.fixture(scope="module")
def store(radolan, tmp_path_factory) -> Store:
    """The whole folder, taken in at one look of the worker; its files are read-only and stay as they are."""
    store = Store(tmp_path_factory.mktemp("live"))
    IngestWorker(DirectorySource(radolan, grace_s=0), store, list, threading.Event()).run_once()
    return store


def test_each_observation_is_a_scan_with_the_values_of_its_file(store, radolan):
    frames = [
        frame
        for path in radolan.rglob("*")
        if path.is_file() and path.name not in REFUSED | dict.fromkeys(NO_RADAR)
        for frame in read_frames(path)
    ]
    observed = {(frame.product, frame.valid_time): frame for frame in frames if not frame.is_forecast}
    ahead = [frame for frame in frames if frame.is_forecast]
    assert len(observed) == 13 + 24 + 13, "the sequence, the archive of hourly grids, and one each of the other files"
    scans = {(scan.product, scan.valid_time): scan for scan in store.scans()}
    assert scans.keys() == observed.keys()
    for key, scan in scans.items():
        stored = store.load(scan)
        np.testing.assert_array_equal(stored.rate_mmh_HW, observed[key].rate_mmh_HW)
        assert (stored.grid, stored.missing_radars) == (observed[key].grid, observed[key].missing_radars)
    apart = [path.name for path in (store.home / "others").rglob("*.nc")]
    assert sorted(apart) == sorted(
        f"{frame.product}_{frame.reference_time:%Y%m%dT%H%MZ}_{frame.lead_minutes:03d}.nc" for frame in ahead
    )
    assert len(ahead) == 2


def test_what_is_no_rain_is_refused_with_the_reason(store):
    reasons = {
        path.name.split("_", 1)[1].removesuffix(".reason.txt"): path.read_text()
        for path in (store.home / "quarantine").glob("*.reason.txt")
    }
    assert reasons.keys() == REFUSED.keys() | NO_RADAR
    for name, reason in REFUSED.items():
        assert reason in reasons[name]
        assert "RY, RZ, YW" in reasons[name], "and names what was expected"
    assert store.ingest_status().rejected == {"product": 4, "foreign": 2}


def test_after_each_scan_the_windows_are_those_of_the_raw_files(radolan, tmp_path):
    """The sequence as it arrived, scan by scan: the file's tensor is the one made from the raw files themselves."""
    folder = tmp_path / "in"
    folder.mkdir()
    store = Store(tmp_path / "home")
    worker = IngestWorker(DirectorySource(folder), store, lambda: MODELS, threading.Event())
    frames, compared = [], 0
    for path in sorted((radolan / SEQUENCE).glob("*.gz")):
        (folder / path.name).write_bytes(path.read_bytes())
        worker.run_once()
        frames += read_frames(path)
        for model in MODELS:
            ready = store.home / "windows" / model.name / f"{frames[-1].valid_time:%Y%m%dT%H%MZ}.safetensors"
            if len(frames) < 1 + (model.steps - 1) * model.cadence_minutes // 5:
                continue
            window = build_window(frames, steps=model.steps, cadence_minutes=model.cadence_minutes)
            grid = model_grid(window.grid, model.pixel_m)
            (attributes,) = load_file(ready).items()
            assert attributes[0] == "frames"
            assert (attributes[1].dtype, attributes[1].shape) == (np.float32, (1, model.steps, 1, *grid.shape))
            np.testing.assert_array_equal(attributes[1][0, :, 0], onto(window.rate_mmh_THW, window.grid, grid))
            compared += 1
    assert compared == 1 + 9
    (product,) = store.ingest_status().products
    assert (product.gaps, product.missing_radars, product.frozen, product.implausible) == ((), (), False, None)
