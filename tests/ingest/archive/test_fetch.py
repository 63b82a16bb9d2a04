"""Fetching from a server on the loopback that is laid out as the originals, with all their trouble."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from typer.testing import CliRunner

from core.errors import ConfigError, NoDataError, UnavailableError
from ingest.archive.__main__ import app
from ingest.archive.build import build_archive
from ingest.archive.download import MAX_FAILURES, Downloader
from ingest.archive.fetch import fetch_dataset, parse_years
from ingest.archive.partial import RemoteFile
from ingest.archive.settings import archive_settings
from tests.ingest.archive.sources import START, ry_scan, small_rates, tar_bytes, write_event

TREE = "/CDC/grids_germany/5_minutes/radolan"
CONTENT = bytes(range(256)) * 40


class Waits(list[float]):
    """The requested waits, none of which happens."""


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def downloader(waits):
    one = Downloader("test", wait=waits.append, jitter=lambda: 0.5)
    yield one
    one.close()


def settings_of(server, tmp_path: Path):
    over = {
        "radolan-ry": {"root": f"{server.url}{TREE}"},
        "radolan-yw": {"root": f"{server.url}{TREE}"},
        "radklim-yw": {"root": f"{server.url}{TREE}/reproc/2017_002/bin"},
        "radklim-yw-netcdf": {"root": f"{server.url}{TREE}/reproc/2017_002/netCDF"},
        "rydl": {"root": f"{server.url}/api/records/3629951"},
        "mlcast-radklim": {"root": f"{server.url}/bucket/radklim/v0.1.1/5_minutes.zarr"},
    }
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "settings.yaml"
    path.write_text(json.dumps({"fetch": over}))
    return path


def run(server, tmp_path: Path, downloader, dataset: str, years: str, *, agree: bool = True) -> str:
    questions: list[str] = []

    def agreed(what: str) -> bool:
        questions.append(what)
        return agree

    fetch_settings = archive_settings(settings_of(server, tmp_path)).fetch
    assert fetch_dataset(dataset, parse_years(years), tmp_path / "out", fetch_settings, downloader, agreed) is agree
    return questions[0]


def listing(*names: str) -> bytes:
    lines = [f'<a href="{name}">{name}</a>  05-Mar-2022 10:11  10240' for name in names]
    return ("<html><body><pre><a href='../'>../</a>\n" + "\n".join(lines) + "</pre></body></html>").encode()


def radklim(server) -> str:
    folder = f"{TREE}/reproc/2017_002/bin"
    day = tar_bytes({name: content for name, content, _ in (ry_scan(0), ry_scan(1))}, "w:gz")
    for year, month in ((2005, "200512"), (2006, "200601"), (2006, "200602"), (2007, "200701")):
        server.files[f"{folder}/{year}/YW2017.002_{month}.tar"] = tar_bytes({f"YW2017.002_{month}01.tar.gz": day})
    server.pages[f"{folder}/2006/"] = listing("YW2017.002_200601.tar", "YW2017.002_200602.tar", "README.pdf")
    server.pages[f"{folder}/2007/"] = listing("YW2017.002_200701.tar")
    return folder


def test_months_of_dwd_s_tree_come_once_and_the_archive_builds_from_them(server, tmp_path, downloader):
    folder = radklim(server)
    question = run(server, tmp_path, downloader, "radklim-yw", "2006-2007")
    size = sum(len(content) for path, content in server.files.items() if "2005" not in path)
    assert question.startswith("radklim-yw: 3 of 3 files to fetch")
    assert f"{size / 1000:.1f} kB" in question
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["YW2017.002_200601.tar", "YW2017.002_200602.tar", "YW2017.002_200701.tar"]
    assert run(server, tmp_path, downloader, "radklim-yw", "2006-2007").startswith("radklim-yw: 0 of 3 files")
    assert len(server.gets(f"{folder}/2006/YW2017.002_200601.tar")) == 1
    report = build_archive(tmp_path / "out", tmp_path / "a.zarr", archive_settings()).report
    assert (report["fields"], report["duplicate_count"]) == (2, 2)


def offer(server, folder: str, *names: str) -> None:
    for name in names:
        server.files[f"{folder}/{name}"] = CONTENT
    server.pages[f"{folder}/"] = listing(*names)


def fetched(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "out").iterdir())


def test_ry_is_in_monthly_and_recent_daily_folders_and_yw_is_not_ry(server, tmp_path, downloader):
    offer(server, f"{TREE}/historical/bin/2023", "RY-202301.tar", "YW-202301.tar")
    offer(server, f"{TREE}/recent", "YW-231231.tar.gz", "YW-240101.tar.gz", "RY-231230.tar.gz")
    run(server, tmp_path, downloader, "radolan-ry", "2023")
    assert fetched(tmp_path) == ["RY-202301.tar", "RY-231230.tar.gz"]
    run(server, tmp_path / "yw", downloader, "radolan-yw", "2023")
    assert fetched(tmp_path / "yw") == ["YW-202301.tar", "YW-231231.tar.gz"]
    with pytest.raises(NoDataError, match="no file of 2024"):
        run(server, tmp_path, downloader, "radolan-ry", "2024")


def test_years_of_radklim_s_netcdf_come_with_2021_from_the_supplement_alone(server, tmp_path, downloader):
    root = f"{TREE}/reproc/2017_002/netCDF"
    for year in (2020, 2021, 2022):
        offer(server, f"{root}/{year}", f"YW2017.002_{year}_netcdf.tar.gz", "readme.txt")
    with pytest.raises(NoDataError, match="corrected files of 2021"):
        run(server, tmp_path, downloader, "radklim-yw-netcdf", "2020-2022")
    offer(
        server, f"{root}/supplement", "YW2017.002_2021_netcdf_supplement.tar.gz", "YW2017.002_2021_asc_supplement.tar"
    )
    run(server, tmp_path, downloader, "radklim-yw-netcdf", "2020-2022")
    corrected = "YW2017.002_2021_netcdf_supplement.tar.gz"
    assert fetched(tmp_path) == ["YW2017.002_2020_netcdf.tar.gz", corrected, "YW2017.002_2022_netcdf.tar.gz"]
    assert server.gets(f"{root}/2021/") == []


@pytest.mark.parametrize("name", ["YW2017.002_2021_supplement.tar.gz", "YW2017.002_202107.tar"])
def test_binary_radklim_of_2021_comes_from_the_supplement_alone(server, tmp_path, downloader, name):
    root = f"{TREE}/reproc/2017_002/bin"
    offer(server, f"{root}/2021", "YW2017.002_202107.tar", "YW2017.002_202108.tar")
    offer(server, f"{root}/supplement", name)
    run(server, tmp_path, downloader, "radklim-yw", "2021")
    assert fetched(tmp_path) == [name]
    assert len(server.gets(f"{root}/supplement/{name}")) == 1


def test_a_record_that_names_files_of_another_host_is_refused(server, tmp_path, downloader):
    link = {"key": "RYDL.hdf5", "size": 1, "checksum": "md5:0", "links": {"self": "http://elsewhere.test/RYDL.hdf5"}}
    server.files["/api/records/3629951"] = json.dumps({"files": [link]}).encode()
    with pytest.raises(UnavailableError, match=r"same host, got http://elsewhere\.test"):
        run(server, tmp_path, downloader, "rydl", "2012")


def test_nothing_is_fetched_without_agreement_and_nothing_there_is_an_error(server, tmp_path, downloader):
    folder = radklim(server)
    run(server, tmp_path, downloader, "radklim-yw", "2006", agree=False)
    assert not server.gets(f"{folder}/2006/YW2017.002_200601.tar")
    with pytest.raises(NoDataError, match="no file of 1999 to 1999"):
        run(server, tmp_path, downloader, "radklim-yw", "1999")


def test_a_cut_connection_is_taken_up_where_it_broke(server, tmp_path, downloader, waits):
    server.files["/f"], server.trouble["/f"] = CONTENT, ["cut", 503, "cut"]
    counts: list[int] = []
    downloader.fetch(RemoteFile(f"{server.url}/f", tmp_path / "f", len(CONTENT)), counts.append)
    assert (tmp_path / "f").read_bytes() == CONTENT
    ranges = [headers.get("Range") for headers in server.gets("/f")]
    half, quarter = len(CONTENT) // 2, len(CONTENT) // 4
    assert ranges == [None, f"bytes={half}-", f"bytes={half}-", f"bytes={half + quarter}-"]
    assert sum(counts) == len(CONTENT)
    assert waits == [2.0, 4.0, 2.0]
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_restart_resumes_and_a_changed_file_restarts(server, tmp_path, downloader):
    for content, etag, restarted_at in ((CONTENT, '"one"', len(CONTENT) // 2), (CONTENT[::-1], '"two"', None)):
        (tmp_path / "f").unlink(missing_ok=True)
        server.asked.clear()
        server.files["/f"], server.etags["/f"] = CONTENT, '"one"'
        server.trouble["/f"] = ["cut", *[500] * (MAX_FAILURES + 1)]
        file = RemoteFile(f"{server.url}/f", tmp_path / "f")
        with pytest.raises(UnavailableError, match="failures in a row"):
            downloader.fetch(file)
        server.files["/f"], server.etags["/f"], server.trouble["/f"] = content, etag, []
        downloader.fetch(file)
        assert file.path.read_bytes() == content
        assert server.gets("/f")[-1]["Range"] == f"bytes={len(CONTENT) // 2}-"
        assert (restarted_at is None) == (content != CONTENT)


def test_retry_after_is_honoured(server, tmp_path, downloader, waits):
    server.files["/f"], server.trouble["/f"] = CONTENT, [429, 500, 500]
    downloader.fetch(RemoteFile(f"{server.url}/f", tmp_path / "f"))
    assert waits == [7.0, 4.0, 8.0]
    assert {headers["User-Agent"] for headers in server.gets("/f")} == {"test"}


def test_other_bytes_than_the_source_states_are_never_kept(server, tmp_path, downloader):
    server.files["/f"] = CONTENT
    with pytest.raises(UnavailableError, match="MD5"):
        downloader.fetch(RemoteFile(f"{server.url}/f", tmp_path / "f", md5="0" * 32))
    with pytest.raises(UnavailableError, match="expected 17 bytes, got"):
        downloader.fetch(RemoteFile(f"{server.url}/f", tmp_path / "f", size_bytes=17))
    with pytest.raises(NoDataError, match="404"):
        downloader.fetch(RemoteFile(f"{server.url}/g", tmp_path / "g"))
    server.etags["/f"] = f'"{hashlib.md5(b"other").hexdigest()}"'
    with pytest.raises(UnavailableError, match="MD5"):
        downloader.fetch(RemoteFile(f"{server.url}/f", tmp_path / "f"))
    assert not list(tmp_path.iterdir())


def test_rydl_is_checked_by_the_records_size_and_checksum(server, tmp_path, downloader):
    server.files["/api/files/RYDL.hdf5"] = CONTENT
    entry = {
        "key": "RYDL.hdf5",
        "size": len(CONTENT),
        "checksum": f"md5:{hashlib.md5(CONTENT).hexdigest()}",
        "links": {"self": f"{server.url}/api/files/RYDL.hdf5"},
    }
    server.pages["/api/records/3629951"] = json.dumps({"files": [entry]}).encode()
    assert "10.2 kB" in run(server, tmp_path, downloader, "rydl", "2006-2017")
    assert (tmp_path / "out" / "RYDL.hdf5").read_bytes() == CONTENT
    server.pages["/api/records/3629951"] = b"<html>sorry</html>"
    with pytest.raises(UnavailableError, match="expected a record of files"):
        run(server, tmp_path, downloader, "rydl", "2006")


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize(("zarr_format", "step"), [(2, 1), (2, 4), (3, 3)])
def test_some_years_of_a_public_zarr_store_come_as_a_store(server, tmp_path, downloader, zarr_format, step):
    store, rate_mmh_THW = public_store(tmp_path, zarr_format, step)
    for path in store.rglob("*"):
        if path.is_file():
            server.files[f"/bucket/radklim/v0.1.1/5_minutes.zarr/{path.relative_to(store)}"] = path.read_bytes()
    server.etags |= {path: f'"{hashlib.md5(content).hexdigest()}"' for path, content in server.files.items()}
    trouble = next(path for path in server.files if "rainfall_rate/" in path and path[-1].isdecimal())
    server.trouble[trouble] = ["cut", 500]
    question = run(server, tmp_path, downloader, "mlcast-radklim", "2024")
    assert "about" in question
    with xr.open_zarr(tmp_path / "out" / "5_minutes_2024-2024.zarr", chunks=None) as copy:
        years = copy["time"].dt.year.values
        there = np.flatnonzero(years == 2024)
        np.testing.assert_array_equal(copy["rainfall_rate"].values[there], rate_mmh_THW[4:])
        assert len(years) - len(there) < step
        assert (copy["missing_times"].values >= copy["time"].values[0]).all()
        assert copy.attrs["product"] == "TEST"
        assert copy["lat"].shape == rate_mmh_THW.shape[1:]
    requests = len(server.asked)
    run(server, tmp_path, downloader, "mlcast-radklim", "2024")
    assert len(server.asked) == requests


def public_store(tmp_path: Path, zarr_format: int, step: int) -> tuple[Path, np.ndarray]:
    """Four fields of 2023, seven of 2024, in chunks of `step` fields."""
    rate_mmh_THW = small_rates(11)
    write_event(tmp_path / "in" / "a.nc", rate_mmh_THW[:4], START.replace(year=2023))
    write_event(tmp_path / "in" / "b.nc", rate_mmh_THW[4:], START)
    built = build_archive(tmp_path / "in", tmp_path / "built.zarr", archive_settings()).archive
    store = tmp_path / "public.zarr"
    with xr.open_zarr(built, chunks=None) as dataset:
        chunks = {"rainfall_rate": {"chunks": (step, *rate_mmh_THW.shape[1:])}}
        dataset.load().drop_encoding().to_zarr(store, zarr_format=zarr_format, encoding=chunks, consolidated=True)
    shutil.rmtree(built)
    assert zarr.open_group(str(store), mode="r").metadata.zarr_format == zarr_format
    return store, rate_mmh_THW


def test_the_command_asks_for_agreement_and_prints_errors_in_one_line(server, tmp_path):
    radklim(server)
    arguments = ["fetch", "--dataset", "radklim-yw", "--out", str(tmp_path / "out")]
    arguments += ["--settings", str(settings_of(server, tmp_path))]
    result = CliRunner().invoke(app, [*arguments, "--years", "2006"], input="n\n")
    assert result.exit_code == 0
    assert "2 of 2 files to fetch" in result.output
    assert not (tmp_path / "out").exists()
    result = CliRunner().invoke(app, [*arguments, "--years", "2006", "--yes"])
    assert result.exit_code == 0
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert CliRunner().invoke(app, [*arguments, "--years", "2006-1999"]).exit_code == 2
    (tmp_path / "wrong.yaml").write_text("fetch: {rydl: {rot: x}}")
    with pytest.raises(ConfigError, match="rot"):
        archive_settings(tmp_path / "wrong.yaml")
