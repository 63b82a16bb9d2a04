"""Run folders with untrained weights, as the trainer leaves them, and reports of them, for tests of what reads them."""

import csv

import yaml
from typer.testing import CliRunner

from models.build import build_model
from models.checkpoint import save_model
from training.config import resolve
from training.datasets import DATASETS
from training.report import command as report

DIGITS = ["size=16", "digit_size=7", "invented_digits=20", "test_clips=6", "input_steps=3", "lead_steps=2"]
OWN = {"moving_mnist": DIGITS, "germany": ["height=12", "width=14"]}
SMALL = ["hidden_channels=2", "num_layers=3", "max_steps=4", "batch_size=2"]


def make_run(folder, model="convlstm", *sets, dataset="moving_mnist", data=None, finished=True):
    """A run of `training.run --dataset D --model M --set ...`, without the training."""
    import torch

    config = resolve(dataset, file=None, sets=[*OWN.get(dataset, []), *SMALL, *sets], model=model, data=data)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    (folder / "metrics.csv").write_text("step,name,value\n0,train/seconds,1.5\n3,train/loss,2\n3,train/seconds,12.25\n")
    if not finished:
        return folder
    torch.manual_seed(config.seed)
    recurrent = {"hidden_channels": config.hidden_channels, "num_layers": config.num_layers}
    direct = {"hidden_channels": 4, "num_layers": 2, "input_steps": config.input_steps}
    options = {**(direct if model == "simvp" else recurrent), **config.model_options}
    card = {
        "version": "test",
        "architecture": {"name": model, "options": options},
        "transform": config.transform,
        "input_steps": config.input_steps,
        "lead_steps": config.lead_steps,
        "cadence_minutes": DATASETS.get(dataset).cadence_minutes or 30 * (dataset == "germany"),
        "pixel_m": 7258.0,
        "training": {
            "data": {},
            "steps": 4,
            "config": config.model_dump(mode="json", exclude={"data"}),
            "machines": ["a machine, 2 cores"],
        },
        "code_revision": "0123456789abcdef",
    }
    save_model(folder / "checkpoint", build_model(model, **options), card)
    return folder


def report_of(*arguments):
    """`python -m training.report` with these arguments."""
    return CliRunner().invoke(report.app, [str(a) for a in arguments])


def rows_of(page, number):
    """A table of a report, by its CSV."""
    with (page / f"table{number}.csv").open(newline="") as file:
        return list(csv.DictReader(file))
