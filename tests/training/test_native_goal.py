"""The shipped native model beats persistence and extrapolation on unseen weather, on cells of 1 and 4 km."""

from dataclasses import replace

import pytest

from models import load_forecaster
from tests.training.test_native_checks import NATIVE
from training.evaluation.goal_rows import REFERENCES, GoalRow, goal_rows
from training.native_skill import Scale, scored, spell_runs

FILES = {"bom_20201031.nc": (Scale(10, 2), 5), "opera_germany_20180824.nc": (Scale(15, 4), 3)}
"""Scale and windows: Brisbane on cells of 1 km, Germany on 4 km. They take ten seconds of one core."""


@pytest.fixture(scope="module")
def rows(shared_data) -> dict[float, GoalRow]:
    """Rows of both spells together on the mask `known`, by threshold."""
    baselines = [load_forecaster(name) for name in REFERENCES]
    cases = []
    for name, (scale, windows) in FILES.items():
        (run,) = spell_runs([shared_data / "events" / name], NATIVE, {})
        case = scored(run, scale, baselines, windows, None)
        assert case is not None
        cases.append(replace(case, own=True))
    return {row.threshold_mmh: row for row in goal_rows(cases, NATIVE) if row.group == "all spells"}


@pytest.mark.parametrize(("threshold_mmh", "gain"), [(0.5, 0.1), (2.0, 0.12), (5.0, 0.15)])
def test_it_beats_the_better_baseline(rows, threshold_mmh, gain):
    row = rows[threshold_mmh]
    assert row.events > 10_000
    assert row.gain >= gain, row.means


def test_its_frequency_bias_is_near_1(rows):
    assert 0.75 < rows[0.5].bias[NATIVE] < 1.33
