"""Where a run's metrics and pictures go besides its own files: one file each; a new one adds one import line here."""

from training.loggers import mlflow as mlflow
from training.loggers import tensorboard as tensorboard
from training.loggers import wandb as wandb
from training.loggers.base import LOGGERS as LOGGERS
from training.loggers.base import DrawsPictures as DrawsPictures
from training.loggers.base import require_packages as require_packages
