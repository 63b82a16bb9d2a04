"""Values of an ODIM_H5 field as rain rates: counts, no data, units, and reflectivity by the relation of its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from core.arrays import Float32Field, FloatField
from core.errors import FrameError
from core.udunits import unit_factor
from core.units import DWD_ZR, FMI_ZR, MARSHALL_PALMER_ZR, METEOSWISS_ZR, ZRRelation
from ingest.plausibility import rate_field, without_marks
from ingest.readers.hdf5 import text
from ingest.readers.odim_attributes import optional, optional_number

QUANTITIES: Final = ("RATE", "ACRR", "DBZH", "TH")
"""Rain rate in mm/h, accumulation in mm from start to end, reflectivity in dBZ; the first one present is read."""

REFLECTIVITIES: Final = ("DBZH", "TH")
UNITS: Final[Mapping[str, str]] = {"RATE": "mm h-1", "ACRR": "mm"}
LOWEST_DBZ: Final = -100.0
"""A finite reflectivity below this is a mark of no data that the file does not state."""

ZR_BY_COUNTRY: Final[Mapping[str, ZRRelation]] = {"de": DWD_ZR, "fi": FMI_ZR, "ch": METEOSWISS_ZR}
OPERA_COUNTRIES: Final = frozenset(
    (
        *("at", "ba", "be", "bg", "by", "cy", "cz", "dk", "ee", "es", "eu", "fr", "gb", "gr", "hr", "hu", "ie", "il"),
        *("is", "it", "lt", "lu", "lv", "md", "me", "mk", "mt", "nl", "no", "pl", "pt", "ro", "rs", "se", "si", "sk"),
        *("tr", "ua", "uk"),
    )
)
"""Members of EUMETNET OPERA, whose composites mean 200 and 1.6; `eu` is OPERA itself."""

COUNTRY_BY_CENTRE: Final[Mapping[str, str]] = dict(
    (
        *(("74", "uk"), ("78", "de"), ("79", "de"), ("80", "it"), ("82", "se"), ("83", "bg"), ("85", "fr")),
        *(("86", "fi"), ("87", "rs"), ("88", "no"), ("89", "cz"), ("91", "tr"), ("94", "dk"), ("95", "ua")),
        *(("99", "nl"), ("214", "es"), ("215", "ch"), ("217", "sk"), ("218", "hu"), ("219", "si"), ("220", "pl")),
        *(("221", "hr"), ("224", "at"), ("227", "be"), ("233", "ie"), ("242", "ro"), ("247", "eu")),
    )
)
"""Originating centres of WMO common code table C-1 (the key `ORG`)."""

COUNTRY_BY_WMO: Final = (
    ("01", "no"),
    *((f"02{hundred}", "se") for hundred in range(7)),
    *((f"02{hundred}", "fi") for hundred in range(7, 10)),
    *(("03", "uk"), ("04", "is"), ("060", "dk"), ("061", "dk"), ("062", "nl"), ("063", "nl"), ("064", "be")),
    *(("066", "ch"), ("067", "ch"), ("07", "fr"), ("08", "es"), ("10", "de"), ("110", "at"), ("111", "at")),
    *(("114", "cz"), ("115", "cz"), ("116", "cz"), ("117", "cz"), ("118", "sk"), ("119", "sk"), ("12", "pl")),
    *(("13", "rs"), ("14", "hr"), ("15", "ro"), ("16", "it"), ("17", "tr"), ("26", "ee"), ("33", "ua")),
)
"""Beginnings of WMO station numbers (the key `WMO`)."""


@dataclass(frozen=True)
class Packing:
    """How counts stand for values; None where the file does not state it."""

    gain: float
    offset: float
    nodata: float | None
    undetect: float | None


def country_of(source: str) -> str:
    """Return the country of `what/source` in two letters, by NOD, WMO, ORG or RAD; `eu` is OPERA, empty is unknown."""
    keys = dict(part.strip().partition(":")[::2] for part in source.split(","))
    keys = {name.strip().upper(): value.strip().lower() for name, value in keys.items()}
    if "opera" in source.lower() or "odyssey" in source.lower():
        return "eu"
    by_wmo = next((land for start, land in COUNTRY_BY_WMO if keys.get("WMO", "").startswith(start)), "")
    by_letters = [keys.get(name, "")[:2] for name in ("NOD", "RAD")]
    known = [land for land in by_letters if land in OPERA_COUNTRIES or land in ZR_BY_COUNTRY]
    return next((land for land in (*known[:1], by_wmo, COUNTRY_BY_CENTRE.get(keys.get("ORG", ""), "")) if land), "")


def relation_of(root: Any, *holders: Any) -> tuple[ZRRelation, str]:
    """Return the relation of reflectivity and rain, and a note if neither the file nor its source determines it.

    `how/zr_a` and `how/zr_b` are decisive, then the relation of the source.

    Raises:
        FrameError: one of the two alone, or values that are not positive.
    """
    a, b = (optional_number(name, "how", *holders, root) for name in ("zr_a", "zr_b"))
    if a is not None and b is not None and a > 0 and b > 0:
        return ZRRelation(a, b, "how/zr_a and how/zr_b of the file"), ""
    if a is not None or b is not None:
        raise FrameError(f"ODIM how/zr_a and how/zr_b: expected two numbers above 0, got {a} and {b}")
    source = text(optional("source", "what", root) or "")
    country = country_of(source)
    if country in ZR_BY_COUNTRY:
        return ZR_BY_COUNTRY[country], ""
    note = (
        f"reflectivity is converted with OPERA's Z = 200 R^1.6: the file has no how/zr_a and how/zr_b, and the "
        f"relation of its source {source!r} is not known"
    )
    return MARSHALL_PALMER_ZR, "" if country in OPERA_COUNTRIES else note


def rates(
    relation: ZRRelation | None, dataset: Any, group: Any, quantity: str, shape: tuple[int, int], minutes: float
) -> tuple[Float32Field, str]:
    """Return the field in mm/h and a note on masked values: `nodata` and NaN are not observed, `undetect` is exactly 0.

    Args:
        relation: of reflectivity and rain; None for other quantities.
        dataset: the data set's group, whose `what` is taken where the field's own lacks an attribute.
        group: the field's group, such as `dataset1/data1`.
        quantity: one of `QUANTITIES`.
        shape: of the grid.
        minutes: length of the interval of an accumulation.

    Raises:
        FrameError: no numbers of the grid's shape, an unknown packing or unit, or no rain rates.
    """
    data = group.get("data")
    if data is None or data.shape != shape or data.dtype.kind not in "uif":
        got = "nothing" if data is None else f"{data.dtype} {data.shape}"
        raise FrameError(f"{group.name}/data: expected numbers of shape {shape}, got {got}")
    factor = _unit(quantity, group, dataset)
    if quantity == "ACRR":
        factor *= 60.0 / minutes  # mean rate from start to end
    raw_HW = data[()]
    packing = _packing(group, dataset, raw_HW)

    def converted(raw: Any) -> FloatField:
        missing, dry = _missing(raw, packing), _equals(raw, packing.undetect)
        with np.errstate(over="ignore", invalid="ignore"):
            value = np.asarray(raw * np.float64(packing.gain * factor), np.float64)
            if packing.offset:
                value += packing.offset * factor
            value[missing | dry] = np.nan
            if relation is not None:
                value = np.asarray(relation.rate_mmh(_without_marks(value) if raw.dtype.kind == "f" else value))
        value[dry & ~missing] = 0.0
        return value

    if raw_HW.dtype.kind == "u" and raw_HW.dtype.itemsize <= 2 and raw_HW.size > np.iinfo(raw_HW.dtype).max:
        counts = np.arange(np.iinfo(raw_HW.dtype).max + 1).astype(raw_HW.dtype)  # each count once, then looked up
        return rate_field(np.asarray(converted(counts), np.float32)[raw_HW]), _doubt(packing)
    raw_HW, note = _without_unstated(raw_HW, packing, factor)
    return rate_field(converted(raw_HW)), note or _doubt(packing)


def _without_unstated(raw_HW: Any, packing: Packing, factor: float) -> tuple[Any, str]:
    """Return numbers without marks that neither `nodata` nor `undetect` states, and a note; counts as they are."""
    if raw_HW.dtype.kind != "f":
        return raw_HW, ""
    stated_HW = _missing(raw_HW, packing) | _equals(raw_HW, packing.undetect)
    found_HW, note = without_marks(np.where(stated_HW, raw_HW.dtype.type(0), raw_HW), factor)
    return (np.where(stated_HW, raw_HW, found_HW), note) if note else (raw_HW, "")


def _doubt(packing: Packing) -> str:
    """Return a note on dry cells that the file does not tell from missing ones."""
    is_one = packing.nodata is not None and packing.nodata == packing.undetect
    return f"nodata and undetect are both {packing.nodata:g}: such cells are not observed" if is_one else ""


def _packing(group: Any, dataset: Any, raw_HW: Any) -> Packing:
    """Return gain, offset and marks; whole numbers without a gain, or with an unstated mark, are refused."""
    gain, offset = (optional_number(name, "what", group, dataset) for name in ("gain", "offset"))
    nodata, undetect = (optional_number(name, "what", group, dataset, finite=False) for name in ("nodata", "undetect"))
    if raw_HW.dtype.kind != "f":
        if gain is None or offset is None:
            name = "gain" if gain is None else "offset"
            raise FrameError(f"ODIM file without {group.name}/what/{name}; expected it for {raw_HW.dtype} counts")
        highest = np.iinfo(raw_HW.dtype).max
        is_count = nodata is not None and np.iinfo(raw_HW.dtype).min <= nodata <= highest
        if not is_count and raw_HW.max(initial=0) == highest:
            got = "ODIM file without" if nodata is None else f"a nodata of {nodata:g} is no {raw_HW.dtype} in"
            raise FrameError(f"{got} {group.name}/what/nodata; expected it, as counts of {highest} occur")
    if gain == 0:
        raise FrameError(f"ODIM attribute {group.name}/what/gain: expected a number other than 0, got 0")
    return Packing(1.0 if gain is None else gain, offset or 0.0, nodata, undetect)


def _missing(raw: Any, packing: Packing) -> Any:
    """Return where a field is not observed; a NaN is, unless the file states it as `undetect` and another `nodata`."""
    nan_is_dry = (
        packing.undetect is not None
        and np.isnan(packing.undetect)
        and packing.nodata is not None
        and np.isfinite(packing.nodata)
    )
    missing = _equals(raw, packing.nodata)
    return missing if nan_is_dry or raw.dtype.kind != "f" else missing | np.isnan(raw)


def _equals(raw: Any, mark: float | None) -> Any:
    """Return where a field holds a mark, in the precision of the field."""
    if mark is None:
        return np.zeros(raw.shape, np.bool_)
    if np.isnan(mark):
        return np.isnan(raw)
    with np.errstate(over="ignore"):
        return raw == (raw.dtype.type(mark) if raw.dtype.kind == "f" else mark)


def _without_marks(reflectivity_dbz: FloatField) -> FloatField:
    lowest = np.fmin.reduce(np.where(np.isinf(reflectivity_dbz), np.nan, reflectivity_dbz), axis=None)
    if lowest < LOWEST_DBZ:
        raise FrameError(
            f"reflectivity: expected {LOWEST_DBZ:g} dBZ or more, or a nodata that states it, got {lowest:g}"
        )
    return reflectivity_dbz


def _unit(quantity: str, *holders: Any) -> float:
    """Return the factor of a stated unit to ODIM's; ODIM states none, so that a file without one has ODIM's.

    Raises:
        FrameError: a stated unit that is not one of the quantity.
    """
    for name in ("unit", "units"):
        stated = optional(name, "what", *holders)
        if stated is None:
            continue
        if quantity in UNITS:
            return unit_factor(text(stated), UNITS[quantity], what=f"unit of {quantity}")
        if text(stated).lower() not in ("dbz", "dbzh"):
            raise FrameError(f"unit of {quantity}: expected dBZ, got {text(stated)!r}")
    return 1.0
