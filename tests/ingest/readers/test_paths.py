"""Files and folders are taken as text too, wherever Python code passes them."""

from datetime import UTC, datetime

from ingest.archive.build import build_archive
from ingest.archive.inspect import inspect_archive
from ingest.archive.settings import archive_settings
from ingest.export import export_odim
from ingest.readers import read_frames
from ingest.synthetic import write_weather
from training.datasets.series import find_series


def test_a_path_may_be_text(tmp_path):
    scans = str(tmp_path / "scans")
    written = write_weather(scans, datetime(2026, 6, 1, tzinfo=UTC), hours=0)
    (frame,) = read_frames(str(written[0]))
    (exported,) = export_odim(str(written[0]), str(tmp_path / "out"))
    assert read_frames(str(exported))[0].valid_time == frame.valid_time
    build_archive(scans, str(tmp_path / "all.zarr"), archive_settings())
    assert inspect_archive(str(tmp_path / "all.zarr")).report["fields"] == 1
    assert len(find_series(str(tmp_path / "all.zarr"))[0].minutes) == 1
