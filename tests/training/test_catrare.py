"""The benchmark of RainNet2024: sums of the next hour, masks, choice of windows, state, report."""

import csv
import io
import json
from datetime import timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from core.errors import ConfigError
from models import ForecastFields, load_forecaster
from models.forecaster import Forecaster
from tests.training import radklim_days as days
from tests.training.radklim_days import START
from training import evaluate
from training.catrare import run
from training.catrare.catalogue import CatalogueEvent
from training.catrare.protocol import CatrareProtocol, WindowTally
from training.catrare.report import DIFFERENCES, PUBLISHED, CatrareResult
from training.catrare.run import run_catrare
from training.catrare.scoring import HourForecast, HourKey, HourScores, next_hour, window_sums
from training.catrare.windows import HourWindow
from verification.counts import Counts
from verification.scores.brier import BrierSums

THRESHOLDS = (5.0, 10.0)
PROTOCOL = CatrareProtocol(size_cells=64, past_fields=6, every_minutes=30, thresholds_mm=(1.0, 40.0))
EVENT = CatalogueEvent("7", START, START + timedelta(hours=1), 9.0, 51.0)
NAN = np.nan


def window(observed_mm_HW, newest_HW=None, event=EVENT):
    observed_mm_HW = np.array(observed_mm_HW, np.float32)
    newest_HW = np.zeros_like(observed_mm_HW) if newest_HW is None else np.array(newest_HW, np.float32)
    return HourWindow(event, START, np.stack([newest_HW] * 5), observed_mm_HW)


class Fixed(Forecaster):
    """Forecasts given rates at each lead, and given members."""

    def __init__(self, rate_mmh_LHW, members_MLHW=None, factor=1):
        super().__init__("fixed", "1", input_steps=1, cadence_minutes=5, pixel_m=1000.0)
        self.fields = np.array(rate_mmh_LHW, np.float32), members_MLHW, factor

    def forecast(self, rate_mmh_THW, lead_steps=5, *, cadence_minutes=None, pixel_m=None, members=0):
        assert (lead_steps, cadence_minutes, pixel_m) == (12, 5, 1000.0)
        rate_mmh_LHW, members_MLHW, factor = self.fields
        known_LHW = np.ones(rate_mmh_LHW.shape, bool)
        known_LHW[-1, 0, 0] = False
        return ForecastFields(rate_mmh_LHW, known_LHW, members_MLHW=members_MLHW, probability_grid_factor=factor)

    def _forecast_batch(self, rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m):
        raise NotImplementedError


def test_the_sum_of_an_hour_is_the_mean_of_its_twelve_rates():
    rate_mmh_LHW = np.zeros((12, 2, 2))
    rate_mmh_LHW[:, 0, 1] = np.arange(12)
    rate_mmh_LHW[3:, 1, 0] = 24.0
    found = next_hour(Fixed(rate_mmh_LHW), np.zeros((5, 2, 2), np.float32), THRESHOLDS)
    assert found.sum_mm_HW.tolist() == [[0.0, 5.5], [18.0, 0.0]]
    assert found.known_HW.tolist() == [[False, True], [True, True]], "inflow at the last lead is inflow of the hour"
    assert found.probability_KHW is None


@pytest.mark.parametrize(("count", "half"), [(4, 30.0), (3, 20.0), (1, 10.0)])
def test_half_of_the_members_reach_the_sum_that_is_forecast(count, half):
    members_MLHW = np.zeros((count, 12, 1, 1), np.float32)
    members_MLHW[:, :, 0, 0] = 10.0 * np.arange(1, count + 1)[:, None]
    found = next_hour(Fixed(np.zeros((12, 2, 2)), members_MLHW, 2), np.zeros((5, 2, 2), np.float32), (half, half + 1))
    assert found.sum_mm_HW.tolist() == [[half, half], [half, half]], "members stand on cells twice as large"
    assert found.probability_KHW is not None
    assert found.probability_KHW[0, 1, 1] >= 0.5 > found.probability_KHW[1, 1, 1]


def test_cells_without_an_observation_do_not_count_and_a_missing_forecast_is_dry():
    observed = [[5.0, 4.99, 12.0], [6.0, 7.0, NAN]]
    newest = [[0.0, 0.0, 0.0], [0.0, NAN, 0.0]]
    sums = HourForecast(np.array([[5.0, 9.0, NAN], [0.0, 9.0, 9.0]], np.float32), np.ones((2, 3), bool))
    known = HourForecast(np.zeros((2, 3), np.float32), np.array([[True, True, False], [True, True, True]]))
    found = window_sums(window(observed, newest), {"extrapolation": known, "m": sums}, THRESHOLDS)
    assert found[HourKey("m", "counts", 5.0, "all", "every")] == Counts(1, 2, 1, 0)
    assert found[HourKey("m", "counts", 10.0, "all", "every")] == Counts(0, 1, 0, 3)
    assert found[HourKey("m", "counts", 5.0, "known", "every")] == Counts(1, 1, 1, 0), "extrapolation's mask, for all"
    assert found[HourKey("extrapolation", "counts", 5.0, "known", "every")] == Counts(0, 2, 0, 1)


def test_a_window_that_does_not_reach_the_threshold_counts_for_every_window_alone():
    forecasts = {"extrapolation": HourForecast(np.full((1, 2), 20.0, np.float32), np.ones((1, 2), bool))}
    found = window_sums(window([[5.0, 9.99]]), forecasts, THRESHOLDS)
    assert found[HourKey("extrapolation", "counts", 5.0, "all", "reached")] == Counts(2, 0, 0, 0)
    assert found[HourKey("extrapolation", "counts", 10.0, "all", "every")] == Counts(0, 0, 2, 0)
    assert HourKey("extrapolation", "counts", 10.0, "all", "reached") not in found
    equal = window_sums(window([[5.0, 4.0]]), forecasts, THRESHOLDS)
    assert equal[HourKey("extrapolation", "counts", 5.0, "all", "reached")] == Counts(1, 0, 1, 0)


def test_probabilities_of_members_have_a_brier_score():
    half = HourForecast(np.zeros((1, 2), np.float32), np.array([[True, False]]), np.full((2, 1, 2), 0.5, np.float32))
    found = window_sums(window([[20.0, 0.0]]), {"extrapolation": half}, THRESHOLDS)
    assert found[HourKey("extrapolation", "brier", 5.0, "all", "reached")] == BrierSums(500_000_000, 1, 2)
    assert found[HourKey("extrapolation", "brier", 5.0, "known", "reached")] == BrierSums(250_000_000, 1, 1)


def scores_of(days_csi):
    """Scores with one window a day: (hits, misses) of the model, and of both baselines half of the hits."""
    scores = HourScores()
    for day, (hits, misses) in enumerate(days_csi):
        event = CatalogueEvent(str(day), START + timedelta(days=day), START + timedelta(days=day, hours=1), 9.0, 51.0)
        found = {}
        for name, share in (("persistence", 4), ("extrapolation", 2), ("fixed", 1)):
            key = HourKey(name, "counts", 5.0, "all", "reached")
            got = hits // share
            found[key] = Counts(got, hits + misses - got, 0, 0)
        scores.add(window([[6.0]], event=event), found)
    return scores


def result_of(scores):
    forecasters = (load_forecaster("persistence"), load_forecaster("extrapolation"), Fixed(np.zeros((12, 1, 1))))
    tally = WindowTally(planned=9, complete=scores.number)
    return CatrareResult(CatrareProtocol(thresholds_mm=(5.0,)), scores, tally, forecasters, 9)


def test_counts_are_pooled_over_events_and_compared_over_days():
    result = result_of(scores_of([(1600, 400), (800, 200), (400, 600)]))
    persistence, extrapolation, model = result.rows("reached", "all", 5.0)
    assert (persistence.csi, extrapolation.csi, model.csi) == (700 / 4000, 1400 / 4000, 2800 / 4000)
    assert (model.windows, model.cells, model.observed) == (3, 4000, 4000)
    assert model.csi_90.low == pytest.approx(1600 / 3000), "the day of 0.4 three times is drawn in 1 of 27"
    assert model.csi_90.high == pytest.approx(0.8)
    assert (model.reference, model.claim) == ("extrapolation", "better")
    assert model.difference == pytest.approx(0.35)
    assert persistence.claim is None


def test_nothing_is_claimed_of_few_cells_or_days():
    few_cells = result_of(scores_of([(160, 40), (80, 20), (40, 60)])).rows("reached", "all", 5.0)[-1]
    few_days = result_of(scores_of([(1600, 400), (800, 200)])).rows("reached", "all", 5.0)[-1]
    assert few_cells.claim == "too few observed cells"
    assert (few_days.claim, few_days.csi_90) == ("too few spells", None)


def test_events_of_one_day_are_one_unit_of_the_bootstrap():
    scores = scores_of([(1600, 400), (800, 200), (400, 600)])
    same_day = CatalogueEvent("other", START, START + timedelta(hours=3), 8.0, 50.0)
    key = HourKey("fixed", "counts", 5.0, "all", "reached")
    scores.add(window([[6.0]], event=same_day), {key: Counts(10, 0, 0, 0)})
    assert scores.by_day(key)[same_day.day] == Counts(1610, 400, 0, 0)
    assert len(scores.by_day(key)) == 3
    assert scores.events[same_day.day] == ["0", "other"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catrare")
    days.write_month(folder / "radklim", days.times(4))
    hour = timedelta(hours=1)
    rows = [("1", START + hour, START + 2 * hour), ("2", START + 1.5 * hour, START + 2.5 * hour)]
    return folder / "radklim", days.write_catalogue(folder / "catrare.csv", rows)


class Perfect(Forecaster):
    """Forecasts the rain of the invented days, which moves one cell a step."""

    minimum_steps = 5

    def __init__(self, fails_after=10**6):
        super().__init__("perfect", "1", input_steps=5, cadence_minutes=5, pixel_m=1000.0)
        self.calls, self.fails_after = 0, fails_after

    def _forecast_batch(self, rate_mmh_BTHW, lead_steps, cadence_minutes, pixel_m):
        self.calls += 1
        if self.calls > self.fails_after:
            raise KeyboardInterrupt
        newest_HW = rate_mmh_BTHW[0, -1]
        moved_LHW = np.zeros((lead_steps, *newest_HW.shape), np.float32)
        for lead in range(1, lead_steps + 1):
            moved_LHW[lead - 1, :, lead:] = newest_HW[:, :-lead]
        return [ForecastFields.known_in_coverage(moved_LHW, newest_HW)]


@pytest.fixture(scope="module")
def result(files):
    return run_catrare([Perfect()], *files, protocol=PROTOCOL)


def test_a_run_scores_baselines_and_model_on_the_same_cells(result):
    for starts in ("reached", "every"):
        for mask in ("all", "known"):
            rows = result.rows(starts, mask, 1.0)
            assert [row.model for row in rows] == ["persistence", "extrapolation", "perfect"]
            assert len({(row.cells, row.observed, row.windows) for row in rows}) == 1
            assert rows[0].observed > 500
    persistence, extrapolation, perfect = result.rows("reached", "all", 1.0)
    assert perfect.csi > 0.99
    assert persistence.csi < extrapolation.csi < perfect.csi
    assert (result.tally.planned, result.tally.complete, result.tally.incomplete) == (8, 7, 1)
    assert result.rows("reached", "all", 40.0)[0].windows == 0
    assert result.rows("every", "all", 40.0)[0].windows == 7


def test_the_text_has_the_published_values_and_fits_120_columns(result):
    text = CatrareResult(
        CatrareProtocol(size_cells=64, thresholds_mm=(1.0,)), result.scores, result.tally, result.forecasters, 2
    ).to_text()
    assert max(map(len, text.splitlines())) <= 120
    assert "2 of 2 events on 1 days; 7 of 8 windows" in text
    assert "published:" not in text.split("differences")[0]
    published = CatrareResult(PROTOCOL, HourScores(), result.tally, result.forecasters, 2)
    five = CatrareResult(CatrareProtocol(), HourScores(), result.tally, result.forecasters, 2).to_text()
    assert "published: RainNet2024-S 0.402, RainNet2024 0.340, pysteps 0.285, persistence 0.215" in five
    assert max(map(len, five.splitlines())) <= 120
    assert {what for what, _, _ in published.differences()} >= {what for what, _, _ in DIFFERENCES} | {"starts", "size"}


def test_json_and_csv_have_every_row(result):
    document = json.loads(json.dumps(result.to_dict()))
    table = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert len(document["rows"]) == len(table) == 2 * 2 * 2 * 3
    assert document["published"]["csi"]["RainNet2024-S"]["10.0"] == PUBLISHED["RainNet2024-S"][10.0]
    assert document["windows"]["incomplete"] == 1
    assert {row["model"] for row in table} == {"persistence", "extrapolation", "perfect"}
    assert float(table[0]["csi"]) == document["rows"][0]["csi"]


def test_an_interrupted_run_goes_on_and_has_the_same_numbers(files, result, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SAVE_EVERY_S", -1.0)
    state = tmp_path / "state.json"
    with pytest.raises(KeyboardInterrupt):
        run_catrare([Perfect(fails_after=4)], *files, protocol=PROTOCOL, journal=state)
    resumed = Perfect()
    found = run_catrare([resumed], *files, protocol=PROTOCOL, journal=state)
    assert resumed.calls < 7
    assert found.to_dict() == result.to_dict()
    finished = Perfect()
    assert run_catrare([finished], *files, protocol=PROTOCOL, journal=state).to_dict() == result.to_dict()
    assert finished.calls == 0


def test_the_state_of_another_run_is_refused(files, tmp_path):
    state = tmp_path / "state.json"
    run_catrare([], *files, protocol=PROTOCOL, journal=state)
    other = CatrareProtocol(size_cells=32, past_fields=6, every_minutes=30, thresholds_mm=(1.0, 40.0))
    with pytest.raises(ConfigError, match="got one with another protocol"):
        run_catrare([], *files, protocol=other, journal=state)
    state.write_text("{}")
    with pytest.raises(ConfigError, match="expected the state of a run"):
        run_catrare([], *files, protocol=PROTOCOL, journal=state)


def test_no_window_is_an_error_that_names_what_was_found(files, tmp_path):
    (tmp_path / "raa01-yw2017.002_10000-1906111500-dwd---bin").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=r"got 0 of 8: 8 lack a field.* 1 files were not read.*1906111500"):
        run_catrare([], tmp_path, files[1], protocol=PROTOCOL)
    with pytest.raises(ConfigError, match="got nothing there"):
        run_catrare([], tmp_path / "other", files[1], protocol=PROTOCOL)


def command(*arguments):
    return CliRunner().invoke(evaluate.app, ["--protocol", "catrare", *map(str, arguments)])


SETS = (
    "--set",
    "size_cells=64",
    "--set",
    "past_fields=6",
    "--set",
    "every_minutes=30",
    "--set",
    "thresholds_mm=[1, 5]",
)


def test_the_command_prints_the_tables_and_writes_json_and_csv(files, tmp_path):
    folder, catalogue = files
    out = [tmp_path / name for name in ("rows.json", "rows.csv", "journal.json")]
    arguments = ("--checkpoint", "extrapolation", "--data", folder, "--catalogue", catalogue, *SETS)
    found = command(*arguments, "--json", out[0], "--csv", out[1], "--journal", out[2])
    assert found.exit_code == 0, found.output
    assert "1 mm, mask known: 7 windows that reach it" in found.output
    assert "5 mm, mask all" in found.output
    document = json.loads(out[0].read_text())
    assert document["command"].startswith("python -m training.evaluate")
    assert len(document["rows"]) == len(list(csv.DictReader(io.StringIO(out[1].read_text())))) == 2 * 2 * 2 * 2
    assert out[2].exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected --data FOLDER of RADKLIM YW and --catalogue FILE of CatRaRE"),
        (("--set", "every_minutes=soon"), "every_minutes"),
        (("--set", "every_minutes=7"), "expected a multiple of 5"),
        (("--set", "stride=7"), "stride"),
        (("--set", "members=many"), "members: expected a whole number"),
    ],
)
def test_what_the_command_cannot_use_is_refused_in_one_line(files, arguments, message):
    given = ("--data", files[0], "--catalogue", files[1]) if arguments else ()
    found = command("--checkpoint", "persistence", *given, *arguments)
    assert found.exit_code != 0
    assert message in found.output
    assert "Traceback" not in found.output
