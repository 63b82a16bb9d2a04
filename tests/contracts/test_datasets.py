"""What every registered data set keeps, on the miniature that its module writes."""

import numpy as np
import pytest
import torch

from core.errors import ConfigError
from training.datasets import DATASETS, build_dataset

SPLITS = ("train", "validation", "test")
STEPS = {"input_steps": 3, "lead_steps": 2, "seed": 4}


@pytest.fixture(scope="module", params=DATASETS.names())
def make(request, tmp_path_factory):
    """A function that builds a split of the data set."""
    folder = tmp_path_factory.mktemp("data")
    options = DATASETS.get(request.param).miniature(folder)
    return lambda split: build_dataset(request.param, folder, split, options, **STEPS)


@pytest.mark.parametrize("split", SPLITS)
def test_an_item_is_a_function_of_split_and_index(make, split):
    one, two = make(split), make(split)
    assert len(one) == len(two) > 0
    order = np.random.default_rng(1).permutation(len(one))
    items = {int(i): one[int(i)] for i in order}
    for index, item in items.items():
        assert torch.equal(item.past_TCHW, two[index].past_TCHW)
        assert torch.equal(item.future_TCHW, two[index].future_TCHW)
        assert item.past_TCHW.shape[:2] == (3, one.channels)
        assert item.future_TCHW.shape[:2] == (2, one.channels)
        assert item.past_TCHW.dtype == torch.float32
        assert float(item.past_TCHW.min()) >= 0
        assert one.is_rain or float(item.future_TCHW.max()) <= 1
    for index in (-1, len(one)):
        with pytest.raises(IndexError):
            one[index]


def test_no_two_splits_share_a_frame(make):
    frames = {
        split: {frame.tobytes() for sample in make(split) for part in sample for frame in part.numpy()}
        for split in SPLITS
    }
    assert min(map(len, frames.values())) > 4
    assert not frames["train"] & frames["validation"]
    assert not (frames["train"] | frames["validation"]) & frames["test"]


def test_frames_of_a_sample_follow_each_other(make):
    data = make("train")
    frames_TCHW = torch.cat(tuple(data[0]))
    steps = (frames_TCHW[1:] - frames_TCHW[:-1]).flatten(1).abs().sum(1)
    assert (steps > 0).all()


def test_a_worker_process_returns_the_same_batches(make):
    data = make("train")
    batches = [
        list(torch.utils.data.DataLoader(data, batch_size=2, num_workers=workers, shuffle=False)) for workers in (0, 1)
    ]
    for alone, in_worker in zip(*batches, strict=True):
        assert torch.equal(alone[0], in_worker[0])
        assert torch.equal(alone[1], in_worker[1])


def test_the_fingerprint_identifies_the_data(make):
    assert make("train").fingerprint == make("train").fingerprint
    assert make("train").fingerprint != {}
    assert "/tmp" not in str(make("train").fingerprint)


@pytest.mark.parametrize("name", DATASETS.names())
def test_a_missing_or_empty_folder_is_one_clear_error(name, tmp_path):
    for data in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigError, match="expected"):
            build_dataset(name, data, "train", {}, **STEPS)
    with pytest.raises(ConfigError, match="nonsense"):
        build_dataset(name, tmp_path, "train", {"nonsense": 1}, **STEPS)
