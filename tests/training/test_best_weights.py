"""The checkpoint has the weights of the best validation, and says so; the last ones stay in last.ckpt."""

import pytest
import torch
from typer.testing import CliRunner

from models.checkpoint import load_model, read_card
from training import run
from training.config import resolve
from training.trainer.keeper import StoppedError
from training.trainer.module import NowcastModule
from training.trainer.run_folder import BEST, CONFIG, take_back

TINY = [
    *("hidden_channels=2", "num_layers=1", "size=12", "digit_size=6", "invented_digits=20", "train_clips=8"),
    *("test_clips=2", "input_steps=2", "lead_steps=1", "batch_size=2", "validate_every=1", "learning_rate=0.01"),
]
LOSSES = (5.0, 2.0, 3.0, 2.5)
"""Of the validations after steps 1 to 4: the second one is the best."""


def _config(*more):
    return resolve("moving_mnist", file=None, sets=[*TINY, "max_steps=4", *more], model="convlstm")


@pytest.fixture
def validated(monkeypatch):
    """Give the validations the losses of `LOSSES`; return the weights that were validated, by step."""
    weights: dict[int, dict[str, torch.Tensor]] = {}
    step = NowcastModule.validation_step

    def watched(self, batch):
        weights[self.global_step] = {name: value.clone() for name, value in self.model.state_dict().items()}
        return step(self, batch)

    def loss(self, sums):
        return torch.tensor([LOSSES[self.global_step - 1], 1.0], dtype=torch.float64)

    monkeypatch.setattr(NowcastModule, "validation_step", watched)
    monkeypatch.setattr(NowcastModule, "_over_processes", loss)
    return weights


def _same(one, two):
    return all(torch.equal(value, two[name]) for name, value in one.items())


def test_the_checkpoint_has_the_weights_of_the_lowest_loss_and_the_card_names_them(validated, tmp_path):
    checkpoint = run.train(_config(), tmp_path / "run")
    assert _same(load_model(checkpoint).state_dict(), validated[2])
    assert not _same(validated[2], validated[4])
    card = read_card(checkpoint)
    assert card["training"]["steps"] == 4
    assert card["training"]["weights"] == {"kept": "best", "step": 2, "validation_loss": 2.0}
    assert card["validation"]["validation/loss"] == 2.0
    last = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 4
    assert all(torch.equal(value, last["state_dict"][f"model.{name}"]) for name, value in validated[4].items())


def test_keep_last_has_the_weights_of_the_last_step(validated, tmp_path):
    checkpoint = run.train(_config("keep=last"), tmp_path / "run")
    assert _same(load_model(checkpoint).state_dict(), validated[4])
    assert read_card(checkpoint)["training"]["weights"] == {"kept": "last", "step": 4}
    assert read_card(checkpoint)["validation"]["validation/loss"] == 2.5
    result = CliRunner().invoke(run.app, ["--resume", str(tmp_path / "run"), "--set", "keep=best"])
    assert result.exit_code == 0, result.output
    assert _same(load_model(checkpoint).state_dict(), validated[2])


def test_early_stopping_keeps_the_best_and_not_the_worst(validated, tmp_path):
    checkpoint = run.train(_config("early_stopping=1"), tmp_path / "run")
    assert read_card(checkpoint)["training"]["steps"] == 3
    assert _same(load_model(checkpoint).state_dict(), validated[2])


def test_the_best_before_a_stop_stays_the_best_after_it(validated, tmp_path):
    with pytest.raises(StoppedError):
        run.train(_config("turn_steps=3"), tmp_path / "run")
    result = CliRunner().invoke(run.app, ["--resume", str(tmp_path / "run"), "--set", "turn_steps=0"])
    assert result.exit_code == 0, result.output
    assert _same(load_model(tmp_path / "run" / "checkpoint").state_dict(), validated[2])


def test_averaged_weights_are_kept_as_they_were_validated(validated, tmp_path):
    checkpoint = run.train(_config("ema_decay=0.5"), tmp_path / "run")
    assert _same(load_model(checkpoint).state_dict(), validated[2])


def test_a_run_that_begins_anew_takes_no_best_weights_of_an_earlier_beginning(validated, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    torch.save({"weights": {}, "step": 9, "loss": 0.1, "scores": {}}, folder / BEST)
    assert read_card(run.train(_config(), folder))["training"]["weights"]["step"] == 2


def test_a_failed_beginning_leaves_no_best_weights(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (CONFIG, BEST):
        (folder / name).write_text("x")
    take_back(folder)
    assert not folder.exists()
