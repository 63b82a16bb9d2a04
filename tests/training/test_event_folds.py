"""The data set of radar events takes its splits from the event table, and its cells from the data."""

from datetime import timedelta

import numpy as np
import pytest
import torch

from core import cf
from core.errors import ConfigError
from core.grid import RADOLAN_900
from training.datasets.base import Split
from training.datasets.event_table import load_table
from training.datasets.events import EventOptions, Events, EventSplits

TABLE = load_table()
FILES = [name for spell in TABLE.spells() for name in spell.files]


def build(folder, split, options, input_steps=2, lead_steps=2):
    checked = EventOptions.model_validate(options)
    return Events(folder, split, input_steps=input_steps, lead_steps=lead_steps, seed=5, options=checked)


def splits_of(**options):
    """Return the names of files by split."""
    splits = EventSplits(EventOptions(**options))
    found: dict[str | None, set[str]] = {}
    for name in FILES:
        found.setdefault(splits.of(name), set()).add(name)
    return found


@pytest.mark.parametrize("fold", [fold.name for fold in TABLE.folds()])
def test_a_fold_divides_every_file_of_the_table(fold):
    found = splits_of(fold=fold)
    assert found["validation"] == set(TABLE.spell(fold).files)
    assert found["test"] == {name for spell in TABLE.spells("unseen") for name in spell.files}
    assert found["train"] == set(FILES) - found["validation"] - found["test"]


def test_spells_and_parts_of_names_are_held_out_as_a_whole():
    found = splits_of(held_out=("it-2025-03-09", "knmi_2010"), tested=("eu-2018-08-24",), exclude=("bom", "smhi"))
    assert found["test"] == {"opera_germany_20180824.nc", "opera_europe_20180824.nc"}
    assert found["validation"] == {*TABLE.spell("it-2025-03-09").files, "knmi_20100826.nc"}
    assert found[None] == {name for name in FILES if "bom" in name or "smhi" in name}
    assert len(found["train"]) == len(FILES) - sum(len(found[split]) for split in ("test", "validation", None))
    assert "mch_20150515.nc" not in splits_of(fold="de-2018-07-11", exclude=("ch-2015-05-15",))["train"]


def test_a_misspelt_spell_or_an_unknown_file_is_refused():
    with pytest.raises(ConfigError, match="unknown spell 'de-2018-07-12'"):
        EventSplits(EventOptions(held_out=("de-2018-07-12",)))
    with pytest.raises(ConfigError, match="unknown spell 'nowhere'"):
        splits_of(fold="nowhere")
    with pytest.raises(ConfigError, match="expected a spell with the role train, got au-2020-10-31"):
        splits_of(fold="au-2020-10-31")
    with pytest.raises(ConfigError, match="expected neither held_out nor tested"):
        splits_of(fold="de-2018-07-11", tested=("bom",))
    with pytest.raises(ConfigError, match=r"new\.nc: expected a file of the event table"):
        EventSplits(EventOptions(fold="de-2018-07-11")).of("new.nc")


def test_no_spell_s_name_is_a_part_of_a_file_s_name():
    assert not [(spell.name, name) for spell in TABLE.spells() for name in FILES if spell.name in name]


def write(folder, name, size, step=15, missing=()):
    """Write an invented event under a name of the table, on the paper's area."""
    rate = np.tile(np.linspace(0, 5, size[1], dtype=np.float32), (12, size[0], 1))
    first = TABLE.spell_of(name).files[name][0]
    there = [number for number in range(12) if number not in missing]
    times = [first + timedelta(minutes=step * number) for number in there]
    cf.write_dataset(cf.rate_dataset(rate[there], times, RADOLAN_900.resized(*size)), folder / name)


def test_files_of_a_folder_are_divided_by_a_fold_and_state_their_cells(tmp_path):
    for name, size in (("knmi_20100826.nc", (30, 24)), ("fmi_20160928.nc", (24, 24)), ("bom_20201031.nc", (20, 20))):
        write(tmp_path, name, size)
    options = {"fold": "nl-2010-08-26", "height": 12, "width": 12, "crop": 12, "samples": 3, "cadences": [15, 30]}
    options |= {"smallest_pixel_m": 40_000.0, "largest_pixel_m": 60_000.0}
    pixel_m = lambda **more: build(tmp_path, "train", {**options, **more}).pixel_m
    splits: tuple[Split, ...] = ("train", "validation", "test")
    files = {split: [one.path.name for one in build(tmp_path, split, options).series] for split in splits}
    assert files == {"train": ["fmi_20160928.nc"], "validation": ["knmi_20100826.nc"], "test": ["bom_20201031.nc"]}
    assert pixel_m() == pytest.approx(900_000 / 12)
    assert pixel_m(height=24) == pytest.approx(900_000 / np.sqrt(24 * 12))
    with pytest.raises(ValueError, match="pixel_m"):
        pixel_m(pixel_m=7258.0)
    write(tmp_path, "mch_20170131.nc", (48, 48))
    assert len(build(tmp_path, "train", options).series) == 2
    assert pixel_m() == pytest.approx(900_000 / 12)  # both cover the same area


def test_a_cadence_is_drawn_from_the_events_that_have_it(tmp_path):
    write(tmp_path, "fmi_20160928.nc", (24, 24))  # every 15 minutes for three hours
    write(tmp_path, "mch_20170131.nc", (24, 24), step=10, missing=(3, 5))
    options = {"height": 12, "width": 12, "crop": 12, "samples": 8, "min_wet": 0.0}
    options |= {"smallest_pixel_m": 40_000.0, "largest_pixel_m": 60_000.0}
    data = build(tmp_path, "train", {**options, "cadences": [10, 15, 30]})
    names = {cadence: [one.path.name for one in data._fitting(cadence)] for cadence in (10, 15, 30)}
    assert names == {10: ["mch_20170131.nc"], 15: ["fmi_20160928.nc"], 30: ["fmi_20160928.nc", "mch_20170131.nc"]}
    assert all(bool(data[index].future_TCHW.isfinite().any()) for index in range(8))
    with pytest.raises(ConfigError, match="expected an event with a window of fields 7 minutes apart, got none"):
        build(tmp_path, "train", {**options, "cadences": [7]})[0]


def test_a_gap_in_a_short_event_makes_its_windows_shorter(tmp_path):
    write(tmp_path, "fmi_20160928.nc", (24, 24), step=60, missing=(4,))  # 12 hours, with fields 0 to 3 and 5 to 11
    options = {"height": 12, "width": 12, "crop": 12, "samples": 12, "min_wet": 0.0, "cadences": [60]}
    options |= {"smallest_pixel_m": 40_000.0, "largest_pixel_m": 60_000.0}
    data = build(tmp_path, "train", options, input_steps=8, lead_steps=8)
    for index in range(12):
        frames = torch.cat(tuple(data[index]))
        there = frames.isfinite().any(dim=-1).any(dim=-1)[:, 0].tolist()
        assert 3 <= sum(there) <= 7
        assert there[7]


def test_events_that_are_too_large_together_are_read_from_their_files(tmp_path, monkeypatch):
    for name in ("fmi_20160928.nc", "mch_20170131.nc", "knmi_20100826.nc"):
        write(tmp_path, name, (24, 24))
    options = {"fold": "nl-2010-08-26", "height": 12, "width": 12, "crop": 12, "samples": 4, "cadences": [15]}
    options |= {"smallest_pixel_m": 40_000.0, "largest_pixel_m": 60_000.0}
    whole = build(tmp_path, "train", options)
    assert [one._cache is None for one in whole.series] == [False, False]
    monkeypatch.setattr("training.datasets.events.IN_MEMORY_BYTES", 12 * 24 * 24 * 2)
    part = build(tmp_path, "train", options)
    assert [one._cache is None for one in part.series] == [False, True]
    for index in range(4):
        np.testing.assert_allclose(part[index].past_TCHW, whole[index].past_TCHW, rtol=2e-3)
