"""What is flagged of the newest scans, what a status says, and which of two versions of a scan is kept."""

import json
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from core.errors import UnavailableError
from core.grid import RADOLAN_900
from ingest.readers import read_frames
from ingest.store import scanfile
from ingest.store.cleaning import Cleaning, without_isolated
from ingest.store.intake import ingest_file
from ingest.store.live import Store
from ingest.store.quality import facts_of, implausible, is_frozen
from ingest.store.status import read_beat
from ingest.writers.odim_h5 import odim_bytes
from ingest.writers.radolan import COUNT_MMH, ry_bytes
from tests.ingest.small_scans import T0, minutes, small_file, small_frame


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", clock=lambda: T0 + minutes(62))


def flags(store: Store) -> tuple[bool, bool, bool]:
    (product,) = store.ingest_status().products
    return product.all_dry, product.frozen, product.implausible is not None


def test_an_empty_store_has_a_status(store):
    status = store.ingest_status()
    assert (status.products, dict(status.counts), status.warnings) == ((), {}, ())
    assert json.loads(json.dumps(status.to_dict()))["products"] == []


def test_a_good_hour_has_no_warnings(store):
    for step in range(13):
        store.put(small_frame(step))
    status = store.ingest_status()
    (product,) = status.products
    assert (product.newest, product.age_s, product.cadence_minutes) == (T0 + minutes(60), 120, 5)
    assert (product.gaps, product.overdue_since, status.warnings) == ((), None, ())
    document = status.to_dict()
    assert document["products"][0]["newest"] == "2024-07-01T01:00:00Z"
    assert document["counts"] == {"stored": 13}


def test_the_same_image_three_times_is_frozen(store):
    for step in range(10):
        store.put(small_frame(step))
    picture = small_frame(10).rate_mmh_HW
    for step, frozen in ((10, False), (11, False), (12, True)):
        store.put(replace(small_frame(step), rate_mmh_HW=picture))
        assert flags(store) == (False, frozen, False)
    assert any("frozen" in text for text in store.ingest_status().warnings)
    store.put(small_frame(13))
    assert flags(store) == (False, False, False)


def test_dry_days_are_all_dry_and_not_frozen(store):
    for step in range(5):
        store.put(replace(small_frame(step), rate_mmh_HW=np.minimum(small_frame(step).rate_mmh_HW, 0)))
    assert flags(store) == (True, False, False)


@pytest.mark.parametrize("factor", [12, 1 / 12, 10, 1 / 60])
def test_another_unit_is_implausible(store, factor):
    for step in range(10):
        store.put(small_frame(step))
    assert flags(store) == (False, False, False)
    frame = small_frame(10)
    store.put(replace(frame, rate_mmh_HW=(frame.rate_mmh_HW * factor).astype(np.float32)))
    assert flags(store) == (False, False, True)
    store.put(replace(small_frame(11), rate_mmh_HW=(small_frame(11).rate_mmh_HW * factor).astype(np.float32)))
    assert flags(store)[2] == (factor > 1), (
        "the step is reported at once, rates beyond all weather as long as they last"
    )


def test_real_events_are_plausible_at_every_step(real_events):
    """The yardstick itself: no frame of a real event is flagged but for single cells of clutter."""
    for path in real_events:
        with xr.open_dataset(path) as event:
            rate_mmh_THW = event["precipitation_rate"].values[:12].astype(np.float32)
        facts = [facts_of(rate_mmh_HW) for rate_mmh_HW in rate_mmh_THW]
        before = [None, *facts]
        flagged = [text for old, new in zip(before, facts, strict=False) if (text := implausible(new, old))]
        assert not flagged, (path.name, flagged)
        assert not any(is_frozen(facts[at : at + 3]) for at in range(len(facts) - 2)), path.name


def test_gaps_and_missing_radars_are_reported(store):
    for step in range(13):
        if step not in (4, 9, 10):
            store.put(small_frame(step, missing=("ess", "neu") if step == 12 else ()))
    status = store.ingest_status()
    (product,) = status.products
    assert [round((gap - T0) / minutes(5)) for gap in product.gaps] == [4, 9, 10]
    assert product.missing_radars == ("ess", "neu")
    assert any("without the radars ess, neu" in text for text in status.warnings)


def test_nothing_new_for_long_is_overdue(tmp_path):
    now = [T0]
    store = Store(tmp_path / "home", clock=lambda: now[0])
    for step in range(5):
        store.put(small_frame(step))
    for late, overdue in ((7, None), (14, None), (16, T0 + minutes(25))):
        now[0] = T0 + minutes(20 + late)
        assert store.ingest_status().products[0].overdue_since == overdue, late


def test_counters_last_and_a_restart_counts_nothing_twice(store, tmp_path):
    name, content = small_file(3)
    for _ in range(2):
        ingest_file(content, store, name=name)
    ingest_file(content, store, name="other.hdf5")
    ingest_file(small_file(1)[1], store, name="one")
    ingest_file(small_file(3, seed=5)[1], store, name="better")
    for _ in range(3):
        ingest_file(b"", store, name="empty")
    ingest_file(b"GIF89a", store, name="picture")
    again = Store(store.home).ingest_status()
    assert again.counts["files"] == 4
    assert (again.counts["stored"], again.counts["replaced"], again.counts["late"]) == (3, 1, 1)
    assert again.counts["duplicates"] == 1
    assert again.rejected == {"damaged": 1, "foreign": 1}


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"sources": 3}', '{"sources": null}', '{"sources": "a"}'])
def test_a_broken_heartbeat_is_none(store, broken):
    (store.home / "ingest-status.json").write_text(broken)
    assert read_beat(store.home).get("paused_since") is None
    assert store.ingest_status().warnings == ()


def test_a_pause_without_its_reason_is_a_warning_all_the_same(store):
    (store.home / "ingest-status.json").write_text('{"paused_since": "2024-06-01T12:00:00Z"}')
    assert store.ingest_status().warnings == ("paused since 2024-06-01T12:00:00Z: no reason is known",)


VERSIONS = {"provisional": (1, ()), "final": (2, ()), "without a radar": (3, ("ess",))}


@pytest.mark.parametrize("order", list(permutations(VERSIONS)))
def test_the_better_version_is_kept_in_whatever_order_they_come(store, order):
    for name in order:
        seed, missing = VERSIONS[name]
        store.put(small_frame(3, seed=seed, missing=missing), issued_at=T0 + minutes(seed))
    (scan,) = store.scans()
    np.testing.assert_array_equal(store.load(scan).rate_mmh_HW, small_frame(3, seed=2).rate_mmh_HW)
    assert scan.issued_at == T0 + minutes(2)
    counts = store.ingest_status().counts
    assert counts["stored"] + counts.get("worse", 0) == 3
    assert counts["stored"] - counts.get("replaced", 0) == 1


def test_a_worse_version_is_no_news(store):
    assert store.put(small_frame(3), issued_at=T0 + minutes(9))
    assert store.put(small_frame(3, seed=1), issued_at=T0 + minutes(8)) is False
    outcome = ingest_file(small_file(3, missing=("ess",))[1], store, name="partial")
    assert (outcome.stored, outcome.worse, outcome.rejected) == (0, 1, None)


def test_of_files_the_younger_one_is_the_final_one(store, tmp_path):
    import os

    for name, seed, age in (("final", 1, 20), ("provisional", 0, 10)):
        path = tmp_path / name
        path.write_bytes(small_file(3, seed=seed)[1])
        os.utime(path, (1e9 + age, 1e9 + age))
        ingest_file(path, store)
    (scan,) = store.scans()
    np.testing.assert_allclose(store.load(scan).rate_mmh_HW, small_frame(3, seed=1).rate_mmh_HW, atol=0.005)


def test_dry_is_kept_apart_from_not_observed(store):
    store.put(small_frame(0))
    (scan,) = store.scans()
    with xr.open_dataset(scan.path) as dataset:
        covered, rate = dataset["coverage"].values[0], dataset["rainfall_rate"].values[0]
    assert (covered[:6, :6] == 0).all()
    assert np.isnan(rate[:6, :6]).all()
    dry = rate == 0
    assert dry.any()
    assert (covered[dry] == 1).all()


def test_clutter_flags_of_a_real_file_are_kept(store, shared_data):
    (path,) = (shared_data / "radolan").glob("raa01-yw*")
    (frame,) = read_frames(path)
    assert frame.clutter_HW is not None
    assert frame.clutter_HW.sum() == 4028
    assert np.isnan(frame.rate_mmh_HW[frame.clutter_HW]).all()
    ingest_file(path, store)
    (scan,) = store.scans()
    np.testing.assert_array_equal(store.load(scan).clutter_HW, frame.clutter_HW)
    assert scanfile.frame_sha256(store.load(scan)) == scan.sha256
    with xr.open_dataset(scan.path) as dataset:
        assert dataset["clutter"].attrs["flag_meanings"] == "none clutter"
    (ry,) = (shared_data / "radolan").glob("raa01-ry_*2509212320*")
    assert read_frames(ry)[0].clutter_HW is None


def test_isolated_cells_are_taken_for_dry_only_if_asked(store):
    frame = small_frame(0)
    rate_mmh_HW = np.zeros(frame.grid.shape, np.float32)
    rate_mmh_HW[0, 0] = np.nan
    rate_mmh_HW[10, 10] = rate_mmh_HW[20, 20] = rate_mmh_HW[21, 21] = 5.0
    rate_mmh_HW[30:33, 30:33] = 5.0
    speckled = replace(frame, rate_mmh_HW=rate_mmh_HW)
    assert without_isolated(speckled, 0) is speckled
    for cells, wet in ((1, 11), (2, 9), (8, 9), (9, 0)):
        filtered_HW = without_isolated(speckled, cells).rate_mmh_HW
        assert (filtered_HW > 0).sum() == wet
        assert np.isnan(filtered_HW).sum() == 1
        assert filtered_HW.dtype == np.float32
    content = small_file(0)[1]
    assert ingest_file(content, store, name="a", cleaning=Cleaning(isolated_cells=10**6)).stored == 1
    assert flags(store)[0]


def test_the_steps_of_binary_and_hdf5_files_are_made_alike_only_if_asked(tmp_path):
    """Trap 5: binary RY and RV count 0.12 mm/h, RV in HDF5 0.012: drizzle is wet in one and dry in the other."""
    frame = small_frame(0)
    fine = np.random.default_rng(5).integers(0, 400, RADOLAN_900.shape)
    fine[fine % 10 == 5] = 0  # no ties
    rate_mmh_HW = (fine * COUNT_MMH / 10).astype(np.float32)
    rate_mmh_HW[:50] = np.nan
    frame = replace(frame, grid=RADOLAN_900, rate_mmh_HW=rate_mmh_HW)
    files = {"ry": ry_bytes(rate_mmh_HW, frame.valid_time), "h5": odim_bytes([frame], quantum_mmh=COUNT_MMH / 10)}

    def stored(name, cleaning):
        store = Store(tmp_path / f"{name}-{cleaning.step_mmh}")
        assert ingest_file(files[name], store, name=name, cleaning=cleaning).stored == 1
        (scan,) = store.scans()
        return store.load(scan).rate_mmh_HW

    coarse_HW, fine_HW = stored("ry", Cleaning()), stored("h5", Cleaning())
    np.testing.assert_allclose(fine_HW, rate_mmh_HW, atol=1e-5)
    assert np.nanmax(np.abs(coarse_HW - fine_HW)) == pytest.approx(COUNT_MMH / 10 * 4, abs=1e-5)
    drizzle_HW = (fine_HW > 0) & (coarse_HW == 0)
    assert drizzle_HW.any()
    assert fine_HW[drizzle_HW].max() < COUNT_MMH / 2
    alike = Cleaning(step_mmh=COUNT_MMH)
    ry_HW = stored("ry", alike)
    np.testing.assert_array_equal(ry_HW, coarse_HW)
    np.testing.assert_allclose(stored("h5", alike), ry_HW, atol=1e-6)


def test_figures_of_a_field_that_nobody_observed():
    facts = facts_of(np.full((3, 4), np.nan, np.float32))
    assert (facts.wet_fraction, facts.wet_mean_mmh, facts.max_mmh) == (0, 0, 0)
    assert implausible(facts, facts) is None


def test_a_store_of_an_earlier_version_is_catalogued_anew(store):
    from sqlalchemy import text

    for step in range(3):
        store.put(small_frame(step))
    before = store.scans()
    with store.engine.begin() as connection:
        connection.execute(text("ALTER TABLE scans DROP COLUMN max_mmh"))
    assert Store(store.home, clock=lambda: T0 + timedelta(days=1)).scans() == before


def test_a_catalogue_that_does_not_respond_is_reported(store, monkeypatch):
    def fail() -> list[str]:
        raise UnavailableError("the catalogue does not respond: disk I/O error")

    monkeypatch.setattr(store, "products", fail)
    status = store.ingest_status()
    assert status.warnings == ("the catalogue does not respond: disk I/O error",)
    assert (status.products, dict(status.counts)) == ((), {})
