"""The live store on small invented fields; the real scans come through in test_pipeline.py."""

import logging
import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from safetensors import safe_open
from sqlalchemy.dialects import postgresql
from sqlalchemy.pool import NullPool, QueuePool

from core.errors import ConfigError, ConflictError, NoDataError, UnavailableError
from core.frame import RadarFrame
from core.grid import RADOLAN_900, RADOLAN_SPHERE, Grid
from core.times import iso
from ingest.store import scanfile
from ingest.store.database import upsert
from ingest.store.index import Index
from ingest.store.live import Store
from ingest.store.locks import write_lock
from ingest.store.shelf import is_worse
from ingest.store.tables import ScanRow
from ingest.windows.regrid import model_grid, onto

T0 = datetime(2024, 7, 1, 12, tzinfo=UTC)
NOW = datetime(2024, 7, 1, 18, 0, 5, tzinfo=UTC)
GRID = Grid(RADOLAN_SPHERE, 0.0, -4_000_000.0, 1000.0, 1000.0, 24, 30, "small")


def frame_at(minutes: float = 0, *, seed: int | None = None, **changes) -> RadarFrame:
    rng = np.random.default_rng(int(minutes * 60) if seed is None else seed)
    grid = changes.get("grid", GRID)
    rate_mmh_HW = rng.gamma(0.3, 4.0, grid.shape).astype(np.float32)
    rate_mmh_HW[:3] = np.nan
    rate_mmh_HW[3:5] = 0.0
    frame = RadarFrame(T0 + timedelta(minutes=minutes), grid, rate_mmh_HW, "RY", missing_radars=("emd", "hnr"))
    return replace(frame, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", clock=lambda: NOW)


def fill(store: Store, *minutes: float, **changes) -> None:
    for minute in minutes:
        store.put(frame_at(minute, **changes))


def test_a_scan_comes_back_as_it_was_put(store):
    frame = frame_at()
    assert store.put(frame) is True
    (scan,) = store.scans()
    back = store.load(scan)
    np.testing.assert_array_equal(back.rate_mmh_HW, frame.rate_mmh_HW)
    assert replace(back, rate_mmh_HW=frame.rate_mmh_HW) == frame
    assert (scan.product, scan.valid_time, scan.received_at) == ("RY", T0, NOW)
    assert scan.coverage == pytest.approx(21 / 24)
    assert scan.missing_radars == ("emd", "hnr")
    assert scan.grid_key == GRID.key
    assert scan.path == store.home / "scans/RY/2024/07/01/RY_20240701T1200Z.nc"


def test_the_file_alone_holds_everything_and_xarray_opens_it(store):
    store.put(frame_at(2.5))
    (scan,) = store.scans()
    assert scan.path.name == "RY_20240701T120230Z.nc"
    with xr.open_dataset(scan.path) as dataset:
        assert dataset["rainfall_rate"].attrs["standard_name"] == "lwe_precipitation_rate"
        assert dataset["time"].values[0] == np.datetime64("2024-07-01T12:02:30")
        attributes = dataset.attrs
    assert attributes["product"] == "RY"
    assert attributes["interval_minutes"] == 5.0
    assert attributes["missing_radars"] == "emd,hnr"
    assert attributes["received_at"] == "2024-07-01T18:00:05Z"
    assert attributes["content_sha256"] == scan.sha256


def test_the_same_content_is_stored_once(store):
    assert store.put(frame_at())
    before = store.scans()
    assert store.put(frame_at(), received_at=NOW + timedelta(hours=1)) is False
    assert store.scans() == before


def test_the_same_content_is_stored_again_where_its_file_is_gone(store):
    assert store.put(frame_at(0))
    store.latest().path.unlink()
    assert store.put(frame_at(0)), "the row alone is no scan"
    assert store.load(store.latest()).valid_time == T0


def test_another_content_of_the_same_time_replaces_and_is_logged(store, caplog):
    store.put(frame_at(seed=1))
    assert store.put(frame_at(seed=2)) is True
    (scan,) = store.scans()
    np.testing.assert_array_equal(store.load(scan).rate_mmh_HW, frame_at(seed=2).rate_mmh_HW)
    assert "another content replaces it" in caplog.text


def test_a_scan_of_another_grid_gives_its_place_to_that_of_the_product(store):
    other = Grid(RADOLAN_SPHERE, 0.0, -4_000_000.0, 1000.0, 1000.0, 12, 15, "other")
    fill(store, 0, 5, 10)
    assert store.put(frame_at(15, grid=other)) is True
    assert store.put(frame_at(15)) is True
    assert [scan.grid_key for scan in store.scans()] == [GRID.key] * 4
    assert store.put(frame_at(15, grid=other)) is False
    assert store.put(frame_at(20, grid=other)) is True, "a product may change its grid"
    fill(store, 25, 30, 35, 40, 45, grid=other)
    assert store.put(frame_at(20)) is False


def test_a_stored_scan_states_when_it_was_received(store):
    store.put(frame_at(50))
    (scan,) = store.scans()
    with xr.open_dataset(scan.path) as file:
        assert file.attrs["history"] == f"{iso(scan.received_at)} radar file stored as CF-NetCDF"


def test_an_other_peoples_forecast_never_becomes_a_scan(store):
    forecast = frame_at(50, lead_minutes=50)
    assert store.put(forecast) is True
    assert store.put(forecast) is False
    assert store.scans() == []
    assert store.latest() is None
    assert store.rebuild() == 0
    (path,) = (store.home / "others").rglob("*.nc")
    assert path.name == "RY_20240701T1200Z_050.nc"
    assert scanfile.read_scan(path).lead_minutes == 50


def test_scans_are_chosen_by_product_and_time_in_order(store):
    fill(store, 30, 0, 60)
    fill(store, 15, product="RV")
    assert [scan.valid_time.minute for scan in store.scans()] == [0, 15, 30, 0]
    assert [scan.valid_time.minute for scan in store.scans(product="RY", end=T0 + timedelta(minutes=30))] == [0, 30]
    assert [scan.product for scan in store.scans(start=T0 + timedelta(minutes=10))] == ["RV", "RY", "RY"]
    assert store.products() == ["RV", "RY"]
    latest, latest_rv = store.latest(), store.latest("RV")
    assert latest is not None
    assert latest_rv is not None
    assert latest.valid_time == T0 + timedelta(hours=1)
    assert latest_rv.valid_time == T0 + timedelta(minutes=15)
    assert store.latest("SF") is None


def test_an_hourly_sum_is_never_the_newest_scan_among_others(store):
    fill(store, 60, product="RW")
    assert store.latest().product == "RW"
    fill(store, 55, product="RY")
    assert store.latest().product == "RY"
    fill(store, 65, product="SF")
    assert (store.latest().product, store.latest("SF").product) == ("RY", "SF")


def test_a_name_from_outside_stays_in_the_store(store, tmp_path):
    store.put(frame_at(product="../../../RY"))
    (scan,) = store.scans()
    assert scan.path.is_relative_to(store.home / "scans")
    assert scan.product == "../../../RY"
    kept = store.quarantine(b"x", "../../evil\n.gz", "no frame")
    assert kept.parent == store.home / "quarantine"
    assert {path.name for path in tmp_path.iterdir()} == {"home"}


def test_a_file_that_is_gone_or_broken_is_no_data(store):
    fill(store, 0)
    (scan,) = store.scans()
    scan.path.write_bytes(scan.path.read_bytes()[:500])
    with pytest.raises(NoDataError, match="RY_20240701T1200Z"):
        store.load(scan)
    assert not scan.path.exists()  # set aside
    with pytest.raises(NoDataError, match="RY_20240701T1200Z"):
        store.load(scan)
    assert store.put(frame_at()), "its row alone must not make it a duplicate"
    assert store.load(scan).valid_time == T0


@pytest.mark.parametrize("repair", ["put", "rebuild", "reopen"])
def test_a_crash_between_file_and_row_is_repaired(store, monkeypatch, repair):
    with monkeypatch.context() as patch:
        patch.setattr(Index, "enter", lambda *_, **__: (_ for _ in ()).throw(UnavailableError("killed here")))
        with pytest.raises(UnavailableError, match="killed here"):
            store.put(frame_at())
    assert store.scans() == []
    if repair == "put":
        assert store.put(frame_at())
    elif repair == "rebuild":
        assert store.rebuild() == 1
    else:
        Store(store.home)
    (scan,) = store.scans()
    assert store.load(scan).valid_time == T0


def test_rebuild_gives_the_same_catalogue_from_the_files(store, caplog):
    fill(store, 0, 5, 10)
    fill(store, 5, product="RV")
    store.put_file([], "ab" * 32, "a.gz")
    before = store.scans()
    (store.home / "scans/RY/2024/07/01/.RY_x.nc.abc.part").write_bytes(b"left by a crash")
    (store.home / "scans/RY/2024/07/01/broken.nc").write_bytes(b"no NetCDF")
    assert store.rebuild() == 4
    assert store.scans() == before
    assert "broken.nc" in caplog.text
    assert store.recorded_frames("ab" * 32, "a.gz") is None, "a rebuild needs the sources looked through again"


def test_a_stray_folder_and_a_stray_file_stop_no_rebuild(store):
    """A folder `deep.nc` below the scans kept every part from starting once the catalogue was lost."""
    fill(store, 0, 5)
    (store.home / "scans" / "stray" / "deep.nc").mkdir(parents=True)
    (store.home / "scans" / "stray.nc").write_bytes(b"no scan")
    assert store.rebuild() == 2
    for part in store.home.glob("catalogue.sqlite*"):
        part.unlink()
    assert len(Store(store.home, clock=lambda: NOW).scans()) == 2


def test_rebuild_forgets_scans_whose_files_are_gone(store):
    fill(store, 0, 5)
    store.scans()[0].path.unlink()
    assert store.rebuild() == 1
    assert [scan.valid_time for scan in store.scans()] == [T0 + timedelta(minutes=5)]


@pytest.mark.parametrize("damage", ["garbage", "pages", "gone", "empty"])
def test_a_catalogue_that_is_no_longer_one_is_made_anew(store, damage, caplog):
    fill(store, *range(0, 60, 5))
    before = store.scans()
    path = store.home / "catalogue.sqlite"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        damaged = {"garbage": b"garbage" * 999, "pages": content[:4096] + b"\xff" * (len(content) - 4096), "empty": b""}
        path.write_bytes(damaged[damage])
    assert Store(store.home, clock=lambda: NOW).scans() == before
    kept = list(store.home.glob("catalogue.sqlite.corrupt-*"))
    assert len(kept) == (damage in ("garbage", "pages"))
    assert "rebuilt from" in caplog.text


@pytest.mark.parametrize(("synced", "level"), [(True, 2), (False, 1)], ids=["FULL", "NORMAL"])
def test_a_process_that_takes_files_syncs_each_commit(tmp_path, synced, level):
    store = Store(tmp_path, synced=synced)
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
    assert isinstance(store.engine.pool, QueuePool if synced else NullPool)


@pytest.mark.parametrize("synced", [True, False])
def test_a_corrupt_catalogue_is_set_aside_while_connections_are_kept(tmp_path, synced):
    fill(Store(tmp_path), 0, 5)
    (tmp_path / "catalogue.sqlite").write_bytes(b"garbage" * 999)
    store = Store(tmp_path, synced=synced)
    fill(store, 10)
    assert len(Store(tmp_path).scans()) == 3


def test_a_store_can_move(store, tmp_path):
    fill(store, 0)
    moved = tmp_path / "elsewhere"
    store.home.rename(moved)
    other = Store(moved)
    (scan,) = other.scans()
    assert other.load(scan).valid_time == T0


@pytest.mark.parametrize("way", ["put", "put_file"])
def test_a_writer_waits_for_the_one_before(store, way):
    def write() -> None:
        if way == "put":
            store.put(frame_at())
        else:
            store.put_file([frame_at()], None, "name")

    writer = threading.Thread(target=write)
    with write_lock(store.home):
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        assert not list(store.home.rglob("*.nc"))
    writer.join()
    assert len(store.scans()) == 1


def put_all(home: Path, minutes: list[int], gate) -> None:
    store = Store(home)
    gate.wait()
    for minute in minutes:
        store.put_file([frame_at(minute)], f"{minute:064d}", "name")


def test_processes_write_at_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    gate = spawn.Event()
    parts = [list(range(20)), list(range(10, 30))]
    writers = [spawn.Process(target=put_all, args=(tmp_path, part, gate)) for part in parts]
    for writer in writers:
        writer.start()
    store = Store(tmp_path)
    gate.set()
    while any(writer.is_alive() for writer in writers):
        assert len(store.scans()) <= 30
        writers[0].join(0.01)
        writers[1].join(0.01)
    assert [writer.exitcode for writer in writers] == [0, 0]
    scans = store.scans()
    assert [scan.valid_time for scan in scans] == [T0 + timedelta(minutes=minute) for minute in range(30)]
    for scan in scans:
        assert scanfile.frame_sha256(store.load(scan)) == scan.sha256


def test_threads_read_and_write_at_once(store):
    fill(store, *range(0, 40, 5))
    scans = store.scans()

    def use(number: int) -> bool:
        store.put(frame_at(100 + number))
        scan = scans[number % len(scans)]
        return bool(scanfile.frame_sha256(store.load(scan)) == scan.sha256)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(40)))
    assert len(store.scans()) == 48


def test_loading_a_scan_of_900_x_900_is_cheap(store):
    store.put(frame_at(grid=RADOLAN_900))
    (scan,) = store.scans()

    def load_s() -> float:
        start_s = time.process_time()  # a busy machine lengthens the wall time alone
        store.load(scan)
        return time.process_time() - start_s

    assert min(load_s() for _ in range(7)) < 0.06


def test_a_window_reads_only_the_scans_it_needs(store, monkeypatch):
    fill(store, *range(0, 180, 5))
    read: list[Path] = []
    real = scanfile.read_scan
    monkeypatch.setattr(scanfile, "read_scan", lambda path, *_: (read.append(path), real(path))[1])  # type: ignore[func-returns-value]
    window = store.window()
    assert len(read) == 5
    assert window.status == "ok"
    assert window.reference_time == T0 + timedelta(minutes=175)
    assert window.input_times == tuple(T0 + timedelta(minutes=minute) for minute in (55, 85, 115, 145, 175))
    np.testing.assert_array_equal(window.rate_mmh_THW[2], frame_at(115).rate_mmh_HW)
    assert store.window(T0 + timedelta(minutes=120)).input_times[0] == T0
    assert store.window(steps=3, cadence_minutes=10).input_times == tuple(
        T0 + timedelta(minutes=minute) for minute in (155, 165, 175)
    )


def test_a_gap_is_reported_and_not_hidden(store):
    fill(store, 0, 33, 90, 120)
    window = store.window()
    assert window.status == "degraded"
    assert window.input_times[1] == T0 + timedelta(minutes=33)
    assert window.input_times[2] is None
    assert len(window.notes) == 2


def test_a_broken_file_is_a_gap(store, caplog):
    fill(store, 0, 30, 60, 90, 120)
    store.scans()[2].path.write_bytes(b"rotten")
    window = store.window()
    assert (window.status, window.input_times[2]) == ("degraded", None)
    assert "taken as missing" in caplog.text


def test_no_window_where_nothing_is(store):
    with pytest.raises(NoDataError, match="no scan is stored"):
        store.window()
    fill(store, 0)
    with pytest.raises(NoDataError, match="no scan of RV is stored"):
        store.window(product="RV")
    with pytest.raises(NoDataError, match=r"within 5 minutes of 2024-07-01T15:00:00Z; the newest is RY of .*12:00:00Z"):
        store.window(T0 + timedelta(hours=3))
    with pytest.raises(ConflictError, match="2024-07-01T11:30:00Z"):
        store.window()


def test_a_window_takes_the_product_and_grid_that_fill_it(store):
    other = replace(GRID, west_m=500.0, name="moved")
    fill(store, 0, 30, 60, 90, 120, product="RX")
    fill(store, 0, 30, 60, 90, 120)
    fill(store, 60, 120, product="AA")
    fill(store, 30, 60, 90, product="RV", grid=other)
    fill(store, 118, product="RV")
    assert store.window(T0 + timedelta(minutes=120)).product == "RY"
    assert store.window(T0 + timedelta(minutes=120), product="RX").product == "RX"
    window = store.window(T0 + timedelta(minutes=90), product="RV", steps=3)
    assert window.grid == other


def test_ready_windows_hold_the_newest_window_on_the_models_grid(store):
    fill(store, 0, 30, 62, 90, 120)
    path = store.write_windows("small/one", 2000.0)
    window = store.window()
    assert path == store.ready_window("small/one", T0 + timedelta(hours=2))
    assert path.parent.parent == store.home / "windows"
    assert path.name == "20240701T1400Z.safetensors"
    with safe_open(path, framework="numpy") as file:
        assert list(file.keys()) == ["frames"]
        assert file.metadata()["status"] == "degraded"
    ready = store.read_window("small/one", T0 + timedelta(hours=2))
    grid = model_grid(GRID, 2000.0)
    assert ready.frames_BTCHW.shape == (1, 5, 1, *grid.shape)
    assert ready.frames_BTCHW.dtype == np.float32
    np.testing.assert_array_equal(ready.frames_BTCHW[0, :, 0], onto(window.rate_mmh_THW, GRID, grid))
    assert ready.grid == grid
    assert (ready.reference_time, ready.input_times) == (window.reference_time, window.input_times)
    assert (ready.notes, ready.missing_radars) == (window.notes, ("emd", "hnr"))
    assert (ready.product, ready.source_grid) == ("RY", GRID)


def test_a_ready_window_of_other_scans_is_not_current(store):
    fill(store, 0, 30, 60, 90, 120)
    store.write_windows("m", 1000.0, 30, 5)
    reference_time = T0 + timedelta(hours=2)
    assert store.current_window("m", reference_time) is not None
    assert store.current_window("m", reference_time, cadence_minutes=15) is None
    store.put(frame_at(60, seed=7))
    assert store.current_window("m", reference_time) is None


def test_ready_windows_are_renewed_and_pruned(store):
    fill(store, 0, 60, 90, 120)
    assert store.write_windows("m", 1000.0, 30, 5) is not None
    assert store.read_window("m", T0 + timedelta(hours=2)).status == "degraded"
    fill(store, 30)
    store.write_windows("m", 1000.0, 30, 5)
    assert store.read_window("m", T0 + timedelta(hours=2)).status == "ok"
    for minute in range(125, 200, 5):
        fill(store, minute)
        store.write_windows("m", 1000.0, 5, 2)
    names = sorted(path.name for path in (store.home / "windows/m").iterdir())
    assert len(names) == 12
    assert names[-1] == "20240701T1515Z.safetensors"
    with pytest.raises(NoDataError, match="20240701T1400Z"):
        store.read_window("m", T0 + timedelta(hours=2))


def test_no_ready_window_of_what_no_model_can_use(store, caplog):
    caplog.set_level(logging.INFO)
    assert store.write_windows("m", 1000.0) is None
    fill(store, 0, 120)
    assert store.write_windows("m", 1000.0) is None
    assert not (store.home / "windows").exists()


def test_quarantine_keeps_the_content_and_the_reason_once(store, tmp_path):
    original = tmp_path / "bad.gz"
    original.write_bytes(b"not a frame")
    kept = store.quarantine(original, "bad.gz", "bad.gz: expected a frame, got b'not'")
    assert store.quarantine(b"not a frame", "bad.gz", "again") == kept
    assert kept.read_bytes() == b"not a frame"
    assert kept.name.endswith("_bad.gz")
    assert kept.with_name(kept.name + ".reason.txt").read_text().startswith("again\n")
    assert original.read_bytes() == b"not a frame"
    assert len(list(kept.parent.iterdir())) == 2


def test_a_store_where_none_can_be(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnavailableError, match="file"):
        Store(tmp_path / "file" / "home")
    with pytest.raises(ConfigError, match="database URL"):
        Store(tmp_path / "home", "nonsense")
    with pytest.raises(UnavailableError, match="catalogue"):
        Store(tmp_path / "home", f"sqlite:///{tmp_path}/no/folder/db.sqlite")


def test_replacing_rows_has_a_statement_for_postgresql_too():
    row = {"product": "RY", "valid_time": T0, "missing_radars": ["emd"]}
    text = str(upsert(ScanRow, [row], "postgresql").compile(dialect=postgresql.dialect()))
    assert "ON CONFLICT (product, valid_time) DO UPDATE SET" in text
    with pytest.raises(ConfigError, match="mysql"):
        upsert(ScanRow, [row], "mysql")


@dataclass(frozen=True)
class Issue:
    """One issue of a scan, as the store ranks it."""

    missing_radars: tuple[str, ...] = ()
    grid_key: str = "a"
    coverage: float = 0.9
    issued_at: datetime = T0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Issue(), Issue(grid_key="b", coverage=1.0, issued_at=T0 + timedelta(hours=1))),
        (Issue(coverage=0.1), Issue(missing_radars=("boo",), coverage=1.0, issued_at=T0 + timedelta(hours=1))),
        (Issue(), Issue(coverage=0.87, issued_at=T0 + timedelta(hours=1))),
        (Issue(), Issue(coverage=0.91, issued_at=T0 - timedelta(seconds=1))),
    ],
    ids=["another grid", "a radar less", "clearly less coverage", "issued earlier"],
)
def test_the_better_one_of_two_issues_stays_whichever_arrives_first(old, new):
    assert is_worse(new, old)
    assert is_worse(old, new) == (old.grid_key != new.grid_key), "it replaces the worse one; another grid never"
    assert not is_worse(old, old), "an equal one is no loss"
