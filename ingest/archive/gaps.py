"""The gap report: which times an archive lacks, what was left out and why; as JSON and as text."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.files import write_bytes_atomically
from core.times import iso
from ingest.archive.layout import missing_seconds
from ingest.archive.order import MOST_NAMED, Found, Order

MOST_LINES = 40
"""Gaps and files that the text names; the JSON names more."""


def gap_report(seconds: NDArray[np.int64]) -> dict[str, Any]:
    """Return the gaps of a time axis, the longest first, and the completeness of each month."""
    missing = missing_seconds(seconds)
    step_s = int(np.diff(seconds).min()) if len(seconds) > 1 else 0
    return {
        "first": _text(seconds[0]),
        "last": _text(seconds[-1]),
        "step_minutes": step_s / 60,
        "fields": len(seconds),
        "missing": len(missing),
        "gaps": _gaps(missing, step_s),
        "months": _months(seconds, missing),
    }


def build_report(found: Found, order: Order, product: str) -> dict[str, Any]:
    """Return the `gap_report` of a build, with the files left out and the missing radar sites."""
    return {
        "product": product,
        **gap_report(order.table.seconds),
        "duplicate_times": [_text(second) for second in order.duplicate_seconds[:MOST_NAMED]],
        "duplicate_count": len(order.duplicate_seconds),
        "all_dry": int((order.table.max_mmh == 0).sum()),
        "nothing_observed": int((order.table.observed_fraction == 0).sum()),
        "fields_without_radar": dict(sorted(found.missing_radars.items())),
        "rejected_count": found.rejected_count,
        "rejected": [{"file": name, "reason": reason} for name, reason in found.rejected],
        "note_count": found.note_count,
        "notes": [{"file": name, "note": note} for name, note in found.notes],
    }


def write_report(report: dict[str, Any], archive: str | Path) -> Path:
    """Write `ARCHIVE.gaps.json` and `ARCHIVE.gaps.txt` next to the archive.

    Returns:
        the text's path.
    """
    archive = Path(archive)
    write_bytes_atomically(archive.with_suffix(".gaps.json"), (json.dumps(report, indent=1) + "\n").encode())
    text = archive.with_suffix(".gaps.txt")
    write_bytes_atomically(text, as_text(report).encode())
    return text


def as_text(report: dict[str, Any]) -> str:
    """Return the report as text."""
    fields, missing = report["fields"], report["missing"]
    lines = [
        f"{report['first']} to {report['last']}, every {report['step_minutes']:g} minutes",
        f"{fields:,} of {fields + missing:,} fields ({fields / (fields + missing):.2%}), {missing:,} missing",
    ]
    for key, text in (
        ("duplicate_count", "times occurred more than once"),
        ("rejected_count", "files left out"),
        ("note_count", "notes on fields that were taken"),
        ("all_dry", "fields without any rain"),
        ("nothing_observed", "fields without an observed cell"),
    ):
        if report.get(key):
            lines.append(f"{report[key]:,} {text}")
    radars = [f"{site} {count:,}" for site, count in report.get("fields_without_radar", {}).items()]
    lines += [f"fields without a radar: {', '.join(radars)}"] if radars else []
    gaps = [f"  {gap['from']}  {gap['fields']:>8,} fields" for gap in report["gaps"][:MOST_LINES]]
    lines += [f"gaps, the longest first ({len(report['gaps']):,}):", *gaps] if gaps else []
    months = [f"  {month['month']}  {month['share']:.2%}" for month in report["months"] if month["share"] < 1]
    lines += ["incomplete months:", *months] if months else []
    rejected = [f"  {one['file']}: {one['reason']}" for one in report.get("rejected", [])[:MOST_LINES]]
    lines += ["left out:", *rejected] if rejected else []
    notes = [f"  {one['file']}: {one['note']}" for one in report.get("notes", [])[:MOST_LINES]]
    lines += ["notes:", *notes] if notes else []
    return "\n".join(lines) + "\n"


def _gaps(missing: NDArray[np.int64], step_s: int) -> list[dict[str, Any]]:
    if not missing.size:
        return []
    runs = np.split(missing, np.flatnonzero(np.diff(missing) > step_s) + 1)
    runs.sort(key=lambda run: (-len(run), int(run[0])))
    return [{"from": _text(run[0]), "to": _text(run[-1]), "fields": len(run)} for run in runs[:MOST_NAMED]]


def _months(seconds: NDArray[np.int64], missing: NDArray[np.int64]) -> list[dict[str, Any]]:
    there = _by_month(seconds)
    lacking = _by_month(missing)
    months = []
    for month in sorted(there | lacking):
        fields, absent = there.get(month, 0), lacking.get(month, 0)
        months.append({"month": month, "fields": fields, "missing": absent, "share": fields / (fields + absent)})
    return months


def _by_month(seconds: NDArray[np.int64]) -> dict[str, int]:
    months, counts = np.unique(seconds.astype("datetime64[s]").astype("datetime64[M]"), return_counts=True)
    return dict(zip(months.astype(str).tolist(), counts.tolist(), strict=True))


def _text(second: int) -> str:
    return iso(datetime.fromtimestamp(int(second), UTC))
