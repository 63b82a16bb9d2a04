"""`python -m training.run --dataset NAME`: train a model, resumable, into a run folder."""

import errno
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import pytorch_lightning as pl
import torch
import typer
from pytorch_lightning.callbacks import Callback
from torch import nn

from core.errors import ConfigError, NowcastError, UnavailableError
from models.checkpoint import save_model
from training.config import RunConfig, is_first_process, resolve
from training.datasets import DATASETS, NowcastDataset
from training.trainer.best import load_best
from training.trainer.build import build_datasets, build_module, card
from training.trainer.exceedance import ExceedanceModule, build_exceedance
from training.trainer.fit import Items, fit
from training.trainer.guided_items import guided_items
from training.trainer.keeper import StoppedError
from training.trainer.metrics_file import last_values
from training.trainer.module import NowcastModule
from training.trainer.run_folder import (
    CONFIG,
    LAST,
    is_over,
    new_folder,
    read_checkpoint,
    refuse_another_run,
    run_record,
    run_to_resume,
)
from training.trainer.sharded import is_sharded

log = logging.getLogger("training")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
STOPPED: Final = 75
"""Exit status of a run that can be resumed (EX_TEMPFAIL); 2 is a mistake of the user."""
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


@app.command()
def main(
    dataset: Annotated[str | None, typer.Option(help=f"one of {', '.join(DATASETS.names())}")] = None,
    model: Annotated[str | None, typer.Option(help="a model's name; a wrong one lists the near ones")] = None,
    data: Annotated[Path | None, typer.Option(help="file or folder; default ./data/DATASET")] = None,
    out: Annotated[Path | None, typer.Option(help="run folder, must be new; default runs/DATASET-MODEL-TIME")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file over the data set's preset")] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="optimiser steps in all")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="of all processes together")] = None,
    resume: Annotated[Path | None, typer.Option(help="run folder or its last.ckpt, to continue")] = None,
    precision: Annotated[str | None, typer.Option(help="32-true, bf16-mixed, 16-mixed; auto: for this machine")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="processes that share a batch")] = None,
    fsdp: Annotated[bool | None, typer.Option("--fsdp", help="the processes share one copy of the model")] = None,
    recompute: Annotated[bool | None, typer.Option("--recompute", help="less memory, a third more computation")] = None,
    compiled: Annotated[bool | None, typer.Option("--compile", help="torch.compile the stack")] = None,
    profile: Annotated[bool | None, typer.Option("--profile", help="profile three steps: a table and a trace")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of any key in config.yaml")] = None,
) -> None:
    """Train a model; the data set's preset is the paper's setting.

    SIGTERM or Ctrl-C ends a run after the current step (exit status 75), and --resume continues it as if uninterrupted.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    given: dict[str, Any] = {"model": model, "data": data, "epochs": epochs, "max_steps": max_steps}
    given |= {"batch_size": batch_size, "precision": precision, "devices": devices, "fsdp": fsdp}
    given |= {"recompute": recompute, "compile": compiled, "profile": 3 if profile else None}
    with one_line_errors():
        if resume is not None:
            _resume(resume, dataset, is_elsewhere=config is not None or out is not None, sets=sets or [], **given)
        elif dataset is None:
            raise ConfigError(f"--dataset is missing; there are {', '.join(DATASETS.names())}")
        else:
            resolved = resolve(dataset, file=config, sets=sets or [], **given)
            train(resolved, new_folder(out, resolved))


def _resume(path: Path, dataset: str | None, *, is_elsewhere: bool, sets: list[str], **given: Any) -> None:
    if is_elsewhere:
        raise ConfigError(
            "--resume continues in the run's own folder and configuration; it takes no --out and no --config"
        )
    folder, last, dataset = run_to_resume(path, dataset)
    train(resolve(dataset, file=folder / CONFIG, sets=sets, goes_on=True, **given), folder, resume=last)


def train(
    config: RunConfig, folder: str | Path, *, resume: str | Path | None = None, watch: Sequence[Callback] = ()
) -> Path:
    """Train by a resolved configuration and write the checkpoint.

    Args:
        config: the resolved configuration.
        folder: the run folder.
        resume: the checkpoint to resume from.
        watch: further callbacks of Lightning.

    Returns:
        The checkpoint's folder.

    Raises:
        ConfigError: wrong names, values or data; a checkpoint of another run; a loss that is not finite.
        UnavailableError: stopped by a signal, or the disk is full.
    """
    folder, resume = Path(folder), None if resume is None else Path(resume)
    pl.seed_everything(config.seed, verbose=False)
    training, validation = build_datasets(config)
    saved = read_checkpoint(resume) if resume else {}
    guided = guided_items(config, training, validation) if config.objective == "exceedance" else None
    items: tuple[Items, Items] = guided or (training, validation)
    total_steps = config.max_steps or config.epochs * math.ceil(len(items[0]) / config.batch_size)
    record = run_record(config, {"train": training, "validation": validation}, total_steps, saved.get("run", {}))
    if resume:
        refuse_another_run(resume, saved["run"], record)
    done = int(saved.get("global_step", 0))
    if done > total_steps:
        raise ConfigError(f"{resume} is of step {done}, later than the end of the run at step {total_steps}")
    module: NowcastModule | ExceedanceModule
    if guided:
        module = build_exceedance(config, None if resume else guided[0], total_steps)
    else:
        module = build_module(config, training, total_steps)
    if saved and is_over(saved["run"], record, done):
        module.load_state_dict(saved["state_dict"])
        log.info("the run already ended at step %d", done)
    else:
        how: dict[str, Any] = {"total_steps": total_steps, "resume": resume, "done": done, "watch": watch}
        done = fit(module, *items, folder, record, **how)
    if is_first_process():
        _write_checkpoint(config, training, record, _whole_model(config, training, module, folder), folder, done)
    return folder / "checkpoint"


def _whole_model(
    config: RunConfig, training: NowcastDataset, trained: NowcastModule | ExceedanceModule, folder: Path
) -> nn.Module:
    """Return the trained model; of a run whose processes had a part of it each, from its last checkpoint."""
    model: nn.Module = trained.model
    if is_sharded(config):
        whole = build_module(config, training, total_steps=1)
        whole.load_state_dict(read_checkpoint(folder / LAST)["state_dict"])
        model = whole.model
    return model


def _write_checkpoint(
    config: RunConfig, training: NowcastDataset, record: dict[str, Any], model: nn.Module, folder: Path, done: int
) -> None:
    kept, scores = _kept_weights(config, model, folder, done)
    about = card(config, training, record, steps=done, kept=kept, validation=scores)
    save_model(folder / "checkpoint", model, about)
    log.info("wrote %s: %s weights, of step %d", folder / "checkpoint", kept["kept"], kept["step"])


def _kept_weights(
    config: RunConfig, model: nn.Module, folder: Path, done: int
) -> tuple[dict[str, Any], dict[str, float]]:
    """Load the weights that the checkpoint gets into the model; return which these are, and their validation scores."""
    best = load_best(folder, model) if config.keep == "best" else None
    if best is None:
        return {"kept": "last", "step": done}, last_values(folder / "metrics.csv", "validation/")
    return {"kept": "best", "step": best["step"], "validation_loss": best["loss"]}, dict(best["scores"])


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print failures with a cause outside of the program as one line; others keep their traceback."""
    try:
        yield
    except StoppedError as err:
        _say(err, kind="")
        raise typer.Exit(STOPPED) from err
    except UnavailableError as err:
        _say(err)
        raise typer.Exit(STOPPED) from err
    except NowcastError as err:
        _say(err)
        raise typer.Exit(2) from err
    except OSError as err:
        if err.errno not in FULL:
            raise
        _say(f"{err.filename or 'the run folder'} cannot be written: {err.strerror}")
        raise typer.Exit(STOPPED) from err
    except RuntimeError as err:
        if not is_out_of_memory(err):
            raise
        first = str(err).splitlines()[0]
        _say(f"not enough memory ({first}); a smaller --batch-size, --recompute or --precision bf16-mixed takes less")
        raise typer.Exit(2) from err


def is_out_of_memory(err: RuntimeError) -> bool:
    """Return whether an error is that of an allocation, on a GPU or in the machine's memory."""
    return isinstance(err, torch.OutOfMemoryError) or "allocate memory" in str(err)


def _say(problem: object, kind: str = "error: ") -> None:
    if is_first_process():
        typer.echo(f"{kind}{problem}", err=True)


if __name__ == "__main__":
    app()
