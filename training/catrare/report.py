"""The benchmark's tables with the published values, and every difference between their protocol and ours."""

import csv
import io
import math
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from models import Forecaster
from training.catrare.protocol import CatrareProtocol, WindowTally
from training.catrare.scoring import STARTS, HourKey, HourScores, Starts
from verification.baselines import BASELINES
from verification.bootstrap import Interval, Verdict, interval, paired_interval, verdict
from verification.counts import Counts
from verification.means import PooledValue
from verification.scores import values_of
from verification.scores.brier import Brier, BrierSums
from verification.scores.csi import CSI
from verification.table import MASKS, Mask

SOURCE: Final = (
    "Ayzel and Heistermann 2025, Nat. Hazards Earth Syst. Sci. 25, 41-47; values read from its figure of CSI"
)
PUBLISHED: Final = {
    "RainNet2024-S": {5.0: 0.402, 10.0: 0.246, 15.0: 0.160, 20.0: 0.113},
    "RainNet2024": {5.0: 0.340, 10.0: 0.182, 15.0: 0.094, 20.0: 0.042},
    "pysteps": {5.0: 0.285, 10.0: 0.142, 15.0: 0.077, 20.0: 0.042},
    "persistence": {5.0: 0.215, 10.0: 0.112, 15.0: 0.069, 20.0: 0.045},
}
"""CSI of the next hour's sum at or above a threshold in mm."""

PUBLISHED_EVENTS: Final = 2110
COLUMNS: Final = 120
MOST_NAMED: Final = 20
"""Events and files that the text names one by one; it counts the others."""

DIFFERENCES: Final = (
    ("events", f"{PUBLISHED_EVENTS:,} of 2019 and 2020", "all of the given table that start in the given years"),
    (
        "windows",
        "those whose sum reaches the threshold; which starts of an event is not in the public code",
        "the same choice, from starts whose next hour overlaps the event; JSON and CSV also have `every` start",
    ),
    (
        "cut-out",
        "256 x 256 km; its centre is not in the public code",
        "centred on the largest sum, moved inwards at the edge",
    ),
    (
        "input",
        "4 fields of 5 minutes (RainNet2024), 2 (pysteps)",
        "up to {past} without a gap, at least 5; extrapolation uses the newest 3",
    ),
    ("not observed", "filled with 0 mm/h, in the input and in the truth (pysteps)", "never filled, and not counted"),
    ("inflow", "0 mm/h, counted", "0 mm/h and counted in the mask all, left out in the mask known"),
    (
        "event of a forecast",
        "RainNet2024-S: probability of 0.5 or more, one network for each threshold",
        "sum of the rates; with members, half of them",
    ),
    ("pooling", "not in the public code", "counts of all windows are added up, the ratio is taken last"),
    ("pysteps", "motion of rates in dB above 0.1 mm/h", "motion of reflectivity above 0 dBZ"),
    ("persistence", "not in the public code", "the rate of the newest field for an hour"),
    ("interval", "none", "90 % by bootstrap over the days on which events start"),
)
"""(what, RainNet2024, here), from their public code (github.com/hydrogo/the-rainnet2024-family, commit 43aa7c0)."""

CSI_STATISTIC: Final = PooledValue(CSI())


@dataclass(frozen=True)
class HourRow:
    """Scores of one model at one threshold, of one mask and choice of windows.

    Attributes:
        windows: number of windows.
        cells: number of compared grid cells.
        observed: cells whose observed sum reaches the threshold.
        csi_90: interval of CSI; None below three days.
        brier: of the members' probabilities; None without members.
        reference: the baseline with the higher CSI, which the difference is taken to; None for the baselines.
        difference_90: interval of the difference of CSI.
        claim: what may be claimed of the difference.
    """

    model: str
    threshold_mm: float
    mask: Mask
    starts: Starts
    windows: int
    cells: int
    observed: int
    counts: Counts
    csi: float | None
    csi_90: Interval | None
    pod: float | None
    far: float | None
    bias: float | None
    brier: float | None
    reference: str | None = None
    difference: float | None = None
    difference_90: Interval | None = None
    claim: Verdict | None = None

    def flat(self) -> dict[str, Any]:
        """Return plain values, intervals as two numbers."""
        plain = {name: value for name, value in vars(self).items() if name not in ("counts", *_INTERVALS)}
        plain |= asdict(self.counts)
        for name in _INTERVALS:
            found: Interval | None = getattr(self, name)
            plain |= {f"{name}_low": found and found.low, f"{name}_high": found and found.high}
        return plain


_INTERVALS: Final = ("csi_90", "difference_90")


@dataclass(frozen=True)
class CatrareResult:
    """The benchmark of some forecasters.

    Attributes:
        protocol: what was scored.
        scores: sums by day.
        tally: what became of the windows.
        forecasters: of the rows, baselines first.
        catalogue_events: number of events in the years of the protocol.
    """

    protocol: CatrareProtocol
    scores: HourScores
    tally: WindowTally
    forecasters: tuple[Forecaster, ...]
    catalogue_events: int

    def rows(self, starts: Starts, mask: Mask, threshold_mm: float) -> list[HourRow]:
        """Return the rows of one table, in the order of the forecasters."""
        return [self._row(one.name, threshold_mm, mask, starts) for one in self.forecasters]

    def all_rows(self) -> Iterator[HourRow]:
        """Yield the rows of all tables."""
        for starts in STARTS:
            for mm in self.protocol.thresholds_mm:
                for mask in MASKS:
                    yield from self.rows(starts, mask, mm)

    def _row(self, model: str, mm: float, mask: Mask, starts: Starts) -> HourRow:
        key = HourKey(model, "counts", mm, mask, starts)
        counts: Counts = self.scores.total(key)
        values = values_of(counts, "counts")
        brier: BrierSums = self.scores.total(key._replace(family="brier"))
        return HourRow(
            *(model, mm, mask, starts, self.scores.windows.get((starts, mm), 0)),
            *(counts.total, counts.hits + counts.misses, counts),
            *(values["csi"], interval(_of_days(self.scores, key), CSI_STATISTIC)),
            *(values["pod"], values["far"], values["bias"]),
            Brier().value(brier) if brier.cells else None,
            **self._against(key, counts),
        )

    def _against(self, key: HourKey, counts: Counts) -> dict[str, Any]:
        """Return the difference to the better baseline on the same cells; nothing for the baselines."""
        if key.model in BASELINES:
            return {}
        csi = {name: CSI().value(self.scores.total(key._replace(model=name))) for name in (key.model, *BASELINES)}
        better = max(BASELINES, key=lambda name: (math.isfinite(csi[name]), csi[name]))
        mine, theirs = (_of_days(self.scores, key._replace(model=name)) for name in (key.model, better))
        difference = csi[key.model] - csi[better]
        found = paired_interval(mine, theirs, CSI_STATISTIC)
        return {
            "reference": better,
            "difference": difference if math.isfinite(difference) else None,
            "difference_90": found,
            "claim": verdict(found, CSI.best, counts.hits + counts.misses),
        }

    def differences(self) -> list[tuple[str, str, str]]:
        """Return every known difference to the published protocol: what, RainNet2024, here."""
        own = [(what, theirs, ours.format(past=self.protocol.past_fields)) for what, theirs, ours in DIFFERENCES]
        if self.protocol.every_minutes > 5:
            own.append(("starts", "numbered by field, 5 minutes apart", f"every {self.protocol.every_minutes} minutes"))
        if self.protocol.size_cells != 256:
            own.append(("size", "256 km", f"{self.protocol.size_cells} km"))
        if self.protocol.years != (2019, 2020):
            own.append(("years", "2019, 2020", ", ".join(map(str, self.protocol.years))))
        return own

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {
            "protocol": asdict(self.protocol),
            "models": [
                {"name": f.name, "version": f.version, "sha256": f.card.get("sha256")} for f in self.forecasters
            ],
            "events": {"in_the_catalogue": self.catalogue_events, "scored": len(self._names()), "days": self._days()},
            "windows": {**self.tally.to_dict(), "incomplete": self.tally.incomplete},
            "rows": [row.flat() for row in self.all_rows()],
            "published": {"source": SOURCE, "csi": PUBLISHED, "events": PUBLISHED_EVENTS},
            "differences": [dict(zip(("what", "published", "here"), one, strict=True)) for one in self.differences()],
        }

    def to_csv(self) -> str:
        """Return the rows of all tables as CSV, with a header."""
        text = io.StringIO()
        rows = [row.flat() for row in self.all_rows()]
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        return text.getvalue()

    def to_text(self) -> str:
        """Return the tables of the windows that reach the threshold, in at most 120 columns."""
        blocks = [self._head()]
        blocks += [self._block(mm, mask) for mm in self.protocol.thresholds_mm for mask in MASKS]
        lines = [textwrap.fill(f"differences to the published protocol ({SOURCE}):", COLUMNS)]
        for what, theirs, ours in self.differences():
            lines.append(f"  {what}")
            for head, text in (("    published: ", theirs), ("    here:      ", ours)):
                lines.append(textwrap.fill(text, COLUMNS, initial_indent=head, subsequent_indent=" " * len(head)))
        return "\n\n".join([*blocks, "\n".join(lines)])

    def _head(self) -> str:
        tally = self.tally
        lines = [
            "RainNet2024's benchmark: CSI of the sum of the next hour at or above a threshold",
            f"{len(self._names()):,} of {self.catalogue_events:,} events on {self._days():,} days; "
            f"{tally.complete:,} of {tally.planned:,} windows",
            f"{tally.incomplete:,} windows lack a field, {len(tally.uncovered):,} have no observed cell",
        ]
        for what, names in (("events off the grid", tally.outside), ("files not read", tally.unreadable)):
            if names:
                lines.append(f"{len(names):,} {what}: {', '.join(sorted(names)[:MOST_NAMED])}"[:COLUMNS])
        return "\n".join(lines)

    def _block(self, mm: float, mask: Mask) -> str:
        rows = self.rows("reached", mask, mm)
        first = rows[0]
        lines = [
            f"{mm:g} mm, mask {mask}: {first.windows:,} windows that reach it, {first.cells:,} cells, "
            f"{first.observed:,} of them observed",
            f"  {'model':<24}{'CSI (90 %)':<22}{'POD':>7}{'FAR':>7}{'bias':>7}{'Brier':>9}  "
            "CSI against the better baseline",
        ]
        for row in rows:
            numbers = "".join(f"{_number(value):>7}" for value in (row.pod, row.far, row.bias))
            line = f"  {row.model[:23]:<24}{_with_interval(row.csi, row.csi_90):<22}{numbers}{_number(row.brier, 4):>9}"
            lines.append(f"{line}  {_against_text(row)}".rstrip())
        published = ", ".join(f"{name} {values[mm]:.3f}" for name, values in PUBLISHED.items() if mm in values)
        if published and mask == "all":
            lines.append(f"  published: {published}")
        return "\n".join(lines)

    def _names(self) -> set[str]:
        return {name for names in self.scores.events.values() for name in names}

    def _days(self) -> int:
        return len(self.scores.events)


def _of_days(scores: HourScores, key: HourKey) -> dict[str, list[Any]]:
    return {day: [sums] for day, sums in scores.by_day(key).items()}


def _against_text(row: HourRow) -> str:
    if row.claim is None:
        return ""
    found = row.difference_90
    low_high = f" ({found.low:+.3f} to {found.high:+.3f})" if found else ""
    return f"{_number(row.difference, sign='+')}{low_high} {row.claim}"


def _with_interval(value: float | None, found: Interval | None) -> str:
    return f"{_number(value)} ({_number(found.low)}-{_number(found.high)})" if found else _number(value)


def _number(value: float | None, digits: int = 3, sign: str = "") -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:{sign}.{digits}f}"
