"""Tables of skill as text of at most 120 columns, as rows for CSV, and as JSON."""

import csv
import io
import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from core.units import MAIN_THRESHOLDS_MMH
from training.evaluation.skill_rows import Comparison, MeanValue, ScoreRow, SkillTable
from training.evaluation.skill_sums import RowKey
from verification.bootstrap import LEAST_OBSERVED_CELLS, Interval
from verification.means import Mean
from verification.scores.power_spectrum import PowerBands
from verification.scores.reliability import ReliabilityBins
from verification.sums import Sums
from verification.table import MASKS, Mask

B = TypeVar("B", bound=Sums)
WIDTH: Final = 120
MASK_WORDS: Final[dict[Mask, str]] = {
    "all": "all observed cells in the newest scan's coverage",
    "known": "cells whose origin was observed (for extrapolation)",
}
MEAN_WORDS: Final[dict[Mean, str]] = {"pooled": "pooled", "leads": "mean of leads"}
OTHER_COLUMN: Final = 13
RELIABLE_CELLS: Final = 1000
"""Bins of probability with at most this number of grid cells are not printed."""


def text_of(table: SkillTable, thresholds_mmh: Sequence[float] = MAIN_THRESHOLDS_MMH, *, others: bool = True) -> str:
    """Return one table of skill.

    Args:
        table: of a group.
        thresholds_mmh: of the scores that are printed.
        others: whether other scores than CSI and bias, and reliability, are printed.
    """
    blocks = [_title(table)]
    for mask in MASKS:
        blocks.append(f"mask {mask}: {MASK_WORDS[mask]}")
        blocks += [_csi_block(table, mask, mmh) for mmh in thresholds_mmh if table.find(mask, "csi", mmh)]
        if others:
            blocks.append(_other_block(table, mask, thresholds_mmh))
    if others:
        blocks += list(_reliability_blocks(table))
    return "\n\n".join(block for block in blocks if block)


def _title(table: SkillTable) -> str:
    part = "" if table.part == "every" else ", those that STEPS was run on"
    means = ", ".join(f"+{lead}" for lead in table.leads)
    windows, spells = _number_of(table.windows, "window"), _number_of(table.spells, "spell")
    head = f"{table.group.name}: {windows} of {spells} of weather{part}"
    intervals = "intervals are 90 % by bootstrap over spells" if table.spells >= 3 else "too few spells for intervals"
    return textwrap.fill(
        f"{head}. Means are over {means} min; {intervals}. Nothing is claimed below {LEAST_OBSERVED_CELLS:,} observed "
        "cells with the event.",
        WIDTH,
    )


def _csi_block(table: SkillTable, mask: Mask, mmh: float) -> str:
    rows = table.find(mask, "csi", mmh)
    bias = {row.model: row.means["pooled"].value for row in table.find(mask, "bias", mmh)}
    leads = sorted({lead for row in rows for lead in row.by_lead})[:8]
    lines = [
        f"{f'CSI, {mmh:g} {table.unit}':<22}"
        + "".join(f"{f'+{lead}':>6}" for lead in leads)
        + f"{'pooled':>16}{'mean of leads':>16}{'bias':>6}{'cells':>11}{'events':>9}"
    ]
    if len(leads) > 5:  # there is no room for intervals in the line
        lines[0] = lines[0].replace(f"{'pooled':>16}{'mean of leads':>16}", f"{'pooled':>8}{'mean':>7}")
    for row in rows:
        line = f"  {_short(row.model, 20):<20}"
        line += "".join(f"{_number(row.by_lead.get(lead, math.nan)):>6}" for lead in leads)
        pooled, mean = row.means["pooled"], row.means["leads"]
        if len(leads) > 5:
            line += f"{_number(pooled.value):>8}{_number(mean.value):>7}"
        else:
            line += f"{_with_interval(pooled):>16}{_with_interval(mean):>16}"
        lines.append(line + f"{_number(bias.get(row.model, math.nan), 2):>6}{row.cells:>11}{row.events:>9}")
    lines += [line for row in rows for line in _claims(row)]
    return "\n".join(lines)


def _claims(row: ScoreRow) -> Iterator[str]:
    """Yield, for each row that a model is compared with, the differences of both means."""
    for reference in dict.fromkeys(one.reference for one in row.comparisons):
        found = [f"{MEAN_WORDS[one.mean]} {_difference(one)}" for one in row.comparisons if one.reference == reference]
        yield textwrap.fill(
            f"{row.model} to {reference}: {'; '.join(found)}", WIDTH, initial_indent="    ", subsequent_indent="      "
        )


def _difference(one: Comparison) -> str:
    text = _signed(one.difference)
    if one.interval is not None:
        text += f" ({_signed(one.interval.low)} to {_signed(one.interval.high)})"
    return f"{text} {one.verdict}"


def _other_block(table: SkillTable, mask: Mask, thresholds_mmh: Sequence[float]) -> str:
    """Return every other score over all leads, a line for each score and a column for each model."""
    labels: dict[str, list[ScoreRow]] = {}
    for row in table.rows:
        if row.mask == mask and row.threshold_mmh in (None, *thresholds_mmh) and row.score not in ("csi", "bias"):
            labels.setdefault(label_of(row, table.unit), []).append(row)
    per_line = (WIDTH - 22 - 22) // OTHER_COLUMN
    models = table.models
    blocks = []
    for first in range(0, len(models), per_line):
        chosen = models[first : first + per_line]
        lines = [f"{'pooled over leads':<22}" + "".join(f"{_short(one, 12):>{OTHER_COLUMN}}" for one in chosen)]
        lines[0] += f"{'cells':>11}{'events':>10}"
        for label, rows in labels.items():
            by_model = {row.model: row for row in rows if row.model in chosen}
            if by_model:
                values = [by_model[one].means["pooled"].value if one in by_model else math.nan for one in chosen]
                line = f"{label:<22}" + "".join(f"{_number(value, 4):>{OTHER_COLUMN}}" for value in values)
                one = next(iter(by_model.values()))
                lines.append(f"{line}{one.cells:>11}{one.events:>10}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _reliability_blocks(table: SkillTable) -> Iterator[str]:
    for model in table.models:
        lines = []
        for row in [row for row in table.rows if row.score == "reliability" and row.model == model]:
            if row.mask == "all":
                points = "  ".join(
                    f"{probability:.2f}:{frequency:.2f}"
                    for probability, frequency, cells in bins_of(table, row).points()
                    if cells > RELIABLE_CELLS
                )
                lines.append(
                    _wrapped(f"  {row.threshold_mmh:>4g} {table.unit}  ", points or "no bin with enough cells")
                )
        if lines:
            yield "\n".join([f"reliability of {model}: probability:observed frequency, mask all", *lines])


def _wrapped(head: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def bins_of(table: SkillTable, row: ScoreRow) -> ReliabilityBins:
    """Return the bins of a row of reliability, over the leads that count."""
    return pooled_bins(table, row, "reliability", ReliabilityBins())


def pooled_bins(table: SkillTable, row: ScoreRow, family: str, empty: B) -> B:
    """Return the sums of a row over spells and the leads that count.

    Args:
        table: has the sums.
        row: names mask, model and threshold.
        family: of the sums.
        empty: to begin with.
    """
    found = empty
    spells = table.sums[RowKey(row.mask, row.model, family, row.threshold_mmh, row.window_km)]
    for sums_by_lead in spells.values():
        for lead in table.leads:
            found = found + sums_by_lead[lead]
    return found


def label_of(row: ScoreRow, unit: str) -> str:
    """Return the name of a score with its parameters."""
    threshold = "" if row.threshold_mmh is None else f" {row.threshold_mmh:g} {unit}"
    window = "" if row.window_km is None else f" {row.window_km:g} km"
    return f"{row.score}{threshold}{window}"


CSV_COLUMNS: Final = (
    *("group", "part", "windows", "spells", "mask", "model", "score", "threshold_mmh", "window_km", "lead"),
    *("value", "low", "high", "cells", "events"),
    *("reference", "difference", "difference_low", "difference_high", "verdict"),
)


def csv_text(tables: Iterable[SkillTable]) -> str:
    """Return all rows: one for every lead and mean, and one for every comparison of a mean."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in tables:
        head = (table.group.name, table.part, table.windows, table.spells)
        for row in table.rows:
            writer.writerows((*head, *line) for line in _csv_rows(row))
    return file.getvalue()


def _csv_rows(row: ScoreRow) -> Iterator[tuple[Any, ...]]:
    start = (row.mask, row.model, row.score, _cell(row.threshold_mmh), _cell(row.window_km))
    nothing: tuple[str, ...] = ("",) * 5
    for lead, value in row.by_lead.items():
        counts = row.counts_by_lead[lead]
        yield (*start, lead, _cell(value), "", "", counts.total, counts.hits + counts.misses, *nothing)
    for mean, found in row.means.items():
        compared = [one for one in row.comparisons if one.mean == mean]
        ends: list[tuple[str, ...]] = [
            (one.reference, _cell(one.difference), *_ends(one.interval), one.verdict) for one in compared
        ]
        for end in ends or [nothing]:
            yield (*start, mean, _cell(found.value), *_ends(found.interval), row.cells, row.events, *end)


def as_json(table: SkillTable) -> dict[str, Any]:
    """Return a table for JSON; undefined values are null."""
    return {
        "group": table.group.name,
        "files": list(table.group.files),
        "part": table.part,
        "unit": table.unit,
        "windows": table.windows,
        "spells": table.spells,
        "mean_over_leads": list(table.leads),
        "scores": [_json_row(row) for row in table.rows],
        "reliability": [
            {"model": row.model, "threshold_mmh": row.threshold_mmh, "bins": bins_of(table, row).points()}
            for row in table.rows
            if row.score == "reliability" and row.mask == "all"
        ],
        "spectra": [
            {"model": row.model, "bands": pooled_bins(table, row, "power-spectrum", PowerBands()).ratios()}
            for row in table.rows
            if row.score == "power-spectrum" and row.mask == "all"
        ],
    }


def _json_row(row: ScoreRow) -> dict[str, Any]:
    return {
        "mask": row.mask,
        "model": row.model,
        "score": row.score,
        "threshold_mmh": row.threshold_mmh,
        "window_km": row.window_km,
        "cells": row.cells,
        "events": row.events,
        "by_lead": {str(lead): _finite(value) for lead, value in row.by_lead.items()},
        **{mean: _json_value(found.value, found.interval) for mean, found in row.means.items()},
        "comparisons": [
            {
                "reference": one.reference,
                "mean": one.mean,
                "difference": _json_value(one.difference, one.interval),
                "verdict": one.verdict,
            }
            for one in row.comparisons
        ],
    }


def _json_value(value: float, interval: Interval | None) -> dict[str, Any]:
    return {"value": _finite(value), "interval": None if interval is None else [interval.low, interval.high]}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cell(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"


def _ends(interval: Interval | None) -> tuple[str, str]:
    return ("", "") if interval is None else (_cell(interval.low), _cell(interval.high))


def _with_interval(value: MeanValue) -> str:
    if value.interval is None:
        return _number(value.value)
    return f"{_number(value.value)} {_bare(value.interval.low)}-{_bare(value.interval.high)}"


def _bare(value: float) -> str:
    """Return a share without its leading 0."""
    return _number(value).removeprefix("0")


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def _signed(value: float) -> str:
    return f"{value:+.3f}" if math.isfinite(value) else "-"


def _number_of(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 2]}.."
