"""The fit of the native model: drawn cells, the optimiser, and folds."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from core import cf
from core.grid import RADOLAN_900
from models.checkpoint import load_model, read_card
from models.guided.pointwise import PREDICTORS, PointwiseModel
from training import fit_native
from training.datasets.series import open_series
from training.fit_native import app
from training.native_samples import CELLS, Samples, blocks, series_window, variants, window_samples

SPELLS = ("de-2018-07-11", "nl-2011-09-10")


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Two hours of showers that drift east, every 10 minutes, with one missing scan."""
    y, x = np.mgrid[:64, :72]
    rate = np.stack([8 * np.exp(-((x - 10 - 3 * t) ** 2 + (y - 30) ** 2) / 60) for t in range(13)]).astype(np.float32)
    times = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=10 * t) for t in range(13) if t != 2]
    path = tmp_path_factory.mktemp("event") / "event.nc"
    cf.write_dataset(cf.rate_dataset(np.delete(rate, 2, axis=0), times, RADOLAN_900.resized(64, 72)), path)
    return open_series(path)


def test_a_window_has_the_last_hour_and_the_leads_that_exist(series):
    past, future = series_window(series, 6, 10, 1)
    assert past.shape == (7, 64, 72)
    assert np.isnan(past).all(axis=(1, 2)).tolist() == [False, True, *[False] * 5]
    assert sorted(future) == [1, 2, 3]  # 10, 20 and 30 minutes; 40 and 50 are no leads of samples


def test_samples_stand_for_all_cells_of_a_lead(series):
    past, future = series_window(series, 7, 10, 1)
    samples = window_samples(past, future, 10, 1.0, 200, np.random.default_rng(0))
    assert samples is not None
    for step, observed in future.items():
        chosen = samples.minutes_N == step * 10
        assert samples.weight_N[chosen].sum() == pytest.approx(1, rel=1e-5)
        wet = (samples.weight_N * (samples.rate_mmh_N >= 1))[chosen].sum()
        assert wet == pytest.approx((observed >= 1).mean(), rel=0.35)
    assert samples.x_NF.shape[1] == len(PREDICTORS)
    assert CELLS >= 200


def test_blocks_are_means_of_observed_cells():
    field = np.arange(20, dtype=np.float32).reshape(4, 5)
    field[0, :2] = np.nan
    np.testing.assert_array_equal(blocks(field, 2)[0], [5.5, np.float32((2 + 3 + 7 + 8) / 4)])


def test_variants_are_multiples_of_the_source(series):
    for seed in range(8):
        (own, block), *coarser = variants(series, np.random.default_rng(seed))
        assert (own, block) == (10, 1)
        assert all(cadence in (10, 30) and each >= 1 for cadence, each in coarser)


def _drawn(folder, spell, seed):
    """Cells whose rate is that of the carried field."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(1500, len(PREDICTORS))).astype(np.float16)
    x[:, 0] = np.abs(x[:, 0]) * 2
    rate = np.asarray(np.expm1(x[:, 0].astype(np.float32)) * 0.1, np.float32)
    x[:, PREDICTORS.index("origin_seen")] = 1
    minutes = random.choice([5, 60], 1500).astype(np.float32)
    columns = Samples(x, minutes, rate, np.full(1500, 1 / 1500, np.float32))
    np.savez(folder / f"{spell}_{seed}.npz", spell=spell, pixel_km=1.0, own_grid=True, **vars(columns))


def test_a_fit_without_a_spell_does_not_have_its_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_native, "PER_LEAD", 64)
    monkeypatch.setattr(fit_native, "LEARNING_RATE", 0.1)
    samples = tmp_path / "samples"
    samples.mkdir()
    for number, spell in enumerate(SPELLS):
        _drawn(samples, spell, number)
    run = CliRunner().invoke
    common = ["fit", "--samples", str(samples), "--hidden", "2"]
    for extra in (
        ["--out", str(tmp_path / "all"), "--epochs", "0.1"],
        ["--out", str(tmp_path / "fold"), "--epochs", "6", "--without", SPELLS[0]],
    ):
        result = run(app, [*common, *extra])
        assert result.exit_code == 0, result.output
    model = load_model(tmp_path / "fold")
    assert isinstance(model, PointwiseModel)
    assert model.weight_TPFU[0, 0, 0, model.hidden :][2] > 0.1, "the logit rises with the carried rate"
    assert read_card(tmp_path / "fold")["training"]["windows"] == {SPELLS[1]: 1}
