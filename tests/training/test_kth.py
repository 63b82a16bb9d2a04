"""KTH on small videos that the test encodes in the layout of the original files."""

import cv2
import numpy as np
import pytest

from core.errors import ConfigError
from training.datasets import build_dataset
from training.datasets.kth import RANGES, Clip, Range, read_ranges, windows_of
from training.datasets.kth_frames import decode, frames_of, write_video

OPTIONS = {"size": 20, "validation_persons": []}


def _video(path, frames=30, size=(30, 40)):
    """Frame n of a video is grey with the value 3 n all over."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, np.stack([np.full(size, 3 * n, np.uint8) for n in range(frames)]))
    return path


def _kth(data, split="train", steps=(2, 2), **options):
    return build_dataset("kth", data, split, {**OPTIONS, **options}, input_steps=steps[0], lead_steps=steps[1], seed=0)


def _frame_numbers(sample):
    return [round(float(frame.mean()) * 255 / 3) for part in sample for frame in part]


def test_the_lists_of_mcnet_give_the_paper_s_windows():
    ranges = read_ranges(RANGES)
    count = lambda persons, action: len(
        windows_of([r for r in ranges if int(r.video[6:8]) in persons and f"_{action}_" in r.video], 20)
    )
    train = {action: count(range(1, 17), action) for action in ("running", "jogging", "walking")}
    test = {action: count(range(17, 26), action) for action in ("running", "jogging", "walking")}
    assert train == {"running": 1196, "jogging": 853, "walking": 1676}
    assert test == {"running": 667, "jogging": 506, "walking": 993}
    assert sum(train.values()) == 3725
    assert sum(test.values()) == 2166


def test_windows_of_a_range_by_hand():
    walk, run = Range("person01_walking_d1", 6, 69), Range("person01_running_d1", 4, 29)
    assert windows_of([walk], 20) == [Clip(walk.video, start) for start in (5, 15, 25, 35, 45)]  # 0-based; 65 > 50
    assert windows_of([run], 20) == [Clip(run.video, start) for start in (3, 6, 9)]  # 13 would end at 32 > 29
    assert windows_of([Range(walk.video, 1, 19)], 20) == []
    assert windows_of([Range(walk.video, 1, 20)], 20) == [Clip(walk.video, 0)]


def test_both_formats_of_lists_are_read(tmp_path):
    (tmp_path / "00sequences.txt").write_text(
        "KTH: sequences 1-4\nperson01_boxing_d1\t\tframes\t1-95, 96-185\nperson13_handclapping_d3 *missing*\n"
    )
    assert read_ranges(tmp_path / "00sequences.txt") == [
        Range("person01_boxing_d1", 1, 95),
        Range("person01_boxing_d1", 96, 185),
    ]
    (tmp_path / "mcnet.txt").write_text("person01_jogging_d1 6 44\nperson17_jogging_d1 172 207 \n")
    assert [tuple(r)[1:] for r in read_ranges(tmp_path / "mcnet.txt")] == [(6, 44), (172, 207)]
    for text in ("nothing here", "person01_jogging_d1 frames 44-6"):
        (tmp_path / "bad.txt").write_text(text)
        with pytest.raises(ConfigError, match="frames 6-69"):
            read_ranges(tmp_path / "bad.txt")


def test_a_window_holds_its_frames_and_no_others(tmp_path):
    _video(tmp_path / "walking" / "person01_walking_d1_uncomp.avi")
    (tmp_path / "list.txt").write_text("person01_walking_d1 frames 3-8, 12-16\n")
    data = _kth(tmp_path, ranges=str(tmp_path / "list.txt"), stride=2)
    assert len(data) == 3  # frames 3-6 and 5-8, then 12-15
    assert [_frame_numbers(sample) for sample in data] == [[2, 3, 4, 5], [4, 5, 6, 7], [11, 12, 13, 14]]
    assert data[0].past_TCHW.shape == (2, 1, 20, 20)


def test_the_whole_picture_is_kept(tmp_path):
    picture = np.zeros((30, 40), np.uint8)
    picture[:15, :20] = 200
    write_video(tmp_path / "a.avi", np.stack([picture] * 3))
    frames = decode(tmp_path / "a.avi", 20)
    assert frames.shape == (3, 20, 20)
    quarters = [
        frames[0][rows, cols].mean() for rows in (slice(0, 9), slice(11, 20)) for cols in (slice(0, 9), slice(11, 20))
    ]
    np.testing.assert_allclose(quarters, [200, 0, 0, 0], atol=3)


def test_persons_of_the_splits(tmp_path):
    for person in (1, 15, 16, 17, 25):
        _video(tmp_path / f"person{person:02d}_jogging_d2_uncomp.avi", frames=80)
    persons = lambda split, **o: sorted({int(c.video[6:8]) for c in _kth(tmp_path, split, (10, 10), **o).clips})
    assert persons("train") == [1, 15, 16]
    assert persons("train", validation_persons=[16]) == [1, 15]
    assert persons("validation", validation_persons=[16]) == [16]
    assert persons("test") == [17, 25]
    assert len(_kth(tmp_path, "validation")) == 0
    with pytest.raises(ConfigError, match="some of 1 to 16"):
        _kth(tmp_path, validation_persons=[17])


def test_frames_are_decoded_once_and_anew_when_the_file_changes(tmp_path, monkeypatch):
    video = _video(tmp_path / "person01_walking_d1_uncomp.avi")
    first = frames_of(video, 20, tmp_path / "cache").copy()
    opened = []
    real = cv2.VideoCapture

    def counted(path):
        opened.append(path)
        return real(path)

    monkeypatch.setattr(cv2, "VideoCapture", counted)
    np.testing.assert_array_equal(frames_of(video, 20, tmp_path / "cache"), first)
    assert not opened
    _video(video, frames=12)
    assert len(frames_of(video, 20, tmp_path / "cache")) == 12
    assert len(opened) == 1
    assert not [p for p in (tmp_path / "cache").iterdir() if p.suffix != ".npy"]  # no part of a file is left


def test_short_and_missing_videos_are_reported(tmp_path, caplog):
    _video(tmp_path / "person01_walking_d1_uncomp.avi", frames=10)
    (tmp_path / "list.txt").write_text("person01_walking_d1 frames 1-20\nperson02_walking_d1 frames 1-20\n")
    caplog.set_level("INFO")
    data = _kth(tmp_path, ranges=str(tmp_path / "list.txt"), stride=1)
    assert [clip.start for clip in data.clips] == list(range(7))
    assert "1 of 2 videos" in caplog.text
    assert "person02_walking_d1" in caplog.text
    assert "10 windows go past the end" in caplog.text


def test_a_user_without_data_gets_instructions(tmp_path):
    for data in (None, tmp_path / "nowhere", tmp_path):
        with pytest.raises(ConfigError, match=r"walking\.zip.*person01_walking_d1_uncomp\.avi.*\./data/kth"):
            _kth(data)
    (tmp_path / "person01_walking_d1_uncomp.avi").write_bytes(b"not a video")
    with pytest.raises(ConfigError, match="got no frame"):
        _kth(tmp_path)
    _video(tmp_path / "person01_walking_d1_uncomp.avi", frames=80)
    (tmp_path / "blocked").write_text("a file where the cache should be")
    with pytest.raises(ConfigError, match="--set cache=FOLDER"):
        _kth(tmp_path, cache=str(tmp_path / "blocked" / "cache"))
