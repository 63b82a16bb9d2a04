"""Zarr stores of CF rain: versions 2 and 3, as folders and as zip files, through readers, archive and training."""

import io
import json
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import FrameError, TooLargeError
from ingest.archive.build import build_archive
from ingest.archive.settings import archive_settings
from ingest.readers import read_frames
from tests.golden.make_reader_files import zipped
from tests.ingest.archive.sources import read_archive
from tests.ingest.readers.test_cf_layouts import LAYOUTS, MAP_GRID, check, field_THW, on_a_map
from training.datasets.series import open_series

SOME = ("time y x", "x y time", "kilometre", "packed short", "valid_max", "1e20", "float32 days", "amount with bounds")


def store(folder: Path, version: Any, layout: str = "time y x", **options: Any) -> np.ndarray:
    """A store in a layout; its field."""
    field = field_THW(version, MAP_GRID.shape)
    options = {"consolidated": version == 2, **options}
    LAYOUTS[layout](on_a_map(field)).to_zarr(folder, zarr_format=version, **options)
    return field


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("layout", SOME)
def test_folder_and_zip_are_read_back(layout: str, version: int, tmp_path: Path) -> None:
    folder = tmp_path / "rain.zarr"
    field = store(folder, version, layout)
    check(read_frames(folder), field, MAP_GRID)
    content = zipped(folder)
    check(read_frames(content, name="rain.zarr.zip"), field, MAP_GRID)
    (tmp_path / "rain.zarr.zip").write_bytes(content)
    for path in (folder, tmp_path / "rain.zarr.zip"):
        np.testing.assert_allclose(open_series(path).fields_mmh(slice(0, 3)), field, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_may_be_below_a_folder_of_the_zip_file(version: int, tmp_path: Path) -> None:
    field = store(tmp_path / "top" / "rain.zarr", version)
    (tmp_path / "top" / "README.txt").write_text("rain")
    check(read_frames(zipped(tmp_path)), field, MAP_GRID)


@pytest.mark.parametrize("whole", [True, False])
def test_an_archive_is_built_of_a_store(whole: bool, tmp_path: Path) -> None:
    field = store(tmp_path / "in" / "2026" / "rain.zarr", 3)
    source = tmp_path / "in" / "2026" / "rain.zarr" if whole else tmp_path / "in"
    built = build_archive(source, tmp_path / "out.zarr", archive_settings())
    assert built.report["rejected_count"] == 0
    np.testing.assert_allclose(read_archive(built.archive)["rainfall_rate"], field, atol=1e-3)


def test_zeros_are_dry_where_zarr_fills_with_zeros_by_default(tmp_path: Path) -> None:
    field = store(tmp_path / "rain.zarr", 2)
    path = tmp_path / "rain.zarr" / "rain" / ".zarray"
    path.write_text(json.dumps({**json.loads(path.read_text()), "fill_value": 0.0}))
    (tmp_path / "rain.zarr" / ".zmetadata").unlink(missing_ok=True)
    check(read_frames(tmp_path / "rain.zarr"), field, MAP_GRID)


def changed(folder: Path, name: str, **values: Any) -> bytes:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return zipped(folder)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"filters": [{"id": "pickle"}]}, FrameError, "expected known codecs, got pickle"),
        ({"compressor": {"id": "json2"}}, FrameError, "expected known codecs, got json2"),
        ({"shape": [3, 2**20, 2**20]}, TooLargeError, "unpacks to more than the limit"),
        ({"chunks": [3, 2**20, 2**20]}, TooLargeError, "unpacks to more than the limit"),
        ({"chunks": [3]}, FrameError, "Zarr store"),
        ({"dtype": "<f9"}, FrameError, "Zarr store"),
    ],
)
def test_hostile_metadata_are_refused_before_anything_is_decoded(
    values: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    store(tmp_path / "rain.zarr", 2, consolidated=False)
    content = changed(tmp_path / "rain.zarr", "rain/.zarray", **values)
    with pytest.raises(error, match=message):
        read_frames(content)


def test_codecs_within_shards_are_checked(tmp_path: Path) -> None:
    store(tmp_path / "rain.zarr", 3)
    inner = {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "numcodecs.pickle"}]}}
    with pytest.raises(FrameError, match="expected known codecs, got pickle"):
        read_frames(changed(tmp_path / "rain.zarr", "rain/zarr.json", codecs=[inner]))


def test_other_zip_files_and_folders_are_refused_by_name(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("README.txt", "rain")
    with pytest.raises(FrameError, match="a zip archive without a Zarr store"):
        read_frames(content.getvalue())
    with pytest.raises(FrameError, match="expected a file or a Zarr store, got a folder"):
        read_frames(tmp_path)


def test_a_zip_file_is_read_without_another_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox of uploads may start none."""
    field = store(tmp_path / "rain.zarr", 3)
    content = zipped(tmp_path / "rain.zarr")

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError(f"can't start {thread.name}")

    monkeypatch.setattr(threading.Thread, "start", refused)
    check(read_frames(content), field, MAP_GRID)
