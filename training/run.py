"""`python -m training.run --dataset germany`: train a model, resumable, into a run folder."""

import logging
import math
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import pytorch_lightning as pl
import torch
import typer
import yaml
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from torch.utils.data import DataLoader

from core.errors import ConfigError, NowcastError, UnavailableError
from models.build import build_model, options_of
from models.checkpoint import save_model
from models.rollout import RecurrentModel
from training.config import RunConfig, is_first_process, resolve
from training.datasets import NowcastDataset, build_dataset
from training.loader import train_loader
from training.metrics_file import MetricsFile
from training.module import NowcastModule

log = logging.getLogger("training")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    dataset: Annotated[str, typer.Option(help="germany or moving_mnist")],
    model: Annotated[str | None, typer.Option(help="a cell's name, or ms- and a cell's name")] = None,
    data: Annotated[Path | None, typer.Option(help="file or folder; default ./data/DATASET")] = None,
    out: Annotated[Path | None, typer.Option(help="run folder, must be new; default runs/DATASET-MODEL-TIME")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file over the data set's preset")] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="optimiser steps in all")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    resume: Annotated[Path | None, typer.Option(help="a run folder or its last.ckpt, to go on with")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed or 16-mixed")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="processes that share a batch")] = None,
    recompute: Annotated[bool | None, typer.Option("--recompute", help="less memory for a third more work")] = None,
    compiled: Annotated[bool | None, typer.Option("--compile", help="torch.compile the stack")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of any configuration key")] = None,
) -> None:
    """Train a model; the data set's preset is the paper's setting."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        given = {"model": model, "data": data, "epochs": epochs, "max_steps": max_steps, "batch_size": batch_size}
        given |= {"precision": precision, "devices": devices, "recompute": recompute, "compile": compiled}
        if resume is not None:
            run_folder = resume if resume.is_dir() else resume.parent
            file = config or run_folder / "config.yaml"
            resolved = resolve(dataset, file=file, sets=sets or [], **given)
        else:
            resolved = resolve(dataset, file=config, sets=sets or [], **given)
            run_folder = _new_folder(out, resolved)
        train(resolved, run_folder, resume=resume is not None)
    except NowcastError as err:
        typer.echo(f"error: {err}", err=True)
        raise typer.Exit(2) from err


def train(config: RunConfig, folder: Path, *, resume: bool = False) -> Path:
    """Train by a resolved configuration and write the checkpoint.

    Args:
        config: the resolved configuration.
        folder: the run folder.
        resume: go on from `folder/last.ckpt`.

    Returns:
        The checkpoint's folder.

    Raises:
        ConfigError: wrong names, values or data; nothing to resume.
        UnavailableError: interrupted before its end.
    """
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    revision = code_revision()  # of the code that trains, not of what the checkout holds when it is done
    pl.seed_everything(config.seed, verbose=False)
    training, validation = build_datasets(config)
    total_steps = config.max_steps or config.epochs * math.ceil(len(training) / config.batch_size)
    last = _last_checkpoint(folder) if resume else None
    first_step = int(torch.load(last, weights_only=False)["global_step"]) if last else 0
    module = build_module(config, training, total_steps)
    if is_first_process():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    loader = train_loader(training, config, total_steps=total_steps, first_step=first_step)
    if len(validation) == 0:
        log.warning("the data are too short for a validation part beside the training windows: there is no validation")
    every = config.validate_every or math.ceil(len(training) / config.batch_size)
    trainer = _trainer(config, folder, total_steps=total_steps, validate_every=min(every, total_steps))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", module="lightning_fabric")
        held_out = DataLoader(validation, batch_size=1) if len(validation) else None
        trainer.fit(module, loader, held_out, ckpt_path=last, weights_only=False)
    if trainer.interrupted:
        raise UnavailableError(f"stopped at step {trainer.global_step} of {total_steps}; --resume {folder} goes on")
    checkpoint = folder / "checkpoint"
    if is_first_process():
        save_model(checkpoint, module.model, _card(config, training, trainer, revision))
        log.info("wrote %s", checkpoint)
    return checkpoint


def build_datasets(config: RunConfig) -> tuple[NowcastDataset, NowcastDataset]:
    """Training and validation set of a configuration.

    Raises:
        ConfigError: no such data, or options that do not fit.
    """
    default = Path("data") / config.dataset
    data = config.data or (default if default.exists() else None)
    steps = {"input_steps": config.input_steps, "lead_steps": config.lead_steps, "seed": config.seed}
    training = build_dataset(config.dataset, data, "train", config.dataset_options, **steps)
    validation = build_dataset(config.dataset, data, "validation", config.dataset_options, **steps)
    return training, validation


def build_module(config: RunConfig, dataset: NowcastDataset, total_steps: int) -> NowcastModule:
    """What Lightning trains: the model, with what the configuration says of running it."""
    architecture = _architecture(config)
    model = cast(RecurrentModel, build_model(architecture["name"], **architecture["options"]))
    model.recompute = config.recompute
    if config.compile:
        getattr(model, "stack", model).compile()
    return NowcastModule(model, config.build_transform(), config, total_steps=total_steps, rain=dataset.is_rain)


def _trainer(config: RunConfig, folder: Path, *, total_steps: int, validate_every: int) -> pl.Trainer:
    keep: list[Callback] = [
        ModelCheckpoint(
            dirpath=folder, filename="last", every_n_train_steps=validate_every, enable_version_counter=False
        ),
        TQDMProgressBar(),
    ]
    return pl.Trainer(
        max_steps=total_steps,
        max_epochs=-1,
        devices=config.devices,
        use_distributed_sampler=False,
        accelerator="auto",
        precision=config.precision,
        gradient_clip_val=config.gradient_clip or None,
        val_check_interval=validate_every,
        check_val_every_n_epoch=None,
        limit_val_batches=64,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        logger=MetricsFile(folder / "metrics.csv"),
        callbacks=keep,
        enable_model_summary=False,
        default_root_dir=folder,
    )


def _architecture(config: RunConfig) -> dict[str, Any]:
    own = {"input_steps": config.input_steps} if "input_steps" in options_of(config.model) else {}
    options = {
        "hidden_channels": config.hidden_channels,
        "num_layers": config.num_layers,
        "kernel_size": config.kernel_size,
        **own,
        **config.model_options,
    }
    return {"name": config.model, "options": options}


def _card(config: RunConfig, dataset: NowcastDataset, trainer: pl.Trainer, revision: str) -> dict[str, Any]:
    return {
        "version": f"{datetime.now(UTC):%Y.%m.%d}+{revision[:7]}",
        "architecture": _architecture(config),
        "transform": config.build_transform().to_dict(),
        "input_steps": config.input_steps,
        "lead_steps": config.lead_steps,
        "cadence_minutes": dataset.cadence_minutes,
        "pixel_m": dataset.pixel_m,
        "grid": {key: config.dataset_options.get(key) for key in ("height", "width")},
        "training": {
            "data": dataset.fingerprint,
            "steps": trainer.global_step,
            "config": config.model_dump(mode="json", exclude={"data"}),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "code_revision": revision,
        "validation": {key: float(value) for key, value in trainer.callback_metrics.items() if "validation" in key},
    }


def code_revision() -> str:
    """The commit of the running code, with `-dirty` where it has changes; `unknown` outside of a checkout."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def _new_folder(out: Path | None, config: RunConfig) -> Path:
    folder = out or Path("runs") / f"{config.dataset}-{config.model}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    if is_first_process() and folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"run folder {folder} is not empty; a new one was due, or --resume {folder} to go on")
    return folder


def _last_checkpoint(folder: Path) -> Path:
    last = folder / "last.ckpt"
    if not last.is_file():
        raise ConfigError(f"nothing to resume: no last.ckpt in {folder}")
    return last


if __name__ == "__main__":
    app()
