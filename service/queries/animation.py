"""A forecast as an animated picture: the scans it starts from, then its leads, over coasts, borders and cities."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from core.arrays import BoolField, Float32Field
from core.borders import CREDIT, picture_cities, picture_lines
from core.colours import colours, hatch
from core.grid import Grid
from service.forecasts.fields import FIELDS
from service.forecasts.image import picture_font
from service.forecasts.records import StoredForecast, read_rate

AnimationKind = Literal["webp", "gif", "png"]
LAND: Final = (244, 243, 239)
LINE: Final = (106, 111, 118)
INK: Final = (27, 32, 38)
FORECAST_INK: Final = (150, 60, 0)
ALARM: Final = (164, 18, 36)
FRAME_MS: Final = 180
LAST_MS: Final = 1500
"""Time of the last frame, so that the start over is noticed."""

SAVING: Final[dict[str, dict[str, Any]]] = {
    "webp": {"quality": 70, "method": 2},
    "gif": {"optimize": False, "disposal": 1},
    "png": {},
}
HELD: Final = 4
COPYRIGHT: Final = 0x8298
"""Tag of EXIF."""


@dataclass(frozen=True)
class AnimationStyle:
    """What an animation looks like, and the words below it.

    Attributes:
        kind: format; `png` is an APNG.
        width: in pixels.
        zone: IANA name of the zone of its times.
        note: attribution of the data.
        alarm: why nothing here is fresh or real; empty if it is.
    """

    kind: AnimationKind
    width: int
    zone: str
    note: str
    alarm: str = ""


@dataclass(frozen=True, eq=False)
class AnimationFrame:
    """One field with the words on it."""

    rate_mmh_HW: Float32Field
    known_HW: BoolField | None
    valid_time: datetime
    lead_minutes: int | None


def animation(forecast: StoredForecast, style: AnimationStyle) -> bytes:
    """Return the animated picture of a forecast; recent ones stay in memory.

    Raises:
        NoDataError: its files are not readable.
    """
    changed = forecast.changed_ns, forecast.inputs_path.stat().st_mtime_ns if forecast.has_inputs else 0
    return _animation(forecast, changed, style)


@lru_cache(maxsize=HELD)
def _animation(forecast: StoredForecast, changed_ns: tuple[int, int], style: AnimationStyle) -> bytes:
    """Return an animation; keyed by the files' times of change."""
    del changed_ns
    canvas = MapCanvas(forecast.grid, style)
    pictures = [canvas.drawn(frame) for frame in frames_of(forecast)]
    durations = [FRAME_MS] * (len(pictures) - 1) + [LAST_MS]
    if style.kind == "gif":
        pictures = [picture.quantize(128, dither=Image.Dither.NONE) for picture in pictures]
    buffer = io.BytesIO()
    first, *others = pictures
    first.save(
        buffer,
        format=style.kind.upper(),
        save_all=True,
        append_images=others,
        duration=durations,
        loop=0,
        **SAVING[style.kind],
        **_credit(style),
    )
    return buffer.getvalue()


def _credit(style: AnimationStyle) -> dict[str, Any]:
    """Return the credit of the data for the file itself, as its format has it."""
    if style.kind == "gif":
        return {"comment": style.note.encode()}
    if style.kind == "webp":
        exif = Image.Exif()
        exif[COPYRIGHT] = style.note
        return {"exif": exif}
    text = PngInfo()
    text.add_itxt("Copyright", style.note)
    return {"pnginfo": text}


def frames_of(forecast: StoredForecast) -> Iterator[AnimationFrame]:
    """Yield the scans that a forecast starts from, where they are kept, and then its leads."""
    if forecast.has_inputs:
        for index, time in enumerate(forecast.input_times):
            if time is not None:
                yield AnimationFrame(read_rate(forecast.inputs_path, [index])[0], None, time, None)
    fields = FIELDS.read(forecast)
    for lead, minutes in enumerate(forecast.lead_minutes):
        time = forecast.reference_time + timedelta(minutes=minutes)
        yield AnimationFrame(fields.rate_mmh_HW(lead), fields.known_HW(lead), time, minutes)


class MapCanvas:
    """Draws frames of one grid: the map below the rain, its lines above it, and the words.

    Args:
        grid: of the frames.
        style: size and words.
    """

    def __init__(self, grid: Grid, style: AnimationStyle) -> None:
        self._style, self._zone = style, ZoneInfo(style.zone)
        self._size = style.width, max(1, round(style.width * grid.height / grid.width))
        self._text = max(11, round(style.width / 28))
        self._foot = round(1.6 * self._text) + round(1.3 * self._text) * (2 if style.alarm else 1)
        self._rows = np.minimum((np.arange(self._size[1]) * grid.height) // self._size[1], grid.height - 1)
        self._cols = np.minimum((np.arange(self._size[0]) * grid.width) // self._size[0], grid.width - 1)
        self._over = self._lines(grid)

    def drawn(self, frame: AnimationFrame) -> Image.Image:
        """Return the picture of a frame."""
        pixels = np.ix_(self._rows, self._cols)
        rate_HW = frame.rate_mmh_HW[pixels]
        picture_HWC = colours(rate_HW)
        if frame.known_HW is not None:
            picture_HWC = hatch(picture_HWC, np.isfinite(rate_HW) & ~frame.known_HW[pixels])
        ground = Image.new("RGBA", self._size, (*LAND, 255))
        ground = Image.alpha_composite(ground, Image.fromarray(picture_HWC))
        ground = Image.alpha_composite(ground, self._over)
        whole = Image.new("RGB", (self._size[0], self._size[1] + self._foot), (255, 255, 255))
        whole.paste(ground.convert("RGB"))
        self._words(whole, frame)
        return whole

    def _words(self, picture: Image.Image, frame: AnimationFrame) -> None:
        draw, pad = ImageDraw.Draw(picture), self._text // 2
        y, small = self._size[1] + pad // 2, picture_font(max(9, round(0.7 * self._text)))
        time = frame.valid_time.astimezone(self._zone)
        is_observed = frame.lead_minutes is None
        label = "radar" if is_observed else f"forecast +{frame.lead_minutes} min"
        words = f"{time:%Y-%m-%d %H:%M} {time.tzname()}  {label}"
        draw.text((pad, y), words, INK if is_observed else FORECAST_INK, picture_font(self._text))
        y += round(1.5 * self._text)
        if self._style.alarm:
            draw.text((pad, y), self._style.alarm, ALARM, picture_font(self._text))
            y += round(1.3 * self._text)
        draw.text((pad, y), f"{self._style.note} {CREDIT}.", LINE, small)

    def _lines(self, grid: Grid) -> Image.Image:
        """Return coasts, borders and cities on a transparent ground."""
        picture = Image.new("RGBA", self._size, (0, 0, 0, 0))
        draw, scale = ImageDraw.Draw(picture), self._size[0] / grid.width
        for line in picture_lines(grid):
            draw.line([(float(x), float(y)) for x, y in line * scale], fill=(*LINE, 255), width=1)
        font = picture_font(max(9, round(0.7 * self._text)))
        for name, x, y in picture_cities(grid):
            at = x * scale, y * scale
            draw.ellipse((at[0] - 2, at[1] - 2, at[0] + 2, at[1] + 2), fill=(*INK, 255))
            side = "rb" if at[0] + font.getlength(name) + 4 > self._size[0] else "lb"
            draw.text((at[0] + (-3 if side == "rb" else 3), at[1] - 1), name, (*INK, 255), font, anchor=side)
        return picture
