"""The policy for implausible values, one row of the table in docs/formats.md a field, through every door."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from core import cf
from core.errors import FrameError
from core.times import utc
from ingest.plausibility import masked_rates, without_marks
from tests.cases.doors import DOORS, Door
from tests.service.api_support import GRID

START = utc("2026-06-01T10:00Z")
SOME = (slice(10, 11), slice(10, 13))
WHOLE = (slice(None), slice(None))
Field = tuple[tuple[slice, slice], float]
MASKED: dict[str, Field] = {
    "3 cells are not observed: they hold -9999,": (SOME, -9999.0),
    "they hold 9.96921e+36,": (SOME, 9.969209968386869e36),
    "they hold inf,": (SOME, np.inf),
}
REFUSED: dict[str, Field] = {
    "got -0.5": (SOME, -0.5),
    "got -9999": (WHOLE, -9999.0),
    "got infinite rates": (WHOLE, np.inf),
}
NOTED: dict[str, Field] = {
    "got 600 mm/h": (SOME, 600.0),
    "got 5 mm/h in every observed cell": (WHOLE, 5.0),
}
ROWS = {**MASKED, **REFUSED, **NOTED}
GOOD = 5
"""Plausible fields at the end, which are a window."""


def time_of(number: int) -> datetime:
    return START + timedelta(minutes=30 * number)


def file_of_all_rows(path: Path) -> Path:
    """One field a row, in its order, then plausible ones; the upper left corner of the latter is stated as missing."""
    rate_mmh_THW = np.zeros((len(ROWS) + GOOD, *GRID.shape), np.float32)
    rate_mmh_THW[:, 20:30, 20:30] = 3.0
    for number, rate_mmh_HW in enumerate(rate_mmh_THW):
        rate_mmh_HW[35, 5 + number] = 2.0  # no two fields are equal: equal ones are noted as a stuck source
    rate_mmh_THW[len(ROWS) :, :5, :5] = np.nan
    times = [time_of(number) for number in range(len(rate_mmh_THW))]
    cf.write_dataset(cf.rate_dataset(rate_mmh_THW, times, GRID, attributes={"product": "RY"}), path)
    with netCDF4.Dataset(path, "r+") as dataset:
        for number, (where, value) in enumerate(ROWS.values()):
            dataset["rainfall_rate"][(number, *where)] = value
    return path


@pytest.mark.parametrize("name", DOORS)
def test_each_row_has_its_fate_through_every_door(
    door: Callable[[str], Door], tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    outcome = door(name)(file_of_all_rows(tmp_path / "rows.nc"))
    text = caplog.text if name == "training" else outcome.text
    assert outcome.refusal is None
    found = {frame.time: frame for frame in outcome.frames}
    for number, row in enumerate(ROWS):
        assert row in text
        frame = found.get(time_of(number))
        if row in REFUSED:
            assert frame is None or not frame.mask_HW.any()
            continue
        assert frame is not None
        lost_HW = np.zeros(GRID.shape, bool)
        if row in MASKED:
            lost_HW[MASKED[row][0]] = True
        np.testing.assert_array_equal(frame.mask_HW, ~lost_HW)
        assert frame.max_mmh == pytest.approx(NOTED[row][1] if row in NOTED else 3.0)
    for number in range(len(ROWS), len(ROWS) + GOOD):
        assert found[time_of(number)].mask_HW.sum() == GRID.height * GRID.width - 25
        assert f"{time_of(number):%Y-%m-%dT%H:%M}" not in text or name in ("upload", "archive")


@pytest.mark.parametrize("mark", [-9999.0, -999.0, -99.9, -32768.0, 65535.0, 99999.0, 1e20, -1e30, np.inf, -np.inf])
def test_a_mark_is_masked_by_its_own_unit(mark: float) -> None:
    rate_mmh_HW, note = masked_rates(np.array([[0.0, 0.1], [0.2, mark]], np.float32), 12.0)
    np.testing.assert_allclose(rate_mmh_HW, [[0.0, 1.2], [2.4, np.nan]], rtol=1e-6)
    assert note.startswith(f"1 cells are not observed: they hold {mark:.6g}")


@pytest.mark.parametrize("value", [-1.0, -0.5, -8888.0])
def test_a_negative_number_that_is_no_mark_is_refused(value: float) -> None:
    with pytest.raises(FrameError, match="expected rates of 0 mm/h or more"):
        masked_rates(np.array([[0.0, 0.1], [0.2, value]]), 1.0)


def test_marks_alone_are_not_masked() -> None:
    values_HW = np.array([[-9999.0, np.nan], [-999.0, -9999.0]])
    found_HW, note = without_marks(values_HW)
    np.testing.assert_array_equal(found_HW, values_HW)
    assert not note


def test_plausible_values_stay_the_same_object() -> None:
    values_HW = np.array([[0.0, 900.0], [np.nan, 12.0]])
    assert without_marks(values_HW)[0] is values_HW
