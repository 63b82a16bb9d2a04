"""What a user did wrong is one line and an exit status, no traceback, and no half of a run or of a checkpoint."""

import os
import re
import resource

import pytest
import torch
import yaml
from typer.testing import CliRunner

from models.checkpoint import load_model
from training import run
from training.datasets import DATASETS
from training.trainer.module import NowcastModule

SMALL = ["--set", "hidden_channels=2", "--set", "num_layers=2", "--set", "height=16", "--set", "width=16"]


def _run(*arguments):
    return CliRunner().invoke(run.app, [str(a) for a in arguments])


def _germany(event, out, *more):
    return _run("--dataset", "germany", "--data", event, "--out", out, "--batch-size", 2, *SMALL, *more)


def _assert_one_line(result, message, *, status=2):
    assert result.exit_code == status, result.output
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("INFO", "WARNING"))]
    assert len(lines) == 1, result.stderr
    assert re.search(message, lines[0]), lines[0]
    assert lines[0].startswith("error: ")


@pytest.fixture(scope="module")
def begun(event, tmp_path_factory):
    """A run of two steps."""
    folder = tmp_path_factory.mktemp("runs") / "begun"
    assert _germany(event, folder, "--max-steps", 2).exit_code == 0
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "height=3", "--set", "num_layers=6"], "expected at least 4 x 4 cells for this stack, got 3 x 16"),
        (["--set", "height=0"], "height.*greater than or equal to 1"),
        (["--set", "hidden_channels=0"], "hidden_channels.*greater than or equal to 1"),
        (["--set", "kernel_size=2"], "kernel"),
        (["--set", "kernel_size={"], "expected a value in YAML"),
        (["--set", "loss=l3"], "unknown loss 'l3'; did you mean"),
        (["--set", "schedule=random"], "unknown schedule 'random'"),
        (["--set", "skip=unets"], "unknown skip.*did you mean unet"),
        (["--set", "learning_rate=-1"], "learning_rate.*greater than 0"),
        (["--set", "learning_rate_schedule=step"], "learning_rate_schedule.*'constant' or 'cosine'"),
        (["--set", "transform={name: logs}"], "unknown transform 'logs'"),
        (["--set", "transform={name: log, offset: 1}"], "transform.*offset"),
        (["--set", "transform={}"], "transform"),
        (["--set", "lead_steps=100"], "no window of 105 fields"),
        (["--precision", "8"], "precision"),
        (["--set", "loss=b-mse", "--set", "balance=1"], "balance"),
    ],
)
def test_values_that_cannot_be(event, tmp_path, arguments, message):
    result = _germany(event, tmp_path / "run", "--max-steps", 1, *arguments)
    _assert_one_line(result, message)
    assert not (tmp_path / "run").exists()


def test_a_rain_loss_for_pictures_is_refused(tmp_path):
    result = _run(
        "--dataset", "moving_mnist", "--out", tmp_path / "run", "--set", "loss=b-mae", "--set", "invented_digits=10"
    )
    _assert_one_line(result, "this data set has none")
    assert not (tmp_path / "run").exists()


def test_no_data_set_at_all_lists_them():
    _assert_one_line(_run(), "--dataset is missing; there are " + ", ".join(DATASETS.names()))


def test_help_names_the_data_sets_there_are():
    result = _run("--help")
    assert result.exit_code == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", result.output)
    for name in DATASETS.names():
        assert name in plain


def test_a_run_folder_that_cannot_be_made(event, tmp_path):
    (tmp_path / "file").write_text("in the way")
    _assert_one_line(_germany(event, tmp_path / "file", "--max-steps", 1), "is not empty; expected a new one")
    _assert_one_line(
        _germany(event, tmp_path / "file" / "run", "--max-steps", 1), "cannot be written", status=run.STOPPED
    )
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "moving_mnist"], "--dataset: expected germany, the data set of the run in .*, got moving_mnist"),
        (["--model", "predrnn"], "a run with model 'ms-convlstm', not 'predrnn'"),
        (["--set", "hidden_channels=3"], "a run with hidden_channels 2, not 3"),
        (["--set", "seed=1", "--batch-size", "4"], "batch_size 2, not 4; seed 2022, not 1"),
        (["--set", "width=18"], "dataset_options"),
        (["--max-steps", "1"], "is of step 2"),
        (["--config", "own.yaml"], "no --out and no --config"),
    ],
)
def test_another_run_is_not_gone_on_with(begun, arguments, message):
    before = (begun / "last.ckpt").read_bytes()
    _assert_one_line(_run("--resume", begun, "--max-steps", 4, *arguments), message)
    assert (begun / "last.ckpt").read_bytes() == before


def test_other_data_are_noticed(begun, event, tmp_path):
    import xarray as xr

    with xr.open_dataset(event, decode_cf=False) as dataset:
        changed = dataset.load()
    changed["rainfall_rate"][5] += 1
    changed.to_netcdf(tmp_path / "event.nc", engine="netcdf4")
    result = _run("--resume", begun, "--max-steps", 4, "--data", tmp_path / "event.nc")
    _assert_one_line(result, "was trained on other data; the train part differs in files")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", "half", "foreign"])
def test_a_checkpoint_that_is_none(begun, tmp_path, content):
    (tmp_path / "config.yaml").write_text((begun / "config.yaml").read_text())
    whole = (begun / "last.ckpt").read_bytes()
    if content == "foreign":
        torch.save({"state_dict": {}}, tmp_path / "last.ckpt")
    else:
        (tmp_path / "last.ckpt").write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    message = "no record of its run" if content == "foreign" else "not a complete checkpoint of this trainer"
    _assert_one_line(_run("--resume", tmp_path), message)


def test_a_configuration_file_that_is_none(begun, tmp_path):
    (tmp_path / "config.yaml").write_text("[1, 2")
    _assert_one_line(_run("--resume", tmp_path), "cannot be read as a run's configuration")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"learning_rat": 1}))
    result = _run("--dataset", "moving_mnist", "--config", tmp_path / "own.yaml")
    _assert_one_line(result, "learning_rat: Extra inputs are not permitted")


@pytest.mark.skipif(os.name != "posix", reason="limits of a process")
def test_a_full_disk_leaves_the_last_whole_checkpoint(event, tmp_path):
    folder, fits = tmp_path / "run", []
    original = NowcastModule.on_train_batch_start

    def fill(self, *arguments):
        if self.global_step == 3:  # from here on no file may grow beyond what the checkpoint half needs
            fits.append((folder / "last.ckpt").read_bytes())
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(fits[0]) // 2, before[1]))
        return original(self, *arguments)

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(NowcastModule, "on_train_batch_start", fill)
            result = _germany(event, folder, "--max-steps", 6, "--set", "checkpoint_every=2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    _assert_one_line(
        result, "checkpoint of step 4 could not be written .*; last.ckpt of step 2 is kept", status=run.STOPPED
    )
    assert (folder / "last.ckpt").read_bytes() == fits[0]
    assert not list(folder.glob(".*")), "a part of a file was left behind"
    assert _run("--resume", folder).exit_code == 0
    load_model(folder / "checkpoint")


def test_a_loss_that_is_not_finite_ends_the_run_before_it_spoils_the_checkpoint(event, tmp_path):
    result = _germany(
        event, tmp_path / "run", "--max-steps", 8, "--set", "checkpoint_every=1", "--set", "learning_rate=1e30"
    )
    _assert_one_line(result, r"the loss is (nan|inf) at step \d; .*is kept")
    weights = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    assert weights
    assert not (tmp_path / "run" / "checkpoint").exists()
