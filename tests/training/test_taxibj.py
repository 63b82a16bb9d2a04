"""TaxiBJ on small files of its layout, with windows known by hand, number by number."""

import h5py
import numpy as np
import pytest
import torch

from core.errors import ConfigError
from training.datasets import build_dataset
from training.datasets.taxibj import read_flows

STEPS = {"input_steps": 2, "lead_steps": 2, "seed": 0}
DAYS = ("20150302", "20150303", "20150305")  # the 4th is missing: two runs, of 96 and of 48 slots


def _write(folder, year=15, days=DAYS, drop=(), first=0, peak=None):
    """Slot n of a file has the inflow first + n all over and the outflow first + n + 500."""
    dates = [f"{day}{slot:02d}" for day in days for slot in range(1, 49)]
    values = first + np.arange(len(dates), dtype=np.float64)
    data = np.stack([values, values + 500], axis=1)[:, :, None, None] * np.ones((1, 2, 32, 32))
    if peak is not None:
        data[peak[0], 0] = peak[1]
    keep = [n for n, date in enumerate(dates) if date not in drop]
    with h5py.File(folder / f"BJ{year}_M32x32_T30_InOut.h5", "w") as file:
        file["data"] = data[keep]
        file["date"] = np.array([dates[n].encode() for n in keep])
    return data


def _taxi(folder, split, **options):
    options = {"years": [15], "test_windows": 20, "validation_windows": 10, **options}
    return build_dataset("taxibj", folder, split, options, **STEPS)


def _slots(data):
    """Which slots of the file each window holds, from its values; inflow 0 to 643 is scaled to 0 to 1."""
    values = [torch.cat(tuple(sample))[:, 0, 3, 5] * (data.highest - data.lowest) + data.lowest for sample in data]
    return [value.round().int().tolist() for value in values]


def test_windows_number_by_number(tmp_path):
    _write(tmp_path)
    train, validation, test = (_slots(_taxi(tmp_path, split)) for split in ("train", "validation", "test"))
    # runs 0-95 and 96-143; a window of four needs a slot after it: starts 0-91 and 96-139, 136 in all
    assert test == [[s, s + 1, s + 2, s + 3] for s in range(120, 140)]
    # the parts are more than a window's three steps apart: the last one before the test ends at 116, not at 117
    assert validation == [[s, s + 1, s + 2, s + 3] for s in range(104, 114)]
    assert train == [[s, s + 1, s + 2, s + 3] for s in [*range(92), 96, 97]]
    assert not any({95, 143} & set(window) for window in train + validation + test)


def test_minimum_and_maximum_are_of_both_channels_without_the_last_frames(tmp_path):
    flows = _write(tmp_path, peak=(130, 5000.0))
    data = _taxi(tmp_path, "test")
    assert (data.lowest, data.highest) == (0.0, 123 + 500)  # frames 0 to 123 of 144: the last 20 are the test's
    sample = data[130 - 120]  # begins at slot 130
    assert float(sample.past_TCHW[0].max()) == pytest.approx(5000 / 623)  # not cut, not wrapped
    assert float(sample.past_TCHW[1, 0, 0, 0]) == pytest.approx(flows[131, 0, 0, 0] / 623)


def test_incomplete_days_are_left_out_and_order_is_time(tmp_path):
    _write(tmp_path, drop=("2015030217",))
    data = _taxi(tmp_path, "test", test_windows=90, validation_windows=0)
    slots = sorted({slot for window in _slots(data) for slot in window})
    assert slots[0] == 48  # the first day lost one slot
    assert _slots(data)[0] == [48, 49, 50, 51]
    assert len(data) == 44 + 44


def test_files_follow_each_other_and_no_window_goes_over_two(tmp_path):
    _write(tmp_path, 13, ("20130701",))
    _write(tmp_path, 14, ("20130702",), first=48)
    windows = _slots(_taxi(tmp_path, "test", years=[13, 14], test_windows=80, validation_windows=0))
    assert [w[0] for w in windows] == [*range(8, 44), *range(48, 92)]


def test_one_channel_is_the_inflow_and_two_are_both(tmp_path):
    _write(tmp_path)
    one, two = _taxi(tmp_path, "train"), _taxi(tmp_path, "train", channels=2)
    assert (one.channels, two.channels) == (1, 2)
    assert one[5].past_TCHW.shape == (2, 1, 32, 32)
    assert two[5].past_TCHW.shape == (2, 2, 32, 32)
    assert torch.equal(one[5].past_TCHW[:, 0], two[5].past_TCHW[:, 0])
    outflow = two[5].past_TCHW[:, 1, 0, 0] * (two.highest - two.lowest)
    assert outflow.round().int().tolist() == [505, 506]


def test_negative_flows_are_none(tmp_path):
    _write(tmp_path, peak=(3, -7.0))
    flows, slots = read_flows(tmp_path / "BJ15_M32x32_T30_InOut.h5")
    assert flows.min() == 0
    assert (np.diff(slots)[:95] == 1).all()
    assert np.diff(slots)[95] == 49


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected .*BJ13_M32x32_T30_InOut\.h5"):
        _taxi(tmp_path / "none", "train", years=[13, 14, 15, 16])
    _write(tmp_path)
    with pytest.raises(ConfigError, match=r"expected the TaxiBJ files BJ15.*got none named BJ16_M32x32_T30_InOut\.h5"):
        _taxi(tmp_path, "train", years=[15, 16])
    with pytest.raises(ConfigError, match="136 windows"):
        _taxi(tmp_path, "train", test_windows=136)
    _write(tmp_path, days=("20150302",), drop=("2015030203",))
    with pytest.raises(ConfigError, match="expected complete days"):
        _taxi(tmp_path, "train")
    path = tmp_path / "BJ15_M32x32_T30_InOut.h5"
    for content in ({"flow": [1]}, {"data": np.zeros((1, 2, 8, 8)), "date": [b"2015030201"]}):
        with h5py.File(path, "w") as file:
            for key, value in content.items():
                file[key] = value
        with pytest.raises(ConfigError, match="expected"):
            _taxi(tmp_path, "train")
    for dates, text in (([b"2015030249"], "2015030249"), ([b"2015030201"] * 2, "same date twice")):
        with h5py.File(path, "w") as file:
            file["data"], file["date"] = np.zeros((len(dates), 2, 32, 32)), dates
        with pytest.raises(ConfigError, match=text):
            _taxi(tmp_path, "train")
    path.write_bytes(b"not HDF5")
    with pytest.raises(ConfigError, match="expected TaxiBJ's HDF5 layout"):
        _taxi(tmp_path, "train")
