"""Runs that are trained in turn: equal steps at any time, and the same weights as without a pause."""

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from core.errors import ConfigError, UnavailableError
from models import load_forecaster
from training import rain_paper
from training.config import resolve
from training.datasets.spells import Spells
from training.evaluate import scored_set
from training.run import train

TINY = ["hidden_channels=2", "num_layers=4", "batch_size=2", "crop=8", "validate_every=100", "precision=32-true"]


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    """A folder of three invented spells, and the settings of a tiny run on them."""
    folder = tmp_path_factory.mktemp("events")
    return folder, [*TINY, *(f"{key}={value}" for key, value in Spells.miniature(folder).items())]


@pytest.mark.long
def test_runs_have_equal_steps_after_every_round_and_end_as_without_a_pause(mini, tmp_path, caplog):
    data, sets = mini
    caplog.set_level("INFO")
    given = {"models": ["convlstm", "ms-convlstm"], "seeds": [1], "turn_steps": 2, "sets": sets}
    done = rain_paper.run_in_turn(data, tmp_path, steps=4, **given)
    assert done == {"convlstm-1": 4, "ms-convlstm-1": 4}
    turns = [record.getMessage() for record in caplog.records if "of 4" in record.getMessage()]
    assert [line for line in turns if ": step" in line] == [
        "convlstm-1: step 2 of 4",
        "ms-convlstm-1: step 2 of 4",
        "convlstm-1: step 4 of 4",
        "ms-convlstm-1: step 4 of 4",
    ]
    whole = resolve("spells", file=None, sets=[*sets, "seed=1"], model="convlstm", data=data, max_steps=4)
    at_once = load_file(train(whole, tmp_path / "whole") / "model.safetensors")
    in_turns = load_file(tmp_path / "convlstm-1" / "checkpoint" / "model.safetensors")
    assert at_once.keys() == in_turns.keys()
    for name, value in at_once.items():
        np.testing.assert_array_equal(value, in_turns[name], err_msg=name)


def test_a_second_call_continues_and_the_time_ends_it(mini, tmp_path):
    data, sets = mini
    given = {"models": ["ms-convlstm"], "seeds": [1], "turn_steps": 1, "sets": sets}
    assert rain_paper.run_in_turn(data, tmp_path, steps=4, minutes=0.0, **given) == {"ms-convlstm-1": 0}
    assert rain_paper.run_in_turn(data, tmp_path, steps=1, **given) == {"ms-convlstm-1": 1}
    assert rain_paper.run_in_turn(data, tmp_path, steps=2, **given) == {"ms-convlstm-1": 2}
    with pytest.raises(ConfigError, match="batch_size 2, not 1"):
        rain_paper.run_in_turn(data, tmp_path, steps=3, **{**given, "sets": [*sets, "batch_size=1"]})


def test_a_checkpoint_is_scored_on_the_spells_that_its_training_left_for_the_test(mini, tmp_path):
    data, sets = mini
    rain_paper.run_in_turn(data, tmp_path, models=["ms-convlstm"], seeds=[1], steps=1, turn_steps=1, sets=sets)
    forecaster = load_forecaster(tmp_path / "ms-convlstm-1" / "checkpoint")
    test = scored_set(forecaster, "spells", data, {})
    assert [file["file"] for file in test.fingerprint["files"]] == ["spell_5.nc"]
    assert test[0].past_TCHW.shape == (5, 1, 12, 10)
    with pytest.raises(ConfigError, match="expected every spell once, got s1"):
        scored_set(forecaster, "spells", data, {"tested": ["s1"]})


def test_a_stop_signal_ends_all_turns(mini, tmp_path, monkeypatch):
    data, sets = mini

    def stopped(config, folder, *, resume=None):
        train(config.model_copy(update={"turn_steps": 0, "max_steps": 1}), folder, resume=resume)
        raise UnavailableError("stopped after step 1 of 4")

    monkeypatch.setattr("training.rain_paper.train", stopped)
    with pytest.raises(UnavailableError, match="stopped after step 1"):
        rain_paper.run_in_turn(data, tmp_path, models=["ms-convlstm"], seeds=[1], steps=4, turn_steps=1, sets=sets)


def test_the_command_prints_the_steps_of_every_run(mini, tmp_path):
    data, sets = mini
    options = [part for each in sets for part in ("--set", each)]
    result = CliRunner().invoke(
        rain_paper.app, ["--data", str(data), "--out", str(tmp_path), "--minutes", "0", "--model", "predrnn", *options]
    )
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == ["predrnn-1: 0 of 400 steps", "predrnn-2: 0 of 400 steps"]
