"""The training of the native model's network: windows, crops, the loss, and a run that can be stopped."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from core import cf
from core.errors import ConfigError
from core.grid import RADOLAN_900
from models.checkpoint import load_model, read_card, save_model
from models.guided.moving import NETWORK_LEADS
from models.guided.network import RATES_MMH
from models.guided.pointwise import PointwiseModel
from training import train_native
from training.fit_native import card_of
from training.network_fit import NetworkFit, NetworkOptions, crop_of, turned
from training.network_samples import LeadCells, NetworkWindow, read_windows, varied, window_columns
from training.network_score import network_table, scored_windows
from training.train_native import app, check_origin, options_of, save_network

FILES = {
    "smhi_goteborg_20150723.nc": datetime(2015, 7, 23, tzinfo=UTC),
    "knmi_20100826.nc": datetime(2010, 8, 26, tzinfo=UTC),
}
SMALL = NetworkOptions(hidden_channels=4, num_layers=2, steps=50, learning_rate=0.015)


def _window(seed, spell="a", size=32):
    """A window whose logits are too low where its newest frame is high, and too high elsewhere."""
    random = np.random.default_rng(seed)
    frames = random.uniform(0, 2, (4, 3, size, size)).astype(np.float16)
    frames[:, 2] = 1
    frames[-1, 0] = np.kron(random.integers(0, 2, (size // 8, size // 8)), np.full((8, 8), 2))
    prior = np.full((len(NETWORK_LEADS), len(RATES_MMH), size, size), -1.0, np.float16)
    y, x = (part.ravel().astype(np.float32) for part in np.mgrid[:size, :size])
    wetter = frames[-1, 0].ravel() > 1
    cells = []
    for minutes in (60, 150):
        chance = 1 / (1 + np.exp(1 - np.where(wetter, 1.5, -1.5)))
        above = np.where(random.random(size * size) < chance, len(RATES_MMH), 0).astype(np.uint8)
        logits = np.full((size * size, len(RATES_MMH)), -1.0, np.float16)
        cells.append(LeadCells(minutes, np.stack([x, y], 1), logits, above, np.ones(size * size, np.bool_)))
    return NetworkWindow(spell, 4.0, frames, prior, tuple(cells))


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_turned_crop_has_the_same_values_at_its_cells(turns, mirror):
    window, part = _window(0), (slice(4, 20), slice(10, 30))
    crop = turned(window, part, turns, mirror)
    cells = crop.cells[60]
    values = torch.nn.functional.grid_sample(
        crop.frames_TCHW[None, -1], cells.place_N2[None, None], align_corners=False
    )
    lead = window.cells[0]
    inside = [(4 <= y <= 19) and (10 <= x <= 29) for x, y in lead.origin_N2]
    wanted = [window.frames_TCHW[-1, 0, int(y), int(x)] for x, y in lead.origin_N2[inside]]
    np.testing.assert_allclose(values[0, 0, 0], wanted, atol=1e-3)
    np.testing.assert_array_equal(cells.above_N, lead.above_N[inside])


def test_a_crop_is_the_wetter_one_of_two():
    window = _window(0, size=160)
    window.frames_TCHW[-1, 1] = 0
    window.frames_TCHW[-1, 1, :40, :40] = 5
    wet = [float(window.frames_TCHW[-1, 1][crop_of(window, np.random.default_rng(seed))].sum()) for seed in range(12)]
    assert np.mean(np.array(wet) > 0) > 0.5
    assert crop_of(_window(0), np.random.default_rng(0)) == (slice(0, 32), slice(0, 32))


def test_a_training_lowers_the_entropy_and_the_brier_score():
    windows = [replace(_window(seed), spell="ab"[seed % 2]) for seed in range(4)]
    fit = NetworkFit(windows, replace(SMALL, centred=False))
    before = scored_windows(fit.averaged, [_window(9)])
    for pair in before.values():
        np.testing.assert_array_equal(pair[0].brier_K, pair[1].brier_K)
    for _ in range(SMALL.steps):
        fit.advance()
    assert fit.gain < 0
    without, with_network = scored_windows(fit.averaged, [_window(9)])[150]
    assert (with_network.brier_K[2:6] < 0.9 * without.brier_K[2:6]).all()
    assert "+150" in list(network_table({150: (without, with_network)}))[2]


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not(tmp_path):
    windows = [_window(0)]
    whole, first = NetworkFit(windows, SMALL), NetworkFit(windows, SMALL)
    for _ in range(4):
        whole.advance()
    for _ in range(2):
        first.advance()
    first.save(tmp_path / "state.pt")
    second = NetworkFit(windows, replace(SMALL, steps=SMALL.steps))
    second.resume(tmp_path / "state.pt")
    for _ in range(2):
        second.advance()
    for name, value in whole.average.items():
        torch.testing.assert_close(second.average[name], value)
    with pytest.raises(ConfigError, match="decay"):
        NetworkFit(windows, replace(SMALL, decay=0.5)).resume(tmp_path / "state.pt")
    weaker = NetworkFit(windows, replace(SMALL, strength=0.5))
    weaker.resume(tmp_path / "state.pt")
    for _ in range(2):
        weaker.advance()
    torch.testing.assert_close(weaker.average, whole.average)
    assert (weaker.averaged.strength, whole.averaged.strength) == (0.5, 1.0)


def test_cells_of_a_window_are_those_that_the_forecaster_would_have():
    """Observed rates are those of the cells, and origins are upstream."""
    y, x = np.mgrid[:48, :64].astype(np.float32)
    fields = np.stack([6 * np.exp(-((x - 8 - 2 * t) ** 2 + (y - 24) ** 2) / 50) for t in range(12)]).astype(np.float32)
    model = PointwiseModel(hidden=2)
    columns = window_columns(model, fields[:7], {4: fields[10], 6: fields[11]}, 10, 2.0, np.random.default_rng(0))
    assert columns["leads"].tolist() == [60], "40 minutes are no lead time of the network"
    assert columns["frames_TCHW"].shape == (4, 3, 24, 32)
    assert columns["prior_LKHW"].shape == (len(NETWORK_LEADS), len(RATES_MMH), 24, 32)
    assert len(columns["above_N_60"]) == 24 * 32
    assert columns["above_N_60"].max() == RATES_MMH.index(5.0) + 1
    drift = columns["origin_N2_60"].reshape(24, 32, 2)[12, 20] - (20, 12)
    assert drift == pytest.approx((-6, 0), abs=1.0)


def test_rates_below_the_least_are_dry_after_a_change():
    found = varied(np.array([np.nan, 0.0, 0.15, 4.0], np.float32), 0.5)
    np.testing.assert_array_equal(found, np.array([np.nan, 0, 0, 2], np.float32))


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Three hours of drifting showers in two files that the event table names."""
    folder, (y, x) = tmp_path_factory.mktemp("events"), np.mgrid[:36, :40]
    for number, (name, first) in enumerate(FILES.items()):
        rate = np.stack([8 * np.exp(-((x - 4 - 2 * t) ** 2 + (y - 18 - number) ** 2) / 40) for t in range(19)])
        times = [first + timedelta(minutes=10 * t) for t in range(19)]
        cf.write_dataset(cf.rate_dataset(rate.astype(np.float32), times, RADOLAN_900.resized(36, 40)), folder / name)
    return folder


def test_one_command_from_files_to_a_checkpoint(events, tmp_path, monkeypatch):
    monkeypatch.setattr(train_native, "SAVE_EVERY", 1)
    base, preset = tmp_path / "base", tmp_path / "small.yaml"
    model = PointwiseModel(hidden=2)
    save_model(base, model, card_of(model, {"windows": {"nl-2010-08-26": 1}, "without": None}))
    preset.write_text("hidden_channels: 4\nnum_layers: 4\nsteps: 3\n")
    options = [
        "--data",
        str(events),
        "--work",
        str(tmp_path / "work"),
        "--out",
        str(tmp_path / "out"),
        "--base",
        str(base),
    ]
    command = ["run", *options, "--without", "nl-2010-08-26", "--preset", str(preset)]
    stopped = CliRunner().invoke(app, [*command, "--minutes", "0"])
    assert stopped.exit_code == 0, stopped.output
    assert "0 of 3 steps" in stopped.output
    assert not (tmp_path / "out").exists()
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "| 5 |" in result.output, "the spell that was left out is scored"
    card = read_card(tmp_path / "out")
    assert set(card["training"]["network"]["windows"]) == {"se-2015-07-23"}
    assert card["training"]["network"]["step"] == 3
    stored = load_model(tmp_path / "out")
    assert isinstance(stored, PointwiseModel)
    assert stored.network is not None
    torch.testing.assert_close(stored.weight_TPFU, model.weight_TPFU)
    assert stored.network.head.weight.abs().max() > 0
    assert {one.spell for one in read_windows(tmp_path / "work" / "windows")} == {"nl-2010-08-26", "se-2015-07-23"}


def _saved(folder, model, without=None):
    save_model(folder, model, card_of(model, {"windows": {"nl-2010-08-26": 1}, "without": without}))
    return str(folder)


def test_windows_of_other_models_or_files_are_refused(events, tmp_path):
    """They are used as they are, so that a training would learn from the logits of another model."""
    first, other = (_saved(tmp_path / str(seed), PointwiseModel(hidden=seed)) for seed in (1, 2))
    fold = {"nl-2010-08-26": Path(other)}
    check_origin(tmp_path / "windows", events, first, fold)
    check_origin(tmp_path / "windows", events, first, fold)
    with pytest.raises(ConfigError, match="for base;"):
        check_origin(tmp_path / "windows", events, other, fold)
    with pytest.raises(ConfigError, match="for fold nl-2010-08-26;"):
        check_origin(tmp_path / "windows", events, first, {})
    (tmp_path / "events").mkdir()
    name = next(iter(FILES))
    (tmp_path / "events" / name).write_bytes((events / name).read_bytes())
    with pytest.raises(ConfigError, match="for data;"):
        check_origin(tmp_path / "windows", tmp_path / "events", first, fold)
    (tmp_path / "older" / "pass_0").mkdir(parents=True)
    (tmp_path / "older" / "pass_0" / "a.npz").touch()
    with pytest.raises(ConfigError, match="base, data"):
        check_origin(tmp_path / "older", events, first, {})


def test_a_fold_that_has_seen_its_spell_is_refused(tmp_path):
    base = _saved(tmp_path / "base", PointwiseModel(hidden=1))
    options = ["--data", str(tmp_path), "--work", str(tmp_path), "--out", str(tmp_path / "out"), "--base", base]
    result = CliRunner().invoke(app, ["run", *options, "--fold", f"nl-2010-08-26={base}"])
    assert result.exit_code == 2
    assert "expected a checkpoint that leaves out nl-2010-08-26" in result.output


def test_a_network_replaces_that_of_its_base_and_has_a_version_of_its_own(tmp_path):
    base = _saved(tmp_path / "base", PointwiseModel(hidden=1))
    windows, versions = [_window(0, "se-2015-07-25", size=8)], set()
    for number, options in enumerate((SMALL, replace(SMALL, seed=1), replace(SMALL, hidden_channels=6))):
        save_network(tmp_path / str(number), base, NetworkFit(windows, options), [])
        base = str(tmp_path / str(number))
        versions.add(read_card(base)["version"])
    assert len(versions) == 3
    assert {"KNMI", "SMHI, OpenMRG"} <= set(read_card(base)["attribution"])
    stored = load_model(base)
    assert isinstance(stored, PointwiseModel)
    assert stored.network is not None
    assert stored.network.embed_lead.out_channels == 6


def test_unknown_settings_are_refused(tmp_path):
    (tmp_path / "wrong.yaml").write_text("layers: 3\n")
    with pytest.raises(ConfigError, match="layers"):
        options_of(str(tmp_path / "wrong.yaml"))
    with pytest.raises(ConfigError, match="preset"):
        options_of("none")
    assert options_of("native_network", 7).steps == 7
