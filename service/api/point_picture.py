"""The forecast of a place as a PNG for other pages: bars with their 10 to 90 % band, the chance of rain, a sentence."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from PIL import Image, ImageDraw, ImageFont

from core.colours import RAIN_COLOURS
from service.forecasts.image import picture_font
from service.schemas.places import PointLeadOut, PointOut
from service.schemas.sentence import WORDS, Language, hour_sum, percent, scan_time, sentence

Font = ImageFont.FreeTypeFont
Rgb = tuple[int, int, int]
Alarm = Literal["invented", "replayed"] | None

LABEL_EVERY_MINUTES: Final = 30
LINES_MMH: Final = (0.5, 2.0, 5.0, 10.0, 30.0, 100.0)
LEAST_TOP_MMH: Final = 5.0
"""Rate at the upper edge in weak rain, so that drizzle does not look like a downpour."""


@dataclass(frozen=True)
class PictureStyle:
    """Colours of everything but the rain."""

    paper: Rgb
    ink: Rgb
    faint: Rgb
    line: Rgb
    band: Rgb
    unknown: Rgb
    alarm: Rgb


LIGHT: Final = PictureStyle(
    (255, 255, 255), (27, 32, 38), (92, 101, 112), (219, 224, 230), (60, 66, 74), (225, 226, 228), (164, 18, 36)
)
DARK: Final = PictureStyle(
    (20, 24, 30), (238, 241, 245), (160, 170, 182), (52, 60, 70), (222, 226, 232), (54, 58, 64), (255, 138, 138)
)


class PointPicture:
    """Draws one document of a place.

    Args:
        point: the document, with its times in the zone to show.
        language: of the words.
        width: in pixels.
        dark: light letters on a dark ground.
        alarm: what the weather is if it is not observed now.
    """

    def __init__(self, point: PointOut, language: Language, width: int, *, dark: bool, alarm: Alarm = None) -> None:
        self._point, self._language, self._words = point, language, WORDS[language]
        self._style = DARK if dark else LIGHT
        self._size = max(11, min(22, round(width / 27)))
        self._title, self._text = picture_font(round(1.15 * self._size)), picture_font(self._size)
        self._small = picture_font(max(10, round(0.85 * self._size)))
        self._pad = max(6, round(0.6 * self._size))
        self._alarm = alarm
        self._image = Image.new("RGB", (width, self._height(width)), self._style.paper)
        self._draw = ImageDraw.Draw(self._image)

    def png(self) -> bytes:
        """Return the picture."""
        y = float(self._pad)
        for text, font, colour in self._lines(self._image.width):
            self._draw.text((self._pad, y), text, fill=colour, font=font)
            y += self._row(font)
        caption = f"{self._words['rate']} · %: {self._words['chance']}"
        self._draw.text((self._pad, y + self._pad), caption, self._style.faint, self._small, anchor="lm")
        top, left = round(y + self._pad + self._row(self._small)), self._pad + self._axis_width()
        right = self._image.width - self._pad
        bottom = self._image.height - self._pad - 2 * self._row(self._small)
        self._plot((left, top, right, bottom))
        buffer = io.BytesIO()
        self._image.save(buffer, format="PNG", optimize=True)
        return buffer.getvalue()

    def _height(self, width: int) -> int:
        text = sum(self._row(font) for _, font, _ in self._lines(width))
        return text + 3 * self._pad + 3 * self._row(self._small) + round(0.34 * width)

    def _lines(self, width: int) -> list[tuple[str, Font, Rgb]]:
        """Return the lines above the bars: the sentence, the hour's sum, and the age of the data."""
        point, room = self._point, width - 2 * self._pad
        found = [(line, self._title, self._style.ink) for line in _wrapped(self._sentence(), self._title, room)]
        amount = hour_sum(point, self._language)
        found += [(amount, self._text, self._style.ink)] if amount else []
        if self._alarm:
            alarm = _wrapped(self._words[self._alarm], self._text, room)
            found += [(line, self._text, self._style.alarm) for line in alarm]
        kind, colour = ("stale", self._style.alarm) if point.stale else ("radar", self._style.faint)
        radar = self._words[kind].format(time=scan_time(point, self._language))
        if point.status == "degraded":
            radar += f" · {self._words['degraded']}"
        place = f"{abs(point.lat):.2f}° {'NS'[point.lat < 0]} {abs(point.lon):.2f}° {'EW'[point.lon < 0]}"
        if self._language == "de":
            place = place.replace(".", ",").replace("° E", "° O")
        return found + [(line, self._small, colour) for line in _wrapped(f"{radar} · {place}", self._small, room)]

    def _sentence(self) -> str:
        return sentence(self._point, self._language)

    def _axis_width(self) -> int:
        return round(self._small.getlength("100")) + self._pad // 2

    def _plot(self, box: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = box
        series = self._point.series
        top_mmh = max([LEAST_TOP_MMH, *(_highest(lead) for lead in series)])
        self._rule_lines(box, top_mmh)
        step = (right - left) / len(series)
        for number, lead in enumerate(series):
            x0, x1 = left + number * step, left + (number + 1) * step - max(1.0, 0.15 * step)
            self._bar(lead, x0, x1, top, bottom, top_mmh)
        self._draw.line((left, bottom, right, bottom), fill=self._style.faint)
        self._labels(box, step)

    def _rule_lines(self, box: tuple[int, int, int, int], top_mmh: float) -> None:
        left, top, right, bottom = box
        above = float("inf")
        for mmh in LINES_MMH:
            y = bottom - (bottom - top) * _share(mmh, top_mmh)
            if mmh > top_mmh or above - y < self._row(self._small):
                continue
            above = y
            self._draw.line((left, y, right, y), fill=self._style.line)
            self._draw.text((left - self._pad / 2, y), f"{mmh:g}", self._style.faint, self._small, anchor="rm")

    def _bar(self, lead: PointLeadOut, x0: float, x1: float, top: int, bottom: int, top_mmh: float) -> None:
        if lead.rate_mmh is None or lead.known is False:
            self._hatch(x0, x1, top, bottom)
        if lead.rate_mmh is None:
            return

        def height(mmh: float) -> float:
            return bottom - (bottom - top) * _share(mmh, top_mmh)

        colour = _colour(lead.rate_mmh)
        if colour is not None:
            self._draw.rectangle((x0, min(height(lead.rate_mmh), bottom - 2), x1, bottom), fill=colour)
        if lead.q10 is not None and lead.q90 is not None and lead.q90 >= RAIN_COLOURS[0][0]:
            middle, thick = (x0 + x1) / 2, max(1, round(self._size / 11))
            self._draw.line((middle, height(lead.q90), middle, height(lead.q10)), fill=self._style.band, width=thick)
            reach = max(1.0, (x1 - x0) / 4)
            self._draw.line(
                (middle - reach, height(lead.q90), middle + reach, height(lead.q90)), self._style.band, thick
            )

    def _hatch(self, x0: float, x1: float, top: int, bottom: int) -> None:
        """Draw lines where nothing was observed, or where rain can flow in."""
        for y in range(top, bottom, 6):
            self._draw.line((x0, y + 5, x1, y), fill=self._style.unknown, width=2)

    def _labels(self, box: tuple[int, int, int, int], step: float) -> None:
        """Write the time and the chance of rain below every half hour."""
        left, _, right, bottom = box
        row, room, end = self._row(self._small), self._small.getlength("88:88 "), float("-inf")
        for number, lead in enumerate(self._point.series):
            if lead.lead_minutes % LABEL_EVERY_MINUTES:
                continue
            x = min(left + (number + 0.5) * step, right - room / 2)
            if x - room / 2 < end:
                continue
            end = x + room / 2
            self._draw.text(
                (x, bottom + 0.6 * row), f"{lead.valid_time:%H:%M}", self._style.ink, self._small, anchor="mm"
            )
            chance = _chance(lead, self._point.rain_from_mmh)
            if chance is not None:
                text = percent(chance, self._language)
                self._draw.text((x, bottom + 1.6 * row), text, self._style.faint, self._small, anchor="mm")

    def _row(self, font: Font) -> int:
        return round(1.35 * font.size)


def _share(mmh: float, top_mmh: float) -> float:
    """Return the height of a rate: the square root makes light rain visible next to heavy rain."""
    return math.sqrt(min(mmh, top_mmh) / top_mmh)


def _highest(lead: PointLeadOut) -> float:
    return max(lead.rate_mmh or 0.0, lead.q90 or 0.0)


def _colour(rate_mmh: float) -> Rgb | None:
    found = [colour[:3] for edge, colour in RAIN_COLOURS if rate_mmh >= edge]
    return found[-1] if found else None


def _chance(lead: PointLeadOut, rain_from_mmh: float) -> float | None:
    return next(
        (one.probability for one in lead.probabilities if math.isclose(one.threshold_mmh, rain_from_mmh, rel_tol=1e-6)),
        None,
    )


def _wrapped(text: str, font: Font, room: float) -> Sequence[str]:
    """Return a text in lines that fit."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
