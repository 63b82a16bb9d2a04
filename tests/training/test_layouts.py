"""Files in the layouts of others, written as their public descriptions have them, are read as they are."""

import gzip
import pickle
import struct
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest
import torch

from core.errors import ConfigError
from training.datasets import DATASETS, build_dataset
from training.datasets.digits import FILES, IDX_IMAGES, invent_digits, read_digits
from training.datasets.kth_frames import write_video
from training.datasets.meteonet import read_dates

STEPS = {"input_steps": 4, "lead_steps": 4, "seed": 0}


def _windows_of_a_series(count, first):
    """Windows of eight slots that overlap by seven, as `dataset.npz` has them; a slot is one number over the grid."""
    slots = np.arange(first, first + count + 7, dtype=np.float32)[:, None, None, None]
    frames = np.broadcast_to(slots / 500 - 1, (count + 7, 2, 32, 32)).copy()
    frames[:, 1] *= -1
    whole = np.stack([frames[n : n + 8] for n in range(count)])
    return whole[:, :4], whole[:, 4:]


@pytest.fixture
def openstl(tmp_path):
    (tmp_path / "taxibj").mkdir()
    x_train, y_train = _windows_of_a_series(40, 0)
    x_test, y_test = _windows_of_a_series(6, 100)
    np.savez(tmp_path / "taxibj" / "dataset.npz", X_train=x_train, Y_train=y_train, X_test=x_test, Y_test=y_test)
    return tmp_path


def test_taxibj_s_file_of_windows_is_taken_as_it_is(openstl):
    test = build_dataset("taxibj", openstl, "test", {}, **STEPS)
    assert len(test) == 6
    past, future = test[2]
    assert past.shape == future.shape == (4, 1, 32, 32)
    assert past[:, 0, 0, 0].tolist() == pytest.approx([slot / 1000 for slot in range(102, 106)])  # -1..1 to 0..1
    assert future[-1, 0, 5, 5] == pytest.approx(0.109)
    both = build_dataset("taxibj", openstl / "taxibj" / "dataset.npz", "test", {"channels": 2}, **STEPS)
    assert float(both[0].past_TCHW[0, 1, 0, 0]) == pytest.approx(1 - 0.1)


def test_validation_of_taxibj_s_windows_shares_no_slot_with_training(openstl):
    options = {"validation_windows": 10}
    slots = {}
    for split in ("train", "validation"):
        data = build_dataset("taxibj", openstl, split, options, **STEPS)
        slots[split] = {
            round(float(value) * 1000) for n in range(len(data)) for value in torch.cat(data[n])[:, 0, 0, 0]
        }
    assert (min(slots["train"]), max(slots["validation"])) == (0, 46)
    assert max(slots["train"]) < min(slots["validation"]) == 30
    assert len(build_dataset("taxibj", openstl, "train", {"validation_windows": 0}, **STEPS)) == 40


@pytest.mark.parametrize(
    ("options", "content", "message"),
    [
        ({"test_windows": 3}, {}, "test_windows: no effect on dataset.npz"),
        ({}, {"Y_test": np.zeros((6, 4, 2, 16, 16))}, "expected the arrays X_test and Y_test"),
        ({}, {"X_test": np.full((6, 4, 2, 32, 32), 7.0)}, "expected values of -1 to 1, got -0.0"),
        ({}, {"X_test": np.array([{}], dtype=object)}, "allow_pickle"),
    ],
)
def test_what_is_not_taxibj_s_file_of_windows_is_refused(openstl, options, content, message):
    path = openstl / "taxibj" / "dataset.npz"
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, **content})
    if message.startswith("expected values"):
        message = "expected values of -1 to 1"
    with pytest.raises(ConfigError, match=message):
        build_dataset("taxibj", openstl, "test", options, **STEPS)


def test_a_truncated_or_damaged_file_of_taxibj_s_windows_is_refused(openstl):
    path = openstl / "taxibj" / "dataset.npz"
    with np.load(path) as file:
        np.savez_compressed(path, **{name: file[name] for name in file.files})
    content = path.read_bytes()
    for wrong in (content[: len(content) // 2], content[:2000] + b"\xff" * 200 + content[2200:]):
        path.write_bytes(wrong)
        with pytest.raises(ConfigError, match=r"dataset\.npz: expected the arrays"):
            build_dataset("taxibj", openstl, "train", {}, **STEPS)


def test_few_windows_of_taxibj_s_file_train_on_none_of_the_validation(openstl):
    path = openstl / "taxibj" / "dataset.npz"
    with np.load(path) as file:
        np.savez(path, **{name: file[name][:10] for name in file.files})
    assert len(build_dataset("taxibj", openstl, "validation", {}, **STEPS)) == 5
    assert len(build_dataset("taxibj", openstl, "train", {}, **STEPS)) == 0


def test_kth_s_videos_are_found_without_the_end_of_their_names(tmp_path):
    (tmp_path / "ranges.txt").write_text("person17_walking_d1 frames 1-25\nperson01_walking_d1 frames 1-25\n")
    for name in ("person17_walking_d1", "person01_walking_d1"):
        write_video(tmp_path / f"{name}.avi", np.full((25, 20, 20), 40, np.uint8))
    options = {"size": 20, "actions": ["walking"], "ranges": str(tmp_path / "ranges.txt")}
    assert len(build_dataset("kth", tmp_path, "test", options, **STEPS)) > 0


def test_kth_s_folders_of_pictures_have_the_frames_of_the_videos(tmp_path):
    frames_THW = np.full((30, 40, 60), 40, np.uint8)
    for t in range(30):
        frames_THW[t, 10:22, t : t + 12] = 200
    lines = "person17_walking_d1 frames 1-30\nperson01_walking_d1 frames 3-30\n"
    (tmp_path / "ranges.txt").write_text(lines)
    for name in ("person17_walking_d1_uncomp", "person01_walking_d1_uncomp"):
        folder = tmp_path / "pictures" / "kth" / "walking" / name
        folder.mkdir(parents=True)
        for number, frame_HW in enumerate(frames_THW, start=1):
            cv2.imwrite(str(folder / f"image_{number:04d}.jpg"), frame_HW, [cv2.IMWRITE_JPEG_QUALITY, 100])
        (tmp_path / "videos").mkdir(exist_ok=True)
        write_video(tmp_path / "videos" / f"{name}.avi", frames_THW)
    options = {"size": 20, "actions": ["walking"], "stride": 2, "ranges": str(tmp_path / "ranges.txt")}
    for split in ("train", "test"):
        pictures, videos = (
            build_dataset("kth", tmp_path / source, split, options, **STEPS) for source in ("pictures", "videos")
        )
        assert len(pictures) == len(videos) > 0
        for one, other in zip(pictures[1], videos[1], strict=True):
            assert float((one - other).abs().max()) < 0.04
    (tmp_path / "pictures/kth/walking/person17_walking_d1_uncomp/image_0007.jpg").unlink()
    with pytest.raises(ConfigError, match="numbered from 1 without a gap, got 29 between 1 and 30"):
        build_dataset("kth", tmp_path / "pictures", "test", options, **STEPS)


def _idx(folder, pool):
    folder.mkdir(parents=True, exist_ok=True)
    pixels_NHW = (invent_digits(10, pool) * 255).astype(np.uint8)
    content = struct.pack(">iiii", IDX_IMAGES, *pixels_NHW.shape) + pixels_NHW.tobytes()
    (folder / FILES[pool]).write_bytes(content)
    (folder / f"{FILES[pool]}.gz").write_bytes(gzip.compress(content))


def test_torchvision_s_root_has_the_digits(tmp_path):
    for pool in FILES:
        _idx(tmp_path / "root" / "MNIST" / "raw", pool)
        _idx(tmp_path / "plain", pool)
        assert np.array_equal(read_digits(tmp_path / "root", pool), read_digits(tmp_path / "plain", pool))
    assert not np.array_equal(read_digits(tmp_path / "root", "train"), read_digits(tmp_path / "root", "test"))


def test_the_standard_test_set_of_moving_mnist_is_the_test(tmp_path):
    _idx(tmp_path, "train")
    _idx(tmp_path, "test")
    clips_TNHW = np.random.default_rng(1).integers(0, 256, (20, 6, 16, 16), np.uint8)
    np.save(tmp_path / "mnist_test_seq.npy", clips_TNHW)
    options = {"size": 16, "digit_size": 7, "train_clips": 5, "test_clips": 3}
    steps = {"input_steps": 10, "lead_steps": 10, "seed": 0}
    test = build_dataset("moving_mnist", tmp_path, "test", options, **steps)
    assert len(test) == 6
    past, future = test[4]
    assert np.array_equal(torch.cat([past, future])[:, 0].numpy(), clips_TNHW[:, 4] / np.float32(255))
    assert test.fingerprint["file"] == "mnist_test_seq.npy"
    assert len(build_dataset("moving_mnist", tmp_path, "train", options, **steps)) == 5
    drawn = build_dataset("moving_mnist", tmp_path, "test", {**options, "test_set": "drawn"}, **steps)
    assert len(drawn) == 3
    alone = build_dataset("moving_mnist", tmp_path / "mnist_test_seq.npy", "test", options, **steps)
    assert torch.equal(alone[1].future_TCHW, test[1].future_TCHW)
    with pytest.raises(ConfigError, match=r"digits_per_clip: expected 2, those of mnist_test_seq\.npy, got 3"):
        build_dataset("moving_mnist", tmp_path, "test", {**options, "digits_per_clip": 3}, **steps)
    for wrong, message in (({"size": 32}, r"expected 8-bit frames \(T, clips, 32, 32\)"), ({}, "T of at least 21")):
        longer = {**steps, "lead_steps": 10 if wrong else 11}
        with pytest.raises(ConfigError, match=message):
            build_dataset("moving_mnist", tmp_path, "test", {**options, **wrong}, **longer)
    (tmp_path / "mnist_test_seq.npy").unlink()
    with pytest.raises(ConfigError, match=r"test_set=standard: expected mnist_test_seq\.npy"):
        build_dataset("moving_mnist", tmp_path, "test", {**options, "test_set": "standard"}, **steps)


def test_sevir_leaves_events_with_missing_pixels_out_and_divides_by_day(tmp_path):
    options = DATASETS.get("sevir").miniature(tmp_path) | {"size": 24}
    steps = {"input_steps": 13, "lead_steps": 12, "seed": 0}
    splits = {s: build_dataset("sevir", tmp_path, s, options, **steps) for s in ("train", "validation", "test")}
    assert {split: len(data) for split, data in splits.items()} == {"train": 6, "validation": 3, "test": 3}
    past, future = splits["train"][1]
    assert (past.shape, future.shape) == ((13, 1, 24, 24), (12, 1, 24, 24))
    place = [int(frame[0].flatten().argmax()) % 24 for frame in (past[0], future[-1])]
    assert place == [5, 11]  # a window that begins at frame 12 of an event that drifts a quarter pixel in each frame
    half = build_dataset("sevir", tmp_path, "train", {"size": 12}, **steps)
    assert half.pixel_m == 32_000
    torch.testing.assert_close(half[0].past_TCHW[0, 0, 0, 0], splits["train"][0].past_TCHW[0, 0, :2, :2].mean())
    (tmp_path / "CATALOG.csv").write_text("id,img_type\nS1,vil\n")
    with pytest.raises(ConfigError, match="expected SEVIR's columns"):
        build_dataset("sevir", tmp_path, "train", options, **steps)


def test_hko7_s_pixels_are_rates_by_the_relation_of_its_paper(tmp_path):
    begin = datetime(2015, 5, 20, tzinfo=UTC)
    for number in range(12):
        time = begin + timedelta(minutes=6 * number)
        pixels_HW = np.zeros((480, 480), np.uint8)
        pixels_HW[0, 0], pixels_HW[1, 0] = 146, number + 1
        path = tmp_path / "radarPNG" / f"{time:%Y/%m/%d}" / f"RAD{time:%y%m%d%H%M}00.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels_HW)
    test = build_dataset("hko7", tmp_path, "test", {}, input_steps=5, lead_steps=5, seed=0)
    assert (len(test), test.cadence_minutes) == (3, 6)
    assert test.pixel_m == pytest.approx(512_000 / 480)
    past, _ = test[0]
    dbz = 70 * 146 / 255 - 10
    assert float(past[0, 0, 0, 0]) == pytest.approx((10 ** (dbz / 10) / 58.53) ** (1 / 1.56), rel=1e-3)
    assert float(past[0, 0, 5, 5]) == 0.0
    assert bool((past[1:, 0, 1, 0] > past[:-1, 0, 1, 0]).all())


def test_meteonet_s_depths_are_rates_and_windows_cross_the_edge_of_files(tmp_path):
    options = DATASETS.get("meteonet").miniature(tmp_path) | {"height": 20, "width": 24, "test_from": None}
    data = build_dataset("meteonet", tmp_path, "test", options, input_steps=5, lead_steps=5, seed=0)
    assert len(data) == 90 - 9  # of both files together
    past, _ = data[20]
    assert float(past[0, 0].max()) == pytest.approx(0.9 * 12, rel=1e-2)  # 90 hundredths of a millimetre in 5 minutes
    assert data.edges_m is not None
    assert data.edges_m[0] == pytest.approx(1112, rel=2e-3)
    assert data.edges_m[1] / data.edges_m[0] == pytest.approx(np.cos(np.radians(51.8)), rel=1e-3)
    with np.load(tmp_path / "rainfall_NW_2017_12.3.npz", allow_pickle=True) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["data"][:, 3, :] = -1  # a row that was not observed
    arrays["data"][:, 0, 0] = 7
    np.savez_compressed(tmp_path / "rainfall_NW_2017_12.3.npz", **arrays)
    lats = np.arange(20)[:, None] * 0.01 + np.full((1, 24), 51.0)  # the first row is in the south
    np.savez(tmp_path / "radar_coords_NW.npz", lats=lats, lons=np.arange(24)[None] * 0.01 + np.zeros((20, 1)))
    past, _ = build_dataset("meteonet", tmp_path, "test", options, input_steps=5, lead_steps=5, seed=0)[0]
    assert bool(past[:, 0, 16].isnan().all())
    assert float(past[0, 0, 19, 0]) == pytest.approx(0.07 * 12, rel=1e-3)
    (tmp_path / "radar_coords_NW.npz").unlink()
    with pytest.raises(ConfigError, match=r"expected the coordinates of its cells in radar_coords_NW\.npz"):
        build_dataset("meteonet", tmp_path, "test", options, input_steps=5, lead_steps=5, seed=0)


class _Command:
    def __reduce__(self):
        return (print, ("was run",))


def test_dates_of_meteonet_run_nothing(tmp_path, capsys):
    np.save(tmp_path / "dates.npy", np.array([_Command()], dtype=object), allow_pickle=True)
    with (tmp_path / "dates.npy").open("rb") as file, pytest.raises(pickle.UnpicklingError, match="expected times"):
        read_dates(file)
    assert capsys.readouterr().out == ""
