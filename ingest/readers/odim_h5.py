"""ODIM_H5 composites (EUMETNET OPERA data information model 2.0 to 2.4), as DWD, OPERA and its members write them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Final

import h5py

from core.errors import FrameError
from core.frame import RadarFrame
from ingest.radar_sites import DWD_RADARS, dwd_site, missing_dwd_radars
from ingest.readers.base import READERS, OtherFormatError, ProductError, Reader, ReadLimits, limits_of
from ingest.readers.containers import credit_of
from ingest.readers.hdf5 import check_parts, is_hdf5, is_odim, opened, text
from ingest.readers.odim_attributes import names_of, optional, required, time_of
from ingest.readers.odim_grid import odim_grid
from ingest.readers.odim_values import QUANTITIES, REFLECTIVITIES, country_of, rates, relation_of
from ingest.readers.timing import SCAN_MINUTES, FrameTimes, lead_minutes

OBJECTS: Final = ("COMP", "IMAGE")
DWD_ORIGIN: Final = "ORG:78"
"""Originating centre of DWD (WMO common code table C-1: 78 is Offenbach)."""

INTERVALS: Final = {"RY": 5.0, "RV": 5.0, "YW": 5.0, "RW": 60.0, "RH": 60.0, "SF": 1440.0}
"""Minutes of the accumulations of DWD's products."""


@dataclass(frozen=True)
class _Candidate:
    """One field of rain or reflectivity of the file, not yet decoded."""

    dataset: Any
    data: Any
    quantity: str
    product: str
    start: datetime
    end: datetime

    @property
    def minutes(self) -> float:
        """Return the length of the interval."""
        return (self.end - self.start).total_seconds() / 60

    def __str__(self) -> str:
        return f"{self.data.name}: {self.quantity} of {self.minutes:g} minutes"


def read_odim_h5(file: BinaryIO) -> list[RadarFrame]:
    """Read the fields of a composite, one frame per time; row 0 is the northern one in the file, too.

    Data sets of other quantities, such as quality, are skipped. Of several fields of one time, RATE is preferred to
    ACRR, ACRR to reflectivity, and the interval of the product, else the shortest. `nodata` is not observed, `undetect`
    is exactly 0 mm/h. ACRR becomes the mean rate from start to end; reflectivity is converted with the relation that
    the file states, else with that of its source. The valid time is the end of the interval.

    Raises:
        OtherFormatError: an HDF5 file without ODIM's groups.
        FrameError: damaged, corners that contradict the size, or a quantity other than rain.
    """
    with opened(file) as root:
        _check_kind(root)
        check_parts(file, root)
        limits = limits_of(file)
        chosen = _chosen(_candidates(root, limits), limits)
        limits.check_frames(len(chosen))
        frames, errors = [], []
        for candidate in chosen:
            try:
                limits.check_cells(*odim_grid(root, candidate.dataset).shape)
                frames.append(_frame(root, candidate, chosen, limits))
            except FrameError as err:
                errors.append((str(candidate), err))
        _report(errors, limits, any_good=bool(frames))
        return frames


def _report(errors: Sequence[tuple[str, FrameError]], limits: ReadLimits, *, any_good: bool) -> None:
    """Note the parts that are left out next to good ones; without a good one, raise the first error."""
    if errors and not any_good:
        raise errors[0][1]
    for what, err in errors:
        limits.leave_out(what, err)


def _check_kind(root: Any) -> None:
    if not is_odim(root):
        conventions = text(root.attrs.get("Conventions", ""))
        raise OtherFormatError(f"HDF5 file with the conventions {conventions!r}, not ODIM_H5")
    kind = text(required("object", "what", root)).upper()
    if kind not in OBJECTS:
        raise ProductError(f"ODIM what/object: expected one of {', '.join(OBJECTS)}, got {kind}")


def _numbered(group: Any, prefix: str) -> list[Any]:
    """Return the groups `prefix` with a number, in the order of the number."""
    names = [name for name in group if name.startswith(prefix) and name[len(prefix) :].isdecimal()]
    found = (group[name] for name in sorted(names, key=lambda name: int(name[len(prefix) :])))
    return [item for item in found if isinstance(item, h5py.Group)]


def _candidates(root: Any, limits: ReadLimits) -> list[_Candidate]:
    """Return the fields of rain in the file.

    Raises:
        ProductError: only other quantities.
        FrameError: no data set, or none with times and quantity.
    """
    datasets = _numbered(root, "dataset")
    if not datasets:
        raise FrameError("ODIM file without dataset1")
    limits.check_frames(len(datasets))
    found, others, errors = list[_Candidate](), set[str](), list[tuple[str, FrameError]]()
    for dataset in datasets:
        for data in _numbered(dataset, "data"):
            try:
                quantity = text(required("quantity", "what", data, dataset)).upper()
                if quantity in QUANTITIES:
                    found.append(_candidate(root, dataset, data, quantity))
                else:
                    others.add(quantity)
            except FrameError as err:
                errors.append((data.name, err))
    _report(errors, limits, any_good=bool(found))
    if not found:
        raise ProductError(f"expected {', '.join(QUANTITIES)}, got {', '.join(sorted(others)) or 'no data'}")
    return found


def _candidate(root: Any, dataset: Any, data: Any, quantity: str) -> _Candidate:
    end = time_of("end", data, dataset) or _nominal(root)
    start = time_of("start", data, dataset) or end
    if start > end or (quantity == "ACRR" and start == end):
        raise FrameError(f"{quantity}: expected an end after the start, got {start} to {end}")
    name = text(optional("prodname", "what", data, dataset) or "")  # RV_top_view is RV
    return _Candidate(dataset, data, quantity, name.split("_")[0].upper() or quantity, start, end)


def _chosen(candidates: Sequence[_Candidate], limits: ReadLimits) -> list[_Candidate]:
    """Return one field per time and product, in the file's order; those left out are noted.

    Raises:
        FrameError: at every time two fields of one interval, or only long intervals that do not determine one.
    """
    by_time: dict[datetime, list[_Candidate]] = {}
    for candidate in candidates:
        by_time.setdefault(candidate.end, []).append(candidate)
    chosen, errors = list[_Candidate](), list[tuple[str, FrameError]]()
    for end, fields in by_time.items():
        try:
            taken = _of_one_time(fields)
        except FrameError as err:
            errors.append((f"the field of {end:%Y-%m-%d %H:%M}", err))
            continue
        for field in fields:
            if field not in taken:
                limits.leave_out(str(field), f"{taken[0]} has the same end, {end:%Y-%m-%d %H:%M}, and is taken")
        chosen += taken
    _report(errors, limits, any_good=bool(chosen))
    return chosen


def _of_one_time(fields: Sequence[_Candidate]) -> list[_Candidate]:
    """Return the fields of the preferred quantity, one per product."""
    best = min(QUANTITIES.index(field.quantity) for field in fields)
    by_product: dict[str, list[_Candidate]] = {}
    for field in fields:
        if QUANTITIES.index(field.quantity) == best:
            by_product.setdefault(field.product, []).append(field)
    return [_by_interval(same) for same in by_product.values()]


def _by_interval(fields: Sequence[_Candidate]) -> _Candidate:
    """Return the field whose interval is the product's, else the shortest if it is that of a scan."""
    if len(fields) == 1:
        return fields[0]
    wanted = INTERVALS.get(fields[0].product)
    minutes = wanted if wanted in [field.minutes for field in fields] else min(field.minutes for field in fields)
    fitting = [field for field in fields if field.minutes == minutes]
    if len(fitting) > 1 or (minutes != wanted and minutes > SCAN_MINUTES):
        listed = "; ".join(str(field) for field in fields)
        raise FrameError(f"expected one field of {fields[0].product} at {fields[0].end}, got {listed}")
    return fitting[0]


def _frame(root: Any, field: _Candidate, all_fields: Sequence[_Candidate], limits: ReadLimits) -> RadarFrame:
    grid, nominal = odim_grid(root, field.dataset), _nominal(root)
    simulated = text(optional("simulated", "how", field.data, field.dataset, root) or "").lower()
    ends = {other.end for other in all_fields}
    times = FrameTimes(
        field.end,
        field.start,
        nominal,
        product=field.product,
        is_simulated=simulated in ("true", "1"),
        is_series=len(ends) > 1 and max(ends) > nominal,
    )
    relation = None
    if field.quantity in REFLECTIVITIES:
        relation, note = relation_of(root, field.data, field.dataset)
        limits.note(note)
    rate_mmh_HW, note = rates(relation, field.dataset, field.data, field.quantity, grid.shape, field.minutes)
    limits.note(note, field.data.name)
    return RadarFrame(
        field.end,
        grid,
        rate_mmh_HW,
        field.product,
        interval_minutes=0.0 if field.quantity in REFLECTIVITIES else field.minutes,
        lead_minutes=lead_minutes(times),
        missing_radars=_missing(root, field.end),
        provider=credit_of(text(optional("provider", "how", root) or "")),
    )


def _nominal(root: Any) -> datetime:
    nominal = time_of("", root)
    if nominal is None:
        raise FrameError("ODIM file without /what/date")
    return nominal


def _missing(root: Any, valid_time: datetime) -> tuple[str, ...]:
    """Return the radars that the file lists as missing; for DWD also those absent from its list of used radars."""
    is_dwd = country_of(text(optional("source", "what", root) or "")) == "de"
    stated, used = (names_of(optional(name, "how", root)) for name in ("missing_nodes", "nodes"))
    missing = {dwd_site(name) if is_dwd else name for name in stated}
    if is_dwd and any(dwd_site(name) in DWD_RADARS for name in used):  # numbers of stations are not compared
        missing.update(missing_dwd_radars(used, valid_time))
    return tuple(sorted(missing - {""}))


READERS.register("odim-h5")(Reader(is_hdf5, read_odim_h5))
