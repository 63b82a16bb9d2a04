"""Archives of 900 x 900 fields pass MLCast's own validator and load in its own data set class, and in our trainer."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ingest.archive.build import build_archive
from ingest.archive.settings import archive_settings
from ingest.readers import read_frames
from tests.ingest.archive.sources import STEP, ry_scan

THREE_YEARS = "Minimum 3-year coverage"


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> dict[str, Path]:
    """Eleven fields with a gap, and the same with one more, three years on."""
    folder = tmp_path_factory.mktemp("specification")
    first = datetime(2021, 3, 1, tzinfo=UTC)
    paths = {}
    for name in ("short", "sparse"):
        source = folder / name
        source.mkdir()
        scans = [ry_scan(number, start=first) for number in range(12) if number != 10]
        if name == "sparse":
            scans.append(ry_scan(0, start=datetime(2024, 3, 2, tzinfo=UTC)))
        for file, content, _ in scans:
            (source / file).write_bytes(content)
        paths[name] = build_archive(source, folder / f"{name}.zarr", archive_settings()).archive
    return paths


def failed_checks(path: Path, monkeypatch) -> list[str]:
    validator = pytest.importorskip("mlcast_dataset_validator.specs.source_data.radar_precipitation")
    requests = pytest.importorskip("requests")

    def no_network(*_: object, **__: object) -> None:
        raise requests.ConnectionError("no network in tests")

    monkeypatch.setattr(requests, "get", no_network)
    with xr.open_zarr(path) as dataset:
        report, _ = validator.validate_dataset(dataset)
    assert len(report.results) > 30
    return [result.requirement for result in report.results if result.status == "FAIL"]


def test_a_short_archive_fails_the_three_year_rule_alone(archives, monkeypatch):
    assert failed_checks(archives["short"], monkeypatch) == [THREE_YEARS]


def test_a_sparse_archive_of_three_years_fails_nothing(archives, monkeypatch):
    assert failed_checks(archives["sparse"], monkeypatch) == []


@pytest.mark.filterwarnings("ignore:Assuming we can use the same function")
def test_mlcast_s_own_data_set_class_loads_it(archives):
    datasets = pytest.importorskip("mlcast.data.source_data_datasets")
    data = datasets.SourceDataRandomSamplingDataset(
        str(archives["short"]),
        ["rainfall_flux"],
        4,
        4,
        return_mask=True,
        deterministic=True,
        epoch_size=2,
        width=900,
        height=900,
    )
    sample = data[0]
    assert sample["input"].shape == (4, 1, 900, 900)
    assert float(sample["target_mask"].mean()) == pytest.approx(1 - 9 / 900)


def test_our_trainer_reads_the_same_fields_as_the_readers(archives):
    series = pytest.importorskip("training.datasets.series")
    one = series.open_series(archives["short"])
    assert one.shape == (900, 900)
    assert np.diff(one.minutes).tolist() == [5] * 9 + [10]
    assert len(one.window_starts(10, 5)) == 1
    scan = ry_scan(11, start=datetime(2021, 3, 1, tzinfo=UTC))
    np.testing.assert_array_equal(one.field_mmh(10), read_frames(scan[1], name=scan[0])[0].rate_mmh_HW)
    assert one.minutes[10] * 60 == (datetime(2021, 3, 1, tzinfo=UTC) + 11 * STEP).timestamp()
