"""No key is accepted that has no effect, and keys that depend on the model follow it."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.errors import ConfigError, UnknownNameError
from models import list_models
from models.checkpoint import load_model, read_card
from models.device import with_whole_float32
from training import run
from training.config import resolve
from training.datasets import build_dataset
from training.trainer import fit
from training.trainer.keeper import StoppedError
from training.trainer.metrics_file import MetricsFile
from training.trainer.module import NowcastModule
from training.trainer.optimisers import OPTIMISERS, configured

DIRECT = {"simvp", "earthformer"}


@pytest.mark.parametrize("dataset", ["moving_mnist", "germany", "kth", "taxibj"])
def test_every_model_has_the_schedule_of_its_paper(dataset):
    found = {name: resolve(dataset, file=None, sets=[], model=name).schedule for name in list_models()}
    reverse = {name for name, schedule in found.items() if schedule == "reverse"}
    assert reverse == {"predrnn-v2", "ms-predrnn-v2"}
    assert {name for name, schedule in found.items() if schedule == "own"} >= DIRECT
    assert found["ms-convlstm"] == found["predrnn"] == "scheduled"


def test_a_schedule_that_is_given_stays(tmp_path):
    (tmp_path / "own.yaml").write_text("schedule: own\n")
    assert resolve("kth", file=None, sets=["schedule=scheduled"], model="predrnn-v2").schedule == "scheduled"
    assert resolve("kth", file=tmp_path / "own.yaml", sets=[], model="predrnn-v2").schedule == "own"
    assert resolve("spells", file=None, sets=[], model="predrnn-v2").schedule == "own"  # the preset's


@pytest.mark.parametrize(
    ("dataset", "sets", "named"),
    [
        ("germany", ["guided_crop=32"], "guided_crop: no effect without objective=exceedance"),
        ("germany", ["guided_visits=2", "guided_crop=0"], "guided_visits"),
        ("events", ["objective=exceedance", "balance=0.5"], "balance: no effect without objective=field"),
        ("events", ["objective=exceedance", "loss=l1"], "loss: no effect"),
        ("events", ["objective=exceedance", "recompute=true"], "recompute: no effect"),
        ("events", ["objective=exceedance", "schedule=own"], "schedule: no effect"),
        ("kth", ["model=simvp", "schedule=scheduled"], "schedule: no effect on simvp"),
        ("kth", ["thresholds_mmh=[1.0]"], "thresholds_mmh: no effect on kth"),
        ("kth", ["model=convlstm", "memory_skip=unet"], "memory_skip: no effect on convlstm"),
        ("kth", ["model=phydnet", "compile=true"], "compile: no effect on phydnet"),
        ("kth", ["model=convgru-ensemble", "compile=true"], "compile: no effect on convgru-ensemble"),
        ("kth", ["tf32=true", "precision=bf16-mixed"], "tf32: no effect with precision bf16-mixed"),
    ],
)
def test_a_key_without_an_effect_is_an_error(dataset, sets, named):
    with pytest.raises(ConfigError, match=named):
        resolve(dataset, file=None, sets=sets)


def test_a_resumed_run_with_such_a_key_goes_on_with_a_warning(caplog):
    resolve("germany", file=None, sets=["guided_crop=32"], goes_on=True)
    assert "guided_crop" in caplog.text


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"cadences": [10]}, "cadences: no effect without crop"),
        ({"crop": 8, "flips": True}, "flips: no effect with crop"),
    ],
)
def test_options_of_a_data_set_without_an_effect_are_errors(options, named, tmp_path):
    with pytest.raises(ConfigError, match=named):
        build_dataset("germany", tmp_path, "train", options, input_steps=5, lead_steps=5, seed=0)


def test_early_stopping_without_validation_is_an_error(tmp_path):
    from training.datasets import DATASETS

    options = DATASETS.get("taxibj").miniature(tmp_path) | {"validation_windows": 0, "early_stopping": 2}
    sets = [f"{key}={value}" for key, value in options.items()]
    with pytest.raises(ConfigError, match="early_stopping: expected 0 without validation"):
        run.train(resolve("taxibj", file=None, sets=sets, data=tmp_path), tmp_path / "run")


@pytest.mark.parametrize("name", OPTIMISERS.names())
def test_weight_decay_reaches_every_optimiser(name):
    weight = torch.nn.Parameter(torch.full((4,), 2.0))
    config = resolve("kth", file=None, sets=[f"optimiser={name}", "weight_decay=0.1", "learning_rate=0.01"])
    optimiser = configured([weight], config, 10, default="adam")
    weight.grad = torch.zeros(4)
    optimiser.step()
    assert float(weight.detach().max()) < 2.0


def test_field_models_have_adam_and_guided_ones_adamw_unless_named():
    parameter = [torch.nn.Parameter(torch.zeros(1))]
    config = resolve("kth", file=None, sets=[])
    assert type(configured(parameter, config, 1, default="adam")) is torch.optim.Adam
    assert type(configured(parameter, config, 1, default="adamw")) is torch.optim.AdamW
    with pytest.raises(UnknownNameError, match="did you mean adam"):
        configured(parameter, resolve("kth", file=None, sets=["optimiser=adamm"]), 1, default="adam")


@pytest.mark.parametrize("asked", [False, True])
def test_float32_is_whole_in_training_unless_tf32_is_asked_for(asked, tmp_path, monkeypatch):
    seen: list[tuple[bool, bool]] = []
    with_whole_float32(tf32=not asked)
    monkeypatch.setattr("pytorch_lightning.Trainer", lambda **_: seen.append(_flags()))
    config = resolve("kth", file=None, sets=[f"tf32={str(asked).lower()}"])
    fit._trainer(config, MetricsFile(tmp_path / "m.csv"), [], validate_every=1, total_steps=1)
    with_whole_float32()
    assert seen == [(asked, asked)]


def _flags():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("schedule", ["scheduled", "reverse"])
def test_a_batch_in_parts_makes_the_same_steps(schedule, tmp_path):
    sets = ["hidden_channels=2", "num_layers=1", "size=12", "digit_size=6", "invented_digits=20", "train_clips=8"]
    sets += ["test_clips=2", "input_steps=2", "lead_steps=2", "batch_size=4", "max_steps=4", "validate_every=2"]
    sets += ["log_every=1", f"schedule={schedule}", "checkpoint_every=1", "learning_rate=0.01"]
    found = {}
    for parts in (1, 2):
        config = resolve("moving_mnist", file=None, sets=[*sets, f"accumulate={parts}"], model="convlstm")
        if parts == 2:
            with pytest.raises(StoppedError):
                run.train(config.model_copy(update={"turn_steps": 3}), tmp_path / "2")
            checkpoint = run.train(config, tmp_path / "2", resume=tmp_path / "2" / "last.ckpt")
        else:
            checkpoint = run.train(config, tmp_path / "1")
        rows = [line.split(",") for line in (tmp_path / str(parts) / "metrics.csv").read_text().splitlines()]
        losses = [(int(row[0]), float(row[2])) for row in rows if row[1] == "train/loss"]
        found[parts] = (load_model(checkpoint).state_dict(), losses, read_card(checkpoint)["training"]["steps"])
    whole, halves = found[1], found[2]
    assert [step for step, _ in whole[1]] == [step for step, _ in halves[1]] == [1, 2, 3, 4]
    assert [loss for _, loss in halves[1]] == pytest.approx([loss for _, loss in whole[1]], rel=1e-4)
    for name, value in whole[0].items():
        torch.testing.assert_close(halves[0][name], value, rtol=1e-3, atol=1e-5)
    assert halves[2] == whole[2] == 4


def test_a_batch_that_its_parts_cannot_share_is_refused(tmp_path):
    config = resolve("moving_mnist", file=None, sets=["accumulate=3", "max_steps=1", "invented_digits=20"])
    with pytest.raises(ConfigError, match="batch_size: expected a multiple of 1 device times accumulate=3, got 4"):
        run.train(config, tmp_path / "run")


def test_the_parts_of_a_batch_draw_other_random_numbers():
    drawn = []
    for part, parts, rank in ((0, 1, 0), (0, 2, 0), (1, 2, 0), (0, 2, 1)):
        config = SimpleNamespace(seed=1, accumulate=parts)
        module: Any = SimpleNamespace(config=config, global_step=3, global_rank=rank, _part=part)
        NowcastModule.on_train_batch_start(module)
        drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3
