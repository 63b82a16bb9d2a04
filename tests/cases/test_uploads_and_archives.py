"""Cases of whole files: archives with other members, large grids, implausible rates, forecasts with their analysis."""

import threading
from datetime import UTC, datetime, timedelta

import netCDF4
import numpy as np
import pytest

from core.errors import FrameError, TooLargeError
from core.frame import RadarFrame
from core.grid import RADOLAN_SPHERE, Grid
from core.settings import Settings
from ingest.plausibility import rate_field, remarks
from ingest.readers import read_frames
from ingest.readers.read import analyses_of
from ingest.sources.directory import DirectorySource
from ingest.store.intake import ingest_file
from ingest.store.live import Store
from ingest.worker.loop import IngestWorker
from ingest.writers.odim_h5 import DWD_SOURCE, odim_bytes
from tests.cases.doors import DOORS, READER_DOORS
from tests.cases.test_doors import cf_file
from tests.ingest.archive.sources import tar_bytes

START = datetime(2026, 6, 1, 10, tzinfo=UTC)
GRID = Grid(RADOLAN_SPHERE, -200_000.0, -4_200_000.0, 10_000.0, 10_000.0, 40, 48, "small")
OTHERS = {
    "._scan": b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X",
    ".DS_Store": b"\x00\x00\x00\x01Bud1",
    "README.txt": b"source: invented",
    "scan.md5": b"d41d8cd98f00b204e9800998ecf8427e  scan",
    "empty": b"",
}


def scan(number, *, grid=GRID, start=START, rate=3.0):
    rate_mmh_HW = np.zeros(grid.shape, np.float32)
    rate_mmh_HW[10:20, 10 : 20 + number] = rate
    rate_mmh_HW[:4, :4] = np.nan
    return RadarFrame(start + timedelta(minutes=30 * number), grid, rate_mmh_HW, "RY")


def scan_bytes(number, **options):
    return odim_bytes([scan(number, **options)], source=DWD_SOURCE)


def with_others(count=5):
    return tar_bytes({**OTHERS, **{f"scan{n}.h5": scan_bytes(n) for n in range(count)}})


@pytest.mark.parametrize("name", READER_DOORS)
def test_case_25_radar_files_of_a_tar_are_taken_and_the_others_are_named(door, name):
    outcome = door(name)({"scans.tar": with_others()})
    assert outcome.refusal is None
    assert [frame.time for frame in outcome.frames] == [START + timedelta(minutes=30 * n) for n in range(5)]
    assert all(frame.max_mmh == pytest.approx(3.0, abs=0.05) for frame in outcome.frames)
    if name != "predict":  # which prints its notes
        assert "README.txt" in outcome.text
        assert ".DS_Store" in outcome.text


@pytest.mark.parametrize("name", ["folder", "archive", "predict"])
@pytest.mark.parametrize("file", ["ry_mac.tar", "ry_readme.tar.gz"])
def test_case_25_as_people_have_it(door, cases, name, file):
    outcome = door(name)(cases / "25-tar-with-other-members" / file)
    assert len(outcome.frames) == 5
    assert outcome.frames[0].time == datetime(2020, 1, 1, 15, tzinfo=UTC)


def test_an_archive_of_nothing_but_other_files_is_refused_by_name():
    with pytest.raises(FrameError, match=r"README\.txt"):
        read_frames(tar_bytes({"README.txt": b"nothing"}), name="a.tar")


def test_a_damaged_member_is_named_and_the_good_ones_are_taken():
    members = {f"scan{n}.h5": scan_bytes(n) for n in range(12)}
    members["scan7.h5"] = members["scan7.h5"][:900]
    notes: list[str] = []
    frames = read_frames(tar_bytes(members), name="a.tar", notes=notes)
    assert len(frames) == 11
    assert len(notes) == 1
    assert "a.tar/scan7.h5 is left out" in notes[0]


@pytest.mark.parametrize("name", DOORS)
def test_one_bad_field_of_twelve_does_not_cost_the_others(door, tmp_path, name):
    path = cf_file(tmp_path)
    with netCDF4.Dataset(path, "r+") as dataset:
        dataset["rainfall_rate"][0, 10, 10] = -0.5
    outcome = door(name)(path)
    good = [frame for frame in outcome.frames if frame.mask_HW.any()]
    assert outcome.refusal is None
    assert [frame.max_mmh for frame in good] == pytest.approx([3.0] * 5)
    if name in ("upload", "folder", "archive"):
        assert "-0.5" in outcome.text


def test_limits_hold_for_every_member():
    with pytest.raises(TooLargeError, match="cells"):
        read_frames(with_others(), name="a.tar", max_cells=100)


@pytest.mark.parametrize("shape", [(2200, 1900), (3800, 4400)])
def test_case_24_composites_of_europe_are_within_the_default_limit(shape):
    grid = Grid("EPSG:3035", 2_000_000.0, 5_500_000.0, 1000.0, 1000.0, shape[0], shape[1], "europe")
    frame = RadarFrame(START, grid, np.zeros(shape, np.float32), "RATE")
    settings = Settings()
    (found,) = read_frames(odim_bytes([frame], source=DWD_SOURCE), max_cells=settings.grid_max_cells)
    assert found.grid.shape == shape
    assert 5 * 4 * shape[0] * shape[1] <= settings.upload_max_unpacked_bytes  # a window of them


@pytest.mark.parametrize(("rate", "text"), [(28_800.0, "28800 mm/h"), (40.0, "mean of all wet cells")])
def test_case_33_an_implausible_upload_carries_a_note(door, tmp_path, rate, text):
    outcome = door("upload")(cf_file(tmp_path, rate=rate))
    assert outcome.refusal is None
    assert any(text in note for note in outcome.notes)


def test_case_33_as_people_have_it(door, cases):
    outcome = door("upload")(cases / "33-implausible-upload" / "x.nc")
    assert any("28800 mm/h" in note for note in outcome.notes)


@pytest.mark.parametrize("name", DOORS)
def test_fill_values_that_no_attribute_names_are_not_observed(door, tmp_path, name):
    path = cf_file(tmp_path, rate=9.969209968386869e36)
    outcome = door(name)(path)
    assert all(not frame.max_mmh > 500 for frame in outcome.frames)
    assert outcome.frames or outcome.refusal


def test_values_are_masked_or_refused_or_noted():
    rate_mmh_HW = np.array([[1.0, 1e20, -1e30, np.nan, -0.0005]], np.float32)
    np.testing.assert_array_equal(rate_field(rate_mmh_HW), [[1.0, np.nan, np.nan, np.nan, 0.0]])
    for bad in (-9999.0, np.inf, -0.5):
        with pytest.raises(FrameError):
            rate_field(np.array([[1.0, bad]]))
    assert not remarks(scan(0).rate_mmh_HW)
    assert "501" in remarks(np.full((4, 4), 501, np.float32))[0]
    assert "every observed cell" in remarks(np.full((4, 4), 5, np.float32))[0]
    assert not remarks(np.zeros((4, 4), np.float32))
    assert not remarks(np.full((4, 4), np.nan, np.float32))


def forecasts(number):
    """An analysis and its two forecasts, one file each, as DWD packs RV in a tar."""
    analysis = scan(number)
    frames = [
        RadarFrame(analysis.valid_time + timedelta(minutes=lead), GRID, analysis.rate_mmh_HW, "RV", lead_minutes=lead)
        for lead in (0, 5, 10)
    ]
    return {f"rv_{frame.lead_minutes:03d}.h5": odim_bytes([frame], source=DWD_SOURCE) for frame in frames}


@pytest.mark.parametrize("name", ["upload", "folder"])
def test_case_39_the_analyses_of_forecasts_make_the_window(door, name):
    outcome = door(name)({f"rv{n}.tar": tar_bytes(forecasts(n)) for n in range(5)})
    assert outcome.refusal is None
    assert [frame.time for frame in outcome.frames] == [START + timedelta(minutes=30 * n) for n in range(5)]
    assert {frame.lead_minutes for frame in outcome.frames} == {0}
    assert "forecasts" in outcome.text


def test_case_39_forecasts_alone_are_still_refused(door):
    files = {name: content for name, content in forecasts(0).items() if "000" not in name}
    outcome = door("upload")(files)
    assert outcome.refusal is not None
    assert outcome.refusal.startswith("409")
    frames, note = analyses_of([frame for content in files.values() for frame in read_frames(content)])
    assert len(frames) == 2
    assert note is None


def test_a_scan_ahead_of_the_clock_is_set_aside_and_taken_once_its_time_has_come(tmp_path, monkeypatch):
    store = Store(tmp_path / "home")
    now = datetime.now(UTC).replace(microsecond=0)
    soon = scan_bytes(0, start=now + timedelta(minutes=8))
    outcome = ingest_file(soon, store, name="soon.h5")
    assert outcome.kind == "future"
    assert store.latest() is None
    assert ingest_file(scan_bytes(0, start=now + timedelta(minutes=3)), store, name="near.h5").stored == 1

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=4)

    monkeypatch.setattr("ingest.store.intake.datetime", Later)
    assert ingest_file(soon, store, name="soon.h5").stored == 1


def test_a_file_with_some_future_scans_keeps_the_good_ones_and_is_read_again(tmp_path, monkeypatch):
    """The watched folder offers the file again at its time, neither before nor for ever."""
    now = datetime.now(UTC).replace(microsecond=0)
    times = [now + timedelta(minutes=ahead) for ahead in (-5, 0, 9)]
    (tmp_path / "in").mkdir()
    scans = {f"{n}.h5": scan_bytes(0, start=time) for n, time in enumerate(times)}
    (tmp_path / "in" / "scans.tar").write_bytes(tar_bytes(scans))
    clock = Ahead(now)
    store = Store(tmp_path / "home", clock=lambda: clock.now(UTC))
    monkeypatch.setattr("ingest.store.intake.datetime", clock)
    source = DirectorySource(tmp_path / "in", clock=lambda: clock.now(UTC).timestamp())
    worker = IngestWorker(source, store, list, threading.Event())
    worker.look()
    assert [scan.valid_time for scan in store.scans()] == times[:2]
    clock.minutes = 3
    assert not list(source.look())
    clock.minutes = 4
    worker.look()
    assert [scan.valid_time for scan in store.scans()] == times
    clock.minutes = 60
    assert not list(source.look())
    assert ingest_file(tmp_path / "in" / "scans.tar", store).known


def test_a_file_of_nothing_but_future_scans_is_offered_again(tmp_path, monkeypatch):
    now = datetime.now(UTC).replace(microsecond=0)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "soon.h5").write_bytes(scan_bytes(0, start=now + timedelta(minutes=10)))
    clock = Ahead(now)
    store = Store(tmp_path / "home", clock=lambda: clock.now(UTC))
    monkeypatch.setattr("ingest.store.intake.datetime", clock)
    source = DirectorySource(tmp_path / "in", clock=lambda: clock.now(UTC).timestamp(), grace_s=30)
    worker = IngestWorker(source, store, list, threading.Event())
    for clock.minutes in (0, 1, 2):
        worker.look()
    assert store.latest() is None
    assert [path.name for path in (store.home / "quarantine").rglob("*soon.h5*")]
    clock.minutes = 5
    worker.look()
    assert store.latest() is not None
    clock.minutes = 60
    assert not list(source.look())


class Ahead:
    """The clock of the intake, set by the test."""

    fromtimestamp = staticmethod(datetime.fromtimestamp)

    def __init__(self, start):
        self.start, self.minutes = start, 0

    def now(self, tz):
        return (self.start + timedelta(minutes=self.minutes)).astimezone(tz)


def test_a_file_on_another_grid_never_replaces_a_good_scan(tmp_path):
    store = Store(tmp_path / "home")
    other = Grid(RADOLAN_SPHERE, -300_000.0, -4_200_000.0, 10_000.0, 10_000.0, 40, 48, "other")
    assert ingest_file(scan_bytes(0), store, name="good.h5").stored == 1
    outcome = ingest_file(scan_bytes(0, grid=other, rate=9.0), store, name="other.h5")
    assert (outcome.stored, outcome.worse) == (0, 1)
    (kept,) = store.scans()
    assert store.load(kept).grid.same_place(GRID)
