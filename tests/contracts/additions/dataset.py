"""A data set that needs no data: a blob that drifts, drawn from the split and the index alone."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from core.errors import ConfigError
from training.datasets.base import DATASETS, NowcastDataset, Sample, Split

CLIPS = {"train": 8, "validation": 4, "test": 4}


class AddedOptions(BaseModel):
    """Options of the data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = 24


@DATASETS.register("NAME")
class AddedDataset(NowcastDataset):
    """Clips of one blob; `data`, where it is given, is a folder with the file `width.txt`."""

    options_class: ClassVar[type[BaseModel]] = AddedOptions
    needs_data: ClassVar[bool] = False
    is_rain = False

    def __init__(
        self,
        data: Path | None,
        split: Split,
        *,
        input_steps: int,
        lead_steps: int,
        seed: int = 0,
        options: BaseModel | None = None,
    ) -> None:
        super().__init__(data, split, input_steps=input_steps, lead_steps=lead_steps, seed=seed)
        self.size = options.size if isinstance(options, AddedOptions) else AddedOptions().size
        if data is not None and not (data / "width.txt").is_file():
            raise ConfigError(f"data: expected a folder with width.txt, got {data}")
        self.width = float((data / "width.txt").read_text()) if data else 3.0
        self.fingerprint = {"generator": "NAME", "width": self.width, "seed": seed}

    def __len__(self) -> int:
        return CLIPS[self.split]

    def __getitem__(self, index: int) -> Sample:
        self._check(index)
        random = np.random.default_rng((self.seed, list(CLIPS).index(self.split), index))
        x, y = random.uniform(4, self.size - 4, 2)
        times_T = np.arange(self.input_steps + self.lead_steps)[:, None, None]
        rows_HW, cols_HW = np.mgrid[: self.size, : self.size]
        distance_THW = np.hypot(rows_HW - y - 0.5 * times_T, cols_HW - x - 0.3 * times_T)
        frames_TCHW = torch.from_numpy(np.exp(-((distance_THW / self.width) ** 2)).astype(np.float32))[:, None]
        return Sample(frames_TCHW[: self.input_steps], frames_TCHW[self.input_steps :])

    @classmethod
    def miniature(cls, folder: Path) -> dict[str, Any]:
        """Write the width of the blob; return the options that suit it."""
        (folder / "width.txt").write_text("2.5")
        return {"size": 16}
