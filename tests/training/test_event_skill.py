"""Skill on events: same cells for all rows, sums by window, journal, cache, tables, and what is claimed."""

import csv
import json
import time
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from core import cf
from core.errors import ConfigError
from core.grid import RADOLAN_900
from models import load_forecaster
from models.baselines import Persistence
from models.ensembles import StepsEnsemble
from models.fields import ForecastFields
from models.forecaster import Forecaster
from training import evaluate, skill, skill_page
from training.evaluation.event_run import EventPlan, chosen_places, evaluate_events
from training.evaluation.event_windows import NATIVE, PAPER, EventWindow, event_windows
from training.evaluation.journal import WindowJournal
from training.evaluation.skill_rows import common_leads, groups_of, skill_tables
from training.evaluation.skill_sums import (
    RowKey,
    SkillSums,
    compared_window,
    from_text,
    rows_of_leads,
    tiles_of_leads,
    to_text,
)
from training.evaluation.skill_text import csv_text, text_of
from training.evaluation.window_forecasts import LeadFields, enlarged, window_forecasts
from verification.counts import Counts
from verification.table import SumRow

QUICK = replace(PAPER, name="quick", shape=(24, 24), past_minutes=60, fewest=3, lead_minutes=(30, 60))
START = datetime(2020, 1, 1, tzinfo=UTC)


def write_event(path: Path, day: int, *, fields: int = 25, minutes: int = 10) -> Path:
    """Write showers that drift east, with a hole in the north-west."""
    y, x = np.mgrid[:60, :60]
    rate = np.stack([9 * np.exp(-((x - 5 - k / 2) ** 2 + (y - 14 * day) ** 2) / 60) for k in range(fields)])
    rate[:, :6, :6] = np.nan
    times = [START + timedelta(days=day, minutes=minutes * k) for k in range(fields)]
    cf.write_dataset(cf.rate_dataset(rate.astype(np.float32), times, RADOLAN_900.resized(60, 60)), path)
    return path


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Three events, each a spell of its own."""
    folder = tmp_path_factory.mktemp("events")
    return [write_event(folder / f"event_{day}.nc", day) for day in (1, 2, 3)]


def baselines() -> list[Forecaster]:
    return [load_forecaster("persistence"), load_forecaster("extrapolation")]


def window_of(past, future, **more) -> EventWindow:
    """Return a window of small fields with one lead, 30 minutes."""
    past, future = np.asarray(past, np.float32), np.asarray(future, np.float32)
    given = {"lead_minutes": (30,), "cadence_minutes": 30, "pixel_m": 5000.0, "file": "x.nc", "spell": "x"}
    return EventWindow(past, future, reference_time=START, **{**given, **more})


def counts(rows: list[SumRow], model: str, mask: str, mmh: float = 1.0, lead: int = 30) -> Counts:
    """Return the counts of one model, mask, threshold and lead."""
    wanted = (model, mask, "counts", mmh, lead)
    (found,) = [r.sums for r in rows if (r.model, r.mask, r.family, r.threshold_mmh, r.lead_minutes) == wanted]
    assert isinstance(found, Counts)
    return found


def by_hand() -> tuple[EventWindow, dict[str, LeadFields]]:
    """Return a row of four cells: hit, miss where rain flows in, not covered, not observed."""
    window = window_of([[[2, 0, np.nan, 2]]] * 3, [[[2, 2, 2, np.nan]]])
    known = np.array([[[True, False, False, True]]])
    extrapolation = LeadFields((30,), np.array([[[2, np.nan, 2, 2]]], np.float32), known)
    model = LeadFields((30,), np.array([[[2, 2, 2, 2]]], np.float32))
    return window, {"extrapolation": extrapolation, "model": model}


def test_masks_by_hand():
    window, fields = by_hand()
    rows = rows_of_leads(compared_window(fields, window))
    assert counts(rows, "extrapolation", "all") == Counts(hits=1, misses=1)  # its missing value is dry
    assert counts(rows, "model", "all") == Counts(hits=2)
    assert counts(rows, "extrapolation", "known") == counts(rows, "model", "known") == Counts(hits=1)


def test_every_row_has_the_cells_of_all():
    window, fields = by_hand()
    fields["model"] = LeadFields((30,), np.array([[[np.nan, 2, 2, 2]]], np.float32))
    rows = rows_of_leads(compared_window(fields, window))
    assert {counts(rows, name, "all").total for name in fields} == {1}  # a model's missing value is no forecast


def test_counts_by_part_of_the_field():
    window, fields = by_hand()
    tiles = tiles_of_leads(compared_window(fields, window))
    assert tiles["model"].sum(axis=(1, 2)).tolist() == [2, 0, 0]
    assert tiles["extrapolation"][:, 0, :4].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_rows_are_the_same_as_text():
    window, fields = by_hand()
    rows = rows_of_leads(compared_window(fields, window))
    assert from_text(json.loads(json.dumps(to_text(rows)))) == rows


def test_a_model_is_scored_at_its_leads_only():
    rate = np.ones((7, 8, 8), np.float32)
    window = window_of(rate, rate[:3], lead_minutes=(5, 30, 60), cadence_minutes=5, pixel_m=1000.0)
    found = window_forecasts(HalfHourly(), window, own_scale=True)["half-hourly"]
    assert found.lead_minutes == (30, 60)
    assert found.rate_mmh_LHW.shape == (2, 8, 8)
    assert window_forecasts(HalfHourly(), replace(window, lead_minutes=(5, 10)), own_scale=True) == {}
    assert window_forecasts(HalfHourly(), replace(window, cadence_minutes=20), own_scale=True) == {}
    assert window_forecasts(Persistence(), window, own_scale=True)["persistence"].lead_minutes == (5, 30, 60)


class HalfHourly(Forecaster):
    """Forecasts the number of fields that it was given and the size of their cells in km."""

    def __init__(self):
        super().__init__("half-hourly", "1", input_steps=2, cadence_minutes=30, pixel_m=4000.0)

    def _forecast_batch(self, rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m):
        assert cadence_minutes == 30
        rates = np.full((lead_steps, *rate_mmh_BTHW.shape[2:]), len(rate_mmh_BTHW[0]) + pixel_m / 1000, np.float32)
        return [ForecastFields(rates.copy(), np.ones(rates.shape, np.bool_)) for _ in rate_mmh_BTHW]


def test_a_model_gets_fields_at_its_own_cadence_and_cells():
    rate = np.ones((13, 256, 128), np.float32)
    window = window_of(rate, rate[:1], cadence_minutes=5, pixel_m=1000.0)
    found = window_forecasts(HalfHourly(), window, own_scale=True)["half-hourly"]
    # 64 x 64 cells at least: 256 x 128 km become 4 x 2 km, of which the mean edge is the root of 8
    np.testing.assert_allclose(found.rate_mmh_LHW, 2 + np.sqrt(8.0), rtol=1e-6)
    two = replace(window, past_THW=rate[:2], cadence_minutes=30)
    paper = window_forecasts(HalfHourly(), two, own_scale=False)["half-hourly"]
    np.testing.assert_allclose(paper.rate_mmh_LHW, 2 + 1.0)


def test_an_enlarged_field_keeps_its_coverage():
    field = np.array([[[1, 3], [np.nan, 5]]], np.float32)
    large = enlarged(field, (4, 4))[0]
    np.testing.assert_array_equal(np.isfinite(large), np.kron([[1, 1], [0, 1]], np.ones((2, 2))).astype(bool))
    assert large[0].tolist() == [1.0, 1.5, 2.5, 3.0]


def test_sums_do_not_depend_on_the_number_of_windows(events):
    plan = EventPlan((events[0],), QUICK)
    whole = evaluate_events(baselines(), plan)
    together = SkillSums()
    for window in plan.windows(events[0]):
        fields: dict[str, LeadFields] = {}
        for one in baselines():
            fields |= window_forecasts(one, window, own_scale=False)
        together.add("every", window.file, window.spell, rows_of_leads(compared_window(fields, window)))
        tiles = tiles_of_leads(compared_window(fields, window))
        together.add_tiles(window.file, {name: counts.ravel().tolist() for name, counts in tiles.items()})
    assert whole.totals == together.totals
    assert whole.tiles == together.tiles
    assert whole.windows["every", "event_1.nc"] == sum(plan.counts().values()) == 13
    once = SkillSums()
    once.add("every", "event_1.nc", "event_1", rows_of_leads(compared_window(fields, window)))
    assert len(once.totals) == len(whole.totals)


def test_memory_does_not_grow_with_the_number_of_windows(events):
    sums = SkillSums()
    window = next(event_windows(events[0], QUICK))
    fields = {
        name: each for one in baselines() for name, each in window_forecasts(one, window, own_scale=False).items()
    }
    rows = [row for row in rows_of_leads(compared_window(fields, window)) if row.lead_minutes == 30]
    sums.add("every", window.file, window.spell, rows)
    tracemalloc.start()
    for _ in range(200):
        sums.add("every", window.file, window.spell, rows)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (
        grown < 500_000
    )  # of the sums themselves, which are larger numbers now; 200 copies of the rows are above 20 MB
    assert sums.windows["every", "event_1.nc"] == 201


def test_a_run_from_the_journal_is_not_repeated(events, tmp_path, monkeypatch):
    plan, journal = EventPlan(tuple(events[:2]), QUICK, every_minutes=30), tmp_path / "new" / "journal"
    whole = evaluate_events(baselines(), plan, journal=journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 10
    journal.write_bytes(b"".join(lines[:6]) + lines[6][:40])  # a killed process left a part of a line
    again = evaluate_events(baselines(), plan, journal=journal)
    assert again == whole
    assert journal.read_bytes() == b"".join(lines)
    monkeypatch.setattr(Forecaster, "forecast", None)
    assert evaluate_events(baselines(), plan, journal=journal) == whole


@pytest.mark.long
def test_two_processes_give_the_numbers_of_one(events, tmp_path):
    """Long: each process imports the models."""
    plan, journal = EventPlan(tuple(events[:2]), QUICK, every_minutes=60), tmp_path / "journal"
    shared = evaluate_events([*baselines(), load_forecaster("guided")], plan, journal=journal, workers=2)
    assert shared == evaluate_events([*baselines(), load_forecaster("guided")], plan)
    assert shared == evaluate_events([*baselines(), load_forecaster("guided")], plan, journal=journal, workers=2)


def test_a_killed_run_goes_on_with_the_same_numbers(events, tmp_path, start_process):
    plan, journal = EventPlan((events[0],), QUICK, every_minutes=20), tmp_path / "journal"
    process = start_process(
        "from pathlib import Path\nfrom tests.training.test_event_skill import *\n"
        f"plan = EventPlan((Path({str(events[0])!r}),), QUICK, every_minutes=20)\n"
        f"evaluate_events(baselines(), plan, journal=Path({str(journal)!r}))"
    )
    until = time.monotonic() + 60
    while not journal.exists() or journal.read_bytes().count(b"\n") < 3:
        assert process.is_alive()
        assert time.monotonic() < until
        time.sleep(0.002)
    process.kill()
    process.join()
    assert 2 <= journal.read_bytes().count(b"\n") - 1 < 7
    assert evaluate_events(baselines(), plan, journal=journal) == evaluate_events(baselines(), plan)


def test_a_journal_of_another_run_is_refused(events, tmp_path):
    journal = tmp_path / "journal"
    evaluate_events(baselines(), EventPlan((events[0],), QUICK, every_minutes=60), journal=journal)
    with pytest.raises(ConfigError, match="every_minutes was 60, is 30"):
        evaluate_events(baselines(), EventPlan((events[0],), QUICK, every_minutes=30), journal=journal)
    journal.write_bytes(b"radar\n")
    with pytest.raises(ConfigError, match="got another file"):
        WindowJournal(journal, {})


@pytest.mark.parametrize("content", [b"notes\nof mine", b"one line", b'{"kept": 1}\nand more', b"[1]\nand more"])
def test_a_file_that_is_no_journal_of_this_run_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="expected the journal of"):
        WindowJournal(path, {"protocol": "native"})
    assert path.read_bytes() == content


def test_a_plan_of_which_a_part_was_written_is_written_again(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(b'{"protoc')
    with WindowJournal(path, {"protocol": "native"}) as book:
        assert list(book.windows()) == []
    assert path.read_bytes() == b'{"protocol": "native"}\n'


@pytest.mark.parametrize("line", [b"AAAA\n", b"no line of a journal\n"])
def test_a_damaged_line_of_a_journal_is_named(tmp_path, line):
    path = tmp_path / "journal"
    with WindowJournal(path, {}) as book:
        book.append({"place": 0})
    path.write_bytes(path.read_bytes() + line)
    with WindowJournal(path, {}) as book, pytest.raises(ConfigError, match="expected a window in line 3, got a dam"):
        list(book.windows())


def test_steps_is_run_on_some_windows_and_compared_on_these(events, tmp_path):
    steps = StepsEnsemble(members=3)
    plan = EventPlan((events[0],), QUICK, every_minutes=30, ensemble_windows=2)
    first = evaluate_events([*baselines(), steps], plan, cache=tmp_path)
    assert first.windows == {("every", "event_1.nc"): 5, ("ensemble", "event_1.nc"): 2}
    models = {part: {key.model for key in first.totals if key.part == part} for part in ("every", "ensemble")}
    assert models["ensemble"] == models["every"] | {"steps", "steps-pmm"}
    every, ensemble = skill_tables(first)
    assert (every.windows, ensemble.windows) == (5, 2)
    assert len({row.cells for row in ensemble.find("all", "csi", 0.5)}) == 1
    files = sorted(tmp_path.glob("steps-*.npz"))
    assert len(files) == 2
    changed = {path: path.stat().st_mtime_ns for path in files}
    again = evaluate_events([*baselines(), steps], plan, cache=tmp_path)
    assert again == first == evaluate_events([*baselines(), steps], plan)
    assert {path: path.stat().st_mtime_ns for path in files} == changed
    evaluate_events([*baselines(), StepsEnsemble(members=3, seed=1)], plan, cache=tmp_path)
    assert len(list(tmp_path.glob("steps-*.npz"))) == 4


def test_windows_of_steps_are_spread_evenly():
    assert chosen_places(3, 20) == {0, 1, 2}
    assert chosen_places(101, 3) == {0, 50, 100}
    assert chosen_places(10, 0) == set()
    assert len(chosen_places(1000, 20)) == 20


def test_no_window_is_an_error_that_names_what_there_is(events, tmp_path):
    short = write_event(tmp_path / "short.nc", 5, fields=9)
    with pytest.raises(ConfigError, match=r"got none in short.nc: 9 fields over 80 minutes, 10 apart"):
        evaluate_events(baselines(), EventPlan((short,), NATIVE))
    some = evaluate_events(baselines(), EventPlan((short, events[0]), QUICK))
    assert set(some.spells) == {"event_1.nc"}


def table_sums() -> SkillSums:
    """Return sums of three spells: `model` hits all, persistence half, extrapolation nine tenths."""
    sums = SkillSums()
    for spell in ("a", "b", "c"):
        for model, hits in (("persistence", 5000), ("extrapolation", 9000), ("model", 10_000)):
            rows = [
                SumRow(model, lead, "counts", Counts(hits, 10_000 - hits, 0, 5000), mmh, None, mask)
                for mask in ("all", "known")
                for lead in ((30, 60) if spell == "a" else (15, 30, 60))
                for mmh in (0.1, 0.5)
            ]
            sums.add("every", f"{spell}.nc", spell, rows)
    return sums


def test_tables_compare_with_the_better_baseline_over_spells():
    sums = table_sums()
    assert [group.name for group in groups_of(sums)] == ["all spells", "a", "b", "c"]
    assert [group.name for group in groups_of(sums, ["c.nc"])] == ["all spells", "a", "b", "c.nc"]
    whole, of_a, *_ = skill_tables(sums)
    assert whole.leads == (30, 60)
    assert whole.spells == 3
    row = whole.find("all", "csi", 0.5)[2]
    assert (row.model, row.cells, row.events) == ("model", 90_000, 60_000)
    assert row.by_lead == {15: 1.0, 30: 1.0, 60: 1.0}
    assert row.means["leads"].value == 1.0
    assert [(one.reference, one.mean, one.verdict) for one in row.comparisons] == [
        ("extrapolation", "pooled", "better"),
        ("extrapolation", "leads", "better"),
    ]
    assert row.comparisons[0].difference == pytest.approx(0.1)
    far = whole.find("all", "far", 0.5)[2]
    assert far.comparisons[0].verdict == "cannot be distinguished"
    alone = of_a.find("all", "csi", 0.5)[2]
    assert alone.means["pooled"].interval is None
    assert alone.comparisons[0].verdict == "too few spells"


def test_few_observed_cells_claim_nothing():
    sums = SkillSums()
    for spell in "abc":
        for model, hits in (("persistence", 1), ("extrapolation", 2), ("model", 300)):
            rows = [SumRow(model, 30, "counts", Counts(hits, 600 - hits), 0.5, None, mask) for mask in ("all", "known")]
            sums.add("every", spell, spell, rows)
    whole = next(skill_tables(sums))
    assert whole.find("all", "csi", 0.5)[2].comparisons[0].verdict == "too few observed cells"


def test_a_spell_that_a_model_lacks_is_left_out_of_all_rows():
    sums = table_sums()
    for key in [key for key in sums.totals if key.model == "model" and key.file == "c.nc"]:
        del sums.totals[key]
    whole = next(skill_tables(sums))
    assert whole.spells == 2
    assert {row.events for row in whole.find("all", "csi", 0.5)} == {40_000}


def test_common_leads_are_those_of_every_row():
    rows = {
        RowKey("all", "a", "counts", 1.0, None): {"x": {15: Counts(), 30: Counts()}},
        RowKey("all", "b", "counts", 1.0, None): {"x": {30: Counts()}},
    }
    assert common_leads(rows) == (30,)


def test_text_fits_and_csv_has_every_value():
    whole = next(skill_tables(table_sums()))
    text = text_of(whole)
    assert max(map(len, text.splitlines())) <= 120
    assert "model to extrapolation: pooled +0.100 (+0.100 to +0.100) better" in text
    rows = list(csv.DictReader(csv_text([whole]).splitlines()))
    (found,) = [
        row
        for row in rows
        if (row["mask"], row["model"], row["score"], row["threshold_mmh"], row["lead"])
        == ("known", "model", "csi", "0.5", "leads")
    ]
    assert (found["value"], found["reference"], found["verdict"]) == ("1", "extrapolation", "better")
    assert (found["cells"], found["events"]) == ("90000", "60000")
    of_leads = {
        row["lead"]: (row["cells"], row["events"])
        for row in rows
        if (row["mask"], row["model"], row["score"], row["threshold_mmh"]) == ("all", "model", "csi", "0.5")
        and row["lead"].isdigit()
    }
    assert of_leads == {"15": ("30000", "20000"), "30": ("45000", "30000"), "60": ("45000", "30000")}


def test_a_file_counts_once_and_two_of_one_name_are_refused(events, tmp_path, monkeypatch):
    monkeypatch.chdir(events[0].parent)
    named = [events[0], events[0].parent, Path(events[0].name)]
    assert skill.event_files(named) == tuple(sorted(events))
    other = tmp_path / events[0].name
    other.write_bytes(events[0].read_bytes())
    with pytest.raises(ConfigError, match=f"expected files of different names, got two of {events[0].name}"):
        skill.event_files([*events, other])


def test_a_file_that_is_not_pooled_must_be_one_of_the_data(events):
    options = skill.SkillOptions(QUICK, unpooled=("event_9.nc",))
    with pytest.raises(ConfigError, match=r"--beside: expected names of files of --data, got event_9\.nc"):
        skill.report(baselines(), [events[0]], options, "training.skill")


def test_the_command_writes_text_csv_json_and_the_page(events, tmp_path, monkeypatch):
    monkeypatch.setattr(skill, "PAPER", QUICK)
    arguments = [word for path in events for word in ("--data", str(path))]
    files = ["--json", str(tmp_path / "s.json"), "--csv", str(tmp_path / "s.csv"), "--journal", str(tmp_path / "j")]
    arguments += ["--checkpoint", "sprog", "--every-minutes", "120", "--ensemble-windows", "0", *files]
    done = CliRunner().invoke(skill.app, arguments)
    assert done.exit_code == 0, done.output
    assert "all spells: 3 windows of 3 spells of weather" in done.output
    table = json.loads((tmp_path / "s.json").read_text())
    assert str(events[0].parent) not in table["command"]
    assert table["tables"][0]["group"] == "all spells"
    assert len((tmp_path / "s.csv").read_text().splitlines()) > 100
    made = CliRunner().invoke(
        skill_page.app, ["--json", str(tmp_path / "s.json"), "--out", str(tmp_path / "page"), "--model", "sprog"]
    )
    assert made.exit_code == 0, made.output
    page = (tmp_path / "page" / "README.md").read_text()
    rows = list(csv.DictReader((tmp_path / "page" / "csi.csv").read_text().splitlines()))
    assert {row["lead"] for row in rows} == {"30", "60", "pooled", "leads"}
    assert {row["model"] for row in rows} == {"persistence", "extrapolation", "sprog"}
    for figure in ("csi_by_lead.png", "performance.png", "reliability.png", "spectra.png", "maps.png"):
        assert f"({figure})" in page
        assert (tmp_path / "page" / figure).stat().st_size > 3000


def test_evaluate_has_the_windows_of_skill(events, tmp_path, monkeypatch):
    monkeypatch.setitem(evaluate.EVENT_WINDOWS, evaluate.Protocol.native, replace(QUICK, every_minutes=60))
    monkeypatch.setattr(skill.SkillOptions, "baselines", ())
    shared = ["--checkpoint", "persistence", "--protocol", "native"]
    done = CliRunner().invoke(evaluate.app, [*shared, "--data", str(events[0]), "--csv", str(tmp_path / "x.csv")])
    assert done.exit_code == 0, done.output
    assert "event_1: 3 windows of 1 spell of weather" in done.output
    assert (tmp_path / "x.csv").read_text().startswith("group,part,windows")
    refused = CliRunner().invoke(evaluate.app, shared)
    assert refused.exit_code == 2
    assert "--data: expected a NetCDF file of an event" in refused.output
