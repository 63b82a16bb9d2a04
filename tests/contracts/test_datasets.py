"""What every registered data set keeps, on a miniature of its data."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch

from core import cf
from core.grid import RADOLAN_900
from training.datasets import DATASETS, build_dataset

OPTIONS = {
    "germany": {"height": 12, "width": 12, "cadence_minutes": 30},
    "moving_mnist": {"size": 32, "train_clips": 6, "test_clips": 4, "invented_digits": 20},
}
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module", params=DATASETS.names())
def make(request, tmp_path_factory):
    """A function that builds a split of the data set."""
    data = None
    if request.param == "germany":
        rate = np.random.default_rng(0).gamma(0.3, 3.0, (60, 24, 24)).astype(np.float32)
        times = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * k) for k in range(60)]
        data = tmp_path_factory.mktemp("data") / "event.nc"
        cf.write_dataset(cf.rate_dataset(rate, times, RADOLAN_900.resized(24, 24)), data)
    options = OPTIONS[request.param]  # a new data set adds its miniature here
    return lambda split: build_dataset(request.param, data, split, options, input_steps=3, lead_steps=2, seed=4)


@pytest.mark.parametrize("split", SPLITS)
def test_an_item_is_a_function_of_split_and_index(make, split):
    one, two = make(split), make(split)
    assert len(one) == len(two) > 0
    order = np.random.default_rng(1).permutation(len(one))
    items = {int(i): one[int(i)] for i in order}
    for index, item in items.items():
        assert torch.equal(item.past_TCHW, two[index].past_TCHW)
        assert torch.equal(item.future_TCHW, two[index].future_TCHW)
        assert item.past_TCHW.shape[:2] == (3, 1)
        assert item.future_TCHW.shape[:2] == (2, 1)
        assert item.past_TCHW.dtype == torch.float32
    for index in (-1, len(one)):
        with pytest.raises(IndexError):
            one[index]


def test_no_two_splits_share_an_item(make):
    train, held_out = make("train"), make("validation")
    seen = {train[i].past_TCHW.numpy().tobytes() for i in range(len(train))}
    assert not any(held_out[i].past_TCHW.numpy().tobytes() in seen for i in range(len(held_out)))


def test_it_says_what_it_was_made_of(make):
    assert make("train").fingerprint
