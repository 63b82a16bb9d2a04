"""The table of events: no spell on two sides of a split, checked from its times, and its times from the files."""

import runpy
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import netCDF4
import pytest
import yaml

from core.errors import ConfigError
from core.times import utc
from training.datasets import event_table
from training.datasets.event_table import load_table
from training.evaluation.event_windows import NATIVE, PAPER, count_windows

UNSEEN = {"opera_germany_20180824.nc", "opera_europe_20180824.nc", "bom_20201031.nc"}
TABLE = load_table()


def table_of(tmp_path, **spells):
    """Load a table whose spells are given as name=(role, {file: [first, last]})."""
    source = {"rates": "surface", "method": "m", "licence": "l", "attribution": "a"}
    entries = {
        name.replace("_", "-"): {"region": "here", "source": "one", "role": role, "files": files}
        for name, (role, files) in spells.items()
    }
    path = tmp_path / "events.yaml"
    path.write_text(yaml.safe_dump({"sources": {"one": source}, "spells": entries}))
    return load_table(path)


def test_every_file_is_in_one_spell_and_the_unseen_ones_are_named():
    names = [name for spell in TABLE.spells() for name in spell.files]
    assert len(names) == len(set(names)) == 39
    assert {name for spell in TABLE.spells("unseen") for name in spell.files} == UNSEEN
    assert len(TABLE.spells("train")) + len(TABLE.spells("unseen")) == len(TABLE.spells()) == 15
    assert TABLE.spell_of("opera_germany_20180824.nc") is TABLE.spell_of(Path("any/opera_europe_20180824.nc"))
    for spell in TABLE.spells():
        assert spell.attribution
        assert spell.licence
        assert spell.fold == (spell.name if spell.role == "train" else None)
        assert spell.name.endswith(f"{min(spell.first, spell.last):%Y-%m-%d}") or spell.name == "se-2015-07-23"


def test_spells_are_a_day_apart_wherever_they_are():
    pairs = list(combinations(TABLE.spells(), 2))
    assert len(pairs) == 105
    for one, other in pairs:
        assert max(one.first, other.first) - min(one.last, other.last) >= timedelta(days=1), (one.name, other.name)


def test_the_kind_of_rates_is_that_of_the_files():
    kinds = {rates: {n.split("_")[0] for s in TABLE.spells() if s.rates == rates for n in s.files} for rates in
             ("surface", "column maximum", "fixed relation")}  # fmt: skip
    assert kinds["column maximum"] == {"it"}
    assert kinds["fixed relation"] == {"smhi", "knmi", "fmi"}
    assert {name for s in TABLE.spells() if s.rates == "fixed relation" for name in s.files if "knmi" in name} == {
        "knmi_refl_20210202.nc",
        "knmi_refl_20210206.nc",
    }


def test_every_fold_leaves_one_spell_out_and_trains_on_no_unseen_one():
    folds = TABLE.folds()
    assert [fold.held_out for fold in folds] == list(TABLE.spells("train"))
    for fold in folds:
        assert fold.name == fold.held_out.fold
        assert fold.held_out not in fold.trained
        assert {*fold.trained, fold.held_out} == set(TABLE.spells("train"))
        held, trained = set(fold.held_out.files), {name for spell in fold.trained for name in spell.files}
        assert not held & trained
        assert not trained & UNSEEN
        assert TABLE.fold(fold.name) == fold
    with pytest.raises(ConfigError, match="expected a spell with the role train, got eu-2018-08-24"):
        TABLE.fold("eu-2018-08-24")
    with pytest.raises(ConfigError, match="de-2018-07-11"):
        TABLE.fold("de-2018-07-12")


def test_the_times_are_those_of_the_files(shared_data):
    folder = shared_data / "events"
    assert TABLE.check(folder) == event_table.FolderCheck((), ())
    for spell in TABLE.spells():
        for name, times in spell.files.items():
            with netCDF4.Dataset(folder / name) as file:
                ends = (file.time_coverage_start, file.time_coverage_end)
                assert tuple(map(utc, ends)) == times, name
                axis = file["time"]
                found = tuple(utc(str(netCDF4.num2date(axis[at], axis.units))) for at in (0, -1))
                assert found == times, name


def test_a_folder_is_compared_by_name(tmp_path):
    for name in ("bom_20201031.nc", "other.nc", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    found = TABLE.check(tmp_path)
    assert found.unknown == ("other.nc",)
    assert "fmi_20160928.nc" in found.missing
    assert "bom_20201031.nc" not in found.missing
    assert len(found.missing) == 38
    with pytest.raises(ConfigError, match=r"other\.nc: expected a file of the event table"):
        TABLE.spell_of(tmp_path / "other.nc")
    with pytest.raises(ConfigError, match="expected a folder"):
        TABLE.check(tmp_path / "missing")


def test_a_table_that_puts_one_spell_on_two_sides_is_refused(tmp_path):
    morning, evening = ["2020-01-01 00:00", "2020-01-01 06:00"], ["2020-01-01 20:00", "2020-01-01 23:00"]
    later, much_later = ["2020-01-02 05:59", "2020-01-02 09:00"], ["2020-01-02 06:00", "2020-01-02 09:00"]
    assert len(table_of(tmp_path, a=("train", {"a.nc": morning}), b=("unseen", {"b.nc": much_later})).spells()) == 2
    for times in (evening, later, morning):
        with pytest.raises(ConfigError, match="expected a pause of 1 day"):
            table_of(tmp_path, a=("train", {"a.nc": morning}), b=("unseen", {"b.nc": times}))
    with pytest.raises(ConfigError, match=r"expected every file once, got a\.nc"):
        table_of(tmp_path, a=("train", {"a.nc": morning}), b=("train", {"a.nc": much_later}))
    with pytest.raises(ConfigError, match="at least one file"):
        table_of(tmp_path, a=("train", {}))


def test_a_file_that_is_no_table_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="expected sources and spells"):
        load_table(tmp_path / "missing.yaml")
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(ConfigError, match="expected sources and spells"):
        load_table(tmp_path / "list.yaml")
    with pytest.raises(ConfigError, match="role"):
        table_of(tmp_path, a=("tested", {"a.nc": ["2020-01-01", "2020-01-01"]}))
    with pytest.raises(ConfigError, match="expected the first time before the last"):
        table_of(tmp_path, a=("train", {"a.nc": ["2020-01-02", "2020-01-01"]}))


def make_page():
    """Return the names of the script that makes the page of events."""
    return runpy.run_path(str(Path(__file__).parents[2] / "docs" / "make_events.py"))


def test_the_page_of_events_is_the_script_s():
    found = (Path(__file__).parents[2] / "docs" / "events.md").read_text("utf-8")
    assert found == make_page()["page"](TABLE), "run: python docs/make_events.py"
    for spell in TABLE.spells():
        for text in (spell.name, spell.attribution, spell.licence, spell.source.method, *spell.files):
            assert text in found


def test_the_page_s_windows_are_those_of_the_files(shared_data, monkeypatch):
    monkeypatch.setattr("training.datasets.cf_fields._check_some", lambda *_: None)  # which reads three fields a file
    stated = make_page()["WINDOWS"]
    assert list(stated) == [spell.name for spell in TABLE.spells()]
    for spell in TABLE.spells():
        native = [count_windows(shared_data / "events" / name, NATIVE) for name in spell.files]
        paper = [count_windows(shared_data / "events" / name, PAPER).windows for name in spell.files]
        sums = [sum(getattr(one, part) for one in native) for part in ("windows", "left_out", "missing_fields")]
        assert (*sums, sum(paper)) == stated[spell.name], spell.name
