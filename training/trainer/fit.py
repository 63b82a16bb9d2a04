"""One part of a run by Lightning: from its start, or from a checkpoint, to its end or to a signal."""

import logging
import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, EarlyStopping, EMAWeightAveraging, TQDMProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from core.errors import ConfigError, InputError
from models.device import with_whole_float32
from training.config import RunConfig, is_first_process, processes_here
from training.datasets import NowcastDataset
from training.loggers import LOGGERS, require_packages
from training.trainer.best import BestWeights
from training.trainer.callbacks import ForecastImages, Pace
from training.trainer.exceedance import ExceedanceModule
from training.trainer.guided_items import GuidedItems
from training.trainer.keeper import AtomicCheckpointIO, Keeper, StoppedError, StopSignals
from training.trainer.loader import train_loader, validation_loader
from training.trainer.metrics_file import MetricsFile
from training.trainer.module import NowcastModule
from training.trainer.profile import StepProfile
from training.trainer.run_folder import take_back, write_config
from training.trainer.sharded import strategy_of

log = logging.getLogger("training")
BAR_EVERY = 10
Items = NowcastDataset | GuidedItems


def fit(
    module: NowcastModule | ExceedanceModule,
    training: Items,
    validation: Items,
    folder: Path,
    record: dict[str, Any],
    *,
    total_steps: int,
    resume: Path | None = None,
    done: int = 0,
    watch: Sequence[Callback] = (),
) -> int:
    """Train `module` up to `total_steps`, into a run folder.

    Args:
        module: gets the weights, averaged if the configuration has `ema_decay`.
        training: samples for training.
        validation: samples for validation; may be empty.
        folder: for checkpoints and logs.
        record: the run record.
        total_steps: of the run.
        resume: the checkpoint to resume from.
        done: number of steps done in that checkpoint.
        watch: further callbacks.

    Returns:
        Steps done in all; fewer than `total_steps` if the run stopped early.

    Raises:
        UnavailableError: stopped by a signal, or a full disk.
        ConfigError: a loss that is not finite, or a package that is missing.
    """
    config = module.config
    validate_every = min(config.validate_every or math.ceil(len(training) / config.batch_size), total_steps)
    steps = {"validate_every": validate_every, "total_steps": total_steps}
    metrics = MetricsFile(folder / "metrics.csv")
    loader = train_loader(training, config, total_steps=total_steps, first_step=done)
    with StopSignals() as signals, _one_tree_of_errors(folder, is_new=resume is None):
        turn = done + config.turn_steps if config.turn_steps else None
        how = {"every": config.checkpoint_every, "accumulate": config.accumulate}
        keeper = Keeper(folder, record, signals, last_of_turn=turn, **how, **steps)
        trainer = _trainer(config, metrics, _in_order(config, folder, total_steps, [*watch, keeper]), **steps)
        if is_first_process():  # nothing is written before all parts fit
            write_config(folder, config)
            trainer.loggers = _loggers(config, folder, metrics)
            metrics.go_on_after(done)
            log.info("%d training windows; %d of %d steps to do", len(training), total_steps - done, total_steps)
        trainer.fit(module, loader, validation_loader(validation, config), ckpt_path=resume, weights_only=True)
    return int(trainer.global_step)


@contextmanager
def _one_tree_of_errors(folder: Path, *, is_new: bool) -> Iterator[None]:
    """Translate Lightning's errors, silence its warnings; remove a new folder if the first step finds a wrong size."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            warnings.filterwarnings("ignore", module="lightning_fabric")
            warnings.filterwarnings("ignore", "FSDP2-wrapped module")  # no in-place operation follows a forward pass
            yield
    except SIGTERMException as err:
        raise StoppedError(f"stopped before the first step; --resume {folder} continues") from err
    except MisconfigurationException as err:
        raise ConfigError(f"this machine cannot run this configuration: {' '.join(str(err).split())}") from err
    except InputError:
        if is_new and is_first_process():
            take_back(folder)
        raise


def _callbacks(config: RunConfig, total_steps: int) -> list[Callback]:
    """Return the callbacks of a configuration, without the keeper."""
    bar = sys.stderr.isatty()
    callbacks: list[Callback] = [
        Pace(
            config.batch_size,
            every=config.log_every,
            total_steps=total_steps,
            lines=not bar,
            accumulate=config.accumulate,
        )
    ]
    if bar:
        callbacks.append(TQDMProgressBar(refresh_rate=BAR_EVERY))
    if config.ema_decay:
        callbacks.append(EMAWeightAveraging(decay=config.ema_decay))
    if config.further_loggers and config.objective == "field":  # the other objective has no field to draw
        callbacks.append(ForecastImages())
    if config.early_stopping:
        callbacks.append(EarlyStopping("validation/loss", patience=config.early_stopping))
    return callbacks


def _loggers(config: RunConfig, folder: Path, metrics: MetricsFile) -> list[Logger]:
    """Return the loggers of the process that writes; the folder exists."""
    values = config.model_dump(mode="json")
    return [metrics, *(LOGGERS.get(name).build(folder, values) for name in config.further_loggers)]


def _in_order(config: RunConfig, folder: Path, total_steps: int, last: Sequence[Callback]) -> list[Callback]:
    """Return all callbacks: the best weights, copied before an average is exchanged again, then the keeper at the end.

    The keeper writes the state of the others.
    """
    profile = [StepProfile(folder, config.profile, accumulate=config.accumulate)] if config.profile else []
    return [*profile, BestWeights(folder), *_callbacks(config, total_steps), *last]


def _trainer(
    config: RunConfig, metrics: MetricsFile, callbacks: list[Callback], *, validate_every: int, total_steps: int
) -> pl.Trainer:
    with_whole_float32(tf32=config.tf32)
    require_packages(config.further_loggers)
    here = processes_here() or config.devices
    return pl.Trainer(
        max_steps=total_steps,
        max_epochs=-1,
        devices=here,
        num_nodes=config.devices // here,
        use_distributed_sampler=False,
        accelerator="auto",
        strategy=strategy_of(config),
        precision=config.precision,
        gradient_clip_val=config.gradient_clip or None,
        val_check_interval=validate_every * config.accumulate,
        accumulate_grad_batches=config.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=config.log_every,
        logger=[metrics],
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=any(isinstance(one, TQDMProgressBar) for one in callbacks),
        enable_model_summary=False,
        default_root_dir=metrics.path.parent,
    )
