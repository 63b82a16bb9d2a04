"""Pictures of a validation forecast for TensorBoard: the truth above, the forecast below its last frames."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor

from core.colours import colours

GAP = 2


class ForecastImages(Callback):
    """Draws the first validation clip at every validation."""

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        *_: Any,
    ) -> None:
        """Draw the first clip of the first batch; `outputs` is the forecast in the units of the data."""
        if batch_idx > 0 or not trainer.is_global_zero:
            return
        picture_HWC = mosaic(batch[0][0], batch[1][0], outputs[0], is_rain=bool(pl_module.rain))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("forecast", picture_HWC, trainer.global_step, dataformats="HWC")


def mosaic(past_TCHW: Tensor, future_TCHW: Tensor, forecast_TCHW: Tensor, *, is_rain: bool) -> NDArray[np.uint8]:
    """Two rows of frames, red, green and blue, (H, W, 3); of several channels the first."""
    truth = [*past_TCHW[:, 0], *future_TCHW[:, 0]]
    below = [None] * len(past_TCHW) + list(forecast_TCHW[:, 0])
    height, width = past_TCHW.shape[-2:]
    whole_HWC = np.full((2 * (height + GAP), len(truth) * (width + GAP), 3), 128, np.uint8)
    for row, frames in enumerate((truth, below)):
        for column, frame_HW in enumerate(frames):
            if frame_HW is not None:
                top, left = row * (height + GAP), column * (width + GAP)
                whole_HWC[top : top + height, left : left + width] = _picture(frame_HW, is_rain=is_rain)
    return whole_HWC


def _picture(frame_HW: Tensor, *, is_rain: bool) -> NDArray[np.uint8]:
    values_HW = frame_HW.detach().float().cpu().numpy()
    if not is_rain:
        return np.repeat((values_HW.clip(0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
    rgba_HWC = colours(values_HW).astype(np.float32)
    opacity_HWC = rgba_HWC[..., 3:] / 255
    return np.asarray(rgba_HWC[..., :3] * opacity_HWC + 255 * (1 - opacity_HWC), np.uint8)
