"""Skill on the sources' own grids: which model scores which spell, gains, and the leads at which it is behind."""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from core.errors import ConfigError
from models.checkpoint import SHIPPED, load_model, read_card, save_model
from tests.training.test_event_skill import write_event
from training.evaluation.event_windows import ANY_LENGTH, NATIVE, count_windows, event_windows
from training.evaluation.goal_rows import THRESHOLDS_MMH, SkillCase, goal_rows, lags
from training.native_skill import Scale, app, folds_of
from verification.counts import Counts
from verification.table import Mask

SPELL, UNSEEN = "nl-2011-09-10", "au-2020-10-31"
FILES = {SPELL: "knmi_20110910_08.nc", UNSEEN: "bom_20201031.nc"}


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """A training spell and an unseen one, four hours of fields every 10 minutes."""
    folder = tmp_path_factory.mktemp("events")
    for day, name in enumerate(FILES.values(), start=1):
        write_event(folder / name, day)
    return folder


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """The shipped native model as one that left the training spell out."""
    folder = next(one.parent for one in SHIPPED.glob("*/model.json") if read_card(one.parent)["kind"] == "native")
    out = tmp_path_factory.mktemp("fold")
    card = read_card(folder)
    save_model(out, load_model(folder), card | {"training": card["training"] | {"without": SPELL}})
    return folder.name, out


def run(*options):
    return CliRunner().invoke(app, list(map(str, options)))


def test_a_spell_is_scored_by_its_fold_and_an_unseen_one_by_the_checkpoint(events, native, tmp_path):
    name, fold = native
    options = ["--data", events, "--checkpoint", name, "--windows", 2, "--scale", "own", "--scale", "30x2"]
    options += ["--journal", tmp_path / "journal", "--json", tmp_path / "skill.json"]
    result = run(*options, "--fold", f"{SPELL}={fold}")
    assert result.exit_code == 0, result.output
    cases = json.loads((tmp_path / "skill.json").read_text())["cases"]
    found = {(case["spell"], case["cadence_minutes"], case["own"], case["windows"]) for case in cases}
    assert found == {(spell, *rest, 2) for spell in FILES for rest in ((10, True), (30, False))}
    assert [case["unseen"] for case in cases] == [False, True, False, True]
    assert f"| {SPELL} (2) |" in result.output
    assert "| all spells (4) |" in result.output
    again = run(*options, "--fold", f"{SPELL}={fold}")
    assert "2 of 2 windows are in the journal" in again.output, "a run goes on where it ended"
    alone = run("--data", events, "--checkpoint", name, "--windows", 1)
    assert SPELL not in alone.output, "without its fold a training spell has no honest score"


def test_a_fold_must_have_left_the_spell_out(events, native):
    name, _ = native
    whole = SHIPPED / name
    result = run("--data", events, "--checkpoint", name, "--fold", f"{SPELL}={whole}")
    assert result.exit_code != 0
    assert "leaves out nl-2011-09-10" in result.output
    with pytest.raises(ConfigError, match="SPELL=CHECKPOINT"):
        folds_of(["nl-2011-09-10"])
    with pytest.raises(ConfigError, match="role train"):
        folds_of([f"{UNSEEN}={whole}"])
    with pytest.raises(ConfigError, match="MINUTESxCELLS"):
        Scale.of("15")


def test_windows_of_a_short_event_and_of_larger_cells(tmp_path):
    path = write_event(tmp_path / "short.nc", 1, fields=13)  # two hours
    assert count_windows(path, NATIVE).windows == 0
    (window,) = event_windows(path, ANY_LENGTH)
    assert np.isnan(window.past_THW[:6]).all(), "fields before the event are missing"
    assert np.isfinite(window.past_THW[6:]).any(axis=(1, 2)).all()
    assert np.isfinite(window.future_LHW).any(axis=(1, 2)).tolist() == [True, True, False, False, False]
    (large,) = event_windows(path, replace(ANY_LENGTH, cell_factor=2, most_cells=20))
    assert large.past_THW.shape[1:] == (20, 20)
    assert large.pixel_m == pytest.approx(2 * window.pixel_m)
    np.testing.assert_allclose(large.past_THW[-1, 0, 0], window.past_THW[-1, 10:12, 10:12].mean(), rtol=1e-5)


def case(spell: str, hits: Mapping[str, tuple[int, ...]], own: bool = True) -> SkillCase:
    """Return a case with these hits and as many misses as make 10,000 observed cells at each of two leads."""
    leads = (5, 15)
    counts: dict[tuple[str, Mask, float], dict[int, Counts]] = {
        (model, "known", mmh): {
            lead: Counts(hits=hit, misses=10_000 - hit) for lead, hit in zip(leads, of_model, strict=True)
        }
        for model, of_model in hits.items()
        for mmh in THRESHOLDS_MMH
    }
    return SkillCase(spell, True, own, 5, 1.0, 3, counts)


def test_the_gain_is_over_the_baseline_with_the_better_mean():
    hits = {"persistence": (2000, 5000), "extrapolation": (4000, 4000), "mine": (5000, 3900)}
    rows = {row.group: row for row in goal_rows([case("a", hits)], "mine") if row.threshold_mmh == 0.5}
    row = rows["all spells"]
    assert row.reference == "extrapolation"
    assert row.gain == pytest.approx(0.445 / 0.4 - 1)
    assert row.bias["mine"] == pytest.approx(0.445)
    assert (row.cells, row.events, row.reached) == (20_000, 20_000, True)
    assert row.interval is None
    assert "folds" not in rows


def test_counts_of_spells_are_added_and_coarser_cells_count_apart():
    mine: dict[str, tuple[int, ...]] = {"persistence": (0, 0), "extrapolation": (4000, 4000)}
    cases = [case(name, mine | {"mine": (hit, hit)}) for name, hit in (("a", 3000), ("b", 5000), ("c", 5500))]
    coarse = case("a", mine | {"mine": (0, 0)}, own=False)
    row = next(row for row in goal_rows([*cases, coarse], "mine") if row.group == "all spells")
    assert row.means["mine"] == pytest.approx(0.45)
    assert row.windows == 9
    assert row.interval is not None
    assert row.interval.low < 0.125 < row.interval.high


def test_every_lead_behind_the_better_baseline_of_that_lead_is_listed():
    hits = {"persistence": (2000, 5000), "extrapolation": (4000, 4000), "mine": (3951, 4940)}
    found = {(lag.group, lag.lead_minutes, lag.reference) for lag in lags([case("a", hits)], "mine")}
    assert found == {("5 min, 1 km", 15, "persistence")}
    two = [case("a", hits), case("b", hits | {"mine": (9000, 9000)})]
    assert {lag.group for lag in lags(two, "mine")} == {"5 min, 1 km, a"}
    assert not list(lags([case("a", hits | {"mine": (3951, 4951)})], "mine")), "0.005 is not behind"
