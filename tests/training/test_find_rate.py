"""A range test names a learning rate at which the loss falls, and says why where there is none."""

import numpy as np
import pytest
from typer.testing import CliRunner

from core.errors import ConfigError
from training.config import resolve
from training.find_rate import app, range_test, steepest

TINY = [
    *("hidden_channels=2", "num_layers=1", "size=12", "digit_size=6", "invented_digits=20", "train_clips=8"),
    *("test_clips=2", "input_steps=2", "lead_steps=1", "batch_size=2"),
]


def test_the_steepest_fall_is_found_by_the_logarithm_of_the_rate():
    rates = np.geomspace(1e-6, 1, 61)
    losses = 1 - 1 / (1 + np.exp(-4 * (np.log10(rates) + 2.5)))  # a step down around 10^-2.5
    assert np.log10(steepest(rates.tolist(), losses.tolist())) == pytest.approx(-2.5, abs=0.06)
    with pytest.raises(ConfigError, match="falls at no learning rate"):
        steepest(rates.tolist(), np.arange(61.0).tolist())
    with pytest.raises(ConfigError, match="diverged after 3 steps"):
        steepest([1, 2, 3], [3, 2, 1])


def test_rates_rise_geometrically_and_the_test_ends_where_the_loss_diverges():
    config = resolve("moving_mnist", file=None, sets=[*TINY, "optimiser=sgd"], model="convlstm")
    rates, losses = range_test(config, 12, 1e-6, 1e-3)
    ratios = np.divide(rates[1:], rates[:-1])
    assert len(rates) == len(losses) == 12
    assert ratios == pytest.approx([1000 ** (1 / 11)] * 11)
    rates, _ = range_test(config, 12, 1e-6, 1e9)
    assert 0 < len(rates) < 12


def test_the_command_prints_the_curve_and_a_rate():
    sets = [part for key in TINY for part in ("--set", key)]
    arguments = ["--dataset", "moving_mnist", "--model", "convlstm", "--steps", "10", "--lowest", "1e-4", *sets]
    result = CliRunner().invoke(app, [*arguments, "--highest", "0.05"])
    assert result.exit_code == 0, result.output
    assert "try --set learning_rate=" in result.output
    result = CliRunner().invoke(app, [*arguments, "--highest", "1e-5"])
    assert result.exit_code == 2
    assert "highest: expected above lowest, 0.0001, got 1e-05" in result.output
